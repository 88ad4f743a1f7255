"""Immediate answers: what a connection has sent goes back before the next connection is read.

A load generator is measured with this, so it costs as little as possible: one ``recv_into`` and one
``send`` a message, no clock read and no new object.
"""

from collections.abc import Callable, Mapping
from selectors import EVENT_WRITE

from loadgen.net.pacing import Ready
from loadgen.server.connections import BUFFER_BYTES, ServerConnection, ServerConnections


class ImmediateAnswers:
    """Echoes on ``peers``; ``handlers`` are called for all other descriptors."""

    def __init__(
        self, peers: ServerConnections, handlers: Mapping[int, Callable[[], None]], *, sink: bool
    ) -> None:
        self._peers = peers
        self._handlers = handlers
        self._sink = sink
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)

    def handle(self, ready: Ready) -> None:
        """Read what has come, and send it back; go on with answers that the kernel did not take."""
        peers, buffer, view = self._peers, self._buffer, self._view
        sink, send, write_event = self._sink, self._send, EVENT_WRITE
        for key, events in ready:
            peer = key.data
            if peer is None:
                self._handlers[key.fd]()
            elif events & write_event:
                send(peer, peer.unsent)
            else:
                try:
                    received = peer.recv_into(buffer)
                except BlockingIOError:
                    continue
                except OSError:
                    peers.drop(peer)
                    continue
                peers.bytes_received += received
                if not received:
                    peer.ended = True
                    peers.settle(peer)
                elif not sink:
                    send(peer, view[:received])

    def _send(self, peer: ServerConnection, answer: memoryview | bytes) -> None:
        try:
            sent = peer.send(answer)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._peers.drop(peer)
            return
        self._peers.bytes_sent += sent
        if peer.is_blocked or sent < len(answer):
            peer.unsent = bytes(answer[sent:])
            peer.pending_bytes = len(peer.unsent)
            peer.is_blocked = bool(peer.unsent)
            self._peers.settle(peer)
