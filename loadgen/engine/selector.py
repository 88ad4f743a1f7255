"""A selector that returns events in bounded portions, and measures the loop that calls it.

A selector of the standard library may return everything that is ready, thousands of events. They
are returned `TURN_EVENTS` at a time; the rest is returned first the next time, without waiting. A
wait is cut into heartbeats, for the reason that `loadgen.engine.loop_stats` gives.

Danger. A pause puts deadlines off, for the server could not be heard in it. But a turn that takes
long is a pause, too, also where this process has computed all the time, such as with the replies of
a server that sends as fast as it can: it would put off every deadline of its own. So only a stop
counts there, that part of a pause in which the thread did not run by the clock of its processor
time, which is read once in 5 ms at most.
"""

import selectors
from typing import Any

from loadgen.engine.channel import Channel
from loadgen.engine.loop_stats import HEARTBEAT_NS, LATE_NS, LoopStats
from loadgen.engine.pauses import Pauses
from loadgen.net.backends import TURN_EVENTS
from loadgen.net.clock import NEVER_NS, Clock, processor_ns
from loadgen.net.pacing import Ready, waiting
from loadgen.net.transport import NOTHING
from loadgen.units import ns_to_seconds, seconds_to_ns


class BoundedSelector:
    """Registers channels for their `interest` with a selector, which it owns and closes.

    pacing: a name of `loadgen.net.pacing.NAMES`. pauses: where those of this process are noted.
    processor: the processor time of the thread.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        clock: Clock,
        pacing: str = "normal",
        pauses: Pauses | None = None,
        processor: Clock = processor_ns,
    ) -> None:
        self.pauses = Pauses() if pauses is None else pauses
        self.stops = Pauses()
        """What of the pauses puts deadlines off: in these parts of them the thread did not run."""
        self.loop_stats = LoopStats(self.pauses)
        """The statistics of the loop since the last `take_loop_stats`."""
        self.polled_ns = self.polled_before_ns = clock()
        """When the last poll ended, and the last one before it that returned all that was ready."""
        self._selector: Any = selector
        self._clock = clock
        self._processor = processor
        self._looked_ns, self._ran_ns = self.polled_ns, processor()
        self._spins = pacing == "precise"
        self._wait_until = waiting(pacing, selector, clock)
        self._left_over: Ready = []
        self._may_have_more = False
        self._has_taken_step = False

    def wait(self, timeout_s: float | None, moment_ns: int | None = None) -> Ready:
        """Return (key, events) pairs, at most `TURN_EVENTS`; ``key.data`` is the channel.

        Waits until ``moment_ns``, as exactly as the pacing allows; where that is None, for
        ``timeout_s`` seconds at most (None: no limit). Does not wait if events are left over.
        """
        if self._left_over:
            # Since the poll, a connection may have closed, or been opened again.
            ready = [pair for pair in self._left_over if pair[0].fileobj is pair[0].data.transport]
        else:
            ready = self._poll(timeout_s, moment_ns)
        self._left_over = list(ready[TURN_EVENTS:])
        return ready[:TURN_EVENTS] if self._left_over else ready

    def take_loop_stats(self, since_ns: int | None = None) -> LoopStats:
        """Return the statistics since the last call, and begin new ones.

        What was a pause from ``since_ns`` on counts in the new ones.
        """
        now_ns = self._clock()
        taken, self.loop_stats = self.loop_stats, LoopStats(self.pauses, _left_ns=now_ns)
        if since_ns is not None:
            self.loop_stats.take_over(since_ns, self.pauses.within_ns(since_ns, now_ns))
        return taken

    def end_turn(self, handled: int) -> None:
        """Note that ``handled`` events of those that `wait` has returned have been handled."""
        now_ns = self._clock()
        self.loop_stats.worked(now_ns, handled)
        if now_ns - self._looked_ns > LATE_NS:
            self._look_for_stop(now_ns)
        self._has_taken_step = False

    def take_step(self) -> bool:
        """Return whether a step that takes long may be taken: the first to ask in a turn may.

        The others are asked again in the next turn, since what they wait for is still there.
        """
        is_first = not self._has_taken_step
        self._has_taken_step = True
        return is_first

    def _poll(self, timeout_s: float | None, moment_ns: int | None) -> Ready:
        began_ns = self._clock()
        end_ns = NEVER_NS if timeout_s is None else began_ns + seconds_to_ns(timeout_s)
        if moment_ns is not None:
            end_ns = moment_ns
        left_ns = end_ns - began_ns
        while True:
            if not self._may_have_more:
                self.polled_before_ns = self.polled_ns
            span_ns = max(0, min(left_ns, HEARTBEAT_NS))
            due_ns = began_ns + span_ns
            if moment_ns is None:
                ready: Ready = self._selector.select(ns_to_seconds(span_ns))
            else:
                due_ns = min(due_ns, moment_ns)
                ready = self._wait_until(self._selector, due_ns)
            self.polled_ns = self._clock()
            self.loop_stats.polled(began_ns, due_ns, self.polled_ns, len(ready))
            if self.polled_ns - self._looked_ns > LATE_NS:
                self._look_for_stop(self.polled_ns)
            self._may_have_more = len(ready) == TURN_EVENTS
            left_ns = min(left_ns - span_ns, end_ns - self.polled_ns)
            if ready or (left_ns <= 0 and not self._must_spin(moment_ns)):
                return ready
            began_ns = self._clock()

    def _look_for_stop(self, now_ns: int) -> None:
        """Note how much of the pauses since the last look was a stop.

        No pause is shorter than `LATE_NS`; between two looks the loop has waited, or it has worked.
        """
        since_ns, before_ns = self._looked_ns, self._ran_ns
        self._looked_ns, self._ran_ns = now_ns, self._processor()
        idle_ns = now_ns - since_ns - (self._ran_ns - before_ns)
        stopped_ns = min(idle_ns, self.pauses.within_ns(since_ns, now_ns))
        if stopped_ns > 0:
            self.stops.add(now_ns - stopped_ns, now_ns)

    def _must_spin(self, moment_ns: int | None) -> bool:
        return self._spins and moment_ns is not None and self.polled_ns < moment_ns

    @property
    def has_left_over(self) -> bool:
        """Whether `wait` would return at once."""
        return bool(self._left_over)

    def register(self, channel: Channel, interest: int) -> None:
        """Register the transport of ``channel`` for the events ``interest``."""
        self._selector.register(channel.transport, interest, channel)
        channel.interest = interest

    def modify(self, channel: Channel, interest: int) -> None:
        """Change the events for which ``channel`` is registered to ``interest``."""
        if interest != channel.interest:
            self._selector.modify(channel.transport, interest, channel)
            channel.interest = interest

    def replace(self, before: Channel, after: Channel, interest: int) -> None:
        """Let ``after``, which has the same transport, take the place of ``before``."""
        self._selector.modify(after.transport, interest, after)
        before.interest, after.interest = NOTHING, interest

    def hand_out(self, channel: Channel) -> None:
        """Let the next `wait` return at once, and say that ``channel`` is readable."""
        if all(key.data is not channel for key, _ in self._left_over):
            key = self._selector.get_key(channel.transport)
            self._left_over.append((key, selectors.EVENT_READ))

    def unregister(self, channel: Channel) -> None:
        """Unregister ``channel`` if it is registered; its transport must still be open."""
        if channel.interest != NOTHING:
            self._selector.unregister(channel.transport)
            channel.interest = NOTHING

    def fileno(self) -> int:
        """Return the selector's descriptor. Raises AttributeError where it has none."""
        descriptor: int = self._selector.fileno()
        return descriptor

    def close(self) -> None:
        """Close the selector."""
        self._selector.close()
