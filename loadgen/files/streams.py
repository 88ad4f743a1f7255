"""Standard input, output and error: output is complete or an error, and closed streams are safe.

A raw or non-blocking output may take only part of what is written, and Python's text layer ignores
its return value (PYTHONUNBUFFERED, ``python -u``, O_NONBLOCK). An encoding may lack characters. And
where a stream was closed by the parent process (``>&-``), the kernel gives its number to the next
socket or file (open(2): the lowest free one), which would then get the program's output.

So `prepare` is called before anything else is opened. /dev/null takes the place of what is closed;
the outputs write all or raise, with the name of the stream; characters that an encoding lacks are
replaced (`loadgen.text.ERRORS`).
"""

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import Any, Final, TextIO

from loadgen.files.writing import write_whole
from loadgen.text import ERRORS

_LONGEST_WAIT_MS: Final = 200

_NAMES: Final = ("standard input", "standard output", "standard error")


def prepare() -> None:
    """Prepare the standard streams; those that an embedding program has replaced stay."""
    _fill_closed()
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, _as_text(_Nowhere(number), "utf-8"))
        elif number and stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, _made_whole(stream, number))


def is_closed(stream: TextIO) -> bool:
    """Return whether ``stream`` replaces one that was closed when the process started."""
    return isinstance(getattr(stream, "buffer", None), _Nowhere)


def stdin_portions(size_bytes: int) -> Iterator[bytes]:
    """Yield what comes on standard input, at most ``size_bytes`` at a time. Raises OSError."""
    if sys.stdin is None or is_closed(sys.stdin):
        raise OSError(errno.EBADF, "standard input is closed; name a file, or pipe something in")
    try:
        descriptor = sys.stdin.fileno()
    except io.UnsupportedOperation:  # replaced by an embedding program, in memory
        yield from iter(lambda: sys.stdin.buffer.read(size_bytes), b"")
    else:
        yield from awaited_portions(descriptor, size_bytes)


def awaited_portions(descriptor: int, size_bytes: int) -> Iterator[bytes]:
    """Yield what comes on a pipe or terminal, at most ``size_bytes`` at a time, until its end.

    A signal that comes just before a system call that waits does not end that wait (pselect(2)
    describes the race); so no call waits for long, and ^C takes effect. Raises OSError.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while True:
        while not poll.poll(_LONGEST_WAIT_MS):
            pass
        try:
            portion = os.read(descriptor, size_bytes)
        except BlockingIOError:  # another process was faster
            continue
        if not portion:
            return
        yield portion


def write_stdout(content: bytes) -> None:
    """Write ``content`` to standard output, after what was printed there. Raises OSError."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.flush()


class _Whole(io.RawIOBase):
    """The output with the descriptor ``number``, written whole; errors name the stream."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number
        self.name = f"<{_NAMES[number]}>"

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        try:
            write_whole(self._number, content)
        except OSError as error:
            raise OSError(error.errno, error.strerror, _NAMES[self._number]) from None
        return memoryview(content).nbytes


class _Nowhere(io.RawIOBase):
    """Replaces a closed stream: reads as empty, and discards what is written."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def fileno(self) -> int:
        return self._number

    def readable(self) -> bool:
        return self._number == 0

    def writable(self) -> bool:
        return self._number != 0

    def readinto(self, buffer: Any) -> int:
        return 0

    def write(self, content: Any) -> int:
        return memoryview(content).nbytes


def _fill_closed() -> None:
    """Open /dev/null in place of each closed standard descriptor; children inherit it."""
    for number in range(len(_NAMES)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened == number:
                os.set_inheritable(number, True)
            else:
                os.dup2(opened, number)
                os.close(opened)


def _made_whole(stream: TextIO, number: int) -> TextIO:
    """Return a stream on the descriptor of ``stream`` that writes all of what it is given."""
    stream.flush()
    text: Any = stream
    whole = _as_text(_Whole(number), stream.encoding)
    whole.reconfigure(line_buffering=text.line_buffering, write_through=text.write_through)
    return whole


def _as_text(raw: Any, encoding: str) -> io.TextIOWrapper:
    # A raw stream that writes all or nothing may replace a buffered one.
    return io.TextIOWrapper(raw, encoding, ERRORS)
