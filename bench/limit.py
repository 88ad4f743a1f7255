"""How close is loadgen to the limit of the machine?

Runs loadgen and a C client that does nothing but the system calls, in turn, against the same C echo
server, client and server pinned to a core each, and prints the ratio of their message rates, round
by round, with the median. Rates of a shared machine drift; the ratio of neighbours drifts less.

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


def _measure(program: Path, shape: Shape, rounds: int) -> float:
    """Return loadgen's median rate."""
    client_core, server_core = two_cores()
    pinning = "not pinned: one core" if client_core is None else "client and server on a core each"
    print(
        f"{shape.connections} connections, {shape.size_bytes} bytes, "
        f"pipeline {shape.pipeline} ({pinning})"
    )
    limits, costs = [], []
    with server(program, server_core) as port:
        for number in range(1, rounds + 1):
            limits.append(c_client(program, port, client_core, shape))
            costs.append(cost_of(loadgen(port, client_core, shape)))
            ratio = costs[-1].messages_per_s / limits[-1].messages_per_s
            print(
                f"  {number:2}: C {limits[-1]}; loadgen {costs[-1]}; ratio {ratio:.3f}", flush=True
            )
    ratios = [
        cost.messages_per_s / limit.messages_per_s
        for cost, limit in zip(costs, limits, strict=True)
    ]
    own = _median(costs)
    print(f"  median: C {_median(limits)}; loadgen {own}")
    print(
        f"  median ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    )
    return own.messages_per_s


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(*map(statistics.median, zip(*costs, strict=True)))


def _print_against_own(medians: dict[Shape, float]) -> None:
    plain = {shape.connections: rate for shape, rate in medians.items() if shape.pipeline == 1}
    if 100 in plain:
        for connections, rate in plain.items():
            if connections > 1000:
                share = rate / plain[100]
                print(f"{connections} connections: {share:.3f} of loadgen's own rate at 100")


if __name__ == "__main__":
    sys.exit(main())
