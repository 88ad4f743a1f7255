"""One alarm for each of many things, cheap where nearly all of them are put off again.

A connection's deadline moves with every message, but a heap operation for every message would
cost more than the message's bookkeeping. So a timer that goes off too early is fine: its timed
looks at the truth, and sets it anew. A connection is then looked at once in a timeout, not once in
a message. Entries are never searched for: one that has been replaced is recognised when it comes
up, and dropped.
"""

import heapq
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from loadgen.net.clock import NEVER_NS


class Timed(Protocol):
    """Something with one alarm."""

    alarm_ns: int | None


T = TypeVar("T", bound=Timed)


class TimerHeap(Generic[T]):
    """The alarms of many `Timed` owners, in order."""

    def __init__(self) -> None:
        self.soonest_ns = NEVER_NS
        """No alarm goes off before; `NEVER_NS` if there is none. To be looked at in every turn."""
        self._heap: list[tuple[int, int, T]] = []
        self._sequence = 0

    def set(self, timed: T, alarm_ns: int | None) -> None:
        """Make ``timed``'s one alarm go off at ``alarm_ns``; None silences it."""
        timed.alarm_ns = alarm_ns
        if alarm_ns is not None:
            self._sequence += 1  # orders equal times by age, and keeps owners from being compared
            heapq.heappush(self._heap, (alarm_ns, self._sequence, timed))
            self.soonest_ns = min(self.soonest_ns, alarm_ns)

    def next_ns(self) -> int | None:
        """Return when the next alarm goes off, None if there is none."""
        heap = self._heap
        while heap:
            alarm_ns, _, timed = heap[0]
            if timed.alarm_ns == alarm_ns:
                self.soonest_ns = alarm_ns
                return alarm_ns
            heapq.heappop(heap)
        self.soonest_ns = NEVER_NS
        return None

    def due(self, now_ns: int, at_most: int) -> Iterator[T]:
        """Silence and yield the owners whose alarms are due at ``now_ns``, ``at_most`` of them."""
        for _ in range(at_most):
            next_ns = self.next_ns()
            if next_ns is None or next_ns > now_ns:
                return
            timed = heapq.heappop(self._heap)[2]
            timed.alarm_ns = None
            yield timed
