"""The event loop: one selector, many connections.

Facts. A turn polls the selector and handles what is ready. The order in which it does so decides
how accurate the times are. If each connection is read and answered in turn, the hundredth waits for
ninety-nine sends before its reply gets its time. If everything that is ready is handled in one
turn, a turn with five thousand connections takes forty milliseconds, and whatever else shares the
loop waits for that long.

Decision. In a closed loop a turn has two passes: first every ready connection is read, and its
reply timed and recorded; then all that may send do so. In an open loop the sends must not be late,
while a late read costs nothing where the kernel stamps arrivals: what is due is sent first, and
the schedule is checked again after every event. Either way a turn is bounded: at most
`TURN_EVENTS` events, connects and timers. What is left over is handled first in the next turn,
which then does not wait.

The caller calls `turn` until the run is over, from a plain loop or from a callback of another event
loop, which polls `fileno()` and wakes up after `next_timeout()`.

Danger. An exception that leaves `turn` may end the calling loop for good. A broken connection is an
event here: `ConnectionFailed` is never passed on.

Cost. bench/limit.py measures it, against a client in C that does nothing but the system calls.
"""

from collections.abc import Sequence

from loadgen.engine.channel import MessageChannel
from loadgen.engine.connection import Connection
from loadgen.engine.conversation import Conversation
from loadgen.engine.driver import Load, PythonDriver
from loadgen.engine.group import ByGroup, Group
from loadgen.engine.lifecycle import State
from loadgen.engine.load_models import LoadModel, LoadSchedule
from loadgen.engine.loop_stats import LoopStats
from loadgen.engine.pool import ConnectionPool
from loadgen.engine.recorder import Recorder
from loadgen.engine.timeouts import ConnectionPolicy
from loadgen.errors import LoadgenBug
from loadgen.net.clock import NEVER_NS, Clock
from loadgen.net.failure import ConnectionFailed
from loadgen.net.pacing import Ready
from loadgen.units import NS_PER_S, ns_to_seconds


class Engine:
    """Drives connections by ``driver``, whose selector it owns and closes in the end.

    groups: those that its connections may belong to, one at least. ``pool`` holds the connections.
    """

    def __init__(
        self,
        driver: PythonDriver,
        groups: Sequence[Group],
        recorder: Recorder,
        clock: Clock,
        policy: ConnectionPolicy,
    ) -> None:
        numbers = {group.number for group in groups}
        if len(numbers) < len(groups):
            raise LoadgenBug(f"of {len(groups)} groups some have the same number: {numbers}")
        self.pool = ConnectionPool(driver, recorder, clock, policy, self._begin)
        self._driver = driver
        self._recorder = recorder
        self._clock = clock
        self._groups = groups
        self._model: LoadModel = groups[0].model
        if len(groups) > 1:
            models = [group.model for group in groups]
            self._model = ByGroup(models, lambda index: self.pool.connections[index].group.model)
        self._schedule: LoadSchedule | None = None
        if isinstance(self._model, LoadSchedule) and any(each.is_scheduled for each in groups):
            self._schedule = self._model
        driver.serve(Load(self.pool, recorder, self._model, self._schedule))
        self._is_started = False

    # ---- for the caller -------------------------------------------------------------------

    def add(
        self, conversation: Conversation, count: int = 1, group: Group | None = None
    ) -> list[Connection]:
        """Add ``count`` connections to ``group``, the first one unless it is given."""
        if group is None:
            group = self._groups[0]
        if group not in self._groups:
            raise LoadgenBug(f"group {group.number} is none of this engine's")
        return self.pool.add(group, conversation, count)

    def start(self) -> int:
        """Start sending, on the connections that are up and on those that come up later.

        Return the moment from which the times of a schedule count.
        """
        self._is_started = True
        for connection in self.pool.connections:
            if connection.state is State.READY:
                self._begin(connection)
        now_ns = self._clock()
        if self._schedule is not None:
            self._schedule.begin(now_ns)
        return now_ns

    def end_warm_up(self) -> None:
        """Release the messages of the load, which a schedule holds back until then."""
        if self._schedule is not None:
            self._schedule.end_warm_up()

    def send_now(self, channel: MessageChannel) -> None:
        """Send one message on ``channel``, which is free; for a schedule `OnDemand`."""
        try:
            interest = channel.submit(0)
            if interest != channel.interest:
                self.pool.settle(channel, interest)
        except ConnectionFailed as broken:
            self.pool.fail(channel, broken)

    def close(self) -> None:
        """Close every connection now, and the selector; what is in flight is cut off."""
        self.pool.close()
        self._driver.close()

    @property
    def loop_stats(self) -> LoopStats:
        """The statistics of the loop since the last `take_loop_stats`; they go on changing."""
        return self._driver.loop_stats

    def take_loop_stats(self, since_ns: int | None = None) -> LoopStats:
        """Return the statistics of the loop since the last call, and begin new ones.

        Of a pause that lasts beyond ``since_ns``, what follows that moment counts in the new ones.
        """
        return self._driver.take_loop_stats(since_ns)

    def slept(self, began_ns: int, due_ns: int, ended_ns: int) -> None:
        """Note that the loop that calls `turn` slept in between.

        ``due_ns`` is when it was to wake up at the latest.
        """
        self._driver.loop_stats.slept(began_ns, due_ns, ended_ns)

    @property
    def stopped_ns(self) -> int:
        """How long this process has not run though it was due to, in nanoseconds.

        Not the time in which it was busy and looked at no socket: that puts no deadline off.
        """
        return self._driver.stops.total_ns

    def overdue(self, from_ns: int, until_ns: int) -> int | None:
        """End the schedule; return how many messages due in [from_ns, until_ns) were not sent.

        None if they are too many to be counted.
        """
        return 0 if self._schedule is None else self._schedule.overdue(from_ns, until_ns)

    def fileno(self) -> int:
        """Return the selector's descriptor; raises AttributeError where it has none (poll)."""
        return self._driver.fileno()

    def next_timeout(self) -> float | None:
        """Return the seconds until a turn is due although no socket is ready; None: never."""
        if self._driver.has_left_over:
            return 0.0
        self.pool.correct_timers()
        moment_ns, timer_ns = self._model.next_ns(), self.pool.timer_ns()
        due_ns = timer_ns if moment_ns is None else min(moment_ns, timer_ns)
        return None if due_ns == NEVER_NS else max(0.0, ns_to_seconds(due_ns - self._clock()))

    # ---- the turn -------------------------------------------------------------------------

    def turn(self, timeout_s: float | None = None) -> None:
        """Wait for events, ``timeout_s`` seconds at most (None: as long as it takes); handle them.

        Returns earlier when a timer or a message is due. Raises nothing for a broken connection.
        """
        driver = self._driver
        ready = self._wait(timeout_s)
        driver.transmit(driver.receive(ready))
        driver.end_turn(len(ready))
        polled_ns = driver.polled_ns
        self._recorder.end_turn(polled_ns, driver.polled_before_ns)
        if self.pool.timer_ns() <= polled_ns:
            self.pool.handle_due()

    def _wait(self, timeout_s: float | None) -> Ready:
        timer_ns, moment_ns = self.pool.timer_ns(), self._model.next_ns()
        if moment_ns is not None:  # met as exactly as the pacing allows
            moment_ns = min(moment_ns, timer_ns)
            if timeout_s is not None:
                moment_ns = min(moment_ns, self._clock() + int(timeout_s * NS_PER_S))
        elif timer_ns < NEVER_NS and timeout_s != 0:
            timer_s = max(0.0, ns_to_seconds(timer_ns - self._clock()))
            timeout_s = timer_s if timeout_s is None else min(timer_s, timeout_s)
        return self._driver.wait(timeout_s, moment_ns)

    def _begin(self, connection: Connection) -> None:
        """Start sending on ``connection``, which has come up, if the engine has started."""
        if not self._is_started:
            return
        group, channel = connection.group, connection.messages
        channel.begin(self._recorder, scheduled=group.is_scheduled)
        if group.is_scheduled and channel.has_to_resend and not channel.is_ending:
            self.pool.settle(channel, channel.transmit())
        group.model.admit(channel)
