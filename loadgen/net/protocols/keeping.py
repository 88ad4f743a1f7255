"""Keeping replies: a framing around another one, whose decoders keep the last whole reply."""

from collections.abc import Callable
from dataclasses import dataclass

from loadgen.net.failure import Cause
from loadgen.net.protocols.base import MOST_REPLY_BYTES, NO_LIMIT_BYTES, FramingError
from loadgen.net.protocols.seeing import Around, SeeingDecoder


def _ignore(reply: bytes) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Keeping(Around):
    """Replies as ``framing`` frames them; its decoders keep the last one.

    when_kept: called with each reply that is kept, from within `KeepingDecoder.feed` or ``end``.
    """

    when_kept: Callable[[bytes], None] = _ignore

    def decoder(self) -> "KeepingDecoder":
        """Return a decoder for one connection."""
        return KeepingDecoder(self)


class KeepingDecoder(SeeingDecoder):
    """A decoder that keeps the bytes of the last whole reply, in the memory of its length.

    Of what comes unsolicited before a reply is whole, such as pings each of which is cut, it keeps
    `MOST_REPLY_BYTES` at most beside the longest reply.
    """

    def __init__(self, form: Keeping) -> None:
        super().__init__(form.framing)
        self.reply: bytes | None = None
        """The last reply that is whole; None until there is one, or since it was last set so."""
        self._when_kept = form.when_kept
        self._begun = bytearray()  # the bytes of the first reply that is not whole
        self._most_bytes = NO_LIMIT_BYTES
        if self.unsolicited:
            self._most_bytes = form.max_reply_bytes + MOST_REPLY_BYTES

    def see(self, part: memoryview) -> None:
        """Keep the bytes. Raises FramingError."""
        if len(self._begun) + len(part) > self._most_bytes:
            raise FramingError(Cause.REPLY_TOO_LONG)
        self._begun += part

    def see_end(self) -> None:
        """Let them be the last whole reply."""
        self.reply = bytes(self._begun)
        self._begun.clear()
        self._when_kept(self.reply)

    def see_nothing(self) -> None:
        """Forget the bytes."""
        self._begun.clear()
