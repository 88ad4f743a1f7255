"""The signals that end a program, and output to a terminal that has closed.

When a terminal closes, the kernel sends SIGHUP to the leader of its session, which passes it
on: a process may get it twice. A process that was started by nohup(1) ignores it. From then on,
writing to that terminal fails with EIO (tty_ioctl(4): hangup).
"""

import contextlib
import errno
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

HANGUP: Final[int | None] = getattr(signal, "SIGHUP", None)
"""Its number; None where there is none."""

Handler = Callable[[int, FrameType | None], Any]


def asking_to_end() -> tuple[int, ...]:
    """Return SIGINT (^C), SIGTERM, and SIGHUP unless the process ignores it."""
    numbers = (int(signal.SIGINT), int(signal.SIGTERM))
    if HANGUP is None or signal.getsignal(HANGUP) is signal.SIG_IGN:
        return numbers
    return (*numbers, HANGUP)


@contextlib.contextmanager
def handled(handler: Handler, *numbers: int) -> Iterator[None]:
    """Call ``handler`` for each of the signals ``numbers``; the former handlers are restored.

    To be called in the main thread. A hangup first calls `leave_terminal`, and from then on hangups
    are ignored for good: during the exit, another one would change the exit code.
    """
    has_hung_up = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal has_hung_up
        if number == HANGUP:
            if has_hung_up:
                return
            has_hung_up = True
            signal.signal(number, signal.SIG_IGN)
            leave_terminal()
        handler(number, frame)

    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, before in previous.items():
            if number != HANGUP or not has_hung_up:
                signal.signal(number, before)


@contextlib.contextmanager
def deferred(*numbers: int) -> Iterator[None]:
    """Defer the signals ``numbers`` to the end of the ``with``, each once.

    To be called in the main thread, for short work that must not be interrupted.
    """
    received: dict[int, None] = {}
    previous = {
        number: signal.signal(number, lambda number, frame: received.setdefault(number))
        for number in numbers
    }
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
        for number in received:
            signal.raise_signal(number)


def leave_terminal() -> bool:
    """Redirect output to a closed terminal to /dev/null; return whether there was any."""
    is_gone = [descriptor for descriptor in (1, 2) if _has_hung_up(descriptor)]
    for descriptor in is_gone:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
    return bool(is_gone)


def _has_hung_up(descriptor: int) -> bool:
    """Return whether ``descriptor`` is a closed terminal; other files have other errors."""
    try:
        os.tcgetpgrp(descriptor)
    except OSError as error:
        return error.errno == errno.EIO
    return False


@contextlib.contextmanager
def outliving_terminal() -> Iterator[None]:
    """Discard output to a terminal that has closed, instead of raising an error."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO or not leave_terminal():
            raise
