"""How a run is getting on, in one line."""

from loadgen.plan import Plan
from loadgen.surroundings import Progress
from loadgen.units import format_count


def progress_line(progress: Progress, plan: Plan) -> str:
    """Return ``progress`` as one line."""
    up = f"{format_count(progress.totals.up)} of {format_count(plan.connections)} connections up"
    failures = f", {format_count(progress.failures)} failures" if progress.failures else ""
    if progress.stage == "opening":
        return f"opening: {up}{failures}"
    if progress.stage == "draining":
        return f"draining: {up}{failures}"
    of = f" of {plan.duration_s:g}" if plan.duration_s is not None else ""
    rate = f", {format_count(progress.messages_per_s)} messages/s" if progress.elapsed_s else ""
    return f"{progress.elapsed_s:.0f}{of} s: {up}{rate}{failures}"
