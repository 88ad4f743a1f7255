"""What a run says about times, and about their worth, as lines for people."""

from collections.abc import Iterable, Iterator
from textwrap import wrap
from typing import Final, Literal, NamedTuple

from loadgen import shortfall
from loadgen.distribution import Distribution
from loadgen.evidence import CheckResult, Health, Verdict
from loadgen.health import prints_response_time
from loadgen.record import RunRecord
from loadgen.units import format_count, format_duration_ns

Style = Literal["plain", "heading", "good", "bad", "faint"]


class Line(NamedTuple):
    """One line of output, and how it is meant."""

    text: str
    style: Style = "plain"


_MEANINGS: Final[dict[Verdict, str]] = {
    "valid": "the figures may be believed",
    "busy": "service and response time hold; the tail of user space is this process's own",
    "generator-bound": "service time holds for the load delivered; this process was the limit",
    "server-bound": "the server did not keep up with what was asked; what it answered holds",
    "inconclusive": "nobody can say; the reasons come first",
}
_USER_SPACE_MEANINGS: Final[dict[Verdict, str]] = {
    "busy": "the times are partly this process's own queue",
    "generator-bound": "the times are mostly this process's own queue; it was the limit",
}

INDENT: Final = " " * 15
_WIDTH: Final = 97
_TEXT_WIDTH: Final = _WIDTH - 13


def verdict(record: RunRecord) -> Iterator[Line]:
    """Say what the figures below are worth, and why."""
    health = record.health
    if health is None:
        return
    meaning = _MEANINGS[health.verdict]
    if record.timestamps.mode == "user":
        meaning = _USER_SPACE_MEANINGS.get(health.verdict, meaning)
    style: Style = "good" if health.verdict in ("valid", "server-bound") else "bad"
    yield Line(f"  verdict      {health.verdict}: {meaning}", style)
    yield from _findings(health)
    yield Line("")


def _findings(health: Health) -> Iterator[Line]:
    said = set()
    for finding in health.findings:
        yield from (Line(INDENT + text) for text in wrap(finding.evidence, _TEXT_WIDTH))
        if finding.advice not in said and health.verdict != "valid":
            said.add(finding.advice)
            advice = wrap(finding.advice, _TEXT_WIDTH - 2)
            yield from (Line(f"{INDENT}  {text}", "faint") for text in advice)


def checks(results: Iterable[CheckResult]) -> Iterator[Line]:
    """Say what became of each check."""
    for result in results:
        found = "" if result.measured is None else f": {result.measured}"
        style: Style = "good" if result.outcome == "passed" else "bad"
        yield Line(f"  check        {result.check}   {result.outcome}{found}", style)
        yield from (Line(INDENT + text) for text in wrap(result.reason, _TEXT_WIDTH))
    if results:
        yield Line("")


# ---- the table ----------------------------------------------------------------------------

_COLUMNS: Final = ("min", "mean", "p50", "p90", "p99", "p99.9", "max")
_PERCENTS: Final = (50, 90, 99, 99.9)


class Row(NamedTuple):
    """A row of the table. ``censored``: messages that have no value and would be the largest."""

    name: str
    times: Distribution
    censored: int = 0
    style: Style = "plain"


def table(record: RunRecord) -> Iterator[Line]:
    """Yield a row for each time that was measured, and a note on where they come from."""
    yield Line("  " + " " * 15 + "".join(f"{column:>9}" for column in _COLUMNS), "faint")
    rows = [Row("connect", record.connect_latency_ns), *_message_rows(record)]
    for row in rows:
        yield Line(_cells(row, record), row.style)
    if record.plan.reply == "none":
        yield Line("  service time   one way: there is no reply to wait for", "faint")
    else:
        yield from _faint(_source(record))
        if any("-" in _figures(row, record) for row in rows[1:]):
            yield from _faint("-: too few values for that percentile, or too many unanswered")
    for row in rows:
        if row.times.overflow:
            yield Line(
                f"  {row.name}: {format_count(row.times.overflow)} values were beyond the "
                "histogram's range of 73 minutes; they count as the maximum",
                "bad",
            )


def _message_rows(record: RunRecord) -> Iterator[Row]:
    """Yield what is the server's; then, faint, what is the generator's own."""
    unanswered = shortfall.unanswered(record)
    if record.plan.reply != "none":
        yield Row("service time", record.service_time_ns, unanswered)
    response = record.response_time_ns
    is_shown = record.health is None or prints_response_time(record.health)
    if response is not None and record.plan.reply != "none" and is_shown:
        yield Row("response time", response, shortfall.unserved(record))
    if record.blocked_ns is not None and record.blocked_ns.max:
        yield Row("blocked", record.blocked_ns)
    if record.probe is not None:
        yield Row("probe", record.probe.latency_ns)
    if record.generator_lag_ns is not None:
        yield Row("generator lag", record.generator_lag_ns, style="faint")
    if record.receive_lag_ns is not None and record.plan.reply != "none":
        yield Row("receive lag", record.receive_lag_ns, style="faint")
        yield Row("user space", record.user_space_latency_ns, unanswered, "faint")


def _figures(row: Row, record: RunRecord) -> list[str]:
    """Return the percentiles, a dash for those that nobody knows."""
    times = row.times
    return [
        format_duration_ns(times.percentile(each) or 0)
        if times.carries(each) and shortfall.knows(record, each, row.censored)
        else "-"
        for each in _PERCENTS
    ]


def _cells(row: Row, record: RunRecord) -> str:
    times = row.times
    ends = ("-" if each is None else format_duration_ns(each) for each in (times.min, times.mean))
    most = "-" if times.max is None else format_duration_ns(times.max)
    cells = (*ends, *_figures(row, record), most)
    return f"  {row.name:<15}" + "".join(f"{cell:>9}" for cell in cells)


def _faint(text: str) -> Iterator[Line]:
    return (Line(f"  {line}", "faint") for line in wrap(f"({text})", _WIDTH))


def _source(record: RunRecord) -> str:
    """Say who read the clock when a reply arrived, and how far that goes."""
    stamps = record.timestamps
    if stamps.mode == "user":
        doubt = stamps.read_uncertainty_ns
        bar = ""
        if doubt is not None and doubt.carries(99):
            bar = f"; replies came up to {format_duration_ns(doubt.p99 or 0)} (p99) before"
        return f"user-space: from send to read on this process's clock, {stamps.reason}{bar}"
    known = stamps.stamped + stamps.upper_bounds + stamps.missing + stamps.implausible
    share = ""
    if stamps.sample_every > 1:
        share = f", 1 in {stamps.sample_every} stamped"
    elif known and stamps.stamped < known:
        share = (
            f", for {100 * stamps.stamped / known:.3g} % of them; the others came with later ones"
        )
    return f"service time: from send to arrival, by the kernel's clock{share}; user space: to read"
