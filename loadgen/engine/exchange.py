"""The messages of one connection: what is sent, what is in flight, what has been answered.

Facts. A reply may be read in pieces, a window answered in part, a message accepted by the socket
only in part; payloads may differ in turn, and replies may have to be verified. Where none of that
happens, `loadgen.engine.fast_path` handles a message without this general path.

Decision. An exchange closes nothing and decides nothing about what follows. It returns which events
to wait for, none when it is done, and raises `ConnectionFailed` when the connection is broken.
"""

import sys
from collections import deque
from typing import Any, Final

from loadgen.engine.conversation import Conversation
from loadgen.engine.fast_path import (
    NO_BATCH,
    NOTHING,
    READ,
    READ_AND_WRITE,
    FastPath,
)
from loadgen.engine.rows import RecordReplies, Row
from loadgen.net.clock import Clock
from loadgen.net.failure import (
    Cause,
    ConnectionFailed,
    Failure,
    Phase,
)
from loadgen.net.protocols import Decoder, FramingError
from loadgen.net.timestamps import bound_by

_MOST_BATCHES: Final = 2**29  # small integers are faster; the general path grants more later


def _ignore(row: Row) -> None:
    """Record nothing: the reply to a first message is no measurement."""


class Exchange(FastPath):
    """The messages of one connection; `loadgen.engine.connection.Connection` adds its life cycle.

    Its counts continue when the connection is opened again.
    """

    __slots__ = (
        "_conversation",
        "_decoder",
        "_general_bytes_received",
        "_general_bytes_sent",
        "_head_count",
        "_held",
        "_later",
        "_limit",
        "_position",
        "_remaining",
        "_unsent",
        "_window",
        "ended_by_reply",
        "flushed_ns",
        "read_ns",
        "unanswered",
    )

    _decoder: Decoder

    def __init__(self, index: int, conversation: Conversation, clock: Clock) -> None:
        super().__init__(index, conversation.batch, clock)
        self.unanswered = 0
        self.read_ns = 0
        self.flushed_ns = 0
        self.ended_by_reply = False
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

    def attach(self, sock: Any) -> None:
        """Exchange messages through ``sock`` from now on."""
        self._receive_into = sock.recv_into
        self._send = sock.send
        self._decoder = self._conversation.framing.decoder()
        self._record = _ignore
        self.ended_by_reply = False

    def greet(self) -> None:
        """Send the first message, which counts as in flight and nothing else."""
        message = self._conversation.first_message
        self._decoder.expect(message, (len(message),))
        self.sent_ns = self._clock()
        self.in_flight = 1
        self._push(message)

    def be_ready(self) -> None:
        """Expect replies to messages from now on, not to the first message."""
        self._decoder = self._conversation.decoder()

    def begin(self, record: RecordReplies, *, scheduled: bool = False) -> None:
        """Begin or continue with the messages; ``record`` is called with a row for the replies.

        If they are ``scheduled``, each waits for `submit`.
        """
        self._record = record
        if scheduled:
            self._unscheduled += self._held
        else:
            self._remaining += self._held
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

    def _receive_general(self, view: memoryview, stamp_ns: int, read_ns: int) -> bool:
        if not view and self.ended_by_reply:
            return False  # the end was read before; `transmit` has yet to return NOTHING
        self._leave_fast_path()
        self.read_ns = read_ns
        self._general_bytes_received += len(view)
        decoder = self._decoder
        try:
            replies = decoder.feed(view) if view else decoder.end()
        except FramingError as error:
            phase = Phase.VERIFY if error.cause is Cause.MISMATCH else Phase.RECEIVE
            raise ConnectionFailed(Failure(phase, error.cause)) from error
        if replies > self.in_flight or (replies == self.in_flight and view and decoder.partial):
            raise ConnectionFailed(Failure(Phase.RECEIVE, Cause.UNEXPECTED_BYTES))
        if not view:
            if not replies:
                raise ConnectionFailed(Failure(Phase.RECEIVE, Cause.CLOSED))
            self.ended_by_reply = True
        if replies == 1 == self.in_flight and not self._later:  # the usual case, cheaply
            self.in_flight = 0
            self._record((self.origin, 1, self.intended_ns, self.sent_ns, stamp_ns, read_ns))
            return True
        self._answer(replies, bound_by(stamp_ns) if decoder.partial else stamp_ns)
        return replies > 0

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
        if self.ended_by_reply:
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
        room = self._window - self.in_flight
        if room > self._remaining and self._batches_left:
            self._shift(-1)
        count = min(room, self._remaining)
        if count > 0:
            self._submit(count)
        if not self._batches_left:
            self._grant_batches()

    def _submit(self, count: int, intended_ns: int = 0) -> None:
        payloads = self._conversation.payloads
        batch, lengths = payloads.batch(self._position, count)
        self._position = (self._position + count) % (len(payloads.items) or sys.maxsize)
        self._decoder.expect(batch, lengths)
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
        """Cancel the messages that have not been submitted."""
        self._shift(-self._batches_left)
        self._limit = self.submitted
        self._held = self._remaining = self._unscheduled = 0

    def detach(self) -> None:
        """Release the socket; messages in flight stay unanswered, the others are held back."""
        self._leave_fast_path()
        self._shift(-self._batches_left)
        self.unanswered += self.in_flight
        self.in_flight = 0
        self._held += self._remaining + self._unscheduled
        self._remaining = self._unscheduled = 0
        self._unsent = None
        self._later = None
        del self._receive_into, self._send

    # ---- counts ---------------------------------------------------------------------------

    def counts(self) -> tuple[int, int, int, int]:
        """Return messages submitted and answered (one way: accepted), bytes sent and received."""
        batch, batches_left = self._batch, self._batches_left
        batches = self._batches_granted - batches_left
        waiting = self._held + self._remaining + self._unscheduled + batches_left * batch.messages
        submitted = self._limit - waiting
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
    def has_more(self) -> bool:
        """Whether messages are left to submit."""
        return self._held + self._to_come > 0

    @property
    def is_free(self) -> bool:
        """Whether it may take one more message of a schedule."""
        has_room = self.in_flight < self._window and self._unsent is None
        return has_room and self._unscheduled > 0 and not self.ended_by_reply

    @property
    def _to_come(self) -> int:
        """Messages, and batches of them, that will be submitted if nothing changes."""
        return self._remaining + self._batches_left + self._unscheduled
