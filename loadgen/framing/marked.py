"""Replies that say themselves where they end: by a delimiter, or by a length before them."""

from dataclasses import dataclass
from typing import Literal

from loadgen.failure import Cause
from loadgen.framing.base import Decoder, FramingError, QuietDecoder


@dataclass(frozen=True, slots=True)
class Delimiter:
    """Every reply ends with ``mark``, which occurs nowhere else in it."""

    mark: bytes
    one_way = False

    def decoder(self) -> Decoder:
        """Return a decoder that looks for the mark."""
        return _DelimiterDecoder(self.mark)

    def reply_bytes(self, message_bytes: int) -> int | None:
        """Return None: only the bytes tell."""
        return None


class _DelimiterDecoder(QuietDecoder):
    def __init__(self, mark: bytes) -> None:
        super().__init__()
        self._mark = mark
        self._tail = b""  # the last bytes fed, where a mark may have begun

    def feed(self, view: memoryview) -> int:
        *whole, rest = (self._tail + view).split(self._mark)
        self.partial = bool(rest)
        # A mark of n bytes that is cut has at most n - 1 of them on this side.
        self._tail = (
            rest[len(rest) - len(self._mark) + 1 :] if len(rest) >= len(self._mark) else rest
        )
        return len(whole)


@dataclass(frozen=True, slots=True)
class LengthPrefix:
    """Every reply begins with its length, an unsigned integer of ``prefix_bytes`` bytes.

    With ``header_included`` the length counts the prefix itself as well.
    """

    prefix_bytes: int
    byte_order: Literal["big", "little"] = "big"
    header_included: bool = False
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
        self._form = form
        self._prefix = b""  # as much of it as has come
        self._body_missing_bytes = 0

    def feed(self, view: memoryview) -> int:
        replies = 0
        position = 0
        prefix_bytes = self._form.prefix_bytes
        while position < len(view):
            if len(self._prefix) < prefix_bytes:
                wanted = prefix_bytes - len(self._prefix)
                self._prefix += view[position : position + wanted]
                position += wanted
                if len(self._prefix) < prefix_bytes:
                    break
                self._body_missing_bytes = self._body_bytes()
            taken = min(self._body_missing_bytes, len(view) - position)
            self._body_missing_bytes -= taken
            position += taken
            if not self._body_missing_bytes:
                self._prefix = b""
                replies += 1
        self.partial = bool(self._prefix)
        return replies

    def _body_bytes(self) -> int:
        announced = int.from_bytes(self._prefix, self._form.byte_order)
        if self._form.header_included:
            announced -= self._form.prefix_bytes
        if announced < 0:
            raise FramingError(Cause.BAD_FRAME)
        return announced
