"""Writing files atomically, and all of what is written to a descriptor."""

import contextlib
import errno
import os
import select
import stat
import tempfile
from collections.abc import Hashable
from pathlib import Path
from typing import Final

_PREFIX: Final = ".loadgen-"

# A file that is a mount point cannot be replaced (rename(2), EBUSY), nor one in a folder without
# permission to write; it may still be possible to write to the file itself.
_IRREPLACEABLE: Final = frozenset({errno.EBUSY, errno.EACCES, errno.EPERM, errno.EROFS})

_AS_IT_IS: Final = os.O_WRONLY | getattr(os, "O_NOCTTY", 0)
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to a temporary file beside ``path`` and rename it. Raises OSError.

    A link is followed, since the user has named it; a device, a pipe, and a file that cannot be
    replaced are written in place.
    """
    if path.exists() and not path.is_file():
        _write_in_place(path, content)
        return
    _replace_if_possible(_resolved(path), content)


def write_within(folder: Path, name: str, content: bytes) -> None:
    """Write ``content`` to the file ``name`` of ``folder``, which are made if they are not there.

    ``name`` may lead through folders. No link within ``folder`` is followed: one in the place of
    the file is replaced, what it leads to stays as it is. Raises OSError, ELOOP for a link in the
    place of a folder.
    """
    _check_no_link(folder, name)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace_if_possible(path, content, _NO_LINK)


def check_within(folder: Path, name: str) -> None:
    """Try whether `write_within` can write ``name`` in a ``folder`` that is there.

    Raises OSError.
    """
    _check_no_link(folder, name)
    path = folder / name
    if path.is_symlink():
        check_folder(path.parent)
    else:
        check_writable(path)


def _check_no_link(folder: Path, name: str) -> None:
    """Raise OSError if a link stands where a folder between ``folder`` and ``name`` would be."""
    for part in list(Path(name).parents)[:-1]:
        if (folder / part).is_symlink():
            why = f"{part} is a symbolic link, which is not followed; remove it"
            raise OSError(errno.ELOOP, why)


def identity(path: Path) -> Hashable:
    """Return a key that is the same for all names of the file ``path``, and for no other file."""
    try:
        real = Path(os.path.realpath(path))
        if real.exists():
            found = real.stat()
            return found.st_dev, found.st_ino
        folder = real.parent.stat()
        return folder.st_dev, folder.st_ino, real.name
    except OSError:  # it cannot be written either, which is reported when that is tried
        return path


def identity_of_stream(number: int) -> Hashable:
    """Return the `identity` of the file that a standard stream is; None if it is no file."""
    try:
        found = os.fstat(number)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def is_regular(path: Path) -> bool:
    """Whether ``path`` leads to a regular file; False for an impossible name."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _resolved(path: Path) -> Path:
    """Return ``path`` without links. Raises OSError where there can be no such file."""
    real = Path(os.path.realpath(path))
    with contextlib.suppress(FileNotFoundError):
        real.stat()
    return real


def _replace_if_possible(path: Path, content: bytes, more_flags: int = 0) -> None:
    """Replace ``path``; a file that cannot be replaced is written in place, with more flags."""
    try:
        _replace(path, content)
    except OSError as error:
        if error.errno not in _IRREPLACEABLE or not path.is_file():
            raise
        _write_in_place(path, content, more_flags)


def _replace(path: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=_PREFIX)
    try:
        try:
            write_whole(descriptor, content)
        finally:
            os.close(descriptor)
        Path(temporary).chmod(_permissions(path))
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise


def _permissions(path: Path) -> int:
    """Return the permissions of the file ``path``, or those that a new one would have."""
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        if stat.S_ISREG(found.st_mode):
            return found.st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _write_in_place(path: Path, content: bytes, more_flags: int = 0) -> None:
    descriptor = os.open(path, _AS_IT_IS | os.O_TRUNC | more_flags)
    try:
        write_whole(descriptor, content)
    finally:
        os.close(descriptor)


def write_whole(descriptor: int, content: bytes | memoryview) -> None:
    """Write all of ``content``: write(2) may take a part, or nothing if it would block.

    Raises OSError.
    """
    rest = memoryview(content).cast("B")
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


def check_writable(path: Path) -> None:
    """Try whether `write_atomically` can write ``path``, and change nothing.

    Raises OSError. A full disk, or a pipe without a reader, cannot be detected.
    """
    if path.exists() and not path.is_file():
        if not path.is_fifo():  # closing it would look like the end to its reader
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
        # With permission to write to the folder, a read-only file in it may be replaced.
        if error.errno not in (errno.EACCES, errno.ETXTBSY) or is_kept:
            raise


def text_of(path: Path) -> str:
    """Return the text of a system file, such as in /proc; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
