"""Replies of WebSocket (RFC 6455): a message each, in one frame or in fragments.

Facts. Between the frames of a message, and between messages, control frames may come: a ping, which
wants a pong; a pong, which nobody asked for; and a close, with a code that says why. A server must
not mask, and must use neither reserved bits nor lengths that are longer than they need to be.

Decision. A read that is one whole frame, which most are, is recognised by its first bytes; no other
byte of its payload is looked at. Payloads are skipped as they come and not kept, whatever they
announce. Whether text is UTF-8 (section 8.1) is not checked: that would cost a pass over each
message, and is the client's business, not the server's.

A close with 1000 or 1001, or without a code, is an orderly end. Another one is a failure, as are
frames that must not be; each is answered with a close before the connection ends.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

from loadgen.net.failure import Cause
from loadgen.net.protocols.base import (
    NO_LIMIT_BYTES,
    BaseDecoder,
    BaseFraming,
    Decoder,
    FramingError,
)
from loadgen.net.protocols.websocket_frames import (
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    Header,
    close_frame,
    control_frame,
    is_masked,
    payload_of,
    read_header,
)

_WHOLE_TEXT: Final = 0x81
_WHOLE_BINARY: Final = 0x82
_LENGTH_IN_2: Final = 126

_ORDERLY: Final = frozenset({1000, 1001})
_CAUSES_OF_CLOSE: Final = {
    1002: Cause.WS_CLOSE_1002,
    1003: Cause.WS_CLOSE_1003,
    1007: Cause.WS_CLOSE_1007,
    1008: Cause.WS_CLOSE_1008,
    1009: Cause.WS_CLOSE_1009,
    1010: Cause.WS_CLOSE_1010,
    1011: Cause.WS_CLOSE_1011,
    1012: Cause.WS_CLOSE_1012,
    1013: Cause.WS_CLOSE_1013,
    1014: Cause.WS_CLOSE_1014,
    **dict.fromkeys(range(3000, 4000), Cause.WS_CLOSE_3XXX),
    **dict.fromkeys(range(4000, 5000), Cause.WS_CLOSE_4XXX),
}
_NORMAL, _PROTOCOL_ERROR, _TOO_BIG = 1000, 1002, 1009
_CODES_OF_OURS: Final = {Cause.BAD_FRAME: _PROTOCOL_ERROR, Cause.REPLY_TOO_LONG: _TOO_BIG}


@dataclass(frozen=True, slots=True)
class WebSocketReplies(BaseFraming):
    """Every reply is a message; ``max_reply_bytes`` bounds it, with the headers of its frames."""

    max_reply_bytes: int = NO_LIMIT_BYTES

    def decoder(self) -> Decoder:
        """Return a decoder of messages."""
        return _MessageDecoder(self.max_reply_bytes)

    def farewell(self) -> bytes:
        """Return a close frame (section 5.5.1): without one, a server sees a connection lost."""
        return close_frame(_NORMAL)

    def content(self, reply: bytes) -> bytes:
        """Return the payload of the message."""
        return payload_of(reply)


@dataclass(frozen=True, slots=True)
class WebSocketEchoes(WebSocketReplies):
    """Every reply has the payload of its message, which is compared; text may come as binary."""

    needs_messages = True

    def decoder(self) -> Decoder:
        """Return a decoder that must be told of every message."""
        return _EchoDecoder(self.max_reply_bytes)


class _MessageDecoder(BaseDecoder):
    unsolicited = True

    def __init__(self, max_reply_bytes: int) -> None:
        super().__init__()
        self._max_reply_bytes = max_reply_bytes
        self._is_between = True  # messages: none has begun, and more may come
        self._begun = b""  # a header, or a control frame, that is not whole
        self._in_frame = False  # of a message
        self._is_final = False  # that frame
        self._missing_bytes = 0  # of its payload
        self._in_message = False
        self._message_bytes = 0  # so far, with the frame that has begun

    def feed(self, view: memoryview) -> int:
        size = len(view)
        if self._is_between and 2 < size <= self._max_reply_bytes:  # the usual case, cheaply
            first, length = view[0], view[1]
            if first == _WHOLE_TEXT or first == _WHOLE_BINARY:  # noqa: PLR1714, SIM109 - it is faster
                if length == size - 2 and length < _LENGTH_IN_2:
                    return 1
                if length == _LENGTH_IN_2 <= size - 4 == (view[2] << 8 | view[3]):
                    return 1
        return len(self.ends(view))

    def ends(self, view: memoryview) -> Sequence[int]:
        """Do what `feed` does, but return where in ``view`` the replies end."""
        before, self._begun = self._begun, b""
        if before:
            view = memoryview(before + view)
        try:
            found = [end - len(before) for end in self._ends_in(view)]
        except FramingError as error:
            self._tell(error.cause)
            raise
        self.partial = bool(self._begun) or self._in_message
        self._is_between = not (self.partial or self.closes)
        return found

    def _ends_in(self, view: memoryview) -> Iterator[int]:
        at = 0
        while at < len(view) and not self.closes:  # what follows a close is discarded (5.5.1)
            if self._in_frame:
                end = min(at + self._missing_bytes, len(view))
                self._take(view[at:end])
                self._missing_bytes -= end - at
                at = end
            else:
                at = self._begin(view, at)
            if self._in_frame and not self._missing_bytes:
                self._in_frame = False
                self._in_message = not self._is_final
                if self._is_final:
                    self._message_bytes = 0
                    self._complete()
                    yield at

    def _begin(self, view: memoryview, at: int) -> int:
        """Read the header at ``at``, and the payload of a control frame; return what follows."""
        if is_masked(view, at):  # section 5.1: a server must not
            raise FramingError(Cause.BAD_FRAME)
        header = read_header(view, at)
        start = at + (header.header_bytes if header else 0)
        end = start + (header.payload_bytes if header else 0)
        if header is None or (header.is_control and end > len(view)):
            self._begun = bytes(view[at:])
            return len(view)
        if header.is_control:
            self._count(header)
            self._obey(header.opcode, bytes(view[start:end]))
            return end
        if (header.opcode == CONTINUATION) is not self._in_message:
            raise FramingError(Cause.BAD_FRAME)
        self._in_message = self._in_frame = True
        self._count(header)
        self._missing_bytes, self._is_final = header.payload_bytes, header.is_final
        return start

    def _count(self, header: Header) -> None:
        """Count the frame as part of the message, if one has begun."""
        if self._in_message:
            self._message_bytes += header.header_bytes + header.payload_bytes
        if self._message_bytes > self._max_reply_bytes:
            raise FramingError(Cause.REPLY_TOO_LONG)

    def _obey(self, opcode: int, payload: bytes) -> None:
        """Do what a control frame asks for. Raises FramingError if that is to fail."""
        if opcode == PING:
            # Of several pings at once, the last one may be answered alone (section 5.5.3).
            self.to_send = control_frame(PONG, payload)
        elif opcode == CLOSE:
            self._close(payload)

    def _close(self, payload: bytes) -> None:
        code = int.from_bytes(payload[:2], "big") if len(payload) > 1 else _NORMAL
        is_known = code in _ORDERLY or code in _CAUSES_OF_CLOSE
        if len(payload) == 1 or not is_known or not _is_text(payload[2:]):
            raise FramingError(Cause.BAD_FRAME)
        self.to_send += control_frame(CLOSE, payload[:2])  # section 5.5.1: the same code
        if code not in _ORDERLY:
            raise FramingError(_CAUSES_OF_CLOSE[code])
        self.closes = True

    def _tell(self, cause: Cause) -> None:
        """Say why the connection fails to a server that has not closed it (section 7.1.7)."""
        if cause not in _CAUSES_OF_CLOSE.values():
            self.to_send += close_frame(_CODES_OF_OURS.get(cause, _NORMAL))

    def _take(self, part: memoryview) -> None:
        """Take the next part of a message's payload."""

    def _complete(self) -> None:
        """Take the end of a message. Raises FramingError if it was none to accept."""


class _EchoDecoder(_MessageDecoder):
    def __init__(self, max_reply_bytes: int) -> None:
        super().__init__(max_reply_bytes)
        # The payloads of the replies to come; None for what a server says without a message.
        self._awaited: deque[bytes | None] = deque()
        self._have_bytes = 0  # of the first of them

    def expect(self, batch: bytes, lengths: Sequence[int]) -> None:
        ends = accumulate(lengths, initial=0)
        messages = (batch[start:end] for start, end in pairwise(ends))
        self._awaited.extend(payload_of(each) if each else None for each in messages)

    def feed(self, view: memoryview) -> int:
        return len(self.ends(view))

    def _take(self, part: memoryview) -> None:
        end, awaited = self._have_bytes + len(part), self._first()
        if awaited is not None and awaited[self._have_bytes : end] != part:
            raise FramingError(Cause.MISMATCH)
        self._have_bytes = end

    def _complete(self) -> None:
        awaited = self._first()
        if awaited is not None and self._have_bytes != len(awaited):
            raise FramingError(Cause.MISMATCH)
        self._awaited.popleft()
        self._have_bytes = 0

    def _first(self) -> bytes | None:
        if not self._awaited:
            raise FramingError(Cause.UNEXPECTED_BYTES)
        return self._awaited[0]


def _is_text(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
