"""What a person sees: the summary on a terminal or in a pipe, and one live line during the run.

rich decides about colours: none in a pipe, none where NO_COLOR is set (https://no-color.org).
"""

from collections.abc import Iterable
from types import TracebackType
from typing import Final, Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from loadgen.plan import Plan
from loadgen.progress import progress_line
from loadgen.signals import outliving_terminal
from loadgen.summary_times import Line
from loadgen.surroundings import Progress

_STYLES: Final = {"plain": "", "heading": "bold", "good": "green", "bad": "red", "faint": "dim"}


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # the command line knows what to do; the default leaves the program


def _console(file: TextIO) -> Console:
    return _Console(file=file, highlight=False, markup=False, emoji=False, soft_wrap=True)


def print_lines(lines: Iterable[Line], file: TextIO) -> None:
    """Print ``lines`` to ``file``, in colour where it can show them."""
    console = _console(file)
    with outliving_terminal():
        for line in lines:
            console.print(line.text, style=_STYLES[line.style])


class LiveProgress:
    """Shows each `Progress` in place of the one before; gone when it is over.

    It draws only when it is told of progress, in the loop's own thread: a thread that refreshes by
    itself would fight the loop for the interpreter.
    """

    def __init__(self, plan: Plan, file: TextIO) -> None:
        self._plan = plan
        self._live = Live(console=_console(file), auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with outliving_terminal():
            self._live.stop()

    def show(self, progress: Progress) -> None:
        """Draw ``progress``."""
        with outliving_terminal():
            self._live.update(Text(progress_line(progress, self._plan)), refresh=True)
