"""Connections whose replies carry the kernel's time of arrival, over TCP on loopback."""

import select
import socket
import time
from typing import Any

import pytest
from stepped_engine import DEADLINE_S, Wire, socket_of

from loadgen.engine.conversation import Conversation
from loadgen.engine.stamped import StampedChannel
from loadgen.net import timestamps
from loadgen.net.clock import wall_ns
from loadgen.net.timestamps import MISSING, NOT_ASKED, UPPER_BOUND

STEADY = (b"ping",)
GENERAL = (b"ping", b"pong")
BOTH_PATHS = pytest.mark.parametrize("payloads", [STEADY, GENERAL], ids=["steady", "general"])


class StampedWire(Wire):
    """As `Wire`, over TCP and with stamps. To be used while the kernel is kept stamping.

    The clock is the wall clock, so that sent, stamped and read can be compared. A read waits until
    what is awaited has arrived.
    """

    def __init__(
        self,
        talk: Conversation,
        stamp_every: int = 1,
        buffer_bytes: int = 65536,
        index: int = 0,
    ) -> None:
        self._stamp_every, self._index = stamp_every, index
        super().__init__(talk)
        self._buffer = bytearray(buffer_bytes)
        self.unread_bytes = 0

    def channel_of(self, talk: Conversation) -> StampedChannel:
        return StampedChannel(self._index, talk, wall_ns, self, self._stamp_every)

    def pair(self) -> tuple[Any, socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = socket.create_connection(listener.getsockname(), DEADLINE_S)
            peer = listener.accept()[0]
        timestamps.enable(ours)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return ours, peer

    def arrive(self, *segments: bytes) -> None:
        """Let the peer send each of ``segments`` by itself, and each arrive before the next."""
        for segment in segments:
            self.peer.sendall(segment)
            self.unread_bytes += len(segment)
            deadline_s = time.monotonic() + DEADLINE_S
            while len(self.peek()) < self.unread_bytes:
                assert time.monotonic() < deadline_s, "it never arrived"

    def peek(self) -> bytes:
        sock = socket_of(self.connection)
        assert select.select([sock], [], [], DEADLINE_S)[0]
        seen: bytes = sock.recv(65536, socket.MSG_PEEK)
        return seen

    def receive(self) -> bool:
        before_bytes = self.connection.bytes_received
        has_reply = super().receive()
        self.unread_bytes -= self.connection.bytes_received - before_bytes
        return has_reply

    def reply(self, data: bytes) -> bool:
        self.arrive(data)
        return self.receive()

    @property
    def stamps(self) -> list[tuple[int, int]]:
        """What was recorded: (replies, stamp_ns)."""
        return [(replies, stamp_ns) for _, replies, _, _, stamp_ns, _ in self.rows]

    def kinds(self) -> list[tuple[int, str]]:
        """What was recorded: (replies, what the stamp is)."""
        names = {NOT_ASKED: "not asked", MISSING: "missing", UPPER_BOUND: "upper bound"}
        return [(replies, names.get(stamp_ns, "stamp")) for replies, stamp_ns in self.stamps]
