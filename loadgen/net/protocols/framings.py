"""The framings: echo, fixed length, delimiter, length prefix, end of stream, no reply."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from loadgen.net.failure import Cause
from loadgen.net.protocols.base import (
    NO_LIMIT_BYTES,
    BaseDecoder,
    BaseFraming,
    Decoder,
    FramingError,
)


@dataclass(frozen=True, slots=True)
class Fixed(BaseFraming):
    """Every reply has ``size_bytes`` bytes."""

    size_bytes: int

    def decoder(self) -> Decoder:
        """Return a decoder that counts bytes."""
        return _FixedDecoder(self.size_bytes)

    def reply_bytes(self, message_bytes: int) -> int | None:
        """Return the one length."""
        return self.size_bytes


class _FixedDecoder(BaseDecoder):
    def __init__(self, size_bytes: int) -> None:
        super().__init__()
        self._size_bytes = size_bytes
        self._have_bytes = 0

    def feed(self, view: memoryview) -> int:
        replies, self._have_bytes = divmod(self._have_bytes + len(view), self._size_bytes)
        self.partial = self._have_bytes > 0
        return replies

    def ends(self, view: memoryview) -> Sequence[int]:
        first = self._size_bytes - self._have_bytes
        self.feed(view)
        return range(first, len(view) + 1, self._size_bytes)


@dataclass(frozen=True, slots=True)
class Echo(BaseFraming):
    """Every reply is as long as its message; with ``verify``, it is the same bytes."""

    verify: bool = False
    needs_messages = True

    def decoder(self) -> Decoder:
        """Return a decoder that must be told of every message."""
        return _VerifyingDecoder() if self.verify else _EchoDecoder()

    def reply_bytes(self, message_bytes: int) -> int | None:
        """Return the message's length, unless the bytes must be looked at."""
        return None if self.verify else message_bytes


class _EchoDecoder(BaseDecoder):
    def __init__(self) -> None:
        super().__init__()
        self._awaited: deque[int] = deque()  # the lengths of the replies to come
        self._have_bytes = 0  # of the first of them

    def expect(self, batch: bytes, lengths: Sequence[int]) -> None:
        self._awaited.extend(lengths)

    def feed(self, view: memoryview) -> int:
        return len(self.ends(view))

    def ends(self, view: memoryview) -> Sequence[int]:
        awaited = self._awaited
        have = self._have_bytes + len(view)
        found = []
        while awaited and have >= awaited[0]:
            have -= awaited.popleft()
            found.append(len(view) - have)
        if have and not awaited:
            raise FramingError(Cause.UNEXPECTED_BYTES)
        self._have_bytes = have
        self.partial = have > 0
        return found


class _VerifyingDecoder(_EchoDecoder):
    def __init__(self) -> None:
        super().__init__()
        self._sent = bytearray()  # and not echoed yet

    def expect(self, batch: bytes, lengths: Sequence[int]) -> None:
        super().expect(batch, lengths)
        self._sent += batch

    def ends(self, view: memoryview) -> Sequence[int]:
        found = super().ends(view)
        if not self._sent.startswith(view):
            raise FramingError(Cause.MISMATCH)
        del self._sent[: len(view)]
        return found


@dataclass(frozen=True, slots=True)
class NoReply(BaseFraming):
    """One way only: the server answers nothing."""

    one_way = True

    def decoder(self) -> Decoder:
        """Return a decoder that accepts no byte."""
        return _NoReplyDecoder()


class _NoReplyDecoder(BaseDecoder):
    def feed(self, view: memoryview) -> int:
        raise FramingError(Cause.UNEXPECTED_BYTES)


@dataclass(frozen=True, slots=True)
class UntilEof(BaseFraming):
    """The reply ends when the server closes the connection; the next message needs a new one."""

    max_reply_bytes: int = NO_LIMIT_BYTES

    def decoder(self) -> Decoder:
        """Return a decoder that waits for the end."""
        return _UntilEofDecoder(self.max_reply_bytes)


class _UntilEofDecoder(BaseDecoder):
    def __init__(self, max_reply_bytes: int) -> None:
        super().__init__()
        self._room_bytes = max_reply_bytes

    def feed(self, view: memoryview) -> int:
        self._room_bytes -= len(view)
        if self._room_bytes < 0:
            raise FramingError(Cause.REPLY_TOO_LONG)
        self.partial = True
        return 0

    def ends(self, view: memoryview) -> Sequence[int]:
        self.feed(view)
        return ()

    def end(self) -> int:
        # A server that closes without a byte has not answered.
        return 1 if self.partial else 0


@dataclass(frozen=True, slots=True)
class Delimiter(BaseFraming):
    """Every reply ends with ``mark``, which occurs nowhere else in it."""

    mark: bytes
    max_reply_bytes: int = NO_LIMIT_BYTES

    def decoder(self) -> Decoder:
        """Return a decoder that looks for the mark."""
        return _DelimiterDecoder(self.mark, self.max_reply_bytes)


class _DelimiterDecoder(BaseDecoder):
    repeatable = True

    def __init__(self, mark: bytes, max_reply_bytes: int) -> None:
        super().__init__()
        self._mark = mark
        self._max_reply_bytes = max_reply_bytes
        self._tail = b""  # the last bytes fed, where a mark may have begun
        self._before_bytes = 0  # of the same reply, before the tail

    def ends(self, view: memoryview) -> Sequence[int]:
        before, mark_bytes = len(self._tail), len(self._mark)
        *whole, _ = (self._tail + view).split(self._mark)
        self.feed(view)
        return [end - before for end in accumulate(len(piece) + mark_bytes for piece in whole)]

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
class LengthPrefix(BaseFraming):
    """Every reply begins with its length, an unsigned integer of ``prefix_bytes`` bytes.

    With ``header_included`` the length counts the prefix itself as well.
    """

    prefix_bytes: int
    byte_order: Literal["big", "little"] = "big"
    header_included: bool = False
    max_reply_bytes: int = NO_LIMIT_BYTES

    def decoder(self) -> Decoder:
        """Return a decoder that reads prefixes and skips what they announce."""
        return _LengthPrefixDecoder(self)


class _LengthPrefixDecoder(BaseDecoder):
    repeatable = True

    def __init__(self, form: LengthPrefix) -> None:
        super().__init__()
        self._prefix_bytes = form.prefix_bytes
        self._byte_order = form.byte_order
        self._prefix = b""  # as much of it as has come
        self._body_missing_bytes = 0
        self._counted_bytes = form.prefix_bytes if form.header_included else 0  # of the prefix
        self._most_announced = form.max_reply_bytes - form.prefix_bytes + self._counted_bytes

    def feed(self, view: memoryview) -> int:
        return len(self.ends(view))

    def ends(self, view: memoryview) -> Sequence[int]:
        found = []
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
                found.append(position)
        self.partial = bool(self._prefix)
        return found

    def _body_bytes(self) -> int:
        announced = int.from_bytes(self._prefix, self._byte_order)
        if announced < self._counted_bytes:
            raise FramingError(Cause.BAD_FRAME)
        if announced > self._most_announced:
            raise FramingError(Cause.REPLY_TOO_LONG)
        return announced - self._counted_bytes
