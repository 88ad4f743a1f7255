"""The pace at which connections are opened.

A listening socket queues a limited number of connections that the server has not accepted yet,
often 128 (listen(2)). When the queue is full, Linux drops the SYN and the client tries again a
second later: a client that connects faster than the server accepts measures that second. So at most
`CONNECTS_UNDER_WAY` connects are unfinished at one time, and `CONNECTS_PER_TURN` begin in one turn
of the loop, so that the server has time to accept. A rate, where one is asked for, replaces the
first bound: it spaces connects evenly, however long each may take.

A handshake is over before the server accepts, and no client can see the queue. A server that
accepts more slowly than about ten thousand connections a second may still be overrun; its connect
latencies then show whole seconds, and ``--connect-rate`` is the remedy.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final

from loadgen.engine.connection import Connection

CONNECTS_UNDER_WAY: Final = 64
CONNECTS_PER_TURN: Final = 16

CATCH_UP_NS: Final = 100_000_000
"""How much of its own lateness a pacer with a rate catches up with."""


class ConnectPacer:
    """A queue of connections that wait to be opened, released at a pace.

    interval_ns: between two connects; 0 for as fast as they are established.
    """

    def __init__(self, interval_ns: int) -> None:
        self._interval_ns = interval_ns
        # In order, with removal from anywhere; a dict is slow to empty from its front.
        self._waiting: OrderedDict[Connection, None] = OrderedDict()
        self._under_way = 0
        self._next_ns = 0
        self._was_idle = True

    def enqueue(self, connections: Iterable[Connection]) -> None:
        """Add ``connections`` to the queue."""
        self._was_idle = self._was_idle or not self._waiting
        self._waiting.update(dict.fromkeys(connections))

    def take(self, now_ns: int) -> Iterator[Connection]:
        """Yield the connections whose connect is due; each is under way until `settle`."""
        if self._was_idle and self._waiting:  # the queue was empty: nothing is late
            self._was_idle = False
            self._next_ns = max(self._next_ns, now_ns)
        for _ in range(CONNECTS_PER_TURN):
            if not self._may_open or self._next_ns > now_ns:
                return
            self._next_ns = max(self._next_ns, now_ns - CATCH_UP_NS) + self._interval_ns
            self._under_way += 1
            yield self._waiting.popitem(last=False)[0]

    def settle(self) -> None:
        """Note that a connect under way has succeeded or failed."""
        self._under_way -= 1

    def clear(self) -> list[Connection]:
        """Empty the queue; return the connections that waited."""
        waited = list(self._waiting)
        self._waiting.clear()
        return waited

    def remove(self, connection: Connection) -> bool:
        """Remove ``connection`` from the queue; return whether it waited."""
        was_waiting = connection in self._waiting
        self._waiting.pop(connection, None)
        return was_waiting

    def next_ns(self) -> int | None:
        """Return when the next connect is due; None if none waits, or too many are under way."""
        return self._next_ns if self._may_open else None

    @property
    def has_waiting(self) -> bool:
        """Whether any connection waits."""
        return bool(self._waiting)

    @property
    def is_busy(self) -> bool:
        """Whether any connection waits or is under way."""
        return bool(self._waiting) or self._under_way > 0

    @property
    def _may_open(self) -> bool:
        is_paced = self._interval_ns > 0
        return bool(self._waiting) and (is_paced or self._under_way < CONNECTS_UNDER_WAY)
