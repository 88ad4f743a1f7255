"""Opening transports to a target: a configured socket whose non-blocking connect has begun.

The socket class is an argument, since a program that embeds the engine (Locust under gevent) may
have replaced `socket.socket`.
"""

import os
from collections.abc import Callable
from typing import Any, Protocol

from loadgen.net.address import Endpoint
from loadgen.net.failure import (
    ConnectionFailed,
    Phase,
)
from loadgen.net.transport import (
    SocketOptions,
    SocketTransport,
    TcpTransport,
    Transport,
    UnixTransport,
)

SocketFactory = Callable[[int, int], Any]
"""Makes a socket of (family, type): `socket.socket`, or something that behaves like one."""


class Dialer(Protocol):
    """Makes transports to one endpoint, whose connect has begun.

    stamp_every: every how many-th reply gets a kernel timestamp; 0 for none. is_layered: whether
    the transports have a layer above the socket, whose events and bytes are its own.
    """

    stamp_every: int
    is_layered: bool

    def dial(self) -> Transport:
        """Return a transport whose connect has begun; it becomes writable when that has ended.

        Raises ConnectionFailed if it could not begin.
        """
        ...


class EndpointDialer(Dialer, Protocol):
    """A dialer that says where it leads to."""

    endpoint: Endpoint


class SocketDialer:
    """Makes plain sockets to ``endpoint``."""

    is_layered = False

    def __init__(
        self, endpoint: Endpoint, options: SocketOptions, socket_factory: SocketFactory
    ) -> None:
        self.endpoint = endpoint
        self.stamp_every = options.stamp_every
        self._options = options
        self._socket_factory = socket_factory
        self._transport: type[SocketTransport] = UnixTransport if endpoint.is_unix else TcpTransport

    def dial(self) -> SocketTransport:
        """Return a transport whose connect has begun, as `Dialer.dial` does."""
        family, address = self.endpoint
        try:
            sock = self._socket_factory(family, self._transport.kind)
        except OSError as error:
            raise ConnectionFailed.of(Phase.CONNECT, error) from error
        try:
            self._transport.configure(sock, self._options)
            code = sock.connect_ex(address)
            if code not in self._transport.under_way:
                raise OSError(code, os.strerror(code))
        except OSError as error:
            sock.close()
            raise ConnectionFailed.of(Phase.CONNECT, error) from error
        return self._transport(sock)
