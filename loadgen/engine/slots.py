"""Slots: what the native half of the engine knows of each connection, and its channel above that.

Facts. The native half sends batches and receives the replies to them on many connections in one
call. What it needs to know of a connection are a few integers; kept beside each other in one array,
they are two lines of cache, and no Python object is touched for a message.

Decision. `Slots` is that array, with a row for each connection. A `SlotChannel` is a stream channel
that keeps those of its fields there which both paths need: it reads and writes its slot through
properties, so the general path is the same as ever, and always finds the truth.

Danger. A property costs some tenths of a microsecond, so the fields of the fast path are not worth
having here without the native half: the Python engine keeps them in `loadgen.engine.fast_path`.
"""

import os
import sys
from array import array
from collections.abc import Hashable
from typing import Any, Final

from loadgen.engine import native
from loadgen.engine.channel import BUFFER_BYTES, Host
from loadgen.engine.conversation import Conversation
from loadgen.engine.fast_path import NO_BATCH, Batch
from loadgen.engine.native import NativeBatch
from loadgen.engine.rows import INDEX_MASK, KIND_SHIFT
from loadgen.engine.stamped import StampedChannel
from loadgen.net.clock import Clock
from loadgen.net.protocols import Delimiter, Echo, Framing
from loadgen.net.timestamps import ANCILLARY_BYTES, NOT_ASKED, OPTION, bound_by, stamp_of
from loadgen.net.transport import READ_AND_WRITE, Transport

LONGEST_KNOWN_BYTES: Final = 65_536
"""Replies that are longer are not compared with one that was decoded."""

LEARN_EVERY_NS: Final = 10_000_000
"""How often other replies to a batch may become those that are known."""

_NEVER: Final = sys.maxsize

_EMPTY: Final = [0] * native.COLUMNS
_EMPTY[native.AWAITED_BYTES] = NO_BATCH
_EMPTY[native.DESCRIPTOR] = native.NO_DESCRIPTOR


class Slots:
    """The slots of the connections of an engine, and what the native half is called with.

    of: the slots, one row after the other. table: the first argument of the native functions.
    """

    def __init__(self) -> None:
        self.of = array("q")
        self.buffer = bytearray(BUFFER_BYTES)
        self._by_descriptor = array("q")
        self._batches: list[NativeBatch] = []
        self._framings: list[Framing] = []
        self._numbers: dict[Any, int] = {}
        self._learns_from_ns: dict[int, int] = {}  # by the number of a batch
        self.table: tuple[Any, ...] = ()
        self._make_table()

    def add(self, index: int) -> int:
        """Make room for a connection of that index; return where in `of` its slot begins."""
        for _ in range(len(self.of) // native.COLUMNS, index + 1):
            self.of.extend(_EMPTY)
        return index * native.COLUMNS

    def attach(self, index: int, descriptor: int) -> None:
        """Let the native half receive and send for a connection."""
        missing = descriptor + 1 - len(self._by_descriptor)
        if missing > 0:
            self._by_descriptor.extend([-1] * max(missing, 1024))
        self._by_descriptor[descriptor] = index
        self.of[index * native.COLUMNS + native.DESCRIPTOR] = descriptor

    def detach(self, index: int) -> None:
        """Let it leave a connection alone."""
        at = index * native.COLUMNS + native.DESCRIPTOR
        if self.of[at] != native.NO_DESCRIPTOR:
            self._by_descriptor[self.of[at]] = -1
            self.of[at] = native.NO_DESCRIPTOR

    def has(self, index: int, descriptor: int) -> bool:
        """Return whether the native half serves a connection through that descriptor."""
        return self.of[index * native.COLUMNS + native.DESCRIPTOR] == descriptor

    def number_of(self, batch: NativeBatch, framing: Framing) -> int:
        """Return the number of ``batch``, whose replies are framed so; equal ones share it.

        What is learnt for one of them holds for all.
        """
        is_hashable = isinstance(framing, Hashable)
        key = (batch, framing if is_hashable else id(framing))
        number = self._numbers.setdefault(key, len(self._batches))
        if number == len(self._batches):
            self._batches.append(batch)
            self._framings.append(framing)  # so that its id is not used anew
            self._make_table()
        return number

    def learn(self, number: int, replies: bytes, kind: int) -> None:
        """Note that ``replies``, to the batch of that number, were decoded: their ``kind``."""
        known = self._batches[number]._replace(reply=replies, kind=kind << KIND_SHIFT)
        self._batches[number] = known
        self._make_table()

    def may_learn(self, number: int, now_ns: int) -> bool:
        """Return whether to `learn` now: where all replies differ, that is to cost little."""
        if now_ns < self._learns_from_ns.get(number, 0):
            return False
        self._learns_from_ns[number] = now_ns + LEARN_EVERY_NS
        return True

    def _make_table(self) -> None:
        batches = tuple(self._batches)
        self.table = (self.of, self._by_descriptor, batches, self.buffer, OPTION)


def _column(number: int) -> Any:
    """Return a property that stands in a column of the slot."""

    def read(self: "SlotChannel") -> int:
        return self._slot[self._at + number]

    def write(self: "SlotChannel", value: int) -> None:
        self._slot[self._at + number] = value

    return property(read, write)


class SlotChannel(StampedChannel):
    """A stream channel whose batches the native half sends, and whose replies it receives."""

    __slots__ = ("_at", "_learns", "_native_batch", "_slot", "_slots", "_whole_read")

    _awaited_bytes = _column(native.AWAITED_BYTES)
    in_flight = _column(native.IN_FLIGHT)
    intended_ns = _column(native.INTENDED_NS)
    sent_ns = _column(native.SENT_NS)
    origin = _column(native.ORIGIN)
    _unstamped_left = _column(native.UNSTAMPED_LEFT)
    _batches_left = _column(native.BATCHES_LEFT)
    _batches_granted = _column(native.BATCHES_GRANTED)
    _unscheduled = _column(native.UNSCHEDULED)
    read_ns = _column(native.READ_AT_NS)
    _general_bytes_received = _column(native.RECEIVED_BYTES)

    def __init__(
        self,
        origin: int,
        conversation: Conversation,
        clock: Clock,
        host: Host,
        stamp_every: int,
        slots: Slots,
    ) -> None:
        self._slots, self._slot = slots, slots.of
        self._at = slots.add(origin & INDEX_MASK)
        super().__init__(origin, conversation, clock, host, stamp_every or 1)
        if not stamp_every:
            self._unstamped_after = self._unstamped_left = _NEVER
        batch = _native_batch(conversation, self._unstamped_after)
        self._batch = Batch(batch.data, batch.reply_bytes, batch.messages)
        self._native_batch = slots.number_of(batch, conversation.framing)
        self._learns = batch.reply_bytes == native.UNKNOWN and batch.check == native.EQUAL
        self._whole_read: memoryview | None = None
        self._slot[self._at + native.BATCH] = self._native_batch

    def attach(self, transport: Transport) -> None:
        """Exchange messages through ``transport``, which is up, from now on."""
        super().attach(transport)
        self._slot[self._at + native.IS_UNCHECKED] = 0
        self._slots.attach(self.index, transport.fileno())

    def detach(self) -> None:
        """Release the transport."""
        self._slots.detach(self.index)
        super().detach()

    # ---- what the native half hands back --------------------------------------------------

    def take_read(self, size: int, view: memoryview, stamp_ns: int, read_ns: int) -> bool:
        """Handle a read of ``view``, or one that has failed with -``size``.

        Returns whether to `transmit`. Raises ConnectionFailed.
        """
        if size < 0:
            return self._take_broken(OSError(-size, os.strerror(-size)))
        unstamped_left = self._unstamped_left
        has_reply = self._receive_general(view, stamp_ns, read_ns)
        if has_reply:
            self._unstamped_left = unstamped_left - 1 if unstamped_left else self._unstamped_after
        return has_reply

    def _take_broken(self, error: OSError) -> bool:
        """Handle a read that has failed; an orderly end counts as a read without a stamp."""
        has_ended = self._receive_broken(error)
        if has_ended and self._unstamped_left:
            self._unstamped_left -= 1
        return has_ended

    def take_send(self, result: int) -> int:
        """Handle a send of its batch of which ``result`` bytes were accepted, or that has failed.

        Returns the events to wait for, as `transmit`. Raises ConnectionFailed.
        """
        data = self._batch.data
        if result >= 0:
            self._cut_short(data, result)
            return READ_AND_WRITE
        error = OSError(-result, os.strerror(-result))
        self._cut_short(data, 0)
        return READ_AND_WRITE if isinstance(error, BlockingIOError) else self._end_or_raise(error)

    def receive(self, buffer: bytearray) -> bool:
        """Read once, where the native half does not; return whether to call `transmit`."""
        stamp_ns = NOT_ASKED
        try:
            if self._unstamped_left:
                size = self._receive_into(buffer)
            else:
                size, ancillary, _, _ = self._receive_message_into((buffer,), ANCILLARY_BYTES)
                stamp_ns = stamp_of(ancillary)
        except BlockingIOError:
            return False
        except OSError as error:
            return self._take_broken(error)
        if size == len(buffer):
            stamp_ns = bound_by(stamp_ns)
        return self.take_read(size, memoryview(buffer)[:size], stamp_ns, self._clock())

    def _receive_general(self, view: memoryview, stamp_ns: int, read_ns: int) -> bool:
        if self._learns and self._awaited_bytes == native.UNKNOWN:
            self._whole_read = view
        try:
            return super()._receive_general(view, stamp_ns, read_ns)
        finally:
            self._whole_read = None
            decoder = self.decoder
            if decoder.unsolicited:
                self._slot[self._at + native.IS_UNCHECKED] = decoder.partial

    def _take(self, replies: int, stamp_ns: int) -> None:
        if self._whole_read is not None and replies == self.in_flight:
            self._learn(self._whole_read)
        super()._take(replies, stamp_ns)

    def _learn(self, view: memoryview) -> None:
        """Let equal bytes be known as all the replies to a batch, if they say nothing else."""
        decoder = self.decoder
        says_more = decoder.partial or decoder.rejected or decoder.to_send or decoder.closes
        kinds = decoder.kinds
        if says_more or not getattr(decoder, "repeatable", False) or len(set(kinds)) > 1:
            return
        number = self._native_batch
        if len(view) <= LONGEST_KNOWN_BYTES and self._slots.may_learn(number, self.read_ns):
            self._slots.learn(number, bytes(view), kinds[0] if kinds else 0)

    def _leave_fast_path(self) -> None:
        if self._awaited_bytes == NO_BATCH:
            return
        conversation, count = self._conversation, self.in_flight
        if conversation.framing.needs_messages and conversation.reply_bytes is None:
            data = self._batch.data
            self.decoder.expect(data, [len(data) // count] * count)
        if self._awaited_bytes == native.UNKNOWN:
            self._awaited_bytes = NO_BATCH
        else:
            super()._leave_fast_path()

    @property
    def submits_in_bulk(self) -> bool:
        """Whether the native half sends the next message: nothing is in flight."""
        return not self._slot[self._at + native.IN_FLIGHT]

    @property
    def is_free(self) -> bool:
        """Whether it may take one more message of a schedule."""
        slot, at = self._slot, self._at
        has_room = slot[at + native.IN_FLIGHT] < self._window and self._unsent is None
        has_room = has_room and not self._again
        return has_room and slot[at + native.UNSCHEDULED] > 0 and not self.is_ending

    # ---- counts ---------------------------------------------------------------------------

    def counts(self) -> tuple[int, int, int, int]:
        """Return messages submitted and answered (one way: accepted), bytes sent and received."""
        slot = self._slot[self._at : self._at + native.COLUMNS]
        batch, left = self._batch, slot[native.BATCHES_LEFT]
        batches = slot[native.BATCHES_GRANTED] - left
        waiting = self._held + self._remaining + slot[native.UNSCHEDULED] + left * batch.messages
        submitted = self._limit - waiting
        whole = batches - (slot[native.AWAITED_BYTES] != NO_BATCH)
        return (
            submitted,
            submitted - slot[native.IN_FLIGHT] - self._to_resend - self.unanswered,
            self._general_bytes_sent + batches * len(batch.data),
            slot[native.RECEIVED_BYTES] + whole * max(batch.reply_bytes, 0),
        )


def is_steady(conversation: Conversation) -> bool:
    """Return whether the native half has anything to send for ``conversation``."""
    return bool(_native_batch(conversation, 0).data)


def _native_batch(conversation: Conversation, unstamped_after: int) -> NativeBatch:
    """Return what the native half sends for ``conversation``, and how it checks the replies.

    What is derived from a framing has a decoder of its own, which says when a reply is good.
    """
    data, reply_bytes, messages = conversation.batch
    framing = conversation.framing
    check, reply, most_bytes = native.SIZE_ONLY, b"", sys.maxsize
    if conversation.ends_sending:
        data, reply_bytes, messages = Batch(b"", 0, 1)
    elif type(framing) is Echo and framing.verify:
        data = reply = conversation.window_bytes
        reply_bytes, messages, check = len(data), conversation.at_once, native.EQUAL
    elif data and reply_bytes == NO_BATCH:
        reply_bytes, check = native.UNKNOWN, native.EQUAL
        if type(framing) is Delimiter and messages == 1:
            check, reply, most_bytes = native.DELIMITED, framing.mark, framing.max_reply_bytes
    return NativeBatch(*(data, reply_bytes, messages, check, reply, 0, most_bytes, unstamped_after))
