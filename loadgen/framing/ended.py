"""Messages without a reply, and replies that end with the connection."""

from dataclasses import dataclass

from loadgen.failure import Cause
from loadgen.framing.base import Decoder, FramingError, QuietDecoder


@dataclass(frozen=True, slots=True)
class NoReply:
    """One way only: the server answers nothing."""

    one_way = True

    def decoder(self) -> Decoder:
        """Return a decoder that accepts no byte."""
        return _NoReplyDecoder()

    def reply_bytes(self, message_bytes: int) -> int | None:
        """Return None: there is no reply."""
        return None


class _NoReplyDecoder(QuietDecoder):
    def feed(self, view: memoryview) -> int:
        raise FramingError(Cause.UNEXPECTED_BYTES)


@dataclass(frozen=True, slots=True)
class UntilEof:
    """The reply ends when the server closes the connection; the next message needs a new one."""

    one_way = False

    def decoder(self) -> Decoder:
        """Return a decoder that waits for the end."""
        return _UntilEofDecoder()

    def reply_bytes(self, message_bytes: int) -> int | None:
        """Return None: only the end tells."""
        return None


class _UntilEofDecoder(QuietDecoder):
    def feed(self, view: memoryview) -> int:
        self.partial = True
        return 0

    def end(self) -> int:
        # A server that closes without a byte has not answered.
        return 1 if self.partial else 0
