"""Signals during a run: the first one ends the load in an orderly way, the next ones at once."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from loadgen import signals


class Stopping:
    """Calling it returns whether the load is to end, and marks the run as able to stop in order.

    The first signal is a request to end the load; the second one raises KeyboardInterrupt, a third
    one exits at once. While the run cannot see a request, since it has not begun (it reads a
    payload or resolves a name) or is over, the first one raises. After another signal, or after the
    run, a hangup is ignored: it may come twice, or with a SIGTERM, and the results are still to be
    written. `finish` says that the run is over.
    """

    def __init__(self) -> None:
        self._is_requested = self._is_polled = self._is_repeated = self._is_over = False

    def __call__(self) -> bool:
        """Return whether the load is to end."""
        self._is_polled = True
        return self._is_requested

    def finish(self) -> None:
        """Note that the run is over."""
        self._is_polled, self._is_over = False, True

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal. Raises KeyboardInterrupt, or exits: see the class."""
        if number == signals.HANGUP and (self._is_requested or self._is_over):
            return
        if self._is_repeated:
            os._exit(128 + number)
        self._is_repeated = self._is_requested
        if self._is_requested or not self._is_polled:
            self._is_requested = True
            raise KeyboardInterrupt
        self._is_requested = True


@contextmanager
def stopping_on_signals() -> Iterator[Stopping]:
    """Turn ^C, SIGTERM and SIGHUP into requests to stop."""
    stopping = Stopping()
    with signals.handled(stopping.handle, *signals.asking_to_end()):
        yield stopping
