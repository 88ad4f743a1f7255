"""The command line: choosing the command, printing errors, exit codes."""

import contextlib
import difflib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Final

from loadgen.errors import LoadgenError, UnreachableError, UsageError, in_words
from loadgen.files import streams
from loadgen.text import as_line

OK: Final = 0
USAGE: Final = 2
UNREACHABLE: Final = 3

COMMANDS: Final = ("run", "compare", "report", "server")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    The first word chooses the command; without one it is ``run``.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    streams.prepare()
    command = words.pop(0) if words and words[0] in COMMANDS else "run"
    prefix = "loadgen" if command == "run" else f"loadgen {command}"
    try:
        code = _perform(command, words)
        sys.stdout.flush()
        return code
    except LoadgenError as error:
        _print_error(f"{prefix}: {error}", *(f"  | {note}" for note in error.notes))
        return UNREACHABLE if isinstance(error, UnreachableError) else USAGE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    except OSError as error:
        _print_error(f"{prefix}: {in_words(error)}")
        return USAGE
    finally:
        _discard_what_cannot_be_written()


def _perform(command: str, words: list[str]) -> int:
    if command == "run":
        _check_first_word(words)
    try:
        return _main_of(command)(words)
    except SystemExit as leaving:  # --help and --version, whose text may still be in a buffer
        return leaving.code if isinstance(leaving.code, int) else OK


def _main_of(command: str) -> Callable[[list[str]], int]:
    """Return the function of ``command``; only that command is imported."""
    match command:
        case "compare":
            from loadgen.cli.compare import main
        case "report":
            from loadgen.cli.report import main
        case "server":
            from loadgen.cli.server import main
        case _:
            from loadgen.cli.run import main
    return main


def _print_error(*lines: str) -> None:
    with contextlib.suppress(OSError):  # the exit code remains
        print(*map(as_line, lines), sep="\n", file=sys.stderr, flush=True)


def _discard_what_cannot_be_written() -> None:
    """Discard what is buffered for an output that has failed, so that exit raises no error."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _check_first_word(words: list[str]) -> None:
    """Raise UsageError for a misspelt command, which would be taken for a target."""
    if words and words[0].isalpha():
        for meant in difflib.get_close_matches(words[0], COMMANDS, n=1):
            raise UsageError(f"there is no command {words[0]!r}; did you mean `loadgen {meant}`?")
