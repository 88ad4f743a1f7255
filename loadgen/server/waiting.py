"""Waiting for sockets until a moment, to the microsecond.

Facts. ``epoll_wait`` counts in milliseconds, and Python rounds up: half a millisecond too late on
average. ``select(2)`` on the epoll descriptor itself counts in microseconds, and with a timer slack
of 1 ns (prctl(2), PR_SET_TIMERSLACK) wakes some 30 to 100 microseconds after the time asked for.

Decision. Wait in ``select`` until shortly before the moment, then ask again and again. Whoever
waits for nothing in particular sleeps in the selector as usual, and costs nothing.

Cost. `SPIN_NS` of processor time for each moment that is waited for.
"""

import select
import time
from selectors import BaseSelector, SelectorKey
from typing import Final

from loadgen.net import backends
from loadgen.units import NS_PER_S, ns_to_seconds

SPIN_NS: Final = 100_000
"""How long before the moment the waiting turns into asking."""

_LONGEST_NS: Final = 3600 * NS_PER_S  # the system calls refuse to wait for years

Ready = list[tuple[SelectorKey, int]]


class Waiter:
    """Waits on ``selector``, which remains its owner's."""

    def __init__(self, selector: BaseSelector) -> None:
        self._select = selector.select
        descriptor = getattr(selector, "fileno", lambda: backends.FD_SETSIZE)()
        self._watched = [descriptor] if descriptor < backends.FD_SETSIZE else []

    def until(self, moment_ns: int) -> Ready:
        """Return what is ready, as soon as something is; nothing at ``moment_ns``, or before.

        moment_ns: a time of `time.monotonic_ns`.
        """
        left_ns = min(moment_ns - time.monotonic_ns(), _LONGEST_NS)
        if not self._watched:
            return self._select(max(0.0, ns_to_seconds(left_ns)))
        if left_ns > SPIN_NS:
            select.select(self._watched, (), (), ns_to_seconds(left_ns - SPIN_NS))
        while not (ready := self._select(0.0)) and 0 < moment_ns - time.monotonic_ns() <= SPIN_NS:
            pass
        return ready
