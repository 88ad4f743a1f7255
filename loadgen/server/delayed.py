"""Delayed answers: each is sent when it is due, and its residence time is logged.

The server knows no framing: a message is what one read returns. Its answer is due a delay after its
last byte arrived, and its residence time lasts from that arrival until just before the ``send``
that took its last byte. On one connection the answers keep the order of the requests, as a byte
stream must: an answer that is due before the one ahead of it waits, and that wait is part of its
residence time.

An answer must not be late because this loop is busy with reading. So what is due is sent before
anything is read, and again after every event. One timer heap holds, for each connection, when the
first of its answers is due; later ones are checked once that one is sent. A connection whose socket
buffer is full is not in the heap: it goes on when it is writable. The cost is four clock reads, a
copy and two heap operations a message.
"""

import time
from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from selectors import EVENT_READ, EVENT_WRITE

from loadgen.net.pacing import Ready
from loadgen.server.connections import (
    BUFFER_BYTES,
    PENDING_BYTES,
    ServerConnection,
    ServerConnections,
)
from loadgen.server.delays import Sampler
from loadgen.server.receiving import Receive
from loadgen.server.residence_log import ResidenceLog


class DelayedAnswers:
    """Echoes on ``peers``, each answer after a delay; `due` holds (due_ns, number, peer), a heap.

    ``handlers`` are called for all other descriptors.
    """

    def __init__(
        self,
        peers: ServerConnections,
        handlers: Mapping[int, Callable[[], None]],
        *,
        receive: Receive,
        draw_delay_ns: Sampler,
        residence_log: ResidenceLog | None,
    ) -> None:
        self._peers = peers
        self._handlers = handlers
        self._receive_into = receive
        self._draw_delay_ns = draw_delay_ns
        self._residence_log = residence_log
        self._buffers = [bytearray(BUFFER_BYTES)]
        self._view = memoryview(self._buffers[0])
        self.due: list[tuple[int, int, ServerConnection]] = []

    def handle(self, ready: Ready) -> None:
        """Send what is due; read what has come, and send what becomes due meanwhile."""
        due, now_ns = self.due, time.monotonic_ns
        self._answer_due()
        for key, events in ready:
            peer = key.data
            if peer is None:
                self._handlers[key.fd]()
            elif not peer.is_open:
                continue
            elif events & EVENT_WRITE:
                self._answer(peer)
            else:
                self._receive(peer)
            if due and due[0][0] <= now_ns():
                self._answer_due()

    def _receive(self, peer: ServerConnection) -> None:
        try:
            received, arrived_ns = self._receive_into(peer.socket, self._buffers)
        except BlockingIOError:
            return
        except OSError:
            self._peers.drop(peer)
            return
        if not received:
            peer.ended = True
            self._peers.settle(peer)
            return
        self._peers.bytes_received += received
        due_ns = arrived_ns + self._draw_delay_ns()
        if not peer.answers:
            heappush(self.due, (due_ns, peer.number, peer))
        peer.answers.append((due_ns, arrived_ns, bytes(self._view[:received])))
        peer.pending_bytes += received
        if peer.pending_bytes + BUFFER_BYTES > PENDING_BYTES:
            self._peers.settle(peer)

    def _answer_due(self) -> None:
        while self.due and self.due[0][0] <= time.monotonic_ns():
            _, _, peer = heappop(self.due)
            if peer.is_open:
                self._answer(peer)

    def _answer(self, peer: ServerConnection) -> None:
        """Send what is due on one connection, in order; a blocked one is tried again."""
        answers = peer.answers
        peer.is_blocked = False
        while answers and not peer.is_blocked:
            due_ns, arrived_ns, answer = answers[0]
            now_ns = time.monotonic_ns()
            if due_ns > now_ns:
                heappush(self.due, (due_ns, peer.number, peer))
                break
            try:
                sent = peer.send(answer)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._peers.drop(peer)
                return
            self._peers.bytes_sent += sent
            peer.pending_bytes -= sent
            if sent < len(answer):
                answers[0] = (due_ns, arrived_ns, memoryview(answer)[sent:])
                peer.is_blocked = True
            else:
                answers.popleft()
                if self._residence_log is not None:
                    self._residence_log.append(now_ns - arrived_ns)
        if peer.is_blocked or peer.interest != EVENT_READ:
            self._peers.settle(peer)
