"""Intended times of a changing number of users, each with the same rate.

Facts. What n users offer is one arrival process at n times the rate of one of them. n changes
during the run, at times that are not known beforehand.

Danger. A message that is due stays due: if the generator is late while a user leaves, the times
that are already past must not move.

Decision. Arrivals are drawn as counts of messages, and a count falls due when the integral of the
offered rate reaches it (as in `loadgen.plan.arrivals`). The integral is a chain of knots, one for
each change; a change appends one, so that the earlier ones stay as they are, and only the time of
the next message is computed again.
"""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from loadgen.net.clock import NEVER_NS
from loadgen.plan.arrivals import arrivals
from loadgen.plan.profile import Profile
from loadgen.units import NS_PER_S

# Counts are drawn as the times of a process of this rate: fine enough, and enough of them.
_UNIT_RATE_PER_S: Final = 1000.0
_COUNT_NS: Final = NS_PER_S / _UNIT_RATE_PER_S


class OfferedLoad(Protocol):
    """What a run offers, over time from its start."""

    def expected_by_s(self, at_s: float) -> float:
        """Return how many messages are due by then, on average."""

    def mean_per_s(self, from_s: float, until_s: float) -> float:
        """Return the mean rate in between."""


@dataclass(frozen=True, slots=True)
class Later:
    """What ``whole`` offers from ``begin_s`` on."""

    whole: OfferedLoad
    begin_s: float

    def expected_by_s(self, at_s: float) -> float:
        """Return how many messages are due by then, on average, from the beginning on."""
        due = self.whole.expected_by_s(self.begin_s + at_s)
        return due - self.whole.expected_by_s(self.begin_s)

    def mean_per_s(self, from_s: float, until_s: float) -> float:
        """Return the mean rate in between."""
        return self.whole.mean_per_s(self.begin_s + from_s, self.begin_s + until_s)


class _Knot(NamedTuple):
    """From ``begin_ns`` on, when ``due`` messages have fallen due, the rate is ``per_ns``."""

    begin_ns: int
    due: float
    per_ns: float

    def due_at(self, at_ns: float) -> float:
        return self.due + (at_ns - self.begin_ns) * self.per_ns


class UserArrivals:
    """Endless intended times, in nanoseconds from the beginning; there are no users at first.

    rate_per_s: of each user. kind: a name of `loadgen.plan.arrivals.ARRIVALS`. seed: not negative.
    Raises UsageError for another kind.
    """

    def __init__(self, rate_per_s: float, kind: str, seed: int) -> None:
        self._per_ns = rate_per_s / NS_PER_S
        self._counts_ns = arrivals(Profile.constant(_UNIT_RATE_PER_S), kind, seed)
        self._next_count = 0.0
        self._knots = [_Knot(0, 0.0, 0.0)]
        self._current = 0  # the knot after which the next message falls due

    def __iter__(self) -> "UserArrivals":
        return self

    def __next__(self) -> int:
        self._next_count = next(self._counts_ns) / _COUNT_NS
        return self._due_ns()

    def resize(self, users: int, at_ns: int) -> int:
        """Set the number of users from ``at_ns`` on; return when the next message is due.

        That is `NEVER_NS` without users. ``at_ns`` is not before that of the last call.
        """
        last = self._knots[-1]
        self._knots.append(_Knot(at_ns, last.due_at(at_ns), users * self._per_ns))
        return self._due_ns()

    def _due_ns(self) -> int:
        knots = self._knots
        while self._current + 1 < len(knots) and knots[self._current + 1].due <= self._next_count:
            self._current += 1
        begin_ns, due, per_ns = knots[self._current]
        if not per_ns:
            return NEVER_NS
        return begin_ns + round((self._next_count - due) / per_ns)

    def expected_by_s(self, at_s: float) -> float:
        """Return how many messages are due by then, on average."""
        at_ns = max(0.0, at_s * NS_PER_S)
        index = bisect_right(self._knots, at_ns, key=lambda knot: knot.begin_ns) - 1
        return self._knots[index].due_at(at_ns)

    def mean_per_s(self, from_s: float, until_s: float) -> float:
        """Return the mean rate in between."""
        due = self.expected_by_s(until_s) - self.expected_by_s(from_s)
        return due / (until_s - from_s) if until_s > from_s else 0.0
