"""Which connection may send, and when: the closed loop, with and without think time; the open loop.

Facts. In a closed loop a connection sends its next message when the reply to the last one is whole.
A server that slows down slows its load down with it: the messages that would have been sent
meanwhile are never measured. Users of a real server do not wait for each other. In an open loop
each message has a time at which it is intended, and its response time counts from then on.

Danger. To move an intended time because all connections are busy, or because the loop is late,
hides just those messages that had to wait: coordinated omission (G. Tene, "How NOT to Measure
Latency", 2013).

Decision. A schedule is an iterator of times, and only a send advances it. A message that is due
waits at its front until a connection is free, and its time is never changed. Connections are used
in the order in which they became free.
"""

import heapq
import itertools
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, Protocol

from loadgen.engine.channel import MessageChannel
from loadgen.net.backends import TURN_EVENTS
from loadgen.net.clock import NEVER_NS, Clock

SENDS_AT_ONCE: Final = 16
"""Scheduled messages that are sent between two reads: a loop that is late catches up with many at a
time, and still reads what has arrived."""

COUNT_LIMIT: Final = 100_000
"""Messages that were not sent are counted one by one up to here: some 50 ms."""


class Due(NamedTuple):
    """A message that is due, and the channel for it, which has been free since ``free_ns``."""

    channel: MessageChannel
    intended_ns: int
    free_ns: int


Submit = Callable[[list[Due]], None]
"""Sends messages that are due, each on its channel, and handles what becomes of that."""


class LoadModel(Protocol):
    """Decides which channels may send; the engine calls it in every turn."""

    @property
    def follows_replies(self) -> bool:
        """Whether just what has replied may send now: `next_senders` would return that."""

    def admit(self, channel: MessageChannel) -> None:
        """Add ``channel``, which has come up and may send its first message."""

    def next_senders(self, replied: list[MessageChannel]) -> list[MessageChannel]:
        """Return which connections transmit now: of ``replied``, which may, and of others."""

    def next_ns(self) -> int | None:
        """Return when a connection may send although no event has happened; None: never."""


class ClosedLoop:
    """Each connection sends its next message when the reply is whole."""

    def __init__(self) -> None:
        self._admitted: deque[MessageChannel] = deque()

    @property
    def follows_replies(self) -> bool:
        """True unless admitted connections wait."""
        return not self._admitted

    def admit(self, channel: MessageChannel) -> None:
        """Let ``channel`` send as soon as possible."""
        self._admitted.append(channel)

    def next_senders(self, replied: list[MessageChannel]) -> list[MessageChannel]:
        """Return ``replied``; if admitted ones wait, all in order, `TURN_EVENTS` at most.

        A channel that is to end does not wait.
        """
        if not self._admitted:
            return replied
        chosen = [channel for channel in replied if channel.is_ending]
        self._admitted.extend(channel for channel in replied if not channel.is_ending)
        for _ in range(min(TURN_EVENTS, len(self._admitted))):
            channel = self._admitted.popleft()
            if channel.is_open:
                chosen.append(channel)
        return chosen

    def next_ns(self) -> int | None:
        """Return 0 while admitted connections wait."""
        return 0 if self._admitted else None


class Thinking(ClosedLoop):
    """A closed loop with think time: each connection waits before it sends again.

    A reply that comes while it waits begins no other wait; one that the server ends the connection
    with does, and the next connection has to wait for the rest of it.

    think_time_ns: called with the index of a connection after its reply; returns how long it waits.
    """

    def __init__(self, think_time_ns: Callable[[int], int], clock: Clock) -> None:
        super().__init__()
        self._think_time_ns = think_time_ns
        self._clock = clock
        # By index: until when it thinks, or thought; what was answered by when that was drawn; and
        # the generation of the channel that waits.
        self._until_ns: dict[int, int] = {}
        self._answered: dict[int, int] = {}
        self._waiting: dict[int, int] = {}
        self._thinking: list[tuple[int, int, int, MessageChannel]] = []
        self._sequence = 0  # equal times keep their order; channels are never compared

    @property
    def follows_replies(self) -> bool:
        """False: each waits before it sends."""
        return False

    def admit(self, channel: MessageChannel) -> None:
        """Let ``channel`` send when the think time of its connection is over, or at once."""
        if self._until_ns.get(channel.index, 0) > self._clock():
            self._push(channel)
        else:
            super().admit(channel)

    def next_senders(self, replied: list[MessageChannel]) -> list[MessageChannel]:
        """Return the connections whose think time is over, and those that have none."""
        now_ns = self._clock()
        at_once = [channel for channel in replied if not self._must_wait(channel, now_ns)]
        while self._thinking and self._thinking[0][0] <= now_ns and len(at_once) < TURN_EVENTS:
            _, _, generation, channel = heapq.heappop(self._thinking)
            if self._waiting.get(channel.index) == generation:
                del self._waiting[channel.index]
            if channel.is_open and channel.generation == generation:
                at_once.append(channel)  # and has no other transport since
        return super().next_senders(at_once)

    def _must_wait(self, channel: MessageChannel, now_ns: int) -> bool:
        """Return whether ``channel`` waits, from now on or already."""
        if channel.is_ending:
            has_reply = channel.counts()[1] > self._answered.get(channel.index, 0)
            if has_reply and channel.has_more and not channel.in_flight:
                self._draw(channel, now_ns)  # for the connection that follows
            return False
        if not channel.may_go_on:
            return False
        if self._waiting.get(channel.index) != channel.generation:
            self._draw(channel, now_ns)
            self._push(channel)
        return True

    def _draw(self, channel: MessageChannel, now_ns: int) -> None:
        self._until_ns[channel.index] = now_ns + self._think_time_ns(channel.index)
        self._answered[channel.index] = channel.counts()[1]

    def _push(self, channel: MessageChannel) -> None:
        self._sequence += 1
        self._waiting[channel.index] = channel.generation
        until_ns = self._until_ns[channel.index]
        heapq.heappush(self._thinking, (until_ns, self._sequence, channel.generation, channel))
        channel.pause()

    def next_ns(self) -> int | None:
        """Return when the first think time is over."""
        soonest_ns = self._thinking[0][0] if self._thinking else None
        return 0 if self._admitted else soonest_ns


class LoadSchedule(ABC):
    """Messages are sent when a schedule or a caller says so, not because a reply has arrived."""

    @property
    def follows_replies(self) -> bool:
        """False."""
        return False

    def begin(self, now_ns: int) -> None:  # noqa: B027 - there may be no times
        """Begin the schedule now."""

    def end_warm_up(self) -> None:  # noqa: B027 - there may be no times
        """Release the messages that wait for the end of the warm-up."""

    @abstractmethod
    def note_free(self, channel: MessageChannel, since_ns: int | None = None) -> bool:
        """Note ``channel`` if it is free for a message; return whether it is.

        since_ns: when it became free; now unless it is given.
        """

    def admit(self, channel: MessageChannel) -> None:
        """Note ``channel`` as free."""
        self.note_free(channel)

    def next_senders(self, replied: list[MessageChannel]) -> list[MessageChannel]:
        """Return ``replied``: each is to end or to write on, not to send a further message."""
        return replied

    def next_ns(self) -> int | None:
        """Return when the next message is due; None: there is none, or no free connection."""
        return None

    def send_due(self, submit: Submit) -> None:  # noqa: B027 - there may be no times
        """Submit what is due, as far as connections are free and `SENDS_AT_ONCE` allows."""

    def overdue(self, from_ns: int, until_ns: int) -> int | None:
        """End; return how many messages due in [``from_ns``, ``until_ns``) were not sent.

        None if that would take more than `COUNT_LIMIT` steps.
        """
        return 0


class Owner(Protocol):
    """What decides when to send on a connection; a user of Locust, for example."""

    def when_free(self, index: int) -> None:
        """Called when the connection of that index has come up, or its reply is whole."""


class OnDemand(LoadSchedule):
    """Messages are sent when the caller of the engine says so (`Engine.send_now`).

    owner_of: returns the owner of the connection of an index; it is told when that is free.
    """

    def __init__(self, owner_of: Callable[[int], Owner]) -> None:
        self._owner_of = owner_of

    def note_free(self, channel: MessageChannel, since_ns: int | None = None) -> bool:
        """Tell the owner of ``channel`` if that is free; return whether it is."""
        if not channel.is_free:
            return False
        self._owner_of(channel.index).when_free(channel.index)
        return True


class WarmUp(NamedTuple):
    """The messages of the first ``duration_ns``: their intended times, from the start on."""

    duration_ns: int
    offsets_ns: Iterable[int]


class OpenLoop(LoadSchedule):
    """Messages are sent at the times of a schedule, on the connection that has been free longest.

    offsets_ns: the intended times, from the start on.
    warm_up: what is sent before that; ``offsets_ns``, which are later, wait for `end_warm_up`, so
        that each message belongs to warm-up or load by its intended time, however late it is sent.
    """

    def __init__(
        self,
        offsets_ns: Iterable[int],
        clock: Clock,
        warm_up: WarmUp | None = None,
    ) -> None:
        self._offsets_ns = iter(offsets_ns if warm_up is None else warm_up.offsets_ns)
        self._held_back_ns = offsets_ns if warm_up else ()
        self._warm_up_ns = warm_up.duration_ns if warm_up else NEVER_NS
        self._first_ns = next(self._offsets_ns, NEVER_NS)  # computing it may take a while
        self._clock = clock
        self._began_ns = 0
        self._intended_ns = NEVER_NS
        self._free: deque[tuple[int, MessageChannel]] = deque()  # (free since, channel)

    def begin(self, now_ns: int) -> None:
        """Begin the schedule now."""
        self._began_ns = now_ns
        self._intended_ns = now_ns + self._first_ns

    def end_warm_up(self) -> None:
        """Release the messages that were held back; those of the warm-up are still sent first."""
        self._offsets_ns = itertools.chain(self._offsets_ns, self._held_back_ns)
        self._held_back_ns, self._warm_up_ns = (), NEVER_NS
        if self._intended_ns >= NEVER_NS:
            self._intended_ns = self._began_ns + next(self._offsets_ns, NEVER_NS)

    def reschedule(self, offset_ns: int) -> None:
        """Make the next message due at ``offset_ns``, counted from the beginning."""
        self._intended_ns = self._began_ns + offset_ns

    def note_free(self, channel: MessageChannel, since_ns: int | None = None) -> bool:
        """Queue ``channel`` if it is free; return whether it is."""
        if not channel.is_free:
            return False
        if not channel.is_queued:
            channel.is_queued = True
            self._free.append((self._clock() if since_ns is None else since_ns, channel))
        return True

    def next_ns(self) -> int | None:
        """Return when the next message is due; None: there is none, or no free connection.

        If only messages are left that are held back: when the warm-up ends.
        """
        if self._intended_ns < NEVER_NS:
            return self._intended_ns if self._free else None
        return self._began_ns + self._warm_up_ns if self._warm_up_ns < NEVER_NS else None

    def send_due(self, submit: Submit) -> None:
        """Submit what is due, `SENDS_AT_ONCE` messages at most."""
        left = SENDS_AT_ONCE
        while left and (due := self._take_due(left)):
            left -= len(due)
            submit(due)
            for channel, _, free_ns in due:
                if not channel.is_queued and channel.is_free:
                    channel.is_queued = True
                    self._free.append((free_ns, channel))

    def _take_due(self, most: int) -> list[Due]:
        """Take messages that are due off the schedule, each with a free channel.

        That is one, or as many as can be sent together: until all have been sent no code of a user
        runs, which could close one of their connections.
        """
        due: list[Due] = []
        free, now_ns = self._free, self._clock()
        while free and self._intended_ns <= now_ns and len(due) < most:
            free_ns, channel = free[0]
            if due and not channel.submits_in_bulk:
                break
            free.popleft()
            channel.is_queued = False
            if not channel.is_free:
                continue
            due.append(Due(channel, self._intended_ns, free_ns))
            self._intended_ns = self._began_ns + next(self._offsets_ns, NEVER_NS)
            if not channel.submits_in_bulk:
                break
        return due

    def overdue(self, from_ns: int, until_ns: int) -> int | None:
        """Count them one by one, and end."""
        count = 0
        for _ in range(COUNT_LIMIT):
            if self._intended_ns >= until_ns:
                self._intended_ns = NEVER_NS
                return count
            count += self._intended_ns >= from_ns
            self._intended_ns = self._began_ns + next(self._offsets_ns, NEVER_NS)
        self._intended_ns = NEVER_NS
        return None
