"""Time as an argument: whatever needs it takes a `Clock`, and tests hand in one that they move."""

import functools
import time
from collections.abc import Callable

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
