"""The runs in a folder, one line each, the newest first."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from loadgen.analysis.compare import reading
from loadgen.analysis.lines import Line, aligned
from loadgen.analysis.time_metric import TimeMetric
from loadgen.plan import Plan
from loadgen.results.record import RunRecord
from loadgen.text import escaped, readable
from loadgen.units import format_count, format_duration_ns, format_rate
from reports.sections import began, latency_kind

HEADINGS = (
    *("began", "target", "connections", "load"),
    *("messages/s", "latency p99", "verdict", "file"),
)


class Listed(NamedTuple):
    """A record that was found, and the file that it is in."""

    record: RunRecord
    file: Path


def find(folder: Path) -> tuple[list[Listed], list[str]]:
    """Return the runs in ``folder``, the newest first, and of files without one what is wrong.

    Raises UsageError if it cannot be read, and RecordError if there is no run in it.
    """
    found, complaints = reading.of_each(folder, reading.records)
    listed = [Listed(record, file) for file, records in found for record in records]
    return sorted(listed, key=lambda each: each.record.started_at, reverse=True), complaints


def lines(found: list[Listed]) -> Iterator[Line]:
    """Yield a heading, and a line for each run."""
    rows = [HEADINGS, *(tuple(map(readable, _row(each))) for each in found)]
    heading, *others = aligned(rows, "<" * len(HEADINGS))
    yield Line(heading, "faint")
    yield from map(Line, others)


def _row(found: Listed) -> tuple[str, ...]:
    record = found.record
    p99 = TimeMetric(latency_kind(record), 99.0)
    known = not p99.why_missing(record)
    return (
        began(record),
        record.target.address,
        format_count(record.actual.connections),
        _load(record.plan),
        format_rate(record.actual.messages_per_s),
        format_duration_ns(p99.measure(record) or 0) if known else "-",
        record.health.verdict if record.health else "not judged",
        escaped(found.file.name),
    )


def _load(plan: Plan) -> str:
    profile = plan.profile()
    return "closed loop" if profile is None else profile.describe()
