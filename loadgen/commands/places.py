"""Where outputs go, looked at before there is anything to lose."""

import os
import stat
import sys
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Final

from loadgen import files, streams
from loadgen.commands.outputs import STDOUT
from loadgen.errors import UsageError, reason
from loadgen.names import escaped

Named = tuple[str, Path | None]
"""An option, and the file that it names, if it is given."""

_STREAMS: Final = {1: "standard output", 2: "standard error"}


def check(written: Iterable[Named], read: Iterable[Named] = ()) -> None:
    """Raise UsageError if the files ``written`` cannot all be written, each in a place of its own.

    They are told apart however they are spelt, and from those that are ``read``; that each can be
    written is tried.
    """
    given = [(option, path) for option, path in written if path is not None]
    check_apart(given, read)
    for option, path in given:
        check_can_be_written(option, path)


def check_apart(written: Iterable[Named], read: Iterable[Named] = ()) -> None:
    """Raise UsageError if two options are to write to one place, or to what one of them reads."""
    inputs = {_identity(path): path for _, path in read if path is not None and path != STDOUT}
    taken = {_of_stream(number): name for number, name in _STREAMS.items()}
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
                f"{option} {shown} would overwrite {escaped(str(inputs[place]))}, which is read; "
                "name another file"
            )
        taken[place] = option


def check_can_be_written(option: str, path: Path) -> None:
    """Raise UsageError if nothing can be written to ``path``, for all that can be known before."""
    if path == STDOUT:
        if streams.is_closed(sys.stdout):
            raise UsageError(f"{option} -: standard output is closed; name a file")
        return
    try:
        files.check_writable(path)
    except OSError as error:
        raise UsageError(
            f"{option} {escaped(str(path))}: it cannot be written: {reason(error)}; name another "
            "file"
        ) from None


def check_folder(option: str, folder: Path, page: str) -> None:
    """Raise UsageError if ``folder`` cannot be made, or the file ``page`` not be written in it."""
    try:
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        if not there.is_dir():
            raise UsageError(
                f"{option} {escaped(str(folder))}: {escaped(str(there))} is a file; name a folder, "
                "or a new one"
            )
        if there != folder:
            files.check_can_be_made(folder)
        elif (folder / page).is_dir():
            raise UsageError(f"{option} {escaped(str(folder / page))}: it is a folder; remove it")
        else:
            files.check_writable(folder / page)
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
    """Return what is the same for every way to spell ``path``, and for no other file."""
    if path == STDOUT:
        return STDOUT
    try:
        real = Path(os.path.realpath(path))
        if real.exists():
            found = real.stat()
            return found.st_dev, found.st_ino
        folder = real.parent.stat()
        return folder.st_dev, folder.st_ino, real.name
    except OSError:  # it cannot be written either, and that is told of where it is tried
        return path


def _of_stream(number: int) -> Hashable:
    """Return the identity of the file that a standard stream goes to; None if it is no file."""
    try:
        found = os.fstat(number)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None
