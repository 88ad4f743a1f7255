"""What loadgen itself does for a message, without the kernel: turns over sockets that do nothing.

Each engine takes a number of turns in every round, and so does the barest loop in Python. What is
printed is the processor time of a message in a round: the median, the lowest and the highest. The
system calls of the native engine are replaced by some that do nothing (`native/idle.c`).

    python -m bench.turn              # replies of a known length
    python -m bench.turn --replies    # and such as must be looked at, of the same length
    python -m bench.turn --engine python

The exit code is 1 where an aim is missed, or something could not be measured.
"""

import argparse
import selectors
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from bench.idle import is_idle, new_idle_side, run_idle
from bench.tables import aims_table, at_most, formatted, spread
from bench.ways import NATIVE, PYTHON, add_engine_option, engines
from bench.yardstick import UnavailableError
from loadgen.engine.channel import BUFFER_BYTES
from loadgen.engine.conversation import Conversation
from loadgen.engine.datagrams import DatagramChannel
from loadgen.engine.driver import PythonDriver
from loadgen.engine.engine import Engine
from loadgen.engine.group import Group, new_stream
from loadgen.engine.load_models import ClosedLoop
from loadgen.engine.recorder import Recorder
from loadgen.engine.timeouts import ConnectionPolicy
from loadgen.net import backends
from loadgen.net.clock import WallClock, monotonic_ns, wall_ns
from loadgen.net.protocols import Delimiter, Fixed, Framing, LengthPrefix
from loadgen.net.protocols.datagrams import Datagram
from loadgen.net.protocols.http import Http
from loadgen.net.transport import SocketTransport
from loadgen.plan.payloads import PayloadQueue

CONNECTIONS = backends.TURN_EVENTS
TURNS = 200
ROUNDS = 15
AIM_NS: Final = 350.0
"""Of the native engine, for a reply of a known length, without a stamp."""
SIZE = 240
"""Of the replies, in bytes."""
MESSAGE = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

_HEAD = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 150\r\nX-Padding: %b\r\n\r\n"
_RESPONSE = _HEAD % (b"x" * (SIZE - len(_HEAD % b"") - 150)) + bytes(150)

REPLIES: dict[str, tuple[Framing, bytes]] = {
    "fixed": (Fixed(SIZE), bytes(SIZE)),
    "delimiter": (Delimiter(b"\n"), bytes(SIZE - 1) + b"\n"),
    "length": (LengthPrefix(2), (SIZE - 2).to_bytes(2) + bytes(SIZE - 2)),
    "http": (Http("GET"), _RESPONSE),
    "datagram": (Datagram(), bytes(SIZE)),
}
"""Framings, and a reply of each."""


class IdleSocket:
    """Sends all, at the cost of ``len``, and receives the same ``reply`` again and again."""

    send = staticmethod(len)

    def __init__(self, reply: bytes) -> None:
        self._reply, self._size = reply, len(reply)

    def recv_into(self, buffer: bytearray) -> int:
        """Return the size of a reply that is in ``buffer`` then."""
        buffer[: self._size] = self._reply
        return self._size

    recvmsg_into = recv_into  # never called: nothing is stamped

    def getsockopt(self, level: int, name: int) -> int:
        """Return 0: no error."""
        return 0

    def getsockname(self) -> str:
        """Return the name of a socket that has none."""
        return ""

    getpeername = getsockname

    def shutdown(self, how: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class IdleDialer:
    """Dials no server; its transports receive ``reply``."""

    stamp_every = 0

    is_layered = False

    def __init__(self, reply: bytes) -> None:
        self._reply = reply

    def dial(self) -> SocketTransport:
        """Return a transport that is connected."""
        return SocketTransport(IdleSocket(self._reply))


class EverReady:
    """A selector to which connects succeed and replies are there at once."""

    def __init__(self) -> None:
        self._keys: dict[Any, Any] = {}

    def register(self, sock: Any, events: int, data: Any) -> None:
        """Watch ``sock``."""
        self._keys[sock] = selectors.SelectorKey(sock, 0, events, data)

    modify = register

    def unregister(self, sock: Any) -> None:
        """Stop watching ``sock``."""
        del self._keys[sock]

    def select(self, timeout_s: float | None) -> list[tuple[Any, int]]:
        """Return the sockets that connect, and those that have a message in flight."""
        return [
            (key, key.events)
            for key in self._keys.values()
            if key.events != selectors.EVENT_READ or key.data.in_flight
        ]

    def close(self) -> None:
        """Do nothing."""


class Side(NamedTuple):
    """Something that takes turns, with a message on each connection; ``answered`` counts them."""

    name: str
    form: str
    turn: Callable[[], None]
    answered: Callable[[], int] | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    chosen = _parser().parse_args(words)
    compared = engines(chosen.engine)
    try:
        if NATIVE in compared and not is_idle():
            return run_idle("bench.turn", words)
        return _measure(compared, tuple(REPLIES) if chosen.replies else ("fixed",), chosen)
    except UnavailableError as reason:
        print(f"bench.turn: {reason}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.turn",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--replies", action="store_true", help="also replies that are looked at")
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, metavar="N", help=f"of each ({ROUNDS})"
    )
    parser.add_argument("--turns", type=int, default=TURNS, metavar="N", help=f"a round ({TURNS})")
    parser.add_argument(
        "--ready",
        type=int,
        default=CONNECTIONS,
        choices=range(1, CONNECTIONS + 1),
        metavar="N",
        help=f"connections, each ready in each turn ({CONNECTIONS}, the most)",
    )
    add_engine_option(parser, default="both")
    parser.add_argument("--markdown", action="store_true", help="tables for bench/README.md")
    return parser


def _measure(compared: Sequence[str], forms: Sequence[str], chosen: argparse.Namespace) -> int:
    count = chosen.ready
    sides = [Side("the barest loop", "fixed", _bare_turn(count))]
    for form in forms:
        if PYTHON in compared:
            sides.append(_python_side(form, count))
        if NATIVE in compared and form != "datagram":
            sides += [_native_side(form, count, is_stamped=each) for each in (False, True)]
    found = _rounds_ns(sides, chosen)
    rows = [(side.name, side.form, spread(ns, 0)) for side, ns in zip(sides, found, strict=True)]
    columns = ("a message without the kernel", "reply", "ns")
    print("\n".join(formatted(columns, rows, chosen.markdown)))
    judgements = [
        at_most("native, a reply of a known length", AIM_NS, ns, "ns", 0)
        for side, ns in zip(sides, found, strict=True)
        if (side.name, side.form, count) == (NATIVE, "fixed", CONNECTIONS)
    ]
    print("\n".join(aims_table(judgements, chosen.markdown)))
    return 0 if all(judgement.is_met for judgement in judgements) else 1


def _python_side(form: str, count: int) -> Side:
    framing, reply = REPLIES[form]
    dialer: Any = IdleDialer(reply)
    ready: Any = EverReady()
    is_datagram = isinstance(framing, Datagram)
    new_channel = partial(DatagramChannel, numbered=False) if is_datagram else new_stream
    group = Group(dialer, ClosedLoop(), new_channel=new_channel)
    engine = _started(PythonDriver(ready, monotonic_ns), group, Recorder(count), framing, count)
    return _side(PYTHON, form, engine)


def _native_side(form: str, count: int, *, is_stamped: bool) -> Side:
    framing, reply = REPLIES[form]
    driver, group = new_idle_side(reply, stamped=is_stamped)
    recorder = Recorder(count, WallClock(monotonic_ns, wall_ns) if is_stamped else None)
    engine = _started(driver, group, recorder, framing, count)
    return _side(f"{NATIVE}, stamped" if is_stamped else NATIVE, form, engine)


def _started(
    driver: PythonDriver, group: Group, recorder: Recorder, framing: Framing, count: int
) -> Engine:
    """Return an engine with a message in flight on each of ``count`` connections."""
    engine = Engine(driver, [group], recorder, monotonic_ns, ConnectionPolicy())
    engine.add(Conversation(PayloadQueue((MESSAGE,)), framing), count)
    while engine.pool.is_opening:
        engine.turn(0)
    engine.start()
    engine.turn(0)
    assert engine.pool.totals().up == engine.pool.totals().submitted == count
    return engine


def _side(name: str, form: str, engine: Engine) -> Side:
    return Side(name, form, lambda: engine.turn(0), lambda: engine.pool.totals().answered)


def _bare_turn(count: int) -> Callable[[], None]:
    """Return a loop that receives, reads the clock, keeps the time, and sends: nothing else."""
    sockets = dict(enumerate(IdleSocket(bytes(SIZE)) for _ in range(count)))
    ready = [(number, 1) for number in sockets]
    buffer, message = bytearray(BUFFER_BYTES), MESSAGE
    times: list[int] = []

    def turn() -> None:
        senders = []
        for number, _ in ready:
            sock = sockets[number]
            sock.recv_into(buffer)
            times.append(monotonic_ns())
            senders.append(sock)
        for sock in senders:
            sock.send(message)
        times.clear()

    return turn


def _rounds_ns(sides: Sequence[Side], chosen: argparse.Namespace) -> list[list[float]]:
    """Return the processor time of a message of each side, round by round.

    Raises UnavailableError where a turn is not a message on each connection.
    """
    found: list[list[float]] = [[] for _ in sides]
    turns, count = chosen.turns, chosen.ready
    for _ in range(chosen.rounds):
        for side, measured in zip(sides, found, strict=True):
            answered = -side.answered() if side.answered else 0
            began_ns = time.process_time_ns()
            for _ in range(turns):
                side.turn()
            measured.append((time.process_time_ns() - began_ns) / turns / count)
            if side.answered and answered + side.answered() != turns * count:
                raise UnavailableError(f"{side.name}, {side.form}: not all messages were answered")
    return found


if __name__ == "__main__":
    sys.exit(main())
