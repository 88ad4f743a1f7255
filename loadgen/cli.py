"""The command line: which word does what, and errors for people."""

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final

from loadgen.errors import LoadgenError, UnreachableError

USAGE: Final = 2
UNREACHABLE: Final = 3

# Modules by name: a word that is not used costs no import.
COMMANDS: Final = {
    "run": "loadgen.commands.run",
    "server": "loadgen.commands.server",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    The first word chooses the command; without one it is ``run``.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = words.pop(0) if words and words[0] in COMMANDS else "run"
    perform: Callable[[list[str]], int] = import_module(COMMANDS[command]).main
    try:
        code = perform(words)
        sys.stdout.flush()
        return code
    except LoadgenError as error:
        prefix = "loadgen" if command == "run" else f"loadgen {command}"
        print(f"{prefix}: {error}", file=sys.stderr)
        return UNREACHABLE if isinstance(error, UnreachableError) else USAGE
    except BrokenPipeError:
        # Whoever read our output has gone; what is still buffered must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
