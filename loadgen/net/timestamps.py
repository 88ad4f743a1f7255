"""Kernel receive timestamps: when a reply arrived, by the kernel's own clock.

Facts. Linux notes the time at which a segment comes in and hands it out with the bytes, where the
socket asks for it (SO_TIMESTAMPNS, socket(7), as a control message of recvmsg(2)). However long the
bytes then wait for a busy process, that time stands. It is wall clock time. A read returns the
stamp of the newest segment that it touched (net/ipv4/tcp.c), so that it belongs to the last whole
message of that read, if nothing follows it; for the messages before, it is an upper bound.

Danger. The kernel switches stamping on when the first socket of the machine asks for it, and takes
up to a millisecond; what arrives before has no stamp. `keep_stamping` asks early, waits until a
stamp comes, and holds the option for as long as the run lasts. UNIX sockets have no stamps. A
control message may be missing or cut short; that is counted, and never mistaken for a time.

Decision. A stamp is an integer: nanoseconds of the wall clock, or one of the three constants below,
which are not times. What replaces a socket (TLS over a memory BIO, for example) must offer
``recvmsg_into`` with the same result: the plain bytes, and the control messages of the raw read.
"""

import contextlib
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

from loadgen.net.clock import Clock
from loadgen.units import NS_PER_S

NOT_ASKED: Final = 0
MISSING: Final = -1
UPPER_BOUND: Final = -2

# SO_TIMESTAMPNS_NEW, 64, has 64-bit seconds on 32-bit machines too (asm-generic/socket.h).
OPTION: Final = 35 if sys.maxsize > 2**32 else 64

STAMP_BYTES: Final = 16
ANCILLARY_BYTES: Final = 32
"""Room for one control message with a stamp: CMSG_SPACE(16) (cmsg(3))."""

unpack: Final = struct.Struct("qq").unpack  # seconds, nanoseconds

_PATIENCE_S: Final = 0.05
_TRIES: Final = 10_000


class NoStampsError(Exception):
    """This kernel gives no timestamps; the text says why."""


def enable(sock: Any) -> None:
    """Enable receive timestamps on ``sock``. Raises OSError where the system has none."""
    sock.setsockopt(socket.SOL_SOCKET, OPTION, 1)


def stamp_of(ancillary: Sequence[tuple[int, int, bytes]]) -> int:
    """Return the stamp among the control messages of one read, or `MISSING`."""
    try:
        seconds, nanoseconds = unpack(ancillary[0][2])
    except (IndexError, struct.error):
        return MISSING
    stamp_ns: int = seconds * NS_PER_S + nanoseconds
    return stamp_ns


def bound_by(stamp_ns: int) -> int:
    """Return the stamp of a reply that arrived at ``stamp_ns`` or before."""
    return UPPER_BOUND if stamp_ns > 0 else stamp_ns


@contextlib.contextmanager
def keep_stamping(wall_clock: Clock) -> Iterator[None]:
    """Keep the kernel's timestamps on for as long as the ``with`` lasts; a self-test comes first.

    Raises NoStampsError if no stamp comes between a send and its read within some 50 ms.
    """
    if not sys.platform.startswith("linux"):
        raise NoStampsError(f"the kernel of {sys.platform} stamps no TCP segments")
    with contextlib.ExitStack() as stack:
        try:
            sender, receiver = _pair(stack)
            enable(receiver)
            _wait_for_stamp(sender, receiver, wall_clock)
        except OSError as error:
            raise NoStampsError(f"the self-test could not be made: {error}") from error
        yield


def _pair(stack: contextlib.ExitStack) -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a connection over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_PATIENCE_S)
        sender = stack.enter_context(socket.socket())
        sender.settimeout(_PATIENCE_S)
        sender.connect(listener.getsockname())
        receiver = stack.enter_context(listener.accept()[0])
    sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    receiver.settimeout(_PATIENCE_S)
    return sender, receiver


def _wait_for_stamp(sender: socket.socket, receiver: socket.socket, wall_clock: Clock) -> None:
    buffer = bytearray(1)
    began_ns = wall_clock()
    for _ in range(_TRIES):
        before_ns = wall_clock()
        sender.send(b"?")
        _, ancillary, _, _ = receiver.recvmsg_into([buffer], ANCILLARY_BYTES)
        after_ns = wall_clock()
        if before_ns <= stamp_of(ancillary) <= after_ns:
            return
        if after_ns - began_ns > _PATIENCE_S * NS_PER_S:
            break
    raise NoStampsError("no stamp came with the bytes of the self-test")
