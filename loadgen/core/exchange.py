"""The exchange of messages on one connection: what goes out, what is in flight, what has come back.

Facts. Four fifths of a round trip's time is spent in the kernel, in one ``recv`` and one ``send``;
a Python loop is level with one in C only if it adds a handful of plain calls to them.

Decision. There are two paths. The steady one is for the exchange that load tests are made of: all
messages alike, replies of a length known ahead, the whole window sent at once and answered in one
read. It costs two comparisons, a clock read on each side, and no object. Whatever else happens
(a reply in pieces, a window answered in part, a socket that takes half a message, several payloads
in turn, replies that must be looked at) takes the general path, which knows every case.

Danger. The two must agree. They share the counts, and the steady path is entered only where
nothing is half done: no message in flight on sending, all of them on receiving.

Neither path closes anything or decides what comes next: a connection reports which events it wants
to wait for (`transmit`), none when it is done, and raises `ConnectionFailed` when it is broken. The
engine draws the consequences.
"""

import selectors
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from loadgen.core.clock import Clock
from loadgen.core.conversation import Conversation
from loadgen.failure import Cause, ConnectionFailed, Failure, Phase
from loadgen.framing import Decoder, FramingError

RecordReplies = Callable[[tuple[int, int, int, int]], None]
"""Takes (connection index, replies, sent_ns, read_ns): replies that were read at one time, to
messages that were sent at one time."""

NOTHING: Final = 0
READ: Final = selectors.EVENT_READ
READ_AND_WRITE: Final = selectors.EVENT_READ | selectors.EVENT_WRITE


def _ignore(row: tuple[int, int, int, int]) -> None:
    """Record nothing: the reply to a first message is no measurement."""


class Exchange:
    """The messages of one connection; `loadgen.core.connection.Connection` adds its life.

    Its counts go on when the connection is opened again.
    """

    __slots__ = (
        "_clock",
        "_conversation",
        "_decoder",
        "_head_count",
        "_held",
        "_later",
        "_limit",
        "_position",
        "_receive_into",
        "_record",
        "_remaining",
        "_send",
        "_steady_awaits",
        "_steady_window",
        "_unsent",
        "_window",
        "bytes_received",
        "bytes_sent",
        "ended_by_reply",
        "flushed_ns",
        "in_flight",
        "index",
        "read_ns",
        "sent_ns",
        "unanswered",
    )

    _receive_into: Callable[[bytearray], int]
    _send: Callable[[bytes | memoryview], int]
    _decoder: Decoder

    def __init__(self, index: int, conversation: Conversation, clock: Clock) -> None:
        self.index = index
        self.bytes_sent = 0
        self.bytes_received = 0
        self.in_flight = 0
        self.unanswered = 0
        self.sent_ns = 0
        self.read_ns = 0
        self.flushed_ns = 0
        self.ended_by_reply = False
        self._clock = clock
        self._conversation = conversation
        self._window = conversation.pipeline
        self._steady_window = conversation.steady_window
        self._steady_awaits = -1  # the size of the read that answers everything; -1: look closer
        self._limit = conversation.messages
        self._held = conversation.messages  # not to be submitted yet, or not now
        self._remaining = 0  # to be submitted as soon as the window allows
        self._position = 0
        self._unsent: memoryview | None = None
        # Batches sent while others were in flight, (sent_ns, count), the oldest first; while there
        # are any, sent_ns is that of the messages before them, of which _head_count are unanswered.
        self._later: deque[tuple[int, int]] | None = None
        self._head_count = 0
        self._record: RecordReplies = _ignore

    def attach(self, sock: Any) -> None:
        """Exchange messages through ``sock`` from now on."""
        self._receive_into = sock.recv_into
        self._send = sock.send
        self._decoder = self._conversation.framing.decoder()
        self._record = _ignore
        self._steady_awaits = -1
        self.ended_by_reply = False

    def greet(self) -> None:
        """Send the first message, which counts as in flight and nothing else."""
        message = self._conversation.first_message
        self._decoder.expect(message, (len(message),))
        self.in_flight = 1
        self._push(message)

    def be_ready(self) -> None:
        """Expect the replies to messages from now on."""
        self._decoder = self._conversation.decoder()

    def begin(self, record: RecordReplies) -> None:
        """Begin with the messages, or go on with them; ``record`` hears of the replies."""
        self._remaining, self._held = self._held, 0
        self._record = record

    # ---- receiving ------------------------------------------------------------------------

    def receive(self, buffer: bytearray) -> bool:
        """Read once into ``buffer``, scratch space; return whether a reply became whole.

        Raises ConnectionFailed if the connection is broken or the bytes do not fit.
        """
        try:
            size = self._receive_into(buffer)
        except BlockingIOError:
            return False
        except OSError as error:
            raise ConnectionFailed(Failure.of(Phase.RECEIVE, error), str(error)) from error
        self.read_ns = read_ns = self._clock()
        if size != self._steady_awaits:
            return self._receive_general(memoryview(buffer)[:size])
        self._steady_awaits = -1
        self.bytes_received += size
        replies = self.in_flight
        self.in_flight = 0
        self._record((self.index, replies, self.sent_ns, read_ns))
        return True

    def _receive_general(self, view: memoryview) -> bool:
        if not view and self.ended_by_reply:
            return False  # the end was seen before; the conclusion is yet to be drawn
        self._steady_awaits = -1
        self.bytes_received += len(view)
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
        self._answer(replies)
        return replies > 0

    def _answer(self, replies: int) -> None:
        """Set ``replies`` off against the messages in flight, the oldest first."""
        self.in_flight -= replies
        later = self._later
        while later and replies > self._head_count:
            if self._head_count:
                self._record((self.index, self._head_count, self.sent_ns, self.read_ns))
            replies -= self._head_count
            self.sent_ns, self._head_count = later.popleft()
        self._head_count -= replies
        if replies:
            self._record((self.index, replies, self.sent_ns, self.read_ns))

    # ---- sending --------------------------------------------------------------------------

    def transmit(self) -> int:
        """Send what may be sent now; return the events to wait for, `NOTHING` when done.

        Raises ConnectionFailed.
        """
        batch = self._steady_window
        remaining = self._remaining - self._window
        if self.in_flight or remaining < 0 or not batch:
            return self._transmit_general()
        self._remaining = remaining
        self.in_flight = self._window
        self._steady_awaits = self._conversation.steady_reply_bytes
        self.sent_ns = self._clock()
        try:
            size = self._send(batch)
        except BlockingIOError:
            size = 0
        except OSError as error:
            raise ConnectionFailed(Failure.of(Phase.SEND, error), str(error)) from error
        self.bytes_sent += size
        if size == len(batch):
            return READ
        self._unsent = memoryview(batch)[size:]
        return READ_AND_WRITE

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
            count = min(self._window - self.in_flight, self._remaining)
            if count > 0:
                self._submit(count)
        if self._unsent is not None:
            return READ_AND_WRITE
        if one_way:
            self.in_flight = 0
            return READ_AND_WRITE if self._remaining else NOTHING
        return READ if self.in_flight or self._remaining else NOTHING

    def _submit(self, count: int) -> None:
        payloads = self._conversation.payloads
        batch, lengths = payloads.batch(self._position, count)
        self._position = (self._position + count) % len(payloads.items)
        self._decoder.expect(batch, lengths)
        now_ns = self._clock()
        if self.in_flight:
            if self._later is None:
                self._later = deque()
            if not self._later:
                self._head_count = self.in_flight
            self._later.append((now_ns, count))
        else:
            self.sent_ns = now_ns
        self._remaining -= count
        self.in_flight += count
        self._push(batch)

    def _push(self, data: bytes | memoryview) -> None:
        """Give ``data`` to the kernel; what it does not take stays in ``_unsent``."""
        try:
            size = self._send(data)
        except BlockingIOError:
            size = 0
        except OSError as error:
            raise ConnectionFailed(Failure.of(Phase.SEND, error), str(error)) from error
        self.bytes_sent += size
        self._unsent = memoryview(data)[size:] if size < len(data) else None

    # ---- ending ---------------------------------------------------------------------------

    def revoke(self) -> None:
        """Take back the messages that have not been submitted."""
        self._limit = self.submitted
        self._held = self._remaining = 0

    def detach(self) -> None:
        """Give the socket up; messages in flight stay unanswered, the others are held back."""
        self.unanswered += self.in_flight
        self.in_flight = 0
        self._held += self._remaining
        self._remaining = 0
        self._unsent = None
        self._later = None
        del self._receive_into, self._send

    # ---- counts ---------------------------------------------------------------------------

    @property
    def submitted(self) -> int:
        """Messages submitted so far."""
        return self._limit - self._held - self._remaining

    @property
    def answered(self) -> int:
        """Messages whose reply is whole (one way: that the kernel has taken whole)."""
        return self.submitted - self.in_flight - self.unanswered

    @property
    def has_more(self) -> bool:
        """Whether messages are left to submit."""
        return self._held + self._remaining > 0
