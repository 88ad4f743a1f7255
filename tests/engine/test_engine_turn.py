"""What one turn does: how much, and in which order."""

import time
from collections import Counter

import pytest
from places import full_backlog
from records import distribution
from stage import MS, SECOND, Stage, conversation, tapping

from loadgen.engine.connect_pacer import CONNECTS_PER_TURN, CONNECTS_UNDER_WAY
from loadgen.engine.connection import Connection
from loadgen.engine.lifecycle import State
from loadgen.engine.timeouts import ConnectionPolicy
from loadgen.net import backends
from loadgen.net.backends import TURN_EVENTS
from loadgen.net.failure import Cause, Phase
from loadgen.results.distribution import Distribution

MANY = 300
of = Distribution.of
ALL_BACKENDS = pytest.mark.parametrize("backend", backends.available())


def stage_on(backend: str, log: list[str], policy: ConnectionPolicy | None = None) -> Stage:
    return Stage(policy, backends.open_selector(backend), tapping(log.append))


def turn(stage: Stage, log: list[str]) -> Counter[str]:
    """Take one turn; return how often it sent and received."""
    log.clear()
    stage.engine.turn(0)
    return Counter(log)


def all_answer(stage: Stage) -> None:
    for peer in stage.peers:
        peer.sendall(peer.recv(64))


def in_flight(connections: list[Connection]) -> list[Connection]:
    return [connection for connection in connections if connection.in_flight]


@ALL_BACKENDS
def test_a_turn_sends_to_a_bounded_number_at_the_start(backend: str) -> None:
    log: list[str] = []
    with stage_on(backend, log) as stage:
        connections = stage.open(MANY)
        stage.engine.start()
        for expected in (TURN_EVENTS, TURN_EVENTS, MANY - 2 * TURN_EVENTS):
            assert stage.engine.next_timeout() == 0.0
            assert turn(stage, log) == {"send": expected}
        assert len(in_flight(connections)) == MANY
        assert stage.engine.next_timeout() != 0.0


@ALL_BACKENDS
def test_a_turn_reads_a_bounded_number_and_reaches_everyone(backend: str) -> None:
    log: list[str] = []
    with stage_on(backend, log) as stage:
        connections = stage.open(MANY)
        stage.start()
        all_answer(stage)
        turns = 0
        while any(connection.answered == 0 for connection in connections):
            done = turn(stage, log)
            assert done["receive"] <= TURN_EVENTS
            assert done["send"] <= TURN_EVENTS
            turns += 1
            assert turns < 100
        assert [connection.answered for connection in connections] == [1] * MANY
        assert turns == 3


@pytest.mark.parametrize(
    "backend", [name for name in backends.available() if name in {"poll", "select"}]
)
def test_what_is_left_over_comes_first_and_does_not_wait(backend: str) -> None:
    log: list[str] = []
    with stage_on(backend, log) as stage:
        connections = stage.open(MANY)
        stage.start()
        all_answer(stage)
        assert turn(stage, log)["receive"] == TURN_EVENTS
        assert stage.engine.next_timeout() == 0.0
        first = [connection for connection in connections if connection.answered]
        for connection in first:  # they are ready again, and yet it is not their turn
            stage.peer_of(connection).sendall(b"ping")
        stage.engine.turn(60)
        assert sum(connection.answered for connection in connections) == 2 * TURN_EVENTS
        assert max(connection.answered for connection in connections) == 1


@ALL_BACKENDS
def test_a_turn_that_starts_and_answers_is_bounded_too(backend: str) -> None:
    log: list[str] = []
    with stage_on(backend, log) as stage:
        connections = stage.open(MANY)
        stage.engine.start()
        turn(stage, log)
        for connection in in_flight(connections):
            stage.peer_of(connection).sendall(b"ping")
        while any(connection.submitted == 0 for connection in connections):
            done = turn(stage, log)
            assert done["send"] <= TURN_EVENTS
            assert done["receive"] <= TURN_EVENTS


@ALL_BACKENDS
def test_everyone_is_read_before_anything_is_sent(backend: str) -> None:
    log: list[str] = []
    with stage_on(backend, log) as stage:
        stage.open(100, conversation(pipeline=2))
        stage.start()
        for lap in range(3):
            for peer in stage.peers:
                peer.sendall(peer.recv(64)[: 8 - 4 * (lap % 2)])  # all of the window, or a part
            assert turn(stage, log) == {"receive": 100, "send": 100}
            assert log == ["receive"] * 100 + ["send"] * 100
            stage.clock.advance(MS)


@ALL_BACKENDS
def test_all_that_one_turn_reads_is_stamped_before_it_sends(backend: str) -> None:
    """Each look at the clock takes a while; so does each send, and no reply pays for that."""
    log: list[str] = []
    with stage_on(backend, log) as stage:
        connections = stage.open(50)
        stage.start()
        all_answer(stage)
        log.clear()
        read_at, clock = [], stage.clock

        def note(call: str) -> None:
            clock.advance(MS if call == "send" else 0)
            read_at.append((call, clock.now_ns))

        for connection in connections:
            connection.socket._note = note
        began_ns = clock.now_ns
        stage.engine.turn(0)
        assert of(stage.times().user_space) == distribution(*[0] * 50)
        assert clock.now_ns == began_ns + 50 * MS


@ALL_BACKENDS
def test_what_was_ready_before_the_last_look_may_have_come_before_it(backend: str) -> None:
    """Only a look that did not name all it might have tells nothing of the others."""
    with stage_on(backend, []) as stage:
        connections = stage.open(MANY)
        stage.start()
        stage.times()
        began_ns = stage.clock.now_ns  # of the last look, which finds nothing
        stage.engine.turn(0)
        all_answer(stage)
        expected = []
        while any(connection.answered == 0 for connection in connections):
            stage.clock.advance(MS)
            answered = stage.engine.totals().answered
            stage.engine.turn(0)
            count = stage.engine.totals().answered - answered
            expected += [stage.clock.now_ns - began_ns] * count
        assert of(stage.times().read_uncertainty) == distribution(*expected)


def test_a_closed_connection_in_the_left_over_list_is_skipped() -> None:
    with Stage(selector=backends.open_selector("poll")) as stage:
        connections = stage.open(MANY)
        for peer in stage.peers:
            peer.close()
        stage.engine.turn(0)
        left = [connection for connection in connections if connection.state is State.READY]
        assert len(left) == MANY - TURN_EVENTS
        for connection in left[::2]:
            stage.engine.drain_one(connection)
        stage.turn_until(lambda: stage.engine.is_finished)
        gone = [connection.state for connection in left]
        assert gone == [State.CLOSED, State.FAILED] * (len(left) // 2)
        assert stage.failures() == {(Phase.RECEIVE, Cause.CLOSED): MANY - len(left) // 2}


def test_a_connection_that_closed_before_its_first_send_is_skipped() -> None:
    with Stage() as stage:
        first, second = stage.open(2)
        stage.engine.start()
        stage.engine.drain_one(first)
        stage.turn_until(lambda: second.submitted == 1)
        assert first.submitted == 0


@pytest.mark.skipif("epoll" not in backends.available(), reason="it is about epoll")
def test_a_connect_that_does_not_end_holds_up_a_bounded_number() -> None:
    with full_backlog() as endpoint, Stage(endpoint=endpoint) as stage:
        connections = stage.engine.add(conversation(), 200)

        def under_way() -> int:
            return sum(connection.state is State.CONNECTING for connection in connections)

        for begun in range(1, 9):
            stage.engine.turn(0)
            assert under_way() == min(begun * CONNECTS_PER_TURN, CONNECTS_UNDER_WAY)
        assert stage.engine.is_opening


def test_a_rate_of_connecting_is_even_from_the_start() -> None:
    with Stage(ConnectionPolicy(connect_interval_ns=10 * MS)) as stage:
        connections = stage.engine.add(conversation(), 10)

        def begun() -> int:
            return sum(connection.state is not State.NEW for connection in connections)

        for number in range(1, 11):
            for _ in range(3):
                stage.engine.turn(0)
            assert begun() == number
            stage.clock.advance(10 * MS)


def test_a_turn_waits_no_longer_than_its_next_timer() -> None:
    with Stage(ConnectionPolicy(io_timeout_ns=20 * MS)) as stage:
        stage.open(1)
        stage.start()
        began_s = time.monotonic()
        stage.engine.turn(60)
        assert time.monotonic() - began_s < 30


def test_next_timeout_is_none_where_nothing_will_ever_happen() -> None:
    with Stage() as stage:
        assert stage.engine.next_timeout() is None
        stage.engine.turn(0)
        assert stage.engine.is_finished


def test_next_timeout_is_the_nearest_of_all() -> None:
    policy = ConnectionPolicy(connect_timeout_ns=3 * SECOND, io_timeout_ns=5 * SECOND)
    with Stage(policy) as stage:
        stage.engine.add(conversation())
        assert stage.engine.next_timeout() == 0.0
        stage.engine.turn(0)
        assert stage.engine.next_timeout() == 3.0
        stage.turn_until(lambda: stage.engine.opened == 1)
        assert stage.engine.next_timeout() == 5.0
        stage.clock.advance(2 * SECOND)
        assert stage.engine.next_timeout() == 3.0


def test_an_end_that_is_seen_twice_before_its_turn_to_send_is_one_reply() -> None:
    """While others have yet to begin, whoever was answered waits behind them, still readable."""
    with Stage() as stage:
        connections = stage.open(MANY, conversation(reply="eof", messages=1))
        stage.engine.start()
        stage.engine.turn(0)
        for connection in in_flight(connections):
            peer = stage.peer_of(connection)
            peer.sendall(peer.recv(64))
            peer.close()
            stage.peers.remove(peer)
        stage.turn_until(lambda: all(connection.submitted for connection in connections))
        for peer in stage.peers:
            peer.sendall(peer.recv(64))
            peer.close()
        stage.turn_until(lambda: stage.engine.is_finished)
        assert stage.failures() == {}
        assert stage.engine.totals().answered == MANY
