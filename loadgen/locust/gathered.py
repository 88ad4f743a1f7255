"""What the workers have found, put together at the master (or in the one process there is)."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from loadgen import timeline
from loadgen.absences import Team
from loadgen.core.clock import monotonic_ns
from loadgen.distribution import Distribution
from loadgen.errors import LoadgenError, reason
from loadgen.files import write_atomically
from loadgen.health import generator_findings
from loadgen.interval_packer import packed
from loadgen.intervals import PackedIntervals
from loadgen.locust.attendance import Attendance
from loadgen.locust.recent import Second, seconds
from loadgen.locust.report import PartReport
from loadgen.logs import logger
from loadgen.merge import merge
from loadgen.names import escaped
from loadgen.record import RunRecord

_log = logger("loadgen.locust")

RECENT: Final = 120  # seconds that the page shows


@dataclass(slots=True)
class Contribution:
    """What one worker has reported about one user class; ``heard_ns``: when last.

    is_warmup: since then, measuring was begun.
    """

    report: PartReport
    heard_ns: int
    intervals: PackedIntervals = field(default_factory=lambda: PackedIntervals([]))
    is_accused: bool = False
    is_warmup: bool = False

    @property
    def record(self) -> RunRecord:
        """Its part, with all of its intervals."""
        return msgspec.structs.replace(self.report.record, intervals=self.intervals)

    def take(self, report: PartReport) -> None:
        """Let ``report`` replace the one before; its intervals follow those before."""
        if report.record.started_at != self.report.record.started_at:
            self.intervals.blocks.clear()  # what came before was a warm-up
            self.is_warmup = False
        self.report, self.heard_ns = report, monotonic_ns()
        self.intervals.blocks.extend(packed(report.record.intervals).blocks)

    @property
    def latest(self) -> RunRecord:
        """Its part, with the latest intervals alone: `RECENT` at least, if it has so many."""
        latest = self.intervals.tail(RECENT + 1)  # and the one that is under way
        return msgspec.structs.replace(self.report.record, intervals=latest)


class Gathered:
    """The contributions of all workers to one run; `begin` forgets those of the last.

    attendance: who of several workers takes part; None where there are none.
    """

    def __init__(self) -> None:
        self.attendance: Attendance | None = None
        self.run = 0
        """The number of the run, if it has one."""
        self.contributions: dict[str, dict[str, Contribution]] = {}
        """By user class and worker."""

    def begin(self, run: int = 0) -> None:
        """Begin a run, of that number."""
        self.contributions, self.run = {}, run

    def begin_measuring(self) -> None:
        """Let what was reported so far be a warm-up, as it is to workers that report again."""
        for workers in self.contributions.values():
            for contribution in workers.values():
                contribution.is_warmup = True

    def receive(self, worker: str, reports: list[PartReport]) -> list[PartReport]:
        """Take in what ``worker`` has reported; each report replaces the one before.

        Return the reports of this run; there are others where a worker was held up for so long.
        """
        accepted = [report for report in reports if report.run == self.run]
        if len(accepted) < len(reports):
            _log.warning("worker %s reports of an earlier run, which is over; left out", worker)
        for report in accepted:
            workers = self.contributions.setdefault(report.user_class, {})
            known = workers.setdefault(worker, Contribution(report, 0))
            known.take(report)
            self._accuse(worker, known)
        return accepted

    def _accuse(self, worker: str, known: Contribution) -> None:
        """Name a worker that is at its limit, once."""
        verdict = known.report.record.health
        findings = [] if verdict is None else generator_findings(verdict)
        if not findings or known.is_accused:
            return
        known.is_accused = True
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
        parts = {
            name: msgspec.structs.replace(each.report.record, intervals=[])
            for name, each in self._counting(user_class)
        }
        return self._merged(user_class, parts)

    def recent(self, user_class: str) -> list[Second]:
        """Return the latest seconds of ``user_class``, at most `RECENT`."""
        counting = dict(self._counting(user_class))
        team = timeline.aligned({name: each.latest for name, each in counting.items()})
        under_way = [name for name, each in counting.items() if not each.report.is_last]
        return seconds(team, under_way)[-RECENT:]

    def team(self, user_class: str) -> Team | None:
        """Return who is to run users of ``user_class``; None where there is one process alone."""
        return None if self.attendance is None else self.attendance.team(user_class)

    def _counting(self, user_class: str) -> list[tuple[str, Contribution]]:
        """Return what counts, by worker: of one that is lost, no warm-up, if others go on."""
        workers = list(self.contributions[user_class].items())
        counting = [(name, each) for name, each in workers if not self._is_void(name, each)]
        return counting or workers

    def _is_void(self, worker: str, contribution: Contribution) -> bool:
        is_lost = self.attendance is not None and self.attendance.is_lost(worker)
        return is_lost and contribution.is_warmup

    def _merged(self, user_class: str, parts: Mapping[str, RunRecord]) -> RunRecord | None:
        """Return the record that ``parts`` make; none, with a word in the log, if unlike."""
        try:
            return merge(parts, self.team(user_class))
        except LoadgenError as error:
            _log.error("%s: %s", user_class, error)
            return None

    def names(self, user_class: str) -> dict[str, Distribution]:
        """Return the latencies of ``user_class`` over all workers, by the name of the request."""
        names: dict[str, list[Distribution]] = defaultdict(list)
        for contribution in self.contributions[user_class].values():
            for name, latency in contribution.report.names.items():
                names[name].append(latency)
        return {name: Distribution.of_all(parts) for name, parts in sorted(names.items())}

    def write(self, path: Path) -> None:
        """Write the records: to ``path``, or with several classes one beside it for each."""
        records = self.records()
        for user_class, record in records.items():
            suffixed = path.with_name(f"{path.stem}.{user_class}{path.suffix}")
            place = path if len(records) == 1 else suffixed
            try:
                write_atomically(place, record.to_json())
            except OSError as error:
                shown = escaped(str(place))
                _log.error("--loadgen-json: cannot write %s: %s", shown, reason(error))
