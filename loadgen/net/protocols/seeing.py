"""Seeing replies: the base of framings around another one that look at the bytes of each reply."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadgen.net.protocols.base import MOST_REPLY_BYTES, BaseDecoder, Framing


@dataclass(frozen=True, slots=True)
class Around:
    """Replies as ``framing`` frames them; its decoders do more than those."""

    framing: Framing

    @property
    def one_way(self) -> bool:
        """Whether messages have no reply at all."""
        return self.framing.one_way

    @property
    def needs_messages(self) -> bool:
        """Always: its decoders must know how many replies are awaited."""
        return True

    @property
    def max_reply_bytes(self) -> int:
        """That of the framing; `MOST_REPLY_BYTES` of one that does not say."""
        return getattr(self.framing, "max_reply_bytes", MOST_REPLY_BYTES)

    def reply_bytes(self, message_bytes: int) -> int | None:
        """Return None, whatever is known: each reply must be decoded."""
        return None

    def farewell(self) -> bytes:
        """Return that of the framing."""
        return self.framing.farewell()

    def content(self, reply: bytes) -> bytes:
        """Return what the framing makes of ``reply``."""
        return self.framing.content(reply)


class SeeingDecoder(BaseDecoder):
    """Tells what the decoder of ``framing`` tells, and sees the bytes of the replies.

    What comes unsolicited is seen with the next reply, unless it was whole before that began. Bytes
    beyond the replies that are awaited fail a connection; what comes with them is not seen.
    """

    def __init__(self, framing: Framing) -> None:
        super().__init__()
        self._inner = framing.decoder()
        self.unsolicited = self._inner.unsolicited
        self._awaited = 0

    def see(self, part: memoryview) -> None:
        """See more bytes of the present reply; keep no reference to them."""

    def see_end(self) -> None:
        """See that the reply is whole: the next bytes are those of another one."""

    def see_nothing(self) -> None:
        """See that no reply has begun: what was seen since the last one belongs to none."""

    def expect(self, batch: bytes, lengths: Sequence[int]) -> None:
        """Note the messages. A batch of no ``lengths`` awaits no reply, and is ignored."""
        if lengths:
            self._inner.expect(batch, lengths)
            self._awaited += len(lengths)

    def feed(self, view: memoryview) -> int:
        """Return how many replies have become whole. Raises as `Decoder`."""
        return len(self.ends(view))

    def ends(self, view: memoryview) -> Sequence[int]:
        """Return where in ``view`` these replies end. Raises as `Decoder`."""
        inner, awaited = self._inner, self._awaited
        if awaited > 1 or self.unsolicited:
            ends = inner.ends(view)
        else:  # what comes behind a single reply fails the connection: no need to know more
            ends = [len(view)] * inner.feed(view)
        is_surplus = len(ends) == awaited and inner.partial and not self.unsolicited
        if len(ends) <= awaited and not is_surplus:
            start = 0
            for end in ends:
                self.see(view[start:end])
                self.see_end()
                start = end
            self.see(view[start:])
        if not inner.partial:
            self.see_nothing()
        self._tell(len(ends))
        return ends

    def end(self) -> int:
        """Return how many replies the end of the stream has made whole."""
        replies = self._inner.end()
        if replies:
            self.see_end()
        self._tell(replies)
        return replies

    def _tell(self, replies: int) -> None:
        """Tell what the inner decoder tells, once."""
        inner = self._inner
        self._awaited = max(0, self._awaited - replies)
        self.partial, self.kinds = inner.partial, inner.kinds
        self.closes |= inner.closes
        if inner.rejected:
            for cause, count in inner.rejected.items():
                self.reject(cause, count)
            inner.rejected.clear()
        if inner.to_send:
            self.to_send += inner.to_send
            inner.to_send = b""
