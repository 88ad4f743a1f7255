"""Clocks: time as an argument, and conversion from the wall clock to the monotonic clock.

What needs the time takes a `Clock`; tests pass one that they move by hand.

Facts. On Linux CLOCK_REALTIME and CLOCK_MONOTONIC tick as one, whatever NTP does to their speed;
they differ by an offset that changes only when the wall clock is set (clock_gettime(2)).

Danger. If it is set during a run, every stamp from then on is off by that step: latencies become
negative, or an hour too long.

Decision. Only stamps are wall clock times; times of sending and reading are monotonic and not
affected. The offset is measured at the start and again whenever stamps are converted. As long as it
has not changed, they are right. If it has, all that was in flight between the two measurements is
left out, and counted.

Cost. A measurement takes 1 to 2 µs; undisturbed, the offset moves by less than 0.1 µs.

The time of a send is the middle of the call, `middle_ns`. The kernel lets go of a message somewhere
within it: over loopback, where the receiver's half is part of the call, 1 to 4 µs after it began.
"""

import functools
import time
from collections.abc import Callable
from typing import Final, NamedTuple

Clock = Callable[[], int]
"""Returns nanoseconds; their origin means nothing."""

monotonic_ns: Clock = time.monotonic_ns
"""Never runs backwards."""

wall_ns: Clock = time.time_ns
"""The time of day (since 1970), which may be set during a run."""

processor_ns: Clock = time.thread_time_ns
"""The processor time of this thread."""

boot_ns: Clock | None = None
"""As `monotonic_ns`, but counts on while the machine is suspended (clock_gettime(2),
CLOCK_BOOTTIME); None where there is no such clock."""

if hasattr(time, "CLOCK_BOOTTIME"):
    boot_ns = functools.partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME)


LONGEST_SEND_NS: Final = 6_000
"""A send that takes longer was interrupted, or waited; its end says nothing of when it took place:
a server on the same processor may even have answered before. With 16 µs, service times there were
2 to 3 µs shorter than the truth, and some replies had come before they were asked for; with 6 µs
they are some 2 µs longer, and none had. As in ``net/native.h``."""


def middle_ns(began_ns: int, ended_ns: int) -> int:
    """Return when a send took place that began and ended then.

    Half of `LONGEST_SEND_NS` after it began, at the latest.
    """
    return began_ns + min(ended_ns - began_ns, LONGEST_SEND_NS) // 2


class ManualClock:
    """A clock that moves only when told to, for tests."""

    def __init__(self, now_ns: int = 0) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        """Return its time."""
        return self.now_ns

    def advance(self, nanoseconds: int) -> None:
        """Move on by ``nanoseconds``."""
        self.now_ns += nanoseconds


NEVER_NS: Final = 2**62

STEP_NS: Final = 10_000
"""An offset that has moved by more was set: the measurement is exact to 0.1 µs."""

_MEASUREMENTS: Final = 5


class WallClockStep(NamedTuple):
    """The wall clock was set by ``step_ns`` at some moment from ``since_ns`` to ``until_ns``."""

    since_ns: int
    until_ns: int
    step_ns: int


class WallClock:
    """Follows the offset between two clocks, ``wall`` and ``clock``."""

    def __init__(self, clock: Clock, wall: Clock) -> None:
        self._clock = clock
        self._wall = wall
        self.offset_ns, self._measured_ns, self._error_ns = self._measure()

    def look(self) -> WallClockStep | None:
        """Measure the offset again; return the step, if there was one since the last time."""
        offset_ns, now_ns, error_ns = self._measure()
        moved_ns = offset_ns - self.offset_ns
        since_ns, self._measured_ns = self._measured_ns, now_ns
        if abs(moved_ns) <= STEP_NS + error_ns + self._error_ns:
            return None
        self.offset_ns, self._error_ns = offset_ns, error_ns
        return WallClockStep(since_ns, now_ns, moved_ns)

    def _measure(self) -> tuple[int, int, int]:
        """Return the offset, when it was measured, and its largest error."""
        best_ns = None
        for _ in range(_MEASUREMENTS):
            before_ns, wall_ns, after_ns = self._clock(), self._wall(), self._clock()
            if best_ns is None or after_ns - before_ns < best_ns:
                best_ns = after_ns - before_ns
                offset_ns = wall_ns - (before_ns + after_ns) // 2
        return offset_ns, after_ns, best_ns or 0
