"""The options of ``loadgen run`` that say what load there is, and what its figures are worth."""

import argparse
import difflib
import itertools
from typing import Any, Final

from loadgen.analysis.backends import CONNECTIONS, DURATION_S, ROUNDS
from loadgen.cli import parser
from loadgen.net import backends, pacing
from loadgen.plan.arrivals import ARRIVALS
from loadgen.plan.plan import (
    DEFAULT_CONNECTIONS,
    DEFAULT_DURATION_S,
    TIMESTAMPS,
    WATCHED,
)
from loadgen.text import quoted

ALL: Final = "all"


def _several_counts(text: str) -> tuple[int, ...]:
    """Return the numbers of ``10,100,1k``, rising. Raises argparse.ArgumentTypeError."""
    counts = sorted(parser.count(part) for part in text.split(","))
    for number, following in itertools.pairwise(counts):
        if number == following:
            raise argparse.ArgumentTypeError(
                f"{quoted(text)} is not accepted; it has {number} twice"
            )
    return tuple(counts)


def _several_backends(text: str) -> tuple[str, ...]:
    """Return the names of ``epoll,poll``, or of ``all``. Raises argparse.ArgumentTypeError."""
    if text == ALL:
        return backends.available()
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if name not in backends.NAMES:
            meant = difflib.get_close_matches(name, (*backends.NAMES, ALL), n=1)
            guess = f"did you mean {meant[0]}? " if meant else ""
            raise argparse.ArgumentTypeError(
                f"{quoted(name)} is not accepted; {guess}choose one of "
                f"{', '.join(backends.NAMES)}, several such as poll,select, or {ALL}"
            )
        if name == "auto" and len(names) > 1:
            raise argparse.ArgumentTypeError(
                f"{quoted(text)} is not accepted; auto is {backends.resolve(name)} here: name that"
            )
        if names.count(name) > 1:
            raise argparse.ArgumentTypeError(f"{quoted(text)} is not accepted; it has {name} twice")
    return names


def add_load(group: Any) -> None:
    """Add how many, how long, how much at a time."""
    group.add_argument(
        "-c",
        "--connections",
        "--conns",
        type=_several_counts,
        metavar="N",
        help=f"connections open at the same time ({DEFAULT_CONNECTIONS}); several numbers, such as "
        "10,100,1000, are run in turn, and end in one table",
    )
    group.add_argument(
        "-d",
        "--duration",
        dest="duration_s",
        type=parser.duration_s,
        metavar="TIME",
        help=f"how long to load, such as 30s or 2m ({DEFAULT_DURATION_S:g}s, unless -n is given; "
        f"{DURATION_S:g}s for each run that ends in a table)",
    )
    group.add_argument(
        "--warmup",
        dest="warmup_s",
        type=parser.duration_s,
        default=0.0,
        metavar="TIME",
        help="load for that long before, recorded apart and left out of the figures (0s)",
    )
    group.add_argument(
        "-n",
        "--messages",
        type=parser.count,
        metavar="N",
        help="messages per connection; with -d, whichever ends first",
    )
    _add_manner(group)


def _add_manner(group: Any) -> None:
    group.add_argument(
        "--pipeline",
        type=parser.count,
        default=1,
        metavar="K",
        help="messages in flight per connection (1)",
    )
    group.add_argument(
        "--drain",
        dest="drain_s",
        type=parser.duration_s,
        default=1.0,
        metavar="TIME",
        help="how long replies may still come home after the end (1s)",
    )
    group.add_argument(
        "--backend",
        type=_several_backends,
        default="auto",
        metavar="NAME",
        help=f"I/O multiplexer: {', '.join(backends.NAMES)} (auto: the platform's best); several, "
        f"such as poll,select, or {ALL}, are run in turn on the same server, with "
        f"{','.join(map(str, CONNECTIONS))} connections unless -c is given, and end in one table",
    )
    group.add_argument(
        "--rounds",
        type=parser.count,
        metavar="N",
        help=f"how often each is run for such a table, every other time backwards ({ROUNDS})",
    )


def add_schedule(group: Any) -> None:
    """Add what makes an open loop, and what slows a closed one down."""
    group.add_argument(
        "--rate",
        metavar="RATE",
        help="messages per second, over all connections together, such as 50k, or a ramp such as "
        "0..50k/30s; each has an intended time, and waiting for a connection counts",
    )
    group.add_argument(
        "--rate-per-conn",
        dest="rate_per_connection",
        metavar="RATE",
        help="the same per connection: --rate is that times --connections",
    )
    group.add_argument(
        "--stages",
        metavar="STAGES",
        help="ramps from one rate to the next, from 0 on, such as 10s:5k,20s:50k,10s:0",
    )
    group.add_argument(
        "--arrivals",
        default="constant",
        metavar="KIND",
        help=f"how intended times are spread: {', '.join(ARRIVALS)} (constant)",
    )
    group.add_argument(
        "--open",
        dest="unlimited",
        action="store_true",
        help="send on time whatever is in flight, instead of waiting for a free connection",
    )
    group.add_argument(
        "--think",
        metavar="TIME",
        help="closed loop: pause between a reply and the next message, such as 10ms, or exp:10ms "
        "for random pauses of that mean",
    )
    group.add_argument(
        "--pacing",
        default="normal",
        metavar="HOW",
        help=f"how exactly to send on time: {', '.join(pacing.NAMES)} (normal); eco is off by up "
        "to a millisecond, precise spins and takes a core",
    )
    group.add_argument(
        "--seed", type=parser.count, default=1, metavar="N", help="of everything random (1)"
    )


def add_truth(group: Any) -> None:
    """Add where times come from, and what is asked of them."""
    group.add_argument(
        "--timestamps",
        default="auto",
        metavar="WHOSE",
        help=f"who says when a reply arrived: {', '.join(TIMESTAMPS)} (auto: the kernel where it "
        "can, so that a busy generator does not add its own queue)",
    )
    group.add_argument(
        "--timestamp-sample",
        type=parser.count,
        default=1,
        metavar="K",
        help="stamp every K-th reply, for the highest rates (1: all)",
    )
    probe = group.add_mutually_exclusive_group()
    probe.add_argument(
        "--probe",
        action="store_true",
        default=None,
        help="measure beside the load from a second process, with one connection and some 300 "
        "requests a second (on by itself where the kernel gives no timestamps)",
    )
    probe.add_argument("--no-probe", dest="probe", action="store_false", help="do not")
    group.add_argument(
        "--check",
        dest="checks",
        action="append",
        default=[],
        metavar="CONDITION",
        help="such as 'service_p99<5ms', 'errors<0.1%%' or 'messages_per_s>=50k'; exit code 1 if "
        "it fails, 4 if it cannot be decided; repeatable",
    )
    group.add_argument(
        "--strict",
        action="store_true",
        help="exit code 4 if the verdict is generator-bound or inconclusive",
    )
    group.add_argument(
        "--find-max",
        metavar="CONDITIONS",
        help="find the highest rate that keeps them, such as 'service_p99<=5ms,errors<0.1%%'; it "
        "begins at --rate (1000), and a step lasts --duration (2s), or longer if its percentile "
        "needs it",
    )


def add_watch(group: Any) -> None:
    """Add whose use of the machine is recorded."""
    group.add_argument(
        "--watch",
        default="auto",
        metavar="WHOM",
        help=f"whose use of the machine is recorded: {', '.join(WATCHED)} (auto: loadgen's own, "
        "and that of who listens at the target, if that is here and may be seen)",
    )
    group.add_argument(
        "--watch-pid",
        dest="watch",
        type=parser.process,
        metavar="PID",
        help="that process is the target, with its children",
    )
    group.add_argument(
        "--sample-interval",
        dest="sample_interval_s",
        type=parser.duration_s,
        default=0.5,
        metavar="TIME",
        help="how often it is looked at (500ms)",
    )
