"""Does loadgen keep a schedule? Messages at a rate, beside how late each of them left.

Runs loadgen with `--rate` against the C echo server, client and server pinned to a core each, in
rounds, and prints which share of the rate it kept and the lag of the schedule: medians of the
rounds, with the lowest and the highest in brackets.

    python -m bench open_loop                   # 50,000/s on 100 connections
    python -m bench open_loop --engine both --rate 20000 --rounds 9

The exit code is 1 where an aim is missed, or something could not be measured.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from bench.tables import Judgement, aims_table, at_least, at_most, formatted, spread
from bench.ways import PYTHON, STAMPED, USER_SPACE, Way, add_engine_option, ways
from bench.yardstick import (
    Shape,
    UnavailableError,
    built,
    heading,
    loadgen,
    print_title,
    server,
    two_cores,
)
from loadgen import RunRecord

KEPT_AIM: Final = 0.99
"""Of the rate: what was sent too late to be answered within the run is missing."""
LAG_AIM_US: Final = 80.0


class Found(NamedTuple):
    """What became of the schedule in one run: the share of its rate that was answered, percentiles
    of the lag, and the processor time that a message took.
    """

    kept: float
    lag_p50_us: float
    lag_p99_us: float
    lag_max_us: float
    cpu_us: float
    verdict: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    chosen = _parser().parse_args(arguments)
    compared = ways(chosen.engine, (STAMPED, USER_SPACE))
    shape = Shape(chosen.connections, duration_s=chosen.duration)
    print(heading())
    title = f"{chosen.rate:,} messages a second on {shape.connections} connections; lag in us"
    print_title(title, f"{'':5} {'way':20} {'kept':>6} {'p50':>9} {'p99':>9} {'max':>9}  verdict")
    found: dict[Way, list[Found]] = {way: [] for way in compared}
    client_core, server_core = two_cores()
    try:
        with built() as program, server(program, server_core) as port:
            for number in range(1, chosen.rounds + 1):
                for way in compared[:: 1 if number % 2 else -1]:
                    asked = ("--rate", str(chosen.rate), *way.options)
                    one = found_in(loadgen(port, client_core, shape, asked), chosen.rate)
                    found[way].append(one)
                    _print_one(number, way, one)
    except UnavailableError as reason:
        print(f"bench.open_loop: {reason}", file=sys.stderr)
        return 1
    judgements = judged(found)
    print("\n".join(table(found, chosen.markdown)))
    print("\n".join(aims_table(judgements, chosen.markdown)))
    return 0 if all(judgement.is_met for judgement in judgements) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench open_loop",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rate", type=int, default=50_000, metavar="N", help="(50000)")
    parser.add_argument("-c", "--connections", type=int, default=100, metavar="N", help="(100)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of each (5)")
    parser.add_argument("--duration", type=float, default=2.0, metavar="SECONDS", help="a run (2)")
    add_engine_option(parser)
    parser.add_argument("--markdown", action="store_true", help="tables for bench/README.md")
    return parser


def found_in(record: RunRecord, rate_per_s: float) -> Found:
    """Return what became of the schedule. Raises UnavailableError where nothing was sent."""
    lag, actual = record.schedule_lag_ns, record.actual
    percentiles_ns = [lag.percentile(percent) if lag else None for percent in (50, 99, 100)]
    p50_ns, p99_ns, max_ns = percentiles_ns
    if p50_ns is None or p99_ns is None or max_ns is None or not actual.messages:
        raise UnavailableError("the lag of no message is known: loadgen was paused too often")
    return Found(
        kept=actual.messages_per_s / rate_per_s,
        lag_p50_us=p50_ns / 1e3,
        lag_p99_us=p99_ns / 1e3,
        lag_max_us=max_ns / 1e3,
        cpu_us=actual.cpu_s / actual.messages * 1e6,
        verdict=record.health.verdict if record.health else "none",
    )


def _print_one(number: int, way: Way, one: Found) -> None:
    lags = f"{one.lag_p50_us:9,.1f} {one.lag_p99_us:9,.1f} {one.lag_max_us:9,.0f}"
    print(f"{number:4}: {way.name:20} {one.kept:6.3f} {lags}  {one.verdict}", flush=True)


# ---- what is made of it --------------------------------------------------------------

_COLUMNS: Final = (
    *("way", "of the rate", "lag p50, us", "lag p99, us", "lag max, us"),
    *("CPU us a message", "verdicts"),
)


def table(found: Mapping[Way, Sequence[Found]], is_markdown: bool) -> list[str]:
    """Return a line for each way."""
    return formatted(_COLUMNS, [_row(way, each) for way, each in found.items()], is_markdown)


def _row(way: Way, found: Sequence[Found]) -> tuple[str, ...]:
    return (
        way.name,
        spread([one.kept for one in found], 3),
        spread([one.lag_p50_us for one in found], 1),
        spread([one.lag_p99_us for one in found], 1),
        spread([one.lag_max_us for one in found], 0),
        f"{statistics.median(one.cpu_us for one in found):.1f}",
        ", ".join(sorted({one.verdict for one in found})),
    )


def judged(found: Mapping[Way, Sequence[Found]]) -> list[Judgement]:
    """Return what became of the aims, which are those of the native engine."""
    judgements = []
    for way, each in found.items():
        if way.engine != PYTHON:
            kept = [one.kept for one in each]
            judgements.append(at_least(f"{way.name}: of the rate", KEPT_AIM, kept))
            lags_us = [one.lag_p50_us for one in each]
            judgements.append(at_most(f"{way.name}: lag p50", LAG_AIM_US, lags_us, "us", 1))
    return judgements


if __name__ == "__main__":
    sys.exit(main())
