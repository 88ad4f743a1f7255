"""The connection pool: which connections there are, how each is opened and how it ends.

Facts. A connection opens when the connect pacer allows it, comes up or fails, is given up when
nothing moves for too long, and where the user asked for it is opened again after a back-off.

Danger. Each of these may happen during any other: a timer for a connection that has just closed, an
end of the run while connects are under way. And an exception that leaves the loop may end its
caller for good.

Decision. The state table of `loadgen.engine.lifecycle` says what may follow what; the sums kept
here (undecided, live, backing off) change only where a state changes. A broken connection is an
event: `ConnectionFailed` is never passed on. Messages are the subject of `loadgen.engine.engine`,
whose Engine owns a pool, and is told of each connection that has come up.
"""

from collections.abc import Callable, Collection
from typing import NamedTuple

from loadgen.engine.availability import Availability, Standing
from loadgen.engine.channel import Channel, Forgoing
from loadgen.engine.connect_pacer import ConnectPacer
from loadgen.engine.connection import Connection
from loadgen.engine.conversation import Conversation
from loadgen.engine.group import Group
from loadgen.engine.lifecycle import Event, State
from loadgen.engine.opening import Handshake
from loadgen.engine.recorder import Recorder
from loadgen.engine.rows import group_of, origin_of
from loadgen.engine.selector import BoundedSelector
from loadgen.engine.timeouts import ConnectionPolicy, next_back_off_ns
from loadgen.engine.timers import TimerHeap
from loadgen.logs import logger
from loadgen.net.backends import TURN_EVENTS
from loadgen.net.clock import Clock
from loadgen.net.failure import Cause, ConnectionFailed, Failure, Phase
from loadgen.net.transport import NOTHING, READ, WRITE

_log = logger("loadgen.engine")

WhenUp = Callable[[Connection], None]
WhenEnded = Callable[[Connection, Failure | None, int], None]


WhenLost = Callable[[Connection, Failure, int], None]


def _ignore_end(connection: Connection, failure: Failure | None, lost: int) -> None:
    pass


class PoolTotals(NamedTuple):
    """Sums over connections of what they have done so far; ``up`` counts those that are up."""

    submitted: int
    answered: int
    bytes_sent: int
    bytes_received: int
    up: int

    @classmethod
    def of(cls, connections: Collection[Connection]) -> "PoolTotals":
        """Return the sums over ``connections``."""
        # One pass: the loop waits for as long as it takes.
        submitted = answered = bytes_sent = bytes_received = up = 0
        for connection in connections:
            counts = connection.messages.counts()
            submitted += counts[0]
            answered += counts[1]
            bytes_sent += counts[2]
            bytes_received += counts[3]
            up += connection.is_up
        return cls(submitted, answered, bytes_sent, bytes_received, up)


class ConnectionPool:
    """The connections of an engine, from their first connect to their last close.

    when_up: called during a turn with a connection that has come up; may raise ConnectionFailed.
    """

    def __init__(
        self,
        selector: BoundedSelector,
        recorder: Recorder,
        clock: Clock,
        policy: ConnectionPolicy,
        when_up: WhenUp,
    ) -> None:
        self.connections: list[Connection] = []
        self.opened = self.closed = 0  # sockets
        self.renewed = 0  # connections opened again after an orderly end by the server
        self.resent = 0  # messages that were sent again for that reason
        self.availability = Availability(clock)
        self._selector = selector
        self._when_up = when_up
        self._recorder = recorder
        self._clock = clock
        self._policy = policy
        self._timers: TimerHeap[Connection] = TimerHeap()
        self._pacer = ConnectPacer(policy.connect_interval_ns)
        self._undecided = 0  # connections that have neither come up nor failed yet
        self.cut_off = 0  # messages in flight on connections that were cut
        self.when_ended: WhenEnded = _ignore_end
        """Called during a turn with a connection that has lost its socket, its failure (None: it
        ended well), and the number of messages lost with it; must not raise."""
        self.when_lost: WhenLost = _ignore_end
        """Called during a turn with a connection that goes on although messages have failed: the
        failure, and how many; must not raise."""
        self._live = 0  # connections with a socket
        self._backing_off = 0  # failed ones that will be opened again

    def add(self, group: Group, conversation: Conversation, count: int = 1) -> list[Connection]:
        """Add ``count`` connections to ``group``; they open as the connect pacer allows."""
        indices = range(len(self.connections), len(self.connections) + count)
        added = [self._new(group, conversation, index) for index in indices]
        self.connections += added
        self._pacer.enqueue(added)
        self._undecided += count
        self.availability.add(Standing.OPENING, count)
        return added

    def _new(self, group: Group, conversation: Conversation, index: int) -> Connection:
        origin = origin_of(group.number, index)
        channel = group.new_channel(group.dialer, origin, conversation, self._clock, self)
        return Connection(group, conversation, channel)

    def drain(self) -> None:
        """Close every connection once nothing is in flight on it; open none any more."""
        for connection in self._pacer.clear():
            self._decide(connection)
        for connection in self.connections:
            self.drain_one(connection)

    def drain_one(self, connection: Connection) -> None:
        """Close ``connection`` once nothing is in flight on it."""
        messages = connection.messages
        unanswered = messages.unanswered
        messages.revoke()
        self.cut_off += messages.unanswered - unanswered
        if connection.state is State.READY and connection.in_flight:
            connection.drain()
            return
        if connection.state is not State.DRAINING and connection.state.is_live:
            self._end(connection, Event.CLOSE)
            self.when_ended(connection, None, 0)
        elif connection.state is State.FAILED and connection.timer_ns is not None:
            self._timers.set(connection, None)
            self._backing_off -= 1
        elif self._pacer.remove(connection):
            self._decide(connection)
        if not connection.state.is_live:
            self._stand(connection, Standing.DONE)

    def cut(self, connection: Connection) -> None:
        """Close ``connection`` now; what is in flight on it is cut off."""
        self.drain_one(connection)
        if connection.state.is_live:
            self.cut_off += connection.in_flight
            self._end(connection, Event.CLOSE)
            self.when_ended(connection, None, 0)

    def close(self) -> None:
        """Close every connection now; what is in flight is cut off."""
        self.drain()
        for connection in self.connections:
            self.cut(connection)

    @property
    def is_opening(self) -> bool:
        """Whether any connection has neither come up nor failed, for the first time."""
        return self._undecided > 0

    @property
    def is_finished(self) -> bool:
        """Whether no connection has a socket, and none will have one again."""
        return not (self._live or self._backing_off or self._pacer.is_busy)

    def totals(self) -> PoolTotals:
        """Return the sums over all connections."""
        return PoolTotals.of(self.connections)

    # ---- one connection's beginning and end -----------------------------------------------

    def _open(self, connection: Connection) -> None:
        self._live += 1
        try:
            connection.open(self._clock, self)
        except ConnectionFailed as broken:
            self._fail(connection, broken)
        else:
            self._selector.register(connection.channel, WRITE)
            self._timers.set(connection, connection.dialled_ns + self._policy.connect_timeout_ns)

    def settle(self, channel: Channel, interest: int) -> None:
        """Let ``channel`` wait for the events ``interest``; if there are none, it is done.

        What follows then depends on the connection's state. May raise ConnectionFailed while it
        comes up; not for a channel of messages.
        """
        if interest != NOTHING:
            self._selector.modify(channel, interest)
            return
        connection = self.connections[channel.index]
        match connection.state:
            case State.CONNECTING:
                self._connected(connection)
            case State.SECURING:
                self._secured(connection)
            case State.GREETING:
                self._come_up(connection)
            case _:
                self._finish(connection)

    def _connected(self, connection: Connection) -> None:
        connection.note_connected(self._clock())
        self._recorder.record_connect(connection.connect_ns)
        _log.debug("connection %d: connected", connection.index)
        if connection.is_to_shake_hands:
            before = connection.channel
            self._replace(before, connection.secure(self._clock, self), WRITE)
            self._timers.set(connection, self._clock() + self._policy.handshake_timeout_ns)
        else:
            self._greet(connection)

    def _secured(self, connection: Connection) -> None:
        handshake = connection.channel
        assert isinstance(handshake, Handshake)
        outcome = handshake.outcome
        self._recorder.handshakes.add(handshake.latency_ns, outcome)
        self._recorder.handshakes.work_ns += handshake.work_ns
        _log.debug("connection %d: secured: %s", connection.index, outcome)
        self._greet(connection)

    def _greet(self, connection: Connection) -> None:
        """Exchange the greeting, if there is one, on a connection whose transport is up."""
        self._pacer.settle()
        self.opened += 1
        connection.note_up()
        self._timers.set(connection, self._clock() + self._policy.check_interval_ns)
        if connection.conversation.greeting:
            before = connection.channel
            greeting = connection.greet(self._clock, self)
            self._replace(before, greeting)
            greeting.begin()
        else:
            self._come_up(connection)

    def _come_up(self, connection: Connection) -> None:
        before, messages = connection.channel, connection.messages
        rest = connection.come_up(self._clock())
        self._replace(before, messages)
        self._decide(connection)
        self._stand(connection, Standing.UP)
        if rest:
            messages.accept(rest)
        self._when_up(connection)
        if messages.is_ending and connection.state is State.READY:  # not finished meanwhile
            self._finish(connection)

    def _replace(self, before: Channel, after: Channel, interest: int = READ) -> None:
        """Let ``after`` take the place of ``before``, whose transport it has."""
        transport = after.transport
        assert transport is not None
        self._selector.replace(before, after, transport.awaited(interest))
        if transport.pending:
            self.read_again(after)

    def take_step(self) -> bool:
        """Return whether a step that takes long may be taken: the first to ask in a turn may."""
        return self._selector.take_step()

    def read_again(self, channel: Channel) -> None:
        """Call ``channel.receive`` in the next turn, although no event announces anything."""
        self._selector.hand_out(channel)

    def note_lost(self, channel: Channel, failure: Failure, count: int) -> None:
        """Note that ``count`` messages have failed, and that their connection goes on."""
        self.when_lost(self.connections[channel.index], failure, count)

    def _finish(self, connection: Connection) -> None:
        """End ``connection``, whose messages are done, or which the server ends in an orderly way.

        If there are more, it is opened again at once; those in flight are sent again there. It is a
        failure where they cannot be, or where the connection was of no use.
        """
        messages = connection.messages
        if messages.is_ending and connection.state is State.READY:
            has_served = connection.has_served(self._clock())
            taken_back = messages.in_flight
            messages.take_back()
            taken_back -= messages.in_flight
            if messages.in_flight or (messages.has_more and not has_served):
                self._fail(connection, ConnectionFailed(Failure(Phase.RECEIVE, Cause.CLOSED)))
                return
            self.resent += taken_back
        is_renewed = messages.is_ending and messages.has_more
        self.renewed += is_renewed
        self.cut_off += messages.in_flight
        self._end(connection, Event.CLOSE, Standing.RENEWING if is_renewed else Standing.DONE)
        if is_renewed:
            self._pacer.enqueue((connection,))
        self.when_ended(connection, None, 0)

    def _stand(self, connection: Connection, standing: Standing) -> None:
        connection.standing = self.availability.move(connection.standing, standing)

    def _decide(self, connection: Connection) -> None:
        self._undecided -= not connection.is_decided
        connection.is_decided = True

    def _end(self, connection: Connection, step: Event, standing: Standing = Standing.DONE) -> None:
        """Unregister, then close: the selector must not hold a closed descriptor."""
        self._selector.unregister(connection.channel)
        if connection.state in (State.CONNECTING, State.SECURING):
            self._pacer.settle()
        else:
            self.closed += 1
        if isinstance(connection.channel, Handshake):
            self._recorder.handshakes.work_ns += connection.channel.work_ns
        self._decide(connection)
        self._timers.set(connection, None)
        self._live -= 1
        self._stand(connection, standing)
        connection.close(step)
        _log.debug("connection %d: %s", connection.index, connection.state)

    def fail(self, channel: Channel, broken: ConnectionFailed) -> None:
        """End the connection of ``channel``, which is broken; the policy says whether for good."""
        self._fail(self.connections[channel.index], broken)

    def _fail(self, connection: Connection, broken: ConnectionFailed) -> None:
        now_ns = self._clock()
        _log.info("connection %d failed: %s", connection.index, broken)
        group = group_of(connection.messages.origin)
        self._recorder.record_failure(broken.failure, now_ns, group)
        lost = connection.messages.unanswered
        is_tried_again = self._policy.reconnect and connection.messages.has_more
        standing = Standing.FAILED if connection.messages.has_more else Standing.DONE
        standing = Standing.BACKING_OFF if is_tried_again else standing
        if not is_tried_again:
            connection.messages.lose()
        self._end(connection, Event.FAIL, standing)
        lost = connection.messages.unanswered - lost
        connection.failure = broken.failure
        connection.failures += 1
        if is_tried_again:
            connection.back_off_ns = next_back_off_ns(connection)
            self._timers.set(connection, now_ns + connection.back_off_ns)
            self._backing_off += 1
        self.when_ended(connection, broken.failure, lost)

    # ---- timers ------------------------------------------------------------------------------

    def handle_due(self) -> None:
        """Open the connections that are due, and handle the timers that have expired."""
        now_ns = self._clock()
        for connection in self._pacer.take(now_ns):
            self._open(connection)
        for connection in self._timers.due(now_ns, TURN_EVENTS):
            self._handle_timer(connection, now_ns)

    def _handle_timer(self, connection: Connection, now_ns: int) -> None:
        if connection.state is State.FAILED:
            self._backing_off -= 1
            self._stand(connection, Standing.OPENING)
            self._pacer.enqueue((connection,))
            return
        check_ns = now_ns + self._policy.check_interval_ns
        for since_ns, longest_ns, cause in self._policy.timeouts(connection):
            # A process that did not run has not waited for the server.
            stopped_ns = self._selector.stops.within_ns(since_ns, now_ns)
            deadline_ns = since_ns + longest_ns + stopped_ns
            if deadline_ns > now_ns:
                check_ns = min(check_ns, deadline_ns)
            elif isinstance(connection.channel, Forgoing) and connection.in_flight:
                connection.channel.give_up(now_ns - deadline_ns + since_ns)
                check_ns = now_ns + 1
            elif connection.has_event_since(deadline_ns):
                check_ns = now_ns + 1  # it is handled in the next turn
            else:
                failure = Failure(connection.channel.waits_in, cause)
                self._fail(connection, ConnectionFailed(failure))
                return
        self._timers.set(connection, check_ns)

    def correct_timers(self) -> None:
        """Make `timer_ns` exact, where the soonest timer was cancelled."""
        self._timers.next_ns()

    def timer_ns(self) -> int:
        """Return before when `handle_due` has nothing to do; `NEVER_NS`: nothing at all."""
        timer_ns = self._timers.soonest_ns
        if not self._pacer.has_waiting:
            return timer_ns
        opening_ns = self._pacer.next_ns()
        return timer_ns if opening_ns is None else min(timer_ns, opening_ns)


NONE = PoolTotals(0, 0, 0, 0, 0)
