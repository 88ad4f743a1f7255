"""How close is loadgen to the limit of the machine?

Runs a C client that does nothing but the system calls, and loadgen, with every reply stamped by the
kernel, every tenth and none, in turn, against the same C echo server, client and server pinned to a
core each, and prints the ratio of their message rates, round by round, with the median. Rates of a
shared machine drift; the ratio of neighbours drifts less.

    python -m bench.limit                       # 100, 1000 and 10000 connections; pipeline 64
    python -m bench.limit -c 100 --rounds 9
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.yardstick import (
    Cost,
    Shape,
    UnavailableError,
    built,
    c_client,
    cost_of,
    loadgen,
    server,
    two_cores,
)

WAYS = {
    "stamped": (),
    "1 in 10": ("--timestamp-sample", "10"),
    "user space": ("--timestamps", "user", "--no-probe"),
}
"""loadgen with the kernel's time of arrival for every reply, for some, for none."""

_SHAPES = ((100, 1), (1000, 1), (10_000, 1), (100, 64))  # connections, pipeline


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    chosen = _parser().parse_args(arguments)
    shapes = tuple(
        Shape(connections, pipeline, duration_s=chosen.duration)
        for connections, pipeline in (
            [(count, chosen.pipeline) for count in chosen.connections or ()] or _SHAPES
        )
    )
    try:
        with built() as program:
            medians = {shape: _measure(program, shape, chosen.rounds) for shape in shapes}
    except UnavailableError as reason:
        print(f"bench.limit: {reason}", file=sys.stderr)
        return 1
    _print_against_own(medians)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.limit",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-c", "--connections", type=int, action="append", metavar="N")
    parser.add_argument("--pipeline", type=int, default=1, metavar="K", help="with -c")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of each (5)")
    parser.add_argument(
        "--duration", type=float, default=2.0, metavar="SECONDS", help="a round (2)"
    )
    return parser


def _measure(program: Path, shape: Shape, rounds: int) -> dict[str, float]:
    """Return loadgen's median rate for each way of telling arrivals."""
    client_core, server_core = two_cores()
    pinning = "not pinned: one core" if client_core is None else "client and server on a core each"
    print(
        f"{shape.connections} connections, {shape.size_bytes} bytes, "
        f"pipeline {shape.pipeline} ({pinning})"
    )
    limits: list[Cost] = []
    costs: dict[str, list[Cost]] = {way: [] for way in WAYS}
    with server(program, server_core) as port:
        for number in range(1, rounds + 1):
            limits.append(c_client(program, port, client_core, shape))
            print(f"  {number:2}: {'C':12} {limits[-1]}", flush=True)
            for way, arguments in WAYS.items():
                costs[way].append(cost_of(loadgen(port, client_core, shape, arguments)))
                ratio = costs[way][-1].messages_per_s / limits[-1].messages_per_s
                print(f"      {way:12} {costs[way][-1]}; ratio {ratio:.3f}", flush=True)
    print(f"  median: C {_median(limits)}")
    for way, each in costs.items():
        ratios = [
            cost.messages_per_s / limit.messages_per_s
            for cost, limit in zip(each, limits, strict=True)
        ]
        print(
            f"  median, {way}: {_median(each)}; "
            f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        )
    return {way: _median(each).messages_per_s for way, each in costs.items()}


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(*map(statistics.median, zip(*costs, strict=True)))


def _print_against_own(medians: dict[Shape, dict[str, float]]) -> None:
    plain = {shape.connections: rates for shape, rates in medians.items() if shape.pipeline == 1}
    if 100 in plain:
        for connections, rates in plain.items():
            for way, rate in rates.items() if connections > 1000 else ():
                share = rate / plain[100][way]
                print(f"{connections} connections, {way}: {share:.3f} of its own rate at 100")


if __name__ == "__main__":
    sys.exit(main())
