"""The search for the highest rate, as lines for people."""

import textwrap
from collections.abc import Iterator
from typing import Final

from loadgen.analysis import engine_text
from loadgen.analysis.lines import Line, Style, aligned, wrapped
from loadgen.analysis.max_rate import LoadStep, MaxRecord, StepResult
from loadgen.results.instruments import EngineName
from loadgen.units import format_count, format_duration_ns, format_rate

_GROUPS: Final = ("", "", "", "service time", "response time")
_GROUP_WIDTHS: Final = (11, 11, 9, 15, 15)
_COLUMNS: Final = ("asked", "got", "in flight", "p50", "p99", "p50", "p99")
_WIDTHS: Final = (11, 11, 9, 7, 7, 7, 7)
"""Fixed, since each step is printed when it is over."""

_OUTCOME_COLUMNS: Final = 38

_OUTCOMES: Final[dict[StepResult, tuple[str, Style]]] = {
    "kept": ("kept", "good"),
    "broken": ("broken", "bad"),
    "generator": ("the generator was the limit", "faint"),
    "unclear": ("unclear", "faint"),
}


def heading(promise: str, engine: EngineName) -> list[Line]:
    """Return the lines above the steps, which ``engine`` is going to carry out."""
    return [
        Line(f"looking for the highest rate with {promise}, {engine_text.name(engine)}", "heading"),
        Line(_row(_GROUPS, _GROUP_WIDTHS), "faint"),
        Line(_row(_COLUMNS, _WIDTHS), "faint"),
    ]


def step_line(step: LoadStep) -> Line:
    """Return one step as a line; long reasons are cut short, `conclusion` has them in full."""
    cells = (
        format_rate(step.rate_per_s),
        format_rate(step.messages_per_s),
        _number(step.in_flight_at_server),
        _duration(step.service_p50_ns),
        _duration(step.service_p99_ns),
        _duration(step.response_p50_ns),
        _duration(step.response_p99_ns),
    )
    outcome, style = _OUTCOMES[step.outcome]
    why = f": {'; '.join(_reasons(step))}" if _reasons(step) else ""
    tries = f", {step.tries} tries" if step.tries > 1 else ""
    reason = textwrap.shorten(f"{outcome}{why}", _OUTCOME_COLUMNS, placeholder=" …")
    reason += tries if len(reason + tries) <= _OUTCOME_COLUMNS else ""
    return Line(f"{_row(cells, _WIDTHS)}  {reason}", style)


def conclusion(record: MaxRecord) -> Iterator[Line]:
    """Yield what was found, and what it is worth."""
    promise = ", ".join(record.promise)
    if not record.steps:
        yield Line("the search was ended before any rate was tried", "bad")
        return
    if record.found_per_s is None:
        yield Line(f"no rate that was tried keeps {promise}", "bad")
    else:
        at_least = "" if record.limited_by == "server" else "at least "
        found = format_rate(record.found_per_s)
        yield Line(f"highest rate that keeps {promise}: {at_least}{found}", "heading")
    if any(step.timestamps == "user" for step in record.steps):
        yield Line("  times are user-space: they contain this process's own queue", "bad")
    yield from engine_text.notes(record.steps)
    missed = [step for step in record.steps if step.outcome != "kept"]
    if missed:
        yield from _limit(min(missed, key=lambda step: step.rate_per_s))
    else:
        yield Line("  the search was ended before a rate broke it", "bad")


def _limit(step: LoadStep) -> Iterator[Line]:
    """Yield why no rate as high as that of ``step`` was found."""
    rate, reasons = format_rate(step.rate_per_s), "; ".join(_reasons(step))
    match step.outcome:
        case "generator":
            text = (
                f"at {rate} the generator was the limit, not the server: share the load between "
                "machines to find a higher rate"
            )
            yield from wrapped(text, style="bad")
        case "unclear":
            yield from wrapped(f"inconclusive at {rate}: {reasons}", style="bad")
        case _:
            yield from wrapped(f"{rate} broke it: {reasons}")


def _row(cells: tuple[str, ...], widths: tuple[int, ...]) -> str:
    (line,) = aligned([cells], ">" * len(cells), widths, gap_columns=1)
    return line


def _number(in_flight: float | None) -> str:
    if in_flight is None:
        return "-"
    return f"{in_flight:.0f}" if in_flight >= 10 else f"{in_flight:.2f}"


def _duration(nanoseconds: int | None) -> str:
    return "-" if nanoseconds is None else format_duration_ns(nanoseconds)


def _reasons(step: LoadStep) -> list[str]:
    """Return what broke the promise, or made it unclear."""
    if step.outcome not in ("broken", "unclear"):
        return []
    wanted = "failed" if step.outcome == "broken" else "inconclusive"
    reasons = [
        f"{check.check}: {check.reason or check.measured}"
        for check in step.checks
        if check.outcome == wanted
    ]
    if not reasons and step.rejected and step.verdict in ("valid", "busy"):
        return [f"rejected: {format_count(step.rejected)} messages"]
    return reasons or [f"the run is {step.verdict}"]
