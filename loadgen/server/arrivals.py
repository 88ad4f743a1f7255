"""When a request arrived: by the kernel's own receive timestamp, where there is one.

Facts. A request that waits in the socket's queue has arrived long before a busy or stalled server
reads it. The kernel's stamp (`loadgen.net.timestamps`) says when the last byte of what a read
returns came in. Accepted sockets inherit the option from the listener.

Danger. Stamps are wall clock times, and somebody may set that clock.

Decision. A stamp is turned into an age at once and taken off the monotonic clock: only requests
that wait to be read while the clock is set get a wrong arrival. Without a stamp, a request arrives
when it is read.

Cost. A read with a stamp takes about 0.6 microseconds longer than one without; only servers that
need to know the arrival ask for it.
"""

import contextlib
import socket
import time
from collections.abc import Callable

from loadgen.net import timestamps

Receive = Callable[[socket.socket, list[bytearray]], tuple[int, int]]
"""Takes a socket and one buffer; returns the bytes read and when, by `time.monotonic_ns`, the last
of them arrived. Raises OSError as ``recv_into`` does."""


def receive_from(listener: socket.socket, cleanup: contextlib.ExitStack) -> Receive:
    """Return how to read from the connections that ``listener`` will accept.

    With arrival times by the kernel if it gives them, of reading if not. What keeps the kernel
    stamping lasts until ``cleanup``.
    """
    if listener.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(timestamps.NoStampsError):
            cleanup.enter_context(timestamps.keeper(time.time_ns))
            timestamps.ask(listener)
            return _receive_stamped
    return _receive_now


def _receive_now(connection: socket.socket, buffers: list[bytearray]) -> tuple[int, int]:
    return connection.recv_into(buffers[0]), time.monotonic_ns()


def _receive_stamped(connection: socket.socket, buffers: list[bytearray]) -> tuple[int, int]:
    received, ancillary, _, _ = connection.recvmsg_into(buffers, timestamps.ANCILLARY_BYTES)
    stamp_ns = timestamps.stamp_of(ancillary)
    # The wall clock first: what comes between the two makes an answer later, never too early.
    age_ns = 0 if stamp_ns == timestamps.MISSING else max(0, time.time_ns() - stamp_ns)
    return received, time.monotonic_ns() - age_ns
