"""The arrays on which `loadgen.engine._native` works, with real sockets in their slots.

The tables of columns stand here once more, as in the C file.
"""

import contextlib
import socket
import struct
from array import array
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, Self

import pytest

from loadgen.net import timestamps

native: Any = pytest.importorskip(
    "loadgen.engine._native", reason="the C modules are not built here", exc_type=ImportError
)

SLOT: Final = (
    "awaited_bytes",
    "in_flight",
    "intended_ns",
    "sent_ns",
    "origin",
    "descriptor",
    "batch",
    "unstamped_left",
    "batches_left",
    "batches_granted",
    "unscheduled",
    "read_at_ns",
    "received_bytes",
    "is_unchecked",
)
NO_BATCH: Final = -1
UNKNOWN: Final = -2
SIZE_ONLY, EQUAL, DELIMITED = range(3)
NOT_TRIED: Final = -(2**31)
NEVER: Final = 2**62
"""After how many replies one is stamped, where none is."""
READ, WRITE = 1, 2
MOST_EVENTS: Final = 128
LEAST_ROOM: Final = 65536
ROW, SENT, OTHER, FAILED = 6, 3, 7, 2


class Batch(NamedTuple):
    """What is sent on a slot, and how the replies are checked."""

    data: bytes = b"ping"
    reply_bytes: int = 4
    messages: int = 1
    check: int = SIZE_ONLY
    reply: bytes = b""
    kind: int = 0
    most_bytes: int = 1000
    unstamped_after: int = NEVER


class Reply(NamedTuple):
    """A row of what was received."""

    origin: int
    replies: int
    intended_ns: int
    sent_ns: int
    stamp_ns: int
    read_ns: int


class HandedBack(NamedTuple):
    """What is none of a steady exchange; only the first two where nothing was read."""

    descriptor: int
    events: int
    slot: int = 0
    size: int = 0
    offset: int = 0
    stamp_ns: int = 0
    read_ns: int = 0


class Received(NamedTuple):
    """What one call has received."""

    next: int
    replies: list[Reply]
    replied: list[int]
    others: list[HandedBack]


def event(descriptor: int, events: int = READ) -> int:
    """Return an event as waits give it."""
    return descriptor << 32 | events


def integers(count: int) -> "array[int]":
    """Return an array of ``count`` zeros."""
    return array("q", bytes(8 * count))


def rows_of(values: "array[int]", width: int, count: int) -> list[list[int]]:
    """Return the first ``count`` rows of ``values``."""
    return [list(values[width * i : width * (i + 1)]) for i in range(count)]


class Slots:
    """Connections, and what the functions of the module make of them."""

    def __init__(self, *batches: Batch, buffer_bytes: int = 2 * LEAST_ROOM) -> None:
        self.batches: Any = batches or (Batch(),)
        self.slots = array("q")
        self.slot_of = array("q", [-1] * 4096)
        self.buffer: Any = bytearray(buffer_bytes)
        self.rows, self.rows_filled = integers(64 * ROW), 0
        self.replied, self.others = integers(64), integers(64 * OTHER)
        self.failed, self.sends = integers(64 * FAILED), integers(64 * SENT)

    @property
    def table(self) -> tuple[Any, ...]:
        return self.slots, self.slot_of, self.batches, self.buffer, timestamps.OPTION

    @property
    def out(self) -> tuple[Any, ...]:
        return self.rows, self.replied, self.others

    def add(self, descriptor: int, **columns: int) -> int:
        """Add a slot, and return its number."""
        number = len(self.slots) // len(SLOT)
        values = {"awaited_bytes": NO_BATCH, "unstamped_left": NEVER, "origin": number} | columns
        self.slots.extend([0] * len(SLOT))
        self.change(number, descriptor=descriptor, **values)
        if descriptor >= 0:
            self.slot_of[descriptor] = number
        return number

    def add_waiting(self, descriptor: int, **columns: int) -> int:
        """Add a slot that has sent its batch, and return its number."""
        batch = self.batches[columns.get("batch", 0)]
        sent = {"awaited_bytes": batch.reply_bytes, "in_flight": batch.messages, "sent_ns": 7}
        return self.add(descriptor, **{**sent, **columns})

    def change(self, number: int, **columns: int) -> None:
        for name, value in columns.items():
            self.slots[number * len(SLOT) + SLOT.index(name)] = value

    def get(self, number: int, *names: str) -> list[int]:
        """Return what the columns of those names hold."""
        return [self.slots[number * len(SLOT) + SLOT.index(name)] for name in names]

    def receive(self, *events: int, first: int = 0) -> Received:
        """Let the module handle ``events`` from ``first`` on."""
        before = self.rows_filled
        following, replied, others, self.rows_filled = native.receive(
            self.table, array("q", events), first, len(events), self.out, before
        )
        rows = rows_of(self.rows, ROW, self.rows_filled)[before:]
        return Received(
            following,
            [Reply(*row) for row in rows],
            list(self.replied[:replied]),
            [HandedBack(*other) for other in rows_of(self.others, OTHER, others)],
        )

    def text_of(self, other: HandedBack) -> bytes:
        """Return the bytes that were handed back."""
        return bytes(self.buffer[other.offset : other.offset + other.size])

    def send(self, *who: int) -> list[list[int]]:
        """Send on those slots; return which have failed, and how."""
        count = native.send(self.table, array("q", who), len(who), self.failed)
        return rows_of(self.failed, FAILED, count)

    def submit(self, *due: tuple[int, int, int]) -> tuple[list[list[int]], list[list[int]]]:
        """Submit what is due; return the times of what was sent, and what has failed."""
        flat = array("q", [value for message in due for value in message])
        sent, failed = native.submit(self.table, flat, len(due), self.sends, 0, self.failed)
        return rows_of(self.sends, SENT, sent), rows_of(self.failed, FAILED, failed)


class Ends(contextlib.ExitStack):
    """Sockets that are closed with it: each pair is ours, which does not block, and the peer's."""

    def __enter__(self) -> Self:
        return self

    def pair(self, kind: int = socket.SOCK_STREAM) -> tuple[socket.socket, socket.socket]:
        """Return two that are connected in this machine, without a network."""
        ours, peer = socket.socketpair(socket.AF_UNIX, kind)
        return self._kept(ours, peer)

    def tcp_pair(self) -> tuple[socket.socket, socket.socket]:
        """Return two that are connected over loopback."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = socket.create_connection(listener.getsockname())
            peer, _ = listener.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._kept(ours, peer)

    def _kept(
        self, ours: socket.socket, peer: socket.socket
    ) -> tuple[socket.socket, socket.socket]:
        self.enter_context(ours)
        self.enter_context(peer)
        ours.setblocking(False)
        return ours, peer


@pytest.fixture
def ends() -> Iterator[Ends]:
    with Ends() as stack:
        yield stack


def reset(peer: socket.socket) -> None:
    """Close ``peer`` so that the other end is reset."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
