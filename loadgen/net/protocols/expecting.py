"""Expecting replies: a framing around another one, whose decoders reject what is not expected.

A server may answer each message, and refuse each: a Redis that wants a password answers ``-NOAUTH``
to every command, fast. Only its user knows what a good reply looks like. A reply that is another
one is rejected: it is whole and has a time, and the connection goes on.

What is compared is the content of the reply (`Framing.content`), which is what user code gets, too:
most framings hand out the bytes of the reply as they came.
"""

import re
import warnings
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from loadgen.net.failure import Cause
from loadgen.net.protocols.base import MOST_REPLY_BYTES, FramingError, hands_out_bytes
from loadgen.net.protocols.seeing import Around, SeeingDecoder
from loadgen.units import parse_escapes


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the content of a reply is to look like.

    prefixes: what it may begin with. patterns: what may be found in it. seen_bytes: how much of
    its beginning has to be kept until it is whole. limit_bytes: the most that is ever kept.
    """

    prefixes: tuple[bytes, ...]
    patterns: tuple[re.Pattern[bytes], ...]
    seen_bytes: int
    limit_bytes: int = MOST_REPLY_BYTES

    @classmethod
    def of(cls, texts: Sequence[str], max_reply_bytes: int = MOST_REPLY_BYTES) -> Self:
        """Return what ``texts`` say: each a prefix with escapes, or a /regular expression/.

        Raises ValueError, with what is accepted as its text.
        """
        prefixes, patterns = [], []
        for text in texts:
            if len(text) > 1 and text.startswith("/") and text.endswith("/"):
                patterns.append(_pattern(text[1:-1]))
            elif text:
                prefixes.append(parse_escapes(text))
            else:
                raise ValueError("write how a good reply begins, or /a regular expression/")
        seen_bytes = max(map(len, prefixes), default=0)
        if patterns:
            seen_bytes = max(seen_bytes, max_reply_bytes)
        return cls(tuple(prefixes), tuple(patterns), seen_bytes, max_reply_bytes)

    def is_met_by(self, reply: bytes | bytearray) -> bool:
        """Return whether ``reply`` is a good one, or the beginning of one, as far as it is kept."""
        return reply.startswith(self.prefixes) or any(
            pattern.search(reply) for pattern in self.patterns
        )


def _pattern(text: str) -> re.Pattern[bytes]:
    try:
        with warnings.catch_warnings(action="ignore"):  # of what a later Python may understand
            return re.compile(text.encode("utf-8", "surrogateescape"))
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"it is no regular expression: {error}") from None


@dataclass(frozen=True, slots=True)
class Expecting(Around):
    """Replies as ``framing`` frames them; its decoders reject what is not expected."""

    expectation: Expectation

    def decoder(self) -> "ExpectingDecoder":
        """Return a decoder for one connection."""
        return ExpectingDecoder(self)


class ExpectingDecoder(SeeingDecoder):
    """A decoder that keeps as much of a reply as is needed, and rejects it if it is unexpected.

    Of replies whose content is their own bytes, the beginning is enough. Those of which the framing
    makes something else have to be whole: one that is too long to be kept is rejected, too.
    """

    def __init__(self, form: Expecting) -> None:
        super().__init__(form.framing)
        expectation = form.expectation
        self._is_met_by = expectation.is_met_by
        sees_bytes = hands_out_bytes(form.framing)
        self._content_of = None if sees_bytes else form.content
        self._most_bytes = expectation.seen_bytes if sees_bytes else expectation.limit_bytes
        self._begun = bytearray()
        self._is_cut = False
        self._framing = form.framing
        self._messages: deque[bytes] = deque()  # those awaited, where replies depend on them
        self._part = b""  # of the present reply, what the last read had
        self._seen: list[_Seen] = []  # in a read of which the inner decoder rejects something

    def expect(self, batch: bytes, lengths: Sequence[int]) -> None:
        """Note the messages."""
        super().expect(batch, lengths)
        if self._framing.needs_messages:
            start = 0
            for length in lengths:
                self._messages.append(batch[start : start + length])
                start += length

    def see(self, part: memoryview) -> None:
        """Keep the bytes, as far as they are needed."""
        if self._inner.rejected:
            self._part = bytes(part)
        room_bytes = self._most_bytes - len(self._begun)
        if len(part) > room_bytes:
            self._is_cut = True
            part = part[:room_bytes]
        self._begun += part

    def see_end(self) -> None:
        """Look at the reply."""
        cause = self._cause()
        message = self._messages.popleft() if self._messages else b""
        if self._inner.rejected:
            self._seen.append(_Seen(cause, message, self._part))
        elif cause:
            self.reject(cause)
        self.see_nothing()

    def see_nothing(self) -> None:
        """Forget the bytes."""
        self._begun.clear()
        self._part = b""
        self._is_cut = False

    def _cause(self) -> Cause | None:
        """Return why the reply is rejected; None if it is not."""
        if self._content_of is None:
            is_met = self._is_met_by(self._begun)
        elif self._is_cut:
            return Cause.REPLY_TOO_LONG
        else:
            is_met = self._is_met_by(self._content_of(bytes(self._begun)))
        return None if is_met else Cause.UNEXPECTED_REPLY

    def _tell(self, replies: int) -> None:
        if self._seen:
            seen, self._seen = self._seen, []
            for each, is_rejected in zip(seen, self._are_rejected(seen), strict=True):
                if each.cause and not is_rejected:  # none is rejected twice
                    self.reject(each.cause)
        super()._tell(replies)

    def _are_rejected(self, seen: Sequence["_Seen"]) -> list[bool]:
        """Return which of the replies of a read the inner decoder has rejected, and not only how
        many: each but the first, which may have begun before, is decoded again, alone."""
        count = sum(self._inner.rejected.values())
        if count >= len(seen):
            return [True] * len(seen)
        others = [self._is_rejected(each) for each in seen[1:]]
        return [count > sum(others), *others]

    def _is_rejected(self, seen: "_Seen") -> bool:
        decoder = self._framing.decoder()
        decoder.expect(seen.message, [len(seen.message)])
        try:
            decoder.feed(memoryview(seen.reply))
        except FramingError:
            return False
        return bool(decoder.rejected)


class _Seen(NamedTuple):
    """A whole reply, what it answers, and why it is to be rejected, if so."""

    cause: Cause | None
    message: bytes
    reply: bytes
