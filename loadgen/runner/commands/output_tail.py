"""Keeps the end of a command's output; reads and discards the rest, so that memory is bounded."""

import os
import select
import threading
from typing import Final, Self

KEPT_BYTES: Final = 64 * 1024
"""The bytes of the end that are kept, at least."""

_READ_BYTES: Final = 64 * 1024
"""The default capacity of a pipe (pipe(7))."""

_READS_AT_ONCE: Final = 16
"""1 MiB, the largest pipe of an unprivileged user (pipe(7)); later output is not waited for."""


class OutputTail:
    """A pipe for a command's output, emptied by a thread for as long as the ``with`` lasts.

    Leaving it does not wait for processes that hold the pipe open; what is in the pipe is read.
    """

    def __enter__(self) -> Self:
        self._kept = bytearray()
        self._source, self.writer = os.pipe()
        self._is_over, self._stop = os.pipe()
        os.set_blocking(self._source, False)
        self._thread = threading.Thread(target=self._read, name="output of a command")
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._stop)
        self._thread.join()
        for descriptor in (self.writer, self._source, self._is_over):
            os.close(descriptor)

    def lines(self, count: int, longest: int) -> list[str]:
        """Return the last ``count`` lines, cut to ``longest`` characters; after the ``with``."""
        text = self._kept[-KEPT_BYTES:].decode(errors="replace").strip()
        return [line[:longest] for line in text.splitlines()[-count:]]

    def _read(self) -> None:
        is_over = False
        while not is_over:
            ready, _, _ = select.select([self._source, self._is_over], [], [])
            is_over = self._is_over in ready
            self._take()

    def _take(self) -> None:
        for _ in range(_READS_AT_ONCE):
            try:
                self._kept += os.read(self._source, _READ_BYTES)
            except BlockingIOError:
                return
            if len(self._kept) > 2 * KEPT_BYTES:
                del self._kept[:-KEPT_BYTES]
