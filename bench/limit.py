"""How close is loadgen to the limit of the machine?

Runs a C client that does nothing but the system calls, and loadgen, with every reply stamped by the
kernel, every tenth and none, in turn, against the same C echo server, client and server pinned to a
core each. Rates of a shared machine drift, and those of neighbours less: each is set beside the
mean of the C client before and after its round, and every other round runs backwards. What counts
is the median of these ratios; how far the C client is off its own median is the noise.

    python -m bench.limit                       # 100, 1000 and 10000 connections; pipeline 64
    python -m bench.limit -c 100 --rounds 9
    python -m bench.limit --engine both
    python -m bench.limit --engine python --before ../before    # a checkout of another loadgen

The exit code is 1 where an aim is missed, or something could not be measured.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.tables import Judgement, aims_table, at_least, formatted, spread
from bench.ways import ARRIVALS, PYTHON, STAMPED, USER_SPACE, Way, add_engine_option, ways
from bench.yardstick import (
    Cost,
    Shape,
    UnavailableError,
    built,
    c_client,
    cost_of,
    heading,
    loadgen,
    print_title,
    server,
    two_cores,
)

_SHAPES: Final = ((100, 1), (1000, 1), (10_000, 1), (100, 64))  # connections, pipeline
AIMS: Final[Mapping[tuple[int, int], Mapping[str, float]]] = {
    (100, 1): {STAMPED: 0.88, USER_SPACE: 0.93},
    (1000, 1): {STAMPED: 0.95, USER_SPACE: 1.0},
    (10_000, 1): {STAMPED: 1.0, USER_SPACE: 1.05},
    (100, 64): {STAMPED: 1.0, USER_SPACE: 1.0},
}
"""The ratio to the C client that loadgen is to reach where there is a C compiler."""
NO_SLOWER: Final = 1.0
"""The ratio to the loadgen before."""


@dataclass(frozen=True)
class Measured:
    """What a message cost, round by round: each way, and the C client before and after a round."""

    shape: Shape
    limits: Sequence[Cost]
    costs: Mapping[Way, Sequence[Cost]]

    @property
    def noise(self) -> list[float]:
        """How many times its own median the C client did."""
        rates = [limit.messages_per_s for limit in self.limits]
        return [rate / statistics.median(rates) for rate in rates]

    def of_limit(self, way: Way) -> list[float]:
        """Return how many times the messages of the C client before and after it a way had."""
        neighbours = zip(self.limits, self.limits[1:], strict=False)
        return [
            2 * cost.messages_per_s / (before.messages_per_s + after.messages_per_s)
            for cost, (before, after) in zip(self.costs[way], neighbours, strict=True)
        ]

    def of_before(self, way: Way) -> list[float]:
        """Return how many times the messages of the loadgen before it had; nothing without one."""
        if way.is_before:
            return []
        before = [
            costs
            for other, costs in self.costs.items()
            if other.is_before and other.arrivals == way.arrivals
        ]
        return [
            cost.messages_per_s / other.messages_per_s
            for costs in before
            for cost, other in zip(self.costs[way], costs, strict=True)
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    chosen = _parser().parse_args(arguments)
    shapes = [(count, chosen.pipeline) for count in chosen.connections or ()] or _SHAPES
    compared = ways(chosen.engine, ARRIVALS, chosen.before)
    print(heading())
    found: list[Measured] = []
    code = 0
    try:
        with built() as program:
            for connections, pipeline in shapes:
                shape = Shape(connections, pipeline, duration_s=chosen.duration)
                found.append(_measure(program, shape, chosen.rounds, compared))
    except UnavailableError as reason:
        print(f"bench.limit: {reason}", file=sys.stderr)
        code = 1
    judgements = [judgement for measured in found for judgement in judged(measured)]
    print("\n".join(table(found, chosen.markdown)))
    print("\n".join(aims_table(judgements, chosen.markdown)))
    return code or (0 if all(judgement.is_met for judgement in judgements) else 1)


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
    add_engine_option(parser)
    parser.add_argument(
        *("--before",),
        type=Path,
        metavar="CHECKOUT",
        help="a directory with another loadgen, which is run in turn, too",
    )
    parser.add_argument("--markdown", action="store_true", help="tables for bench/README.md")
    return parser


def _measure(program: Path, shape: Shape, rounds: int, compared: Sequence[Way]) -> Measured:
    client_core, server_core = two_cores()
    title = f"{shape.connections} connections, {shape.size_bytes} bytes, pipeline {shape.pipeline}"
    print_title(title, f"{'':5} {'client':24} cost")
    costs: dict[Way, list[Cost]] = {way: [] for way in compared}
    with server(program, server_core) as port:
        limits = [c_client(program, port, client_core, shape)]
        _print_cost(0, "C client", limits[-1])
        for number in range(1, rounds + 1):
            for way in compared[:: 1 if number % 2 else -1]:
                record = loadgen(port, client_core, shape, way.options, way.checkout)
                costs[way].append(cost_of(record))
                _print_cost(number, way.name, costs[way][-1])
            limits.append(c_client(program, port, client_core, shape))
            _print_cost(number, "C client", limits[-1])
    return Measured(shape, limits, costs)


def _print_cost(number: int, client: str, cost: Cost) -> None:
    print(f"{number:4}: {client:24} {cost}", flush=True)


# ---- what is made of it --------------------------------------------------------------

_COLUMNS: Final = (
    *("connections", "pipeline", "client", "messages/s", "user us", "system us"),
    *("of the C client", "of before"),
)


def table(found: Sequence[Measured], is_markdown: bool) -> list[str]:
    """Return a line for each client of each shape."""
    rows = []
    for measured in found:
        rows.append(_row(measured.shape, "C client", measured.limits, measured.noise, ()))
        rows += [
            _row(measured.shape, way.name, costs, measured.of_limit(way), measured.of_before(way))
            for way, costs in measured.costs.items()
        ]
    return formatted(_COLUMNS, rows, is_markdown)


def _row(
    shape: Shape,
    client: str,
    costs: Sequence[Cost],
    of_limit: Sequence[float],
    of_before: Sequence[float],
) -> tuple[str, ...]:
    rates, user_us, system_us = map(statistics.median, zip(*costs, strict=True))
    return (
        *(str(shape.connections), str(shape.pipeline), client, f"{rates:,.0f}"),
        *(f"{user_us:.2f}", f"{system_us:.2f}", spread(of_limit)),
        spread(of_before) if of_before else "",
    )


def judged(measured: Measured) -> list[Judgement]:
    """Return what became of the aims for that shape, as far as the ways in them were run."""
    shape = measured.shape
    name = f"{shape.connections} connections, pipeline {shape.pipeline}"
    aims = AIMS.get((shape.connections, shape.pipeline), {})
    judgements = []
    for way in measured.costs:
        if (aim := aims.get(way.arrivals)) and way.engine != PYTHON and not way.is_before:
            text = f"{name}: {way.name}, of the C client"
            judgements.append(at_least(text, aim, measured.of_limit(way)))
        if of_before := measured.of_before(way):
            judgements.append(at_least(f"{name}: {way.name}, of before", NO_SLOWER, of_before))
    return judgements


if __name__ == "__main__":
    sys.exit(main())
