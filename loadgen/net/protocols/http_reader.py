"""Reading responses of HTTP/1.1 with llhttp, by way of httptools: what is whole, and what it says.

Facts. llhttp keeps nothing of what it has read, and httptools no more than the header line in
progress, so that a body of gigabytes takes no memory. Two things it does not tell: that a response
ends with the connection, which follows from its headers (RFC 9112, 6.3); and where a response has
ended among the bytes fed, so that nothing but the bytes of a read can be taken back from it.

Danger. It does not limit a header line, a list of trailers or a chunk's extensions, which a hostile
server need never end. So what brings neither the end of a header nor a byte of a body is counted.
"""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from loadgen.errors import UsageError
from loadgen.net.failure import Cause
from loadgen.net.protocols.base import FramingError

LONGEST_HEAD_BYTES: Final = 64 * 1024
"""The longest header of a response, or of its trailers, that is read in parts."""


@functools.cache
def library() -> ModuleType:
    """Return httptools. Raises UsageError where it is not installed."""
    try:
        import httptools  # noqa: PLC0415 - only where HTTP is spoken
    except ImportError as error:
        raise UsageError("http:// needs httptools: pip install 'loadgen[http]'") from error
    return httptools


class ResponseReader:
    """Reads the responses on a connection; between two of them, on any connection.

    statuses: those of the responses that the last `feed` has made whole. is_begun: whether a
    response has begun and is not whole, or an interim one has announced it. has_head: whether its
    header is whole, but it is not. ends_with_stream: whether that one ends with the connection.
    closes: whether the server closes after the last whole response.
    """

    on_header: Callable[[bytes, bytes], None]

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.is_begun = self.has_head = self.ends_with_stream = self.closes = False
        self._headers: dict[bytes, bytes] = {}
        self.on_header = self._headers.__setitem__
        self._has_progress = False
        self._head_bytes = 0  # fed since there was progress
        self._parser: Any = library().HttpResponseParser(self)

    def feed(self, data: memoryview) -> None:
        """Read ``data``. Raises FramingError."""
        self.statuses = []
        self._has_progress = False
        errors = library()
        try:
            self._parser.feed_data(data)
        except (errors.HttpParserError, errors.HttpParserUpgrade) as error:
            # What comes behind the last response of a connection means nothing (RFC 9112, 9.6).
            if self.is_begun or not self.closes:
                raise FramingError(Cause.BAD_FRAME) from error
        if self._has_progress:
            self._head_bytes = 0
        elif self.is_begun:
            self._head_bytes += len(data)
            if self._head_bytes > LONGEST_HEAD_BYTES:
                raise FramingError(Cause.HTTP_HEADER_TOO_LONG)

    def finish_head(self) -> int:
        """Let a response that `has_head` be whole, as one to HEAD is, and return its status.

        The reader is of no use afterwards.
        """
        values = {name.lower(): value.lower() for name, value in self._headers.items()}
        options = [option.strip() for option in values.get(b"connection", b"").split(b",")]
        is_old = self._parser.get_http_version() == "1.0"
        self.closes = b"close" in options or (is_old and b"keep-alive" not in options)
        self.is_begun = self.has_head = False
        return int(self._parser.get_status_code())

    def finish_stream(self) -> int:
        """Let a response that `ends_with_stream` be whole, and return its status."""
        self.is_begun, self.closes = False, True
        return int(self._parser.get_status_code())

    def discard(self) -> None:
        """Release the parser, which refers to this object as well."""
        del self._parser

    # ---- callbacks of the parser ------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Note that a response has begun."""
        self.is_begun = True
        self._headers.clear()

    def on_headers_complete(self) -> None:
        """Note how the response is to end."""
        self._has_progress = self.has_head = True
        self.ends_with_stream = not self._parser.should_keep_alive() and not self._is_delimited()

    def on_body(self, body: bytes) -> None:
        """Note that there is progress."""
        self._has_progress = True

    def on_message_complete(self) -> None:
        """Note a whole response, unless another one follows to the same request (1xx)."""
        self._has_progress, self.has_head = True, False
        status = self._parser.get_status_code()
        if status < 100:
            raise ValueError(f"{status} is no status")
        if status < 200:
            return
        self.is_begun = False
        self.statuses.append(status)
        self.closes = not self._parser.should_keep_alive()

    def _is_delimited(self) -> bool:
        """Return whether the header says where the body ends."""
        values = {name.lower(): value.lower() for name, value in self._headers.items()}
        codings = values.get(b"transfer-encoding")  # on the last such line
        if codings is None:
            return b"content-length" in values
        return codings.rpartition(b",")[2].strip(b" ") == b"chunked"
