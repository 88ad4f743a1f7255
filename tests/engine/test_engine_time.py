"""Timeouts and back-off, on a clock that only the test moves."""

import contextlib

import pytest
from places import full_backlog
from stepped_engine import MS, SECOND, MakeModel, SteppedEngine, conversation, schedule

from loadgen.engine.connection import Connection
from loadgen.engine.lifecycle import State
from loadgen.engine.load_models import Thinking
from loadgen.engine.timeouts import FIRST_BACK_OFF_NS, LONGEST_BACK_OFF_NS, ConnectionPolicy
from loadgen.net import backends
from loadgen.net.failure import Cause, Phase

POLICY = ConnectionPolicy(connect_timeout_ns=3 * SECOND, io_timeout_ns=5 * SECOND)
RECONNECT = ConnectionPolicy(
    connect_timeout_ns=3 * SECOND, io_timeout_ns=5 * SECOND, reconnect=True
)
NO_REPLY = {(Phase.RECEIVE, Cause.TIMEOUT): 1}


def pass_time(stepped: SteppedEngine, nanoseconds: int) -> None:
    stepped.clock.advance(nanoseconds)
    stepped.engine.turn(0)


def lose(stepped: SteppedEngine, connection: Connection, back_off_ns: int) -> None:
    """Wait for ``connection`` to fail; let its back-off pass, and not a nanosecond less."""
    stepped.turn_until(lambda: connection.state is State.FAILED)
    assert stepped.engine.next_timeout() == back_off_ns / SECOND
    assert not stepped.engine.pool.is_finished
    pass_time(stepped, back_off_ns - 1)
    stepped.engine.turn(0)
    assert connection.state is State.FAILED
    pass_time(stepped, 1)
    stepped.turn_until(lambda: connection.state is not State.FAILED)


@pytest.mark.skipif("epoll" not in backends.available(), reason="full backlogs differ elsewhere")
def test_a_connect_that_does_not_end_is_a_failure_in_time() -> None:
    with full_backlog() as endpoint, SteppedEngine(POLICY, endpoint=endpoint) as stepped:
        [connection] = stepped.engine.add(conversation())
        stepped.engine.turn(0)
        assert connection.state is State.CONNECTING
        pass_time(stepped, 3 * SECOND - 1)
        assert connection.state.value == "connecting"
        pass_time(stepped, 1)
        assert connection.state.value == "failed"
        assert stepped.failures() == {(Phase.CONNECT, Cause.TIMEOUT): 1}
        assert stepped.engine.pool.is_finished
        assert (stepped.engine.pool.opened, stepped.engine.pool.closed) == (0, 0)


def test_a_reply_that_does_not_come_is_a_failure_of_that_connection_alone() -> None:
    with SteppedEngine(POLICY) as stepped:
        silent, other = stepped.open(2)
        stepped.start()
        stepped.clock.advance(5 * SECOND - 1)
        stepped.peer_of(other).sendall(b"ping")
        stepped.turn_until(lambda: other.answered == 1)
        assert silent.state is State.READY
        pass_time(stepped, 1)
        assert (silent.state, other.state) == (State.FAILED, State.READY)
        assert silent.messages.unanswered == 1
        assert stepped.failures() == NO_REPLY
        pass_time(stepped, 5 * SECOND - 2)
        assert other.state.value == "ready"
        pass_time(stepped, 1)
        assert other.state.value == "failed"


def test_a_first_message_that_is_not_answered_is_a_failure() -> None:
    with SteppedEngine(POLICY) as stepped:
        [connection] = stepped.engine.add(conversation(first_message=b"hello"))
        stepped.turn_until(lambda: connection.state is State.GREETING)
        pass_time(stepped, 5 * SECOND)
        assert connection.state is State.FAILED
        assert not stepped.engine.pool.is_opening
        assert stepped.failures() == NO_REPLY


def test_progress_puts_the_timeout_off() -> None:
    with SteppedEngine(POLICY) as stepped:
        [connection] = stepped.open(1, conversation(b"0123456789"))
        stepped.start()
        for byte in range(10):
            pass_time(stepped, 5 * SECOND - 1)
            stepped.accept()
            stepped.peers[0].sendall(b"x")
            stepped.turn_until(lambda byte=byte: connection.bytes_received == byte + 1)  # type: ignore[misc]
        assert connection.answered == 1
        assert stepped.failures() == {}


def test_part_of_a_window_puts_the_timeout_off() -> None:
    with SteppedEngine(POLICY) as stepped:
        [connection] = stepped.open(1, conversation(pipeline=4))
        stepped.start()
        for answered in range(1, 9):
            pass_time(stepped, 5 * SECOND - 1)
            stepped.peers[0].sendall(b"ping")
            stepped.turn_until(lambda answered=answered: connection.answered == answered)  # type: ignore[misc]
        assert stepped.failures() == {}
        pass_time(stepped, 5 * SECOND)
        assert connection.messages.unanswered == 4


def test_a_peer_that_does_not_read_is_a_failure_in_sending() -> None:
    with SteppedEngine(POLICY) as stepped:
        [connection] = stepped.open(1, conversation(bytes(32 << 20)))
        stepped.start()
        assert 0 < connection.bytes_sent < 32 << 20
        while connection.state is State.READY:  # the kernel may still take some
            pass_time(stepped, 5 * SECOND)
        assert stepped.failures() == {(Phase.SEND, Cause.TIMEOUT): 1}


def test_a_peer_that_reads_slowly_is_no_failure() -> None:
    with SteppedEngine(POLICY) as stepped:
        [connection] = stepped.open(1, conversation(bytes(32 << 20), reply="none", messages=1))
        stepped.start()
        received = 0
        while connection.state is State.READY:
            sent_bytes = connection.bytes_sent
            pass_time(stepped, 4 * SECOND)
            while connection.bytes_sent == sent_bytes and connection.state is State.READY:
                received += len(stepped.peers[0].recv(1 << 20))
                stepped.engine.turn(0)
        assert stepped.failures() == {}
        assert connection.answered == 1
        while data := stepped.peers[0].recv(1 << 20):
            received += len(data)
        assert received == 32 << 20


def test_a_connection_that_waits_for_nothing_is_left_alone() -> None:
    with SteppedEngine(POLICY) as stepped:
        stepped.open(2)
        for _ in range(10):
            pass_time(stepped, 7 * SECOND)
        stepped.start()
        assert stepped.engine.pool.totals().up == 2
        assert stepped.failures() == {}


def test_replies_that_are_there_already_are_no_timeouts_however_late_they_are_read() -> None:
    """The process was stopped, or the loop was busy elsewhere: the server did not cause that."""
    with SteppedEngine(POLICY) as stepped:
        connections = stepped.open(300)
        stepped.start()
        for peer in reversed(stepped.peers):
            peer.sendall(peer.recv(64))
        stepped.clock.advance(6 * SECOND)
        stepped.turn_until(lambda: all(c.answered or c.failure for c in connections))
        assert stepped.failures() == {}


# ---- a deadline of the whole reply --------------------------------------------------------

REPLY = ConnectionPolicy(
    connect_timeout_ns=3 * SECOND, io_timeout_ns=5 * SECOND, reply_timeout_ns=8 * SECOND
)
SHORT = ConnectionPolicy(
    connect_timeout_ns=3 * SECOND, io_timeout_ns=5 * SECOND, reply_timeout_ns=2 * SECOND
)
NOT_WHOLE = {(Phase.RECEIVE, Cause.REPLY_TIMEOUT): 1}


def drip(stepped: SteppedEngine, connection: Connection, times: int, every_ns: int) -> None:
    """Let the peer send a byte that often; each is read when it arrives."""
    for _ in range(times):
        pass_time(stepped, every_ns)
        assert connection.state in (State.READY, State.GREETING)
        stepped.answer(connection, b"x")


@pytest.mark.parametrize("policy", [REPLY, SHORT])
def test_a_reply_that_drips_is_a_failure_in_time(policy: ConnectionPolicy) -> None:
    with SteppedEngine(policy) as stepped:
        [connection] = stepped.open(1, conversation(reply="eof"))
        pass_time(stepped, 3 * SECOND)  # with nothing in flight
        stepped.start()
        drip(stepped, connection, 4, policy.reply_timeout_ns // 4 - 1)
        pass_time(stepped, 3)
        assert connection.state is State.READY
        pass_time(stepped, 1)
        assert connection.state.value == "failed"
        assert connection.messages.unanswered == 1
        assert stepped.failures() == NOT_WHOLE


def test_each_reply_has_a_deadline_of_its_own() -> None:
    with SteppedEngine(SHORT) as stepped:
        [connection] = stepped.open(1)
        stepped.start()
        for _ in range(10):
            drip(stepped, connection, 1, SECOND)
            stepped.answer(connection, b"ing")
        assert connection.answered == 10
        drip(stepped, connection, 1, SECOND)
        pass_time(stepped, SECOND - 1)
        assert connection.state is State.READY
        pass_time(stepped, 1)
        assert connection.state.value == "failed"
        assert stepped.failures() == NOT_WHOLE


@pytest.mark.parametrize("model", [None, schedule(*[number * SECOND // 2 for number in range(4)])])
def test_of_several_in_flight_the_oldest_counts(model: MakeModel | None) -> None:
    """In a closed loop two are sent at once, and one for each reply; on a schedule one by one."""
    with SteppedEngine(SHORT, model=model) as stepped:
        talk = conversation(reply=r"delimiter:\n", pipeline=2, scheduled=model is not None)
        [connection] = stepped.open(1, talk)
        stepped.start()
        pass_time(stepped, SECOND // 2)
        pass_time(stepped, SECOND // 2)
        stepped.answer(connection, b"1\n")  # the second is as old, or was sent half a second later
        assert (connection.answered, connection.in_flight) == (1, 2)
        left_ns = SECOND if model is None else 3 * SECOND // 2
        drip(stepped, connection, 1, left_ns - 1)
        pass_time(stepped, 1)
        assert stepped.failures() == NOT_WHOLE
        assert connection.messages.unanswered == 2


def test_a_message_that_is_taken_byte_by_byte_is_a_failure_in_time() -> None:
    with SteppedEngine(SHORT) as stepped:
        [connection] = stepped.open(1, conversation(bytes(32 << 20), reply="none", messages=1))
        stepped.start()
        for _ in range(4):
            sent_bytes = connection.bytes_sent
            stepped.clock.advance(SECOND // 2 - 1)
            while connection.bytes_sent == sent_bytes:
                stepped.peers[0].recv(1 << 20)
                stepped.engine.turn(0)
        assert connection.state is State.READY
        pass_time(stepped, 4)
        while connection.state is State.READY:  # the kernel may still take some
            pass_time(stepped, 1)
        assert stepped.failures() == {(Phase.SEND, Cause.REPLY_TIMEOUT): 1}


def test_a_first_message_has_a_deadline_too() -> None:
    with SteppedEngine(SHORT) as stepped:
        [connection] = stepped.engine.add(conversation(first_message=b"hello"))
        stepped.turn_until(lambda: connection.state is State.GREETING and bool(stepped.peers))
        drip(stepped, connection, 3, SECOND // 2)
        pass_time(stepped, SECOND // 2)
        assert connection.state is State.FAILED
        assert stepped.failures() == NOT_WHOLE


def test_a_pause_of_this_process_puts_the_deadline_off() -> None:
    with SteppedEngine(SHORT) as stepped:
        [connection] = stepped.open(1, conversation(reply="eof"))
        stepped.start()
        drip(stepped, connection, 1, SECOND)
        stepped.clock.pause(SECOND // 2)
        drip(stepped, connection, 1, SECOND // 2)
        pass_time(stepped, SECOND // 2 - 1)
        assert connection.state is State.READY
        pass_time(stepped, 1)
        assert stepped.failures() == NOT_WHOLE


def test_a_pause_in_which_this_process_computes_does_not() -> None:
    """Else a server that keeps it busy would put off its own deadline, again and again."""
    with SteppedEngine(SHORT) as stepped:
        [connection] = stepped.open(1, conversation(reply="eof"))
        stepped.start()
        drip(stepped, connection, 1, SECOND)
        stepped.clock.pause(SECOND // 2)
        stepped.processor.advance(SECOND // 4)
        stepped.engine.turn(0)
        drip(stepped, connection, 1, SECOND // 2)
        pass_time(stepped, SECOND // 4 - 1)
        assert connection.state is State.READY
        pass_time(stepped, 1)
        assert stepped.failures() == NOT_WHOLE
        assert stepped.recorder.pauses.total_ns == SECOND // 2  # a pause it is, all the same


def test_a_reply_that_is_there_already_is_in_time_and_a_part_of_one_is_not() -> None:
    with SteppedEngine(SHORT) as stepped:
        whole, part = stepped.open(2)
        stepped.start()
        stepped.peer_of(whole).sendall(b"ping")
        stepped.peer_of(part).sendall(b"pi")
        stepped.clock.advance(2 * SECOND)
        stepped.engine.pool.handle_due()  # before the sockets are polled
        assert stepped.failures() == {}
        stepped.clock.advance(1)
        stepped.turn_until(lambda: bool(whole.answered))
        stepped.turn_until(lambda: part.state is State.FAILED)
        assert whole.state is State.READY
        assert stepped.failures() == NOT_WHOLE


# ---- opening again ------------------------------------------------------------------------


def test_a_failed_connection_stays_down_unless_asked() -> None:
    with SteppedEngine(POLICY) as stepped:
        stepped.open(1)
        stepped.peers[0].close()
        stepped.turn_until(lambda: stepped.engine.pool.is_finished)
        pass_time(stepped, 60 * SECOND)
        assert stepped.engine.pool.opened == 1


def test_a_failed_connection_comes_up_again_and_goes_on() -> None:
    with SteppedEngine(RECONNECT) as stepped:
        [connection] = stepped.open(1, conversation(messages=3))
        stepped.start()
        stepped.peers[0].sendall(b"ping")
        stepped.turn_until(lambda: connection.submitted == 2)
        stepped.peers[0].close()
        lose(stepped, connection, FIRST_BACK_OFF_NS)
        stepped.turn_until(lambda: len(stepped.peers) == 2 and connection.submitted == 3)
        stepped.peers[1].sendall(b"ping")
        stepped.turn_until(lambda: stepped.engine.pool.is_finished)
        assert (connection.answered, connection.messages.unanswered, connection.failures) == (
            2,
            1,
            1,
        )
        assert connection.connects == stepped.engine.pool.opened == stepped.engine.pool.closed == 2


def test_a_connection_without_messages_left_stays_down() -> None:
    with SteppedEngine(RECONNECT) as stepped:
        [connection] = stepped.open(1, conversation(messages=1))
        stepped.start()
        stepped.peers[0].close()
        stepped.turn_until(lambda: stepped.engine.pool.is_finished)
        assert connection.state is State.FAILED


def test_back_off_doubles_while_the_target_refuses() -> None:
    with SteppedEngine(RECONNECT) as stepped:
        [connection] = stepped.open(1)
        stepped.listener.close()
        stepped.peers[0].close()
        back_off_ns = FIRST_BACK_OFF_NS
        for _ in range(8):
            stepped.turn_until(lambda: connection.state is State.FAILED)
            assert stepped.engine.next_timeout() == back_off_ns / SECOND
            failures = connection.failures
            pass_time(stepped, back_off_ns)
            while connection.failures == failures:
                stepped.engine.turn(0)
            back_off_ns = min(2 * back_off_ns, LONGEST_BACK_OFF_NS)
        assert back_off_ns == LONGEST_BACK_OFF_NS
        stepped.engine.pool.drain()
        assert stepped.engine.pool.is_finished


def test_back_off_doubles_while_the_target_only_accepts_and_closes() -> None:
    with SteppedEngine(RECONNECT) as stepped:
        [connection] = stepped.open(1)
        for back_off_ns in (100 * MS, 200 * MS, 400 * MS, 800 * MS):
            stepped.clock.advance(MS)
            stepped.peers[-1].close()
            lose(stepped, connection, back_off_ns)
            stepped.turn_until(lambda: connection.is_up)
            stepped.accept()


def test_back_off_begins_anew_once_the_server_has_answered() -> None:
    with SteppedEngine(RECONNECT) as stepped:
        [connection] = stepped.open(1)
        stepped.start()
        for _ in range(3):
            stepped.clock.advance(MS)
            stepped.peers[-1].sendall(b"ping")
            stepped.turn_until(lambda: connection.has_received)
            known = len(stepped.peers)
            stepped.peers[-1].close()
            lose(stepped, connection, FIRST_BACK_OFF_NS)
            stepped.turn_until(lambda known=known: connection.is_up and len(stepped.peers) > known)  # type: ignore[misc]


def test_draining_ends_the_wait_to_be_opened_again() -> None:
    with SteppedEngine(RECONNECT) as stepped:
        [connection] = stepped.open(1)
        stepped.peers[0].close()
        stepped.turn_until(lambda: connection.state is State.FAILED)
        assert not stepped.engine.pool.is_finished
        stepped.engine.pool.drain()
        assert stepped.engine.pool.is_finished
        assert stepped.engine.next_timeout() is None
        pass_time(stepped, 60 * SECOND)
        assert connection.connects == 1


def test_one_way_messages_have_a_think_time_in_which_nothing_is_done() -> None:
    policy = ConnectionPolicy(io_timeout_ns=SECOND)
    with SteppedEngine(
        policy, model=lambda clock, _: Thinking(lambda _: 3 * SECOND, clock)
    ) as stepped:
        [connection] = stepped.open(1, conversation(reply="none", messages=2))
        stepped.start()
        assert connection.submitted == 1
        for _ in range(3):  # the socket is writable all the time
            stepped.engine.turn(0)
            assert stepped.engine.next_timeout() == 1  # the next look at time-outs
            pass_time(stepped, SECOND)
        stepped.turn_until(lambda: stepped.engine.pool.is_finished)
        assert (connection.submitted, connection.failures) == (2, 0)


BIG = b"x" * 8_000_000


def deliver(stepped: SteppedEngine, size: int) -> None:
    """Let the first peer read that much."""
    [peer, *_] = stepped.peers
    peer.settimeout(0)
    received = 0
    while received < size:
        stepped.engine.turn(0)
        with contextlib.suppress(BlockingIOError):
            received += len(peer.recv(2**20))


def test_a_one_way_message_sent_in_parts_has_a_think_time_behind_it() -> None:
    with SteppedEngine(model=lambda clock, _: Thinking(lambda _: SECOND, clock)) as stepped:
        [connection] = stepped.open(1, conversation(BIG, reply="none", messages=3))
        stepped.start()
        deliver(stepped, len(BIG))
        for _ in range(3):
            stepped.engine.turn(0)
        assert (connection.submitted, connection.answered) == (1, 1)
        assert stepped.engine.next_timeout() == 1


def test_a_one_way_message_sent_in_parts_leaves_a_schedule_nothing_to_do() -> None:
    talk = conversation(BIG, reply="none", pipeline=4, scheduled=True)
    with SteppedEngine(POLICY, model=schedule(0, 60 * SECOND)) as stepped:
        [connection] = stepped.open(1, talk)
        stepped.start()
        deliver(stepped, len(BIG))
        stepped.engine.turn(0)
        assert (connection.answered, connection.in_flight) == (1, 0)
        assert stepped.selector.select(0) == []
        for _ in range(4):
            pass_time(stepped, 5 * SECOND)
        assert connection.failures == 0


def test_a_reply_at_the_end_of_a_think_time_begins_no_other() -> None:
    drawn: list[int] = []

    def draw(index: int) -> int:
        drawn.append(index)
        return SECOND

    with SteppedEngine(model=lambda clock, _: Thinking(draw, clock)) as stepped:
        [connection] = stepped.open(1, conversation(pipeline=2))
        stepped.start()
        stepped.answer(connection)
        assert (len(drawn), connection.submitted) == (1, 2)
        stepped.clock.advance(SECOND)
        stepped.answer(connection)  # in the turn in which the time is over
        assert (len(drawn), connection.submitted) == (1, 4)
        stepped.answer(connection, b"pingping")
        pass_time(stepped, SECOND - 1)
        assert (len(drawn), connection.submitted) == (2, 4)
        pass_time(stepped, 1)
        assert connection.submitted == 6
