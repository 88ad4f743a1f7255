"""Reading files that a user names: whole, with a limit of size, and never without end."""

import errno
import io
import os
import stat
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from loadgen.files.streams import awaited_portions, stdin_portions
from loadgen.units import format_bytes

LARGEST_BYTES: Final = 2**30
"""The largest file that is read: a payload, lines of payloads, a record."""

_PORTION_BYTES: Final = 2**20


class TooLargeError(OSError):
    """A file has more bytes than are read of one; ``strerror`` says how many are."""

    def __init__(self, most_bytes: int) -> None:
        most = format_bytes(most_bytes)
        super().__init__(errno.EFBIG, f"it has more than {most}, the most that is read")


def read_whole(path: str | Path, most_bytes: int = LARGEST_BYTES) -> bytes:
    """Return all that the file at ``path`` holds (``-``: standard input); pipes and devices, too.

    A pipe is read until its last writer closes it, a terminal until its user ends the input (^D).
    Nothing else is waited for: what never ends, such as /dev/zero, is read up to ``most_bytes``
    only. Raises OSError, whose ``strerror`` is for the user; `TooLargeError` is one.
    """
    if str(path) == "-":
        return _joined(stdin_portions(_PORTION_BYTES), most_bytes)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_size > most_bytes:
            raise TooLargeError(most_bytes)
        if stat.S_ISFIFO(status.st_mode) or os.isatty(descriptor):
            return _joined(awaited_portions(descriptor, _PORTION_BYTES), most_bytes)
        return _joined(_portions(file), most_bytes)


def read_written(path: str | Path, most_bytes: int = LARGEST_BYTES) -> bytes:
    """Return the same, but do not wait for a writer to open a pipe.

    Raises OSError for a pipe that no process writes to: read(2) returns 0 where no process has it
    open for writing, and EAGAIN where one has, but has written nothing yet (pipe(7)).
    """
    if str(path) == "-" or not Path(path).is_fifo():
        return read_whole(path, most_bytes)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb", buffering=0) as pipe:
        first = pipe.read(_PORTION_BYTES)
        if first == b"":
            raise OSError(errno.ENXIO, "no process writes to this pipe; start the writer first")
        rest = awaited_portions(descriptor, _PORTION_BYTES)
        return _joined(chain((first or b"",), rest), most_bytes)


def _portions(file: io.FileIO) -> Iterator[bytes]:
    """Yield what a file holds; a log of the kernel, such as /proc/kmsg, has no end.

    read(2) returns EAGAIN where such a log has no more for now, since it is opened with O_NONBLOCK,
    which has no effect on regular files (open(2)).
    """
    while (portion := file.read(_PORTION_BYTES)) != b"":
        if portion is None:  # EAGAIN
            raise OSError(errno.EAGAIN, "it has no end, and waits for more; copy it first")
        yield portion


def _joined(portions: Iterable[bytes], most_bytes: int) -> bytes:
    content = bytearray()
    for portion in portions:
        content += portion
        if len(content) > most_bytes:
            raise TooLargeError(most_bytes)
    return bytes(content)
