"""Clocks: time as an argument, and the way from the wall clock to the monotonic one.

Whatever needs the time takes a `Clock`, and tests hand in one that they move.

Facts. On Linux CLOCK_REALTIME and CLOCK_MONOTONIC tick as one, whatever NTP does to their speed;
they differ by an offset that changes only when somebody sets the wall clock (clock_gettime(2)).

Danger. If it is set in mid-run, every stamp from then on is off by that step: negative latencies,
or an hour's.

Decision. Only stamps are wall clock times; sent and read are monotonic and know nothing of steps.
The offset is measured at the start and looked at again whenever stamps are converted. As long as it
stays where it was, they are right. If it has moved, whatever was in flight between the two looks is
left out, and counted.

Cost. A look takes 1 to 2 µs; undisturbed, the offset moves by less than 0.1 µs.
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
"""The time of day (since 1970), which may be set in mid-run."""


boot_ns: Clock | None = None
"""As `monotonic_ns`, but counts on while the machine is suspended (clock_gettime(2),
CLOCK_BOOTTIME); None where there is no such clock."""

if hasattr(time, "CLOCK_BOOTTIME"):
    boot_ns = functools.partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME)


class ManualClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, now_ns: int = 0) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        """Return the time it stands at."""
        return self.now_ns

    def advance(self, nanoseconds: int) -> None:
        """Move on by ``nanoseconds``."""
        self.now_ns += nanoseconds


NEVER_NS: Final = 2**62


STEP_NS: Final = 10_000
"""An offset that has moved by more was moved by somebody: measuring it is right within 0.1 µs."""


_LOOKS: Final = 5


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
        self.offset_ns, self._looked_ns, self._doubt_ns = self._look()

    def look(self) -> WallClockStep | None:
        """Look at the offset again; return the step, if there was one since the last look."""
        offset_ns, now_ns, doubt_ns = self._look()
        moved_ns = offset_ns - self.offset_ns
        since_ns, self._looked_ns = self._looked_ns, now_ns
        if abs(moved_ns) <= STEP_NS + doubt_ns + self._doubt_ns:
            return None
        self.offset_ns, self._doubt_ns = offset_ns, doubt_ns
        return WallClockStep(since_ns, now_ns, moved_ns)

    def _look(self) -> tuple[int, int, int]:
        """Return the offset, when it was measured, and by how much it may be wrong."""
        best_ns = None
        for _ in range(_LOOKS):
            before_ns, wall_ns, after_ns = self._clock(), self._wall(), self._clock()
            if best_ns is None or after_ns - before_ns < best_ns:
                best_ns = after_ns - before_ns
                offset_ns = wall_ns - (before_ns + after_ns) // 2
        return offset_ns, after_ns, best_ns or 0
