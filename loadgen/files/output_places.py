"""Checks of output files and folders, made before a run, so that its results are not lost."""

import stat
import sys
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Final

from loadgen.errors import UsageError, reason
from loadgen.files import streams, writing
from loadgen.text import escaped

Named = tuple[str, Path | None]
"""An option, and the file that it names, if it is given."""

STDOUT: Final = Path("-")
"""As an output."""

STDIN: Final = Path("-")
"""As an input."""

PAGE_MARK: Final = b'<meta name="generator" content="loadgen">'
"""In the head of every report's page, and of no other page."""

_HEAD_BYTES: Final = 4096
_STREAMS: Final = {1: "standard output", 2: "standard error"}


def check(written: Iterable[Named], read: Iterable[Named] = ()) -> None:
    """Raise UsageError if the files ``written`` cannot all be written, each to a place of its own.

    Two names of one file are recognised, also where one of them is ``read``; whether each can be
    written is tried.
    """
    given = [(option, path) for option, path in written if path is not None]
    check_apart(given, read)
    for option, path in given:
        check_can_be_written(option, path)


def check_apart(written: Iterable[Named], read: Iterable[Named] = ()) -> None:
    """Raise UsageError if two options write to one place, or one overwrites what is read.

    ``-`` among what is ``read`` is standard input, which may be a file.
    """
    inputs = {_identity_of_input(path): path for _, path in read if path is not None}
    taken = {writing.identity_of_stream(number): name for number, name in _STREAMS.items()}
    for option, path in written:
        if path is None:
            continue
        place = _identity(path)
        shown = _STREAMS[1] if path == STDOUT else escaped(str(path))
        other = taken.get(place)
        if other in _STREAMS.values():
            raise UsageError(f"{option} {shown} is where {other} goes; name another file")
        if other not in (None, option):
            raise UsageError(f"{other} and {option} cannot share {shown}; name two files")
        if place in inputs:
            raise UsageError(
                f"{option} {shown} would overwrite {_input_in_words(inputs[place])}, which is "
                "read; name another one"
            )
        taken[place] = option


def within(folder: Path, name: str) -> Path | None:
    """Return the file that `files.write_within` overwrites; None for a link, which it replaces."""
    path = folder / name
    return None if path.is_symlink() else path


def check_can_be_written(option: str, path: Path) -> None:
    """Raise UsageError if ``path`` cannot be written, as far as that can be known before."""
    if path == STDOUT:
        if streams.is_closed(sys.stdout):
            raise UsageError(f"{option} -: standard output is closed; name a file")
        return
    try:
        writing.check_writable(path)
    except OSError as error:
        raise UsageError(
            f"{option} {escaped(str(path))}: it cannot be written: {reason(error)}; name another "
            "file"
        ) from None


def check_folder(option: str, folder: Path, page: str) -> None:
    """Raise UsageError if ``folder`` cannot be made, or the file ``page`` not be written in it.

    A ``page`` that is there already must have been written by a report.
    """
    try:
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        if not there.is_dir():
            raise UsageError(
                f"{option} {escaped(str(folder))}: {escaped(str(there))} is a file; name a folder, "
                "or a new one"
            )
        if there != folder:
            writing.check_can_be_made(folder)
        elif (folder / page).is_dir() and not (folder / page).is_symlink():
            raise UsageError(f"{option} {escaped(str(folder / page))}: it is a folder; remove it")
        elif _is_foreign(folder / page):
            raise UsageError(
                f"{option} {escaped(str(folder / page))}: it is there already, and is not a "
                "report of loadgen's; name another folder"
            )
        else:
            writing.check_within(folder, page)
    except OSError as error:
        raise UsageError(
            f"{option} {escaped(str(folder))}: nothing can be written there: {reason(error)}; name "
            "another folder"
        ) from None


def to_be_made(folder: Path) -> Iterator[Path]:
    """Yield ``folder`` and those of its parents that would have to be made for it."""
    for each in (folder, *folder.parents):
        if each.exists():
            return
        yield each


def _identity(path: Path) -> Hashable:
    return STDOUT if path == STDOUT else writing.identity(path)


def _identity_of_input(path: Path) -> Hashable:
    return writing.identity_of_stream(0) if path == STDIN else writing.identity(path)


def _input_in_words(path: Path) -> str:
    return "standard input" if path == STDIN else escaped(str(path))


def _is_foreign(page: Path) -> bool:
    """Whether ``page`` is a file that holds something, and was not made by a report."""
    try:
        found = page.lstat()
        if stat.S_ISLNK(found.st_mode):
            return False
        if not stat.S_ISREG(found.st_mode):
            return True
        with page.open("rb") as file:
            return found.st_size > 0 and PAGE_MARK not in file.read(_HEAD_BYTES)
    except FileNotFoundError:
        return False
