"""Loop statistics: how much of its time the loop waits, and the pauses in which it did not run.

Facts. A process is kept from running by others on its processor, by a quota of its control group,
by a stop signal, a paused container or a hypervisor. While it computes, that shows as a long time
between two polls. Stopped during a wait it looks idle: a wait for a reply has no moment at which it
must be over.

Decision. No wait lasts longer than `HEARTBEAT_NS`, so that each has a moment at which it is due to
end; a return that is later by more than `LATE_WAIT_NS` is a pause. That holds for every selector,
pacing and load model, in any loop, and needs nothing of the platform. The clock of the processor
time that was used cannot tell a pause from idleness, and the run-queue wait (``schedstat``,
proc(5)) does not include stop signals: it and the time throttled by a quota are recorded to explain
pauses.

Danger. How much of a wait a pause took before the moment at which the wait was due is unknown:
pauses are known to within one heartbeat.

Cost. A hundred wake-ups a second in an idle process, 0.3 % of a core; none in a busy one.
"""

from dataclasses import dataclass, field
from typing import Final

from loadgen.engine.pauses import Pauses

HEARTBEAT_NS: Final = 10_000_000
"""The longest wait."""

LATE_WAIT_NS: Final = 20_000_000
"""A wait that ends later than that was not merely woken up late, as on a busy machine."""

LATE_NS: Final = 5_000_000
"""A loop that polls later than it was due to by more than that has lost the processor..."""

EVENT_NS: Final = 50_000
"""...or had many events to handle: what one may take on a slow machine, with its reply and the
next send."""


@dataclass(slots=True)
class LoopStats:
    """Statistics of the loop. Times in nanoseconds.

    polls: calls of the selector; empty: those that returned nothing; waited_ns: the time spent in
    them, or asleep in a loop around this one, pauses excluded.
    gaps: the number of pauses; gaps_total_ns: their sum; longest_gap_ns: the longest pause, or the
    longest time between two calls of these methods if that is longer; longest_gap_from_ns: when
    that began.
    pauses: the pauses one by one, up to date at the end of each turn of the loop, before anything
    is computed from its times.
    """

    pauses: Pauses = field(default_factory=Pauses)
    polls: int = 0
    empty: int = 0
    waited_ns: int = 0
    gaps: int = 0
    gaps_total_ns: int = 0
    longest_gap_ns: int = 0
    longest_gap_from_ns: int = 0
    _left_ns: int | None = None

    def polled(self, began_ns: int, due_ns: int, ended_ns: int, found: int) -> None:
        """Note a poll that found ``found`` sockets ready.

        It lasted from ``began_ns`` to ``ended_ns``, and was to be over at ``due_ns`` at the latest.
        """
        self.polls += 1
        if not found:
            self.empty += 1
        self._pass(began_ns)
        self._wait(began_ns, due_ns, ended_ns)
        self._left_ns = ended_ns

    def worked(self, ended_ns: int, handled: int) -> None:
        """Note that ``handled`` events have been handled since the last poll."""
        self._pass(ended_ns, handled)

    def slept(self, began_ns: int, due_ns: int, ended_ns: int) -> None:
        """Note that a loop around this one slept between two polls; times as in `polled`."""
        self._pass(began_ns)
        self._wait(began_ns, due_ns, ended_ns)
        if self._left_ns is not None:
            self._left_ns = ended_ns

    def take_over(self, from_ns: int, pause_ns: int) -> None:
        """Count a pause that was under way when these statistics began, and is noted already."""
        if pause_ns > LATE_NS:
            self.gaps, self.gaps_total_ns = 1, pause_ns
            self.longest_gap_ns, self.longest_gap_from_ns = pause_ns, from_ns

    def _pass(self, now_ns: int, handled: int = 0) -> None:
        """Note the time since the last call, in which the loop handled events."""
        if self._left_ns is not None:
            self._note(self._left_ns, now_ns, LATE_NS + handled * EVENT_NS)
            self._left_ns = now_ns

    def _wait(self, began_ns: int, due_ns: int, ended_ns: int) -> None:
        due_ns = max(began_ns, due_ns)
        if ended_ns - due_ns > LATE_WAIT_NS:
            self._note(due_ns, ended_ns, LATE_WAIT_NS)
            ended_ns = due_ns
        self.waited_ns += ended_ns - began_ns

    def _note(self, from_ns: int, until_ns: int, explained_ns: int) -> None:
        gap_ns = until_ns - from_ns
        if gap_ns > self.longest_gap_ns:
            self.longest_gap_ns, self.longest_gap_from_ns = gap_ns, from_ns
        if gap_ns > explained_ns:
            self.gaps += 1
            self.gaps_total_ns += gap_ns
            self.pauses.add(from_ns, until_ns)
