"""What is sent goes out whole, before anything else: a message, and what a decoder sends back."""

from typing import Final

from stepped_engine import Wire

from loadgen.engine.conversation import ONE_BY_ONE, Conversation
from loadgen.net.protocols import Fixed
from loadgen.net.protocols.base import BaseDecoder, BaseFraming, Decoder
from loadgen.plan.payloads import PayloadQueue

PONG: Final = b"P" * 200_000
"""More than a socket accepts at once."""


class Ponging(BaseFraming):
    """Each read is a reply, and wants a pong."""

    def decoder(self) -> Decoder:
        return PongingDecoder()


class PongingDecoder(BaseDecoder):
    def feed(self, view: memoryview) -> int:
        self.to_send += PONG
        return 1


def test_no_message_comes_in_between() -> None:
    talk = Conversation(PayloadQueue((b"ping",)), Ponging(), ONE_BY_ONE, messages=3)
    received = bytearray()
    with Wire(talk, send_buffer_bytes=4096) as wire:
        wire.begin()
        assert wire.reply(b"!")
        while len(received) < len(b"ping" + PONG + b"ping"):
            wire.channel.transmit()
            received += wire.peer.recv(1_000_000)
    assert received == b"ping" + PONG + b"ping"


def test_nor_does_one_that_is_answered_before_it_is_sent_whole() -> None:
    message = b"M" * 200_000
    talk = Conversation(PayloadQueue((message,)), Fixed(1), ONE_BY_ONE, messages=2)
    received = bytearray()
    with Wire(talk, send_buffer_bytes=4096) as wire:
        wire.begin()
        assert wire.reply(b"!")
        while len(received) < 2 * len(message):
            wire.channel.transmit()
            received += wire.peer.recv(1_000_000)
        assert received == 2 * message
        assert wire.connection.bytes_sent == 2 * len(message)
