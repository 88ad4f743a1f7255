import contextlib
import random

import pytest
from stepped_engine import NOTHING, READ, Wire, conversation

from loadgen.engine.connection import Connection
from loadgen.engine.lifecycle import Event, State
from loadgen.net.failure import (
    Cause,
    ConnectionFailed,
    Failure,
    Phase,
)

STEADY = (b"ping",)
GENERAL = (b"ping", b"pong")
UNEQUAL = (b"a", b"four", b"sixteen bytes...")


def counts(connection: Connection) -> tuple[int, ...]:
    return (
        connection.submitted,
        connection.answered,
        connection.in_flight,
        connection.messages.unanswered,
        connection.bytes_sent,
        connection.bytes_received,
    )


def fails_with(phase: Phase, cause: Cause) -> "pytest.RaisesExc[ConnectionFailed]":
    return pytest.raises(ConnectionFailed, match=rf"^{Failure(phase, cause)}")


def echo_in_pieces(wire: Wire, piece_bytes: int) -> bytes:
    """Echo everything, that many bytes at a time, until it is done; return what was received."""
    interest = wire.begin()
    stream, echoed = bytearray(), 0
    wire.peer.setblocking(False)
    while interest != NOTHING:
        with contextlib.suppress(BlockingIOError):
            stream += wire.peer.recv(65536)
        piece = stream[echoed : echoed + piece_bytes]
        assert piece, "it waits for a reply to what it has not sent"
        echoed += len(piece)
        if wire.reply(bytes(piece)):
            interest = wire.channel.transmit()
        wire.check_balance()
    return bytes(stream)


@pytest.mark.parametrize(("pipeline", "reply"), [(1, "verify"), (4, "echo"), (16, "verify")])
@pytest.mark.parametrize("payloads", [STEADY, GENERAL, UNEQUAL], ids=["one", "two", "unequal"])
@pytest.mark.parametrize("piece_bytes", [1, 3, 4, 5, 17, 65536])
def test_the_counts_do_not_depend_on_how_replies_are_cut(
    payloads: tuple[bytes, ...], pipeline: int, piece_bytes: int, reply: str
) -> None:
    talk = conversation(*payloads, reply=reply, pipeline=pipeline, messages=10)
    with Wire(talk) as wire:
        stream = echo_in_pieces(wire, piece_bytes)
        expected = b"".join(payloads[number % len(payloads)] for number in range(10))
        assert stream == expected
        assert counts(wire.connection) == (10, 10, 0, 0, len(expected), len(expected))
        assert sum(replies for replies, _, _ in wire.replies) == 10


@pytest.mark.parametrize("payloads", [STEADY, GENERAL], ids=["steady", "general"])
def test_a_whole_window_answered_in_one_read_is_one_row(payloads: tuple[bytes, ...]) -> None:
    with Wire(conversation(*payloads, pipeline=4)) as wire:
        assert wire.begin() == READ
        batch = wire.peer.recv(64)
        wire.clock.advance(500)
        assert wire.reply(batch)
        assert wire.replies == [(4, 1000, 1500)]
        assert counts(wire.connection) == (4, 4, 0, 0, 16, 16)


def test_several_payloads_due_at_once_go_out_in_one_send() -> None:
    with Wire(conversation(*UNEQUAL, pipeline=5)) as wire:
        wire.begin()
        assert wire.peer.recv(64) == b"afoursixteen bytes...afour"


@pytest.mark.parametrize("payloads", [STEADY, GENERAL], ids=["steady", "general"])
def test_each_reply_has_the_sent_time_of_its_own_batch(payloads: tuple[bytes, ...]) -> None:
    with Wire(conversation(*payloads, pipeline=4)) as wire:
        wire.begin()  # 4 at 1000
        for answered in (1, 1, 3, 4, 4):
            wire.clock.advance(1000)
            assert wire.reply(b"x" * 4 * answered)
            assert wire.channel.transmit() == READ
            assert wire.connection.in_flight == 4
            wire.check_balance()
        assert wire.replies == [
            (1, 1000, 2000),
            (1, 1000, 3000),
            *((2, 1000, 4000), (1, 2000, 4000)),
            *((1, 3000, 5000), (3, 4000, 5000)),
            (4, 5000, 6000),
        ]


def test_sent_times_fit_any_number_of_replies_read_together() -> None:
    """Against the simplest model: a queue with the sent time of each message."""
    chance = random.Random(7)
    for pipeline in (2, 5, 64):
        with Wire(conversation(*GENERAL, pipeline=pipeline)) as wire:
            wire.begin()
            queue = [wire.clock.now_ns] * pipeline
            expected = []
            for _ in range(200):
                wire.clock.advance(chance.randrange(1, 1000))
                answered = chance.randint(1, pipeline)
                expected += [(sent_ns, wire.clock.now_ns) for sent_ns in queue[:answered]]
                wire.reply(b"x" * 4 * answered)
                wire.clock.advance(chance.randrange(1000))
                wire.channel.transmit()
                queue = queue[answered:] + [wire.clock.now_ns] * answered
            found = [times for replies, *times in wire.replies for _ in range(replies)]
            assert [tuple(times) for times in found] == expected


def test_a_reply_that_is_not_whole_is_no_reply() -> None:
    with Wire(conversation(pipeline=2)) as wire:
        wire.begin()
        assert not wire.reply(b"pin")
        assert wire.replies == []
        assert counts(wire.connection) == (2, 0, 2, 0, 8, 3)


def test_nothing_to_read_is_no_reply_and_no_failure() -> None:
    with Wire(conversation()) as wire:
        wire.begin()
        assert not wire.receive()
        assert counts(wire.connection) == (1, 0, 1, 0, 4, 0)


def test_messages_end() -> None:
    with Wire(conversation(messages=2)) as wire:
        assert wire.begin() == READ
        wire.reply(b"ping")
        assert wire.channel.has_more
        assert wire.channel.transmit() == READ
        wire.reply(b"ping")
        assert not wire.channel.has_more
        assert wire.channel.transmit() == NOTHING


def test_draining_submits_no_more_and_waits_for_replies_in_flight() -> None:
    with Wire(conversation(pipeline=2)) as wire:
        wire.begin()
        wire.channel.revoke()
        wire.connection.drain()
        assert wire.connection.state is State.DRAINING
        assert wire.reply(b"ping")
        assert wire.channel.transmit() == READ
        assert wire.reply(b"ping")
        assert wire.channel.transmit() == NOTHING
        assert counts(wire.connection) == (2, 2, 0, 0, 8, 8)
        assert not wire.channel.has_more


# ---- what no message asked for ------------------------------------------------------------


@pytest.mark.parametrize(
    ("payloads", "reply", "answer"),
    [
        (STEADY, "echo", b"ping!"),
        (STEADY, "echo", b"pingping"),
        (GENERAL, "echo", b"ping!"),
        (UNEQUAL, "echo", b"aa"),
        (STEADY, "verify", b"ping!"),
        (STEADY, "fixed:2", b"abc"),
        (STEADY, r"delimiter:\n", b"ok\nmore"),
        (STEADY, r"delimiter:\n", b"ok\nok\n"),
        (STEADY, "length:u8", b"\x01ax"),
        (STEADY, "length:u8", b"\x01a\x01b"),
    ],
)
def test_more_than_was_asked_for_is_a_failure(
    payloads: tuple[bytes, ...], reply: str, answer: bytes
) -> None:
    with Wire(conversation(*payloads, reply=reply)) as wire:
        wire.begin()
        with fails_with(Phase.RECEIVE, Cause.UNEXPECTED_BYTES):
            wire.reply(answer)
        assert wire.connection.bytes_received == len(answer)


@pytest.mark.parametrize(
    ("surplus", "reply"),
    [
        *((b"x", "echo"), (b"ping", "echo"), (b"pingping", "verify")),
        *((b"x", "fixed:4"), (b"x", r"delimiter:\n"), (b"ping", "length:u8")),
    ],
)
@pytest.mark.parametrize("has_begun", [False, True])
def test_bytes_when_nothing_is_in_flight_are_a_failure(
    surplus: bytes, reply: str, has_begun: bool
) -> None:
    with Wire(conversation(b"ping", reply=reply, messages=1)) as wire:
        if has_begun:
            wire.begin()
            answers = {r"delimiter:\n": b"abc\n", "length:u8": b"\x03abc"}
            assert wire.reply(answers.get(reply, b"ping"))
        with fails_with(Phase.RECEIVE, Cause.UNEXPECTED_BYTES):
            wire.reply(surplus)


def test_an_answer_to_a_one_way_message_is_a_failure() -> None:
    with Wire(conversation(reply="none")) as wire:
        wire.begin()
        with fails_with(Phase.RECEIVE, Cause.UNEXPECTED_BYTES):
            wire.reply(b"x")


@pytest.mark.parametrize("answer", [b"pong", b"x", b"pinx"])
def test_an_echo_that_differs_is_found_where_it_is_verified(answer: bytes) -> None:
    with Wire(conversation(reply="verify")) as wire:
        wire.begin()
        with fails_with(Phase.VERIFY, Cause.MISMATCH):
            wire.reply(answer)


def test_a_length_that_cannot_be_is_a_bad_frame() -> None:
    with Wire(conversation(reply="length:u16,header-included")) as wire:
        wire.begin()
        with fails_with(Phase.RECEIVE, Cause.BAD_FRAME):
            wire.reply(b"\0\1rest")


# ---- the end of the stream ------------------------------------------------------------------


@pytest.mark.parametrize("part", [b"", b"pi"])
def test_the_end_of_the_stream_where_a_reply_is_due_is_a_failure(part: bytes) -> None:
    with Wire(conversation(messages=3)) as wire:
        wire.begin()
        wire.peer.recv(4)
        if part:
            wire.reply(part)
        wire.peer.close()
        with fails_with(Phase.RECEIVE, Cause.CLOSED):
            wire.receive()
        wire.connection.close(Event.FAIL)
        assert counts(wire.connection) == (1, 0, 0, 1, 4, len(part))


def test_the_end_of_the_stream_where_nothing_is_due_is_a_failure() -> None:
    with Wire(conversation()) as wire:
        wire.peer.close()
        with fails_with(Phase.RECEIVE, Cause.CLOSED):
            wire.receive()


def test_a_reset_while_reading_is_a_failure() -> None:
    with Wire(conversation()) as wire:
        wire.begin()
        wire.peer.close()  # with a message unread: UNIX sockets report a reset
        with fails_with(Phase.RECEIVE, Cause.RESET):
            wire.receive()


@pytest.mark.parametrize("payloads", [STEADY, GENERAL], ids=["steady", "general"])
def test_sending_to_a_peer_that_has_gone_is_a_failure(payloads: tuple[bytes, ...]) -> None:
    with Wire(conversation(*payloads, messages=3)) as wire:
        wire.peer.close()
        with fails_with(Phase.SEND, Cause.RESET):
            wire.begin()
        wire.connection.close(Event.FAIL)
        assert counts(wire.connection) == (1, 0, 0, 1, 0, 0)


def test_a_reply_that_ends_with_the_stream() -> None:
    with Wire(conversation(reply="eof", messages=2)) as wire:
        wire.begin()
        wire.peer.recv(4)
        assert not wire.reply(b"part")
        wire.clock.advance(500)
        wire.peer.close()
        assert wire.receive()
        assert wire.channel.is_ending
        assert wire.channel.transmit() == NOTHING
        assert wire.replies == [(1, 1000, 1500)]
        assert counts(wire.connection) == (1, 1, 0, 0, 4, 4)
        assert wire.channel.has_more


def test_an_end_without_a_byte_is_no_reply() -> None:
    with Wire(conversation(reply="eof")) as wire:
        wire.begin()
        wire.peer.recv(4)
        wire.peer.close()
        with fails_with(Phase.RECEIVE, Cause.CLOSED):
            wire.receive()
