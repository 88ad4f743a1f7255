"""Time as an argument: whatever needs it takes a `Clock`, and tests hand in one that they move."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Returns nanoseconds that never run backwards; their origin means nothing."""

monotonic_ns: Clock = time.monotonic_ns


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
