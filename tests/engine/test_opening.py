"""How a connection comes up: its greeting, in one step and in several."""

import pytest
from outcomes import Rejecting
from stepped_engine import (
    DEADLINE_S,
    READ_AND_WRITE,
    SteppedEngine,
    Wire,
    conversation,
    greeted_by,
)

from loadgen.engine.conversation import GreetingStep
from loadgen.engine.lifecycle import Event, State
from loadgen.net import protocols
from loadgen.net.failure import Cause, ConnectionFailed, Phase

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
    ],
    ids=["two", "more", "rejected"],
)
def test_what_is_no_answer_to_it_fails_the_connection(
    answer: bytes, failure: tuple[Phase, Cause]
) -> None:
    with Wire(greeted_by(GreetingStep(b"AUTH\r\n", Rejecting()))) as wire:
        with pytest.raises(ConnectionFailed) as failed:
            wire.reply(answer)
        assert failed.value.failure == failure


def test_the_server_may_speak_first() -> None:
    with SteppedEngine() as stepped:
        [connection] = stepped.engine.add(greeted_by(GreetingStep(b"", LINE)))
        stepped.turn_until(lambda: bool(stepped.peers))
        assert connection.state in (State.CONNECTING, State.GREETING)
        stepped.peers[0].sendall(b"220 ready\r\n")
        stepped.turn_until(lambda: connection.is_up)
        stepped.start()
        stepped.answer(connection)
        assert connection.answered == 1
        assert stepped.failures() == {}
