"""One live line on the terminal while a run is on."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from loadgen.plan import Plan
from loadgen.runner import Progress
from loadgen.units import format_count


class LiveProgress:
    """Shows each `Progress` in place of the one before; gone when it is over.

    It draws only when it is told of progress, in the loop's own thread: a thread that refreshes by
    itself would fight the loop for the interpreter.
    """

    def __init__(self, console: Console, plan: Plan) -> None:
        self._plan = plan
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, progress: Progress) -> None:
        """Draw ``progress``."""
        self._live.update(Text(progress_line(progress, self._plan)), refresh=True)


def progress_line(progress: Progress, plan: Plan) -> str:
    """Return ``progress`` as one line."""
    up = f"{format_count(progress.totals.up)} of {format_count(plan.connections)} connections up"
    failures = f", {format_count(progress.failures)} failures" if progress.failures else ""
    if progress.phase == "opening":
        return f"opening: {up}{failures}"
    if progress.phase == "draining":
        return f"draining: {up}{failures}"
    of = f" of {plan.duration_s:g}" if plan.duration_s is not None else ""
    rate = f", {format_count(progress.messages_per_s)} messages/s" if progress.elapsed_s else ""
    return f"{progress.elapsed_s:.0f}{of} s: {up}{rate}{failures}"
