"""The connection pool: which connections there are, how each is opened and how it ends.

Facts. A connection opens when the connect pacer allows it, comes up or fails, is given up when
nothing moves for too long, and where the user asked for it is opened again after a back-off.

Danger. Each of these may happen during any other: a timer for a connection that has just closed, an
end of the run while connects are under way. And an exception that leaves the loop may end its
caller for good.

Decision. The state table of `loadgen.engine.lifecycle` says what may follow what; the sums kept
here (undecided, live, backing off) change only where a state changes. A broken connection is an
event: `ConnectionFailed` is never passed on. Messages are the subject of `loadgen.engine.engine`,
whose Engine extends the pool, and begins with a connection that has come up.
"""

import selectors
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import NamedTuple

from loadgen.engine.availability import Availability, Standing
from loadgen.engine.connect_pacer import ConnectPacer
from loadgen.engine.connection import Connection
from loadgen.engine.conversation import Conversation
from loadgen.engine.fast_path import NOTHING, READ
from loadgen.engine.lifecycle import Event, State
from loadgen.engine.recorder import Recorder
from loadgen.engine.selector import BoundedSelector
from loadgen.engine.stamped import StampedConnection
from loadgen.engine.timeouts import ConnectionPolicy, next_back_off_ns
from loadgen.engine.timers import TimerHeap
from loadgen.logs import logger
from loadgen.net.backends import TURN_EVENTS
from loadgen.net.clock import Clock
from loadgen.net.dialer import Dialer
from loadgen.net.failure import ConnectionFailed, Failure

_log = logger("loadgen.engine")

WhenEnded = Callable[[Connection, Failure | None, int], None]


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
            counts = connection.counts()
            submitted += counts[0]
            answered += counts[1]
            bytes_sent += counts[2]
            bytes_received += counts[3]
            up += connection.is_up
        return cls(submitted, answered, bytes_sent, bytes_received, up)


class ConnectionPool(ABC):
    """The connections of an engine, from their first connect to their last close."""

    def __init__(
        self,
        selector: BoundedSelector,
        dialer: Dialer,
        recorder: Recorder,
        clock: Clock,
        policy: ConnectionPolicy,
    ) -> None:
        self.connections: list[Connection] = []
        self.opened = self.closed = 0  # sockets
        self.availability = Availability(clock)
        self._selector = selector
        self._dialer = dialer
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
        self._live = 0  # connections with a socket
        self._backing_off = 0  # failed ones that will be opened again

    def add(self, conversation: Conversation, count: int = 1) -> list[Connection]:
        """Add ``count`` connections; they open as the connect pacer allows."""
        indices = range(len(self.connections), len(self.connections) + count)
        added = [self._new(index, conversation) for index in indices]
        self.connections += added
        self._pacer.enqueue(added)
        self._undecided += count
        self.availability.add(Standing.OPENING, count)
        return added

    def _new(self, index: int, conversation: Conversation) -> Connection:
        stamp_every = self._dialer.stamp_every
        if stamp_every:
            return StampedConnection(index, conversation, self._clock, stamp_every)
        return Connection(index, conversation, self._clock)

    def drain(self) -> None:
        """Close every connection once nothing is in flight on it; open none any more."""
        for connection in self._pacer.clear():
            self._decide(connection)
        for connection in self.connections:
            self.drain_one(connection)

    def drain_one(self, connection: Connection) -> None:
        """Close ``connection`` once nothing is in flight on it."""
        if connection.state is State.READY and connection.in_flight:
            connection.drain()
            return
        connection.revoke()
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
            self.cut_off += connection.in_flight if connection.is_up else 0
            self._end(connection, Event.CLOSE)
            self.when_ended(connection, None, 0)

    def close(self) -> None:
        """Close every connection now, and the selector; what is in flight is cut off."""
        self.drain()
        for connection in self.connections:
            self.cut(connection)
        self._selector.close()

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

    @abstractmethod
    def _begin(self, connection: Connection) -> None:
        """Start sending on ``connection``, which has come up, if the engine has started."""

    def _open(self, connection: Connection) -> None:
        self._live += 1
        try:
            connection.open(self._dialer)
        except ConnectionFailed as broken:
            self._fail(connection, broken)
        else:
            self._selector.register(connection, selectors.EVENT_WRITE)
            self._timers.set(connection, connection.dialled_ns + self._policy.connect_timeout_ns)

    def _connected(self, connection: Connection) -> None:
        self._pacer.settle()
        self.opened += 1
        self._recorder.record_connect(connection.connect_ns)
        _log.debug("connection %d: connected", connection.index)
        self._timers.set(connection, self._clock() + self._policy.check_interval_ns)
        if connection.state is State.READY:
            self._come_up(connection)
        else:
            connection.greet()
            self._settle(connection, connection.transmit())

    def _come_up(self, connection: Connection) -> None:
        self._decide(connection)
        self._stand(connection, Standing.UP)
        self._selector.modify(connection, READ)
        self._begin(connection)

    def _stand(self, connection: Connection, standing: Standing) -> None:
        connection.standing = self.availability.move(connection.standing, standing)

    def _decide(self, connection: Connection) -> None:
        self._undecided -= not connection.is_decided
        connection.is_decided = True

    def _end(self, connection: Connection, step: Event, standing: Standing = Standing.DONE) -> None:
        """Unregister, then close: the selector must not hold a closed descriptor."""
        self._selector.unregister(connection)
        if connection.state is State.CONNECTING:
            self._pacer.settle()
        else:
            self.closed += 1
        self._decide(connection)
        self._timers.set(connection, None)
        self._live -= 1
        self._stand(connection, standing)
        connection.close(step)
        _log.debug("connection %d: %s", connection.index, connection.state)

    def _fail(self, connection: Connection, broken: ConnectionFailed) -> None:
        now_ns = self._clock()
        _log.info("connection %d failed: %s", connection.index, broken)
        self._recorder.record_failure(broken.failure, now_ns)
        lost = connection.unanswered
        is_tried_again = self._policy.reconnect and connection.has_more
        standing = Standing.FAILED if connection.has_more else Standing.DONE
        standing = Standing.BACKING_OFF if is_tried_again else standing
        self._end(connection, Event.FAIL, standing)
        lost = connection.unanswered - lost
        connection.failure = broken.failure
        connection.failures += 1
        if is_tried_again:
            connection.back_off_ns = next_back_off_ns(connection)
            self._timers.set(connection, now_ns + connection.back_off_ns)
            self._backing_off += 1
        self.when_ended(connection, broken.failure, lost)

    def _settle(self, connection: Connection, interest: int) -> None:
        """Register for the events ``interest``; if there are none, come up or end."""
        if interest != NOTHING:
            self._selector.modify(connection, interest)
        elif connection.state is State.GREETING:
            connection.come_up()
            self._come_up(connection)
        else:
            is_renewed = connection.ended_by_reply and connection.has_more
            standing = Standing.RENEWING if is_renewed else Standing.DONE
            self._end(connection, Event.CLOSE, standing)
            if is_renewed:
                self._pacer.enqueue((connection,))
            self.when_ended(connection, None, 0)

    # ---- timers ------------------------------------------------------------------------------

    def _handle_due(self) -> None:
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
            paused_ns = self._selector.pauses.within_ns(since_ns, now_ns)
            deadline_ns = since_ns + longest_ns + paused_ns
            if deadline_ns > now_ns:
                check_ns = min(check_ns, deadline_ns)
            elif connection.has_event_since(deadline_ns):
                check_ns = now_ns + 1  # it is handled in the next turn
            else:
                failure = Failure(connection.waits_in, cause)
                self._fail(connection, ConnectionFailed(failure))
                return
        self._timers.set(connection, check_ns)

    def _timer_ns(self) -> int:
        """Return before when `_handle_due` has nothing to do; `NEVER_NS`: nothing at all."""
        timer_ns = self._timers.soonest_ns
        if not self._pacer.has_waiting:
            return timer_ns
        opening_ns = self._pacer.next_ns()
        return timer_ns if opening_ns is None else min(timer_ns, opening_ns)


NONE = PoolTotals(0, 0, 0, 0, 0)
