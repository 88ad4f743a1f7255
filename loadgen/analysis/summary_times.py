"""The times of a run, as a table for people, and what the figures leave out."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from loadgen.analysis import censoring
from loadgen.analysis.lines import Line, Style, aligned, wrapped
from loadgen.analysis.verdict.judging import prints_response_time
from loadgen.results.distribution import Distribution
from loadgen.results.record import RunRecord
from loadgen.units import format_count, format_duration_ns, format_share

_COLUMNS: Final = ("", "min", "mean", "p50", "p90", "p99", "p99.9", "max")
_SIDES: Final = "<>>>>>>>"
_LEAST_WIDTHS: Final = (15, 7, 7, 7, 7, 7, 7, 7)
"""Room for every name and duration, so that tables of several runs have the same columns."""

_PERCENTS: Final = (50, 90, 99, 99.9)


class TimesRow(NamedTuple):
    """A row of the table.

    censored: messages without a value, which would be the largest; delayed: messages whose value
    was left out, since it was mostly a pause of this process.
    """

    name: str
    times: Distribution
    censored: int = 0
    delayed: int = 0
    style: Style = "plain"


def table(record: RunRecord) -> Iterator[Line]:
    """Yield a row for each time that was measured, and notes on where they come from."""
    rows = [
        TimesRow("connect", record.connect_latency_ns),
        *_handshake_rows(record),
        *_message_rows(record),
    ]
    cells = [_COLUMNS, *(_cells(row, record) for row in rows)]
    heading, *lines = aligned(cells, _SIDES, _LEAST_WIDTHS)
    yield Line(f"  {heading}", "faint")
    for row, line in zip(rows, lines, strict=True):
        yield Line(f"  {line}", row.style)
    for note in (*_notes(record), *_dashes(rows, record)):
        yield from wrapped(f"({note})", style="faint")
    for row in rows:
        if row.times.overflow:
            yield Line(
                f"  {row.name}: {format_count(row.times.overflow)} values were beyond the "
                "histogram's range of 73 minutes; they count as the maximum",
                "bad",
            )
    if record.probe is not None and record.probe.failure:
        yield from wrapped(f"probe: it ended early: {record.probe.failure}", style="bad")


def _handshake_rows(record: RunRecord) -> Iterator[TimesRow]:
    tls = record.tls
    if tls is not None and tls.full_ns.count:
        yield TimesRow("handshake", tls.full_ns)
    if tls is not None and tls.resumed_ns.count:
        yield TimesRow("resumed", tls.resumed_ns)


def _message_rows(record: RunRecord) -> Iterator[TimesRow]:
    """Yield the rows of the server; then, faint, those of the generator."""
    unanswered, delayed = censoring.unanswered(record), _delayed(record)
    if not record.plan.is_one_way:
        yield TimesRow("service time", record.service_time_ns, unanswered, delayed[0])
    if _is_on_time(record):
        if record.response_time_ns is not None and not record.plan.is_one_way:
            unserved = censoring.unserved(record)
            yield TimesRow("response time", record.response_time_ns, unserved, delayed[1])
        if record.blocked_ns is not None and record.blocked_ns.max:
            yield TimesRow("blocked", record.blocked_ns, delayed=delayed[2])
    if record.probe is not None and record.probe.latency_ns.count:
        yield TimesRow("probe", record.probe.latency_ns)
    if record.generator_lag_ns is not None:
        yield TimesRow("generator lag", record.generator_lag_ns, delayed=delayed[2], style="faint")
    if record.receive_lag_ns is not None and not record.plan.is_one_way:
        yield TimesRow("receive lag", record.receive_lag_ns, style="faint")
        yield TimesRow("user space", record.user_space_latency_ns, unanswered, style="faint")


def _delayed(record: RunRecord) -> tuple[int, int, int]:
    """Return how many messages are left out of service time, response time and lags for pauses."""
    delayed = record.generator.delayed
    if delayed is None:
        return 0, 0, 0
    return delayed.service_ns.count, delayed.response_ns.count, delayed.schedule_lag_ns.count


def _is_on_time(record: RunRecord) -> bool:
    """Return whether the times since the intended one are the server's."""
    return record.health is None or prints_response_time(record.health)


def _figures(row: TimesRow, record: RunRecord) -> list[str]:
    """Return the percentiles, a dash for those that are not known."""
    times = row.times
    return [
        format_duration_ns(times.percentile(each) or 0)
        if times.carries(each) and _is_known(row, each, record)
        else "-"
        for each in _PERCENTS
    ]


def _cells(row: TimesRow, record: RunRecord) -> tuple[str, ...]:
    times = row.times
    ends = ("-" if each is None else format_duration_ns(each) for each in (times.min, times.mean))
    most = "-" if times.max is None else format_duration_ns(times.max)
    return row.name, *ends, *_figures(row, record), most


def _is_known(row: TimesRow, percent: float, record: RunRecord) -> bool:
    return censoring.knows(record, percent, row.censored, row.delayed)


def _dashes(rows: Iterable[TimesRow], record: RunRecord) -> Iterator[str]:
    """Yield why percentiles are missing."""
    pairs = [(row, percent) for row in rows for percent in _PERCENTS]
    if not all(row.times.carries(percent) for row, percent in pairs):
        yield "-: too few values for that percentile"
    if not all(censoring.knows(record, percent, row.censored) for row, percent in pairs):
        yield "-: too many messages had no answer for that percentile to be known"
    if not all(censoring.knows(record, percent, 0, row.delayed) for row, percent in pairs):
        yield "-: pauses of this process delayed too many messages for that percentile to be known"


def _notes(record: RunRecord) -> Iterator[str]:
    """Yield what the rows mean, and why some are missing."""
    is_one_way = record.plan.is_one_way
    yield "one way: there is no reply to wait for" if is_one_way else _source(record)
    if record.response_time_ns is not None and not _is_on_time(record):
        absent = "blocked time" if is_one_way else "response time and blocked time"
        yield f"{absent} left out: this process sent late, and they would contain its own queue"
    if record.probe is not None and record.probe.latency_ns.count:
        yield "probe: from send to read in a second process, which has little to do"


def _source(record: RunRecord) -> str:
    """Return which clock gave arrival times, and to how many replies."""
    stamps = record.timestamps
    if stamps.mode == "user":
        doubt = stamps.read_uncertainty_ns
        bar = ""
        if doubt is not None and doubt.carries(99):
            most = format_duration_ns(doubt.p99 or 0)
            bar = f"; a reply may have arrived up to {most} (p99) earlier"
        return (
            "service time: user-space, from send to read on this process's clock; no timestamps of "
            f"the kernel: {stamps.reason}{bar}"
        )
    known = stamps.stamped + stamps.upper_bounds + stamps.missing + stamps.implausible
    share = ""
    if stamps.sample_every > 1:
        share = f", for 1 read in {stamps.sample_every}"
    if stamps.stamped < known:
        whose = "their replies" if share else "the replies"
        share += f", for {format_share(stamps.stamped / known)} of {whose}"
        share += "; the others have no time of their own"
    return f"service time: from send to arrival, by the kernel's clock{share}; user space: to read"
