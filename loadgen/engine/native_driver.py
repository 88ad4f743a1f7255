"""The driver that receives and sends in C, on many connections in one call.

Facts. What is steady costs nothing here but its part of three calls: a wait, a `receive`, which
leaves a row for the recorder, and a `send`. What is not comes back from these calls: an event of a
connection that is coming up, a read that is not all the replies to a batch, a send that was cut
short. Each is given to its channel, which knows what to do.

Danger. The array of what has replied belongs to the driver, and is filled anew by each `receive`:
what is to be kept across two of them is copied. Descriptors are used anew: between the wait and the
`receive` a schedule may send, fail and close. A slot that has another descriptor by then, or none,
is not touched; an event without a steady slot is checked against what is registered now.
"""

from array import array
from collections.abc import Sequence
from typing import Any, Final, cast

from loadgen.engine import native
from loadgen.engine.channel import MessageChannel
from loadgen.engine.driver import Load, PythonDriver
from loadgen.engine.load_models import Due
from loadgen.engine.native_selector import NativeSelector, open_native
from loadgen.engine.pauses import Pauses
from loadgen.engine.slots import SlotChannel, Slots
from loadgen.net.backends import TURN_EVENTS
from loadgen.net.clock import monotonic_ns
from loadgen.net.failure import Cause, ConnectionFailed
from loadgen.net.pacing import Ready

_AT_ONCE: Final = 16
"""Events between two looks at a schedule."""


class NativeDriver(PythonDriver):
    """Receives and sends on the connections of ``slots``; as `PythonDriver` on all others."""

    _selector: NativeSelector

    def __init__(
        self, backend: str, slots: Slots, pacing: str = "normal", pauses: Pauses | None = None
    ) -> None:
        selector = open_native(backend)
        super().__init__(cast(Any, selector), monotonic_ns, pacing, pauses)
        self._slots = slots
        self._native = native.functions()
        self._replied = array("q", bytes(8 * TURN_EVENTS))
        self._others = array("q", bytes(8 * TURN_EVENTS * native.OTHER_COLUMNS))
        self._failed = array("q", bytes(8 * TURN_EVENTS * native.FAILED_COLUMNS))
        self._who, self._count = self._replied, 0  # the slots that are to send next

    def serve(self, load: Load) -> None:
        """Serve ``load`` from now on."""
        super().serve(load)
        self._buffer = self._slots.buffer  # what was handed back is handled before any event
        self._bulk = load.recorder.bulk
        self._out = (self._bulk.replies, self._replied, self._others)

    # ---- receiving ------------------------------------------------------------------------

    def receive(self, ready: Ready | range) -> list[MessageChannel]:
        """As `PythonDriver.receive`; what is steady is kept for `transmit` and not returned."""
        if isinstance(ready, list):  # what a channel asked for, without an event
            return super().receive(ready)
        schedule, count = self._load.schedule, len(ready)
        replied: list[MessageChannel] = []
        self._who, self._count = self._replied, 0
        if schedule is not None:
            schedule.send_due(self.submit)
        first = 0
        while first < count:
            last = count if schedule is None else min(count, first + _AT_ONCE)
            first = self._receive(first, last, replied)
            if schedule is not None:
                self._note_free(replied)
                schedule.send_due(self.submit)
            elif first < count:
                self._keep()
        return replied

    def _receive(self, first: int, last: int, replied: list[MessageChannel]) -> int:
        bulk = self._bulk
        table, events, out = self._slots.table, self._selector.events, self._out
        found = self._native.receive(table, events, first, last, out, bulk.replies_filled)
        first, count, others, bulk.replies_filled = found
        if self._who is self._replied:
            self._count = count
        else:
            self._who.extend(self._replied[:count])
            self._count += count
        if others:
            self._take_others(others, replied)
        return first

    def _keep(self) -> None:
        """Keep what has replied so far: the next `receive` of the turn writes over it."""
        if self._who is self._replied:
            self._who = self._replied[: self._count]

    def _take_others(self, count: int, replied: list[MessageChannel]) -> None:
        others, width = self._others, native.OTHER_COLUMNS
        connections, keys = self._load.pool.connections, self._selector.keys
        view = memoryview(self._slots.buffer)
        ready: Ready = []
        for at in range(0, count * width, width):
            descriptor, events, slot, size, offset, stamp_ns, read_ns = others[at : at + width]
            if events:
                key = keys.get(descriptor)
                if key is not None and events & key.events:
                    ready.append((key, events & key.events))
                continue
            if not self._slots.has(slot, descriptor):
                continue  # closed meanwhile, by what became of another one
            channel = cast(SlotChannel, connections[slot].messages)
            read = view[offset : offset + max(size, 0)]
            try:
                if channel.take_read(size, read, stamp_ns, read_ns):
                    replied.append(channel)
            except ConnectionFailed as broken:
                self._load.pool.fail(channel, broken)
        if ready:
            replied += super().receive(ready)

    def _note_free(self, replied: list[MessageChannel]) -> None:
        """Tell the schedule which channels have become free; leave the others in ``replied``."""
        schedule, connections = self._load.schedule, self._load.pool.connections
        assert schedule is not None
        steady = [connections[slot].messages for slot in self._who[: self._count]]
        self._count = 0
        replied[:] = [
            channel
            for channel in (*steady, *replied)
            if not schedule.note_free(channel, _read_ns(channel))
        ]

    # ---- sending --------------------------------------------------------------------------

    def transmit(self, replied: list[MessageChannel]) -> None:
        """As `PythonDriver.transmit`, and on what `receive` has kept."""
        model, count = self._load.model, self._count
        self._count = 0
        if model.follows_replies:
            if count:
                self._send(self._who, count)
            if replied:
                self._transmit(replied)
            return
        connections = self._load.pool.connections
        steady = [connections[slot].messages for slot in self._who[:count]]
        self._transmit(model.next_senders(steady + replied))

    def _transmit(self, chosen: Sequence[MessageChannel]) -> None:
        if self._load.schedule is not None:
            super()._transmit(chosen)
            return
        slots = array("q", [each.index for each in chosen if isinstance(each, SlotChannel)])
        for start in range(0, len(slots), TURN_EVENTS):
            part = slots[start : start + TURN_EVENTS]
            self._send(part, len(part))
        if len(slots) < len(chosen):
            super()._transmit([each for each in chosen if not isinstance(each, SlotChannel)])

    def _send(self, who: "array[int]", count: int) -> None:
        failed = self._native.send(self._slots.table, who, count, self._failed)
        if failed:
            for channel, result in self._failures(failed):
                if result == native.NOT_TRIED:
                    super()._transmit((channel,))
                else:
                    self._take_send(channel, result)

    def _failures(self, count: int) -> list[tuple[SlotChannel, int]]:
        connections, failed = self._load.pool.connections, self._failed.tolist()
        width = native.FAILED_COLUMNS
        pairs = zip(failed[: width * count : width], failed[1 : width * count : width], strict=True)
        return [(cast(SlotChannel, connections[slot].messages), result) for slot, result in pairs]

    def _take_send(self, channel: SlotChannel, result: int) -> bool:
        """Handle a send that was cut short; return whether there was a message to send."""
        pool = self._load.pool
        try:
            interest = channel.take_send(result)
            if interest != channel.interest:
                pool.settle(channel, interest)
        except ConnectionFailed as broken:
            pool.fail(channel, broken)
            return broken.failure.cause is not Cause.USER_CODE
        return True

    def submit(self, due: Sequence[Due]) -> None:
        """As `PythonDriver.submit`, in one call for all steady connections."""
        steady = [each for each in due if isinstance(each.channel, SlotChannel)]
        if steady:
            self._submit(steady)
        if len(steady) < len(due):
            super().submit([each for each in due if not isinstance(each.channel, SlotChannel)])

    def _submit(self, due: Sequence[Due]) -> None:
        table = array("q")
        for channel, intended_ns, free_ns in due:
            table.extend((channel.index, intended_ns, free_ns))
        bulk = self._bulk
        if bulk.sends_filled + len(due) > bulk.rows:  # many events, each with a look at a schedule
            self._load.recorder.flush()
        count, filled, slots = len(due), bulk.sends_filled, self._slots.table
        found = self._native.submit(slots, table, count, bulk.sends, filled, self._failed)
        bulk.sends_filled, failed = found
        if not failed:
            return
        by_index = {each.channel.index: each for each in due}
        for channel, result in self._failures(failed):
            message = by_index[channel.index]
            if result == native.NOT_TRIED:
                super().submit((message,))
            elif self._take_send(channel, result):
                times = (message.intended_ns, message.free_ns, channel.sent_ns)
                self._load.recorder.record_send(times)


def _read_ns(channel: MessageChannel) -> int | None:
    """Return when ``channel`` was last read, if that is known."""
    return channel.read_ns if isinstance(channel, SlotChannel) else None
