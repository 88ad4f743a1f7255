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
import itertools
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from loadgen.engine.connection import Connection
from loadgen.net.backends import TURN_EVENTS
from loadgen.net.clock import NEVER_NS, Clock
from loadgen.net.failure import Cause, ConnectionFailed

SENDS_AT_ONCE: Final = 16
"""Scheduled messages that go out between two reads: a loop that is late catches up with many at a
time, and yet reads what has come."""

COUNT_LIMIT: Final = 100_000
"""Messages that were not sent are counted one by one up to here: some 50 ms."""

RecordSend = Callable[[tuple[int, int, int]], None]
Settle = Callable[[Connection, int], None]
Fail = Callable[[Connection, ConnectionFailed], None]


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

    think_time_ns: says how long a connection waits, and is asked after each of its replies.
    """

    def __init__(self, think_time_ns: Callable[[Connection], int], clock: Clock) -> None:
        super().__init__()
        self._think_time_ns = think_time_ns
        self._clock = clock
        self._thinking: list[tuple[int, int, int, Connection]] = []
        self._sequence = 0  # orders equal times by age, and keeps connections from being compared

    def next_senders(self, replied: list[Connection]) -> list[Connection]:
        """Return those who have thought enough, or have nothing to think about."""
        now_ns = self._clock()
        at_once = [
            connection for connection in replied if not self._starts_thinking(connection, now_ns)
        ]
        while self._thinking and self._thinking[0][0] <= now_ns and len(at_once) < TURN_EVENTS:
            _, _, connects, connection = heapq.heappop(self._thinking)
            if connection.may_transmit and connection.connects == connects:
                at_once.append(connection)  # and has not been opened anew since
        return super().next_senders(at_once)

    def _starts_thinking(self, connection: Connection, now_ns: int) -> bool:
        if not connection.may_go_on:
            return False
        self._sequence += 1
        until_ns = now_ns + self._think_time_ns(connection)
        entry = (until_ns, self._sequence, connection.connects, connection)
        heapq.heappush(self._thinking, entry)
        return True

    def next_ns(self) -> int | None:
        """Return when the first of them has thought enough."""
        soonest_ns = self._thinking[0][0] if self._thinking else None
        return 0 if self._admitted else soonest_ns


class LoadSchedule(ABC):
    """Messages go out when somebody calls for them, and not because a reply has come."""

    def begin(self, now_ns: int) -> None:  # noqa: B027 - not everyone counts from there
        """Let the schedule begin now."""

    def end_warm_up(self) -> None:  # noqa: B027 - there may be no times
        """Let the messages go out that were to wait for the end of the warm-up."""

    @abstractmethod
    def note_free(self, connection: Connection) -> bool:
        """Take note of ``connection`` if it is free for a message; return whether it is."""

    def admit(self, connection: Connection) -> None:
        """Let ``connection`` take its turn with the others."""
        self.note_free(connection)

    def next_senders(self, replied: list[Connection]) -> list[Connection]:
        """Return ``replied``: they have something to conclude, not to send."""
        return replied

    def next_ns(self) -> int | None:
        """Return when the next message is due; None if there is none, or nobody free for it."""
        return None

    def send_due(self, settle: Settle, fail: Fail) -> None:  # noqa: B027 - there may be no times
        """Send what is due, as far as connections are free for it and `SENDS_AT_ONCE` allows.

        ``settle`` hears of a connection that waits for other events from then on, ``fail`` of one
        that is broken.
        """

    def overdue(self, from_ns: int, until_ns: int) -> int | None:
        """Return how many messages due in [``from_ns``, ``until_ns``) were not sent; then end.

        None if that would take more than `COUNT_LIMIT` steps.
        """
        return 0


class Owner(Protocol):
    """Whoever says what is sent on a connection, and when."""

    def when_free(self, connection: Connection) -> None:
        """Hear that ``connection`` has come up, or that its reply is whole."""


class OnDemand(LoadSchedule):
    """Messages go out when whoever embeds the engine says so (`Engine.send_now`).

    owners: of the connections, in the order of their indices; each hears when one is free.
    """

    def __init__(self, owners: Sequence[Owner]) -> None:
        self._owners = owners

    def note_free(self, connection: Connection) -> bool:
        """Pass ``connection`` on to its owner if it is free."""
        if not connection.is_free:
            return False
        self._owners[connection.index].when_free(connection)
        return True


class WarmUp(NamedTuple):
    """The messages of the first ``duration_ns``: their intended times, from the start on."""

    duration_ns: int
    offsets_ns: Iterable[int]


class OpenLoop(LoadSchedule):
    """Messages go out at the times of a schedule, on whichever connection is free.

    offsets_ns: the intended times, from the start on.
    record_send: hears (intended_ns, free_ns, sent_ns) of each message.
    warm_up: what goes out before that; ``offsets_ns``, which come later, wait for `end_warm_up`, so
        that each message belongs to one of the two, and not to the one that happens to send it.
    """

    def __init__(
        self,
        offsets_ns: Iterable[int],
        clock: Clock,
        record_send: RecordSend,
        warm_up: WarmUp | None = None,
    ) -> None:
        self._offsets_ns = iter(offsets_ns if warm_up is None else warm_up.offsets_ns)
        self._held_back_ns = offsets_ns if warm_up else ()
        self._warm_up_ns = warm_up.duration_ns if warm_up else NEVER_NS
        self._first_ns = next(self._offsets_ns, NEVER_NS)  # it may take a while to come
        self._clock = clock
        self._record_send = record_send
        self._began_ns = 0
        self._intended_ns = NEVER_NS
        self._free: deque[tuple[int, Connection]] = deque()  # (since when, who)

    def begin(self, now_ns: int) -> None:
        """Let the schedule begin now."""
        self._began_ns = now_ns
        self._intended_ns = now_ns + self._first_ns

    def end_warm_up(self) -> None:
        """Let the messages go out that were held back; those of the warm-up still come first."""
        self._offsets_ns = itertools.chain(self._offsets_ns, self._held_back_ns)
        self._held_back_ns, self._warm_up_ns = (), NEVER_NS
        if self._intended_ns >= NEVER_NS:
            self._intended_ns = self._began_ns + next(self._offsets_ns, NEVER_NS)

    def reschedule(self, offset_ns: int) -> None:
        """Let the message that comes next be due then, counted from the beginning."""
        self._intended_ns = self._began_ns + offset_ns

    def note_free(self, connection: Connection) -> bool:
        """Let ``connection`` take its turn if it is free; return whether it is."""
        if not connection.is_free:
            return False
        if not connection.is_queued:
            connection.is_queued = True
            self._free.append((self._clock(), connection))
        return True

    def next_ns(self) -> int | None:
        """Return when the next message is due; None if there is none, or nobody free for it.

        Where only messages are left that are held back: when the warm-up ends.
        """
        if self._intended_ns < NEVER_NS:
            return self._intended_ns if self._free else None
        return self._began_ns + self._warm_up_ns if self._warm_up_ns < NEVER_NS else None

    def send_due(self, settle: Settle, fail: Fail) -> None:
        """Send what is due, `SENDS_AT_ONCE` at most."""
        free, clock, offsets_ns = self._free, self._clock, self._offsets_ns
        for _ in range(SENDS_AT_ONCE):
            intended_ns = self._intended_ns
            if not free or intended_ns > clock():
                return
            free_ns, connection = free.popleft()
            connection.is_queued = False
            if not connection.is_free:
                continue
            # The send comes first: what can be done after it must not delay it.
            try:
                interest = connection.submit(intended_ns)
            except ConnectionFailed as broken:
                fail(connection, broken)
                if broken.failure.cause is Cause.USER_CODE:  # there was no message to send
                    self._intended_ns = self._began_ns + next(offsets_ns, NEVER_NS)
                    continue
            else:
                if interest != connection.interest:
                    settle(connection, interest)
            self._record_send((intended_ns, free_ns, connection.submitted_ns))
            self._intended_ns = self._began_ns + next(offsets_ns, NEVER_NS)
            if connection.is_free:
                connection.is_queued = True
                free.append((free_ns, connection))

    def overdue(self, from_ns: int, until_ns: int) -> int | None:
        """Count them one by one; then end."""
        count = 0
        for _ in range(COUNT_LIMIT):
            if self._intended_ns >= until_ns:
                self._intended_ns = NEVER_NS
                return count
            count += self._intended_ns >= from_ns
            self._intended_ns = self._began_ns + next(self._offsets_ns, NEVER_NS)
        self._intended_ns = NEVER_NS
        return None
