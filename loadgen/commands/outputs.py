"""The files that options name: written whole, or complained about in one line."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from loadgen.errors import UsageError
from loadgen.files import write_atomically


def check_apart(paths: Mapping[str, Path | None]) -> None:
    """Raise UsageError if two options, which ``paths`` has by name, are to write to one place."""
    taken: dict[Path, str] = {}
    for option, path in paths.items():
        if path in taken:
            shared = "standard output" if path == Path("-") else path
            raise UsageError(f"{taken[path]} and {option} cannot share {shared}; name two files")
        if path is not None:
            taken[path] = option


def write_all(*outputs: tuple[str, Path | None, Callable[[], bytes]]) -> None:
    """Write each of ``outputs``: an option, its path or None for none, and what makes the content.

    Raises UsageError for those that cannot be written, once all others are.
    """
    complaints = []
    for option, path, content in outputs:
        if path is not None:
            try:
                write(option, path, content())
            except UsageError as error:
                complaints.append(str(error))
    if complaints:
        raise UsageError("; ".join(complaints))


def write(option: str, path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, ``-`` being standard output. Raises UsageError."""
    if path == Path("-"):
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
        return
    try:
        write_atomically(path, content)
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror}") from error
