"""How a run is getting on, in one line."""

from typing import Final

from loadgen.plan.plan import Plan
from loadgen.results.intervals import Stage
from loadgen.runner.context import Progress
from loadgen.units import format_count

_BEFORE_AND_AFTER: Final[dict[Stage, str]] = {
    "opening": "opening",
    "warming": "warming up",
    "draining": "draining",
}


def progress_line(progress: Progress, plan: Plan) -> str:
    """Return ``progress`` as one line."""
    up = f"{format_count(progress.totals.up)} of {format_count(plan.connections)} connections up"
    failures = f", {format_count(progress.failures)} failures" if progress.failures else ""
    if progress.stage in _BEFORE_AND_AFTER:
        return f"{_BEFORE_AND_AFTER[progress.stage]}: {up}{failures}"
    of = f" of {plan.duration_s:g}" if plan.duration_s is not None else ""
    rate = f", {format_count(progress.messages_per_s)} messages/s" if progress.elapsed_s else ""
    return f"{progress.elapsed_s:.0f}{of} s: {up}{rate}{failures}"
