"""Datagrams by the native module: those of a window in one call, in both directions.

Facts. In Python, half of what a datagram costs is the way into the kernel and back: three calls for
each that is sent, and one to three for each that is read. The native module does that for many in
one call. A single read without a time stamp takes longer that way than by the socket's method.

Danger. What is read in one call is read before any of it is matched. And of what is taken from the
payloads for one call, some may not be accepted.

Decision. Never more is read at once than is in flight, so that a turn reads what it would read in
Python, and leaves what it would leave in the socket. That single read is made in Python.
Payloads are taken when they are sent or refused. What becomes of a reply, and of a message that is
not accepted, is the business of `loadgen.engine.datagrams` in both engines. Messages that code
makes when they are sent are sent one by one.
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


class NativeDatagrams:
    """What all connections of an engine read and send with.

    stamp_every: every how many-th reply gets a kernel timestamp; 0 for none. numbered: whether
    replies are matched by number.
    """

    def __init__(self, stamp_every: int, *, numbered: bool) -> None:
        self.is_numbered = numbered
        self.read, self.send = functions().receive_datagrams, functions().send_datagrams
        buffer = bytearray(AT_ONCE * PART_BYTES)
        whole = memoryview(buffer)
        self.parts = [whole[at : at + PART_BYTES] for at in range(0, len(buffer), PART_BYTES)]
        self.reads = array("q", bytes(8 * _READ * AT_ONCE))
        self.table = (buffer, PART_BYTES, OPTION, stamp_every, self.reads)
        self.sent_ns = array("q", bytes(8 * SENDS_AT_ONCE))


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
        self._native = native
        self._repeats_bytes = conversation.payloads.repeats_bytes
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
        if self.in_flight < 2 and self._unstamped_left and self._overdue_ns is None:
            return DatagramChannel.receive(self, buffer)
        native, overdue_ns = self._native, self._overdue_ns
        has_news, self._has_news = self._has_news, False
        room, awaited = (AT_ONCE, self.in_flight) if overdue_ns is None else (ALL, AT_ONCE)
        while room > 0:
            most = min(room, awaited, AT_ONCE) or 1  # one that nobody awaits
            left = self._unstamped_left
            count = native.read(native.table, self._descriptor, most, left)
            self._unstamped_left = (left - count) % (self._unstamped_after + 1)
            values = iter(native.reads)
            reads = zip(native.parts[:count], values, values, values, strict=False)
            for part, size, stamp_ns, read_ns in reads:
                if size < 0:
                    raise ConnectionFailed.of(Phase.RECEIVE, OSError(-size, os.strerror(-size)))
                self._bytes_received += size
                sent = self._match(part, size)
                if sent is not None:
                    has_news = True
                    if self._decoder is not None:
                        read = (self.origin, read_ns)
                        judge(self._records, self._decoder, sent[2], part[:size], read)
                    self._answer(sent[0], sent[1], stamp_ns, read_ns)
            room -= count
            if overdue_ns is None:
                awaited = self.in_flight
            if count < most or not awaited:
                break
        return has_news if overdue_ns is None else self._lose(overdue_ns) or has_news

    def _send(self, intended_ns: int) -> None:
        message = self._only or self._unsent or self._next()
        datagram = self.matching.datagram(message) if self.is_numbered else message
        sent_ns = self._native.sent_ns
        _, code = self._native.send(self._descriptor, (datagram,), sent_ns)
        self.submitted_ns = at_ns = sent_ns[0]
        if code:
            error = OSError(code, os.strerror(code))
            self._note_unsent(error, datagram, (intended_ns, at_ns, message))
        else:
            self._note_sent(len(datagram), (intended_ns, at_ns, message))

    def _fill(self, room: int) -> None:
        if room == 1 or not self._repeats_bytes:
            super()._fill(room)
            return
        while room > 0 and not self._is_blocked:
            self._send_many(min(room, SENDS_AT_ONCE))
            room -= SENDS_AT_ONCE

    def _send_many(self, count: int) -> None:
        """Send ``count`` messages, until one is not accepted. Raises ConnectionFailed."""
        messages = self._upcoming(count)
        datagrams = self.matching.datagrams(messages)
        sent_ns = self._native.sent_ns
        done, code = self._native.send(self._descriptor, datagrams, sent_ns)
        self._take(done + bool(code))
        self.submitted_ns = last_ns = sent_ns[done if code else done - 1]
        self._bytes_sent += sum(map(len, datagrams[:done]))
        self._left -= done
        self._submitted += done
        if self._conversation.framing.one_way:
            self._answered += done
        else:
            self.matching.add_all(zip(repeat(0), sent_ns, messages[:done], strict=False))
            self.in_flight += done
        if code:
            error = OSError(code, os.strerror(code))
            self._note_unsent(error, datagrams[done], (0, last_ns, messages[done]))

    def _upcoming(self, count: int) -> tuple[bytes, ...]:
        """Return the next ``count`` messages, which are not taken yet."""
        if self._only is not None:
            return (self._only,) * count
        items, position = self._conversation.payloads.items, self._position
        messages: tuple[bytes, ...] = () if self._unsent is None else (self._unsent,)
        messages += items[position : position + count - len(messages)]
        while len(messages) < count:
            messages += items[: count - len(messages)]
        return messages

    def _take(self, count: int) -> None:
        """Take ``count`` of those messages from the payloads."""
        from_items = count - (self._unsent is not None)
        self._unsent = None
        self._position = (self._position + from_items) % len(self._conversation.payloads.items)
