"""What the engine waits for: the connections on one selector, and its answers in bounded portions.

A selector of the standard library may answer with everything that is ready, thousands of events.
They are handed out `TURN_EVENTS` at a time; the rest comes first the next time, without waiting.
"""

import selectors
from typing import Any

from loadgen.core.backends import TURN_EVENTS
from loadgen.core.connection import Connection
from loadgen.core.laps import NOTHING

Ready = list[tuple[selectors.SelectorKey, int]]


class Watch:
    """Keeps a selector and the `interest` of each connection in step; takes the selector over."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector: Any = selector
        self._left_over: Ready = []

    def wait(self, timeout_s: float | None) -> Ready:
        """Return (key, events) pairs, at most `TURN_EVENTS`; ``key.data`` is the connection.

        Waits ``timeout_s`` seconds at most, for ever if it is None, not at all if events are left
        over from before.
        """
        if self._left_over:
            # Since the selector spoke, a connection may have closed, or opened again.
            ready = [pair for pair in self._left_over if pair[0].fileobj is pair[0].data.socket]
        else:
            ready = self._selector.select(timeout_s)
        self._left_over = ready[TURN_EVENTS:]
        return ready[:TURN_EVENTS] if self._left_over else ready

    @property
    def has_left_over(self) -> bool:
        """Whether `wait` would return at once."""
        return bool(self._left_over)

    def begin(self, connection: Connection, interest: int) -> None:
        """Watch the socket of ``connection`` for the events ``interest``."""
        self._selector.register(connection.socket, interest, connection)
        connection.interest = interest

    def change(self, connection: Connection, interest: int) -> None:
        """Watch for other events than before."""
        if interest != connection.interest:
            self._selector.modify(connection.socket, interest, connection)
            connection.interest = interest

    def end(self, connection: Connection) -> None:
        """Stop watching, if it was watched; to be called while the socket is still open."""
        if connection.interest != NOTHING:
            self._selector.unregister(connection.socket)
            connection.interest = NOTHING

    def fileno(self) -> int:
        """Return the selector's descriptor. Raises AttributeError where it has none."""
        descriptor: int = self._selector.fileno()
        return descriptor

    def close(self) -> None:
        """Close the selector."""
        self._selector.close()
