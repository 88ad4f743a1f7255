"""The driver of an engine: what waits, receives and sends; here in Python, over any selector.

Facts. A turn of the engine waits, receives on what is ready, and sends where that is due. There are
two ways to do it: connection by connection in Python, which works on every platform and with
sockets and clocks that are not the system's; or on many connections in one call of C code
(`loadgen.engine.native_driver`).

Decision. Both are drivers: they hand out what is ready (`BoundedSelector.wait`), `receive` on it,
`transmit` on what has been answered, and `submit` what a schedule has due. All but the steady
exchange of messages is the channels' own work in both. In which order it happens, and why, says
`loadgen.engine.engine`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from loadgen.engine.channel import BUFFER_BYTES, MessageChannel
from loadgen.engine.load_models import Due, LoadModel, LoadSchedule
from loadgen.engine.pool import ConnectionPool
from loadgen.engine.recorder import Recorder
from loadgen.engine.selector import BoundedSelector
from loadgen.net.failure import Cause, ConnectionFailed
from loadgen.net.pacing import Ready
from loadgen.net.transport import READ


class Load(NamedTuple):
    """What a driver serves: the connections, and what says when to send on them.

    schedule: the model, where it is one that has messages due.
    """

    pool: ConnectionPool
    recorder: Recorder
    model: LoadModel
    schedule: LoadSchedule | None


class PythonDriver(BoundedSelector):
    """Receives and sends connection by connection."""

    _load: Load
    _buffer: bytearray

    def serve(self, load: Load) -> None:
        """Serve ``load`` from now on."""
        self._load = load
        self._buffer = bytearray(BUFFER_BYTES)

    def receive(self, ready: Ready) -> list[MessageChannel]:
        """Receive on what is ``ready``; return the channels that are to `transmit` then.

        What a schedule has due is submitted before that, and after each event.
        """
        buffer, fail, schedule = self._buffer, self._load.pool.fail, self._load.schedule
        replied: list[MessageChannel] = []
        if schedule is not None:
            schedule.send_due(self.submit)
        for key, events in ready:
            channel = key.data
            if schedule is not None and key.fileobj is not channel.transport:
                continue  # a send has failed since the poll
            try:
                if events == READ:
                    may_transmit = channel.receive(buffer)
                else:
                    may_transmit = channel.handle(buffer, events)
            except ConnectionFailed as broken:
                fail(channel, broken)
                continue
            if may_transmit and (schedule is None or not schedule.note_free(channel)):
                replied.append(channel)
            if schedule is not None:
                schedule.send_due(self.submit)
        return replied

    def transmit(self, replied: list[MessageChannel]) -> None:
        """Transmit on the channels that the load model chooses, of ``replied`` and of others."""
        self._transmit(self._load.model.next_senders(replied))

    def _transmit(self, chosen: Sequence[MessageChannel]) -> None:
        pool, schedule = self._load.pool, self._load.schedule
        settle = pool.settle
        for channel in chosen:
            try:
                interest = channel.transmit()
                if interest != channel.interest:
                    settle(channel, interest)
            except ConnectionFailed as broken:
                pool.fail(channel, broken)
            else:
                if schedule is not None:
                    schedule.note_free(channel)

    def submit(self, due: Sequence[Due]) -> None:
        """Send the messages that are ``due``, and record when that was."""
        pool, record_send = self._load.pool, self._load.recorder.record_send
        for channel, intended_ns, free_ns in due:
            try:
                interest = channel.submit(intended_ns)
            except ConnectionFailed as broken:
                pool.fail(channel, broken)
                if broken.failure.cause is Cause.USER_CODE:
                    continue  # there was no message to send
            else:
                if interest != channel.interest:
                    pool.settle(channel, interest)
            record_send((intended_ns, free_ns, channel.submitted_ns))
