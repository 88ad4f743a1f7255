"""The native half of the engine: whether it is there, and the tables that both halves share.

Facts. `loadgen.engine._native` is compiled when loadgen is installed, where that can be done;
without it the engine runs in Python. What both must agree on stands in the C file and here: the
columns of a slot, which holds what the native half knows of a connection, and the fields of what
goes in and comes back. All are 64-bit integers. A change to them raises
`loadgen.net.native_modules.INTERFACE`.
"""

from typing import Any, Final, NamedTuple

from loadgen.net import native_modules
from loadgen.net.native_modules import Absence

_native: Final[Any] = native_modules.load("loadgen.engine._native")

(
    AWAITED_BYTES,
    IN_FLIGHT,
    INTENDED_NS,
    SENT_NS,
    ORIGIN,
    DESCRIPTOR,
    BATCH,
    UNSTAMPED_LEFT,
    BATCHES_LEFT,
    BATCHES_GRANTED,
    UNSCHEDULED,
    READ_AT_NS,
    RECEIVED_BYTES,
    IS_UNCHECKED,
    COLUMNS,
) = range(15)
"""The columns of a slot, and how many there are.

AWAITED_BYTES: of all the replies to the batch in flight; `NO_BATCH`, or `UNKNOWN`. DESCRIPTOR: -1
where the native half must leave the connection alone. BATCH: the number of its `NativeBatch`.
READ_AT_NS: when it was last read. RECEIVED_BYTES: that are not those of a batch whose replies have
a known length. IS_UNCHECKED: 1 while its decoder holds part of something that is no reply.
"""

UNKNOWN: Final = -2
"""Instead of the bytes that are awaited: only the bytes themselves tell."""

NO_DESCRIPTOR: Final = -1

SIZE_ONLY, EQUAL, DELIMITED = range(3)
"""How replies are checked: they have the size; they are these bytes; they end with these bytes,
which are found nowhere else in them."""

NOT_TRIED: Final = -(2**31)
"""Instead of the result of a send: the slot has none to make."""

OTHER_COLUMNS: Final = 7
"""What is handed back: descriptor, events, slot, size or -errno, offset in the buffer, stamp_ns,
read_ns. Where events are 0 it is a read, else an event that only the first two belong to."""

FAILED_COLUMNS: Final = 2
"""A send that has failed: slot, how many bytes were accepted, or -errno, or `NOT_TRIED`."""


class NativeBatch(NamedTuple):
    """What is sent on a connection in one piece, and how the replies to it are checked.

    reply: the bytes that the check is about. kind: what is added to an origin for replies that are
    found `EQUAL` or `DELIMITED`. most_bytes: how long a reply of unknown length may be.
    unstamped_after: how many replies without a stamp follow one with a stamp.
    """

    data: bytes
    reply_bytes: int
    messages: int
    check: int
    reply: bytes
    kind: int
    most_bytes: int
    unstamped_after: int


BACKENDS: Final = tuple(
    name for name in ("epoll", "kqueue", "poll", "select") if hasattr(_native, f"wait_{name}")
)
"""Those that there is a native wait for: as far as this platform has them, and for poll ppoll(2);
that for kqueue has been compiled nowhere yet."""


def available() -> bool:
    """Return whether the native half is there."""
    return absence() is None


def absence() -> Absence | None:
    """Return why it is not there; None where it is."""
    return _native if isinstance(_native, Absence) else None


def functions() -> Any:
    """Return the module; only where it is `available`."""
    return _native
