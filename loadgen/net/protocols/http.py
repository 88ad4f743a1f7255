"""HTTP/1.1 (RFC 9112): when is a response whole, what is its status, does the connection go on?

Facts. Most responses of a benchmark equal the one before, but for a date that changes once a
second. To parse one takes some 4 µs, to compare it a tenth of a microsecond. Nearly all that are
not large come whole in one read, or several of them in one where requests are pipelined.

Decision. What a read meant that began and ended between two responses is kept, by its length, and
shared by all decoders of the framing. A read that equals one of these, byte for byte, means the
same. A decoder has a parser only while a response has begun and is not whole: between two, a
thousand connections need none.

Danger. Bytes mean the same only where they answer the same: a response to HEAD looks like the
beginning of another one (RFC 9112, 6.3). Where HEAD may have been sent, each message is looked at,
and nothing is kept of what answers it.
"""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from loadgen.net.failure import Cause
from loadgen.net.protocols.base import (
    NO_LIMIT_BYTES,
    BaseDecoder,
    BaseFraming,
    Decoder,
    FramingError,
)
from loadgen.net.protocols.http_content import content_of
from loadgen.net.protocols.http_reader import ResponseReader, library

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""The methods whose requests may be sent again where a connection has ended (RFC 9110, 9.2.2)."""

_CAUSES: Final = {
    2: Cause.STATUS_2XX,
    3: Cause.STATUS_3XX,
    4: Cause.STATUS_4XX,
    5: Cause.STATUS_5XX,
}
_STATUSES: Final = re.compile(r"[2-5]xx|[2-5]\d\d")
_HIGHEST_STATUS: Final = 999

_MOST_OF_A_LENGTH: Final = 4
_MOST_KNOWN_BYTES: Final = 4 * 2**20


def parse_statuses(text: str) -> frozenset[int]:
    """Return the statuses that ``text`` names: ``4xx,5xx``, ``404,5xx``, ``none``.

    Those above 599 are of the class 5xx (RFC 9110, 15). Raises ValueError.
    """
    found: set[int] = set()
    for each in () if text == "none" else text.lower().split(","):
        if not _STATUSES.fullmatch(each):
            raise ValueError("write statuses and classes from 2xx to 5xx, as in 404,5xx, or none")
        first = int(each.replace("x", "0"))
        last = int(each.replace("x", "9"))
        found.update(range(first, _HIGHEST_STATUS + 1 if each == "5xx" else last + 1))
    return frozenset(found)


class _Known(NamedTuple):
    """What the bytes of a read meant."""

    data: bytes
    statuses: tuple[int, ...]
    closes: bool
    says_more: bool  # than statuses


class _Shared:
    """What the decoders of a framing share: what reads have meant, and readers that are free."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[_Known, ...]] = {}
        self.readers: list[ResponseReader] = []
        self._known_bytes = 0  # at most, of all that is known

    def remember(self, known: _Known) -> None:
        """Keep it as the newest of its length, and forget the oldest, or all if it is too much."""
        size = len(known.data)
        others = self.known.get(size, ())
        if len(others) < _MOST_OF_A_LENGTH:
            self._known_bytes += size
        if self._known_bytes > _MOST_KNOWN_BYTES:
            self.known.clear()
            self._known_bytes, others = size, ()
        self.known[size] = (known, *others[: _MOST_OF_A_LENGTH - 1])


@dataclass(frozen=True, slots=True)
class Http(BaseFraming):
    """Every reply is a response of HTTP/1.1 or 1.0, without those of the interim (1xx).

    method: that of all requests; None where each message is to be looked at. fails: the statuses
    that reject. keepalive: whether a connection has several requests. max_reply_bytes: of the whole
    response; where several come together, it is exceeded by one of them only if by all on average.
    """

    method: str | None = None
    fails: frozenset[int] = frozenset()
    keepalive: bool = True
    max_reply_bytes: int = NO_LIMIT_BYTES
    needs_messages: bool = field(init=False)
    _shared: _Shared = field(default_factory=_Shared, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Find out whether the method of each request matters to a decoder."""
        needs_messages = self.method == "HEAD" or self.method not in IDEMPOTENT
        object.__setattr__(self, "needs_messages", needs_messages)

    def decoder(self) -> Decoder:
        """Return a decoder. Raises UsageError where httptools is not installed."""
        library()
        return (_AttentiveDecoder if self.needs_messages else _HttpDecoder)(self, self._shared)

    def content(self, reply: bytes) -> bytes:
        """Return the response: its header as it came, an empty line, the body without chunks."""
        return content_of(reply)


class _HttpDecoder(BaseDecoder):
    """Of requests that may be repeated, and whose responses have bodies."""

    repeatable = True

    def __init__(self, form: Http, shared: _Shared) -> None:
        super().__init__()
        self._form = form
        self._shared = shared
        self._known = shared.known
        self._reader: ResponseReader | None = None  # of the response that has begun
        self._is_used = False
        self._have_bytes = 0  # of that response

    def feed(self, view: memoryview) -> int:
        if self._reader is not None:
            return self._read(view)
        for data, statuses, closes, says_more in self._known.get(len(view), ()):
            if data == view.tobytes():  # of all comparisons the fastest
                self.kinds = statuses
                if says_more:
                    self._tell(statuses, closes)
                return len(statuses)
        replies = self._read(view)
        if replies and self._reader is None:
            statuses = tuple(self.kinds)
            says_more = self.closes or not self._form.fails.isdisjoint(statuses)
            self._shared.remember(_Known(view.tobytes(), statuses, self.closes, says_more))
        return replies

    def end(self) -> int:
        reader = self._reader
        if reader is not None and reader.ends_with_stream:
            self.kinds = (reader.finish_stream(),)
            self._tell(self.kinds, closes=True)
            self._put_back(reader)
            return 1
        if reader is None and not self.closes:
            if self._may_repeat():
                self._close()
            elif self._is_used or self.kinds:
                raise FramingError(Cause.HTTP_IDLE_CLOSE)
        return 0

    def _read(self, view: memoryview) -> int:
        if self.closes:
            self.kinds = ()
            return 0
        readers = self._shared.readers
        reader = self._reader or (readers.pop() if readers else ResponseReader())
        self._is_used = self._is_used or bool(self.kinds)
        self._reader = reader
        reader.feed(view)
        self.kinds = statuses = reader.statuses
        self._check_length(len(view), len(statuses))
        if statuses:
            self._tell(statuses, reader.closes)
        self.partial = reader.is_begun and not self.closes
        if not self.partial:
            self._put_back(reader)
        return len(statuses)

    def _tell(self, statuses: Sequence[int], closes: bool) -> None:
        """Tell what whole responses of ``statuses`` say, of which the last may close."""
        for status in statuses:
            if status in self._form.fails:
                self.reject(_CAUSES[min(status // 100, 5)])
        if closes or not self._form.keepalive:
            self._close()

    def _close(self) -> None:
        self.closes = True
        self._known = {}  # what still comes means nothing

    def _put_back(self, reader: ResponseReader) -> None:
        self.partial, self._reader, self._have_bytes = False, None, 0
        if self.closes:
            reader.discard()
        else:
            self._shared.readers.append(reader)

    def _check_length(self, size_bytes: int, replies: int) -> None:
        self._have_bytes += size_bytes
        assert self._reader is not None
        parts = replies + self._reader.is_begun
        if self._have_bytes > self._form.max_reply_bytes * max(parts, 1):
            raise FramingError(Cause.REPLY_TOO_LONG)
        if replies:
            self._have_bytes = 0

    def _may_repeat(self) -> bool:
        return True


class _AttentiveDecoder(_HttpDecoder):
    """Looks at the method of each message."""

    repeatable = False

    def __init__(self, form: Http, shared: _Shared) -> None:
        super().__init__(form, shared)
        self._awaited: deque[str] = deque()  # the methods of the requests in flight
        self._heads = 0  # of these
        self._tail = b""  # the last bytes fed, where the end of a header may have begun

    def expect(self, batch: bytes, lengths: Sequence[int]) -> None:
        start = 0
        for length in lengths:
            word, _, _ = batch[start : start + min(length, 16)].partition(b" ")
            method = word.decode("latin-1")
            self._awaited.append(method)
            self._heads += method == "HEAD"
            start += length

    def feed(self, view: memoryview) -> int:
        if not self._heads:
            replies = super().feed(view)
            self._take_off(replies)
            return replies
        statuses: list[int] = []
        for part in self._parts(view):
            self._take_off(self._read(part))
            statuses += self.kinds
            if self._reader and self._reader.has_head and self._awaits_head:
                statuses.append(self._finish_head(self._reader))
        self.kinds = statuses
        return len(statuses)

    def _finish_head(self, reader: ResponseReader) -> int:
        status = reader.finish_head()
        self._tell((status,), reader.closes)
        reader.discard()
        self.partial, self._reader, self._have_bytes = False, None, 0
        self._take_off(1)
        return status

    def _parts(self, view: memoryview) -> Iterator[memoryview]:
        """Yield the bytes of ``view`` in parts: the end of a header is the end of one."""
        data, before = self._tail + view, len(self._tail)
        self._tail = data[-3:]
        start = 0
        for match in re.finditer(rb"\r\n\r\n", data):
            yield view[start : match.end() - before]
            start = match.end() - before
        if start < len(view):
            yield view[start:]

    def _take_off(self, replies: int) -> None:
        for _ in range(min(replies, len(self._awaited))):
            self._heads -= self._awaited.popleft() == "HEAD"

    @property
    def _awaits_head(self) -> bool:
        return bool(self._awaited) and self._awaited[0] == "HEAD"

    def _may_repeat(self) -> bool:
        return IDEMPOTENT.issuperset(self._awaited)
