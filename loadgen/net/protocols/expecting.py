"""Expecting replies: a framing around another one, whose decoders reject what is not expected.

A server may answer each message, and refuse each: a Redis that wants a password answers ``-NOAUTH``
to every command, fast. Only its user knows what a good reply looks like. A reply that is another
one is rejected: it is whole and has a time, and the connection goes on.

What is compared is the content of the reply (`Framing.content`), which is what user code gets, too:
most framings hand out the bytes of the reply as they came.
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from loadgen.net.failure import Cause
from loadgen.net.protocols.base import MOST_REPLY_BYTES, hands_out_bytes
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
        self._unexpected = self._too_long = 0  # of the replies that became whole last

    def see(self, part: memoryview) -> None:
        """Keep the bytes, as far as they are needed."""
        room_bytes = self._most_bytes - len(self._begun)
        if len(part) > room_bytes:
            self._is_cut = True
            part = part[:room_bytes]
        self._begun += part

    def see_end(self) -> None:
        """Look at the reply."""
        if self._content_of is None:
            self._unexpected += not self._is_met_by(self._begun)
        elif self._is_cut:
            self._too_long += 1
        else:
            self._unexpected += not self._is_met_by(self._content_of(bytes(self._begun)))
        self.see_nothing()

    def see_nothing(self) -> None:
        """Forget the bytes."""
        self._begun.clear()
        self._is_cut = False

    def _tell(self, replies: int) -> None:
        # Those that the inner decoder rejects are taken to be among them: none is rejected twice.
        others = self._unexpected - sum(self._inner.rejected.values())
        if others > 0:
            self.reject(Cause.UNEXPECTED_REPLY, others)
        if self._too_long:
            self.reject(Cause.REPLY_TOO_LONG, self._too_long)
        self._unexpected = self._too_long = 0
        super()._tell(replies)
