"""Connections that the caller of the engine opens, sends on, and cuts, and whose end it is told."""

import socket

import pytest
from stepped_engine import MS, MakeModel, SteppedEngine, conversation, every, socket_of

from loadgen.engine.connection import Connection
from loadgen.engine.conversation import ONE_BY_ONE, Conversation
from loadgen.engine.lifecycle import State
from loadgen.engine.load_models import OnDemand
from loadgen.engine.timeouts import FIRST_BACK_OFF_NS, ConnectionPolicy
from loadgen.net.failure import (
    Cause,
    ConnectionFailed,
    Failure,
    Phase,
)
from loadgen.net.protocols import Echo

RECONNECT = ConnectionPolicy(reconnect=True)
BIG = b"x" * 3_000_000

Ended = tuple[int, Failure | None, int]


def noting_ends(stepped: SteppedEngine) -> list[Ended]:
    """Return what `when_ended` is called with from now on."""
    heard: list[Ended] = []

    def hear(connection: Connection, failure: Failure | None, lost: int) -> None:
        assert not connection.state.is_live
        heard.append((connection.index, failure, lost))

    stepped.engine.pool.when_ended = hear
    return heard


def narrow(connection: Connection) -> None:
    """Let the kernel accept little of what ``connection`` sends at a time."""
    socket_of(connection).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)


class TestCut:
    def test_ends_a_connection_now_and_counts_what_is_in_flight(self) -> None:
        with SteppedEngine() as stepped:
            one, other = stepped.open(2, conversation(pipeline=3))
            stepped.start()
            stepped.engine.pool.cut(one)
            assert (one.state, one.messages.unanswered) == (State.CLOSED, 3)
            assert stepped.engine.pool.cut_off == 3
            assert stepped.peer_of(other).recv(64) == b"ping" * 3
            stepped.answer(other, b"ping" * 3)
            assert other.answered == 3
            assert stepped.failures() == {}

    def test_twice_is_once(self) -> None:
        with SteppedEngine() as stepped:
            [connection] = stepped.open(1)
            stepped.start()
            heard = noting_ends(stepped)
            stepped.engine.pool.cut(connection)
            stepped.engine.pool.cut(connection)
            assert heard == [(0, None, 0)]
            assert (stepped.engine.pool.cut_off, stepped.engine.pool.closed) == (1, 1)

    def test_of_a_connection_that_drains_is_final(self) -> None:
        with SteppedEngine() as stepped:
            [connection] = stepped.open(1, conversation(pipeline=2))
            stepped.start()
            stepped.engine.pool.drain_one(connection)
            assert (connection.state, stepped.engine.pool.cut_off) == (State.DRAINING, 0)
            stepped.engine.pool.cut(connection)
            assert (connection.state, stepped.engine.pool.cut_off) == (State.CLOSED, 2)

    def test_of_an_idle_connection_cuts_nothing_off(self) -> None:
        with SteppedEngine() as stepped:
            [connection] = stepped.open(1)
            stepped.engine.pool.cut(connection)
            assert (connection.state, stepped.engine.pool.cut_off) == (State.CLOSED, 0)
            assert stepped.engine.pool.is_finished

    def test_of_a_greeting_cuts_no_message_off(self) -> None:
        with SteppedEngine() as stepped:
            [connection] = stepped.engine.add(conversation(first_message=b"hello"))
            stepped.turn_until(lambda: connection.state is State.GREETING)
            stepped.engine.pool.cut(connection)
            assert (connection.state, stepped.engine.pool.cut_off) == (State.CLOSED, 0)

    def test_of_a_connect_under_way_ends_it(self) -> None:
        with SteppedEngine() as stepped:
            [connection] = stepped.engine.add(conversation())
            stepped.engine.turn(0)
            stepped.engine.pool.cut(connection)
            assert connection.state is State.CLOSED
            assert stepped.engine.pool.is_finished
            assert not stepped.engine.pool.is_opening

    def test_of_one_that_has_not_begun_to_connect_leaves_nothing(self) -> None:
        with SteppedEngine() as stepped:
            [connection] = stepped.engine.add(conversation())
            stepped.engine.pool.cut(connection)
            assert stepped.engine.pool.is_finished
            assert not stepped.engine.pool.is_opening
            assert stepped.engine.pool.opened == 0

    def test_of_one_that_waits_to_be_opened_again_keeps_it_down(self) -> None:
        with SteppedEngine(RECONNECT) as stepped:
            [connection] = stepped.open(1)
            stepped.start()
            stepped.peer_of(connection).close()
            stepped.turn_until(lambda: connection.state is State.FAILED)
            stepped.engine.pool.cut(connection)
            assert stepped.engine.pool.is_finished
            stepped.turn_at(10 * FIRST_BACK_OFF_NS)
            assert (connection.state, stepped.engine.pool.opened) == (State.FAILED, 1)
            assert stepped.engine.pool.cut_off == 0  # it was lost, with the connection

    def test_of_a_message_that_is_half_sent_cuts_it_off(self) -> None:
        with SteppedEngine() as stepped:
            [connection] = stepped.open(1, conversation(BIG))
            narrow(connection)
            stepped.engine.start()
            stepped.turn_until(lambda: connection.submitted == 1)
            assert 0 < connection.bytes_sent < len(BIG)
            stepped.engine.pool.cut(connection)
            assert (connection.state, stepped.engine.pool.cut_off) == (State.CLOSED, 1)

    def test_is_what_closing_the_engine_does_to_each(self) -> None:
        with SteppedEngine() as stepped:
            stepped.open(3, conversation(pipeline=2))
            stepped.start()
            heard = noting_ends(stepped)
            stepped.engine.close()
            assert stepped.engine.pool.cut_off == 6
            assert sorted(heard) == [(0, None, 0), (1, None, 0), (2, None, 0)]


class TestWhenEnded:
    def test_is_called_for_a_break_with_what_was_lost(self) -> None:
        with SteppedEngine() as stepped:
            one, _ = stepped.open(2, conversation(pipeline=3))
            stepped.start()
            heard = noting_ends(stepped)
            peer = stepped.peer_of(one)
            assert peer.recv(64) == b"ping" * 3
            stepped.answer(one)
            peer.close()
            stepped.turn_until(lambda: bool(heard))
            [(index, failure, lost)] = heard
            assert (index, lost) == (one.index, 3)
            assert failure == one.failure
            assert failure is not None
            assert failure.phase in {Phase.SEND, Phase.RECEIVE}

    def test_is_called_for_a_connect_that_failed(self) -> None:
        with SteppedEngine() as stepped:
            heard = noting_ends(stepped)
            stepped.listener.close()
            stepped.engine.add(conversation())
            stepped.turn_until(lambda: bool(heard))
            assert heard == [(0, Failure(Phase.CONNECT, Cause.REFUSED), 0)]

    def test_is_called_for_a_timeout(self) -> None:
        with SteppedEngine(ConnectionPolicy(io_timeout_ns=50 * MS)) as stepped:
            stepped.open(1, conversation(pipeline=2))
            stepped.start()
            heard = noting_ends(stepped)
            stepped.clock.advance(50 * MS)
            stepped.turn_until(lambda: bool(heard))
            assert heard == [(0, Failure(Phase.RECEIVE, Cause.TIMEOUT), 2)]

    def test_is_called_for_each_socket_of_a_connection(self) -> None:
        with SteppedEngine(RECONNECT) as stepped:
            [connection] = stepped.open(1)
            stepped.start()
            heard = noting_ends(stepped)
            for lives in range(1, 4):
                stepped.peer_of(connection).close()
                stepped.turn_until(lambda: len(heard) == lives)  # noqa: B023
                stepped.clock.advance(20 * FIRST_BACK_OFF_NS)
                stepped.turn_until(lambda: connection.is_up)
                stepped.turn_until(lambda: connection.in_flight == 1)
            assert [lost for _, _, lost in heard] == [1, 1, 1]

    def test_is_called_for_a_drain_once_the_last_reply_has_arrived(self) -> None:
        with SteppedEngine() as stepped:
            busy, idle = stepped.open(2)
            heard = noting_ends(stepped)
            stepped.engine.pool.drain_one(idle)
            assert heard == [(idle.index, None, 0)]
            stepped.start()
            stepped.engine.pool.drain_one(busy)
            assert len(heard) == 1
            stepped.answer(busy)
            stepped.turn_until(lambda: len(heard) == 2)
            assert heard[1] == (busy.index, None, 0)

    def test_is_called_for_a_reply_that_ends_the_connection(self) -> None:
        with SteppedEngine() as stepped:
            [connection] = stepped.open(1, conversation(reply="eof"))
            stepped.start()
            heard = noting_ends(stepped)
            peer = stepped.peer_of(connection)
            assert peer.recv(64) == b"ping"
            peer.sendall(b"a page")
            peer.close()
            stepped.turn_until(lambda: bool(heard))
            assert heard == [(0, None, 0)]
            assert connection.answered == 1

    def test_is_not_called_for_a_connection_that_never_had_a_socket(self) -> None:
        with SteppedEngine() as stepped:
            heard = noting_ends(stepped)
            [connection] = stepped.engine.add(conversation())
            stepped.engine.pool.drain_one(connection)
            assert heard == []


class OnRequest:
    """An engine that sends a message when the test says so, and the owner of a connection."""

    def __init__(self) -> None:
        self.free: list[int] = []
        self.stepped = SteppedEngine(RECONNECT, model=lambda *_: OnDemand(lambda _: self))
        self.stepped.engine.start()

    def when_free(self, index: int) -> None:
        self.free.append(index)

    def open(self, talk: Conversation | None = None) -> Connection:
        [connection] = self.stepped.open(1, talk)
        return connection


class TestSendNow:
    def test_sends_one_message_each_time(self) -> None:
        scene = OnRequest()
        with scene.stepped as stepped:
            connection = scene.open(conversation(b"one", b"two"))
            stepped.turn_at(MS)
            assert connection.submitted == 0
            for message in (b"one", b"two", b"one"):
                assert connection.messages.is_free
                stepped.engine.send_now(connection.messages)
                assert not connection.messages.is_free
                assert stepped.peer_of(connection).recv(64) == message
                stepped.answer(connection, message)
            assert (connection.submitted, connection.answered) == (3, 3)

    def test_tells_the_owner_of_a_connection_that_came_up_or_was_answered(self) -> None:
        scene = OnRequest()
        with scene.stepped as stepped:
            connection = scene.open()
            assert scene.free == [0]
            stepped.engine.send_now(connection.messages)
            stepped.turn_at(MS)
            assert scene.free == [0]
            stepped.answer(connection)
            assert scene.free == [0, 0]

    def test_tells_the_owner_of_a_connection_that_came_up_again(self) -> None:
        scene = OnRequest()
        with scene.stepped as stepped:
            connection = scene.open()
            heard = noting_ends(stepped)
            stepped.engine.send_now(connection.messages)
            stepped.peer_of(connection).close()
            stepped.turn_until(lambda: bool(heard))
            assert [lost for _, _, lost in heard] == [1]
            assert not connection.messages.is_free
            stepped.clock.advance(FIRST_BACK_OFF_NS)
            stepped.turn_until(lambda: len(scene.free) == 2)
            stepped.engine.send_now(connection.messages)
            assert stepped.peer_of(connection).recv(64) == b"ping"

    def test_waits_for_room_where_the_kernel_does_not_take_all(self) -> None:
        scene = OnRequest()
        with scene.stepped as stepped:
            connection = scene.open(conversation(BIG, reply="none"))
            narrow(connection)
            stepped.engine.send_now(connection.messages)
            assert 0 < connection.bytes_sent < len(BIG)
            assert not connection.messages.is_free
            peer, received = stepped.peer_of(connection), 0
            while received < len(BIG):
                received += len(peer.recv(65536))
                stepped.engine.turn(0)
            assert scene.free == [0, 0]
            assert connection.answered == 1

    def test_on_a_broken_connection_is_an_event_and_no_exception(self) -> None:
        scene = OnRequest()
        with scene.stepped as stepped:
            connection = scene.open()
            heard = noting_ends(stepped)
            stepped.peer_of(connection).close()
            socket_of(connection).shutdown(socket.SHUT_WR)  # so that the next send fails at once
            stepped.engine.send_now(connection.messages)
            assert heard == [(0, Failure(Phase.SEND, Cause.RESET), 1)]
            assert connection.state is State.FAILED

    def test_has_no_time_at_which_anything_is_due(self) -> None:
        scene = OnRequest()
        with scene.stepped as stepped:
            connection = scene.open()
            assert stepped.engine.next_timeout() is not None
            stepped.engine.send_now(connection.messages)
            assert stepped.engine.next_timeout() is not None
            assert stepped.engine.overdue(0, stepped.clock() + MS) == 0


class Failing:
    """Payloads of which a limited number can be made."""

    items: tuple[bytes, ...] = ()
    repeats_bytes = False

    def __init__(self, at_first: int) -> None:
        self._left = at_first

    def batch(self, position: int, count: int) -> tuple[bytes, tuple[int, ...]]:
        self._left -= count
        if self._left < 0:
            raise ConnectionFailed(Failure(Phase.SEND, Cause.USER_CODE))
        return b"ping" * count, (4,) * count


def failing(at_first: int) -> Conversation:
    return Conversation(Failing(at_first), Echo(), ONE_BY_ONE)


class TestMessagesThatCannotBeMade:
    @pytest.mark.parametrize("model", [None, every(MS)])
    def test_break_the_connection_and_are_not_sent(self, model: MakeModel | None) -> None:
        with SteppedEngine(model=model) as stepped:
            [connection] = stepped.open(1, failing(2))
            heard = noting_ends(stepped)
            stepped.engine.start()
            for number in range(1, 3):
                stepped.turn_at(number * MS)
                stepped.turn_until(lambda: connection.submitted == number)  # noqa: B023
                stepped.answer(connection)
                stepped.turn_at(number * MS)
            stepped.turn_at(3 * MS)
            assert heard == [(0, Failure(Phase.SEND, Cause.USER_CODE), 0)]
            assert stepped.failures() == {(Phase.SEND, Cause.USER_CODE): 1}
            assert (connection.submitted, connection.answered, connection.messages.unanswered) == (
                2,
                2,
                0,
            )

    def test_have_no_schedule_lag(self) -> None:
        with SteppedEngine(model=every(MS)) as stepped:
            [connection] = stepped.open(1, failing(0))
            stepped.engine.start()
            stepped.turn_at(0)
            assert connection.state is State.FAILED
            stepped.recorder.flush()
            assert stepped.times().schedule_lag.count == connection.submitted == 0
            assert stepped.recorder.due == 0

    def test_do_not_stop_the_others(self) -> None:
        with SteppedEngine() as stepped:
            [broken] = stepped.open(1, failing(1))
            [whole] = stepped.open(1)
            stepped.start()
            stepped.answer(broken)
            stepped.turn_until(lambda: broken.state is State.FAILED)
            stepped.answer(whole)
            assert (whole.submitted, whole.answered) == (2, 1)
