"""How a connection comes up: its greeting, in one step and in several."""

import socket
from functools import partial

import pytest
from outcomes import Rejecting
from stepped_engine import (
    DEADLINE_S,
    READ_AND_WRITE,
    SECOND,
    SteppedEngine,
    Wire,
    conversation,
    greeted_by,
)

from loadgen.engine.connection import Connection
from loadgen.engine.conversation import ONE_BY_ONE, Conversation, GreetingStep
from loadgen.engine.lifecycle import Event, State
from loadgen.engine.timeouts import ConnectionPolicy
from loadgen.net import protocols
from loadgen.net.failure import Cause, ConnectionFailed, Phase
from loadgen.plan.payloads import PayloadQueue

LINE = protocols.parse(r"delimiter:\r\n")
SMALL_BUFFER_BYTES = 4096
BIG_BYTES = 4 * 1024 * 1024


def take(wire: Wire, size: int) -> bytes:
    """Receive ``size`` bytes, letting the greeting send on meanwhile."""
    received = b""
    wire.peer.settimeout(0)
    while len(received) < size:
        try:
            received += wire.peer.recv(65536)
        except BlockingIOError:
            wire.receive()
    wire.peer.settimeout(DEADLINE_S)
    return received


def phase_of(wire: Wire) -> Phase:
    return wire.connection.channel.waits_in


def test_it_is_sent_once_and_is_no_message() -> None:
    with Wire(conversation(first_message=b"hello", messages=1)) as wire:
        greeting = wire.connection.channel
        assert wire.connection.state is State.GREETING
        assert not wire.connection.is_up
        assert wire.peer.recv(64) == b"hello"
        assert greeting.waits_in is Phase.RECEIVE
        wire.reply(b"hel")
        assert wire.connection.state is State.GREETING
        wire.reply(b"lo")
        assert wire.connection.is_up
        assert (wire.connection.submitted, wire.connection.answered) == (0, 0)
        wire.begin()
        assert wire.peer.recv(64) == b"ping"
        assert wire.reply(b"ping")
        assert wire.replies == [(1, 1000, 1000)]
        assert (wire.connection.submitted, wire.connection.answered) == (1, 1)
        assert wire.connection.bytes_sent == wire.connection.bytes_received == 9


def test_it_may_be_longer_than_the_kernel_takes() -> None:
    big = b"h" * BIG_BYTES
    with Wire(conversation(first_message=big), SMALL_BUFFER_BYTES) as wire:
        assert (wire.connection.channel.interest, phase_of(wire)) == (READ_AND_WRITE, Phase.SEND)
        assert take(wire, BIG_BYTES) == big
        assert phase_of(wire) is Phase.RECEIVE


def test_a_one_way_greeting_has_no_reply() -> None:
    with Wire(conversation(first_message=b"hello", reply="none")) as wire:
        assert wire.connection.is_up
        assert wire.peer.recv(64) == b"hello"


def test_a_connection_lost_in_it_has_lost_no_message() -> None:
    with Wire(conversation(first_message=b"hello", messages=2)) as wire:
        wire.peer.close()
        with pytest.raises(ConnectionFailed):
            wire.receive()
        wire.check_balance()
        wire.connection.close(Event.FAIL)
        assert wire.channel.unanswered == 0
        assert wire.channel.has_more
        wire.check_balance()


def test_steps_follow_one_another_and_have_framings_of_their_own() -> None:
    steps = (
        GreetingStep(b"", LINE),  # the server speaks first
        GreetingStep(b"USER bob\r\n", LINE),
        GreetingStep(b"\x00\x01", protocols.parse("length:u8")),
    )
    with Wire(greeted_by(*steps)) as wire:
        wire.reply(b"220 ")
        assert wire.connection.bytes_sent == 0
        wire.reply(b"ready\r\n")
        assert wire.peer.recv(64) == b"USER bob\r\n"
        wire.reply(b"331 ok\r\n")
        assert wire.peer.recv(64) == b"\x00\x01"
        wire.reply(b"\x03abc")
        assert wire.connection.is_up
        wire.begin()
        assert wire.peer.recv(64) == b"ping"
        assert wire.reply(b"ping")
        assert (wire.connection.submitted, wire.connection.answered) == (1, 1)
        assert (wire.connection.bytes_sent, wire.connection.bytes_received) == (16, 27)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (b"one\r\ntwo\r\n", (Phase.RECEIVE, Cause.UNEXPECTED_BYTES)),
        (b"one\r\nt", (Phase.RECEIVE, Cause.UNEXPECTED_BYTES)),
        (b"-ERR no\r\n", (Phase.CONNECT, Cause.REJECTED)),
        (b"one bye\r\n", (Phase.RECEIVE, Cause.CLOSED)),
        (b"", (Phase.RECEIVE, Cause.CLOSED)),
    ],
    ids=["two", "more", "rejected", "ends", "closed"],
)
def test_what_is_no_answer_to_it_fails_the_connection(
    answer: bytes, failure: tuple[Phase, Cause]
) -> None:
    talk = greeted_by(GreetingStep(b"AUTH\r\n", Rejecting()))
    with SteppedEngine(ConnectionPolicy(reconnect=True)) as stepped:
        [connection] = stepped.engine.add(talk)
        stepped.engine.start()
        stepped.turn_until(lambda: len(stepped.peers) == 1 and connection.bytes_sent == 6)
        stepped.peers[0].sendall(answer)
        stepped.peers[0].shutdown(socket.SHUT_WR)
        stepped.turn_until(lambda: connection.state is State.FAILED)
        assert stepped.failures() == {failure: 1}
        assert (connection.submitted, connection.messages.unanswered) == (0, 0)
        assert (connection.bytes_sent, connection.bytes_received) == (6, len(answer))
        stepped.clock.advance(connection.back_off_ns)
        stepped.turn_until(lambda: len(stepped.peers) == 2)
        stepped.peers[1].sendall(b"+OK\r\nyes\r\n")
        stepped.turn_until(lambda: connection.submitted == 1)
        stepped.peers[1].sendall(b"ping")
        stepped.turn_until(lambda: connection.answered == 1)


class TestBytesBehindIt:
    """What comes in one read with the reply belongs to what follows."""

    def test_go_to_the_next_step(self) -> None:
        steps = (GreetingStep(b"", LINE), GreetingStep(b"HI\r\n", LINE))
        with Wire(greeted_by(*steps)) as wire:
            wire.reply(b"220 ready\r\n250 ")
            assert wire.peer.recv(64) == b"HI\r\n"
            wire.reply(b"ok\r\n")
            assert wire.connection.is_up
            assert (wire.connection.bytes_sent, wire.connection.bytes_received) == (4, 19)

    def test_may_be_all_that_the_next_steps_wait_for(self) -> None:
        steps = (GreetingStep(b"", LINE), GreetingStep(b"HI\r\n", LINE), GreetingStep(b"", LINE))
        with Wire(greeted_by(*steps)) as wire:
            wire.reply(b"220 ready\r\n250 ok\r\nthere\r\n")
            assert wire.connection.is_up
            assert wire.peer.recv(64) == b"HI\r\n"

    def test_are_kept_over_a_step_that_has_no_reply(self) -> None:
        note = GreetingStep(b"NOTE", protocols.NoReply())
        with Wire(greeted_by(GreetingStep(b"", LINE), note, GreetingStep(b"", LINE))) as wire:
            wire.reply(b"220 ready\r\n250 ok\r\n")
            assert wire.connection.is_up
            assert wire.peer.recv(64) == b"NOTE"

    def test_go_to_the_messages_in_the_end(self) -> None:
        with Wire(lines_after(GreetingStep(b"HI\r\n", LINE))) as wire:
            wire.reply(b"250 ok\r\n+new")
            assert wire.connection.is_up
            wire.begin()
            assert not wire.reply(b"s\r\n")
            assert wire.reply(b"OK\r\n")
            assert (wire.connection.bytes_sent, wire.connection.bytes_received) == (9, 19)

    def test_may_end_the_connection_again(self) -> None:
        with SteppedEngine(ConnectionPolicy(reconnect=True)) as stepped:
            [connection] = stepped.engine.add(lines_after(GreetingStep(b"HI\r\n", LINE)))
            stepped.turn_until(lambda: bool(stepped.peers))
            stepped.peers[0].sendall(b"250 ok\r\n+not now bye\r\n")
            stepped.turn_until(lambda: connection.state is State.FAILED)
            assert stepped.failures() == {(Phase.RECEIVE, Cause.CLOSED): 1}


def lines_after(*steps: GreetingStep) -> Conversation:
    return Conversation(PayloadQueue((b"one\r\n",)), Rejecting(), ONE_BY_ONE, steps)


def test_answers_to_the_server_are_sent_before_the_messages() -> None:
    """One of them comes with the last reply, in whose read it stands first."""
    with Wire(greeted_by(GreetingStep(b"HI\r\n", Rejecting()))) as wire:
        wire.reply(b"PING\r\nPI")
        wire.reply(b"NG\r\nOK\r\n")
        wire.begin()
        assert wire.peer.recv(64) == b"HI\r\nPONG\r\nPONG\r\nping"


class TestItsMemory:
    """The peer is not trusted: what it sends before it answers is not kept without end."""

    NEWS = b"+" + b"n" * 60_000 + b"\r\n"
    LIMIT_BYTES = 100_000

    def test_does_not_grow_with_what_is_no_answer(self) -> None:
        step = GreetingStep(b"HI\r\n", Rejecting(), self.LIMIT_BYTES)
        with Wire(lines_after(step)) as wire:
            for _ in range(3):
                wire.reply(self.NEWS)
            wire.reply(b"PING\r\n")
            wire.reply(b"PING\r\nOK\r\n+more ")
            wire.begin()
            assert wire.peer.recv(64) == b"HI\r\nPONG\r\nPONG\r\none\r\n"
            assert wire.reply(b"news\r\ntwo\r\n")

    def test_is_limited_where_something_is_always_cut(self) -> None:
        step = GreetingStep(b"HI\r\n", Rejecting(), self.LIMIT_BYTES)
        with Wire(greeted_by(step)) as wire:
            wire.reply(self.NEWS[:-2])
            with pytest.raises(ConnectionFailed, match=Cause.REPLY_TOO_LONG.text):
                wire.reply(self.NEWS[-2:] + self.NEWS[:-2])

    def test_holds_an_answer_as_long_as_it_is_announced(self) -> None:
        step = GreetingStep(bytes(150_000), protocols.Echo(), self.LIMIT_BYTES)
        with Wire(greeted_by(step)) as wire:
            assert take(wire, 150_000) == bytes(150_000)
            for _ in range(3):
                wire.reply(bytes(50_000))
            assert wire.connection.is_up


def test_each_step_has_the_time_of_a_reply() -> None:
    steps = [GreetingStep(b"a", LINE), GreetingStep(b"b", LINE), GreetingStep(b"c", LINE)]
    with SteppedEngine(ConnectionPolicy(reply_timeout_ns=SECOND)) as stepped:
        [connection] = stepped.engine.add(greeted_by(*steps))
        stepped.turn_until(lambda: len(stepped.peers) == 1 and connection.bytes_sent == 1)
        for number in (1, 2):
            stepped.clock.advance(SECOND - 1)
            stepped.peers[0].sendall(b"ok\r\n")
            stepped.turn_until(partial(has_sent, connection, number + 1))
        stepped.clock.advance(SECOND)
        stepped.turn_until(lambda: connection.state is State.FAILED)
        assert stepped.failures() == {(Phase.RECEIVE, Cause.REPLY_TIMEOUT): 1}


@pytest.mark.parametrize(
    ("framing", "drop"), [(LINE, b"x"), (Rejecting(), b"+news\r\n")], ids=["bytes", "pushes"]
)
def test_each_step_has_the_time_for_progress_whatever_comes_meanwhile(
    framing: protocols.Framing, drop: bytes
) -> None:
    steps = [GreetingStep(b"a", framing), GreetingStep(b"b", framing)]
    with SteppedEngine(ConnectionPolicy(io_timeout_ns=5 * SECOND)) as stepped:
        [connection] = stepped.engine.add(greeted_by(*steps))
        stepped.turn_until(lambda: len(stepped.peers) == 1 and connection.bytes_sent == 1)
        stepped.clock.advance(5 * SECOND - 1)
        stepped.answer(connection, b"ok\r\n")
        stepped.turn_until(partial(has_sent, connection, 2))
        for _ in range(4):
            stepped.clock.advance(SECOND)
            stepped.answer(connection, drop)
        stepped.clock.advance(SECOND - 1)
        stepped.answer(connection, drop)
        assert connection.state is State.GREETING
        stepped.clock.advance(1)
        stepped.turn_until(lambda: connection.state is State.FAILED)
        assert stepped.failures() == {(Phase.RECEIVE, Cause.TIMEOUT): 1}


def test_it_may_take_no_longer_to_be_sent() -> None:
    """A peer that takes it slowly is one that gives no answer in time."""
    hello = conversation(first_message=bytes(32 << 20))
    with SteppedEngine(ConnectionPolicy(io_timeout_ns=SECOND)) as stepped:
        [connection] = stepped.engine.add(hello)
        stepped.turn_until(lambda: len(stepped.peers) == 1 and connection.bytes_sent > 0)
        for _ in range(2):
            sent_bytes = connection.bytes_sent
            stepped.clock.advance(SECOND // 2 - 1)
            while connection.bytes_sent == sent_bytes:
                stepped.peers[0].recv(1 << 20)
                stepped.engine.turn(0)
        assert connection.state is State.GREETING
        stepped.clock.advance(2)
        stepped.turn_until(lambda: connection.state is State.FAILED)
        assert stepped.failures() == {(Phase.SEND, Cause.TIMEOUT): 1}


def has_sent(connection: Connection, size: int) -> bool:
    return connection.bytes_sent == size


def test_a_one_way_step_is_followed_by_others() -> None:
    steps = (GreetingStep(b"hello", protocols.NoReply()), GreetingStep(b"who?", LINE))
    with Wire(greeted_by(*steps)) as wire:
        assert wire.peer.recv(64) == b"hellowho?"
        wire.reply(b"me\r\n")
        assert wire.connection.is_up


def test_the_server_may_speak_first() -> None:
    with SteppedEngine() as stepped:
        [connection] = stepped.engine.add(greeted_by(GreetingStep(b"", LINE)))
        stepped.turn_until(lambda: bool(stepped.peers))
        assert connection.bytes_sent == 0
        stepped.peers[0].sendall(b"220 ready\r\n")
        stepped.turn_until(lambda: connection.is_up)
        stepped.start()
        stepped.answer(connection)
        assert connection.answered == 1
        assert stepped.failures() == {}
