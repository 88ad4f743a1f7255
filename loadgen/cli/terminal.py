"""Text for the terminal: the lines of a summary, and one live line during the run.

rich decides about colours: none in a pipe, none where NO_COLOR is set (https://no-color.org).
"""

import contextlib
from collections.abc import Iterable
from types import TracebackType
from typing import Final, Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from loadgen.analysis.lines import Line
from loadgen.plan import Plan
from loadgen.results.intervals import RunPhase
from loadgen.runner.surroundings import Progress
from loadgen.signals import outliving_terminal
from loadgen.units import format_count

_USUAL_COLUMNS: Final = 80
_STYLES: Final = {"plain": "", "heading": "bold", "good": "green", "bad": "red", "faint": "dim"}


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # handled by the command line; rich would exit


def _console(file: TextIO) -> Console:
    console = _Console(file=file, highlight=False, markup=False, emoji=False, soft_wrap=True)
    if console.width < 1:  # COLUMNS=0, and rich would print nothing
        console.width = _USUAL_COLUMNS
    return console


def print_lines(lines: Iterable[Line], file: TextIO) -> None:
    """Print ``lines`` to ``file``, in colour if it can show colours."""
    console = _console(file)
    with outliving_terminal():
        for line in lines:
            console.print(line.text, style=_STYLES[line.style])


class Announcer:
    """Prints lines during a command's work.

    If a file keeps the results (``goes_on``), an output that fails does not end the work: nothing
    more is printed, and `close` raises the error.
    """

    def __init__(self, file: TextIO, *, goes_on: bool) -> None:
        self._file = file
        self._goes_on = goes_on
        self._error: OSError | None = None

    def say(self, lines: Iterable[Line]) -> None:
        """Print ``lines`` now. Raises OSError unless the work goes on."""
        if self._error is not None:
            return
        try:
            print_lines(lines, self._file)
            self._file.flush()
        except OSError as error:
            if not self._goes_on:
                raise
            self._error = error

    def close(self) -> None:
        """Raise the OSError of an output that has failed."""
        if self._error is not None:
            raise self._error


class LiveProgress:
    """Shows each `Progress` in place of the one before, and removes the line at the end.

    It draws only when it is given progress, in the loop's own thread: a refreshing thread would
    compete with the loop for the interpreter. A terminal that closes does not end the run.
    """

    def __init__(self, plan: Plan, file: TextIO) -> None:
        self._plan = plan
        self._live = Live(console=_console(file), auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError):
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._live.stop()

    def show(self, progress: Progress) -> None:
        """Draw ``progress``."""
        with contextlib.suppress(OSError):
            self._live.update(Text(progress_line(progress, self._plan)), refresh=True)


_PHASES_WITHOUT_LOAD: Final[dict[RunPhase, str]] = {
    "opening": "opening",
    "warming": "warming up",
    "draining": "draining",
}


def progress_line(progress: Progress, plan: Plan) -> str:
    """Return ``progress`` as one line."""
    up = f"{format_count(progress.totals.up)} of {format_count(plan.connections)} connections up"
    failures = f", {format_count(progress.failures)} failures" if progress.failures else ""
    failures += f", {format_count(progress.rejected)} rejected" if progress.rejected else ""
    if progress.stage in _PHASES_WITHOUT_LOAD:
        return f"{_PHASES_WITHOUT_LOAD[progress.stage]}: {up}{failures}"
    of = f" of {plan.duration_s:g}" if plan.duration_s is not None else ""
    rate = f", {format_count(progress.messages_per_s)} messages/s" if progress.elapsed_s else ""
    return f"{progress.elapsed_s:.0f}{of} s: {up}{rate}{failures}"
