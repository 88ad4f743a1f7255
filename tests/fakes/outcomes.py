"""Framings whose decoders have more to say than that a reply is whole, or take long to say it."""

import time
from typing import Final

from loadgen.net.failure import Cause
from loadgen.net.protocols.base import BaseDecoder, BaseFraming, FramingError

END: Final = b"\r\n"


class Rejecting(BaseFraming):
    """Lines, of which some mean more than a reply.

    ``-…`` rejects the message; ``PING`` is no reply and asks for ``PONG``; ``+…`` is a line that no
    message asked for; one that ends in `` bye`` is a reply with which the server closes.
    """

    def decoder(self) -> "RejectingDecoder":
        return RejectingDecoder()

    def content(self, reply: bytes) -> bytes:
        return reply.removesuffix(END).split(END)[-1]


class RejectingDecoder(BaseDecoder):
    unsolicited = True

    def __init__(self) -> None:
        super().__init__()
        self._bytes = b""

    def feed(self, view: memoryview) -> int:
        *lines, self._bytes = (self._bytes + bytes(view)).split(END)
        self.partial = bool(self._bytes)
        return sum(map(self._is_reply, lines))

    def _is_reply(self, line: bytes) -> bool:
        if line == b"PING":
            self.to_send += b"PONG" + END
            return False
        if line.startswith(b"-"):
            self.reject(Cause.REJECTED)
        self.closes |= line.endswith(b" bye")
        return not line.startswith(b"+")


class Statuses(BaseFraming):
    """Lines of a number, which is the kind of the reply.

    The end of the stream before any byte of a reply is an orderly one.
    """

    def decoder(self) -> "StatusesDecoder":
        return StatusesDecoder()


class StatusesDecoder(BaseDecoder):
    def __init__(self) -> None:
        super().__init__()
        self._seen = b""

    def feed(self, view: memoryview) -> int:
        *lines, self._seen = (self._seen + view).split(END)
        if not all(map(bytes.isdigit, lines)):
            raise FramingError(Cause.BAD_FRAME)
        self.kinds = list(map(int, lines))
        self.partial = bool(self._seen)
        return len(lines)

    def end(self) -> int:
        self.kinds = ()
        self.closes = not self.partial
        return 0


class Toiling(BaseFraming):
    """Replies that are never whole, and that take the processor 20 ms with each read."""

    def decoder(self) -> "ToilingDecoder":
        return ToilingDecoder()


class ToilingDecoder(BaseDecoder):
    def feed(self, view: memoryview) -> int:
        self.partial = True
        until_s = time.thread_time() + 0.02
        while time.thread_time() < until_s:
            pass
        return 0
