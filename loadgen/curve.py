"""The curve of load against latency, as lines for people."""

from collections.abc import Iterator
from typing import Final

from loadgen.find_max import Kept, LoadStep, MaxRecord
from loadgen.summary_times import Line, Style
from loadgen.units import format_count, format_duration_ns

_COLUMNS: Final = ("asked/s", "got/s", "in flight", "service p50", "p99", "response p50", "p99")
_WIDTHS: Final = (10, 10, 10, 12, 9, 13, 9)

_OUTCOMES: Final[dict[Kept, str]] = {
    "kept": "kept",
    "broken": "broken",
    "generator": "the generator was the limit",
    "unclear": "unclear",
}


def heading(promise: str) -> list[Line]:
    """Return what stands above the steps."""
    cells = (f"{column:>{width}}" for column, width in zip(_COLUMNS, _WIDTHS, strict=True))
    return [Line(f"looking for the highest rate with {promise}", "heading"), Line("".join(cells))]


def step_line(step: LoadStep) -> Line:
    """Return one step."""
    cells = (
        format_count(step.rate_per_s),
        format_count(step.messages_per_s),
        "-" if step.in_flight_at_server is None else f"{step.in_flight_at_server:.3g}",
        _duration(step.service_p50_ns),
        _duration(step.service_p99_ns),
        _duration(step.response_p50_ns),
        _duration(step.response_p99_ns),
    )
    row = "".join(f"{cell:>{width}}" for cell, width in zip(cells, _WIDTHS, strict=True))
    tries = f", {step.tries} tries" if step.tries > 1 else ""
    style: Style = {"kept": "good", "broken": "bad"}.get(step.outcome, "faint")  # type: ignore[assignment]
    return Line(f"{row}  {_OUTCOMES[step.outcome]}{tries}{_why(step)}", style)


def conclusion(record: MaxRecord) -> Iterator[Line]:
    """Say what was found, and what it is worth."""
    promise = ", ".join(record.promise)
    if record.found_per_s is None:
        yield Line(f"no rate that was tried keeps {promise}", "bad")
    else:
        at_least = "" if record.limited_by == "server" else "at least "
        found = format_count(record.found_per_s)
        yield Line(f"highest rate that keeps {promise}: {at_least}{found}/s", "heading")
    if any(step.timestamps == "user" for step in record.steps):
        yield Line("  times are user-space: this process's own queue is in them", "bad")
    if record.found_per_s is None and record.limited_by == "server":
        return
    match record.limited_by:
        case "generator":
            yield Line(
                "  above that the generator was the limit, not the server: share the load between "
                "machines to learn more",
                "bad",
            )
        case "unclear":
            yield Line("  above that the steps could not be decided; see the reasons", "bad")
        case "nothing":
            yield Line("  the search was ended before a rate broke it", "bad")


def _duration(nanoseconds: int | None) -> str:
    return "-" if nanoseconds is None else format_duration_ns(nanoseconds)


def _why(step: LoadStep) -> str:
    """Return what broke the promise, or made it unclear."""
    if step.outcome not in ("broken", "unclear"):
        return ""
    wanted = "failed" if step.outcome == "broken" else "inconclusive"
    reasons = [
        f"{check.check}: {check.reason or check.measured}"
        for check in step.checks
        if check.outcome == wanted
    ]
    return f" ({'; '.join(reasons) or step.verdict})"
