"""Replies that say themselves where they end: by a delimiter, or by a length before them."""

from dataclasses import dataclass
from typing import Literal

from loadgen.net.failure import Cause
from loadgen.net.protocols.base import (
    NO_LIMIT_BYTES,
    Decoder,
    FramingError,
    QuietDecoder,
)


@dataclass(frozen=True, slots=True)
class Delimiter:
    """Every reply ends with ``mark``, which occurs nowhere else in it."""

    mark: bytes
    max_reply_bytes: int = NO_LIMIT_BYTES
    one_way = False

    def decoder(self) -> Decoder:
        """Return a decoder that looks for the mark."""
        return _DelimiterDecoder(self.mark, self.max_reply_bytes)

    def reply_bytes(self, message_bytes: int) -> int | None:
        """Return None: only the bytes tell."""
        return None


class _DelimiterDecoder(QuietDecoder):
    def __init__(self, mark: bytes, max_reply_bytes: int) -> None:
        super().__init__()
        self._mark = mark
        self._max_reply_bytes = max_reply_bytes
        self._tail = b""  # the last bytes fed, where a mark may have begun
        self._before_bytes = 0  # of the same reply, before the tail

    def feed(self, view: memoryview) -> int:
        fed = self._tail + view
        pieces = fed.split(self._mark)
        if self._before_bytes + len(fed) > self._max_reply_bytes:
            self._check_lengths(pieces)
        replies = len(pieces) - 1
        if replies:
            self._before_bytes = 0
        rest = pieces[-1]
        if rest:
            # A mark of n bytes that is cut has at most n - 1 of them on this side.
            tail_at = max(0, len(rest) - len(self._mark) + 1)
            self._before_bytes += tail_at
            self._tail = rest[tail_at:]
            self.partial = True
        else:
            self._tail = b""
            self.partial = False
        return replies

    def _check_lengths(self, pieces: list[bytes]) -> None:
        *whole, rest = map(len, pieces)
        lengths = [*(length + len(self._mark) for length in whole), rest]
        lengths[0] += self._before_bytes
        if max(lengths) > self._max_reply_bytes:
            raise FramingError(Cause.REPLY_TOO_LONG)


@dataclass(frozen=True, slots=True)
class LengthPrefix:
    """Every reply begins with its length, an unsigned integer of ``prefix_bytes`` bytes.

    With ``header_included`` the length counts the prefix itself as well.
    """

    prefix_bytes: int
    byte_order: Literal["big", "little"] = "big"
    header_included: bool = False
    max_reply_bytes: int = NO_LIMIT_BYTES
    one_way = False

    def decoder(self) -> Decoder:
        """Return a decoder that reads prefixes and skips what they announce."""
        return _LengthPrefixDecoder(self)

    def reply_bytes(self, message_bytes: int) -> int | None:
        """Return None: only the bytes tell."""
        return None


class _LengthPrefixDecoder(QuietDecoder):
    def __init__(self, form: LengthPrefix) -> None:
        super().__init__()
        self._prefix_bytes = form.prefix_bytes
        self._byte_order = form.byte_order
        self._prefix = b""  # as much of it as has come
        self._body_missing_bytes = 0
        self._counted_bytes = form.prefix_bytes if form.header_included else 0  # of the prefix
        self._most_announced = form.max_reply_bytes - form.prefix_bytes + self._counted_bytes

    def feed(self, view: memoryview) -> int:
        replies = 0
        position, size = 0, len(view)
        prefix_bytes = self._prefix_bytes
        while position < size:
            if len(self._prefix) < prefix_bytes:
                wanted = prefix_bytes - len(self._prefix)
                self._prefix += view[position : position + wanted]
                position += wanted
                if len(self._prefix) < prefix_bytes:
                    break
                self._body_missing_bytes = self._body_bytes()
            taken = min(self._body_missing_bytes, size - position)
            self._body_missing_bytes -= taken
            position += taken
            if not self._body_missing_bytes:
                self._prefix = b""
                replies += 1
        self.partial = bool(self._prefix)
        return replies

    def _body_bytes(self) -> int:
        announced = int.from_bytes(self._prefix, self._byte_order)
        if announced < self._counted_bytes:
            raise FramingError(Cause.BAD_FRAME)
        if announced > self._most_announced:
            raise FramingError(Cause.REPLY_TOO_LONG)
        return announced - self._counted_bytes
