"""Replies known by their length alone: the echo of a message, or a fixed number of bytes."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from loadgen.net.failure import Cause
from loadgen.net.protocols.base import Decoder, FramingError, QuietDecoder


@dataclass(frozen=True, slots=True)
class Fixed:
    """Every reply has ``size_bytes`` bytes."""

    size_bytes: int
    one_way = False

    def decoder(self) -> Decoder:
        """Return a decoder that counts bytes."""
        return _FixedDecoder(self.size_bytes)

    def reply_bytes(self, message_bytes: int) -> int | None:
        """Return the one length."""
        return self.size_bytes


class _FixedDecoder(QuietDecoder):
    def __init__(self, size_bytes: int) -> None:
        super().__init__()
        self._size_bytes = size_bytes
        self._have_bytes = 0

    def feed(self, view: memoryview) -> int:
        replies, self._have_bytes = divmod(self._have_bytes + len(view), self._size_bytes)
        self.partial = self._have_bytes > 0
        return replies


@dataclass(frozen=True, slots=True)
class Echo:
    """Every reply is as long as its message; with ``verify``, it is the same bytes."""

    verify: bool = False
    one_way = False

    def decoder(self) -> Decoder:
        """Return a decoder that must be told of every message."""
        return _VerifyingDecoder() if self.verify else _EchoDecoder()

    def reply_bytes(self, message_bytes: int) -> int | None:
        """Return the message's length, unless the bytes must be looked at."""
        return None if self.verify else message_bytes


class _EchoDecoder(QuietDecoder):
    def __init__(self) -> None:
        super().__init__()
        self._awaited: deque[int] = deque()  # the lengths of the replies to come
        self._have_bytes = 0  # of the first of them

    def expect(self, batch: bytes, lengths: Sequence[int]) -> None:
        self._awaited.extend(lengths)

    def feed(self, view: memoryview) -> int:
        awaited = self._awaited
        have = self._have_bytes + len(view)
        replies = 0
        while awaited and have >= awaited[0]:
            have -= awaited.popleft()
            replies += 1
        if have and not awaited:
            raise FramingError(Cause.UNEXPECTED_BYTES)
        self._have_bytes = have
        self.partial = have > 0
        return replies


class _VerifyingDecoder(_EchoDecoder):
    def __init__(self) -> None:
        super().__init__()
        self._sent = bytearray()  # and not echoed yet

    def expect(self, batch: bytes, lengths: Sequence[int]) -> None:
        super().expect(batch, lengths)
        self._sent += batch

    def feed(self, view: memoryview) -> int:
        replies = super().feed(view)
        if not self._sent.startswith(view):
            raise FramingError(Cause.MISMATCH)
        del self._sent[: len(view)]
        return replies
