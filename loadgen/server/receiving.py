"""Reading a request and when it arrived: by the kernel's receive timestamp, where there is one.

A request may wait in the socket's queue long before a busy or stalled server reads it. The kernel's
timestamp (`loadgen.net.timestamps`) says when the last byte of what a read returns came in;
accepted sockets inherit the option from the listener. It is a wall clock time, so its age is
computed at once and taken off the monotonic clock: only requests that are in the queue while the
wall clock is set get a wrong arrival time. Without a timestamp, a request arrives when it is read.

A read with a timestamp takes about 0.6 microseconds longer; only servers with delays or a residence
log ask for it.
"""

import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from loadgen.net import timestamps

Receive = Callable[[Any, list[bytearray]], tuple[int, int]]
"""Takes a socket, or what stands above it, and one buffer; returns the bytes read and when, by
`time.monotonic_ns`, the last of them arrived. Raises OSError as ``recv_into`` does."""


def receive_from(listener: socket.socket, cleanup: contextlib.ExitStack) -> Receive:
    """Return how to read from the connections that ``listener`` will accept.

    Arrival times are the kernel's if it gives them, otherwise those of reading. The kernel's
    timestamps stay on until ``cleanup``.
    """
    return _receive_stamped if stamps_of(listener, cleanup) else _receive_now


def stamps_of(sock: socket.socket, cleanup: contextlib.ExitStack) -> bool:
    """Have the kernel stamp what ``sock`` receives until ``cleanup``; return whether it does."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(timestamps.NoStampsError):
            cleanup.enter_context(timestamps.keep_stamping(time.time_ns))
            timestamps.enable(sock)
            return True
    return False


def _receive_now(connection: Any, buffers: list[bytearray]) -> tuple[int, int]:
    return connection.recv_into(buffers[0]), time.monotonic_ns()


def _receive_stamped(connection: Any, buffers: list[bytearray]) -> tuple[int, int]:
    received, ancillary, _, _ = connection.recvmsg_into(buffers, timestamps.ANCILLARY_BYTES)
    return received, arrived_ns(ancillary)


def arrived_ns(ancillary: Sequence[tuple[int, int, bytes]]) -> int:
    """Return when a read's bytes arrived by its control messages; without a stamp, now."""
    stamp_ns = timestamps.stamp_of(ancillary)
    # The wall clock first: a pause between the two makes the arrival later, never earlier.
    age_ns = 0 if stamp_ns <= 0 else max(0, time.time_ns() - stamp_ns)
    return time.monotonic_ns() - age_ns
