"""The lines of the summary on replies: status, parts, datagrams, and renewed connections."""

from collections.abc import Iterator

from loadgen.analysis import datagrams
from loadgen.analysis.lines import LABEL_COLUMNS, Line, labelled, wrapped
from loadgen.results.distribution import Distribution
from loadgen.results.record import RunRecord
from loadgen.units import format_count, format_duration_ns, format_share


def replies(record: RunRecord) -> Iterator[Line]:
    """Yield what is to be said of them, if anything is."""
    for label, text in facts(record):
        first, *rest = (line.text.strip() for line in wrapped(text, LABEL_COLUMNS))
        yield labelled(label, first)
        yield from (Line(" " * LABEL_COLUMNS + line) for line in rest)


def facts(record: RunRecord) -> Iterator[tuple[str, str]]:
    """Yield the same as pairs of a label and a text."""
    if record.statuses is not None:
        yield "status", statuses(record)
        by_class = (f"{name} {_times(times)}" for name, times in record.statuses.classes.items())
        yield "by class", f"service time {'; '.join(by_class)}"
    if record.in_parts is not None:
        parts = record.in_parts
        count = format_count(parts.whole_ns.count)
        times = f"{_times(parts.first_byte_ns)}, whole {_times(parts.whole_ns)}"
        yield "first byte", f"{times}, of {count} replies that came in parts"
    if record.datagrams is not None:
        yield from datagrams.facts(record.datagrams)
    actual = record.actual
    if actual.renewed:
        again = f"; {format_count(actual.resent)} messages that met the end were sent again"
        count = format_count(actual.renewed)
        ended = f"{count} times, after an orderly end of a connection"
        yield "renewed", ended + (again if actual.resent else "")


def statuses(record: RunRecord) -> str:
    """Return how many replies had which status, the most frequent first."""
    assert record.statuses is not None
    counts, total = record.statuses.counts, record.statuses.count
    by_count = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(
        f"{status}: {format_count(count)}"
        + (f" ({format_share(count / total)})" if len(counts) > 1 else "")
        for status, count in by_count
    )


def _times(times: Distribution) -> str:
    if times.p50 is None or times.p99 is None:
        return "no times"
    return f"p50 {format_duration_ns(times.p50)} p99 {format_duration_ns(times.p99)}"
