"""A schedule and its connections; the test sets which are free, busy or closed."""

import itertools
import selectors
from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from stepped_engine import MS, START_NS, break_socket, idle_channels

from loadgen.engine.channel import Channel, MessageChannel
from loadgen.engine.driver import Load, PythonDriver
from loadgen.engine.load_models import SENDS_AT_ONCE, OpenLoop, WarmUp
from loadgen.net.clock import NEVER_NS, ManualClock
from loadgen.net.failure import Cause, ConnectionFailed, Phase


class Schedule:
    """An `OpenLoop` on a clock that the test moves, and what it has recorded."""

    def __init__(
        self, *offsets_ns: int, offsets: Iterable[int] = (), warm_up: WarmUp | None = None
    ) -> None:
        self.clock = ManualClock(START_NS)
        self.sends: list[tuple[int, int, int]] = []
        self.settled: list[Channel] = []
        self.failed: list[tuple[Channel, ConnectionFailed]] = []
        self.model = OpenLoop(offsets_ns or offsets, self.clock, warm_up)
        self._driver = PythonDriver(selectors.SelectSelector(), self.clock)
        load: Any = Load(self, self, self.model, self.model)  # type: ignore[arg-type]
        self._driver.serve(load)
        self.record_send = self.sends.append
        self._connections: list[MessageChannel] = []

    def begin(self, count: int, pipeline: int = 1) -> list[MessageChannel]:
        """Add ``count`` free connections, and begin the schedule."""
        self._connections = idle_channels(count, self.clock, scheduled=True, pipeline=pipeline)
        for connection in self._connections:
            self.model.admit(connection)
        self.model.begin(START_NS)
        return self._connections

    def senders_at(self, offset_ns: int) -> list[MessageChannel]:
        """Return which connections send so long after the start, in the order of messages."""
        self.clock.now_ns = START_NS + offset_ns
        before = len(self.sends)
        submitted = [connection.counts()[0] for connection in self._connections]
        self.model.send_due(self._driver.submit)
        senders = [
            connection
            for connection, earlier in zip(self._connections, submitted, strict=True)
            for _ in range(connection.counts()[0] - earlier)
        ]
        assert len(senders) == len(self.sends) - before
        return senders

    closes: MessageChannel | None = None
    """What code of a user closes when a connection fails."""

    def settle(self, connection: Channel, interest: int) -> None:
        self.settled.append(connection)

    def fail(self, connection: Channel, broken: ConnectionFailed) -> None:
        self.failed.append((connection, broken))
        if self.closes is not None:
            self.closes.detach()

    def answer(self, *connections: MessageChannel) -> None:
        """Answer all that is in flight on ``connections``."""
        for connection in connections:
            connection.in_flight = 0
            self.model.note_free(connection)

    def offsets(self) -> list[tuple[int, ...]]:
        """What was recorded, (intended, free, sent), counted from the start."""
        return [tuple(moment - START_NS for moment in send) for send in self.sends]


class TestOpenLoop:
    def test_sends_nothing_before_it_begins(self) -> None:
        scene = Schedule(0)
        [connection] = idle_channels(1, scene.clock, scheduled=True)
        scene.model.admit(connection)
        assert scene.model.next_ns() is None
        assert scene.senders_at(10 * MS) == []

    def test_sends_at_the_intended_time_and_no_earlier(self) -> None:
        scene = Schedule(5 * MS)
        [connection] = scene.begin(1)
        assert scene.model.next_ns() == START_NS + 5 * MS
        assert scene.senders_at(5 * MS - 1) == []
        assert scene.senders_at(5 * MS) == [connection]
        assert scene.offsets() == [(5 * MS, 0, 5 * MS)]

    def test_has_nothing_to_wait_for_once_all_is_sent(self) -> None:
        scene = Schedule(5 * MS)
        one, _ = scene.begin(2)
        assert scene.senders_at(5 * MS) == [one]
        assert scene.model.next_ns() is None
        assert scene.senders_at(10**15) == []
        assert scene.model.overdue(0, START_NS + 10**15) == 0

    def test_takes_free_connections_in_turn(self) -> None:
        scene = Schedule(*range(6), 10)
        connections = scene.begin(3)
        order = [scene.senders_at(offset_ns) for offset_ns in range(3)]
        assert order == [[connection] for connection in connections]
        scene.answer(*connections[::-1])
        order = [scene.senders_at(offset_ns) for offset_ns in range(3, 6)]
        assert order == [[connection] for connection in connections[::-1]]
        assert scene.model.next_ns() is None
        assert scene.senders_at(10) == []

    def test_takes_those_with_room_in_turn_too(self) -> None:
        scene = Schedule(*range(6))
        connections = scene.begin(3, pipeline=2)
        order = [scene.senders_at(offset_ns) for offset_ns in range(6)]
        assert order == 2 * [[connection] for connection in connections]

    def test_never_moves_an_intended_time(self) -> None:
        """Late as it may be: blocked at first, and then behind by itself."""
        scene = Schedule(0, MS, 2 * MS)
        [connection] = scene.begin(1)
        assert scene.senders_at(0) == [connection]
        assert scene.senders_at(MS) == []
        assert scene.model.next_ns() is None
        scene.clock.now_ns = START_NS + 30 * MS
        scene.answer(connection)
        assert scene.model.next_ns() == START_NS + MS
        assert scene.senders_at(40 * MS) == [connection]
        scene.clock.now_ns = START_NS + 41 * MS
        scene.answer(connection)
        assert scene.senders_at(50 * MS) == [connection]
        assert scene.offsets() == [
            (0, 0, 0),
            (MS, 30 * MS, 40 * MS),
            (2 * MS, 41 * MS, 50 * MS),
        ]

    def test_catches_up_in_portions(self) -> None:
        scene = Schedule(*range(SENDS_AT_ONCE + 3))
        connections = scene.begin(SENDS_AT_ONCE + 3)
        assert scene.senders_at(MS) == connections[:SENDS_AT_ONCE]
        assert scene.senders_at(MS) == connections[SENDS_AT_ONCE:]

    def test_queues_a_connection_only_once(self) -> None:
        scene = Schedule(*range(6))
        one, other = scene.begin(2, pipeline=3)
        assert scene.model.note_free(one)
        order = [scene.senders_at(offset_ns) for offset_ns in range(6)]
        assert order == [[one], [other]] * 3
        assert not scene.model.note_free(one)

    def test_skips_connections_that_are_no_longer_free(self) -> None:
        scene = Schedule(0, 0)
        failed, draining, busy, free = scene.begin(4)
        failed.detach()
        draining.revoke()
        busy.in_flight = 1
        assert scene.senders_at(0) == [free]
        scene.answer(busy)
        assert scene.senders_at(0) == [busy]

    def test_lets_connections_without_messages_transmit_to_end(self) -> None:
        scene = Schedule(0)
        [done] = scene.begin(1)
        done.revoke()
        assert not scene.model.note_free(done)
        assert scene.model.next_senders([done]) == [done]

    def test_fails_a_connection_that_breaks_with_its_message(self) -> None:
        scene = Schedule(0, 0)
        broken, whole = scene.begin(2)
        break_socket(broken)
        assert scene.senders_at(0) == [broken, whole]
        [(connection, error)] = scene.failed
        assert connection is broken
        assert error.failure == (Phase.SEND, Cause.RESET)
        assert len(scene.offsets()) == 2

    def test_sends_on_no_connection_that_the_failure_of_another_has_closed(self) -> None:
        scene = Schedule(0, 0)
        broken, closed, whole = scene.begin(3)
        break_socket(broken)
        scene.closes = closed
        assert scene.senders_at(0) == [broken, whole]
        assert closed.counts()[0] == 0

    def test_moves_the_next_message_where_the_schedule_itself_has_changed(self) -> None:
        scene = Schedule(10 * MS, 20 * MS, 30 * MS)
        connections = scene.begin(3)
        scene.model.reschedule(4 * MS)
        assert scene.model.next_ns() == START_NS + 4 * MS
        assert scene.senders_at(4 * MS) == connections[:1]
        assert scene.model.next_ns() == START_NS + 20 * MS
        scene.model.reschedule(25 * MS)
        assert scene.senders_at(24 * MS) == []
        assert scene.senders_at(25 * MS) == connections[1:2]
        assert [intended_ns for intended_ns, _, _ in scene.offsets()] == [4 * MS, 25 * MS]

    def test_waits_without_limit_for_a_message_that_is_never_due(self) -> None:
        scene = Schedule(10 * MS)
        connections = scene.begin(1)
        scene.model.reschedule(NEVER_NS)
        assert scene.model.next_ns() is None
        assert scene.senders_at(10**15) == []
        scene.model.reschedule(7 * MS)
        assert scene.model.next_ns() == START_NS + 7 * MS
        assert scene.senders_at(10**15) == connections

    def test_counts_what_is_overdue_and_ends_with_that(self) -> None:
        scene = Schedule(offsets=itertools.count(0, MS))
        scene.begin(2)
        assert len(scene.senders_at(0)) == 1
        assert scene.model.overdue(0, START_NS + 10 * MS) == 9  # and not the one at its end
        assert scene.model.next_ns() is None
        assert scene.senders_at(100 * MS) == []

    def test_holds_the_load_back_until_the_warm_up_has_ended(self) -> None:
        """However late that is; what is left of the warm-up is sent first."""
        scene = Schedule(10 * MS, 11 * MS, warm_up=WarmUp(10 * MS, (0, 4 * MS, 8 * MS)))
        connections = scene.begin(4)
        assert scene.senders_at(5 * MS) == connections[:2]
        assert scene.model.next_ns() == START_NS + 8 * MS
        scene.model.end_warm_up()
        assert scene.senders_at(30 * MS) == connections[2:]
        scene.answer(connections[0])
        assert scene.senders_at(40 * MS) == connections[:1]
        intended_ns = [intended_ns for intended_ns, _, _ in scene.offsets()]
        assert intended_ns == [0, 4 * MS, 8 * MS, 10 * MS, 11 * MS]

    def test_waits_for_the_end_of_the_warm_up_as_exactly_as_for_a_message(self) -> None:
        scene = Schedule(10 * MS, warm_up=WarmUp(10 * MS, (0,)))
        connections = scene.begin(2)
        assert scene.senders_at(0) == connections[:1]
        assert scene.model.next_ns() == START_NS + 10 * MS
        assert scene.senders_at(10 * MS) == []
        scene.model.end_warm_up()
        assert scene.model.next_ns() == START_NS + 10 * MS
        assert scene.senders_at(10 * MS) == connections[1:]
        assert scene.model.next_ns() is None

    @given(
        st.lists(st.integers(0, 10**9), min_size=1, max_size=40).map(sorted),
        st.lists(st.tuples(st.integers(0, 10**8), st.booleans()), max_size=60),
        st.sampled_from([1, 3]),
    )
    def test_sends_every_message_once_in_order_never_early_whatever_happens(
        self, offsets_ns: list[int], happenings: list[tuple[int, bool]], count: int
    ) -> None:
        scene = Schedule(*offsets_ns)
        connections = scene.begin(count)
        now_ns = 0
        for passed_ns, is_answered in happenings:
            now_ns += passed_ns
            while scene.senders_at(now_ns):
                pass
            scene.answer(*[it for it in connections if it.in_flight][:is_answered])
        sends = scene.offsets()
        assert [intended_ns for intended_ns, _, _ in sends] == offsets_ns[: len(sends)]
        assert all(max(intended_ns, free_ns) <= sent_ns for intended_ns, free_ns, sent_ns in sends)
        left = [offset_ns for offset_ns in offsets_ns[len(sends) :] if offset_ns < now_ns]
        assert scene.model.overdue(0, START_NS + now_ns) == len(left)
