"""A timer heap in which a timer is cheap to put off: one timer for each connection.

A connection's deadline moves with every message, but a heap operation for every message would cost
more than the rest of its bookkeeping. So a timer may expire too early: the caller checks the real
deadline, and sets the timer again. A connection is then checked once in a time-out, not once in a
message. Entries are never searched for: one that has been replaced is recognised, and dropped, when
it reaches the front of the heap.
"""

import heapq
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from loadgen.net.clock import NEVER_NS


class Timed(Protocol):
    """Something with one timer: ``timer_ns`` is when it expires, None if it is not set."""

    timer_ns: int | None


T = TypeVar("T", bound=Timed)


class TimerHeap(Generic[T]):
    """The timers of many `Timed` objects, in the order in which they expire."""

    def __init__(self) -> None:
        self.soonest_ns = NEVER_NS
        """No timer expires before; `NEVER_NS` if none is set. Cheap to read in every turn."""
        self._heap: list[tuple[int, int, T]] = []
        self._sequence = 0

    def set(self, timed: T, timer_ns: int | None) -> None:
        """Make the timer of ``timed`` expire at ``timer_ns``; None cancels it."""
        timed.timer_ns = timer_ns
        if timer_ns is not None:
            self._sequence += (
                1  # equal times expire in the order of setting; objects are never compared
            )
            heapq.heappush(self._heap, (timer_ns, self._sequence, timed))
            self.soonest_ns = min(self.soonest_ns, timer_ns)

    def next_ns(self) -> int | None:
        """Return when the next timer expires, None if none is set."""
        heap = self._heap
        while heap:
            timer_ns, _, timed = heap[0]
            if timed.timer_ns == timer_ns:
                self.soonest_ns = timer_ns
                return timer_ns
            heapq.heappop(heap)
        self.soonest_ns = NEVER_NS
        return None

    def due(self, now_ns: int, at_most: int) -> Iterator[T]:
        """Yield, ``at_most``, the objects whose timers have expired at ``now_ns``; cancel those."""
        for _ in range(at_most):
            next_ns = self.next_ns()
            if next_ns is None or next_ns > now_ns:
                return
            timed = heapq.heappop(self._heap)[2]
            timed.timer_ns = None
            yield timed
