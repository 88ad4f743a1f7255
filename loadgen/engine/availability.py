"""How long connections were up, and what they did otherwise.

Facts. A rate, and the verdict on it, mean something only for connections that exist. Those that
have failed for good, that wait to be opened again, or that do not come up, make no load; a rate
over seconds in which no connection was up is a rate of nothing.

Decision. Each connection has a standing, which changes only where its state does. What is kept is
the number of connections of each standing, and its integral over time: connection-time.

Cost. Some 0.5 µs for each change; nothing for a message.
"""

import enum
from dataclasses import dataclass
from typing import Final

from loadgen.net.clock import Clock


class Standing(enum.IntEnum):
    """What a connection is doing, as far as the load is concerned.

    OPENING: asked for, and not up yet for the first time, or opened again after a failure.
    UP: ready for messages, or draining.
    RENEWING: being opened again after an orderly end that belongs to the exchange.
    BACKING_OFF: failed; it waits before it is opened again.
    FAILED: failed for good.
    DONE: no longer asked for: all that was to be sent on it has been, or its user has stopped.
    """

    OPENING = 0
    UP = 1
    RENEWING = 2
    BACKING_OFF = 3
    FAILED = 4
    DONE = 5


@dataclass(frozen=True, slots=True)
class ConnectionTime:
    """Connection-time in nanoseconds by standing; none_up_ns: the time in which none was up.

    The latter counts only while connections were asked for.
    """

    opening_ns: int = 0
    up_ns: int = 0
    renewing_ns: int = 0
    backing_off_ns: int = 0
    failed_ns: int = 0
    none_up_ns: int = 0

    def since(self, before: "ConnectionTime") -> "ConnectionTime":
        """Return the connection-time since ``before``."""
        return ConnectionTime(*(getattr(self, name) - getattr(before, name) for name in _FIELDS))


_FIELDS: Final = tuple(ConnectionTime.__dataclass_fields__)


class Availability:
    """Counts connections by standing, and adds up their time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_ns = clock()
        self._counts = [0] * len(Standing)
        self._times_ns = [0] * len(Standing)
        self._none_up_ns = 0

    def add(self, standing: Standing, count: int = 1) -> None:
        """Add ``count`` connections of that standing."""
        self._pass()
        self._counts[standing] += count

    def move(self, before: Standing, after: Standing) -> Standing:
        """Change the standing of one connection; return the new one."""
        if after is not before:
            self._pass()
            self._counts[before] -= 1
            self._counts[after] += 1
        return after

    def count(self, standing: Standing) -> int:
        """Return how many connections have that standing."""
        return self._counts[standing]

    def so_far(self, at_ns: int) -> ConnectionTime:
        """Return the connection-time until ``at_ns``, since when no standing has changed."""
        span_ns = at_ns - self._since_ns
        by_name = {
            f"{each.name.lower()}_ns": self._times_ns[each] + self._counts[each] * span_ns
            for each in _ASKED_FOR
        }
        none_up_ns = self._none_up_ns + self._is_none_up * span_ns
        return ConnectionTime(**by_name, none_up_ns=none_up_ns)

    def _pass(self) -> None:
        now_ns = self._clock()
        span_ns, self._since_ns = now_ns - self._since_ns, now_ns
        for standing in _ASKED_FOR:
            self._times_ns[standing] += self._counts[standing] * span_ns
        self._none_up_ns += self._is_none_up * span_ns

    @property
    def _is_none_up(self) -> bool:
        """Whether connections are asked for, and none is up."""
        counts = self._counts
        is_any_up = counts[Standing.UP] or counts[Standing.RENEWING]
        return not is_any_up and any(counts[standing] for standing in _ASKED_FOR)


_ASKED_FOR: Final = tuple(standing for standing in Standing if standing is not Standing.DONE)
