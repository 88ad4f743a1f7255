"""How the loop itself fares: how much of its time it waits, and how long it stays away."""

from dataclasses import dataclass
from typing import Final

LONG_GAP_NS: Final = 5_000_000
"""A loop that does not look at its sockets for longer has lost the processor to somebody else..."""

EVENT_NS: Final = 50_000
"""...unless it had much to do: what an event may take on a slow machine, with its reply and the
next send."""


@dataclass(slots=True)
class Pulse:
    """What the loop has done. Times in nanoseconds.

    polls: looks at the sockets; empty: those that found nothing; waited: the time spent in them, or
    asleep in a loop around this one.
    gaps: the times between two looks that were longer by `LONG_GAP_NS` than the events in between
    may take; gaps_total_ns: summed up.
    """

    polls: int = 0
    empty: int = 0
    waited_ns: int = 0
    gaps: int = 0
    gaps_total_ns: int = 0
    longest_gap_ns: int = 0
    _left_ns: int | None = None
    _found: int = 0

    def polled(self, began_ns: int, ended_ns: int, found: int) -> None:
        """Note a look at the sockets that found ``found`` of them ready."""
        self.polls += 1
        if not found:
            self.empty += 1
        self.waited_ns += ended_ns - began_ns
        if self._left_ns is not None:
            gap_ns = began_ns - self._left_ns
            self.longest_gap_ns = max(self.longest_gap_ns, gap_ns)
            if gap_ns > LONG_GAP_NS + self._found * EVENT_NS:
                self.gaps += 1
                self.gaps_total_ns += gap_ns
        self._left_ns = ended_ns
        self._found = found

    def slept(self, duration_ns: int) -> None:
        """Note that a loop around this one waited for as long, between two looks."""
        self.waited_ns += duration_ns
        if self._left_ns is not None:
            self._left_ns += duration_ns
