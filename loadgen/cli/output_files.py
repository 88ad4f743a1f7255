"""Writing a command's outputs: one that fails does not prevent the others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

from loadgen.errors import LoadgenError, UnreachableError, UsageError, in_words, reason
from loadgen.files.output_places import STDOUT
from loadgen.files.streams import write_stdout
from loadgen.files.writing import write_atomically
from loadgen.text import escaped


class Output(NamedTuple):
    """An output: its option, its path (None: not asked for), and what makes the content."""

    option: str
    path: Path | None
    content: Callable[[], bytes]


class Attempts:
    """Several independent actions; their errors are raised when all have been tried.

    Leaving the ``with`` raises the one error, or a LoadgenError with the texts of all.
    ``already``: earlier errors, which are raised with them.
    """

    def __init__(self, *already: LoadgenError) -> None:
        self._errors: list[Exception] = list(already)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None and self._errors:
            raise _together(self._errors)

    def make(self, do: Callable[..., object], *arguments: Any) -> None:
        """Call ``do``; an error is kept until the end."""
        try:
            do(*arguments)
        except Exception as error:  # noqa: BLE001 - even a bug must not prevent the others
            self._errors.append(error)

    def write(self, *outputs: Output) -> None:
        """Write each of ``outputs``."""
        for each in outputs:
            if each.path is not None:
                self.make(_write, each.option, each.path, each.content)


def write(option: str, path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, ``-`` being standard output.

    Raises UsageError; for standard output the OSError, which names it.
    """
    if path == STDOUT:
        write_stdout(content)
        return
    try:
        write_atomically(path, content)
    except OSError as error:
        raise UsageError(f"{option} {escaped(str(path))}: {reason(error)}") from error


def _write(option: str, path: Path, content: Callable[[], bytes]) -> None:
    write(option, path, content())


def _together(errors: list[Exception]) -> Exception:
    """Return one error for all: a bug first, a closed pipe on standard output last."""
    bugs = [error for error in errors if not isinstance(error, LoadgenError | OSError)]
    others = [error for error in errors if not isinstance(error, BrokenPipeError)]
    chosen = bugs or others or errors
    if bugs or len(chosen) == 1:
        return chosen[0]
    texts = (in_words(each) if isinstance(each, OSError) else str(each) for each in chosen)
    is_unreachable = any(isinstance(each, UnreachableError) for each in chosen)
    kind = UnreachableError if is_unreachable else UsageError
    return kind("; ".join(dict.fromkeys(texts)))
