"""The fast path: a whole window of messages sent at once, and all their replies read at once.

Facts. Four fifths of a round trip's time is spent in the kernel, in one ``recv`` and one ``send``;
a Python loop is level with one in C only if it adds a handful of plain calls to them. With a
thousand connections, the memory that a message touches costs more than the instructions: each
object that belongs to one connection has left the cache before its next message.

Decision. Most load is the same lap over and over: equal messages, replies of a length known ahead.
Such a lap costs two comparisons and a clock read on each side, makes no object but its row, and
works on the few fields that stand together here. Bytes and messages are worked out from the number
of laps when somebody asks. Whatever else happens (a reply in pieces, a window answered in part, a
socket that takes half a message, several payloads in turn, replies that must be looked at) takes
the general path of `loadgen.engine.exchange`, which knows every case.

Danger. The two must agree. A lap begins only where nothing is in flight, and ends only where its
replies come back in one read, to the byte; in any other case it is handed over.
"""

import selectors
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, NamedTuple

from loadgen.net.clock import Clock
from loadgen.net.failure import ConnectionFailed, Failure, Phase
from loadgen.net.timestamps import NOT_ASKED

Row = tuple[int, int, int, int, int, int]
"""(connection index, replies, intended_ns, sent_ns, stamp_ns, read_ns): replies that were read at
one time, to messages that were sent at one time. ``intended_ns`` is 0 in a closed loop; of
``stamp_ns`` see `loadgen.net.timestamps`; where it is a time, it is that of the last reply."""

CONNECTION, REPLIES, INTENDED_NS, SENT_NS, STAMP_NS, READ_NS = range(6)
"""The columns of a `Row`."""

RecordReplies = Callable[[Row], None]

NOTHING: Final = 0
READ: Final = selectors.EVENT_READ
READ_AND_WRITE: Final = selectors.EVENT_READ | selectors.EVENT_WRITE

NO_BATCH: Final = -1
"""Awaited by a connection that is not on a lap; no read has that size."""


class Batch(NamedTuple):
    """What is sent, how many bytes answer it, and how many messages it has."""

    data: bytes
    reply_bytes: int
    messages: int


class FastPath(ABC):
    """The part of a connection that every message passes."""

    __slots__ = (
        "_awaited_bytes",
        "_batch",
        "_batches_granted",
        "_batches_left",
        "_clock",
        "_receive_into",
        "_record",
        "_send",
        "_unscheduled",
        "in_flight",
        "index",
        "intended_ns",
        "interest",
        "sent_ns",
        "submitted_ns",
    )

    _receive_into: Callable[[bytearray], int]
    _send: Callable[[bytes | memoryview], int]
    _record: RecordReplies

    def __init__(self, index: int, batch: Batch, clock: Clock) -> None:
        self.index = index
        self.in_flight = 0
        self.interest = NOTHING
        self.intended_ns = 0
        self.sent_ns = self.submitted_ns = 0
        self._clock = clock
        self._batch = batch
        self._batches_granted = self._batches_left = 0
        self._unscheduled = 0  # messages that a schedule will call for
        self._awaited_bytes = NO_BATCH

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
        read_ns = self._clock()
        if size != self._awaited_bytes:
            return self._receive_general(memoryview(buffer)[:size], NOT_ASKED, read_ns)
        self._awaited_bytes = NO_BATCH
        replies = self.in_flight
        self.in_flight = 0
        self._record((self.index, replies, self.intended_ns, self.sent_ns, NOT_ASKED, read_ns))
        return True

    def transmit(self) -> int:
        """Send what may be sent now; return the events to wait for, `NOTHING` when done.

        Raises ConnectionFailed.
        """
        batches_left = self._batches_left - 1
        if self.in_flight or batches_left < 0:
            return self._transmit_general()
        self._batches_left = batches_left
        data, self._awaited_bytes, self.in_flight = self._batch
        self.sent_ns = self._clock()
        try:
            size = self._send(data)
        except BlockingIOError:
            size = 0
        except OSError as error:
            self._cut_short(data, 0)
            raise ConnectionFailed(Failure.of(Phase.SEND, error), str(error)) from error
        return READ if size == len(data) else self._cut_short(data, size)

    def submit(self, intended_ns: int) -> int:
        """Send one message that was due at ``intended_ns``; else as `transmit`.

        For a connection that `is_free`, where a schedule says what may be sent. ``submitted_ns`` is
        then the time just before.
        """
        if self.in_flight or not self._batch.data:
            return self._submit_general(intended_ns)
        data, self._awaited_bytes, self.in_flight = self._batch
        self._unscheduled -= 1
        self._batches_granted += 1
        self.intended_ns = intended_ns
        self.submitted_ns = self.sent_ns = self._clock()
        try:
            size = self._send(data)
        except BlockingIOError:
            size = 0
        except OSError as error:
            self._cut_short(data, 0)
            raise ConnectionFailed(Failure.of(Phase.SEND, error), str(error)) from error
        return READ if size == len(data) else self._cut_short(data, size)

    @abstractmethod
    def _receive_general(self, view: memoryview, stamp_ns: int, read_ns: int) -> bool:
        """Make sense of a read that does not end a lap, or of one of another kind."""

    @abstractmethod
    def _transmit_general(self) -> int:
        """Send where no lap can begin."""

    @abstractmethod
    def _submit_general(self, intended_ns: int) -> int:
        """Send one message where no lap can begin."""

    @abstractmethod
    def _cut_short(self, data: bytes, sent_bytes: int) -> int:
        """Take over a lap of whose ``batch`` the kernel has taken only ``sent_bytes``."""

    # ---- counts ---------------------------------------------------------------------------

    @abstractmethod
    def counts(self) -> tuple[int, int, int, int]:
        """Return messages submitted and answered, bytes sent and received so far."""

    @property
    def submitted(self) -> int:
        """Messages submitted so far."""
        return self.counts()[0]

    @property
    def answered(self) -> int:
        """Messages whose reply is whole (one way: that the kernel has taken whole)."""
        return self.counts()[1]

    @property
    def bytes_sent(self) -> int:
        """Bytes that the kernel has taken."""
        return self.counts()[2]

    @property
    def bytes_received(self) -> int:
        """Bytes that have been read."""
        return self.counts()[3]
