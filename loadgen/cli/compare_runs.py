"""``loadgen compare --run``: the rounds of two commands that are run in turn."""

import argparse
import contextlib
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final

from loadgen import signals
from loadgen.analysis.compare import reading
from loadgen.analysis.compare.comparison import Terms, compare
from loadgen.analysis.compare.rounds import Rounds
from loadgen.analysis.lines import Line
from loadgen.cli.terminal import Announcer
from loadgen.errors import UsageError, reason
from loadgen.files.writing import check_folder, is_regular
from loadgen.plan.redaction import redacted
from loadgen.runner.commands.alternating import (
    CommandTemplate,
    Series,
    Side,
    run_in_turn,
)
from loadgen.text import escaped

DEFAULT_ROUNDS: Final = 10
LONGEST_S: Final = 600.0


def made(chosen: argparse.Namespace, terms: Terms) -> tuple[Rounds, Rounds]:
    """Run both commands and return their rounds. Raises UsageError, after one round if possible."""
    if chosen.files:
        raise UsageError(f"--run and {chosen.files[0]}: compare files, or commands, not both")
    if len(chosen.commands) != 2:
        raise UsageError(f"--run: given {len(chosen.commands)} times; two are compared")
    count = DEFAULT_ROUNDS if chosen.rounds is None else chosen.rounds
    longest_s = LONGEST_S if chosen.longest_s is None else chosen.longest_s
    for option, value in (("--rounds", count), ("--run-timeout", longest_s)):
        if not value:
            raise UsageError.of(option, f"{value:g}", "write more than 0")
    base, head = map(_redacted, chosen.commands) if chosen.redact else chosen.commands
    read = partial(_read, redact=chosen.redact)
    announce = _silent if chosen.quiet else _announcing(chosen)
    with _ended_by_signals(), _folder(chosen.keep) as folder:
        series = Series(count, folder, longest_s)
        codes: dict[Side, list[int]] = {"A": [], "B": []}
        for run in run_in_turn({"A": base, "B": head}, series, announce):
            codes[run.side].append(run.code)
            if (run.round, run.side) == (1, "B"):
                compare(read(base, folder / "A"), read(head, folder / "B"), terms)
        return read(base, folder / "A", codes["A"]), read(head, folder / "B", codes["B"])


def files_named(commands: Iterable[CommandTemplate]) -> Iterator[Path]:
    """Yield the files that words of ``commands`` name: they may be programs, or what those read."""
    for command in commands:
        yield from (Path(word) for word in command.words if is_regular(Path(word)))


def _redacted(command: CommandTemplate) -> CommandTemplate:
    """Return ``command`` with its text redacted."""
    return replace(command, text=repr(redacted(command.text.encode("utf-8", "surrogateescape"))))


def _read(
    command: CommandTemplate, folder: Path, codes: Sequence[int] = (), *, redact: bool
) -> Rounds:
    rounds = reading.read(command.text, folder, redact=redact)
    failed = {code: count for code, count in Counter(codes).items() if code}
    remarks = (
        f"the command ended with {code} in {count} of {len(codes)} rounds"
        for code, count in failed.items()
    )
    return replace(rounds, remarks=(*rounds.remarks, *remarks))


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end this process and its children, as ^C does."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    numbers = [number for number in signals.asking_to_end() if number != signal.SIGINT]
    with signals.handled(leave, *numbers):
        yield


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Yield the folder for the records: ``keep``, or a temporary one."""
    with contextlib.ExitStack() as cleanup:
        folder = _temporary(cleanup) if keep is None else _kept(keep)
        for side in ("A", "B"):
            try:
                (folder / side).mkdir(parents=True, exist_ok=True)
                is_used = any((folder / side).iterdir())
                check_folder(folder / side)
            except OSError as error:
                raise UsageError(f"--keep {escaped(str(folder))}: {reason(error)}") from None
            if is_used:
                raise UsageError(
                    f"--keep {escaped(str(folder))}: it holds records already; name another folder"
                )
        yield folder


def _temporary(cleanup: contextlib.ExitStack) -> Path:
    try:
        made = tempfile.TemporaryDirectory(prefix="loadgen-compare-")
    except OSError as error:
        raise UsageError(
            f"--run: the records need a folder for temporary files: {reason(error)}; name one with "
            "the variable TMPDIR, or a folder that keeps them with --keep"
        ) from None
    return Path(cleanup.enter_context(made))


def _kept(keep: Path) -> Path:
    """Return ``keep`` as an absolute path, since a command may run in another folder."""
    try:
        return keep.absolute()
    except OSError as error:
        raise UsageError(
            f"--keep {escaped(str(keep))}: the working folder is gone: {reason(error)}; name an "
            "absolute path"
        ) from None


def _announcing(chosen: argparse.Namespace) -> Callable[[str], None]:
    """Return what prints a line for each run; it may fail if files keep the results."""
    is_kept = any((chosen.json, chosen.markdown, chosen.keep))
    announcer = Announcer(sys.stderr, goes_on=is_kept)
    return lambda text: announcer.say([Line(text)])


def _silent(text: str) -> None:
    pass
