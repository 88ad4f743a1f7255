"""What does loadgen bring to Locust, and what does Locust take from it?

Loads the C echo server with one Locust process in turn by hand (a gevent socket and a request
event), with a declarative and a scripted user of loadgen, and with loadgen's own command line;
client and server on a core each, 64 bytes a message, one message in flight for each user. The
server counts (`bench.locust_ways`), and the time that other processes took the client's core away
("taken") is left out. Rates of a shared machine drift all the same: what counts is the ratio within
one round, and of those the median. A greenlet that sleeps for 10 ms at a time tells how late
Locust's own work is done meanwhile; where much was taken, that is no fault of Locust's.

    python -m bench.locust_compare                  # some fifteen minutes
    python -m bench.locust_compare --quick
    python -m bench.locust_compare --connections 1000 --rounds 9

From 5000 users on only the lag is of interest: by hand and declarative. The exit code is 1 where an
aim is missed, or something could not be measured.
"""

import argparse
import itertools
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.locust_ways import (
    BY_HAND,
    DECLARATIVE,
    DECLARATIVE_USER,
    PLAIN,
    PLAIN_USER,
    SCRIPTED,
    WAYS,
    Found,
    Run,
    Way,
    measure,
)
from bench.tables import Judgement, aims_table, formatted, spread
from bench.ways import add_engine_option, engines
from bench.yardstick import UnavailableError, built, heading, print_title

Rounds = Mapping[str, Sequence[Found]]
"""What was found, by the name of the way, round by round."""

_USERS: Final = (100, 1000, 5000)
_MANY: Final = 5000


@dataclass(frozen=True)
class SpeedAim:
    """``way`` is to do at least ``ratio`` times the requests of ``beside``."""

    way: Way
    beside: Way
    ratio: float


SPEED_AIMS: Final = (
    SpeedAim(DECLARATIVE, BY_HAND, 4.5),
    SpeedAim(DECLARATIVE, PLAIN, 0.85),
    SpeedAim(DECLARATIVE_USER, BY_HAND, 4.5),
    SpeedAim(DECLARATIVE_USER, PLAIN_USER, 0.85),
    SpeedAim(SCRIPTED, BY_HAND, 1.5),
)
LAG_AIMS_MS: Final = {1000: 20.0, 5000: 50.0}
"""Under what the p99 of a greenlet's lag is to stay beside declarative users, by their number."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    chosen = _parser().parse_args(arguments)
    rounds = chosen.rounds or (2 if chosen.quick else 5)
    duration_s = chosen.duration or (1.0 if chosen.quick else 3.0)
    judgements: list[Judgement] = []
    print(heading())
    try:
        with built() as program:
            for engine, users in itertools.product(engines(chosen.engine), chosen.connections):
                run = Run(users, 0.5 if chosen.quick else 1.5, duration_s, engine)
                found = _measure(program, run, rounds)
                judgements += judged(run, found)
                print("\n".join(table(run, found, chosen.markdown)), flush=True)
    except UnavailableError as reason:
        print(f"bench.locust_compare: {reason}", file=sys.stderr)
        return 1
    finally:
        print("\n".join(aims_table(judgements, chosen.markdown)))
    return 0 if all(judgement.is_met for judgement in judgements) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.locust_compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-c",
        "--connections",
        type=_numbers,
        default=_USERS,
        metavar="N[,N]",
        help="users, with a connection each (100,1000,5000)",
    )
    add_engine_option(parser)
    parser.add_argument("--rounds", type=int, metavar="N", help="of each (5)")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="measured of a run (3)")
    parser.add_argument("--quick", action="store_true", help="2 rounds, of a second each")
    parser.add_argument("--markdown", action="store_true", help="tables for bench/README.md")
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(map(int, text.split(",")))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give numbers of users, such as 100,1000")
    return numbers


def _measure(program: Path, run: Run, rounds: int) -> dict[str, list[Found]]:
    ways = (BY_HAND, DECLARATIVE) if run.users >= _MANY else WAYS
    print_title(
        f"{run.name}: each run",
        f"{'':5} {'way':24} {'cost':46} {'taken':>6} {'counted - served':>17} {'stop':>7}",
    )
    found: dict[str, list[Found]] = {way.name: [] for way in ways}
    for number in range(1, rounds + 1):
        for way in ways:
            one = measure(way, run, program)
            found[way.name].append(one)
            difference = f"{one.counted:,} {one.counted - one.served:+}"
            print(
                f"{number:4}: {way.name:24} {one.cost!s:46} {one.taken_share:6.0%} "
                f"{difference:>17} {one.stop_s:5.2f} s",
                flush=True,
            )
    return found


# ---- judging -------------------------------------------------------------------------


def ratios(found: Rounds, way: Way, beside: Way) -> list[float]:
    """Return how many times the requests of ``beside`` the ``way`` did, round by round."""
    return [
        one.cost.messages_per_s / other.cost.messages_per_s
        for one, other in zip(found[way.name], found[beside.name], strict=True)
    ]


def judged(run: Run, found: Rounds) -> list[Judgement]:
    """Return what became of the aims for such runs, as far as the ways in them were run."""
    judgements = []
    users = run.users
    for aim in SPEED_AIMS:
        if {aim.way.name, aim.beside.name} <= found.keys() and users < _MANY:
            each = ratios(found, aim.way, aim.beside)
            text = f"{run.name}: {aim.way.name} at least {aim.ratio:g} times {aim.beside.name}"
            judgements.append(Judgement(text, spread(each), statistics.median(each) >= aim.ratio))
    if users in LAG_AIMS_MS:
        p99s_ms = [one.lag.p99_ms for one in found[DECLARATIVE.name] if one.lag]
        text = f"{run.name}: lag p99 under {LAG_AIMS_MS[users]:g} ms, {DECLARATIVE.name}"
        judgements.append(
            Judgement(
                text, f"{spread(p99s_ms, 1)} ms", statistics.median(p99s_ms) < LAG_AIMS_MS[users]
            )
            if p99s_ms
            else Judgement(text, "not measured", is_met=False)
        )
    return [*judgements, _counting(run, found)]


def _counting(run: Run, found: Rounds) -> Judgement:
    """Judge whether each client counted what the server served, but for what was under way."""
    missing = [one.served - one.counted for each in found.values() for one in each]
    return Judgement(
        f"{run.name}: counted as the server did, but for 0 to {run.users} under way",
        f"{min(missing)} to {max(missing)} fewer",
        min(missing) >= 0 and max(missing) <= run.users,
    )


# ---- tables --------------------------------------------------------------------------

_COLUMNS: Final = (
    *("users", "engine", "way", "requests/s", "user us", "system us", "taken"),
    *("of by hand", "of loadgen", "lag p50, p99, max, ms", "before, ms", "stop s"),
)


def table(run: Run, found: Rounds, is_markdown: bool) -> list[str]:
    """Return a line for each way, and two or three of heading."""
    rows = [_row(run, name, found) for name in found]
    return formatted(_COLUMNS, rows, is_markdown)


def _row(run: Run, name: str, found: Rounds) -> tuple[str, ...]:
    each = found[name]
    way = next(way for way in WAYS if way.name == name)
    plain = PLAIN_USER if way in (DECLARATIVE_USER, PLAIN_USER) else PLAIN
    beside = [
        spread(ratios(found, way, other)) if other.name in found and other is not way else ""
        for other in (BY_HAND, plain)
    ]
    lags = [one.lag for one in each if one.lag]
    lag_ms = [
        statistics.median(values)
        for values in zip(
            *((lag.p50_ms, lag.p99_ms, lag.max_ms, lag.before_ms) for lag in lags),
            strict=True,
        )
    ]
    return (
        *(str(run.users), run.engine, name),
        spread([one.cost.messages_per_s for one in each], 0),
        f"{statistics.median(one.cost.user_us for one in each):.1f}",
        f"{statistics.median(one.cost.system_us for one in each):.1f}",
        f"{statistics.median(one.taken_share for one in each):.0%}",
        *beside,
        ", ".join(f"{value:.1f}" for value in lag_ms[:3]),
        "".join(f"{value:.0f}" for value in lag_ms[3:]),
        f"{statistics.median(one.stop_s for one in each):.2f}",
    )


if __name__ == "__main__":
    sys.exit(main())
