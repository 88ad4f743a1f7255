"""Files that are either whole or not there, and descriptors that get all of what is written."""

import contextlib
import errno
import os
import select
import stat
import tempfile
from pathlib import Path
from typing import Final

_PREFIX: Final = ".loadgen-"

# A file that is mounted by itself cannot be replaced (rename(2), EBUSY), nor one in a folder that
# may not be written to; it may still be written to as it is.
_IRREPLACEABLE: Final = frozenset({errno.EBUSY, errno.EACCES, errno.EPERM, errno.EROFS})

_AS_IT_IS: Final = os.O_WRONLY | getattr(os, "O_NOCTTY", 0)


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to a temporary file beside ``path`` and rename it. Raises OSError.

    A link is followed; a device, a pipe, and a file that cannot be replaced are written to as they
    are.
    """
    if path.exists() and not path.is_file():
        _write_in_place(path, content)
        return
    path = _resolved(path)
    try:
        _replace(path, content)
    except OSError as error:
        if error.errno not in _IRREPLACEABLE or not path.is_file():
            raise
        _write_in_place(path, content)


def _resolved(path: Path) -> Path:
    """Return ``path`` without links. Raises OSError where there can be no such file."""
    real = Path(os.path.realpath(path))
    with contextlib.suppress(FileNotFoundError):
        real.stat()
    return real


def _replace(path: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=_PREFIX)
    try:
        try:
            write_whole(descriptor, content)
        finally:
            os.close(descriptor)
        # mkstemp makes files private; a result is as readable as any other file.
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise


def _write_in_place(path: Path, content: bytes) -> None:
    descriptor = os.open(path, _AS_IT_IS | os.O_TRUNC)
    try:
        write_whole(descriptor, content)
    finally:
        os.close(descriptor)


def write_whole(descriptor: int, content: bytes | memoryview) -> None:
    """Write all of ``content``: write(2) may take a part, or nothing from who would not wait.

    Raises OSError.
    """
    rest = memoryview(content).cast("B")
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


def check_writable(path: Path) -> None:
    """Try whether `write_atomically` can write ``path``, and leave everything as it was.

    Raises OSError. A full disk, and who reads from a pipe, cannot be known.
    """
    if path.exists() and not path.is_file():
        if not path.is_fifo():  # its reader would take the closing for the end
            _check_opens(path)
        return
    path = _resolved(path)
    try:
        check_folder(path.parent)
        _check_replaceable(path)
    except OSError as error:
        if error.errno not in _IRREPLACEABLE or not path.is_file():
            raise
        _check_opens(path)


def check_folder(folder: Path) -> None:
    """Make a file in ``folder``, and remove it. Raises OSError."""
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=_PREFIX)
    os.close(descriptor)
    Path(temporary).unlink()


def check_can_be_made(folder: Path) -> None:
    """Make a folder, and remove it, where ``folder`` or the first of its parents would be made.

    Raises OSError. To be called for a folder that is not there.
    """
    there = next(each for each in folder.absolute().parents if each.exists())
    Path(tempfile.mkdtemp(dir=there, prefix=_PREFIX)).rmdir()


def _check_opens(path: Path) -> None:
    os.close(os.open(path, _AS_IT_IS | getattr(os, "O_NONBLOCK", 0)))


def _check_replaceable(path: Path) -> None:
    """Raise OSError if ``path`` is a file that may not be renamed over (rename(2), EPERM)."""
    if not path.exists():
        return
    try:
        _check_opens(path)
    except OSError as error:
        folder, file = path.parent.stat(), path.stat()
        is_kept = folder.st_mode & stat.S_ISVTX and os.geteuid() not in (folder.st_uid, file.st_uid)
        # Whoever may write to the folder may replace a file that is only read there.
        if error.errno not in (errno.EACCES, errno.ETXTBSY) or is_kept:
            raise


def text_of(path: Path) -> str:
    """Return the text of a file of the system's; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
