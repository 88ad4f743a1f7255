"""Keeping replies: a framing around another one, whose decoders keep the last whole reply."""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from loadgen.errors import LoadgenBug
from loadgen.net.protocols.base import BaseDecoder, Framing


def _ignore(reply: bytes) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Keeping:
    """Replies as ``framing`` frames them; its decoders keep the last one.

    Not for a framing that accepts bytes that no message asked for: where its replies begin, only
    its own decoders know.

    when_kept: called with each reply that is kept, from within `KeepingDecoder.feed` or ``end``.
    """

    framing: Framing
    when_kept: Callable[[bytes], None] = _ignore

    @property
    def one_way(self) -> bool:
        """Whether messages have no reply at all."""
        return self.framing.one_way

    def decoder(self) -> "KeepingDecoder":
        """Return a decoder for one connection."""
        return KeepingDecoder(self)

    @property
    def needs_messages(self) -> bool:
        """Always: where replies come together, they tell these apart."""
        return True

    def reply_bytes(self, message_bytes: int) -> int | None:
        """Return None, whatever is known: each reply must be decoded to be kept."""
        return None

    def farewell(self) -> bytes:
        """Return that of the framing."""
        return self.framing.farewell()

    def content(self, reply: bytes) -> bytes:
        """Return what the framing makes of ``reply``."""
        return self.framing.content(reply)


class KeepingDecoder(BaseDecoder):
    """A decoder that keeps the bytes of the last whole reply, and tells what the inner one tells.

    A reply takes the memory of its length, and the messages that await theirs that of their own.
    Bytes beyond the replies that are awaited fail a connection; what comes with them is not kept.
    """

    def __init__(self, form: Keeping) -> None:
        super().__init__()
        self.reply: bytes | None = None
        """The last reply that is whole; None until there is one, or since it was last set so."""
        self._form = form
        self._inner = form.framing.decoder()
        if self._inner.unsolicited:
            raise LoadgenBug(f"{form.framing} cannot tell where its replies begin")
        self._awaited: deque[bytes] = deque()  # the messages whose replies are not whole
        self._begun = bytearray()  # the bytes of the first of these replies

    def expect(self, batch: bytes, lengths: Sequence[int]) -> None:
        """Note the messages: where replies come together, they tell these apart.

        A batch of no ``lengths`` awaits no reply, and is ignored.
        """
        if lengths:
            self._inner.expect(batch, lengths)
        ends = accumulate(lengths, initial=0)
        self._awaited.extend(batch[start:end] for start, end in pairwise(ends))

    def feed(self, view: memoryview) -> int:
        """Return how many replies have become whole, and keep the last one. Raises as `Decoder`."""
        replies = self._inner.feed(view)
        self._begun += view
        if replies == 1 and not self._inner.partial and self._awaited:  # the usual case, cheaply
            self._keep(0, len(self._begun))
        elif replies and not self._is_more_than_awaited(replies):
            fed = bytes(self._begun)
            self._keep(self._end_of(replies - 1, fed), self._end_of(replies, fed))
        self._tell(replies)
        return replies

    def end(self) -> int:
        """Return how many replies the end of the stream has made whole, and keep the last one."""
        replies = self._inner.end()
        if replies:
            self._keep(0, len(self._begun))
        self._tell(replies)
        return replies

    def _is_more_than_awaited(self, replies: int) -> bool:
        are_last = replies == len(self._awaited)
        return (are_last and self._inner.partial) or replies > len(self._awaited)

    def _keep(self, start: int, end: int) -> None:
        self.reply = bytes(self._begun[start:end])
        del self._begun[:end]
        self._form.when_kept(self.reply)

    def _end_of(self, number: int, fed: bytes) -> int:
        """Return how many bytes of ``fed`` the first ``number`` replies have, by bisection."""
        return bisect_left(range(len(fed)), number, key=lambda size: self._replies_in(fed[:size]))

    def _replies_in(self, fed: bytes) -> int:
        """Return how many replies a new decoder finds: between replies, it is as the inner one."""
        decoder = self._form.framing.decoder()
        decoder.expect(b"".join(self._awaited), [len(message) for message in self._awaited])
        return decoder.feed(memoryview(fed))

    def _tell(self, replies: int) -> None:
        inner = self._inner
        for _ in range(min(replies, len(self._awaited))):
            self._awaited.popleft()
        self.partial, self.closes, self.rejected = inner.partial, inner.closes, inner.rejected
        if inner.to_send:
            self.to_send += inner.to_send
            inner.to_send = b""
