"""The engine in an open loop: connections that are late, break, or are opened again."""

import contextlib
import random

import pytest
from records import distribution
from stepped_engine import MS, SECOND, START_NS, SteppedEngine, conversation, every, schedule

from loadgen.engine.lifecycle import State
from loadgen.engine.timeouts import FIRST_BACK_OFF_NS, ConnectionPolicy
from loadgen.net.failure import Cause, Phase
from loadgen.results.distribution import Distribution

of = Distribution.of
RECONNECT = ConnectionPolicy(reconnect=True)


# ---- coming up ----------------------------------------------------------------------------


def test_messages_wait_for_the_first_connection_to_come_up() -> None:
    with SteppedEngine(model=schedule(0, MS)) as stepped:
        [connection] = stepped.engine.add(conversation(scheduled=True, pipeline=2))
        stepped.engine.start()
        stepped.clock.advance(30 * MS)
        stepped.turn_until(lambda: connection.submitted == 2)
        times = stepped.times()
        assert of(times.schedule_lag) == of(times.blocked) == distribution(30 * MS, 29 * MS)


def test_the_first_message_is_no_scheduled_one() -> None:
    with SteppedEngine(model=schedule(5 * MS)) as stepped:
        [connection] = stepped.engine.add(conversation(first_message=b"hello", scheduled=True))
        stepped.engine.start()
        stepped.turn_until(lambda: bool(stepped.peers) and connection.state is State.GREETING)
        assert stepped.peers[0].recv(64) == b"hello"
        stepped.turn_at(20 * MS)
        assert connection.submitted == 0
        stepped.peers[0].sendall(b"hello")
        stepped.turn_until(lambda: connection.submitted == 1)
        assert stepped.peers[0].recv(64) == b"ping"
        stepped.turn_at(22 * MS)
        stepped.answer(connection)
        times = stepped.times()
        assert of(times.blocked) == distribution(15 * MS)
        assert of(times.user_space) == distribution(2 * MS)
        assert of(times.response) == distribution(17 * MS)


def test_connections_that_are_added_later_are_used_in_turn() -> None:
    with SteppedEngine(model=every(MS)) as stepped:
        talk = conversation(scheduled=True)
        [first] = stepped.open(1, talk)
        stepped.engine.start()
        stepped.turn_at(0)
        [second] = stepped.open(1, talk)
        stepped.turn_at(MS)
        assert (first.submitted, second.submitted) == (1, 1)


# ---- breaking -----------------------------------------------------------------------------


def test_a_connection_that_breaks_leaves_its_messages_to_the_others() -> None:
    with SteppedEngine(model=every(MS)) as stepped:
        broken, whole = stepped.open(2, conversation(scheduled=True))
        stepped.engine.start()
        stepped.turn_at(0)
        stepped.peer_of(broken).close()
        stepped.turn_until(lambda: broken.state is State.FAILED)
        assert (broken.submitted, broken.messages.unanswered) == (1, 1)
        for number in range(1, 5):
            stepped.turn_at(number * MS)
            stepped.answer(whole)
        assert whole.answered == 4
        assert of(stepped.times().blocked) == distribution(0, 0, 0, 0, 0)


def test_a_free_connection_that_has_gone_is_skipped() -> None:
    with SteppedEngine(model=schedule(10 * MS)) as stepped:
        gone, here = stepped.open(2, conversation(scheduled=True))
        stepped.engine.start()
        stepped.peer_of(gone).close()
        stepped.turn_until(lambda: gone.state is State.FAILED)
        stepped.turn_at(10 * MS)
        assert (gone.submitted, here.submitted) == (0, 1)
        assert stepped.failures() == {(Phase.RECEIVE, Cause.CLOSED): 1}


def test_messages_without_a_connection_left_are_overdue() -> None:
    with SteppedEngine(model=every(MS)) as stepped:
        [connection] = stepped.open(1, conversation(scheduled=True))
        stepped.engine.start()
        stepped.turn_at(0)
        stepped.peers[0].close()
        stepped.turn_until(lambda: stepped.engine.pool.is_finished)
        stepped.turn_at(10 * MS)
        assert stepped.engine.overdue(0, stepped.clock.now_ns) == 9
        assert connection.submitted == stepped.times().schedule_lag.count == 1


def test_messages_wait_for_a_connection_that_is_opened_again() -> None:
    with SteppedEngine(RECONNECT, model=schedule(0, 10 * MS)) as stepped:
        [connection] = stepped.open(1, conversation(scheduled=True))
        stepped.engine.start()
        stepped.turn_at(0)
        stepped.turn_at(4 * MS)
        stepped.peers[0].close()
        stepped.turn_until(lambda: connection.state is State.FAILED)
        stepped.turn_at(4 * MS + FIRST_BACK_OFF_NS)
        stepped.turn_until(lambda: len(stepped.peers) == 2 and connection.submitted == 2)
        stepped.turn_at(106 * MS)
        assert stepped.peers[1].recv(64) == b"ping"
        stepped.answer(connection)
        times = stepped.times()
        assert of(times.blocked) == of(times.schedule_lag) == distribution(0, 94 * MS)
        assert of(times.response) == distribution(96 * MS)
        assert (connection.answered, connection.messages.unanswered) == (1, 1)


def test_a_reply_that_ends_the_connection_opens_the_next_for_the_next_message() -> None:
    with SteppedEngine(model=schedule(0, 0, 5 * MS)) as stepped:
        [connection] = stepped.open(1, conversation(reply="eof", messages=3, scheduled=True))
        stepped.engine.start()
        for number in range(3):
            stepped.turn_until(
                lambda number=number: len(stepped.peers) > number < connection.submitted  # type: ignore[misc]
            )
            stepped.clock.advance(3 * MS)
            peer = stepped.peers[number]
            assert peer.recv(64) == b"ping"
            peer.sendall(b"all of it")
            peer.close()
        stepped.turn_until(lambda: stepped.engine.pool.is_finished)
        times = stepped.times()
        assert of(times.user_space) == distribution(3 * MS, 3 * MS, 3 * MS)
        assert of(times.blocked) == distribution(0, 3 * MS, MS)
        assert of(times.response) == distribution(3 * MS, 6 * MS, 4 * MS)
        assert stepped.failures() == {}


# ---- one way, and more than the kernel takes ----------------------------------------------


@pytest.mark.parametrize("payloads", [(b"ping",), (b"ping", b"pong")], ids=["steady", "general"])
def test_one_way_messages_go_out_at_their_times(payloads: tuple[bytes, ...]) -> None:
    talk = conversation(*payloads, reply="none", messages=3, scheduled=True)
    with SteppedEngine(model=every(MS)) as stepped:
        [connection] = stepped.open(1, talk)
        stepped.engine.start()
        for number in range(3):
            stepped.turn_at((number + 1) * MS - 1)
            assert connection.submitted == connection.answered == number + 1
            assert stepped.peers[0].recv(64) == payloads[number % len(payloads)]
        assert stepped.engine.pool.is_finished
        times = stepped.times()
        assert of(times.schedule_lag) == of(times.generator_lag) == distribution(*[MS - 1] * 3)
        assert (times.user_space.count, times.response.count) == (0, 0)


@pytest.mark.parametrize("reply", ["none", "echo"])
@pytest.mark.parametrize("count", [1, 2], ids=["steady", "general"])
def test_a_message_waits_until_the_kernel_has_taken_the_one_before(reply: str, count: int) -> None:
    chance = random.Random(3)
    payloads = [chance.randbytes(8 << 20) for _ in range(count)]
    talk = conversation(*payloads, reply=reply, pipeline=4, messages=2, scheduled=True)
    with SteppedEngine(model=schedule(0, 0)) as stepped:
        [connection] = stepped.open(1, talk)
        stepped.engine.start()
        stepped.turn_at(0)
        stepped.turn_at(20 * MS)
        assert 0 < connection.bytes_sent < 8 << 20
        assert connection.submitted == 1
        stepped.peers[0].setblocking(False)
        stream = bytearray()

        def has_come(size_bytes: int) -> bool:
            with contextlib.suppress(BlockingIOError):
                stream.extend(stepped.peers[0].recv(1 << 20))
            return len(stream) >= size_bytes

        stepped.turn_until(lambda: has_come(16 << 20))
        assert stream == payloads[0] + payloads[-1]
        assert connection.submitted == 2
        assert of(stepped.times().blocked) == distribution(0, 20 * MS)


# ---- whatever happens ---------------------------------------------------------------------


@pytest.mark.parametrize("payloads", [(b"ping",), (b"ping", b"pong")], ids=["steady", "general"])
def test_every_message_is_accounted_for_whatever_is_answered_when(
    payloads: tuple[bytes, ...],
) -> None:
    chance = random.Random(11)
    offsets_ns = sorted(chance.randrange(200 * MS) for _ in range(300))
    with SteppedEngine(model=schedule(*offsets_ns)) as stepped:
        connections = stepped.open(4, conversation(*payloads, pipeline=3, scheduled=True))
        stepped.engine.start()
        while stepped.engine.pool.totals().answered < 300:
            stepped.turn_at(stepped.clock.now_ns - START_NS + chance.randrange(3 * MS))
            for connection in connections:
                if answered := chance.randint(0, connection.in_flight):
                    stepped.answer(connection, b"ping" * answered)
            assert stepped.clock.now_ns < START_NS + 5 * SECOND
        times = stepped.times()
        assert times.response.count == times.schedule_lag.count == stepped.recorder.due == 300
        # What a message waits to be sent and what it then takes make its response time.
        assert times.response.sum_ns == times.schedule_lag.sum_ns + times.user_space.sum_ns
        assert times.schedule_lag.sum_ns == times.blocked.sum_ns + times.generator_lag.sum_ns
        assert min(times.blocked.max_ns, times.generator_lag.max_ns) > 0
