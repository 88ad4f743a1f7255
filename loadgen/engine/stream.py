"""Messages on a stream: what is sent, what is in flight, what has been answered.

Facts. A reply may be read in pieces, a window answered in part, a message accepted by the socket
only in part; payloads may differ in turn, and replies may have to be verified. Where none of that
happens, `loadgen.engine.fast_path` handles a message without this general path.

Decision. A channel closes nothing and decides nothing about what follows. It returns which events
to wait for, none when it is done, and raises `ConnectionFailed` when the connection is broken. What
the bytes mean is the decoder's to say: replies, some rejected, bytes to send back, an orderly end.
"""

import sys
from collections import deque
from typing import Final

from loadgen.engine.channel import Records
from loadgen.engine.conversation import Conversation
from loadgen.engine.fast_path import NO_BATCH, FastPath
from loadgen.engine.rows import group_of
from loadgen.net.clock import Clock
from loadgen.net.failure import (
    Cause,
    ConnectionFailed,
    Failure,
    Phase,
)
from loadgen.net.protocols import Decoder, FramingError
from loadgen.net.timestamps import bound_by
from loadgen.net.transport import NOTHING, READ, READ_AND_WRITE, Transport

_MOST_BATCHES: Final = 2**29  # small integers are faster; the general path grants more later


class StreamChannel(FastPath):
    """The messages of one connection, on a stream of bytes."""

    __slots__ = (
        "_again",
        "_conversation",
        "_general_bytes_received",
        "_general_bytes_sent",
        "_head_count",
        "_held",
        "_later",
        "_limit",
        "_position",
        "_records",
        "_remaining",
        "_unsent",
        "_window",
        "decoder",
        "flushed_ns",
        "generation",
        "is_ending",
        "is_queued",
        "read_ns",
        "resent",
        "transport",
        "unanswered",
    )

    decoder: Decoder
    """Of the replies on the present transport."""
    _records: Records

    def __init__(self, origin: int, conversation: Conversation, clock: Clock) -> None:
        super().__init__(origin, conversation.batch, clock)
        self.transport: Transport | None = None
        self.generation = 0
        self.unanswered = self.resent = 0
        self.read_ns = 0
        self.flushed_ns = 0
        self.is_ending = self.is_queued = False
        self._conversation = conversation
        self._window = conversation.pipeline
        self._general_bytes_sent = 0
        self._general_bytes_received = 0
        self._limit = conversation.messages
        self._held = conversation.messages  # not to be submitted yet, or not now
        self._remaining = 0  # to be submitted as soon as the window allows, beside _batches_left
        self._position = 0
        self._unsent: memoryview | None = None
        # Batches sent while others were in flight, (intended_ns, sent_ns, count); intended_ns and
        # sent_ns of the connection are those of the _head_count messages before them.
        self._later: deque[tuple[int, int, int]] | None = None
        self._head_count = 0
        self._again: list[tuple[int, int]] | None = None  # to be resent: (intended_ns, count)

    def attach(self, transport: Transport) -> None:
        """Exchange messages through ``transport``, which is up, from now on."""
        self.transport = transport
        self.generation += 1
        self._receive_into = transport.recv_into
        self._send = transport.send
        self.decoder = self._conversation.decoder()
        self.is_ending = False

    def begin(self, records: Records, *, scheduled: bool = False) -> None:
        """Begin or continue with the messages; if ``scheduled``, each waits for `submit`."""
        self._records = records
        self._record = records.record
        if scheduled:
            self._unscheduled += self._held
        else:
            self._remaining += self._held + self._to_resend
            self._again = None
            self._grant_batches()
        self._held = 0

    # ---- batches of the fast path ---------------------------------------------------------

    def _grant_batches(self) -> None:
        """Leave as many of the remaining messages as possible to the fast path."""
        if self._batch.data:
            self._shift(min(self._remaining // self._batch.messages, _MOST_BATCHES))

    def _shift(self, batches: int) -> None:
        """Turn remaining messages into ``batches`` of the fast path; back if that is negative."""
        self._batches_left += batches
        self._batches_granted += batches
        self._remaining -= batches * self._batch.messages

    def _leave_fast_path(self) -> None:
        """Count the bytes of the replies one by one, if a batch of the fast path is in flight."""
        if self._awaited_bytes != NO_BATCH:
            self._general_bytes_received -= self._batch.reply_bytes
            self._awaited_bytes = NO_BATCH

    def _cut_short(self, data: bytes, sent_bytes: int) -> int:
        self._general_bytes_sent -= len(data) - sent_bytes
        self._unsent = memoryview(data)[sent_bytes:]
        return READ_AND_WRITE

    # ---- receiving ------------------------------------------------------------------------

    def handle(self, buffer: bytearray, events: int) -> bool:
        """Read if there is something to read; return True, since there is room to write."""
        if events & READ:
            self.receive(buffer)
        return True

    def _receive_general(self, view: memoryview, stamp_ns: int, read_ns: int) -> bool:
        if not view and self.is_ending:
            return False  # the end was read before; `transmit` has yet to return NOTHING
        self._leave_fast_path()
        self.read_ns = read_ns
        self._general_bytes_received += len(view)
        decoder = self.decoder
        try:
            replies = decoder.feed(view) if view else decoder.end()
        except FramingError as error:
            raise ConnectionFailed(error.failure) from error
        is_surplus = decoder.partial and replies == self.in_flight and not decoder.unsolicited
        if replies > self.in_flight or (is_surplus and view):
            raise ConnectionFailed(Failure(Phase.RECEIVE, Cause.UNEXPECTED_BYTES))
        if not view:
            if not replies:
                raise ConnectionFailed(Failure(Phase.RECEIVE, Cause.CLOSED))
            self.is_ending = True
        has_asked = False
        if decoder.rejected or decoder.to_send or decoder.closes:
            has_asked = self._follow(decoder)
        if replies == 1 == self.in_flight and not self._later:  # the usual case, cheaply
            self.in_flight = 0
            self._record((self.origin, 1, self.intended_ns, self.sent_ns, stamp_ns, read_ns))
            return True
        self._answer(replies, bound_by(stamp_ns) if decoder.partial else stamp_ns)
        return replies > 0 or has_asked

    def _follow(self, decoder: Decoder) -> bool:
        """Do what ``decoder`` asks for beside counting; return whether to call `transmit`."""
        if decoder.rejected:
            for cause, count in decoder.rejected.items():
                failure = Failure(Phase.REPLY, cause)
                self._records.record_rejected(failure, count, self.read_ns, group_of(self.origin))
            decoder.rejected.clear()
        to_send, decoder.to_send = decoder.to_send, b""
        if to_send and self._unsent is None:
            self._push(to_send)
        elif to_send:
            self._unsent = memoryview(bytes(self._unsent or b"") + to_send)
        if self._unsent is not None:
            self._shift(-self._batches_left)  # the fast path would send before it
        self.is_ending |= decoder.closes
        return self.is_ending or self._unsent is not None

    def _answer(self, replies: int, stamp_ns: int) -> None:
        """Match ``replies`` with the messages in flight, the oldest first."""
        self.in_flight -= replies
        later = self._later
        while later and replies > self._head_count:
            if self._head_count:
                self._record_head(self._head_count, bound_by(stamp_ns))
            replies -= self._head_count
            self.intended_ns, self.sent_ns, self._head_count = later.popleft()
        self._head_count -= replies
        if replies:
            self._record_head(replies, stamp_ns)

    def _record_head(self, replies: int, stamp_ns: int) -> None:
        self._record((self.origin, replies, self.intended_ns, self.sent_ns, stamp_ns, self.read_ns))

    # ---- sending --------------------------------------------------------------------------

    def _transmit_general(self) -> int:
        one_way = self._conversation.framing.one_way
        if self._unsent is not None:
            self._push(self._unsent)
            self.flushed_ns = self._clock()
        if self.is_ending:
            return NOTHING
        if self._unsent is None:
            if one_way:
                self.in_flight = 0
            self._fill_window()
        if self._unsent is not None:
            return READ_AND_WRITE
        if one_way:
            self.in_flight = 0
            return READ_AND_WRITE if self._remaining else READ if self._to_come else NOTHING
        return READ if self.in_flight or self._to_come else NOTHING

    def _submit_general(self, intended_ns: int) -> int:
        self._leave_fast_path()
        self._unscheduled -= 1
        self._remaining += 1
        self._submit(1, intended_ns)
        if self._unsent is None and not self._conversation.framing.one_way:
            return READ
        return self._transmit_general()

    def _fill_window(self) -> None:
        if self._again:
            self._resend()
        room = self._window - self.in_flight
        if room > self._remaining and self._batches_left:
            self._shift(-1)
        count = min(room, self._remaining)
        if count > 0 and self._unsent is None:
            self._submit(count)
        if not self._batches_left:
            self._grant_batches()

    def _resend(self) -> None:
        again = self._again
        while again and self._unsent is None:
            intended_ns, count = again.pop(0)
            self._remaining += count
            self._submit(count, intended_ns)

    def _submit(self, count: int, intended_ns: int = 0) -> None:
        payloads = self._conversation.payloads
        batch, lengths = payloads.batch(self._position, count)
        self._position = (self._position + count) % self._cycle
        self.decoder.expect(batch, lengths)
        self.submitted_ns = now_ns = self._clock()
        if self.in_flight:
            if self._later is None:
                self._later = deque()
            if not self._later:
                self._head_count = self.in_flight
            self._later.append((intended_ns, now_ns, count))
        else:
            self.intended_ns, self.sent_ns = intended_ns, now_ns
        self._remaining -= count
        self.in_flight += count
        self._push(batch)

    def _push(self, data: bytes | memoryview) -> None:
        """Send ``data``; what the kernel does not accept stays in ``_unsent``."""
        try:
            size = self._send(data)
        except BlockingIOError:
            size = 0
        except OSError as error:
            raise ConnectionFailed(Failure.of(Phase.SEND, error), str(error)) from error
        self._general_bytes_sent += size
        self._unsent = memoryview(data)[size:] if size < len(data) else None

    # ---- ending ---------------------------------------------------------------------------

    def revoke(self) -> None:
        """Cancel the messages that have not been submitted; lose those that were taken back."""
        self._shift(-self._batches_left)
        self.lose()
        self._limit = self.counts()[0]
        self._held = self._remaining = self._unscheduled = 0

    def take_back(self) -> None:
        """Let the messages in flight be sent again, each with its intended time."""
        self._leave_fast_path()
        later, count = self._later or (), self.in_flight
        head_count = self._head_count if later else count
        batches = [(self.intended_ns, head_count), *((due_ns, n) for due_ns, _, n in later)]
        self._again = [*(batch for batch in batches if batch[1]), *(self._again or ())]
        self.resent += count
        self.in_flight = 0
        self._position = (self._position - count) % self._cycle

    def lose(self) -> None:
        """Give up the messages that were taken back: they are unanswered."""
        self.unanswered += self._to_resend
        self._again = None

    def count_bytes(self, sent: int, received: int) -> None:
        """Count bytes that the transport carried before the messages."""
        self._general_bytes_sent += sent
        self._general_bytes_received += received

    def detach(self) -> None:
        """Release the transport; messages in flight stay unanswered, the others are held back."""
        self._leave_fast_path()
        self._shift(-self._batches_left)
        self.unanswered += self.in_flight
        self.in_flight = 0
        self._held += self._remaining + self._unscheduled
        self._remaining = self._unscheduled = 0
        self._unsent = None
        self._later = None
        self.transport = None
        del self._receive_into, self._send

    # ---- counts ---------------------------------------------------------------------------

    def counts(self) -> tuple[int, int, int, int]:
        """Return messages submitted and answered (one way: accepted), bytes sent and received."""
        batch, batches_left = self._batch, self._batches_left
        batches = self._batches_granted - batches_left
        waiting = self._held + self._remaining + self._unscheduled + batches_left * batch.messages
        submitted = self._limit - waiting - self._to_resend
        return (
            submitted,
            submitted - self.in_flight - self.unanswered,
            self._general_bytes_sent + batches * len(batch.data),
            self._general_bytes_received
            + (batches - (self._awaited_bytes != NO_BATCH)) * batch.reply_bytes,
        )

    @property
    def oldest_sent_ns(self) -> int:
        """When the oldest of the messages in flight was sent; there is one."""
        later = self._later
        return later[0][1] if later and not self._head_count else self.sent_ns

    @property
    def is_open(self) -> bool:
        """Whether it has a transport, so that `transmit` may be called."""
        return self.transport is not None

    @property
    def has_more(self) -> bool:
        """Whether messages are left to submit."""
        return self._held + self._to_come > 0 or self.has_to_resend

    @property
    def has_to_resend(self) -> bool:
        """Whether scheduled messages are to be sent again, before any other."""
        return bool(self._again)

    @property
    def may_go_on(self) -> bool:
        """Whether the only thing left to do is to submit a further message, and it may."""
        return self._unsent is None and not self.is_ending and self._to_come > 0

    @property
    def is_free(self) -> bool:
        """Whether it may take one more message of a schedule."""
        has_room = self.in_flight < self._window and self._unsent is None
        return has_room and self._unscheduled > 0 and not self.is_ending

    @property
    def waits_since_ns(self) -> int | None:
        """Since when there has been no progress; None if nothing is awaited."""
        if not self.in_flight and self.interest != READ_AND_WRITE:
            return None
        return max(self.sent_ns, self.flushed_ns, self.read_ns)

    @property
    def waits_in(self) -> Phase:
        """The phase of the failure that a lack of progress would be."""
        waits_to_send = self._unsent is not None or self.interest == READ_AND_WRITE
        return Phase.SEND if waits_to_send else Phase.RECEIVE

    @property
    def _to_resend(self) -> int:
        return sum(count for _, count in self._again) if self._again else 0

    @property
    def _cycle(self) -> int:
        """After how many messages the payloads begin again."""
        return len(self._conversation.payloads.items) or sys.maxsize

    @property
    def _to_come(self) -> int:
        """Messages, and batches of them, that will be submitted if nothing changes."""
        return self._remaining + self._batches_left + self._unscheduled
