"""Two commands run in turn, A B B A, so that a drift of the machine affects both alike."""

import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from loadgen.errors import UsageError, reason
from loadgen.runner.commands.output_tail import OutputTail
from loadgen.runner.commands.supervised import started_command
from loadgen.text import quoted

Side = Literal["A", "B"]

PLACEHOLDER: Final = "{out}"
"""Stands in a command for the name of the file of its JSON record."""

_SHOWN_LINES: Final = 3
_SHOWN_CHARACTERS: Final = 500
_NOT_A_RUN: Final = (2, 3, 130)
"""Exit codes of loadgen after wrong usage, an unreachable target and an interruption; most programs
use 2 and 130 in the same sense. A failed check (1) is a result."""


@dataclass(frozen=True)
class CommandTemplate:
    """A command line that contains `PLACEHOLDER`, split into words."""

    text: str
    words: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, option: str = "--run") -> "CommandTemplate":
        """Return ``text``, split into words as a shell does, without expansions.

        Raises UsageError, which names ``option``.
        """
        try:
            words = tuple(shlex.split(text))
        except ValueError as error:
            raise UsageError(f"{option}: {quoted(text)} is not a command line: {error}") from None
        if not any(PLACEHOLDER in word for word in words):
            raise UsageError(
                f"{option}: {quoted(text)} has no place for its JSON file; write {PLACEHOLDER} "
                f"there, as in 'loadgen localhost:9999 --json {PLACEHOLDER}'"
            )
        return cls(" ".join(text.split()), words)

    def writing_to(self, path: Path) -> list[str]:
        """Return the words, with ``path`` instead of `PLACEHOLDER`."""
        return [word.replace(PLACEHOLDER, str(path)) for word in self.words]


def order(rounds: int) -> Iterator[tuple[int, Side]]:
    """Yield round and side of every run: 1 A, 1 B, 2 B, 2 A, 3 A, 3 B and so on."""
    sides: tuple[Side, Side] = ("A", "B")
    for number in range(1, rounds + 1):
        for side in sides if number % 2 else reversed(sides):
            yield number, side


@dataclass(frozen=True)
class Series:
    """How many times to run each command, where the records go, and the time limit of one run.

    The records are ``A/0001.json`` and so on in ``folder``, which contains empty folders A and B.
    """

    count: int
    folder: Path
    longest_s: float


class FinishedRun(NamedTuple):
    """A run that has written its record: its round and side, and the command's exit code."""

    round: int
    side: Side
    code: int


def run_in_turn(
    commands: dict[Side, CommandTemplate], series: Series, tell: Callable[[str], None]
) -> Iterator[FinishedRun]:
    """Run each of ``commands`` ``series.count`` times, one at a time.

    tell: called with a line of text before each run. Raises UsageError for a command that cannot be
    started, takes too long, fails, or writes no record.
    """
    for number, side in order(series.count):
        tell(f"round {number} of {series.count}: {side}")
        file = series.folder / side / f"{number:04}.json"
        yield FinishedRun(number, side, _run(commands[side], file, series.longest_s))


def _run(command: CommandTemplate, file: Path, longest_s: float) -> int:
    with OutputTail() as output:
        code = _exit_code(command, file, longest_s, output.writer)
    if code in _NOT_A_RUN or code < 0 or not file.is_file():
        missing = "" if file.is_file() else f", and wrote no {file.name}"
        error = UsageError(f"--run: {quoted(command.text)} ended with exit code {code}{missing}")
        for line in output.lines(_SHOWN_LINES, _SHOWN_CHARACTERS):
            error.add_note(line)
        raise error
    return code


def _exit_code(command: CommandTemplate, file: Path, longest_s: float, output: int) -> int:
    """Return the exit code of ``command``; processes that it left behind are ended, too."""
    try:
        with started_command(command.writing_to(file), output) as running:
            return running.wait(longest_s)
    except OSError as error:
        raise UsageError(
            f"--run: {quoted(command.text)} cannot be started: {reason(error)}"
        ) from None
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"--run: {quoted(command.text)} was not done after {longest_s:g} s; allow more with "
            "--run-timeout"
        ) from None
