"""Replies that are datagrams: each is whole, whatever is in it."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadgen.net.failure import Cause
from loadgen.net.protocols.base import BaseDecoder, BaseFraming, Decoder
from loadgen.net.protocols.framings import Echo

NUMBER_BYTES = 8
"""The number that a message begins with, and its reply, where they are matched by it."""


@dataclass(frozen=True, slots=True)
class Datagram(BaseFraming):
    """Every datagram is a reply."""

    def decoder(self) -> Decoder:
        """Return a decoder that is to be fed one datagram at a time."""
        return _DatagramDecoder()


class _DatagramDecoder(BaseDecoder):
    def feed(self, view: memoryview) -> int:
        return 1


@dataclass(frozen=True, slots=True)
class EchoedDatagram(Echo):
    """Every reply is a datagram as long as its message; with ``verify``, of the same bytes.

    One that is not rejects its message.
    """

    def decoder(self) -> Decoder:
        """Return a decoder that must be told of the message just before it is fed the reply."""
        return _EchoedDecoder(verify=self.verify)

    def reply_bytes(self, message_bytes: int) -> int | None:
        """Return None: each must be looked at."""
        return None


class _EchoedDecoder(BaseDecoder):
    def __init__(self, *, verify: bool) -> None:
        super().__init__()
        self._verify = verify
        self._message = b""

    def expect(self, batch: bytes, lengths: Sequence[int]) -> None:
        self._message = batch

    def feed(self, view: memoryview) -> int:
        message = self._message
        if len(view) != len(message) or (self._verify and view != message):
            self.reject(Cause.MISMATCH)
        return 1
