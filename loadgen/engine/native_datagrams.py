"""Datagrams by the native module: those of a window in one call, in both directions.

Facts. In Python most of what a datagram costs is the way into the kernel and back: two to three
calls for each one that is sent, and one to two for each one that is read. Where several are in
flight on a connection, as many can be read in one call, and sent in one.

Danger. What is read in one call is read before any of it is matched. And of what was taken from the
payloads for one call, some may not be accepted.

Decision. Never more is read at once than is in flight, so that a turn reads what it reads in
Python, and nothing that it would leave in the socket. Payloads count as taken when they are sent or
refused. What becomes of a reply, and of a message that is not accepted, is the business of
`loadgen.engine.datagrams` in both engines. Messages that code makes when they are sent are sent
there, one by one.
"""

import os
from array import array
from itertools import repeat
from typing import Final

from loadgen.engine.channel import Host, judge
from loadgen.engine.conversation import Conversation
from loadgen.engine.datagrams import ALL, AT_ONCE, DatagramChannel
from loadgen.engine.native import functions
from loadgen.net.clock import Clock
from loadgen.net.dialer import Dialer
from loadgen.net.failure import ConnectionFailed, Phase
from loadgen.net.timestamps import OPTION
from loadgen.net.transport import Transport

SENDS_AT_ONCE: Final = 64
"""Datagrams that are sent in one call."""

PART_BYTES: Final = 65_536 + 64
"""The room for each that is read. No datagram fills it. Not a power of two, for the beginnings of
all would then take turns in the same few lines of the processor's cache."""

_READ: Final = 3  # size or -errno, stamp_ns, read_ns

Read = tuple[memoryview, int, int, int]
"""The room that a datagram was read into, its size or -errno, stamp_ns and read_ns."""


class NativeDatagrams:
    """Reads and sends for all connections of an engine.

    stamp_every: every how many-th reply gets a kernel timestamp; 0 for none. numbered: whether
    replies are matched by number.
    """

    def __init__(self, stamp_every: int, *, numbered: bool) -> None:
        self.is_numbered = numbered
        native = functions()
        buffer = bytearray(AT_ONCE * PART_BYTES)
        self._receive, self._send = native.receive_datagrams, native.send_datagrams
        self._reads = array("q", bytes(8 * _READ * AT_ONCE))
        self._table = (buffer, PART_BYTES, OPTION, stamp_every, self._reads)
        whole = memoryview(buffer)
        self._parts = [whole[at : at + PART_BYTES] for at in range(0, len(buffer), PART_BYTES)]
        self.sent_ns = array("q", bytes(8 * SENDS_AT_ONCE))
        """When each of those that were sent last was sent, and the one that was not accepted."""

    def receive(self, descriptor: int, most: int, unstamped_left: int) -> list[Read]:
        """Read ``most`` datagrams, as far as they are there, `AT_ONCE` at most."""
        count = self._receive(self._table, descriptor, most, unstamped_left)
        values = iter(self._reads[: _READ * count])
        return list(zip(self._parts, values, values, values, strict=False))

    def send(self, descriptor: int, datagrams: tuple[bytes, ...]) -> tuple[int, int]:
        """Send ``datagrams``, `SENDS_AT_ONCE` at most, until one is not accepted.

        Return how many were, and the error number of the one that was not; 0 where all were.
        """
        done: tuple[int, int] = self._send(descriptor, datagrams, self.sent_ns)
        return done


class NativeDatagramChannel(DatagramChannel):
    """As `DatagramChannel`, over plain sockets and by the system's monotonic clock."""

    __slots__ = ("_descriptor", "_native", "_repeats_bytes")

    def __init__(
        self,
        dialer: Dialer,
        origin: int,
        conversation: Conversation,
        clock: Clock,
        host: Host,
        *,
        native: NativeDatagrams,
    ) -> None:
        numbered = native.is_numbered
        super().__init__(dialer, origin, conversation, clock, host, numbered=numbered)
        payloads = conversation.payloads
        self._native = native
        self._repeats_bytes = payloads.repeats_bytes and len(payloads.items) > 0
        self._descriptor = -1

    def attach(self, transport: Transport) -> None:
        """Exchange messages through ``transport``, which is up, from now on."""
        super().attach(transport)
        self._descriptor = transport.fileno()

    def detach(self) -> None:
        """Release the transport; messages in flight stay unanswered."""
        super().detach()
        self._descriptor = -1

    def receive(self, buffer: bytearray) -> bool:
        """Read datagrams; return whether a message has had its end.

        Raises ConnectionFailed, also where the peer's system says that nobody listens.
        """
        has_news, self._has_news = self._has_news, False
        overdue_ns = self._overdue_ns
        room = AT_ONCE if overdue_ns is None else ALL
        while room > 0:
            awaited = min(room, AT_ONCE) if overdue_ns is not None else min(room, self.in_flight)
            most = awaited or 1  # one that nobody awaits
            reads = self._native.receive(self._descriptor, most, self._unstamped_left)
            for read in reads:
                has_news |= self._take(*read)
            room -= len(reads)
            if len(reads) < most or (not self.in_flight and overdue_ns is None):
                break
        return has_news if overdue_ns is None else self._lose(overdue_ns) or has_news

    def _take(self, part: memoryview, size: int, stamp_ns: int, read_ns: int) -> bool:
        """Take what was read; return whether it answers a message. Raises ConnectionFailed."""
        if size < 0:
            raise ConnectionFailed.of(Phase.RECEIVE, OSError(-size, os.strerror(-size)))
        self._unstamped_left = (
            self._unstamped_left - 1 if self._unstamped_left else self._unstamped_after
        )
        self._bytes_received += size
        sent = self._match(part, size)
        if sent is None:
            return False
        if self._decoder is not None:
            read = (self.origin, read_ns)
            judge(self._records, self._decoder, sent[2], part[:size], read)
        self._answer(sent[0], sent[1], stamp_ns, read_ns)
        return True

    def submit(self, intended_ns: int) -> int:
        """Send one message that was due at ``intended_ns``; return the events to wait for."""
        if not self._repeats_bytes:
            return super().submit(intended_ns)
        self._send_all(self._upcoming(1), intended_ns)
        return self._wanted()

    def _fill(self, room: int) -> None:
        if not self._repeats_bytes:
            super()._fill(room)
            return
        while room > 0 and not self._is_blocked:
            count = min(room, SENDS_AT_ONCE)
            room -= count
            self._send_all(self._upcoming(count), 0)

    def _upcoming(self, count: int) -> tuple[bytes, ...]:
        """Return the next ``count`` messages; none is taken yet."""
        if self._only is not None:
            return (self._only,) * count
        items, position = self._conversation.payloads.items, self._position
        messages = items[position : position + count]
        while len(messages) < count:
            messages += items[: count - len(messages)]
        return messages

    def _send_all(self, messages: tuple[bytes, ...], intended_ns: int) -> None:
        """Send ``messages`` until one is not accepted. Raises ConnectionFailed."""
        native, left = self._native, self._left
        datagrams = self.matching.datagrams(messages)
        done, code = native.send(self._descriptor, datagrams)
        if done:
            self._note_all_sent(datagrams[:done], messages[:done], intended_ns)
        try:
            if code:
                self.submitted_ns = sent_ns = native.sent_ns[done]
                sent = (intended_ns, sent_ns, messages[done])
                self._note_unsent(OSError(code, os.strerror(code)), datagrams[done], sent)
        finally:
            taken = left - self._left
            self._position = (self._position + taken) % len(self._conversation.payloads.items)

    def _note_all_sent(
        self, datagrams: tuple[bytes, ...], messages: tuple[bytes, ...], intended_ns: int
    ) -> None:
        count = len(datagrams)
        sent_ns = self._native.sent_ns
        self.submitted_ns = sent_ns[count - 1]
        self._bytes_sent += sum(map(len, datagrams))
        self._left -= count
        self._submitted += count
        if self._conversation.framing.one_way:
            self._answered += count
        else:
            self.in_flight += count
            self.matching.add_all(zip(repeat(intended_ns), sent_ns, messages, strict=False))
