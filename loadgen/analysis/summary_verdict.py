"""The verdict on a run with its findings, and its checks, as lines for people."""

from collections.abc import Iterator
from typing import Final

from loadgen.analysis.lines import LABEL_COLUMNS, MOST_SHOWN, Line, Style, first, labelled, wrapped
from loadgen.results.record import RunRecord
from loadgen.results.verdict import Health, Verdict

_MEANINGS: Final[dict[Verdict, str]] = {
    "valid": "the figures may be believed",
    "busy": "the times hold, except for the tail of user space, which is this process's own",
    "generator-bound": "service time holds for the load delivered; this process was the limit",
    "server-bound": "the server did not keep up with what was asked; what it answered holds",
    "inconclusive": "the reliability of the figures is unknown; the most severe reason first",
}
_USER_SPACE_MEANINGS: Final[dict[Verdict, str]] = {
    "busy": "the times are partly this process's own queue",
    "generator-bound": "the times are mostly this process's own queue; it was the limit",
}
_ONE_WAY_MEANINGS: Final[dict[Verdict, str]] = {
    "busy": "the rate holds; this process had little time to spare",
    "generator-bound": "the rate is this process's own; it was the limit",
}


def meaning_of(verdict: Verdict, record: RunRecord) -> str:
    """Return what ``verdict`` on ``record`` means for its figures."""
    meaning = _MEANINGS[verdict]
    if record.plan.is_one_way:
        return _ONE_WAY_MEANINGS.get(verdict, meaning)
    if record.timestamps.mode == "user":
        return _USER_SPACE_MEANINGS.get(verdict, meaning)
    return meaning


def verdict(record: RunRecord) -> Iterator[Line]:
    """Yield the verdict on the figures below, and its findings."""
    health = record.health
    if health is None:
        return
    meaning = meaning_of(health.verdict, record)
    style: Style = "good" if health.verdict in ("valid", "server-bound") else "bad"
    yield labelled("verdict", f"{health.verdict}: {meaning}", style)
    yield from _findings(health)
    yield Line("")


def _findings(health: Health) -> Iterator[Line]:
    advised = set()
    shown, more = first(health.findings)
    for finding in shown:
        yield from wrapped(finding.evidence, LABEL_COLUMNS)
        if finding.advice not in advised and health.verdict != "valid":
            advised.add(finding.advice)
            yield from wrapped(finding.advice, LABEL_COLUMNS + 2, "faint")
    yield from wrapped(more, LABEL_COLUMNS, "faint")


def checks(record: RunRecord) -> Iterator[Line]:
    """Yield the outcome of each check; findings shown with the verdict are not repeated."""
    findings = record.health.findings[:MOST_SHOWN] if record.health else []
    for result in record.checks:
        found = "" if result.measured is None else f": {result.measured}"
        style: Style = "good" if result.outcome == "passed" else "bad"
        yield labelled("check", f"{result.check}   {result.outcome}{found}", style)
        reason = result.reason
        for finding in findings:
            reason = reason.replace(f": {finding.evidence}", "")
        yield from wrapped(reason, LABEL_COLUMNS)
    if record.checks:
        yield Line("")
