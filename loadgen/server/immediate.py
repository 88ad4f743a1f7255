"""Answers at once: what came is sent back before the next connection is read.

This is what a load generator is measured with: one ``recv_into`` and one ``send`` a message, and
neither a clock read nor an object made.
"""

from collections.abc import Callable, Mapping
from selectors import EVENT_WRITE

from loadgen.net.pacing import Ready
from loadgen.server.connections import BUFFER_BYTES, ServerConnection, ServerConnections


class ImmediateAnswers:
    """Echoes on ``peers``; ``handlers`` serve the descriptors that are no peer's."""

    def __init__(
        self, peers: ServerConnections, handlers: Mapping[int, Callable[[], None]], *, sink: bool
    ) -> None:
        self._peers = peers
        self._handlers = handlers
        self._sink = sink
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)

    def handle(self, ready: Ready) -> None:
        """Read what has come, and send it back; send on where the kernel had enough before."""
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
