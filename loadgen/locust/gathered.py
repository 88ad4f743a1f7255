"""What the workers have found, put together at the master (or in the one process there is)."""

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from loadgen.core.clock import monotonic_ns
from loadgen.distribution import Distribution
from loadgen.errors import LoadgenError, reason
from loadgen.files import write_atomically
from loadgen.health import generator_findings
from loadgen.locust.report import PartReport
from loadgen.merge import merge
from loadgen.names import escaped
from loadgen.record import IntervalRecord, RunRecord

_log = logging.getLogger("loadgen.locust")

RECENT: Final = 120  # seconds that the page shows


@dataclass(slots=True)
class Contribution:
    """What one worker has reported about one user class; ``heard_ns``: when last."""

    report: PartReport
    heard_ns: int
    intervals: list[IntervalRecord] = field(default_factory=list)
    is_accused: bool = False

    @property
    def record(self) -> RunRecord:
        """Its part, with all of its intervals."""
        return msgspec.structs.replace(self.report.record, intervals=self.intervals)

    @property
    def recent(self) -> RunRecord:
        """Its part, with the latest intervals alone, and without the one that is under way."""
        whole = self.intervals if self.report.is_last else self.intervals[:-1]
        latest = whole[-RECENT:]
        return msgspec.structs.replace(self.report.record, intervals=latest)


class Gathered:
    """The contributions of all workers to one run; `begin` forgets those of the last."""

    def __init__(self) -> None:
        self.contributions: dict[str, dict[str, Contribution]] = {}
        """By user class and worker."""

    def begin(self) -> None:
        """Begin a run."""
        self.contributions = {}

    def receive(self, worker: str, reports: list[PartReport]) -> None:
        """Take in what ``worker`` has reported; each report replaces the one before."""
        for report in reports:
            workers = self.contributions.setdefault(report.user_class, {})
            known = workers.get(worker)
            if known is None:
                known = workers[worker] = Contribution(report, 0)
            elif report.record.started_at != known.report.record.started_at:
                known.intervals.clear()  # what came before was a warm-up
            known.report, known.heard_ns = report, monotonic_ns()
            known.intervals += report.record.intervals
            self._accuse(worker, known)

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
            user_class: _merged(user_class, {name: each.record for name, each in workers.items()})
            for user_class, workers in self.contributions.items()
        }
        return {name: record for name, record in merged.items() if record is not None}

    def recent_record(self, user_class: str) -> RunRecord | None:
        """Return the record of ``user_class`` with its latest intervals alone."""
        workers = self.contributions[user_class]
        return _merged(user_class, {name: each.recent for name, each in workers.items()})

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


def _merged(user_class: str, parts: Mapping[str, RunRecord]) -> RunRecord | None:
    """Return the record that ``parts`` make; none, and a word in the log, if they do not fit."""
    try:
        return merge(parts)
    except LoadgenError as error:
        _log.error("%s: %s", user_class, error)
        return None
