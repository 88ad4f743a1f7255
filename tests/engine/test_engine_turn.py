"""What one turn does: how much, and in which order."""

import time
from collections import Counter

import pytest
from places import full_backlog
from records import distribution
from stepped_engine import MS, SECOND, SteppedEngine, conversation, socket_of, tapping

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


def engine_on(
    backend: str, log: list[str], policy: ConnectionPolicy | None = None
) -> SteppedEngine:
    return SteppedEngine(policy, backends.open_selector(backend), tapping(log.append))


def turn(stepped: SteppedEngine, log: list[str]) -> Counter[str]:
    """Take one turn; return how often it sent and received."""
    log.clear()
    stepped.engine.turn(0)
    return Counter(log)


def all_answer(stepped: SteppedEngine) -> None:
    for peer in stepped.peers:
        peer.sendall(peer.recv(64))


def in_flight(connections: list[Connection]) -> list[Connection]:
    return [connection for connection in connections if connection.in_flight]


@ALL_BACKENDS
def test_a_turn_sends_to_a_bounded_number_at_the_start(backend: str) -> None:
    log: list[str] = []
    with engine_on(backend, log) as stepped:
        connections = stepped.open(MANY)
        stepped.engine.start()
        for expected in (TURN_EVENTS, TURN_EVENTS, MANY - 2 * TURN_EVENTS):
            assert stepped.engine.next_timeout() == 0.0
            assert turn(stepped, log) == {"send": expected}
        assert len(in_flight(connections)) == MANY
        assert stepped.engine.next_timeout() != 0.0


@ALL_BACKENDS
def test_a_turn_reads_a_bounded_number_and_the_next_read_the_others(backend: str) -> None:
    log: list[str] = []
    with engine_on(backend, log) as stepped:
        connections = stepped.open(MANY)
        stepped.start()
        all_answer(stepped)
        turns = 0
        while any(connection.answered == 0 for connection in connections):
            done = turn(stepped, log)
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
    with engine_on(backend, log) as stepped:
        connections = stepped.open(MANY)
        stepped.start()
        all_answer(stepped)
        assert turn(stepped, log)["receive"] == TURN_EVENTS
        assert stepped.engine.next_timeout() == 0.0
        first = [connection for connection in connections if connection.answered]
        for connection in first:  # they are ready again, but the left-over ones are first
            stepped.peer_of(connection).sendall(b"ping")
        stepped.engine.turn(60)
        assert sum(connection.answered for connection in connections) == 2 * TURN_EVENTS
        assert max(connection.answered for connection in connections) == 1


@ALL_BACKENDS
def test_a_turn_that_starts_and_answers_is_bounded_too(backend: str) -> None:
    log: list[str] = []
    with engine_on(backend, log) as stepped:
        connections = stepped.open(MANY)
        stepped.engine.start()
        turn(stepped, log)
        for connection in in_flight(connections):
            stepped.peer_of(connection).sendall(b"ping")
        while any(connection.submitted == 0 for connection in connections):
            done = turn(stepped, log)
            assert done["send"] <= TURN_EVENTS
            assert done["receive"] <= TURN_EVENTS


@ALL_BACKENDS
def test_all_are_read_before_anything_is_sent(backend: str) -> None:
    log: list[str] = []
    with engine_on(backend, log) as stepped:
        stepped.open(100, conversation(pipeline=2))
        stepped.start()
        for lap in range(3):
            for peer in stepped.peers:
                peer.sendall(peer.recv(64)[: 8 - 4 * (lap % 2)])  # all of the window, or a part
            assert turn(stepped, log) == {"receive": 100, "send": 100}
            assert log == ["receive"] * 100 + ["send"] * 100
            stepped.clock.advance(MS)


@ALL_BACKENDS
def test_all_that_one_turn_reads_is_stamped_before_it_sends(backend: str) -> None:
    """Each clock read takes a while, and so does each send; no reply's time contains the latter."""
    log: list[str] = []
    with engine_on(backend, log) as stepped:
        connections = stepped.open(50)
        stepped.start()
        all_answer(stepped)
        log.clear()
        read_at, clock = [], stepped.clock

        def note(call: str) -> None:
            clock.advance(MS if call == "send" else 0)
            read_at.append((call, clock.now_ns))

        for connection in connections:
            socket_of(connection)._note = note
        began_ns = clock.now_ns
        stepped.engine.turn(0)
        assert of(stepped.times().user_space) == distribution(*[0] * 50)
        assert clock.now_ns == began_ns + 50 * MS


@ALL_BACKENDS
def test_what_was_ready_before_the_last_poll_may_have_arrived_before_it(backend: str) -> None:
    """A poll that returned a full portion says nothing about the sockets beyond it."""
    with engine_on(backend, []) as stepped:
        connections = stepped.open(MANY)
        stepped.start()
        stepped.times()
        began_ns = stepped.clock.now_ns  # of the last poll, which finds nothing
        stepped.engine.turn(0)
        all_answer(stepped)
        expected = []
        while any(connection.answered == 0 for connection in connections):
            stepped.clock.advance(MS)
            answered = stepped.engine.pool.totals().answered
            stepped.engine.turn(0)
            count = stepped.engine.pool.totals().answered - answered
            expected += [stepped.clock.now_ns - began_ns] * count
        assert of(stepped.times().read_uncertainty) == distribution(*expected)


def test_a_closed_connection_in_the_left_over_list_is_skipped() -> None:
    with SteppedEngine(selector=backends.open_selector("poll")) as stepped:
        connections = stepped.open(MANY)
        for peer in stepped.peers:
            peer.close()
        stepped.engine.turn(0)
        left = [connection for connection in connections if connection.state is State.READY]
        assert len(left) == MANY - TURN_EVENTS
        for connection in left[::2]:
            stepped.engine.pool.drain_one(connection)
        stepped.turn_until(lambda: stepped.engine.pool.is_finished)
        gone = [connection.state for connection in left]
        assert gone == [State.CLOSED, State.FAILED] * (len(left) // 2)
        assert stepped.failures() == {(Phase.RECEIVE, Cause.CLOSED): MANY - len(left) // 2}


def test_a_connection_that_closed_before_its_first_send_is_skipped() -> None:
    with SteppedEngine() as stepped:
        first, second = stepped.open(2)
        stepped.engine.start()
        stepped.engine.pool.drain_one(first)
        stepped.turn_until(lambda: second.submitted == 1)
        assert first.submitted == 0


@pytest.mark.skipif("epoll" not in backends.available(), reason="it is about epoll")
def test_a_connect_that_does_not_end_holds_up_a_bounded_number() -> None:
    with full_backlog() as endpoint, SteppedEngine(endpoint=endpoint) as stepped:
        connections = stepped.engine.add(conversation(), 200)

        def under_way() -> int:
            return sum(connection.state is State.CONNECTING for connection in connections)

        for begun in range(1, 9):
            stepped.engine.turn(0)
            assert under_way() == min(begun * CONNECTS_PER_TURN, CONNECTS_UNDER_WAY)
        assert stepped.engine.pool.is_opening


def test_a_rate_of_connecting_is_even_from_the_start() -> None:
    with SteppedEngine(ConnectionPolicy(connect_interval_ns=10 * MS)) as stepped:
        connections = stepped.engine.add(conversation(), 10)

        def begun() -> int:
            return sum(connection.state is not State.NEW for connection in connections)

        for number in range(1, 11):
            for _ in range(3):
                stepped.engine.turn(0)
            assert begun() == number
            stepped.clock.advance(10 * MS)


def test_a_turn_waits_no_longer_than_its_next_timer() -> None:
    with SteppedEngine(ConnectionPolicy(io_timeout_ns=20 * MS)) as stepped:
        stepped.open(1)
        stepped.start()
        began_s = time.monotonic()
        stepped.engine.turn(60)
        assert time.monotonic() - began_s < 30


def test_next_timeout_is_none_where_nothing_will_ever_happen() -> None:
    with SteppedEngine() as stepped:
        assert stepped.engine.next_timeout() is None
        stepped.engine.turn(0)
        assert stepped.engine.pool.is_finished


def test_next_timeout_is_the_nearest_of_all() -> None:
    policy = ConnectionPolicy(connect_timeout_ns=3 * SECOND, io_timeout_ns=5 * SECOND)
    with SteppedEngine(policy) as stepped:
        stepped.engine.add(conversation())
        assert stepped.engine.next_timeout() == 0.0
        stepped.engine.turn(0)
        assert stepped.engine.next_timeout() == 3.0
        stepped.turn_until(lambda: stepped.engine.pool.opened == 1)
        assert stepped.engine.next_timeout() == 5.0
        stepped.clock.advance(2 * SECOND)
        assert stepped.engine.next_timeout() == 3.0


def test_an_end_that_is_seen_twice_before_its_turn_to_send_is_one_reply() -> None:
    """While others have yet to begin, an answered one waits behind them, still readable."""
    with SteppedEngine() as stepped:
        connections = stepped.open(MANY, conversation(reply="eof", messages=1))
        stepped.engine.start()
        stepped.engine.turn(0)
        for connection in in_flight(connections):
            peer = stepped.peer_of(connection)
            peer.sendall(peer.recv(64))
            peer.close()
            stepped.peers.remove(peer)
        stepped.turn_until(lambda: all(connection.submitted for connection in connections))
        for peer in stepped.peers:
            peer.sendall(peer.recv(64))
            peer.close()
        stepped.turn_until(lambda: stepped.engine.pool.is_finished)
        assert stepped.failures() == {}
        assert stepped.engine.pool.totals().answered == MANY
