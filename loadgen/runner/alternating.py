"""Two commands run in turn, A B B A, so that what drifts on a machine drifts for both alike."""

import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from loadgen.errors import UsageError, reason
from loadgen.runner.supervised import started
from loadgen.runner.tail import Tail
from loadgen.text import quoted

Side = Literal["A", "B"]

PLACE: Final = "{out}"
"""Where the name of the file for the JSON record goes."""

_SHOWN_LINES: Final = 3
_SHOWN_CHARACTERS: Final = 500
_NOT_A_RUN: Final = (2, 3, 130)
"""What loadgen ends with after wrong usage, where nobody is there, and when interrupted; most
programs mean the like by 2 and 130. A check that fails, 1, is a result."""


@dataclass(frozen=True)
class CommandTemplate:
    """A command line with `PLACE` in it, as its words."""

    text: str
    words: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, option: str = "--run") -> "CommandTemplate":
        """Return the command that ``text`` means to a shell; nothing is expanded.

        Its text is in one line, with single blanks. Raises UsageError, which names ``option``.
        """
        try:
            words = tuple(shlex.split(text))
        except ValueError as error:
            raise UsageError(f"{option}: {quoted(text)} is no command line: {error}") from None
        if not any(PLACE in word for word in words):
            raise UsageError(
                f"{option}: {quoted(text)} says nowhere where its JSON goes; write {PLACE} there, "
                f"as in 'loadgen localhost:9999 --json {PLACE}'"
            )
        return cls(" ".join(text.split()), words)

    def writing_to(self, path: Path) -> list[str]:
        """Return the words with ``path`` in its place."""
        return [word.replace(PLACE, str(path)) for word in self.words]


def order(rounds: int) -> Iterator[tuple[int, Side]]:
    """Yield number and side of every run: 1 A, 1 B, 2 B, 2 A, 3 A, 3 B and so on."""
    sides: tuple[Side, Side] = ("A", "B")
    for number in range(1, rounds + 1):
        for side in sides if number % 2 else reversed(sides):
            yield number, side


@dataclass(frozen=True)
class Series:
    """How often to run each, where the files go, and how long one run may take.

    Files are called ``A/0001.json`` and so on, in ``folder``, where A and B are empty folders.
    """

    count: int
    folder: Path
    longest_s: float


class Ended(NamedTuple):
    """A run that has written its file: of which round and side, and the command's exit code."""

    round: int
    side: Side
    code: int


def run_in_turn(
    commands: dict[Side, CommandTemplate], series: Series, tell: Callable[[str], None]
) -> Iterator[Ended]:
    """Run each of ``commands`` so often, one at a time; ``tell`` hears of each before it begins.

    Raises UsageError for a command that cannot be started, takes too long, ends badly, or writes no
    file.
    """
    for number, side in order(series.count):
        tell(f"round {number} of {series.count}: {side}")
        file = series.folder / side / f"{number:04}.json"
        yield Ended(number, side, _run(commands[side], file, series.longest_s))


def _run(command: CommandTemplate, file: Path, longest_s: float) -> int:
    with Tail() as output:
        code = _ended(command, file, longest_s, output.writer)
    if code in _NOT_A_RUN or code < 0 or not file.is_file():
        missing = "" if file.is_file() else f", and wrote no {file.name}"
        error = UsageError(f"--run: {quoted(command.text)} ended with {code}{missing}")
        for line in output.lines(_SHOWN_LINES, _SHOWN_CHARACTERS):
            error.add_note(line)
        raise error
    return code


def _ended(command: CommandTemplate, file: Path, longest_s: float, output: int) -> int:
    """Return how ``command`` ended; what it has started and left behind goes with it."""
    try:
        with started(command.writing_to(file), output) as running:
            return running.wait(longest_s)
    except OSError as error:
        raise UsageError(
            f"--run: {quoted(command.text)} cannot be started: {reason(error)}"
        ) from None
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"--run: {quoted(command.text)} was not done after {longest_s:g} s; --run-timeout "
            "allows more"
        ) from None
