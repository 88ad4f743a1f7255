"""What a protocol says last: where we end a connection, and where the server broke its rules."""

import pytest
from outcomes import Rejecting, RejectingDecoder
from stepped_engine import Wire

from loadgen.engine.conversation import ONE_BY_ONE, Conversation
from loadgen.engine.lifecycle import Event
from loadgen.net.failure import Cause, ConnectionFailed
from loadgen.net.protocols import Framing, FramingError, Keeping
from loadgen.plan.payloads import PayloadQueue

BIG_BYTES = 4 * 2**20


class Polite(Rejecting):
    """Lines, and a last one of ours; a line of the server that is a zero breaks the rules."""

    def decoder(self) -> RejectingDecoder:
        return PoliteDecoder()

    def farewell(self) -> bytes:
        return b"QUIT\r\n"


class PoliteDecoder(RejectingDecoder):
    def feed(self, view: memoryview) -> int:
        if bytes(view) == b"\0\r\n":
            self.to_send = b"WRONG\r\n"
            raise FramingError(Cause.BAD_FRAME)
        return super().feed(view)


def talk(framing: Framing, payload: bytes = b"one\r\n") -> Conversation:
    return Conversation(PayloadQueue((payload,)), framing, ONE_BY_ONE)


@pytest.mark.parametrize("framing", [Polite(), Keeping(Polite())], ids=["plain", "kept"])
def test_it_is_sent_at_an_orderly_end_and_counted_as_bytes(framing: Framing) -> None:
    with Wire(talk(framing)) as wire:
        wire.begin()
        assert wire.peer.recv(64) == b"one\r\n"
        wire.reply(b"fine\r\n")
        wire.connection.close(Event.CLOSE)
        assert wire.peer.recv(64) == b"QUIT\r\n"
        assert wire.peer.recv(64) == b""
        assert wire.connection.bytes_sent == len(b"one\r\nQUIT\r\n")


def test_it_is_not_sent_where_the_server_has_ended_or_failed() -> None:
    for answer, step in ((b"fine bye\r\n", Event.CLOSE), (b"fine\r\n", Event.FAIL)):
        with Wire(talk(Polite())) as wire:
            wire.begin()
            assert wire.peer.recv(64) == b"one\r\n"
            wire.reply(answer)
            wire.connection.close(step)
            assert wire.peer.recv(64) == b""


def test_it_is_not_sent_in_the_midst_of_a_message() -> None:
    with Wire(talk(Polite(), b"x" * BIG_BYTES), send_buffer_bytes=4096) as wire:
        wire.begin()
        wire.connection.close(Event.CLOSE)
        received = b""
        while data := wire.peer.recv(2**20):
            received += data
        assert 0 < len(received) < BIG_BYTES
        assert received.strip(b"x") == b""


def test_a_server_that_broke_the_rules_is_told_before_the_connection_fails() -> None:
    with Wire(talk(Polite())) as wire:
        wire.begin()
        assert wire.peer.recv(64) == b"one\r\n"
        with pytest.raises(ConnectionFailed):
            wire.reply(b"\0\r\n")
        wire.connection.close(Event.FAIL)
        assert wire.peer.recv(64) == b"WRONG\r\n"
        assert wire.peer.recv(64) == b""
