"""Who takes part in a run of several workers, with which load, and who is there no more.

Facts. Locust's dispatcher says how many users each worker is to have, anew at every change. Workers
send a heartbeat every second; without one for some four seconds Locust calls them missing, and
gives their users to the others if it is asked to (--enable-rebalancing), or a minute later. One
that is missing may come back: it was held up, and all that it reports counts. One that is told to
end, or that quits, gives its last report before.

Decision. Whoever was given users and has not given a last report is lost, from when it was last
heard of, for as long as Locust misses it; at the end of the run, whether Locust does or not.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from loadgen.net.clock import wall_ns
from loadgen.results.team import Absence, Team
from loadgen.units import NS_PER_S, format_share, ns_to_seconds

_TOGETHER_NS: Final = NS_PER_S
"""Whoever ends so shortly before the run does was told to end with it: by ^C, or a scheduler."""


@dataclass(slots=True)
class _Attendant:
    """One worker. shares: of the users of each class, as it was last told; None if nobody knows."""

    heard_ns: int
    shares: dict[str, float | None] = field(default_factory=dict)
    relieved_ns: int | None = None
    finished_ns: int | None = None
    is_lost: bool = False


class Attendance:
    """The workers of one run; `begin` forgets those of the last. Moments are by the wall clock.

    expected: how many are to take part at least.
    """

    def __init__(self, expected: int, clock: Callable[[], int] = wall_ns) -> None:
        self._expected = expected
        self._clock = clock
        self._attendants: dict[str, _Attendant] = {}
        self._began_ns = 0
        self._ended_ns: int | None = 0

    def begin(self) -> None:
        """Begin a run."""
        self._attendants = {}
        self._began_ns, self._ended_ns = self._clock(), None

    def end(self) -> None:
        """Let the run be over: whoever ends from now on does not do so early."""
        if self._ended_ns is None:
            self._ended_ns = self._clock()

    @property
    def is_over(self) -> bool:
        """Whether no run is under way."""
        return self._ended_ns is not None

    # ---- what is heard of them ------------------------------------------------------------

    def assign(self, users: Mapping[str, Mapping[str, int]]) -> None:
        """Take note of how many users of each class each worker is to have from now on."""
        totals: Counter[str] = Counter()
        for own in users.values():
            totals.update(own)
        for worker, own in users.items():
            attendant = self._attendant(worker)
            attendant.relieved_ns = None
            attendant.shares |= {
                name: count / totals[name]
                for name, count in own.items()
                if totals[name] and (count or name in attendant.shares)
            }
        for worker in self._attendants.keys() - users.keys():
            attendant = self._attendants[worker]
            attendant.relieved_ns = attendant.relieved_ns or self._clock()

    def report(self, worker: str, user_classes: Iterable[str]) -> None:
        """Take note of a report on those classes: its users are there, whatever Locust has said."""
        shares = self._attendant(worker).shares
        for user_class in user_classes:
            shares.setdefault(user_class, None)
        self.hear(worker)

    def hear(self, worker: str) -> None:
        """Take note of a sign of life."""
        if worker in self._attendants:
            self._attendants[worker].heard_ns = self._clock()

    def finish(self, worker: str) -> None:
        """Take note of a worker's last report."""
        attendant = self._attendants.get(worker)
        if attendant is not None and attendant.finished_ns is None:
            attendant.heard_ns = attendant.finished_ns = self._clock()
            attendant.is_lost = False

    def miss(self, missing: Iterable[str]) -> tuple[list[str], list[str]]:
        """Take note of who is missed now; return who is lost since, and who is back."""
        gone = {worker for worker in missing if worker in self.unfinished}
        lost = [each for each in sorted(gone) if not self._attendants[each].is_lost]
        back = [
            name
            for name, attendant in sorted(self._attendants.items())
            if attendant.is_lost and name not in gone
        ]
        for name in (*lost, *back):
            self._attendants[name].is_lost = name in gone
        return lost, back

    @property
    def unfinished(self) -> list[str]:
        """The workers that have users to run, or had, and have not given their last report."""
        return [
            name
            for name, attendant in self._attendants.items()
            if attendant.shares and attendant.finished_ns is None
        ]

    # ---- what that means ------------------------------------------------------------------

    def is_lost(self, worker: str) -> bool:
        """Return whether that worker is lost."""
        return worker in self._attendants and self._attendants[worker].is_lost

    def last_words(self, worker: str) -> str:
        """Return when ``worker`` was last heard of, and with which load, for the log."""
        attendant = self._attendants[worker]
        at_s = ns_to_seconds(attendant.heard_ns - self._began_ns)
        shares = ", ".join(
            f"{'an unknown share' if share is None else format_share(share)} of the users of {name}"
            for name, share in sorted(attendant.shares.items())
        )
        return f"last heard of {at_s:.1f} s after the start, with {shares}"

    def team(self, user_class: str) -> Team:
        """Return who is to run users of ``user_class``, and who of them is there no more."""
        there = {name: each for name, each in self._attendants.items() if user_class in each.shares}
        never_came = max(0, self._expected - len(self._attendants))
        lost = sum(attendant.is_lost for attendant in there.values())
        return Team(
            expected=len(there) + never_came,
            reported=len(there) - lost,
            absences=tuple(
                self._absence(name, user_class)
                for name, attendant in there.items()
                if attendant.is_lost or self._has_ended_early(attendant)
            ),
        )

    def _attendant(self, worker: str) -> _Attendant:
        return self._attendants.setdefault(worker, _Attendant(heard_ns=self._clock()))

    def _has_ended_early(self, attendant: _Attendant) -> bool:
        if attendant.finished_ns is None:
            return False
        end_ns = self._clock() if self._ended_ns is None else self._ended_ns
        return end_ns - attendant.finished_ns > _TOGETHER_NS

    def _absence(self, name: str, user_class: str) -> Absence:
        attendant = self._attendants[name]
        return Absence(
            name=name,
            heard_ns=attendant.heard_ns,
            host=name.rpartition("_")[0],  # as Locust names its workers
            load_share=attendant.shares[user_class],
            relieved_ns=attendant.relieved_ns,
            is_whole=attendant.finished_ns is not None,
        )


def telling(dispatcher: type[Any], tell: Callable[[Mapping[str, Mapping[str, int]]], None]) -> Any:
    """Return a class of Locust's dispatchers that tells of every dispatch before it is sent."""

    class Telling(dispatcher):  # type: ignore[misc]
        def __next__(self) -> dict[str, dict[str, int]]:
            dispatched: dict[str, dict[str, int]] = super().__next__()
            tell(dispatched)
            return dispatched

    return Telling
