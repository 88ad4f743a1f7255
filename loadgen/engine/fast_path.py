"""The fast path: a whole batch of messages sent at once, and all their replies read at once.

Facts. Four fifths of a round trip's time is spent in the kernel, in one ``recv`` and one ``send``;
a Python loop is level with one in C only if it adds a handful of plain calls to them. With a
thousand connections, the memory that a message touches costs more than the instructions: each
object that belongs to one connection has left the cache before its next message.

Decision. Most load repeats one batch: equal messages, replies of a length known in advance. Such a
batch costs three comparisons and three clock reads, makes no object but its row, and uses only the
few fields that stand together here. Bytes and messages are computed from the number of batches when
they are asked for. Everything else (a reply in pieces, a window answered in part, a socket that
takes half a message, several payloads in turn, replies that must be verified) takes the general
path of `loadgen.engine.stream`, which handles every case. Where only the bytes of a reply tell when
it is whole, and no decoder has to know the messages, the batch is sent on the fast path and its
replies take the general one.

Danger. The two must agree. The fast path sends a batch only where nothing is in flight, and counts
it as answered only where all its replies are read at once, to the byte; any other case is handed
over.
"""

from abc import ABC, abstractmethod
from typing import Final, NamedTuple

from loadgen.engine.rows import INDEX_MASK, RecordReplies
from loadgen.net.clock import LONGEST_SEND_NS, Clock, middle_ns
from loadgen.net.timestamps import NOT_ASKED
from loadgen.net.transport import NOTHING, READ, ReceiveInto, Send

NO_BATCH: Final = -1
"""What a connection awaits that has no batch of the fast path in flight; no read has that size."""

_HALF_NS: Final = LONGEST_SEND_NS // 2


class Batch(NamedTuple):
    """What the fast path sends, the size of the replies to it, and how many messages it holds.

    reply_bytes: `NO_BATCH` where only the bytes of the replies tell when they are whole.
    """

    data: bytes
    reply_bytes: int
    messages: int


class FastPath(ABC):
    """The part of a stream channel that every message passes, and the fields that it needs.

    It is a class of its own because of where these fields lie in memory. CPython sorts `__slots__`
    by name within one class (Objects/typeobject.c, ``type_new``; the offsets of the members show
    it, 3.11 to 3.13), and places those of a subclass behind those of its base. Only a base class
    keeps these 15 fields together, in the first 120 bytes behind the object's header; in one class
    they would be spread by name over the whole of a channel.
    """

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
        "intended_ns",
        "interest",
        "origin",
        "sent_ns",
        "submitted_ns",
    )

    _receive_into: ReceiveInto
    _send: Send
    _record: RecordReplies

    def __init__(self, origin: int, batch: Batch, clock: Clock) -> None:
        self.origin = origin
        self.in_flight = 0
        self.interest = NOTHING
        self.intended_ns = 0
        self.sent_ns = self.submitted_ns = 0
        self._clock = clock
        self._batch = batch
        self._batches_granted = self._batches_left = 0
        self._unscheduled = 0  # messages that a schedule has yet to submit
        self._awaited_bytes = NO_BATCH

    def receive(self, buffer: bytearray) -> bool:
        """Read once into ``buffer``, scratch space; return whether a reply became whole.

        So it does when the server ends the connection in an orderly way.
        Raises ConnectionFailed if the connection is broken or the bytes are not a reply.
        """
        try:
            size = self._receive_into(buffer)
        except BlockingIOError:
            return False
        except OSError as error:
            return self._receive_broken(error)
        read_ns = self._clock()
        if size != self._awaited_bytes:
            return self._receive_general(memoryview(buffer)[:size], NOT_ASKED, read_ns)
        self._awaited_bytes = NO_BATCH
        replies = self.in_flight
        self.in_flight = 0
        self._record((self.origin, replies, self.intended_ns, self.sent_ns, NOT_ASKED, read_ns))
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
        clock = self._clock
        began_ns = clock()
        try:
            size = self._send(data)
        except BlockingIOError:
            size = 0
        except OSError as error:
            self.sent_ns = middle_ns(began_ns, clock())
            self._cut_short(data, 0)
            return self._end_or_raise(error)
        took_ns = clock() - began_ns  # from here as `middle_ns`, in line: a call costs more
        self.sent_ns = began_ns + (_HALF_NS if took_ns >= LONGEST_SEND_NS else took_ns // 2)
        return READ if size == len(data) else self._cut_short(data, size)

    def submit(self, intended_ns: int) -> int:
        """Send one message that was due at ``intended_ns``; else as `transmit`.

        For a connection that `is_free`, under a schedule. ``submitted_ns`` is then the time of the
        send.
        """
        if self.in_flight or not self._batch.data:
            return self._submit_general(intended_ns)
        data, self._awaited_bytes, self.in_flight = self._batch
        self._unscheduled -= 1
        self._batches_granted += 1
        self.intended_ns = intended_ns
        clock = self._clock
        began_ns = clock()
        try:
            size = self._send(data)
        except BlockingIOError:
            size = 0
        except OSError as error:
            self.submitted_ns = self.sent_ns = middle_ns(began_ns, clock())
            self._cut_short(data, 0)
            return self._end_or_raise(error)
        took_ns = clock() - began_ns  # as in `transmit`
        half_ns = _HALF_NS if took_ns >= LONGEST_SEND_NS else took_ns // 2
        self.submitted_ns = self.sent_ns = began_ns + half_ns
        return READ if size == len(data) else self._cut_short(data, size)

    @abstractmethod
    def _receive_general(self, view: memoryview, stamp_ns: int, read_ns: int) -> bool:
        """Handle a read that is not all the replies to a batch of the fast path."""

    @abstractmethod
    def _receive_broken(self, error: OSError) -> bool:
        """Handle a read that has failed with ``error``, as `_receive_general` does an end.

        Raises ConnectionFailed unless it is the orderly end of the connection.
        """

    @abstractmethod
    def _transmit_general(self) -> int:
        """Send what the fast path cannot."""

    @abstractmethod
    def _submit_general(self, intended_ns: int) -> int:
        """Send one message that the fast path cannot."""

    @abstractmethod
    def _cut_short(self, data: bytes, sent_bytes: int) -> int:
        """Take over a batch of whose ``data`` the kernel has accepted only ``sent_bytes``."""

    @abstractmethod
    def _end_or_raise(self, error: OSError) -> int:
        """Return `NOTHING` if the server has ended the connection in an orderly way.

        Otherwise raise ConnectionFailed for ``error``, with which a send has failed.
        """

    @property
    def index(self) -> int:
        """The position of the connection among all."""
        return self.origin & INDEX_MASK
