"""What user code gets of a response: its header, and its body without the framing of chunks.

Decision. Whether a body comes in chunks, and where each ends, is read by the parser that has found
the response whole: whoever decides that again decides otherwise for some server.
"""

import re
from typing import Final

from loadgen.net.protocols.http_reader import library

_INTERIM: Final = re.compile(rb"HTTP/1\.\d 1\d\d")
_END: Final = b"\r\n\r\n"


def content_of(response: bytes) -> bytes:
    """Return the final one of ``response``, whole ones to one request, without its chunks."""
    response = response.lstrip(b"\r\n")
    while _INTERIM.match(response):
        response = response.partition(_END)[2]
    head, end, _ = response.partition(_END)
    if b"\r\ntransfer-encoding:" not in head.lower():
        return response
    body = _body_of(response)
    return response if body is None else head + end + body


def _body_of(response: bytes) -> bytes | None:
    """Return the body that the parser reads; None if it reads no response."""
    body = _Body()
    errors = library()
    try:
        errors.HttpResponseParser(body).feed_data(response)
    except (errors.HttpParserError, errors.HttpParserUpgrade):
        if not body.is_whole:  # what comes behind means nothing
            return None
    return b"".join(body.parts)


class _Body:
    """Collects, as callbacks of the parser, the body of a response."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.on_body = self.parts.append
        self.is_whole = False

    def on_message_complete(self) -> None:
        self.is_whole = True
