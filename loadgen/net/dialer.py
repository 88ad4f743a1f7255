"""Opening sockets to a target: socket options, and the start of a non-blocking connect.

The socket class is an argument, since a program that embeds the engine (Locust under gevent) may
have replaced `socket.socket`.
"""

import errno
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loadgen.net import timestamps
from loadgen.net.address import Endpoint
from loadgen.net.failure import (
    ConnectionFailed,
    Failure,
    Phase,
)

SocketFactory = Callable[[int, int], Any]
"""Makes a socket of (family, type): `socket.socket`, or something that behaves like one."""


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """How each socket is set up; None leaves a buffer at the system's choice.

    stamp_every: every how many-th reply gets a kernel timestamp; 0 for none.
    """

    nagle: bool = False
    send_buffer_bytes: int | None = None
    receive_buffer_bytes: int | None = None
    stamp_every: int = 0


class Dialer:
    """Makes configured, non-blocking sockets whose connect to one endpoint has begun."""

    def __init__(
        self, endpoint: Endpoint, options: SocketOptions, socket_factory: SocketFactory
    ) -> None:
        self.endpoint = endpoint
        self.stamp_every = options.stamp_every
        self._options = options
        self._socket_factory = socket_factory

    def dial(self) -> Any:
        """Return a socket whose connect has begun; it becomes writable when that has ended.

        Raises ConnectionFailed if it could not begin.
        """
        family, address = self.endpoint
        try:
            sock = self._socket_factory(family, socket.SOCK_STREAM)
        except OSError as error:
            raise ConnectionFailed(Failure.of(Phase.CONNECT, error), str(error)) from error
        try:
            self._configure(sock)
            code = sock.connect_ex(address)
            if code not in _UNDER_WAY or (code == errno.EAGAIN and family == socket.AF_UNIX):
                raise OSError(code, os.strerror(code))
        except OSError as error:
            sock.close()
            raise ConnectionFailed(Failure.of(Phase.CONNECT, error), str(error)) from error
        return sock

    def _configure(self, sock: Any) -> None:
        options = self._options
        sock.setblocking(False)
        if self.endpoint.family != socket.AF_UNIX and not options.nagle:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if options.stamp_every:
            timestamps.enable(sock)
        if options.send_buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, options.send_buffer_bytes)
        if options.receive_buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options.receive_buffer_bytes)


# connect(2): in progress, and the answers of other systems to a connect that does not block.
_UNDER_WAY = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR})
