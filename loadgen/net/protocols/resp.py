r"""Replies of Redis: where each ends, which of them say no, and what no message asked for.

Facts. RESP2 and RESP3 (https://redis.io/docs/latest/develop/reference/protocol-spec/) are the same
for who only counts: an element is a line, whose first byte is its type; a string of a given length
follows it, or a number of further elements. So the number of elements that are still to come is all
that must be remembered of a reply, however deep it is nested. The replies of a benchmark are few
and equal, and those to a pipeline arrive together.

Danger. The server is not trusted: it may announce 2^63 elements, nest them without end, or never
end a line. A parser that builds what it reads is made to allocate what was announced, and cannot
say where in the bytes a reply ends. hiredis takes 90 bytes of memory for 4 bytes of nesting.

Decision. Replies are counted here and nothing is built: a decoder keeps two numbers, and of what is
cut the beginning of a line. A read that equals one that consisted of whole, good replies has as
many: all decoders of a framing share what is known (`_MOST_KNOWN` reads), and the others are
parsed. Python is slow at single elements: plain strings in a long array are taken together, split
at their line ends, and compared with the headers that strings of their lengths have.

The price, in µs a read (``python -m bench.replies``; CPython 3.11, on a busy machine): hiredis 0.3
for the reply to GET and 2.8 for LRANGE_100; here 0.15 and 0.4 if it is known, 0.9 and 17 if not. A
load whose long lists all differ would be faster with hiredis, and unbounded.

What counts as what:

- A reply with an error anywhere in it, such as that of EXEC, is rejected, by the first code in it.
- A push of RESP3 is unsolicited; so is a message of pub/sub in RESP2, on a connection that has
  subscribed. That a subscription was made is the reply to the command that asked for it, although
  RESP3 sends it as a push.
- The length of a reply is limited by what it announces: each element has 3 bytes at least.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final, NamedTuple

from loadgen.net.failure import Cause
from loadgen.net.protocols.base import (
    NO_LIMIT_BYTES,
    BaseDecoder,
    BaseFraming,
    FramingError,
)

_MOST_KNOWN: Final = 64
_LONGEST_KNOWN_BYTES: Final = 2**16
_LONGEST_LINE_BYTES: Final = 2**16
_LEAST_ELEMENT_BYTES: Final = 3
_LONG_ARRAY: Final = 8
"""Elements from which on it is cheaper to split them all than to look at each."""
_LONGEST_NAME_BYTES: Final = len(b"punsubscribe")
_LONGEST_CODE_BYTES: Final = 32

_END: Final = b"\r\n"

_CONFIRMATIONS: Final = frozenset(
    f"{kind}{un}subscribe".encode() for kind in ("", "p", "s") for un in ("", "un")
)
_PUBLISHED: Final = frozenset((b"message", b"pmessage", b"smessage"))

_HEADERS: Final = tuple(b"$%d" % length for length in range(1024))
"""The lines before strings of that many bytes."""

_SHORT: Final = {
    **{line: len(_END) for line in (b"+OK", b"+PONG", b"+QUEUED", b"$-1", b"*0", b"*-1", b"_")},
    **{b":%d" % number: len(_END) for number in range(1024)},
    **{header: length + 2 * len(_END) for length, header in enumerate(_HEADERS)},
}
"""The first lines of most short replies, and how many bytes follow each until the reply ends."""

_FORMS: Final = {
    kind: re.compile(form)
    for kind, form in {
        b"+": rb"[^\r\n]*",
        b"-": rb"[^\r\n]*",
        b"_": rb"",
        b"#": rb"[tf]",
        b":": rb"-?\d+",
        b"(": rb"-?\d+",
        b",": rb"[-+]?(?:inf|nan|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)",
    }.items()
}
"""What may follow the type of an element that is one line."""

_ELEMENTS: Final = {b"*": 1, b"~": 1, b">": 1, b"%": 2, b"|": 2}
"""How many elements follow for each that is announced."""

_MAY_BE_PUSHED: Final = (b">", b"*3\r\n", b"*4\r\n")
"""How a frame begins whose first string says what it is."""

_CODES: Final = {
    cause.value.removeprefix("resp_").upper().encode(): cause
    for cause in Cause
    if cause.value.startswith("resp_")
}


@dataclass(frozen=True, slots=True)
class Resp(BaseFraming):
    """Replies of Redis, in either version of its protocol."""

    max_reply_bytes: int = NO_LIMIT_BYTES
    has_subscribed: bool = False
    """Whether connections have subscribed before the first of these replies, such as with their
    first message; otherwise a decoder finds out when that is confirmed."""
    _known: dict[bytes, int] = field(default_factory=dict, compare=False, repr=False)

    def decoder(self) -> "RespDecoder":
        """Return a decoder; it knows the reads that others have found whole."""
        return RespDecoder(self.max_reply_bytes, self.has_subscribed, self._known)

    def content(self, reply: bytes) -> bytes:
        """Return the bytes of the reply itself, without what came unsolicited before it."""
        if reply[:1] not in (b">", b"*"):
            return reply
        *_, last = Resp(self.max_reply_bytes).decoder().frames(reply)
        return reply[last.start : last.end]


class Frame(NamedTuple):
    """Where a reply or a push begins and ends in the bytes that made it whole.

    The start is below 0 where it began before them. error: the first in it.
    """

    start: int
    end: int
    is_push: bool
    error: Cause | None


class RespDecoder(BaseDecoder):
    """Counts replies; what it remembers of one that is cut does not grow with it."""

    unsolicited = True

    def __init__(self, max_reply_bytes: int, has_subscribed: bool, known: dict[bytes, int]) -> None:
        super().__init__()
        self._max_reply_bytes = max_reply_bytes
        self._known = known  # how many replies a read has, whatever was read before
        self._is_open = False  # a frame has begun: its first line was taken
        self._begun_bytes = 0  # of that frame, in earlier reads
        self._to_come = 0  # elements of it
        self._strings_ahead = 0  # of them, which may be plain strings, to be taken together
        self._skip_bytes = 0  # of the present string, to come
        self._rest = b""  # the beginning of an element that is cut
        self._is_naming = self._is_push = False
        self._has_subscribed = has_subscribed
        self._is_of_pub_sub = False  # something in the present read
        self._error: Cause | None = None

    def feed(self, view: memoryview) -> int:
        """Return how many replies have become whole. Raises FramingError."""
        data = view.tobytes()
        if not self.partial:
            replies = self._known.get(data)
            if replies is not None:
                self.repeatable = True
                return replies
        return len(self._read(data))

    def ends(self, view: memoryview) -> Sequence[int]:
        """Return where in ``view`` replies end. Raises FramingError."""
        return self._read(view.tobytes())

    def _read(self, data: bytes) -> list[int]:
        self._is_of_pub_sub = False
        ends, start = ([], 0) if self.partial else self._take_short(data)
        is_known = not self.partial and len(data) <= _LONGEST_KNOWN_BYTES
        for frame in self.frames(data[start:]) if start < len(data) else ():
            if not frame.is_push:
                ends.append(start + frame.end)
                if frame.error is not None:
                    self.reject(frame.error)
            is_known = is_known and not frame.is_push and frame.error is None
        self.repeatable = is_known and not self._is_of_pub_sub
        if self.repeatable and not self.partial:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[data] = len(ends)
        return ends

    def _take_short(self, data: bytes) -> tuple[list[int], int]:
        """Return where the first replies end, as far as each is short and whole, and the last."""
        ends: list[int] = []
        at, size, limit_bytes = 0, len(data), self._max_reply_bytes
        while (line_end := data.find(_END, at)) >= 0:
            after = line_end + _SHORT.get(data[at:line_end], size + 1)
            if after > size or after - at > limit_bytes:
                break
            ends.append(after)
            at = after
        return ends, at

    def frames(self, data: bytes) -> Iterator[Frame]:
        """Yield what becomes whole in ``data``. Raises FramingError."""
        before_bytes = len(self._rest)
        data, self._rest = self._rest + data, b""
        size, start, position = len(data), 0, self._skip_bytes
        self._strings_ahead = self._to_come
        if position < size:
            position = self._take_strings(data, position)
        while True:
            if self._is_open and not self._to_come and position <= size:
                self._is_open = False
                start -= self._begun_bytes
                yield Frame(
                    start - before_bytes, position - before_bytes, self._is_push, self._error
                )
            if position >= size:
                break
            is_first = not self._is_open
            if is_first:
                start = position
                self._begin(data, start)
            after = self._take(data, position)
            if after < 0:
                self._rest = data[position:]
                self._is_open = not is_first
                break
            position = after
            if self._strings_ahead and after < size:
                position = self._take_strings(data, after)
            least_bytes = position - start + self._to_come * _LEAST_ELEMENT_BYTES
            if least_bytes + self._begun_bytes > self._max_reply_bytes:
                raise FramingError(Cause.REPLY_TOO_LONG)
        self._skip_bytes = max(0, position - size)
        self._begun_bytes = self._is_open * (self._begun_bytes + size - len(self._rest) - start)
        self.partial = self._is_open or bool(self._rest)
        self._check_rest()

    def _begin(self, data: bytes, start: int) -> None:
        self._is_open = True
        self._to_come = 1
        self._begun_bytes = 0
        self._error = None
        self._is_naming = data.startswith(_MAY_BE_PUSHED, start)
        self._is_push = data.startswith(b">", start)

    def _check_rest(self) -> None:
        if self._begun_bytes + len(self._rest) > self._max_reply_bytes:
            raise FramingError(Cause.REPLY_TOO_LONG)
        if len(self._rest) > _LONGEST_LINE_BYTES:
            raise FramingError(Cause.BAD_FRAME)

    # ---- elements -------------------------------------------------------------------------

    def _take(self, data: bytes, at: int) -> int:
        """Take the element at ``at``; return where the next one begins, -1 if it is cut.

        A string may end behind ``data``.
        """
        line_end = data.find(_END, at)
        if line_end < 0:
            return -1
        short_bytes = _SHORT.get(data[at:line_end])
        if short_bytes is not None and not self._is_naming:
            self._to_come -= 1
            return line_end + short_bytes
        kind, text, after = data[at : at + 1], data[at + 1 : line_end], line_end + len(_END)
        if kind in _ELEMENTS:
            count = max(0, _length(text, may_be_null=kind == b"*")) * _ELEMENTS[kind]
            self._to_come += count - (kind != b"|")
            self._strings_ahead = count
            return after
        if kind in b"$=!":
            length = _length(text, may_be_null=kind == b"$")
            if length >= 0:
                after = self._take_string(kind, data, after, length)
            if after < 0:
                return -1
        elif kind not in _FORMS or not _FORMS[kind].fullmatch(text):
            raise FramingError(Cause.BAD_FRAME)
        elif kind == b"-":
            self._take_error(text)
        self._is_naming = False
        self._to_come -= 1
        return after

    def _take_string(self, kind: bytes, data: bytes, start: int, length: int) -> int:
        end = start + length
        if kind == b"!":
            wanted_bytes = min(length, _LONGEST_CODE_BYTES)
        else:
            wanted_bytes = length if self._is_naming and length <= _LONGEST_NAME_BYTES else 0
        if wanted_bytes > 0:
            word = data[start : start + wanted_bytes]
            if len(word) < wanted_bytes:
                return -1
            if kind == b"!":
                self._take_error(word)
            else:
                self._take_name(word)
        return end + len(_END)

    def _take_name(self, name: bytes) -> None:
        """Take the first string of what may be a push, which says what it is."""
        if name in _CONFIRMATIONS:
            self._is_of_pub_sub = self._has_subscribed = True
            self._is_push = False
        elif name in _PUBLISHED:
            self._is_of_pub_sub = True
            self._is_push |= self._has_subscribed

    def _take_error(self, text: bytes) -> None:
        if self._error is None:
            code, _, _ = text.partition(b" ")
            self._error = _CODES.get(code, Cause.RESP_OTHER)

    def _take_strings(self, data: bytes, at: int) -> int:
        """Take plain strings of a long array together, if there are any; return where they end.

        It is tried once for an array, so that what cannot be taken so is not split again and again.
        """
        most, self._strings_ahead = self._strings_ahead, 0
        if most < _LONG_ARRAY or self._is_naming:
            return at
        tokens = data[at:].split(_END, 2 * most)
        whole = (len(tokens) - 1) // 2 * 2
        strings = tokens[1:whole:2]
        if len(strings) < _LONG_ARRAY:
            return at
        try:
            headers = itemgetter(*map(len, strings))(_HEADERS)
        except IndexError:
            return at
        if tuple(tokens[:whole:2]) != headers:
            return at
        self._to_come -= len(strings)
        behind = tokens[whole:]
        return len(data) - sum(map(len, behind)) - len(_END) * (len(behind) - 1)


def _length(text: bytes, may_be_null: bool) -> int:
    """Return the number that ``text`` is, -1 for what is null."""
    if text == b"1":
        return 1  # nested without end, it is still to be quick
    try:
        length = int(text)
    except ValueError:
        raise FramingError(Cause.BAD_FRAME) from None
    if b"%d" % length != text or length < -may_be_null:
        raise FramingError(Cause.BAD_FRAME)
    return length
