"""Timeouts and back-off, on a clock that only the test moves."""

import pytest
from places import full_backlog
from stage import MS, SECOND, MakeModel, Stage, conversation, schedule

from loadgen.engine.connection import Connection
from loadgen.engine.lifecycle import State
from loadgen.engine.timeouts import FIRST_BACK_OFF_NS, LONGEST_BACK_OFF_NS, ConnectionPolicy
from loadgen.net import backends
from loadgen.net.failure import Cause, Phase

POLICY = ConnectionPolicy(connect_timeout_ns=3 * SECOND, io_timeout_ns=5 * SECOND)
RECONNECT = ConnectionPolicy(
    connect_timeout_ns=3 * SECOND, io_timeout_ns=5 * SECOND, reconnect=True
)
NO_REPLY = {(Phase.RECEIVE, Cause.TIMEOUT): 1}


def pass_time(stage: Stage, nanoseconds: int) -> None:
    stage.clock.advance(nanoseconds)
    stage.engine.turn(0)


def lose(stage: Stage, connection: Connection, back_off_ns: int) -> None:
    """Wait for ``connection`` to fail; let its back-off pass, and not a nanosecond less."""
    stage.turn_until(lambda: connection.state is State.FAILED)
    assert stage.engine.next_timeout() == back_off_ns / SECOND
    assert not stage.engine.is_finished
    pass_time(stage, back_off_ns - 1)
    stage.engine.turn(0)
    assert connection.state is State.FAILED
    pass_time(stage, 1)
    stage.turn_until(lambda: connection.state is not State.FAILED)


@pytest.mark.skipif("epoll" not in backends.available(), reason="full backlogs differ elsewhere")
def test_a_connect_that_does_not_end_is_a_failure_in_time() -> None:
    with full_backlog() as endpoint, Stage(POLICY, endpoint=endpoint) as stage:
        [connection] = stage.engine.add(conversation())
        stage.engine.turn(0)
        assert connection.state is State.CONNECTING
        pass_time(stage, 3 * SECOND - 1)
        assert connection.state.value == "connecting"
        pass_time(stage, 1)
        assert connection.state.value == "failed"
        assert stage.failures() == {(Phase.CONNECT, Cause.TIMEOUT): 1}
        assert stage.engine.is_finished
        assert (stage.engine.opened, stage.engine.closed) == (0, 0)


def test_a_reply_that_does_not_come_is_a_failure_of_that_connection_alone() -> None:
    with Stage(POLICY) as stage:
        silent, other = stage.open(2)
        stage.start()
        stage.clock.advance(5 * SECOND - 1)
        stage.peer_of(other).sendall(b"ping")
        stage.turn_until(lambda: other.answered == 1)
        assert silent.state is State.READY
        pass_time(stage, 1)
        assert (silent.state, other.state) == (State.FAILED, State.READY)
        assert silent.unanswered == 1
        assert stage.failures() == NO_REPLY
        pass_time(stage, 5 * SECOND - 2)
        assert other.state.value == "ready"
        pass_time(stage, 1)
        assert other.state.value == "failed"


def test_a_first_message_that_is_not_answered_is_a_failure() -> None:
    with Stage(POLICY) as stage:
        [connection] = stage.engine.add(conversation(first_message=b"hello"))
        stage.turn_until(lambda: connection.state is State.GREETING)
        pass_time(stage, 5 * SECOND)
        assert connection.state is State.FAILED
        assert not stage.engine.is_opening
        assert stage.failures() == NO_REPLY


def test_progress_puts_the_timeout_off() -> None:
    with Stage(POLICY) as stage:
        [connection] = stage.open(1, conversation(b"0123456789"))
        stage.start()
        for byte in range(10):
            pass_time(stage, 5 * SECOND - 1)
            stage.accept()
            stage.peers[0].sendall(b"x")
            stage.turn_until(lambda byte=byte: connection.bytes_received == byte + 1)  # type: ignore[misc]
        assert connection.answered == 1
        assert stage.failures() == {}


def test_part_of_a_window_puts_the_timeout_off() -> None:
    with Stage(POLICY) as stage:
        [connection] = stage.open(1, conversation(pipeline=4))
        stage.start()
        for answered in range(1, 9):
            pass_time(stage, 5 * SECOND - 1)
            stage.peers[0].sendall(b"ping")
            stage.turn_until(lambda answered=answered: connection.answered == answered)  # type: ignore[misc]
        assert stage.failures() == {}
        pass_time(stage, 5 * SECOND)
        assert connection.unanswered == 4


def test_a_peer_that_does_not_read_is_a_failure_in_sending() -> None:
    with Stage(POLICY) as stage:
        [connection] = stage.open(1, conversation(bytes(32 << 20)))
        stage.start()
        assert 0 < connection.bytes_sent < 32 << 20
        while connection.state is State.READY:  # the kernel may still take some
            pass_time(stage, 5 * SECOND)
        assert stage.failures() == {(Phase.SEND, Cause.TIMEOUT): 1}


def test_a_peer_that_reads_slowly_is_no_failure() -> None:
    with Stage(POLICY) as stage:
        [connection] = stage.open(1, conversation(bytes(32 << 20), reply="none", messages=1))
        stage.start()
        received = 0
        while connection.state is State.READY:
            sent_bytes = connection.bytes_sent
            pass_time(stage, 4 * SECOND)
            while connection.bytes_sent == sent_bytes and connection.state is State.READY:
                received += len(stage.peers[0].recv(1 << 20))
                stage.engine.turn(0)
        assert stage.failures() == {}
        assert connection.answered == 1
        while data := stage.peers[0].recv(1 << 20):
            received += len(data)
        assert received == 32 << 20


def test_a_connection_that_waits_for_nothing_is_left_alone() -> None:
    with Stage(POLICY) as stage:
        stage.open(2)
        for _ in range(10):
            pass_time(stage, 7 * SECOND)
        stage.start()
        assert stage.engine.totals().up == 2
        assert stage.failures() == {}


def test_replies_that_are_there_already_are_no_timeouts_however_late_they_are_read() -> None:
    """The process was stopped, or the loop was busy elsewhere: that is not the server's doing."""
    with Stage(POLICY) as stage:
        connections = stage.open(300)
        stage.start()
        for peer in reversed(stage.peers):
            peer.sendall(peer.recv(64))
        stage.clock.advance(6 * SECOND)
        stage.turn_until(lambda: all(c.answered or c.failure for c in connections))
        assert stage.failures() == {}


# ---- a deadline of the whole reply --------------------------------------------------------

REPLY = ConnectionPolicy(
    connect_timeout_ns=3 * SECOND, io_timeout_ns=5 * SECOND, reply_timeout_ns=8 * SECOND
)
SHORT = ConnectionPolicy(
    connect_timeout_ns=3 * SECOND, io_timeout_ns=5 * SECOND, reply_timeout_ns=2 * SECOND
)
NOT_WHOLE = {(Phase.RECEIVE, Cause.REPLY_TIMEOUT): 1}


def drip(stage: Stage, connection: Connection, times: int, every_ns: int) -> None:
    """Let the peer send a byte that often; each is read when it comes."""
    for _ in range(times):
        pass_time(stage, every_ns)
        assert connection.state in (State.READY, State.GREETING)
        stage.answer(connection, b"x")


@pytest.mark.parametrize("policy", [REPLY, SHORT])
def test_a_reply_that_drips_is_a_failure_in_time(policy: ConnectionPolicy) -> None:
    with Stage(policy) as stage:
        [connection] = stage.open(1, conversation(reply="eof"))
        pass_time(stage, 3 * SECOND)  # with nothing in flight
        stage.start()
        drip(stage, connection, 4, policy.reply_timeout_ns // 4 - 1)
        pass_time(stage, 3)
        assert connection.state is State.READY
        pass_time(stage, 1)
        assert connection.state.value == "failed"
        assert connection.unanswered == 1
        assert stage.failures() == NOT_WHOLE


def test_each_reply_has_a_deadline_of_its_own() -> None:
    with Stage(SHORT) as stage:
        [connection] = stage.open(1)
        stage.start()
        for _ in range(10):
            drip(stage, connection, 1, SECOND)
            stage.answer(connection, b"ing")
        assert connection.answered == 10
        drip(stage, connection, 1, SECOND)
        pass_time(stage, SECOND - 1)
        assert connection.state is State.READY
        pass_time(stage, 1)
        assert connection.state.value == "failed"
        assert stage.failures() == NOT_WHOLE


@pytest.mark.parametrize("model", [None, schedule(*[number * SECOND // 2 for number in range(4)])])
def test_of_several_in_flight_the_oldest_counts(model: MakeModel | None) -> None:
    """In a closed loop two are sent at once, and one for each reply; on a schedule one by one."""
    with Stage(SHORT, model=model) as stage:
        talk = conversation(reply=r"delimiter:\n", pipeline=2, scheduled=model is not None)
        [connection] = stage.open(1, talk)
        stage.start()
        pass_time(stage, SECOND // 2)
        pass_time(stage, SECOND // 2)
        stage.answer(connection, b"1\n")  # the second is as old, or was sent half a second later
        assert (connection.answered, connection.in_flight) == (1, 2)
        left_ns = SECOND if model is None else 3 * SECOND // 2
        drip(stage, connection, 1, left_ns - 1)
        pass_time(stage, 1)
        assert stage.failures() == NOT_WHOLE
        assert connection.unanswered == 2


def test_a_message_that_is_taken_byte_by_byte_is_a_failure_in_time() -> None:
    with Stage(SHORT) as stage:
        [connection] = stage.open(1, conversation(bytes(32 << 20), reply="none", messages=1))
        stage.start()
        for _ in range(4):
            sent_bytes = connection.bytes_sent
            stage.clock.advance(SECOND // 2 - 1)
            while connection.bytes_sent == sent_bytes:
                stage.peers[0].recv(1 << 20)
                stage.engine.turn(0)
        assert connection.state is State.READY
        pass_time(stage, 4)
        while connection.state is State.READY:  # the kernel may still take some
            pass_time(stage, 1)
        assert stage.failures() == {(Phase.SEND, Cause.REPLY_TIMEOUT): 1}


def test_a_first_message_has_a_deadline_too() -> None:
    with Stage(SHORT) as stage:
        [connection] = stage.engine.add(conversation(first_message=b"hello"))
        stage.turn_until(lambda: connection.state is State.GREETING and bool(stage.peers))
        drip(stage, connection, 3, SECOND // 2)
        pass_time(stage, SECOND // 2)
        assert connection.state is State.FAILED
        assert stage.failures() == NOT_WHOLE


def test_a_pause_of_this_process_puts_the_deadline_off() -> None:
    with Stage(SHORT) as stage:
        [connection] = stage.open(1, conversation(reply="eof"))
        stage.start()
        drip(stage, connection, 1, SECOND)
        now_ns = stage.clock()
        stage.recorder.pauses.add(now_ns - SECOND // 2, now_ns)
        drip(stage, connection, 1, SECOND)
        pass_time(stage, SECOND // 2 - 1)
        assert connection.state is State.READY
        pass_time(stage, 1)
        assert stage.failures() == NOT_WHOLE


def test_a_reply_that_is_there_already_is_in_time_and_a_part_of_one_is_not() -> None:
    with Stage(SHORT) as stage:
        whole, part = stage.open(2)
        stage.start()
        stage.peer_of(whole).sendall(b"ping")
        stage.peer_of(part).sendall(b"pi")
        stage.clock.advance(2 * SECOND)
        stage.engine._keep_time()  # before the sockets are looked at
        assert stage.failures() == {}
        stage.clock.advance(1)
        stage.turn_until(lambda: bool(whole.answered))
        stage.turn_until(lambda: part.state is State.FAILED)
        assert whole.state is State.READY
        assert stage.failures() == NOT_WHOLE


# ---- opening again ------------------------------------------------------------------------


def test_a_failed_connection_stays_down_unless_asked() -> None:
    with Stage(POLICY) as stage:
        stage.open(1)
        stage.peers[0].close()
        stage.turn_until(lambda: stage.engine.is_finished)
        pass_time(stage, 60 * SECOND)
        assert stage.engine.opened == 1


def test_a_failed_connection_comes_up_again_and_goes_on() -> None:
    with Stage(RECONNECT) as stage:
        [connection] = stage.open(1, conversation(messages=3))
        stage.start()
        stage.peers[0].sendall(b"ping")
        stage.turn_until(lambda: connection.submitted == 2)
        stage.peers[0].close()
        lose(stage, connection, FIRST_BACK_OFF_NS)
        stage.turn_until(lambda: len(stage.peers) == 2 and connection.submitted == 3)
        stage.peers[1].sendall(b"ping")
        stage.turn_until(lambda: stage.engine.is_finished)
        assert (connection.answered, connection.unanswered, connection.failures) == (2, 1, 1)
        assert connection.connects == stage.engine.opened == stage.engine.closed == 2


def test_a_connection_without_messages_left_stays_down() -> None:
    with Stage(RECONNECT) as stage:
        [connection] = stage.open(1, conversation(messages=1))
        stage.start()
        stage.peers[0].close()
        stage.turn_until(lambda: stage.engine.is_finished)
        assert connection.state is State.FAILED


def test_back_off_doubles_while_the_target_refuses() -> None:
    with Stage(RECONNECT) as stage:
        [connection] = stage.open(1)
        stage.listener.close()
        stage.peers[0].close()
        back_off_ns = FIRST_BACK_OFF_NS
        for _ in range(8):
            stage.turn_until(lambda: connection.state is State.FAILED)
            assert stage.engine.next_timeout() == back_off_ns / SECOND
            failures = connection.failures
            pass_time(stage, back_off_ns)
            while connection.failures == failures:
                stage.engine.turn(0)
            back_off_ns = min(2 * back_off_ns, LONGEST_BACK_OFF_NS)
        assert back_off_ns == LONGEST_BACK_OFF_NS
        stage.engine.drain()
        assert stage.engine.is_finished


def test_back_off_doubles_while_the_target_only_accepts_and_closes() -> None:
    with Stage(RECONNECT) as stage:
        [connection] = stage.open(1)
        for back_off_ns in (100 * MS, 200 * MS, 400 * MS, 800 * MS):
            stage.clock.advance(MS)
            stage.peers[-1].close()
            lose(stage, connection, back_off_ns)
            stage.turn_until(lambda: connection.is_up)
            stage.accept()


def test_back_off_begins_anew_once_the_server_has_answered() -> None:
    with Stage(RECONNECT) as stage:
        [connection] = stage.open(1)
        stage.start()
        for _ in range(3):
            stage.clock.advance(MS)
            stage.peers[-1].sendall(b"ping")
            stage.turn_until(lambda: connection.was_heard)
            known = len(stage.peers)
            stage.peers[-1].close()
            lose(stage, connection, FIRST_BACK_OFF_NS)
            stage.turn_until(lambda known=known: connection.is_up and len(stage.peers) > known)  # type: ignore[misc]


def test_draining_calls_those_off_that_wait_to_be_opened_again() -> None:
    with Stage(RECONNECT) as stage:
        [connection] = stage.open(1)
        stage.peers[0].close()
        stage.turn_until(lambda: connection.state is State.FAILED)
        assert not stage.engine.is_finished
        stage.engine.drain()
        assert stage.engine.is_finished
        assert stage.engine.next_timeout() is None
        pass_time(stage, 60 * SECOND)
        assert connection.connects == 1
