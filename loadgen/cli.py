"""The command line: which word does what, and errors for people."""

import difflib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from loadgen.errors import LoadgenError, UnreachableError, UsageError
from loadgen.signals import outliving_terminal

USAGE: Final = 2
UNREACHABLE: Final = 3

# Modules by name: a word that is not used costs no import.
COMMANDS: Final = {
    "run": "loadgen.commands.run",
    "compare": "loadgen.commands.compare",
    "report": "loadgen.commands.report",
    "server": "loadgen.commands.server",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    The first word chooses the command; without one it is ``run``.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if sys.stdout is None:  # it was closed by whoever started us (>&-)
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for good
    command = words.pop(0) if words and words[0] in COMMANDS else "run"
    try:
        if command == "run":
            _check_first_word(words)
        perform: Callable[[list[str]], int] = import_module(COMMANDS[command]).main
        code = perform(words)
        sys.stdout.flush()
        return code
    except LoadgenError as error:
        prefix = "loadgen" if command == "run" else f"loadgen {command}"
        with outliving_terminal():
            print(f"{prefix}: {error}", file=sys.stderr)
        return UNREACHABLE if isinstance(error, UnreachableError) else USAGE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        _discard_output()
        return 128 + signal.SIGPIPE
    except OSError as error:
        # All other output has been dealt with where it is written.
        _discard_output()
        with outliving_terminal():
            print(f"loadgen: standard output: {error.strerror}", file=sys.stderr)
        return USAGE


def _discard_output() -> None:
    """Let what is still buffered for standard output not complain at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_first_word(words: list[str]) -> None:
    """Raise UsageError for a command that is misspelt; as a target it would only puzzle."""
    if words and words[0].isalpha():
        for meant in difflib.get_close_matches(words[0], COMMANDS, n=1):
            raise UsageError(f"there is no command {words[0]!r}; did you mean `loadgen {meant}`?")
