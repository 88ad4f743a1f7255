"""Which workers take part in a run, each with which share of the users, and which are lost.

Locust's dispatcher says how many users each worker is to have, at every change. Workers send a
heartbeat every second; after some four seconds without one Locust calls them missing, and gives
their users to the others if it is asked to (--enable-rebalancing), or a minute later. A missing
worker may come back: it was delayed, and all that it reports counts. A worker that is told to end,
or that quits, sends its last report first.

A worker that was given users and has not sent its last report is lost while Locust misses it, from
its last contact on; at the end of the run, whether Locust misses it or not.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from loadgen.net.clock import wall_ns
from loadgen.results.team import Absence, Team
from loadgen.units import NS_PER_S, format_share, ns_to_seconds

_WITH_RUN_NS: Final = NS_PER_S
"""A worker that ends within this time before the run ended with it: by ^C, or a scheduler."""


@dataclass(slots=True)
class _Worker:
    """One worker. shares: of the users of each class, as last assigned; None if unknown."""

    heard_ns: int
    shares: dict[str, float | None] = field(default_factory=dict)
    relieved_ns: int | None = None
    finished_ns: int | None = None
    is_lost: bool = False


class WorkerTracker:
    """The workers of one run; `begin` discards those of the last. Times are of the wall clock.

    expected: the least number of workers.
    """

    def __init__(self, expected: int, clock: Callable[[], int] = wall_ns) -> None:
        self._expected = expected
        self._clock = clock
        self._workers: dict[str, _Worker] = {}
        self._began_ns = 0
        self._ended_ns: int | None = 0

    def begin(self) -> None:
        """Begin a run."""
        self._workers = {}
        self._began_ns, self._ended_ns = self._clock(), None

    def end(self) -> None:
        """End the run: a worker that ends from now on does not end early."""
        if self._ended_ns is None:
            self._ended_ns = self._clock()

    @property
    def is_over(self) -> bool:
        """Whether no run is in progress."""
        return self._ended_ns is not None

    # ---- events ---------------------------------------------------------------------------

    def assign(self, users: Mapping[str, Mapping[str, int]]) -> None:
        """Note how many users of each class each worker is to have from now on."""
        totals: Counter[str] = Counter()
        for own in users.values():
            totals.update(own)
        for worker, own in users.items():
            entry = self._worker(worker)
            entry.relieved_ns = None
            entry.shares |= {
                name: count / totals[name]
                for name, count in own.items()
                if totals[name] and (count or name in entry.shares)
            }
        for worker in self._workers.keys() - users.keys():
            entry = self._workers[worker]
            entry.relieved_ns = entry.relieved_ns or self._clock()

    def report(self, worker: str, user_classes: Iterable[str]) -> None:
        """Note a report on those classes: the worker has users of them, even if never assigned."""
        shares = self._worker(worker).shares
        for user_class in user_classes:
            shares.setdefault(user_class, None)
        self.note_contact(worker)

    def note_contact(self, worker: str) -> None:
        """Note a heartbeat or report of ``worker``."""
        if worker in self._workers:
            self._workers[worker].heard_ns = self._clock()

    def finish(self, worker: str) -> None:
        """Note a worker's last report."""
        entry = self._workers.get(worker)
        if entry is not None and entry.finished_ns is None:
            entry.heard_ns = entry.finished_ns = self._clock()
            entry.is_lost = False

    def update_missing(self, missing: Iterable[str]) -> tuple[list[str], list[str]]:
        """Note which workers Locust misses now; return the newly lost, and those that are back."""
        missed = {worker for worker in missing if worker in self.unfinished}
        lost = [each for each in sorted(missed) if not self._workers[each].is_lost]
        back = [
            name
            for name, entry in sorted(self._workers.items())
            if entry.is_lost and name not in missed
        ]
        for name in (*lost, *back):
            self._workers[name].is_lost = name in missed
        return lost, back

    @property
    def unfinished(self) -> list[str]:
        """The workers that have or had users, and have not sent their last report."""
        return [
            name
            for name, entry in self._workers.items()
            if entry.shares and entry.finished_ns is None
        ]

    # ---- results --------------------------------------------------------------------------

    def is_lost(self, worker: str) -> bool:
        """Return whether that worker is lost."""
        return worker in self._workers and self._workers[worker].is_lost

    def last_contact(self, worker: str) -> str:
        """Return when ``worker`` was last heard of, and with which share of the users, as text."""
        entry = self._workers[worker]
        at_s = ns_to_seconds(entry.heard_ns - self._began_ns)
        shares = ", ".join(
            f"{'an unknown share' if share is None else format_share(share)} of the users of {name}"
            for name, share in sorted(entry.shares.items())
        )
        return f"last heard of {at_s:.1f} s after the start, with {shares}"

    def team(self, user_class: str) -> Team:
        """Return the workers of ``user_class``, and which of them are lost or ended early."""
        assigned = {name: each for name, each in self._workers.items() if user_class in each.shares}
        never_connected = max(0, self._expected - len(self._workers))
        lost = sum(entry.is_lost for entry in assigned.values())
        return Team(
            expected=len(assigned) + never_connected,
            reported=len(assigned) - lost,
            absences=tuple(
                self._absence(name, user_class)
                for name, entry in assigned.items()
                if entry.is_lost or self._has_ended_early(entry)
            ),
        )

    def _worker(self, worker: str) -> _Worker:
        return self._workers.setdefault(worker, _Worker(heard_ns=self._clock()))

    def _has_ended_early(self, entry: _Worker) -> bool:
        if entry.finished_ns is None:
            return False
        end_ns = self._clock() if self._ended_ns is None else self._ended_ns
        return end_ns - entry.finished_ns > _WITH_RUN_NS

    def _absence(self, name: str, user_class: str) -> Absence:
        entry = self._workers[name]
        return Absence(
            name=name,
            heard_ns=entry.heard_ns,
            host=name.rpartition("_")[0],  # as Locust names its workers
            load_share=entry.shares[user_class],
            relieved_ns=entry.relieved_ns,
            is_whole=entry.finished_ns is not None,
        )


def with_dispatch_listener(
    dispatcher: type[Any], listener: Callable[[Mapping[str, Mapping[str, int]]], None]
) -> Any:
    """Return a subclass of Locust's ``dispatcher`` that passes each dispatch to ``listener``."""

    class Observed(dispatcher):  # type: ignore[misc]
        def __next__(self) -> dict[str, dict[str, int]]:
            dispatched: dict[str, dict[str, int]] = super().__next__()
            listener(dispatched)
            return dispatched

    return Observed
