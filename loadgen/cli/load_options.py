"""Options of ``loadgen run``: the load, its schedule, its measurement, and resource use."""

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
    """Return the numbers of ``10,100,1k``, in rising order. Raises argparse.ArgumentTypeError."""
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
    """Add connections, duration, messages in flight, and backends."""
    group.add_argument(
        "-c",
        "--connections",
        "--conns",
        type=_several_counts,
        metavar="N",
        help=f"connections open at the same time (default {DEFAULT_CONNECTIONS}); several numbers, "
        "such as 10,100,1000, are run in turn and make one table",
    )
    group.add_argument(
        "-d",
        "--duration",
        dest="duration_s",
        type=parser.duration_s,
        metavar="TIME",
        help=f"duration of the measured load, such as 500ms, 30s or 2m (default "
        f"{DEFAULT_DURATION_S:g}s, unless -n is given; {DURATION_S:g}s for each run of a table)",
    )
    group.add_argument(
        "--warmup",
        dest="warmup_s",
        type=parser.duration_s,
        default=0.0,
        metavar="TIME",
        help="load for that long before, recorded apart and not in the figures (default 0s)",
    )
    group.add_argument(
        "-n",
        "--messages",
        type=parser.count,
        metavar="N",
        help="messages of each connection (default: as many as the duration allows); with -d, "
        "whichever ends first",
    )
    _add_manner(group)


def _add_manner(group: Any) -> None:
    group.add_argument(
        "--pipeline",
        type=parser.count,
        default=1,
        metavar="K",
        help="messages in flight on each connection (default 1)",
    )
    group.add_argument(
        "--drain",
        dest="drain_s",
        type=parser.duration_s,
        default=1.0,
        metavar="TIME",
        help="how long to wait for outstanding replies after the end (default 1s)",
    )
    group.add_argument(
        "--backend",
        type=_several_backends,
        default="auto",
        metavar="NAME",
        help=f"I/O multiplexer: {', '.join(backends.NAMES)} (default auto: the platform's best); "
        f"several, such as poll,select, or {ALL}, are run in turn on the same server, with "
        f"{','.join(map(str, CONNECTIONS))} connections unless -c is given, and make one table",
    )
    group.add_argument(
        "--rounds",
        type=parser.count,
        metavar="N",
        help=f"how often each is run for such a table, in alternating order (default {ROUNDS})",
    )


def add_schedule(group: Any) -> None:
    """Add the offered rate of an open loop, and the think time of a closed one."""
    group.add_argument(
        "--rate",
        metavar="RATE",
        help="open loop: messages per second over all connections, such as 50k, or a ramp such as "
        "0..50k/30s; each message has an intended time, from which its response time counts "
        "(default: a closed loop)",
    )
    group.add_argument(
        "--rate-per-conn",
        dest="rate_per_connection",
        metavar="RATE",
        help="the same for each connection: it is multiplied by --connections",
    )
    group.add_argument(
        "--stages",
        metavar="STAGES",
        help="open loop: ramps from one rate to the next, as DURATION:RATE, beginning at 0, "
        "such as 10s:5k,20s:50k,10s:0",
    )
    group.add_argument(
        "--arrivals",
        default="constant",
        metavar="KIND",
        help=f"how intended times are spread: {', '.join(ARRIVALS)} (default constant)",
    )
    group.add_argument(
        "--open",
        dest="unlimited",
        action="store_true",
        help="send on time however many messages are in flight, instead of waiting for a free "
        "connection",
    )
    _add_timing(group)


def _add_timing(group: Any) -> None:
    group.add_argument(
        "--think",
        metavar="TIME",
        help="closed loop: think time between a reply and the next message, such as 10ms, or "
        "exp:10ms for exponentially distributed times of that mean (default none)",
    )
    group.add_argument(
        "--pacing",
        default="normal",
        metavar="HOW",
        help=f"how exactly to send on time: {', '.join(pacing.NAMES)} (default normal: within tens "
        "of microseconds); eco is up to a millisecond late, precise spins and takes a core",
    )
    group.add_argument(
        "--seed",
        type=parser.count,
        default=1,
        metavar="N",
        help="seed of all random numbers (default 1)",
    )


def add_measurement(group: Any) -> None:
    """Add the source of times, and conditions on the figures."""
    group.add_argument(
        "--timestamps",
        default="auto",
        metavar="WHOSE",
        help=f"which clock says when a reply arrived: {', '.join(TIMESTAMPS)} (default auto: the "
        "kernel's where it can, so that a busy generator does not add its own queue)",
    )
    group.add_argument(
        "--timestamp-sample",
        type=parser.count,
        default=1,
        metavar="K",
        help="take a kernel timestamp for every K-th reply only, for the highest rates (default 1)",
    )
    probe = group.add_mutually_exclusive_group()
    probe.add_argument(
        "--probe",
        action="store_true",
        default=None,
        help="measure also from a second process, with one connection and some 300 requests per "
        "second (default: if the kernel gives no timestamps)",
    )
    probe.add_argument(
        "--no-probe", dest="probe", action="store_false", help="never start that process"
    )
    group.add_argument(
        "--check",
        dest="checks",
        action="append",
        default=[],
        metavar="CONDITION",
        help="a condition such as 'service_p99<5ms', 'errors<0.1%%' or 'messages_per_s>=50k'; exit "
        "code 1 if it fails, 4 if it cannot be decided; repeatable",
    )
    group.add_argument(
        "--strict",
        action="store_true",
        help="exit code 4 if the verdict is generator-bound or inconclusive",
    )
    group.add_argument(
        "--find-max",
        metavar="CONDITIONS",
        help="find the highest rate at which conditions such as 'service_p99<=5ms,errors<0.1%%' "
        "hold; the search begins at --rate (default 1000 per second), and a step lasts --duration "
        "(default 2s), or longer if its percentile needs more messages",
    )


def add_watch(group: Any) -> None:
    """Add which processes' use of the machine is recorded."""
    group.add_argument(
        "--watch",
        default="auto",
        metavar="WHOM",
        help=f"whose use of processor and memory is recorded: {', '.join(WATCHED)} (default auto: "
        "loadgen's own, and that of the processes which listen at the target, if they are on this "
        "machine and may be read)",
    )
    group.add_argument(
        "--watch-pid",
        dest="watch",
        type=parser.process,
        metavar="PID",
        help="the id of the target's process, which is recorded with its children",
    )
    group.add_argument(
        "--sample-interval",
        dest="sample_interval_s",
        type=parser.duration_s,
        default=0.5,
        metavar="TIME",
        help="how often that use is sampled (default 500ms)",
    )
