r"""PostgreSQL, version 3.0 of its protocol: what comes until the server is ready for a query.

    loadgen localhost:5432 \
        --first-message '\x00\x00\x00\x17\x00\x03\x00\x00user\x00postgres\x00\x00' \
        --payload 'Q\x00\x00\x00\x0dSELECT 1\x00' --reply examples.postgresql:Ready

A message from the server is a byte for its kind, four for its length (they count), and that much.
The server must trust the user (``trust`` in pg_hba.conf): what it asks for is not answered.

Messages: https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

import struct
from typing import Final

from loadgen import BaseDecoder, BaseFraming, Cause, FramingError

HEADER: Final = struct.Struct("!cI")
READY, ERROR = b"Z", b"E"


def start_up(**parameters: str) -> bytes:
    """Return the start-up packet, which has a length and no kind: ``user``, ``database``…"""
    words = [word for item in parameters.items() for word in item]
    body = struct.pack("!I", 3 << 16) + b"".join(word.encode() + b"\0" for word in words) + b"\0"
    return struct.pack("!I", len(body) + 4) + body


def query(statement: str) -> bytes:
    """Return a simple query."""
    body = statement.encode() + b"\0"
    return HEADER.pack(b"Q", len(body) + 4) + body


class Ready(BaseFraming):
    """A reply ends with ReadyForQuery; an ErrorResponse in it rejects."""

    def __init__(self, max_reply_bytes: int) -> None:
        """All messages of a reply together may have ``max_reply_bytes``."""
        self.max_reply_bytes = max_reply_bytes

    def decoder(self) -> "ReadyDecoder":
        """Return a decoder for one connection."""
        return ReadyDecoder(self.max_reply_bytes)


class ReadyDecoder(BaseDecoder):
    """Reads headers, and skips what they announce."""

    def __init__(self, max_reply_bytes: int) -> None:
        """Begin between replies."""
        super().__init__()
        self._max_reply_bytes = max_reply_bytes
        self._reply_bytes = 0  # of the present one, as far as announced
        self._header = b""  # as much of it as has come
        self._to_skip_bytes = 0
        self._is_error = False

    def feed(self, view: memoryview) -> int:
        """Return how many replies are whole now."""
        replies = position = 0
        while position < len(view):
            self.partial = True
            missing_bytes = HEADER.size - len(self._header)
            if missing_bytes:
                self._header += view[position : position + missing_bytes]
                position += missing_bytes
                if len(self._header) < HEADER.size:
                    break
                self._begin(*HEADER.unpack(self._header))
            skipped_bytes = min(self._to_skip_bytes, len(view) - position)
            self._to_skip_bytes -= skipped_bytes
            position += skipped_bytes
            if not self._to_skip_bytes:
                replies += self._ends_reply()
                self._header = b""
        return replies

    def _begin(self, kind: bytes, size_bytes: int) -> None:
        self._to_skip_bytes = size_bytes - 4
        self._reply_bytes += size_bytes + 1
        if self._to_skip_bytes < 0:
            raise FramingError(Cause.BAD_FRAME)
        if self._reply_bytes > self._max_reply_bytes:
            raise FramingError(Cause.REPLY_TOO_LONG)
        self._is_error |= kind == ERROR

    def _ends_reply(self) -> bool:
        if self._header[:1] != READY:
            return False
        if self._is_error:
            self.reject(Cause.REJECTED)
        self._reply_bytes, self._is_error, self.partial = 0, False, False
        return True
