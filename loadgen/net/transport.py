"""What a connection needs of a socket: the interface of transports, with TCP and UNIX sockets.

Facts. A stream socket in non-blocking mode sends and receives at once or raises BlockingIOError,
and the events that its user awaits are those of its descriptor. With a layer above it (TLS, a
proxy) neither holds: coming up takes several steps, to send may have to wait until something can be
read, and bytes that have left the kernel may wait inside the layer, where no selector sees them.

Decision. A transport says all of this itself: `progress` brings it up, `awaited` translates what
its user waits for into events of the descriptor, and `pending` tells of bytes inside. A plain
socket answers each of them with a constant, and its methods ``recv_into``, ``send`` and
``recvmsg_into`` are those of the socket: a message passes through no code of this module.
"""

import errno
import os
import select
import selectors
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

from loadgen.net import timestamps
from loadgen.net.address import refuse_self_connection
from loadgen.net.failure import ConnectionFailed, Phase
from loadgen.net.unpatched import has_original, original

NOTHING: Final = 0
READ: Final = selectors.EVENT_READ
WRITE: Final = selectors.EVENT_WRITE
READ_AND_WRITE: Final = READ | WRITE

ReceiveInto = Callable[[bytearray], int]
Send = Callable[[bytes | memoryview], int]
ReceiveMessageInto = Callable[[Sequence[bytearray], int], tuple[int, list[Any], int, Any]]


class Transport(Protocol):
    """A stream of bytes in both directions, without blocking.

    A selector registers it by its `fileno`.
    """

    @property
    def recv_into(self) -> ReceiveInto:
        """Read into a buffer; return the number of bytes, 0 at the end of the stream.

        Raises BlockingIOError if there are none yet, and OSError if the stream is broken.
        """
        ...

    @property
    def send(self) -> Send:
        """Accept some of the bytes; return how many. Raises as `recv_into` does."""
        ...

    @property
    def recvmsg_into(self) -> ReceiveMessageInto:
        """As ``socket.recvmsg_into``: read with control messages, such as a kernel timestamp."""
        ...

    @property
    def phase(self) -> Phase:
        """The phase of a failure while it comes up."""
        ...

    @property
    def pending(self) -> bool:
        """Whether bytes that no event will announce can be read."""
        ...

    def fileno(self) -> int:
        """Return the descriptor that a selector watches."""
        ...

    def progress(self) -> int:
        """Come up as far as possible; return the events to wait for, `NOTHING` when it is up.

        To be called when the events that it asked for have happened: `WRITE` the first time.
        Raises ConnectionFailed.
        """
        ...

    def awaited(self, interest: int) -> int:
        """Return the events to wait for where its user waits for ``interest``.

        They may change with each call of ``recv_into`` and ``send`` that raised BlockingIOError.
        """
        ...

    def has_news(self, interest: int) -> bool:
        """Whether any event of ``interest`` has happened that has not been handled yet."""
        ...

    def end_sending(self) -> None:
        """End our side of the stream; the other one may go on. Raises nothing: a read will tell."""
        ...

    def close(self) -> None:
        """Send the end of the stream, as far as that is possible at once, and release the socket.

        Raises nothing.
        """
        ...


def send_and_end(transport: Transport) -> Send:
    """Return its ``send``, which also ends our side where it accepts all that it is given."""

    def send(data: bytes | memoryview) -> int:
        size = transport.send(data)
        if size == len(data):
            transport.end_sending()
        return size

    return send


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """How each socket is set up; None leaves a buffer at the system's choice.

    stamp_every: every how many-th reply gets a kernel timestamp; 0 for none.
    """

    nagle: bool = False
    send_buffer_bytes: int | None = None
    receive_buffer_bytes: int | None = None
    stamp_every: int = 0


class SocketTransport:
    """A socket without anything above it; the base of those of TCP, UDP and UNIX streams."""

    __slots__ = ("socket",)

    kind: ClassVar[int] = socket.SOCK_STREAM
    under_way: ClassVar[frozenset[int]]
    """What connect(2) returns for a connect that has begun, and has not failed."""

    def __init__(self, sock: Any) -> None:
        self.socket = sock

    @classmethod
    def configure(cls, sock: Any, options: SocketOptions) -> None:
        """Set the options of a new socket. Raises OSError."""
        sock.setblocking(False)
        if options.stamp_every:
            timestamps.enable(sock)
        if options.send_buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, options.send_buffer_bytes)
        if options.receive_buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options.receive_buffer_bytes)

    @property
    def recv_into(self) -> ReceiveInto:
        """The method of the socket."""
        method: ReceiveInto = self.socket.recv_into
        return method

    @property
    def send(self) -> Send:
        """The method of the socket."""
        method: Send = self.socket.send
        return method

    @property
    def recvmsg_into(self) -> ReceiveMessageInto:
        """The method of the socket."""
        method: ReceiveMessageInto = self.socket.recvmsg_into
        return method

    @property
    def phase(self) -> Phase:
        """CONNECT."""
        return Phase.CONNECT

    @property
    def pending(self) -> bool:
        """False: all bytes are in the kernel."""
        return False

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        descriptor: int = self.socket.fileno()
        return descriptor

    def progress(self) -> int:
        """Return `NOTHING`, now that the socket is writable, if the connect has succeeded.

        SO_ERROR holds its result (connect(2)). Raises ConnectionFailed.
        """
        try:
            code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            self._check_peer()
        except OSError as error:
            raise ConnectionFailed.of(Phase.CONNECT, error) from error
        return NOTHING

    def _check_peer(self) -> None:
        """Raise OSError if it is connected to what is no server."""

    def awaited(self, interest: int) -> int:
        """Return ``interest``."""
        return interest

    def has_news(self, interest: int) -> bool:
        """Whether any event of ``interest`` has happened; `WRITE` alone: it is connected."""
        try:
            if interest == WRITE:
                self.socket.getpeername()  # ENOTCONN (getpeername(2)) until then
            elif not (interest & WRITE and self._has_room()):
                self.socket.recv(1, socket.MSG_PEEK)
        except OSError:
            return False
        return True

    def _has_room(self) -> bool:
        if not has_original("select", "poll"):
            return False
        poll = original("select", "poll")()
        poll.register(self.socket, select.POLLOUT)
        return bool(poll.poll(0))

    def end_sending(self) -> None:
        """Send the end of the stream (shutdown(2), SHUT_WR)."""
        with suppress(OSError):  # ENOTCONN: it never came up, or the peer was faster
            self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Send the end of the stream, as a well-behaved client does; close.

        A peer that has closed already is no error.
        """
        self.end_sending()
        self.socket.close()


class TcpTransport(SocketTransport):
    """A TCP socket."""

    __slots__ = ()

    # In progress, and the answers of other systems to a connect that does not block.
    under_way = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR})

    @classmethod
    def configure(cls, sock: Any, options: SocketOptions) -> None:
        """Set the options of a new socket, TCP_NODELAY unless Nagle's algorithm is asked for."""
        super().configure(sock, options)
        if not options.nagle:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _check_peer(self) -> None:
        refuse_self_connection(self.socket)


class UnixTransport(SocketTransport):
    """A UNIX stream socket: its connect is never in progress (connect(2): EAGAIN is a failure)."""

    __slots__ = ()

    under_way = frozenset({0, errno.EINPROGRESS, errno.EINTR})
