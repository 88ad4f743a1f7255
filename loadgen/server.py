"""The embedded target: an echo server on one selector, with known delays.

Every byte received is sent back on the connection that it came by, in the order in which it came.
What the kernel does not take waits in user space, and while anything does, nothing more is read
from that connection: a peer that only sends is held up by TCP itself. `EchoServer` is one such
server in this thread; several on one port, and the server as a program of its own, are in
`loadgen.server_processes`.
"""

import contextlib
import errno
import functools
import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, SelectorKey
from typing import Final, Self

import msgspec

from loadgen.core import backends
from loadgen.errors import UsageError
from loadgen.server_listener import ServerOptions, address_of, open_listener
from loadgen.units import ns_to_seconds

__all__ = ["EchoServer", "ServerCounts", "ServerOptions"]

BUFFER_BYTES: Final = 256 * 1024
"""Bytes that one read takes at most."""

PENDING_BYTES: Final = 1024 * 1024
"""Bytes of one connection that are received and not yet sent: at most."""

_ACCEPTS_PER_TURN: Final = 64  # so that a storm of connections does not stop the traffic

# Out of descriptors or of memory for them (accept(2)): what is not accepted waits in the backlog.
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_EXHAUSTED_PAUSE_S: Final = 1.0  # then an idle server tries again, even if no connection closed


class ServerCounts(msgspec.Struct, frozen=True):
    """What a server did: connections accepted and closed, bytes received and sent. They add up."""

    accepted: int = 0
    closed: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0

    def __add__(self, other: "ServerCounts") -> "ServerCounts":
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return ServerCounts(*(mine + theirs for mine, theirs in pairs))


class _Connection:
    """One accepted socket, with what it has still to send: at once (unsent) or later (held)."""

    __slots__ = ("ended", "held_bytes", "interest", "recv_into", "send", "socket", "unsent")

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.recv_into = accepted.recv_into
        self.send = accepted.send
        self.unsent = bytearray()
        self.held_bytes = 0
        self.ended = False
        self.interest = 0


class EchoServer:
    """An echo server in this thread; it listens from its construction on, at ``address``.

    It takes ``selector`` over and closes it; without one it opens the backend that the options
    name. Raises UsageError if it cannot listen there. Only `stop` and `counts` are for others.
    """

    def __init__(self, options: ServerOptions, selector: BaseSelector | None = None) -> None:
        self._options = options
        self._selector = selector or backends.open_selector(options.backend)
        try:
            self._listener = open_listener(options)
        except UsageError:
            self._selector.close()
            raise
        self.address = address_of(self._listener)
        self._selector_descriptor = getattr(self._selector, "fileno", lambda: backends.FD_SETSIZE)()
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._answer = self._hold if options.delay_ns else self._send
        self._connections: set[_Connection] = set()
        self._held: deque[tuple[int, _Connection, bytes]] = deque()  # (due_ns, whose, answer)
        self._accepted = self._closed = self._bytes_received = self._bytes_sent = 0
        self._accepting = self._stopping = self._is_closed = False
        self._handlers: dict[int, Callable[[], None]] = {self._listener.fileno(): self._accept}
        self._resume_accepting()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_sender.setblocking(False)
        self.stop_at_end_of(self._wake_receiver.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def counts(self) -> ServerCounts:
        """What the server did so far; after `close` every accepted connection is closed too."""
        return ServerCounts(self._accepted, self._closed, self._bytes_received, self._bytes_sent)

    def serve(self) -> None:
        """Serve until `stop` is called."""
        while not self._stopping:
            self.turn()

    def stop(self) -> None:
        """Ask `serve` to return: safe in a signal handler, in another thread, more than once."""
        self._stopping = True
        with contextlib.suppress(OSError):  # full of earlier requests, or closed already
            self._wake_sender.send(b"\0")

    def stop_at_end_of(self, descriptor: int) -> None:
        """Stop when ``descriptor``, a pipe or socket, is at its end; what comes by it is dropped.

        Raises UsageError for a file that cannot be waited for (epoll_ctl(2), EPERM).
        """
        try:
            self._selector.register(descriptor, EVENT_READ)
        except PermissionError as error:
            raise UsageError(
                f"descriptor {descriptor}: its end cannot be waited for; give a pipe or a socket"
            ) from error
        self._handlers[descriptor] = functools.partial(self._look_for_end, descriptor)

    def turn(self, timeout_s: float | None = None) -> None:
        """Wait up to ``timeout_s`` seconds (None: for ever), then handle what is ready, once."""
        ready = self._wait(timeout_s)
        buffer, view, answer = self._buffer, self._view, self._answer
        sink, write_event = self._options.sink, EVENT_WRITE
        for key, events in ready:
            connection = key.data
            if connection is None:
                self._handlers[key.fd]()
            elif events & write_event:
                self._send(connection, connection.unsent)
            else:
                try:
                    received = connection.recv_into(buffer)
                except BlockingIOError:
                    continue
                except OSError:
                    self._drop(connection)
                    continue
                self._bytes_received += received
                if not received:
                    connection.ended = True
                    self._settle(connection)
                elif not sink:
                    answer(connection, view[:received])
        if self._held:
            # Last, because it may close connections, and one that is ready must be open.
            self._answer_due()

    def close(self) -> None:
        """Close every connection, the listener and the selector; remove the UNIX socket's file."""
        if self._is_closed:
            return
        self._is_closed = True
        for connection in list(self._connections):
            self._drop(connection)
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
        self._selector.close()
        for ours in (self._listener, self._wake_receiver, self._wake_sender):
            ours.close()
        if self._options.path:
            Path(self._options.path).unlink(missing_ok=True)

    def _wait(self, timeout_s: float | None) -> list[tuple[SelectorKey, int]]:
        if not self._accepting and (timeout_s is None or timeout_s > _EXHAUSTED_PAUSE_S):
            timeout_s = _EXHAUSTED_PAUSE_S
        if self._held:
            due_s = max(0.0, ns_to_seconds(self._held[0][0] - time.monotonic_ns()))
            if timeout_s is None or due_s < timeout_s:
                timeout_s = due_s
                if due_s and self._selector_descriptor < backends.FD_SETSIZE:
                    # epoll_wait(2) counts in milliseconds and Python rounds up; select(2) does not.
                    select.select([self._selector_descriptor], [], [], due_s)
                    timeout_s = 0.0
        ready = self._selector.select(timeout_s)
        if not ready and not self._accepting:
            self._resume_accepting()
        return ready

    def _look_for_end(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, 4096)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(descriptor)
            self.stop()

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                accepted, _address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    # The listener stays readable: watched on, it would end every wait at once.
                    self._accepting = False
                    self._selector.unregister(self._listener)
                    return
                continue  # the connection failed before it was accepted (accept(2))
            self._admit(accepted)

    def _admit(self, accepted: socket.socket) -> None:
        self._accepted += 1
        connection = _Connection(accepted)
        self._connections.add(connection)
        try:
            accepted.setblocking(False)
            if not self._options.path:
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._settle(connection)
        except OSError:
            self._drop(connection)

    def _resume_accepting(self) -> None:
        self._accepting = True
        self._selector.register(self._listener, EVENT_READ)

    def _hold(self, connection: _Connection, request: memoryview) -> None:
        due_ns = time.monotonic_ns() + self._options.delay_ns
        self._held.append((due_ns, connection, bytes(request)))
        connection.held_bytes += len(request)
        self._settle(connection)

    def _answer_due(self) -> None:
        # The delay is the same for all, so that the first to come is the first to be due.
        held, now_ns = self._held, time.monotonic_ns()
        for _ in range(min(len(held), backends.TURN_EVENTS)):
            if held[0][0] > now_ns:
                return
            _, connection, answer = held.popleft()
            connection.held_bytes -= len(answer)
            if connection in self._connections:
                connection.unsent += answer
                self._send(connection, connection.unsent)

    def _send(self, connection: _Connection, answer: memoryview | bytearray) -> None:
        try:
            sent = connection.send(answer)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(connection)
            return
        self._bytes_sent += sent
        if connection.unsent or sent < len(answer):
            connection.unsent = bytearray(answer[sent:])
            self._settle(connection)

    def _settle(self, connection: _Connection) -> None:
        # Watch for whatever can move the connection on; close it if nothing is left to do.
        full = connection.held_bytes + BUFFER_BYTES > PENDING_BYTES
        if connection.unsent:
            interest = EVENT_WRITE
        elif connection.ended and not connection.held_bytes:
            self._drop(connection)
            return
        else:
            interest = 0 if connection.ended or full else EVENT_READ
        if interest != connection.interest:
            self._watch(connection, interest)

    def _watch(self, connection: _Connection, interest: int) -> None:
        if not interest:
            self._selector.unregister(connection.socket)
        elif connection.interest:
            self._selector.modify(connection.socket, interest, connection)
        else:
            self._selector.register(connection.socket, interest, connection)
        connection.interest = interest

    def _drop(self, connection: _Connection) -> None:
        if connection.interest:
            self._watch(connection, 0)
        connection.socket.close()
        self._connections.remove(connection)
        self._closed += 1
        if not self._accepting:
            self._resume_accepting()
