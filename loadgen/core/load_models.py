"""Who may send, and when: the closed loop, with and without time to think, and the open loop.

Facts. In a closed loop a connection sends its next message when the reply to the last one is whole.
A server that slows down slows its load down with it: whoever would have come meanwhile is never
seen. Users of a real server do not wait for each other. In an open loop each message has a time at
which it is intended, and what matters to its user is the time from then on.

Danger. To move an intended time because everybody is busy, or because the loop is late, hides just
those messages that had to wait: coordinated omission (G. Tene, "How NOT to Measure Latency", 2013).

Decision. A schedule is an iterator of times, and nothing but sending moves it on. A message that is
due waits at its front until a connection is free, and its time is never changed. Free connections
take their turn in the order in which they became free.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple, Protocol

from loadgen.core.backends import TURN_EVENTS
from loadgen.core.clock import Clock
from loadgen.core.connection import Connection
from loadgen.core.lifecycle import State

_NEVER_NS: Final = 2**62


class LoadModel(Protocol):
    """Decides who may send; the engine asks it in every turn."""

    def admit(self, connection: Connection) -> None:
        """Take up ``connection``, which has come up and may send its first message."""

    def next_senders(self, replied: list[Connection]) -> list[Connection]:
        """Return who transmits now, of ``replied``, which have something to say, and of others."""

    def next_ns(self) -> int | None:
        """Return when somebody may send although nothing has happened; None: never."""


class ClosedLoop:
    """The next message goes out when the reply is whole."""

    def __init__(self) -> None:
        self._admitted: deque[Connection] = deque()

    def admit(self, connection: Connection) -> None:
        """Let ``connection`` send as soon as may be."""
        self._admitted.append(connection)

    def next_senders(self, replied: list[Connection]) -> list[Connection]:
        """Return ``replied``; where newcomers wait, all in their order, `TURN_EVENTS` at most."""
        if not self._admitted:
            return replied
        self._admitted.extend(replied)
        count = min(TURN_EVENTS, len(self._admitted))
        chosen = [self._admitted.popleft() for _ in range(count)]
        return [connection for connection in chosen if connection.may_transmit]

    def next_ns(self) -> int | None:
        """Return 0 while newcomers wait."""
        return 0 if self._admitted else None


class Thinking(ClosedLoop):
    """A closed loop in which each connection waits for a while before it sends again.

    think_ns: how long, one value after the other.
    """

    def __init__(self, think_ns: Iterator[int], clock: Clock) -> None:
        super().__init__()
        self._think_ns = think_ns
        self._clock = clock
        self._thinking: list[tuple[int, int, Connection]] = []
        self._sequence = 0  # orders equal times by age, and keeps connections from being compared

    def next_senders(self, replied: list[Connection]) -> list[Connection]:
        """Return those who have thought enough, or have nothing to think about."""
        now_ns = self._clock()
        at_once = [connection for connection in replied if not self._thinks(connection, now_ns)]
        while self._thinking and self._thinking[0][0] <= now_ns and len(at_once) < TURN_EVENTS:
            connection = heapq.heappop(self._thinking)[2]
            if connection.may_transmit:
                at_once.append(connection)
        return super().next_senders(at_once)

    def _thinks(self, connection: Connection, now_ns: int) -> bool:
        if not connection.may_go_on:
            return False
        self._sequence += 1
        entry = (now_ns + next(self._think_ns), self._sequence, connection)
        heapq.heappush(self._thinking, entry)
        return True

    def next_ns(self) -> int | None:
        """Return when the first of them has thought enough."""
        soonest_ns = self._thinking[0][0] if self._thinking else None
        return 0 if self._admitted else soonest_ns


class Due(NamedTuple):
    """A message to send: on which connection, free since when; when intended; the time it is."""

    connection: Connection
    free_ns: int
    intended_ns: int
    now_ns: int


class OpenLoop:
    """Messages go out at the times of a schedule, on whichever connection is free.

    offsets_ns: the intended times, from the start of the load on.
    record_send: hears (intended_ns, free_ns, sent_ns) of each message.
    """

    def __init__(
        self,
        offsets_ns: Iterable[int],
        clock: Clock,
        record_send: Callable[[tuple[int, int, int]], None],
    ) -> None:
        self._offsets_ns = iter(offsets_ns)
        self._clock = clock
        self._record_send = record_send
        self._began_ns = 0
        self._intended_ns = _NEVER_NS
        self._free: deque[tuple[int, Connection]] = deque()  # (since when, who)

    def begin(self, now_ns: int) -> None:
        """Let the schedule begin now."""
        self._began_ns = now_ns
        self._advance()

    def admit(self, connection: Connection) -> None:
        """Let ``connection`` take its turn with the others."""
        self.offer(connection, self._clock())

    def offer(self, connection: Connection, free_ns: int) -> None:
        """Let ``connection``, free since ``free_ns``, take its turn, if it does not wait for it."""
        if not connection.is_offered and connection.is_free:
            connection.is_offered = True
            self._free.append((free_ns, connection))

    def next_senders(self, replied: list[Connection]) -> list[Connection]:
        """Offer ``replied``; return those of them that have nothing to send, but to conclude."""
        now_ns = self._clock()
        concluding = []
        for connection in replied:
            if connection.may_go_on:
                self.offer(connection, now_ns)
            else:
                concluding.append(connection)
        return concluding

    def take(self) -> Due | None:
        """Return the next message if it is due and a connection is free for it."""
        now_ns = self._clock()
        intended_ns = self._intended_ns
        if intended_ns > now_ns:
            return None
        while self._free:
            free_ns, connection = self._free.popleft()
            connection.is_offered = False
            if connection.is_free and connection.state is State.READY:
                self._record_send((intended_ns, free_ns, now_ns))
                self._advance()
                return Due(connection, free_ns, intended_ns, now_ns)
        return None

    def next_ns(self) -> int | None:
        """Return when the next message is due; None if it has to wait for a free connection."""
        return self._intended_ns if self._free else None

    def overdue(self, now_ns: int) -> int:
        """Return how many messages that were due by ``now_ns`` were not sent; it ends here."""
        count = 0
        while self._intended_ns <= now_ns:
            count += 1
            self._advance()
        self._intended_ns = _NEVER_NS
        return count

    def _advance(self) -> None:
        offset_ns = next(self._offsets_ns, None)
        self._intended_ns = _NEVER_NS if offset_ns is None else self._began_ns + offset_ns
