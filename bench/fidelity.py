"""Is the latency that loadgen reports the server's?

Runs loadgen against servers that know the truth (`bench.truth`), client and server on a core each,
and prints both side by side. A figure that misses its aim is marked MISSED. Each run is taken once.

    python -m bench.fidelity                            # some five minutes
    python -m bench.fidelity --quick
    python -m bench.fidelity --only overload,pacing
    python -m bench.fidelity --engine python

The exit code is 1 where a figure misses its aim, a verdict of the overload part is not the right
one, or a part could not be measured.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from bench.peers import fidelity as peers
from bench.truth import SOURCE, Bench, Truth, expected_in_stalls, percentile
from bench.yardstick import Shape, UnavailableError, built, heading, print_title
from loadgen import RunRecord

_MS: Final = 1_000_000
_S: Final = 1_000_000_000
_PERCENTS: Final = (50.0, 90.0, 99.0, 99.9)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    names = chosen.only.split(",") if chosen.only else list(PARTS)
    if unknown := set(names) - PARTS.keys():
        parser.error(f"--only {','.join(unknown)}: the parts are {', '.join(PARTS)}")
    duration_s = chosen.duration or (1.0 if chosen.quick else 3.0)
    print(heading())
    try:
        with built(SOURCE) as program:
            bench = Bench(program, duration_s, chosen.quick, chosen.engine)
            results = [_is_right(PARTS[name], bench) for name in names]
    except UnavailableError as reason:
        print(f"bench.fidelity: {reason}", file=sys.stderr)
        return 1
    return 0 if all(results) else 1


def _is_right(part: Callable[[Bench], bool], bench: Bench) -> bool:
    try:
        return part(bench)
    except UnavailableError as reason:
        print(f"bench.fidelity: {reason}", file=sys.stderr)
        return False


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.fidelity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", metavar="PART[,PART]", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="of a run (3)")
    parser.add_argument("--quick", action="store_true", help="few runs, of a second each")
    parser.add_argument(
        "--engine", choices=("native", "python"), help="of loadgen (its own choice)"
    )
    return parser


def _verdict(record: RunRecord) -> str:
    return record.health.verdict if record.health else "none"


def _asked(rate_per_s: int | None) -> str:
    return "closed" if rate_per_s is None else f"{rate_per_s:,}"


def _allowed_ns(true_ns: int) -> float:
    """Return how far off the truth a service time may be: the way there and back takes time."""
    return 10_000 + 0.02 * true_ns


def _us(value_ns: float | None) -> str:
    return "-" if value_ns is None else f"{value_ns / 1000:,.1f}"


# ---- cells: truth beside report, from idle to saturation -----------------------------


def _cells(bench: Bench) -> bool:
    """Print the percentiles of each cell, and whether they are within 10 us + 2 % of the truth."""
    connections = (100, 1000) if bench.is_quick else (1, 100, 1000, 5000)
    rates = (10_000, None) if bench.is_quick else (1000, 10_000, 40_000, None)
    delays = ("delay 200",) if bench.is_quick else ("delay 200", "delay 1000")
    cells = [(delay, count, rate) for delay in delays for count in connections for rate in rates]
    cells.append(("peaks 200 20000", 1000, 40_000))
    print_title(
        "Cells: us; the aim for a reported service time is 10 us + 2 % off the truth;\n"
        "there: messages at the server at a time, as loadgen works it out",
        f"{'server':15} {'conns':>5} {'asked/s':>7} {'got/s':>7} {'there':>5} {'%':>5} "
        f"{'truth':>9} {'service':>9} {'off':>7} {'':6} {'user space':>10}  verdict",
    )
    kinds = {True: Judged("busy"), False: Judged("idle")}
    for behaviour, count, rate in cells:
        shape = Shape(count, duration_s=bench.duration_s)
        record, truth = bench.run(behaviour, shape, rate)
        got, there = record.actual.messages_per_s, record.actual.in_flight_at_server or 0
        label = f"{behaviour:15} {count:5} {_asked(rate):>7} {got:7,.0f} {there:5.0f}"
        is_busy = record.generator.waiting_share < 0.5
        kinds[is_busy].add(
            f"{behaviour} x{count} {_asked(rate)}", _print_cell(label, record, truth)
        )
    print("within 10 us + 2 % of the truth; a cell is idle where loadgen sleeps half of the time:")
    for kind in kinds.values():
        print(kind)
    return not any(kind.missed for kind in kinds.values())


class Judged:
    """The percentiles of the cells of one kind, and which of them are too far off the truth."""

    def __init__(self, name: str) -> None:
        self.missed: list[str] = []
        self._name = name
        self._count = 0
        self._medians_off_ns: list[int] = []
        self._missed_in: list[str] = []

    def add(self, cell: str, percentiles: Iterable[tuple[float, int, bool]]) -> None:
        """Add those of a cell: of which percent, how far off, whether that is within the aim."""
        missed = []
        for percent, off_ns, is_met in percentiles:
            self._count += 1
            if percent == 50:
                self._medians_off_ns.append(off_ns)
            if not is_met:
                missed.append(f"p{percent:g}")
        if missed:
            self.missed += missed
            self._missed_in.append(f"{cell} ({', '.join(missed)})")

    def __str__(self) -> str:
        line = f"{self._name} cells: {self._count - len(self.missed)} of {self._count} percentiles"
        if self._medians_off_ns:
            usual_ns = statistics.median(self._medians_off_ns)
            line += f"; p50 off by {_us(usual_ns)} us in the median cell"
            line += f", {_us(max(self._medians_off_ns, key=abs))} at most"
        return f"{line}; MISSED: {'; '.join(self._missed_in)}" if self.missed else line


def _print_cell(label: str, record: RunRecord, truth: Truth) -> Iterator[tuple[float, int, bool]]:
    """Print the percentiles that there are messages enough for; yield them for a `Judged`."""
    service = record.service_time_ns
    end = f"  {_verdict(record)}"
    for percent in _PERCENTS:
        reported_ns = service.percentile(percent)
        if reported_ns is None or not service.carries(percent):
            continue
        true_ns = truth.percentile_ns(percent)
        is_met = abs(reported_ns - true_ns) <= _allowed_ns(true_ns)
        print(
            f"{label:43} {percent:5g} {_us(true_ns):>9} {_us(reported_ns):>9} "
            f"{_us(reported_ns - true_ns):>7} {'' if is_met else 'MISSED':6} "
            f"{_us(record.user_space_latency_ns.percentile(percent)):>10}{end}",
            flush=True,
        )
        label = end = ""
        yield percent, reported_ns - true_ns, is_met


# ---- stall: what coordinated omission hides ------------------------------------------


def _stall(bench: Bench) -> bool:
    """Print what a server that stops 100 ms in every second does to service and response time.

    `expected_in_stalls` has the arithmetic. The run lasts whole periods, so that its share of
    stalls does not depend on when it begins.
    """
    rate_per_s, periods = 5000, max(2, math.ceil(bench.duration_s))
    print_title(
        f"Stall: 100 ms in every second, {rate_per_s:,}/s, otherwise 0.2 ms; p99 in us; the aim is "
        "10 us + 2 %\noff the truth for service time, 5 % off the arithmetic for response time",
        f"{'conns':>5} {'figure':14} {'arithmetic':>10} {'truth':>9} {'reported':>9} "
        f"{'off':>8} {'':6}  verdict",
    )
    are_met = True
    for connections in (20, 4000):
        service_ns, response_ns = (
            percentile(values_ns, 99)
            for values_ns in expected_in_stalls(connections, rate_per_s, _MS // 5, 100 * _MS, _S)
        )
        shape = Shape(connections, duration_s=periods)
        record, truth = bench.run("delay 200 stall 100000 1000000", shape, rate_per_s)
        true_ns, response = truth.percentile_ns(99), record.response_time_ns
        are_met &= _print_stall(
            f"{connections:5} service time   {_us(service_ns):>10} {_us(true_ns):>9}",
            record.service_time_ns.percentile(99),
            (true_ns, _allowed_ns(true_ns)),
            f"  {_verdict(record)}",
        )
        are_met &= _print_stall(
            f"{'':5} response time  {_us(response_ns):>10} {'':9}",
            response.percentile(99) if response else None,
            (response_ns, 0.05 * response_ns),
        )
    return are_met


def _print_stall(
    label: str, reported_ns: int | None, aim_ns: tuple[int, float], end: str = ""
) -> bool:
    """Print one figure beside the one that it ought to be, which is given with the distance.

    Return whether it is within that.
    """
    off_ns = (reported_ns or 0) - aim_ns[0]
    is_met = abs(off_ns) <= aim_ns[1]
    missed = "" if is_met else "MISSED"
    print(f"{label} {_us(reported_ns):>9} {_us(off_ns):>8} {missed:6}{end}".rstrip(), flush=True)
    return is_met


# ---- overload: whose fault is it? ----------------------------------------------------


def _overload(bench: Bench) -> bool:
    """Print the verdicts on a load that the generator, or the server, cannot keep up with.

    A worker that takes 28 us for each request can answer 35,714 of them in a second.
    """
    print_title(
        "Overload: whose limit is it?",
        f"{'server':10} {'conns':>5} {'asked/s':>8} {'got/s':>8} {'waiting':>8} {'truth p99':>10} "
        f"{'service p99':>12}  verdict",
    )
    cases = (
        ("delay 200", 1000, 150_000, "generator-bound"),
        ("fifo 28", 200, 50_000, "server-bound"),
        ("fifo 200", 200, 7_000, "server-bound"),
    )
    are_right = True
    for behaviour, connections, rate_per_s, right in cases:
        shape = Shape(connections, duration_s=bench.duration_s)
        record, truth = bench.run(behaviour, shape, rate_per_s)
        is_right = _verdict(record) == right
        are_right &= is_right
        print(
            f"{behaviour:10} {connections:5} {rate_per_s:8,} {record.actual.messages_per_s:8,.0f} "
            f"{record.generator.waiting_share:8.1%} {_us(truth.percentile_ns(99)):>10} "
            f"{_us(record.service_time_ns.percentile(99)):>12}  {_verdict(record)}"
            f"{'' if is_right else ': WRONG'}",
            flush=True,
        )
        if not is_right:
            codes = [finding.code for finding in record.health.findings] if record.health else []
            print(f"{'':10} right is {right}; found: {', '.join(codes) or 'nothing'}")
    return are_right


# ---- pacing: does it send when it should? --------------------------------------------

_LAG_AIMS_NS: Final = {"normal": (35_000, 80_000), "precise": (3_000, 40_000)}
"""At 10,000/s: p50 and p99 of the schedule lag."""


def _pacing(bench: Bench) -> bool:
    """Print how late messages leave, and what the waiting costs."""
    print_title(
        "Pacing: 200 connections, 200 us server; schedule lag in us",
        f"{'pacing':8} {'asked/s':>8} {'got/s':>8} {'lag p50':>9} {'lag p99':>9} {'CPU':>6}  aim",
    )
    are_met = True
    for pacing in ("eco", "normal", "precise"):
        for rate in (10_000,) if bench.is_quick else (1000, 10_000, 50_000, 100_000):
            shape = Shape(200, duration_s=bench.duration_s)
            record, _ = bench.run("delay 200", shape, rate, "--pacing", pacing)
            lag, actual = record.schedule_lag_ns, record.actual
            lags_ns = [lag.percentile(percent) if lag else None for percent in (50, 99)]
            aim = _aim(lags_ns, _LAG_AIMS_NS.get(pacing) if rate == 10_000 else None)
            are_met &= "MISSED" not in aim
            print(
                f"{pacing:8} {rate:8,} {actual.messages_per_s:8,.0f} {_us(lags_ns[0]):>9} "
                f"{_us(lags_ns[1]):>9} {actual.cpu_s / actual.duration_s:6.1%}"
                f"  {aim}",
                flush=True,
            )
    return are_met


def _aim(lags_ns: Sequence[int | None], aims_ns: tuple[int, int] | None) -> str:
    if aims_ns is None:
        return ""
    is_met = all(lag is not None and lag <= aim for lag, aim in zip(lags_ns, aims_ns, strict=True))
    return f"{_us(aims_ns[0])} and {_us(aims_ns[1])}{'' if is_met else ': MISSED'}"


PARTS: Final[dict[str, Callable[[Bench], bool]]] = {
    "cells": _cells,
    "stall": _stall,
    "overload": _overload,
    "peers": peers.compare,
    "pacing": _pacing,
}
"""Each prints its table, and returns False where that is a reason to fail."""


if __name__ == "__main__":
    sys.exit(main())
