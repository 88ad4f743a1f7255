"""The open connections of a server: what each has still to send, and what it waits for."""

import socket
from collections import deque
from collections.abc import Callable
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector
from typing import Any, Final

import msgspec

Secure = Callable[[socket.socket], Any]
"""Returns what stands above an accepted socket, and is used in its place."""

BUFFER_BYTES: Final = 256 * 1024
"""Bytes that one read takes at most."""

PENDING_BYTES: Final = 1024 * 1024
"""Bytes of one connection that are received and not yet sent: at most."""


class ServerCounts(msgspec.Struct, frozen=True):
    """What a server did: connections accepted and closed, bytes received and sent. They add up."""

    accepted: int = 0
    closed: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0

    def __add__(self, other: "ServerCounts") -> "ServerCounts":
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return ServerCounts(*(mine + theirs for mine, theirs in pairs))


class ServerConnection:
    """One accepted socket, or what stands above it and takes its place.

    number: unique among the connections of a server.
    pending_bytes: received and not yet sent; is_blocked: the kernel did not take some of them.
    unsent: the rest of an immediate answer; answers: (due_ns, arrived_ns, answer), in order.
    ended: the peer will send no more; is_open: the socket is not closed yet.
    """

    __slots__ = (
        *("answers", "ended", "interest", "is_blocked", "is_open", "number", "pending_bytes"),
        *("recv_into", "send", "socket", "unsent"),
    )

    def __init__(self, accepted: Any, number: int) -> None:
        self.socket = accepted
        self.number = number
        self.recv_into = accepted.recv_into
        self.send = accepted.send
        self.pending_bytes = 0
        self.is_blocked = False
        self.unsent: bytes = b""
        self.answers: deque[tuple[int, int, bytes | memoryview]] = deque()
        self.ended = False
        self.is_open = True
        self.interest = 0


class ServerConnections:
    """All open connections of a server, on ``selector``; its users add to ``bytes_*``.

    secure: puts TLS above each; None if none is spoken.
    """

    def __init__(
        self, selector: BaseSelector, secure: Secure | None = None, *, is_tcp: bool
    ) -> None:
        self._secure = secure
        self._selector = selector
        self._is_tcp = is_tcp
        self._open: set[ServerConnection] = set()
        self.accepted = self.closed = self.bytes_received = self.bytes_sent = 0

    @property
    def counts(self) -> ServerCounts:
        """What was done so far."""
        return ServerCounts(self.accepted, self.closed, self.bytes_received, self.bytes_sent)

    def admit(self, accepted: socket.socket) -> None:
        """Add a new connection, and wait for what it sends."""
        self.accepted += 1
        above = accepted if self._secure is None else self._secure(accepted)
        peer = ServerConnection(above, self.accepted)
        self._open.add(peer)
        try:
            accepted.setblocking(False)
            if self._is_tcp:
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.settle(peer)
        except OSError:
            self.drop(peer)

    def settle(self, peer: ServerConnection) -> None:
        """Register the events that ``peer`` needs now; close it if nothing is left to do."""
        if peer.is_blocked:
            interest = EVENT_WRITE
        elif peer.ended and not peer.pending_bytes:
            self.drop(peer)
            return
        else:
            full = peer.pending_bytes + BUFFER_BYTES > PENDING_BYTES
            interest = 0 if peer.ended or full else EVENT_READ
        if interest != peer.interest:
            self._register(peer, interest)

    def drop(self, peer: ServerConnection) -> None:
        """Close ``peer``, whatever it has still to send."""
        if peer.interest:
            self._register(peer, 0)
        peer.socket.close()
        peer.is_open = False
        peer.answers.clear()
        self._open.remove(peer)
        self.closed += 1

    def close(self) -> None:
        """Drop all."""
        for peer in list(self._open):
            self.drop(peer)

    def _register(self, peer: ServerConnection, interest: int) -> None:
        if not interest:
            self._selector.unregister(peer.socket)
        elif peer.interest:
            self._selector.modify(peer.socket, interest, peer)
        else:
            self._selector.register(peer.socket, interest, peer)
        peer.interest = interest
