"""The echo server on one selector, with known delays and stalls.

Every byte received is sent back on the same connection, in order. What the kernel does not take is
kept in user space, and meanwhile nothing more is read from that connection: TCP's back-pressure
holds up a peer that only sends. `EchoServer` runs in this thread; several on one port are in
`loadgen.server.processes`, the server as a program of its own in `loadgen.server.program`.
"""

import contextlib
import errno
import functools
import os
import socket
from collections.abc import Callable
from pathlib import Path
from selectors import EVENT_READ, BaseSelector
from typing import Any, Final, Protocol, Self

from loadgen.errors import UsageError
from loadgen.net import backends, pacing
from loadgen.net.clock import monotonic_ns
from loadgen.server.connections import Secure, ServerConnections, ServerCounts
from loadgen.server.delayed import DelayedAnswers
from loadgen.server.listener import address_of, open_listener
from loadgen.server.native import immediate_answers
from loadgen.server.options import ServerOptions
from loadgen.server.receiving import receive_from
from loadgen.server.residence_log import ResidenceLog
from loadgen.server.stalls import stalled_until_ns
from loadgen.units import seconds_to_ns

_ACCEPTS_PER_TURN: Final = 64  # so that many new connections do not stop the traffic

# Out of descriptors or of memory for them (accept(2)): what is not accepted waits in the backlog.
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_LONGEST_WAIT_S: Final = 3600.0  # the system calls refuse to wait for years
_EXHAUSTED_PAUSE_S: Final = 1.0  # then an idle server tries again, even if no connection closed


class Answers(Protocol):
    """What reads and answers."""

    def handle(self, ready: pacing.Ready) -> None:
        """Handle what is ready, and what is due."""
        ...


def _securing(options: ServerOptions) -> Secure | None:
    """Return what puts TLS above an accepted socket. Raises UsageError."""
    if not options.is_secure:
        return None
    from loadgen.server.certificate import securing  # noqa: PLC0415 - with OpenSSL

    return securing(options)


class EchoServer:
    """An echo server in this thread; it listens from its construction on, at ``address``.

    It takes ``selector`` over and closes it; without one it opens the backend that the options
    name. Raises UsageError if it cannot listen there or cannot write the residence log. Other
    threads may call only `stop` and `counts`.
    """

    def __init__(self, options: ServerOptions, selector: BaseSelector | None = None) -> None:
        self._options = options
        self._stalls = options.stalls
        self._selector = selector or backends.open_selector(options.backend)
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(self._selector.close)
            self._open(cleanup)
            self._cleanup = cleanup.pop_all()

    def _open(self, cleanup: contextlib.ExitStack) -> None:
        options = self._options
        self._listener = cleanup.enter_context(open_listener(options))
        if options.path:
            cleanup.callback(Path(options.path).unlink, missing_ok=True)
        self.address = address_of(self._listener, is_secure=options.is_secure)
        # Where a wait counts in milliseconds, polling would take a core; answers are late instead.
        precision = "precise" if pacing.is_fine(self._selector) else "eco"
        self._wait_until = pacing.waiting(precision, self._selector, monotonic_ns)
        # During a stall the server waits only for what tells it to stop.
        self._stop_selector = cleanup.enter_context(backends.open_selector(options.backend))
        self._wait_for_stop = pacing.waiting(precision, self._stop_selector, monotonic_ns)
        self._wake_receiver, self._wake_sender = socket.socketpair()
        cleanup.enter_context(self._wake_receiver)
        cleanup.enter_context(self._wake_sender).setblocking(False)
        self._handlers: dict[int, Callable[[], None]] = {self._listener.fileno(): self._accept}
        self._peers = ServerConnections(self._selector, _securing(options), is_tcp=not options.path)
        self._due: list[Any] = []  # a heap: when each is due stands first
        self._answers = self._open_answers(cleanup)
        self._first_accepted_ns: int | None = None
        self._closed_when_exhausted = 0
        self._stopping = False
        self._resume_accepting()
        self.stop_at_end_of(self._wake_receiver.fileno())
        cleanup.callback(self._peers.close)

    def _open_answers(self, cleanup: contextlib.ExitStack) -> Answers:
        options = self._options
        if not options.is_timed:
            return immediate_answers(options, self._peers, self._handlers)
        delayed = DelayedAnswers(
            self._peers,
            self._handlers,
            receive=receive_from(self._listener, cleanup),
            draw_delay_ns=options.delay.sampler(options.seed),
            residence_log=self._open_log(cleanup),
        )
        self._due = delayed.due
        return delayed

    def _open_log(self, cleanup: contextlib.ExitStack) -> ResidenceLog | None:
        if self._options.ledger is None:
            return None
        log = ResidenceLog(self._options.ledger, is_shared=self._options.processes > 1)
        cleanup.callback(log.close)
        return log

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def counts(self) -> ServerCounts:
        """What the server did so far; after `close` every accepted connection counts as closed."""
        return self._peers.counts

    def serve(self) -> None:
        """Serve until `stop` is called. Raises LoadgenError if the log cannot be written."""
        while not self._stopping:
            self.turn()

    def stop(self) -> None:
        """Ask `serve` to return: safe in a signal handler, in another thread, more than once."""
        self._stopping = True
        with contextlib.suppress(OSError):  # full of earlier requests, or closed already
            self._wake_sender.send(b"\0")

    def stop_at_end_of(self, descriptor: int) -> None:
        """Stop when ``descriptor``, a pipe or socket, is at its end; its data is dropped.

        Raises UsageError for a file that cannot be waited for (epoll_ctl(2), EPERM).
        """
        try:
            for selector in (self._selector, self._stop_selector):
                selector.register(descriptor, EVENT_READ)
        except PermissionError as error:
            raise UsageError(
                f"descriptor {descriptor}: its end cannot be waited for; give a pipe or a socket"
            ) from error
        self._handlers[descriptor] = functools.partial(self._look_for_end, descriptor)

    def turn(self, timeout_s: float | None = None) -> None:
        """Wait up to ``timeout_s`` seconds (None: for ever), then handle what is ready, once.

        If a stall has begun by then, it is waited out first, unless the server is told to stop.
        """
        ready = self._wait(timeout_s)
        if self._stalls and self._stalled_until_ns():
            self._sit_out_stall()
            if self._stopping:
                return
        self._answers.handle(ready)
        if not self._accepting and (not ready or self._peers.closed > self._closed_when_exhausted):
            self._resume_accepting()

    def close(self) -> None:
        """Close every connection, the listener and the selector; remove the UNIX socket's file.

        The rest of the residence log is written. Raises LoadgenError if it cannot be.
        """
        self._cleanup.close()

    def _wait(self, timeout_s: float | None) -> pacing.Ready:
        if not self._accepting and (timeout_s is None or timeout_s > _EXHAUSTED_PAUSE_S):
            timeout_s = _EXHAUSTED_PAUSE_S
        if not self._due:
            return self._selector.select(timeout_s)
        longest_s = _LONGEST_WAIT_S if timeout_s is None else timeout_s
        until_ns = min(self._due[0][0], monotonic_ns() + seconds_to_ns(longest_s))
        while not (ready := self._wait_until(self._selector, until_ns)):
            if monotonic_ns() >= until_ns:
                break
        return ready

    def _stalled_until_ns(self) -> int:
        """Return the monotonic time at which the present stall ends; 0 without one."""
        if self._first_accepted_ns is None:
            return 0
        elapsed_ns = monotonic_ns() - self._first_accepted_ns
        until_ns = stalled_until_ns(self._stalls, elapsed_ns)
        return self._first_accepted_ns + until_ns if until_ns > elapsed_ns else 0

    def _sit_out_stall(self) -> None:
        while not self._stopping and (until_ns := self._stalled_until_ns()):
            for key, _ in self._wait_for_stop(self._stop_selector, until_ns):
                self._handlers[key.fd]()

    def _look_for_end(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, 4096)
        except OSError:
            data = b""
        if not data:
            for selector in (self._selector, self._stop_selector):
                selector.unregister(descriptor)
            self.stop()

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                accepted, _address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    # The listener stays readable: left registered, it would end every wait at once.
                    self._accepting = False
                    self._closed_when_exhausted = self._peers.closed
                    self._selector.unregister(self._listener)
                    return
                continue  # the connection failed before it was accepted (accept(2))
            if self._first_accepted_ns is None:
                self._first_accepted_ns = monotonic_ns()
            self._peers.admit(accepted)

    def _resume_accepting(self) -> None:
        self._accepting = True
        self._selector.register(self._listener, EVENT_READ)
