from itertools import pairwise

import pytest
import stepped_engine

from loadgen.engine.connect_pacer import (
    CATCH_UP_NS,
    CONNECTS_PER_TURN,
    CONNECTS_UNDER_WAY,
    ConnectPacer,
)
from loadgen.engine.connection import Connection
from loadgen.engine.conversation import Conversation
from loadgen.engine.timeouts import FIRST_BACK_OFF_NS, LONGEST_BACK_OFF_NS, next_back_off_ns
from loadgen.net.clock import ManualClock
from loadgen.net.protocols import Echo
from loadgen.plan.payloads import PayloadQueue
from loadgen.units import NS_PER_S

MS = 1_000_000
CONVERSATION = Conversation(PayloadQueue((b"x",)), Echo())
START_NS = 7 * NS_PER_S  # no clock's origin means anything


def new_connections(count: int) -> list[Connection]:
    return stepped_engine.new_connections(count, CONVERSATION, ManualClock())


def pacer_with(connections: list[Connection], interval_ns: int = 0) -> ConnectPacer:
    pacer = ConnectPacer(interval_ns)
    pacer.enqueue(connections)
    return pacer


def take(pacer: ConnectPacer, now_ns: int) -> list[int]:
    """Return the connections that may connect at ``now_ns``; every connect succeeds at once."""
    taken = [connection.index for connection in pacer.take(now_ns)]
    for _ in taken:
        pacer.settle()
    return taken


def connect_times(pacer: ConnectPacer, clock: ManualClock, until_ns: int) -> list[int]:
    """Return when each connect began, for an engine that is awake every millisecond."""
    times = []
    while clock.now_ns < until_ns:
        times += [clock.now_ns] * len(take(pacer, clock.now_ns))
        clock.advance(MS)
    return times


class TestWithoutARate:
    def test_all_come_out_in_their_order(self) -> None:
        pacer = pacer_with(new_connections(50))
        taken: list[int] = []
        while pacer.is_busy:
            taken += take(pacer, START_NS)
        assert taken == list(range(50))

    def test_one_turn_begins_a_bounded_number(self) -> None:
        assert len(take(pacer_with(new_connections(1000)), START_NS)) == CONNECTS_PER_TURN

    def test_a_bounded_number_is_under_way(self) -> None:
        pacer = pacer_with(new_connections(1000))
        taken = [len(list(pacer.take(START_NS))) for _ in range(1000)]
        assert sum(taken) == CONNECTS_UNDER_WAY
        assert pacer.next_ns() is None

    def test_each_that_settles_makes_room_for_another(self) -> None:
        pacer = pacer_with(new_connections(1000))
        while list(pacer.take(START_NS)):
            pass
        for _ in range(3):
            pacer.settle()
        assert len(list(pacer.take(START_NS))) == 3

    def test_the_next_is_due_at_once(self) -> None:
        pacer = pacer_with(new_connections(1000))
        take(pacer, START_NS)
        next_ns = pacer.next_ns()
        assert next_ns is not None
        assert next_ns <= START_NS


class TestWithARate:
    def test_connects_are_spaced_evenly(self) -> None:
        pacer = pacer_with(new_connections(100), interval_ns=10 * MS)
        times = connect_times(pacer, ManualClock(START_NS), START_NS + NS_PER_S)
        assert len(times) == 100
        assert {later - earlier for earlier, later in pairwise(times)} == {10 * MS}

    def test_the_first_is_due_at_once_and_alone(self) -> None:
        assert take(pacer_with(new_connections(100), interval_ns=10 * MS), START_NS) == [0]

    def test_several_may_be_due_between_two_turns(self) -> None:
        pacer = pacer_with(new_connections(1000), interval_ns=MS // 4)
        clock = ManualClock(START_NS)
        take(pacer, clock())
        times = connect_times(pacer, clock, START_NS + 100 * MS)
        assert len(times) == pytest.approx(400, abs=4)

    def test_next_is_when_the_next_connect_is_due(self) -> None:
        pacer = pacer_with(new_connections(3), interval_ns=10 * MS)
        take(pacer, START_NS)
        assert pacer.next_ns() == START_NS + 10 * MS
        assert take(pacer, START_NS + 10 * MS - 1) == []
        assert take(pacer, START_NS + 10 * MS) == [1]

    def test_a_late_turn_makes_up_for_it(self) -> None:
        pacer = pacer_with(new_connections(100), interval_ns=10 * MS)
        take(pacer, START_NS)
        assert len(take(pacer, START_NS + 55 * MS)) == 5

    def test_a_very_late_turn_makes_no_burst(self) -> None:
        pacer = pacer_with(new_connections(1000), interval_ns=20 * MS)
        take(pacer, START_NS)
        late_ns = START_NS + 60 * NS_PER_S
        made_good = [len(take(pacer, late_ns)) for _ in range(10)]
        assert sum(made_good) <= CATCH_UP_NS // (20 * MS) + 1

    def test_a_connection_after_idleness_finds_no_burst(self) -> None:
        pacer = pacer_with(new_connections(1), interval_ns=10 * MS)
        take(pacer, START_NS)
        pacer.enqueue(new_connections(50))
        clock = ManualClock(START_NS + 60 * NS_PER_S)
        times = connect_times(pacer, clock, clock.now_ns + NS_PER_S // 4)
        assert {later - earlier for earlier, later in pairwise(times)} == {10 * MS}

    def test_a_connection_before_the_interval_is_over_waits_for_its_end(self) -> None:
        pacer = pacer_with(new_connections(1), interval_ns=10 * MS)
        take(pacer, START_NS)
        pacer.enqueue(new_connections(1))
        assert take(pacer, START_NS + 3 * MS) == []
        assert pacer.next_ns() == START_NS + 10 * MS


class TestWaiting:
    def test_no_connection_waits_to_begin_with(self) -> None:
        pacer = ConnectPacer(0)
        assert not pacer.is_busy
        assert pacer.next_ns() is None
        assert list(pacer.take(START_NS)) == []

    def test_it_is_busy_until_the_last_connect_is_settled(self) -> None:
        pacer = pacer_with(new_connections(1))
        assert pacer.is_busy
        assert len(list(pacer.take(START_NS))) == 1
        assert pacer.is_busy
        pacer.settle()
        assert not pacer.is_busy

    def test_clear_removes_all(self) -> None:
        pacer = pacer_with(new_connections(5))
        pacer.clear()
        assert list(pacer.take(START_NS)) == []
        assert not pacer.is_busy

    def test_remove_removes_one_and_ignores_an_unknown_one(self) -> None:
        connections = new_connections(3)
        pacer = pacer_with(connections)
        pacer.remove(connections[1])
        pacer.remove(connections[1])
        assert take(pacer, START_NS) == [0, 2]


class TestBackOff:
    def test_doubles_with_each_failure_up_to_a_limit(self) -> None:
        (connection,) = new_connections(1)
        waits = []
        for _ in range(10):
            connection.back_off_ns = next_back_off_ns(connection)
            waits.append(connection.back_off_ns)
        assert waits[:3] == [FIRST_BACK_OFF_NS, 2 * FIRST_BACK_OFF_NS, 4 * FIRST_BACK_OFF_NS]
        assert waits[-1] == LONGEST_BACK_OFF_NS
        assert waits == sorted(waits)

    def test_begins_anew_once_the_server_has_sent_something(self) -> None:
        (connection,) = new_connections(1)
        connection.back_off_ns = LONGEST_BACK_OFF_NS
        connection._received_before = -1  # fewer than now
        assert next_back_off_ns(connection) == FIRST_BACK_OFF_NS
