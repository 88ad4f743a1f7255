"""Files that a user names, read whole, and never without end."""

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

    A pipe is read until its last writer closes it, and a terminal until its user ends what is
    typed. Nothing else is waited for: what never ends, such as /dev/zero, is read no further than
    ``most_bytes``, or until nothing comes any more. Raises OSError, whose ``strerror`` is for the
    user, and of which `TooLargeError` is one.
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
    """Return the same of what has been written already: nobody is waited for to open a pipe.

    Raises OSError also for a pipe that nobody writes to: read(2) returns 0 where no process has it
    open for writing, and EAGAIN where one has, but has written nothing yet (pipe(7)).
    """
    if str(path) == "-" or not Path(path).is_fifo():
        return read_whole(path, most_bytes)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb", buffering=0) as pipe:
        first = pipe.read(_PORTION_BYTES)
        if first == b"":
            raise OSError(errno.ENXIO, "nobody writes to this pipe; start what does first")
        rest = awaited_portions(descriptor, _PORTION_BYTES)
        return _joined(chain((first or b"",), rest), most_bytes)


def _portions(file: io.FileIO) -> Iterator[bytes]:
    """Yield what a file holds; of a log of the kernel's, such as /proc/kmsg, there is no end.

    read(2) returns EAGAIN where that has no more for now, since it is open with O_NONBLOCK, which
    changes nothing of a file on a disk (open(2)).
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
