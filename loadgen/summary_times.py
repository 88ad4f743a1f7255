"""What a run says about times, and about their worth, as lines for people."""

from collections.abc import Iterable, Iterator
from textwrap import wrap
from typing import Final, Literal, NamedTuple

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
    "server-bound": "the figures hold; the server did not keep up with what was asked",
    "inconclusive": "something came in between; see below",
}
_USER_SPACE_MEANINGS: Final[dict[Verdict, str]] = {
    "busy": "the times are partly this process's own queue",
    "generator-bound": "the times are mostly this process's own queue; it was the limit",
}

INDENT: Final = " " * 15
_TEXT_COLUMNS: Final = 84


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
        yield from (Line(INDENT + text) for text in wrap(finding.evidence, _TEXT_COLUMNS))
        if finding.advice not in said:
            said.add(finding.advice)
            advice = wrap(finding.advice, _TEXT_COLUMNS - 2)
            yield from (Line(f"{INDENT}  {text}", "faint") for text in advice)


def checks(results: Iterable[CheckResult]) -> Iterator[Line]:
    """Say what became of each check."""
    for result in results:
        found = "" if result.measured is None else f": {result.measured}"
        reason = f" ({result.reason})" if result.reason else ""
        style: Style = "good" if result.outcome == "passed" else "bad"
        yield Line(f"  check        {result.check}   {result.outcome}{found}{reason}", style)
    if results:
        yield Line("")


# ---- the table ----------------------------------------------------------------------------

_COLUMNS: Final = ("min", "mean", "p50", "p90", "p99", "p99.9", "max")
_PERCENTS: Final = (50, 90, 99, 99.9)


def table(record: RunRecord) -> Iterator[Line]:
    """Yield a row for each time that was measured, and a note on where they come from."""
    yield Line("  " + " " * 15 + "".join(f"{column:>9}" for column in _COLUMNS), "faint")
    rows = [("connect", record.connect_latency_ns), *_message_rows(record)]
    for name, distribution in rows:
        faint = name in _ERRORS
        yield Line(_row(name, distribution), "faint" if faint else "plain")
    if record.plan.reply == "none":
        yield Line("  service time   one way: there is no reply to wait for", "faint")
    else:
        yield Line(f"  ({_source(record)})", "faint")
        if not all(distribution.carries(_PERCENTS[-1]) for _, distribution in rows[1:]):
            yield Line("  (-: too few values for that percentile)", "faint")
    for name, distribution in rows:
        if distribution.overflow:
            yield Line(
                f"  {name}: {format_count(distribution.overflow)} values were beyond the "
                "histogram's range of 73 minutes; they count as the maximum",
                "bad",
            )


# Of the generator, not of the server.
_ERRORS: Final = ("generator lag", "receive lag", "user space")


def _message_rows(record: RunRecord) -> Iterator[tuple[str, Distribution]]:
    if record.plan.reply != "none":
        yield "service time", record.service_time_ns
    response = record.response_time_ns
    is_shown = record.health is None or prints_response_time(record.health)
    if response is not None and record.plan.reply != "none" and is_shown:
        yield "response time", response
    for name, distribution in (
        ("blocked", record.blocked_ns),
        ("generator lag", record.generator_lag_ns),
        ("receive lag", record.receive_lag_ns),
    ):
        if distribution is not None and distribution.count:
            yield name, distribution
    if record.timestamps.mode == "kernel":
        yield "user space", record.user_space_latency_ns
    if record.probe is not None:
        yield "probe", record.probe.latency_ns


def _row(name: str, found: Distribution) -> str:
    figures = [found.min, found.mean]
    figures += [found.percentile(each) if found.carries(each) else None for each in _PERCENTS]
    figures.append(found.max)
    cells = ("-" if figure is None else format_duration_ns(figure) for figure in figures)
    return f"  {name:<15}" + "".join(f"{cell:>9}" for cell in cells)


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
        share = f", {100 * stamps.stamped / known:.3g} % of them; the others came with later ones"
    return f"service time: from send to arrival, by the kernel's clock{share}; user space: to read"
