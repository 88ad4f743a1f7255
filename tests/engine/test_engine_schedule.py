"""The engine in an open loop, on a clock that only the test moves: when messages go out."""

import sys

import pytest
from records import distribution
from stepped_engine import (
    MS,
    SECOND,
    START_NS,
    SteppedEngine,
    conversation,
    every,
    schedule,
    tapping,
)

from loadgen.engine.connection import Connection
from loadgen.engine.conversation import Conversation
from loadgen.engine.load_models import SENDS_AT_ONCE
from loadgen.net import backends, pacing
from loadgen.net.backends import TURN_EVENTS
from loadgen.net.clock import ManualClock, middle_ns
from loadgen.results.distribution import Distribution

of = Distribution.of
UNLIMITED = sys.maxsize
ALL_BACKENDS = pytest.mark.parametrize("backend", backends.available())


def talk(*payloads: bytes, **options: object) -> Conversation:
    return conversation(*payloads, scheduled=True, **options)  # type: ignore[arg-type]


def begun(
    stepped: SteppedEngine, count: int, conversation: Conversation | None = None
) -> list[Connection]:
    """Bring up ``count`` connections, and let the schedule begin at `START_NS`."""
    connections = stepped.open(count, conversation or talk())
    stepped.engine.start()
    return connections


def submitted(connections: list[Connection]) -> list[int]:
    return [connection.submitted for connection in connections]


@ALL_BACKENDS
def test_messages_go_out_at_their_times_in_turn(backend: str) -> None:
    model = schedule(10 * MS, 20 * MS, 25 * MS, 30 * MS)
    with SteppedEngine(selector=backends.open_selector(backend), model=model) as stepped:
        connections = begun(stepped, 3)
        stepped.turn_at(10 * MS - 1)
        assert submitted(connections) == [0, 0, 0]
        assert stepped.engine.next_timeout() == 1e-9
        for offset_ns, expected in (
            (10 * MS, [1, 0, 0]),
            (20 * MS - 1, [1, 0, 0]),
            (20 * MS, [1, 1, 0]),
            (25 * MS, [1, 1, 1]),
        ):
            stepped.turn_at(offset_ns)
            assert submitted(connections) == expected
        stepped.answer(connections[1])
        stepped.turn_at(30 * MS)
        assert submitted(connections) == [1, 2, 1]
        times = stepped.times()
        assert of(times.schedule_lag) == of(times.generator_lag) == distribution(0, 0, 0, 0)


def test_nothing_is_due_before_the_start() -> None:
    with SteppedEngine(model=schedule(0)) as stepped:
        [connection] = stepped.open(1, talk())
        stepped.clock.advance(SECOND)
        for _ in range(3):
            stepped.engine.turn(0)
        assert connection.submitted == 0
        stepped.engine.start()
        stepped.engine.turn(0)
        assert connection.submitted == 1
        assert of(stepped.times().schedule_lag) == distribution(0)


def test_a_message_waits_for_a_connection_and_the_waiting_is_in_its_response_time() -> None:
    """One connection; each reply takes longer than the time to the next message."""
    with SteppedEngine(model=schedule(0, 10 * MS, 20 * MS)) as stepped:
        [connection] = begun(stepped, 1)
        stepped.turn_at(0)
        stepped.turn_at(20 * MS)
        assert connection.submitted == 1
        assert stepped.engine.next_timeout() != 0  # the loop must not spin
        for offset_ns in (35 * MS, 40 * MS, 42 * MS):
            stepped.clock.now_ns = START_NS + offset_ns
            stepped.answer(connection)
        times = stepped.times()
        assert of(times.user_space) == distribution(35 * MS, 5 * MS, 2 * MS)
        assert of(times.response) == distribution(35 * MS, 30 * MS, 22 * MS)
        assert of(times.schedule_lag) == of(times.blocked) == distribution(0, 25 * MS, 20 * MS)
        assert of(times.generator_lag) == distribution(0, 0, 0)


def test_a_generator_that_is_late_has_a_lag_of_its_own() -> None:
    with SteppedEngine(model=schedule(10 * MS, 20 * MS)) as stepped:
        connections = begun(stepped, 2)
        stepped.turn_at(50 * MS)
        assert submitted(connections) == [1, 1]
        times = stepped.times()
        assert of(times.schedule_lag) == of(times.generator_lag) == distribution(40 * MS, 30 * MS)
        assert of(times.blocked) == distribution(0, 0)


def test_a_message_may_be_blocked_and_late_on_top() -> None:
    """Two wait for one reply; the second of them for the first to be sent as well.

    That takes so long that its middle says nothing.
    """
    sent_ns = middle_ns(0, 7 * MS)
    clock: list[ManualClock] = []

    def note(call: str) -> None:
        for each in clock:
            each.advance(7 * MS if call == "send" else 0)

    with SteppedEngine(factory=tapping(note), model=schedule(0, 0, 10 * MS, 10 * MS)) as stepped:
        [connection] = begun(stepped, 1, talk(pipeline=2))
        stepped.turn_at(0)
        stepped.turn_at(30 * MS)
        clock.append(stepped.clock)
        stepped.answer(connection, b"pingping")
        times = stepped.times()
        assert of(times.schedule_lag) == distribution(0, 0, 20 * MS + sent_ns, 27 * MS + sent_ns)
        assert of(times.blocked) == distribution(0, 0, 20 * MS, 20 * MS)
        assert of(times.generator_lag) == distribution(0, 0, sent_ns, 7 * MS + sent_ns)


@pytest.mark.parametrize("payloads", [(b"ping",), (b"ping", b"pong")], ids=["steady", "general"])
def test_without_a_limit_messages_go_out_whatever_is_in_flight(payloads: tuple[bytes, ...]) -> None:
    with SteppedEngine(model=every(MS)) as stepped:
        [connection] = begun(stepped, 1, talk(*payloads, pipeline=UNLIMITED))
        for number in range(10):
            stepped.turn_at(number * MS)
            assert connection.in_flight == number + 1
        stepped.answer(connection, b"ping" * 4)
        assert (connection.answered, connection.in_flight) == (4, 6)
        stepped.clock.advance(MS // 2)
        stepped.answer(connection, b"ping" * 6)
        times = stepped.times()
        half = MS // 2
        expected = [(9 - number) * MS for number in range(4)]
        expected += [(9 - number) * MS + half for number in range(4, 10)]
        assert of(times.response) == of(times.user_space) == distribution(*expected)
        assert times.schedule_lag.max_ns == 0


@pytest.mark.parametrize("payloads", [(b"ping",), (b"ping", b"pong")], ids=["steady", "general"])
def test_a_window_lets_so_many_be_in_flight(payloads: tuple[bytes, ...]) -> None:
    with SteppedEngine(model=schedule(0, MS, 2 * MS, 3 * MS)) as stepped:
        [connection] = begun(stepped, 1, talk(*payloads, pipeline=2))
        for offset_ns in (0, MS, 2 * MS, 3 * MS):
            stepped.turn_at(offset_ns)
        assert connection.in_flight == 2
        stepped.turn_at(10 * MS)
        stepped.answer(connection)  # to the first; the third goes out
        assert (connection.submitted, connection.answered) == (3, 1)
        assert connection.bytes_received == 4
        stepped.turn_at(20 * MS)
        stepped.answer(connection, b"pingping")  # to the second and third; the fourth goes out
        assert (connection.submitted, connection.answered) == (4, 3)
        stepped.turn_at(21 * MS)
        stepped.answer(connection)
        times = stepped.times()
        assert of(times.blocked) == distribution(0, 0, 8 * MS, 17 * MS)
        assert of(times.user_space) == distribution(10 * MS, 19 * MS, 10 * MS, MS)
        assert of(times.response) == distribution(10 * MS, 19 * MS, 18 * MS, 18 * MS)


def test_several_payloads_go_out_in_their_order() -> None:
    with SteppedEngine(model=every(MS)) as stepped:
        [connection] = begun(stepped, 1, talk(b"a", b"bc", b"def", messages=5))
        for number, message in enumerate((b"a", b"bc", b"def", b"a", b"bc")):
            stepped.turn_at(number * MS)
            assert stepped.peers[0].recv(64) == message
            stepped.clock.advance(MS // 4)
            stepped.answer(connection, message)
        assert stepped.engine.pool.is_finished
        assert of(stepped.times().response) == distribution(*[MS // 4] * 5)


# ---- many at once -------------------------------------------------------------------------


@ALL_BACKENDS
def test_a_loop_that_is_late_catches_up_in_bounded_portions(backend: str) -> None:
    log: list[str] = []
    selector, model = backends.open_selector(backend), schedule(*range(100))
    with SteppedEngine(None, selector, tapping(log.append), model=model) as stepped:
        connections = begun(stepped, 100)
        stepped.clock.advance(SECOND)
        for turn in range(1, 7):
            stepped.engine.turn(60)
            assert len(log) == SENDS_AT_ONCE * turn
            assert stepped.engine.next_timeout() == 0
        stepped.engine.turn(60)
        assert log == ["send"] * 100
        assert submitted(connections) == [1] * 100


@ALL_BACKENDS
def test_sends_come_first_and_between_reads(backend: str) -> None:
    log: list[str] = []
    selector, model = backends.open_selector(backend), schedule(*[0] * 3, *[MS] * 60)
    with SteppedEngine(None, selector, tapping(log.append), model=model) as stepped:
        connections = begun(stepped, 60)
        stepped.turn_at(0)
        for connection in connections[:3]:
            stepped.peer_of(connection).sendall(b"ping")
        log.clear()
        stepped.clock.advance(MS)
        stepped.engine.turn(0)
        portion = ["send"] * SENDS_AT_ONCE
        last = ["send"] * (60 - 3 * SENDS_AT_ONCE)
        assert log == [*portion, "receive", *portion, "receive", *portion, "receive", *last]


def test_a_turn_that_answers_many_reads_a_bounded_number() -> None:
    log: list[str] = []
    with SteppedEngine(factory=tapping(log.append), model=schedule(*range(300))) as stepped:
        connections = begun(stepped, 300)
        stepped.turn_at(MS)
        for connection in connections:
            stepped.peer_of(connection).sendall(b"ping")
        log.clear()
        stepped.engine.turn(0)
        assert log == ["receive"] * TURN_EVENTS


# ---- the end ------------------------------------------------------------------------------


def test_the_run_ends_with_the_last_message_of_each_connection() -> None:
    with SteppedEngine(model=every(MS)) as stepped:
        connections = begun(stepped, 2, talk(messages=2))
        for number in range(4):
            stepped.turn_at(number * MS)
            stepped.answer(connections[number % 2])
        assert stepped.engine.pool.is_finished
        assert stepped.engine.pool.totals()[:2] == (4, 4)
        assert stepped.times().schedule_lag.count == stepped.recorder.due == 4


def test_a_connection_without_messages_left_leaves_them_to_the_others() -> None:
    with SteppedEngine(model=every(MS)) as stepped:
        connections = begun(stepped, 1, talk(messages=1)) + stepped.open(1, talk(messages=3))
        for number in range(4):
            stepped.turn_at(number * MS)
            for connection in connections:
                if connection.in_flight:
                    stepped.answer(connection)
        assert submitted(connections) == [1, 3]
        assert stepped.engine.pool.is_finished


@ALL_BACKENDS
@pytest.mark.parametrize("pacing", pacing.NAMES)
def test_where_the_schedule_has_ended_a_turn_waits_for_the_sockets_alone(
    backend: str, pacing: str
) -> None:
    selector = backends.open_selector(backend)
    with SteppedEngine(selector=selector, model=schedule(0), pacing=pacing) as stepped:
        [connection] = begun(stepped, 1)
        stepped.engine.turn(0)
        assert connection.submitted == 1
        assert stepped.engine.next_timeout() != 0
        stepped.peers[0].sendall(b"ping")
        stepped.engine.turn(None)
        assert connection.answered == 1


def test_draining_ends_the_schedule_and_waits_for_replies_in_flight() -> None:
    with SteppedEngine(model=every(MS)) as stepped:
        connections = begun(stepped, 3)
        for number in range(2):
            stepped.turn_at(number * MS)
        stepped.engine.pool.drain()
        stepped.turn_at(10 * MS)
        assert submitted(connections) == [1, 1, 0]
        for connection in connections[:2]:
            stepped.answer(connection)
        assert stepped.engine.pool.is_finished
        assert stepped.engine.overdue(0, stepped.clock.now_ns) == 8
        assert stepped.engine.pool.totals()[:2] == (2, 2)
