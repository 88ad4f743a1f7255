"""The reports of all workers, merged into one record for each user class, and written to files."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import msgspec

from loadgen.analysis.merge import merge, unlike
from loadgen.analysis.verdict.judging import generator_findings
from loadgen.errors import LoadgenError, reason
from loadgen.files.writing import write_atomically, write_within
from loadgen.locust.messages import ClassReport
from loadgen.locust.recent_seconds import Second, seconds
from loadgen.locust.worker_tracker import WorkerTracker
from loadgen.logs import logger
from loadgen.net.clock import monotonic_ns
from loadgen.results import aligned_records
from loadgen.results.distribution import Distribution
from loadgen.results.interval_packer import packed
from loadgen.results.intervals import PackedIntervals
from loadgen.results.record import RunRecord
from loadgen.results.team import Team
from loadgen.results.worker_records import DroppedRecord
from loadgen.text import escaped, readable

_log = logger("loadgen.locust")

RECENT: Final = 120  # seconds that the page shows
_LONGEST: Final = 300  # characters of a reason that are kept


@dataclass(slots=True)
class WorkerContribution:
    """What one worker has reported about one user class.

    heard_ns: when it last reported. is_warmup: measuring has begun since then.
    """

    report: ClassReport
    heard_ns: int
    intervals: PackedIntervals = field(default_factory=lambda: PackedIntervals([]))
    was_at_limit: bool = False
    is_warmup: bool = False
    reports: int = 0

    @property
    def record(self) -> RunRecord:
        """The worker's record, with all of its intervals."""
        return msgspec.structs.replace(self.report.record, intervals=self.intervals)

    def take(self, report: ClassReport) -> None:
        """Replace the report by ``report``, and append its intervals."""
        if report.record.started_at != self.report.record.started_at:
            self.intervals.blocks.clear()  # the earlier ones were a warm-up
            self.is_warmup = False
        self.report, self.heard_ns = report, monotonic_ns()
        self.reports += 1
        self.intervals.blocks.extend(packed(report.record.intervals).blocks)

    @property
    def latest(self) -> RunRecord:
        """The worker's record, with only the latest `RECENT` intervals."""
        latest = self.intervals.tail(RECENT + 1)  # and the current one
        return msgspec.structs.replace(self.report.record, intervals=latest)


class Collector:
    """The contributions of all workers to one run; `begin` discards those of the last.

    tracker: which workers take part; None without workers.
    is_as_planned: whether a record of that user class has the plan of this process; it decides
    between two plans that equally many workers have.
    """

    def __init__(self, is_as_planned: Callable[[str, RunRecord], bool] | None = None) -> None:
        self._is_as_planned = is_as_planned or (lambda *_: False)
        self._dropped: dict[str, DroppedRecord] = {}
        self.tracker: WorkerTracker | None = None
        self.run = 0
        """The number of the run, if it has one."""
        self.contributions: dict[str, dict[str, WorkerContribution]] = {}
        """By user class and worker."""

    def begin(self, run: int = 0) -> None:
        """Begin a run, of that number."""
        self.contributions, self.run = {}, run
        self._dropped = {}

    def begin_measuring(self) -> None:
        """Make what was reported so far a warm-up, until a worker reports again."""
        for workers in self.contributions.values():
            for contribution in workers.values():
                contribution.is_warmup = True

    def receive(self, worker: str, reports: list[ClassReport]) -> list[ClassReport]:
        """Take in the reports of ``worker``; each replaces the one before.

        Return the reports of this run; a delayed worker may still report of an earlier one.
        """
        accepted = [report for report in reports if report.run == self.run]
        if len(accepted) < len(reports):
            _log.warning("worker %s reports of an earlier run, which is over; left out", worker)
        for report in accepted:
            workers = self.contributions.setdefault(report.user_class, {})
            known = workers.setdefault(worker, WorkerContribution(report, 0))
            known.take(report)
            self._warn_if_at_limit(worker, known)
        return accepted

    def drop(self, worker: str, reason: str) -> None:
        """Count a report of ``worker`` that was not accepted; the first is logged."""
        known = self._dropped.get(worker)
        if known is None:
            shown = readable(reason, _LONGEST)
            known = DroppedRecord(name=worker, reports=0, reason=shown)
            _log.error("worker %s: a report is dropped: %s", worker, shown)
        self._dropped[worker] = msgspec.structs.replace(known, reports=known.reports + 1)

    def has_dropped(self, worker: str) -> bool:
        """Return whether a report of ``worker`` was dropped in this run."""
        return worker in self._dropped

    def intervals_of(self, worker: str, user_class: str) -> PackedIntervals:
        """Return the intervals that ``worker`` has reported for ``user_class`` so far."""
        known = self.contributions.get(user_class, {}).get(worker)
        return PackedIntervals([]) if known is None else known.intervals

    def _warn_if_at_limit(self, worker: str, known: WorkerContribution) -> None:
        """Log once that a worker is at its limit."""
        verdict = known.report.record.health
        findings = [] if verdict is None else generator_findings(verdict)
        if not findings or known.was_at_limit:
            return
        known.was_at_limit = True
        finding = findings[0]
        _log.warning(
            "worker %s is generator-bound for %s: %s; %s",
            worker,
            known.report.user_class,
            finding.evidence,
            finding.advice,
        )

    # ---- results --------------------------------------------------------------------------

    def records(self) -> dict[str, RunRecord]:
        """Return the record of each user class, over all workers."""
        merged = {
            user_class: self._merged(
                user_class, {name: each.record for name, each in self._counting(user_class)}
            )
            for user_class in self.contributions
        }
        return {name: record for name, record in merged.items() if record is not None}

    def record_so_far(self, user_class: str) -> RunRecord | None:
        """Return the record of ``user_class`` so far, without its intervals."""
        by_worker = {
            name: msgspec.structs.replace(each.report.record, intervals=[])
            for name, each in self._counting(user_class)
        }
        return self._merged(user_class, by_worker)

    def recent(self, user_class: str) -> list[Second]:
        """Return the latest seconds of ``user_class``, at most `RECENT`."""
        counting = dict(self._counting(user_class))
        team = aligned_records.align({name: each.latest for name, each in counting.items()})
        under_way = [name for name, each in counting.items() if not each.report.is_last]
        return seconds(team, under_way)[-RECENT:]

    def team(self, user_class: str) -> Team | None:
        """Return the workers with users of ``user_class``; None without workers."""
        if self.tracker is None:
            return None
        dropped = dict(self._dropped)
        for worker, why in self._majority(user_class)[1].items():
            reports = self.contributions[user_class][worker].reports
            dropped[worker] = DroppedRecord(name=worker, reports=reports, reason=why)
        return replace(self.tracker.team(user_class), dropped=tuple(dropped.values()))

    def _counting(self, user_class: str) -> list[tuple[str, WorkerContribution]]:
        """Return what counts, by worker: not the warm-up of a lost one, if others go on."""
        workers = self._majority(user_class)[0]
        counting = [(name, each) for name, each in workers if not self._is_void(name, each)]
        return counting or workers

    def _majority(
        self, user_class: str
    ) -> tuple[list[tuple[str, WorkerContribution]], dict[str, str]]:
        """Return the contributions with the plan of most workers, and why others differ, by worker.

        With no majority, the plan of this process decides.
        """
        groups: list[list[tuple[str, WorkerContribution]]] = []
        for worker, each in sorted(self.contributions[user_class].items()):
            for group in groups:
                if not unlike(group[0][1].report.record, each.report.record):
                    group.append((worker, each))
                    break
            else:
                groups.append([(worker, each)])

        def weight(group: list[tuple[str, WorkerContribution]]) -> tuple[int, bool]:
            record = group[0][1].report.record
            return len(group), len(groups) > 1 and self._is_as_planned(user_class, record)

        most = max(groups, key=weight)
        known = most[0][1].report.record
        return most, {
            worker: f"it does not match the other workers: {unlike(known, each.report.record)}"
            for group in groups
            if group is not most
            for worker, each in group
        }

    def _is_void(self, worker: str, contribution: WorkerContribution) -> bool:
        is_lost = self.tracker is not None and self.tracker.is_lost(worker)
        return is_lost and contribution.is_warmup

    def _merged(self, user_class: str, by_worker: Mapping[str, RunRecord]) -> RunRecord | None:
        """Return ``by_worker`` merged; None, with an error in the log, if they do not match."""
        try:
            return merge(by_worker, self.team(user_class))
        except LoadgenError as error:
            _log.error("%s: %s", user_class, error)
            return None

    def names(self, user_class: str) -> dict[str, Distribution]:
        """Return the latencies of ``user_class`` over all workers, by request name."""
        names: dict[str, list[Distribution]] = defaultdict(list)
        for _, contribution in self._majority(user_class)[0]:
            for name, latency in contribution.report.names.items():
                names[name].append(latency)
        return {name: Distribution.of_all(latencies) for name, latencies in sorted(names.items())}

    def write(self, path: Path) -> None:
        """Write the record to ``path``; with several classes, one file each beside it."""
        records = self.records()
        for user_class, record in records.items():
            suffixed = path.with_name(f"{path.stem}.{user_class}{path.suffix}")
            place = path if len(records) == 1 else suffixed
            try:
                if place == path:
                    write_atomically(path, record.to_json())
                else:  # the user did not name this file: follow no link
                    write_within(place.parent, place.name, record.to_json())
            except OSError as error:
                shown = escaped(str(place))
                _log.error("--loadgen-json: cannot write %s: %s", shown, reason(error))
