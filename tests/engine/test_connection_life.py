"""Partial sends, first messages, one-way messages, and the counts over several sockets."""

import random
import socket

import pytest
from stepped_engine import NOTHING, READ, READ_AND_WRITE, Wire, conversation, socket_of

from loadgen.engine.lifecycle import Event, State
from loadgen.net.failure import Phase

BIG_BYTES = 300_000
SMALL_BUFFER_BYTES = 4096

BIG = random.Random(1).randbytes(BIG_BYTES)
BIG_TOO = random.Random(2).randbytes(BIG_BYTES // 3)


def take(wire: Wire, size_bytes: int) -> bytes:
    """Return so many bytes that arrive at the peer, while the connection goes on sending."""
    stream = bytearray()
    wire.peer.setblocking(False)
    while len(stream) < size_bytes:
        try:
            stream += wire.peer.recv(min(65536, size_bytes - len(stream)))
        except BlockingIOError:
            assert wire.channel.transmit() in {READ, READ_AND_WRITE, NOTHING}
    wire.peer.settimeout(20)
    return bytes(stream)


@pytest.mark.parametrize("payloads", [(BIG,), (BIG, BIG_TOO)], ids=["steady", "general"])
@pytest.mark.parametrize("pipeline", [1, 3])
def test_what_the_kernel_does_not_take_is_sent_later(
    payloads: tuple[bytes, ...], pipeline: int
) -> None:
    talk = conversation(*payloads, pipeline=pipeline, messages=pipeline)
    expected = b"".join(payloads[number % len(payloads)] for number in range(pipeline))
    with Wire(talk, SMALL_BUFFER_BYTES) as wire:
        assert wire.begin() == READ_AND_WRITE
        assert 0 < wire.connection.bytes_sent < len(expected)
        sent_bytes = wire.connection.bytes_sent
        assert wire.channel.transmit() == READ_AND_WRITE  # and the peer still does not read
        assert wire.connection.bytes_sent >= sent_bytes
        assert take(wire, len(expected)) == expected
        assert wire.channel.transmit() == READ
        assert wire.connection.bytes_sent == len(expected)
        assert wire.connection.in_flight == pipeline


def test_replies_that_come_before_all_is_sent_make_no_disorder() -> None:
    messages = 9
    with Wire(
        conversation(BIG, BIG_TOO, pipeline=3, messages=messages), SMALL_BUFFER_BYTES
    ) as wire:
        wire.begin()
        stream = b""
        for number in range(messages):
            message = (BIG, BIG_TOO)[number % 2]
            stream = take(wire, len(message))
            assert stream == message
            for position in range(0, len(message), 10_000):
                if wire.reply(message[position : position + 10_000]):
                    wire.channel.transmit()
            wire.check_balance()
            assert wire.connection.answered == number + 1
        assert wire.channel.transmit() == NOTHING
        assert wire.connection.bytes_sent == wire.connection.bytes_received


def test_a_message_that_is_not_sent_whole_is_waited_for_in_sending() -> None:
    with Wire(conversation(BIG), SMALL_BUFFER_BYTES) as wire:
        wire.begin()
        assert wire.channel.waits_in.value == "send"
        wire.clock.advance(500)
        wire.peer.recv(SMALL_BUFFER_BYTES)
        take(wire, 2 * SMALL_BUFFER_BYTES)
        assert wire.channel.waits_since_ns == 1500
        sent_bytes = wire.connection.bytes_sent
        take(wire, BIG_BYTES - 3 * SMALL_BUFFER_BYTES)
        wire.channel.transmit()
        assert wire.connection.bytes_sent > sent_bytes
        assert wire.channel.waits_in.value == "receive"


# ---- one way ------------------------------------------------------------------------------


@pytest.mark.parametrize("pipeline", [1, 2, 3])
def test_one_way_messages_are_answered_by_the_kernel(pipeline: int) -> None:
    with Wire(conversation(b"a", b"bc", reply="none", pipeline=pipeline, messages=6)) as wire:
        interest = wire.begin()
        turns = 1
        while interest != NOTHING:
            assert interest == READ_AND_WRITE
            interest = wire.channel.transmit()
            turns += 1
        assert turns == 6 // pipeline
        assert wire.peer.recv(64) == b"abcabcabc"
        assert (wire.connection.submitted, wire.connection.answered) == (6, 6)
        assert wire.rows == []
        assert wire.channel.waits_since_ns is None


def test_a_one_way_message_counts_once_the_kernel_has_all_of_it() -> None:
    with Wire(conversation(BIG, reply="none", messages=1), SMALL_BUFFER_BYTES) as wire:
        assert wire.begin() == READ_AND_WRITE
        assert wire.connection.answered == 0
        assert wire.channel.waits_in is Phase.SEND
        assert take(wire, BIG_BYTES) == BIG
        assert wire.channel.transmit() == NOTHING
        assert wire.connection.answered == 1


# ---- life ---------------------------------------------------------------------------------


def test_repr_shows_the_state() -> None:
    with Wire(conversation(pipeline=2)) as wire:
        assert repr(wire.connection) == "<Connection 0 ready>"
        wire.begin()
        assert repr(wire.connection) == "<Connection 0 ready, 2 in flight>"
        wire.connection.close(Event.CLOSE)
        assert repr(wire.connection) == "<Connection 0 closed>"


def test_the_end_of_the_stream_is_announced() -> None:
    with Wire(conversation()) as wire:
        kept = socket_of(wire.connection).dup()
        with kept:
            wire.connection.close(Event.CLOSE)
            assert wire.peer.recv(1) == b""  # although the descriptor is open elsewhere


def test_closing_is_no_error_where_the_peer_was_faster() -> None:
    with Wire(conversation()) as wire:
        wire.peer.shutdown(socket.SHUT_RDWR)
        wire.peer.close()
        wire.connection.close(Event.CLOSE)
        assert wire.connection.state is State.CLOSED


@pytest.mark.parametrize("payloads", [(b"ping",), (b"ping", b"pong")], ids=["steady", "general"])
@pytest.mark.parametrize("pipeline", [1, 3])
def test_the_counts_balance_over_failures_and_new_sockets(
    payloads: tuple[bytes, ...], pipeline: int
) -> None:
    messages = 12
    with Wire(conversation(*payloads, pipeline=pipeline, messages=messages)) as wire:
        connection = wire.connection
        lives = 0
        while True:
            wire.begin()
            wire.check_balance()
            if wire.reply(b"x" * 4):
                wire.channel.transmit()
            wire.check_balance()
            if not connection.messages.has_more:
                break
            wire.peer.close()
            connection.close(Event.FAIL)
            wire.check_balance()
            assert connection.in_flight == 0
            wire.come_up()
            lives += 1
        assert connection.connects == lives + 1
        while wire.channel.transmit() != NOTHING:
            wire.reply(b"x" * 4)
        assert connection.submitted == messages
        assert connection.answered == messages - connection.messages.unanswered
        assert connection.answered == sum(replies for replies, _, _ in wire.replies)
        assert connection.messages.unanswered == lives * pipeline


def test_a_new_socket_begins_with_a_whole_message() -> None:
    with Wire(conversation(BIG, messages=2), SMALL_BUFFER_BYTES) as wire:
        wire.begin()
        wire.peer.close()
        wire.connection.close(Event.FAIL)
        wire.come_up()
        assert wire.begin() == READ_AND_WRITE
        assert take(wire, BIG_BYTES) == BIG
        assert wire.connection.submitted == 2


def test_a_new_socket_forgets_the_half_reply_of_the_old_one() -> None:
    with Wire(conversation(b"ping", b"pong", reply="verify", messages=9)) as wire:
        wire.begin()
        assert not wire.reply(b"pi")
        wire.peer.close()
        wire.connection.close(Event.FAIL)
        wire.come_up()
        wire.begin()
        assert wire.reply(wire.peer.recv(64))
        assert (wire.connection.answered, wire.channel.unanswered) == (1, 1)


def test_revoked_messages_are_not_submitted() -> None:
    with Wire(conversation(messages=5)) as wire:
        wire.begin()
        wire.channel.revoke()
        assert not wire.channel.has_more
        assert wire.reply(b"ping")
        assert wire.channel.transmit() == NOTHING
        assert (wire.connection.submitted, wire.connection.answered) == (1, 1)
        wire.check_balance()
