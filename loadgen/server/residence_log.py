"""The residence log (``--ledger``): how long the server itself kept every message.

It is the reference for the latencies that a load generator reports. The file is a sequence of
64-bit integers, signed, little-endian, in nanoseconds, without a header: one for each answered
message, in the order in which the answers were completed. It is written in chunks while the server
runs; the rest is written at the end. Several processes append to one file, each chunk whole
(write(2), O_APPEND), so that the order holds within a chunk.
"""

import sys
from array import array
from pathlib import Path
from typing import Final

from loadgen.errors import LoadgenError, UsageError, reason
from loadgen.files.writing import write_whole

_CHUNK_ENTRIES: Final = 8192  # 64 KiB: written in tens of microseconds
_ENTRY_BYTES: Final = 8


class ResidenceLog:
    """A residence log being written: ``path`` is emptied, or, if shared, appended to.

    Raises UsageError if the file cannot be opened, LoadgenError if it cannot be written later.
    """

    def __init__(self, path: Path, *, is_shared: bool = False) -> None:
        self._path = path
        self._entries = array("q")
        try:
            self._file = path.open("ab" if is_shared else "wb", buffering=0)
        except OSError as error:
            raise UsageError(
                f"--ledger {path}: {reason(error)}; choose a file that can be written"
            ) from error

    def append(self, residence_ns: int) -> None:
        """Log one message."""
        self._entries.append(residence_ns)
        if len(self._entries) == _CHUNK_ENTRIES:
            self._write()

    def close(self) -> None:
        """Write what is left and close the file."""
        with self._file:
            if self._entries:
                self._write()

    def _write(self) -> None:
        entries, self._entries = self._entries, array("q")
        if sys.byteorder == "big":
            entries.byteswap()
        try:
            write_whole(self._file.fileno(), entries.tobytes())
        except OSError as error:
            raise LoadgenError(f"--ledger {self._path}: {reason(error)}") from error


def create_residence_log(path: Path) -> None:
    """Create the log that several processes will append to, without an entry."""
    ResidenceLog(path).close()


def read_residence_log(path: Path) -> "array[int]":
    """Return the residence times in the log ``path``, in nanoseconds.

    ``numpy.asarray`` takes the result without a copy. Raises UsageError for a file that cannot be
    read, or whose size is not a multiple of 8 bytes.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {reason(error)}") from error
    if len(content) % _ENTRY_BYTES:
        raise UsageError(
            f"{path}: not a ledger: {len(content)} bytes are not a multiple of {_ENTRY_BYTES}"
        )
    entries = array("q")
    entries.frombytes(content)
    if sys.byteorder == "big":
        entries.byteswap()
    return entries
