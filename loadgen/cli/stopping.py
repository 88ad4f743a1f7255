"""What the user's signals mean to a run: the first one ends the load in good order."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from loadgen import signals


class Stopping:
    """Called, it says whether the user wants the load to end; from then on it is heard.

    The first signal is a request, the second an end without ceremony; so is the first where nobody
    would hear of a request, since the run has not begun and reads a payload or resolves a name, or
    is over. A hangup is never more than a request, for it comes twice, or with a SIGTERM, and what
    was found is to be written; `finish` says that there is nothing else left to do.
    """

    def __init__(self) -> None:
        self._is_asked = self._is_heard = self._is_insisted = self._is_over = False

    def __call__(self) -> bool:
        """Return whether the load is to end."""
        self._is_heard = True
        return self._is_asked

    def finish(self) -> None:
        """Let the run be over."""
        self._is_heard, self._is_over = False, True

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Take note of a signal. Raises KeyboardInterrupt; who insists on it gets an exit."""
        if number == signals.HANGUP and (self._is_asked or self._is_over):
            return
        if self._is_insisted:
            os._exit(128 + number)
        self._is_insisted = self._is_asked
        if self._is_asked or not self._is_heard:
            self._is_asked = True
            raise KeyboardInterrupt
        self._is_asked = True


@contextmanager
def stopping_on_signals() -> Iterator[Stopping]:
    """Turn ^C, SIGTERM and SIGHUP into requests to stop."""
    stopping = Stopping()
    with signals.handled(stopping.hear, *signals.asking_to_end()):
        yield stopping
