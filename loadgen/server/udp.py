"""The echo server over UDP: each datagram goes back to where it came from.

What differs from TCP: there are no connections, so that one socket is read and written, and the
answers to one peer do not wait for each other; with random delays they come in another order. An
answer that the kernel does not take at once is dropped, as any network might.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from typing import Any, Final

from loadgen.net.pacing import Ready
from loadgen.net.timestamps import ANCILLARY_BYTES
from loadgen.server.connections import BUFFER_BYTES, ServerConnections
from loadgen.server.delays import Sampler
from loadgen.server.echo import EchoServer
from loadgen.server.options import ServerOptions
from loadgen.server.receiving import arrived_ns, stamps_of
from loadgen.server.residence_log import ResidenceLog

_READS_AT_ONCE: Final = 64  # so that answers that become due are not late


def server_of(options: ServerOptions) -> EchoServer:
    """Return the server in this thread that ``options`` ask for. Raises as `EchoServer` does."""
    return UdpEchoServer(options) if options.udp else EchoServer(options)


class UdpEchoServer(EchoServer):
    """An echo server of datagrams, used as an `EchoServer` is; it counts no connections."""

    def _open_answers(self, cleanup: contextlib.ExitStack) -> "DatagramAnswers":
        options = self._options
        if options.is_timed:
            stamps_of(self._listener, cleanup)
        self._datagrams = DatagramAnswers(
            self._listener,
            self._handlers,
            self._peers,
            draw_delay_ns=options.delay.sampler(options.seed) if options.is_timed else None,
            residence_log=self._open_log(cleanup),
        )
        self._due = self._datagrams.due
        return self._datagrams

    def _accept(self) -> None:
        if self._first_accepted_ns is None:
            self._first_accepted_ns = time.monotonic_ns()
        self._datagrams.read(sink=self._options.sink)


class DatagramAnswers:
    """Echoes on ``sock``, each answer after a delay; counts bytes in ``counts``.

    ``handlers`` are called for all that is ready. draw_delay_ns: None to answer at once.
    `due` is a heap of (due_ns, number, arrived_ns, answer, address).
    """

    def __init__(
        self,
        sock: Any,
        handlers: Mapping[int, Callable[[], None]],
        counts: ServerConnections,
        *,
        draw_delay_ns: Sampler | None,
        residence_log: ResidenceLog | None,
    ) -> None:
        self._socket = sock
        self._handlers = handlers
        self._counts = counts
        self._draw_delay_ns = draw_delay_ns
        self._residence_log = residence_log
        self._number = 0  # equal times keep their order
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self.due: list[tuple[int, int, int, bytes, Any]] = []

    def handle(self, ready: Ready) -> None:
        """Send what is due; read what has come, and send what becomes due meanwhile."""
        self._answer_due()
        for key, _ in ready:
            self._handlers[key.fd]()
            self._answer_due()

    def read(self, *, sink: bool) -> None:
        """Read what has come, and answer it, at once or when it is due; a ``sink`` never."""
        for _ in range(_READS_AT_ONCE):
            try:
                size, ancillary, _, address = self._socket.recvmsg_into(
                    (self._buffer,), ANCILLARY_BYTES
                )
            except OSError:  # nothing more
                return
            self._counts.bytes_received += size
            if sink:
                continue
            if self._draw_delay_ns is None:
                self._send(self._view[:size], address)
                continue
            at_ns = arrived_ns(ancillary)
            self._number += 1
            answer = bytes(self._view[:size])
            due_ns = at_ns + self._draw_delay_ns()
            heappush(self.due, (due_ns, self._number, at_ns, answer, address))

    def _answer_due(self) -> None:
        while self.due and self.due[0][0] <= time.monotonic_ns():
            _, _, at_ns, answer, address = heappop(self.due)
            now_ns = time.monotonic_ns()
            if self._send(answer, address) and self._residence_log is not None:
                self._residence_log.append(now_ns - at_ns)

    def _send(self, answer: bytes | memoryview, address: Any) -> bool:
        try:
            self._counts.bytes_sent += self._socket.sendto(answer, address)
        except OSError:
            return False
        return True
