"""Messages without a reply, and replies that end with the connection."""

from dataclasses import dataclass

from loadgen.net.failure import Cause
from loadgen.net.protocols.base import (
    NO_LIMIT_BYTES,
    Decoder,
    FramingError,
    QuietDecoder,
)


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

    max_reply_bytes: int = NO_LIMIT_BYTES
    one_way = False

    def decoder(self) -> Decoder:
        """Return a decoder that waits for the end."""
        return _UntilEofDecoder(self.max_reply_bytes)

    def reply_bytes(self, message_bytes: int) -> int | None:
        """Return None: only the end tells."""
        return None


class _UntilEofDecoder(QuietDecoder):
    def __init__(self, max_reply_bytes: int) -> None:
        super().__init__()
        self._room_bytes = max_reply_bytes

    def feed(self, view: memoryview) -> int:
        self._room_bytes -= len(view)
        if self._room_bytes < 0:
            raise FramingError(Cause.REPLY_TOO_LONG)
        self.partial = True
        return 0

    def end(self) -> int:
        # A server that closes without a byte has not answered.
        return 1 if self.partial else 0
