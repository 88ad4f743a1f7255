"""Waits, receives and sends for many connections in one call: the types of ``_native*.c``.

Facts, dangers and what stands in each array are told there; `loadgen.engine.native` has the same
tables by name. Each array is of 64-bit integers, native and aligned, and can be written to. What
does not fit together is refused: ValueError or TypeError, before anything is read or sent.
"""

import sys
from typing import TypeAlias

from typing_extensions import Buffer

INTERFACE: int

_Batch: TypeAlias = tuple[bytes, int, int, int, bytes, int, int, int]
_Table: TypeAlias = tuple[Buffer, Buffer, tuple[_Batch, ...], Buffer, int]
# slots, slot_of (by descriptor), batches, what is read into, and the type of time stamps

if sys.platform == "linux":
    def wait_epoll(epoll: int, timeout_ns: int, events: Buffer, /) -> int:
        """Wait as epoll_wait(2), forever if timeout_ns < 0; return how many events are listed."""

if sys.platform == "darwin" or "bsd" in sys.platform:
    def wait_kqueue(queue: int, timeout_ns: int, events: Buffer, /) -> int:
        """Wait as kevent(2), forever if timeout_ns < 0; return how many events are listed."""

if sys.platform != "darwin":  # which has no ppoll(2)
    def wait_poll(
        watched: Buffer, count: int, timeout_ns: int, start: int, events: Buffer, /
    ) -> int:
        """Wait as ppoll(2) for ``count`` descriptors; those from ``start`` on are listed first."""

def wait_select(watched: Buffer, count: int, timeout_ns: int, start: int, events: Buffer, /) -> int:
    """Wait as pselect(2) for the same list; no descriptor may reach FD_SETSIZE."""

def receive(
    table: _Table,
    events: Buffer,
    first: int,
    last: int,
    out: tuple[Buffer, Buffer, Buffer],
    rows_filled: int,
    /,
) -> tuple[int, int, int, int]:
    """Read what is ready into (rows, replied, others).

    Returns which event is next, how many have replied, how many were handed back, and how many
    rows are filled.
    """

def send(table: _Table, who: Buffer, count: int, failed: Buffer, /) -> int:
    """Send a batch on each of these slots; return how many of them have failed."""

def submit(
    table: _Table,
    due: Buffer,
    count: int,
    sends: Buffer,
    sends_filled: int,
    failed: Buffer,
    /,
) -> tuple[int, int]:
    """Send the messages that are due; return how many sends are listed and how many have failed."""

def receive_datagrams(
    table: tuple[Buffer, int, int, int, Buffer],
    descriptor: int,
    most: int,
    unstamped_left: int,
    /,
) -> int:
    """Read datagrams, each into its part of the buffer; return how many, an error among them."""

def send_datagrams(
    descriptor: int, messages: tuple[bytes, ...], sent: Buffer, /
) -> tuple[int, int]:
    """Send each until one is not accepted; return how many were, and why that one was not."""
