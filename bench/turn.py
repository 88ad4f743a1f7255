"""What loadgen itself does for a message, without the kernel: turns over sockets that do nothing.

python -m bench.turn              replies of a known length
python -m bench.turn --replies    beside them, those that must be looked at, of the same length
"""

import argparse
import selectors
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from loadgen.engine.conversation import Conversation
from loadgen.engine.datagrams import DatagramChannel
from loadgen.engine.driver import BUFFER_BYTES
from loadgen.engine.engine import Engine
from loadgen.engine.group import Group, new_stream
from loadgen.engine.load_models import ClosedLoop
from loadgen.engine.recorder import Recorder
from loadgen.engine.driver import PythonDriver
from loadgen.engine.timeouts import ConnectionPolicy
from loadgen.net import backends
from loadgen.net.clock import monotonic_ns
from loadgen.net.protocols import Delimiter, Fixed, Framing, LengthPrefix
from loadgen.net.protocols.datagrams import Datagram
from loadgen.net.protocols.http import Http
from loadgen.net.transport import SocketTransport
from loadgen.plan.payloads import PayloadQueue

CONNECTIONS = backends.TURN_EVENTS
TURNS = 200
ROUNDS = 15
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.turn", description=__doc__)
    parser.add_argument("--replies", action="store_true", help="also replies that are looked at")
    forms = tuple(REPLIES) if parser.parse_args(arguments).replies else ("fixed",)
    bare = _best_ns([_bare_turn()])[0]
    own = _best_ns([_loadgen_turn(*REPLIES[form]) for form in forms])
    print(f"a message, without the kernel: loadgen {own[0]:.0f} ns, the barest loop {bare:.0f} ns")
    for form, each in list(zip(forms, own, strict=True))[1:]:
        print(f"{form:>10}: {each:.0f} ns, {each - own[0]:+.0f} ns")
    return 0


def _loadgen_turn(framing: Framing, reply: bytes) -> Callable[[], None]:
    dialer: Any = IdleDialer(reply)
    ready: Any = EverReady()
    selector = PythonDriver(ready, monotonic_ns)
    is_datagram = isinstance(framing, Datagram)
    new_channel = partial(DatagramChannel, numbered=False) if is_datagram else new_stream
    group = Group(dialer, ClosedLoop(), new_channel=new_channel)
    engine = Engine(selector, [group], Recorder(CONNECTIONS), monotonic_ns, ConnectionPolicy())
    engine.add(Conversation(PayloadQueue((MESSAGE,)), framing), CONNECTIONS)
    while engine.pool.is_opening:
        engine.turn(0)
    engine.start()
    engine.turn(0)
    assert engine.pool.totals().up == engine.pool.totals().submitted == CONNECTIONS
    return lambda: engine.turn(0)


def _bare_turn() -> Callable[[], None]:
    """Return a loop that receives, reads the clock, keeps the time, and sends: nothing else."""
    sockets = dict(enumerate(IdleSocket(bytes(SIZE)) for _ in range(CONNECTIONS)))
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


def _best_ns(turns: Sequence[Callable[[], None]]) -> list[float]:
    """Return the time of a message in the best round of each: what disturbs, only adds."""
    rounds: list[list[float]] = [[] for _ in turns]
    for _ in range(ROUNDS):
        for turn, measured in zip(turns, rounds, strict=True):
            began_s = time.perf_counter()
            for _ in range(TURNS):
                turn()
            measured.append((time.perf_counter() - began_s) / TURNS / CONNECTIONS * 1e9)
    return [min(each) for each in rounds]


if __name__ == "__main__":
    sys.exit(main())
