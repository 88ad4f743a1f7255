"""THE loop: one selector, many connections.

Facts. A turn asks the selector what is ready and handles it. Which order it does that in decides
what the numbers are worth. If each connection is read and answered in turn, the hundredth one waits
for ninety-nine sends before its reply is stamped. If everything that is ready is handled in one
turn, a turn with five thousand connections takes forty milliseconds, and whatever else shares the
loop waits for that long.

Decision. A turn has two phases: first every ready connection is read, stamped and accounted for,
then all that may send do so. And it is bounded: at most `TURN_EVENTS` events, sends, connects and
alarms. What is left over comes first in the next turn, which then does not wait.

The engine decides when a connection opens, ends, is given up or opened again, and nothing else.
Whoever runs it calls `turn` until the job is done, from a plain loop or from the callback of
another event loop that watches `fileno()` and wakes up after `next_timeout()`.

Danger. An exception that leaves `turn` may stop the loop that called it for good. A broken
connection is an event here: `ConnectionFailed` goes no further.

Cost. bench/limit.py measures it, against a client in C that does nothing but the system calls.
"""

import logging
import selectors
from collections import deque
from collections.abc import Iterable
from typing import Final

from loadgen.core.backends import TURN_EVENTS
from loadgen.core.clock import Clock
from loadgen.core.connection import Connection
from loadgen.core.conversation import Conversation
from loadgen.core.dialer import Dialer
from loadgen.core.laps import NOTHING, READ
from loadgen.core.lifecycle import State, Step
from loadgen.core.opener import Opener
from loadgen.core.policy import Policy, next_back_off_ns
from loadgen.core.recorder import Recorder
from loadgen.core.timers import Timers
from loadgen.core.totals import Totals
from loadgen.core.watch import Watch
from loadgen.failure import Cause, ConnectionFailed, Failure
from loadgen.units import ns_to_seconds

BUFFER_BYTES: Final = 256 * 1024

_log = logging.getLogger("loadgen.engine")


class Engine:
    """Drives connections on one selector, which it takes over and closes in the end."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        dialer: Dialer,
        recorder: Recorder,
        clock: Clock,
        policy: Policy,
    ) -> None:
        self.connections: list[Connection] = []
        self.opened = self.closed = 0  # sockets
        self._watch = Watch(selector)
        self._dialer = dialer
        self._recorder = recorder
        self._clock = clock
        self._policy = policy
        self._buffer = bytearray(BUFFER_BYTES)
        self._timers: Timers[Connection] = Timers()
        self._opener = Opener(policy.connect_interval_ns)
        self._sendable: deque[Connection] = deque()
        self._undecided = 0  # connections that have neither come up nor failed yet
        self._live = 0  # connections with a socket
        self._backing_off = 0  # failed ones that will be opened again
        self._is_started = False

    # ---- for whoever runs the engine ------------------------------------------------------

    def add(self, conversation: Conversation, count: int = 1) -> list[Connection]:
        """Add ``count`` connections; they open as the pace of connecting allows."""
        indices = range(len(self.connections), len(self.connections) + count)
        added = [Connection(index, conversation, self._clock) for index in indices]
        self.connections += added
        self._opener.enqueue(added)
        self._undecided += count
        return added

    def start(self) -> None:
        """Let messages flow, on the connections that are up and on those that will be."""
        self._is_started = True
        for connection in self.connections:
            if connection.state is State.READY:
                self._begin(connection)

    def drain(self) -> None:
        """Let every connection close once nothing is in flight on it, and none open any more."""
        for connection in self._opener.clear():
            self._decide(connection)
        for connection in self.connections:
            self.drain_one(connection)

    def drain_one(self, connection: Connection) -> None:
        """Let ``connection`` close once nothing is in flight on it."""
        if connection.state is State.READY and connection.in_flight:
            connection.drain()
            return
        connection.revoke()
        if connection.state is not State.DRAINING and connection.state.is_live:
            self._end(connection, Step.CLOSE)
        elif connection.state is State.FAILED and connection.alarm_ns is not None:
            self._timers.set(connection, None)
            self._backing_off -= 1
        elif self._opener.remove(connection):
            self._decide(connection)

    def close(self) -> None:
        """Close every connection now, and the selector; what is in flight is cut off."""
        self.drain()
        for connection in (every for every in self.connections if every.state.is_live):
            self._end(connection, Step.CLOSE)
        self._watch.close()

    @property
    def is_opening(self) -> bool:
        """Whether any connection has neither come up nor failed, for the first time."""
        return self._undecided > 0

    @property
    def is_finished(self) -> bool:
        """Whether no connection has a socket, or will have one again."""
        return not (self._live or self._backing_off or self._opener.is_busy)

    def fileno(self) -> int:
        """Return the selector's descriptor; raises AttributeError where it has none (poll)."""
        return self._watch.fileno()

    def next_timeout(self) -> float | None:
        """Return the seconds until a turn is due although no socket is ready; None: for ever."""
        if self._watch.has_left_over or self._sendable:
            return 0.0
        alarm_ns, opening_ns = self._timers.next_ns(), self._opener.next_ns()
        if alarm_ns is None and opening_ns is None:
            return None
        due_ns = min(due for due in (alarm_ns, opening_ns) if due is not None)
        return max(0.0, ns_to_seconds(due_ns - self._clock()))

    def totals(self) -> Totals:
        """Return the sums over all connections."""
        return Totals.of(self.connections)

    # ---- the turn -------------------------------------------------------------------------

    def turn(self, timeout_s: float | None = None) -> None:
        """Wait for events, ``timeout_s`` seconds at most (None: as long as it takes); handle them.

        It comes back earlier when a timer is due, and never raises for a connection's sake.
        """
        senders: list[Connection] = []
        buffer = self._buffer
        own_s = self.next_timeout()
        if own_s is not None and (timeout_s is None or own_s < timeout_s):
            timeout_s = own_s
        for key, events in self._watch.wait(timeout_s):
            connection: Connection = key.data
            try:
                if events == READ:
                    if connection.receive(buffer):
                        senders.append(connection)
                elif self._handle_write(connection, events):
                    senders.append(connection)
            except ConnectionFailed as broken:
                self._fail(connection, broken)
        if self._sendable:
            self._sendable.extend(senders)
            senders = self._next_sendable()
        self._transmit(senders)
        self._recorder.flush_if_full()
        self._keep_time()

    def _handle_write(self, connection: Connection, events: int) -> bool:
        """Handle ``events`` that are more than a plain READ; return whether to transmit."""
        if connection.state is State.CONNECTING:
            connection.finish_connect()
            self._connected(connection)
            return False
        if events & READ:
            connection.receive(self._buffer)
        return True

    def _transmit(self, connections: Iterable[Connection]) -> None:
        for connection in connections:
            try:
                interest = connection.transmit()
            except ConnectionFailed as broken:
                self._fail(connection, broken)
            else:
                if interest != connection.interest:
                    self._settle(connection, interest)

    def _next_sendable(self) -> list[Connection]:
        chosen = [self._sendable.popleft() for _ in range(min(TURN_EVENTS, len(self._sendable)))]
        return [connection for connection in chosen if connection.may_transmit]

    def _settle(self, connection: Connection, interest: int) -> None:
        """Wait for other events than before; for none, draw the conclusion from the state."""
        if interest != NOTHING:
            self._watch.change(connection, interest)
        elif connection.state is State.GREETING:
            connection.come_up()
            self._come_up(connection)
        else:
            self._end(connection, Step.CLOSE)
            if connection.ended_by_reply and connection.has_more:
                self._opener.enqueue((connection,))

    def _keep_time(self) -> None:
        """Do what the clock says is due: open connections, look after those that wait."""
        now_ns = self._clock()
        for connection in self._opener.take(now_ns):
            self._open(connection)
        for connection in self._timers.due(now_ns, TURN_EVENTS):
            self._look_after(connection, now_ns)

    def _look_after(self, connection: Connection, now_ns: int) -> None:
        if connection.state is State.FAILED:
            self._backing_off -= 1
            self._opener.enqueue((connection,))
            return
        deadline_ns = self._policy.deadline_ns(connection, now_ns)
        if deadline_ns > now_ns:
            self._timers.set(connection, deadline_ns)
        elif connection.has_news():
            self._timers.set(connection, now_ns + self._policy.io_timeout_ns)
        else:
            self._fail(connection, ConnectionFailed(Failure(connection.waits_in, Cause.TIMEOUT)))

    # ---- one connection's beginning and end -----------------------------------------------

    def _open(self, connection: Connection) -> None:
        self._live += 1
        try:
            connection.open(self._dialer)
        except ConnectionFailed as broken:
            self._fail(connection, broken)
        else:
            self._watch.begin(connection, selectors.EVENT_WRITE)
            self._timers.set(connection, connection.dialled_ns + self._policy.connect_timeout_ns)

    def _connected(self, connection: Connection) -> None:
        self._opener.settle()
        self.opened += 1
        self._recorder.record_connect(connection.connect_ns)
        _log.debug("connection %d: connected", connection.index)
        self._timers.set(connection, self._clock() + self._policy.io_timeout_ns)
        if connection.state is State.READY:
            self._come_up(connection)
        else:
            connection.greet()
            self._settle(connection, connection.transmit())

    def _come_up(self, connection: Connection) -> None:
        self._decide(connection)
        self._watch.change(connection, READ)
        if self._is_started:
            self._begin(connection)

    def _decide(self, connection: Connection) -> None:
        self._undecided -= not connection.is_decided
        connection.is_decided = True

    def _begin(self, connection: Connection) -> None:
        connection.begin(self._recorder.record)
        self._sendable.append(connection)

    def _end(self, connection: Connection, step: Step) -> None:
        """Unregister, then close: the selector must not hold a descriptor that is gone."""
        self._watch.end(connection)
        if connection.state is State.CONNECTING:
            self._opener.settle()
        else:
            self.closed += 1
        self._decide(connection)
        self._timers.set(connection, None)
        self._live -= 1
        connection.close(step)
        _log.debug("connection %d: %s", connection.index, connection.state)

    def _fail(self, connection: Connection, broken: ConnectionFailed) -> None:
        now_ns = self._clock()
        _log.info("connection %d failed: %s", connection.index, broken)
        self._recorder.record_failure(broken.failure, now_ns)
        self._end(connection, Step.FAIL)
        connection.failure = broken.failure
        connection.failures += 1
        if self._policy.reconnect and connection.has_more:
            connection.back_off_ns = next_back_off_ns(connection)
            self._timers.set(connection, now_ns + connection.back_off_ns)
            self._backing_off += 1
