"""What user code gets of a response: its header, and its body without the framing of chunks."""

import re
from collections.abc import Iterator
from typing import Final

_INTERIM: Final = re.compile(rb"HTTP/1\.\d 1\d\d")
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked[ \t]*(?=\r\n|$)", re.IGNORECASE)
_END: Final = b"\r\n\r\n"


def content_of(response: bytes) -> bytes:
    """Return the final one of ``response``, whole ones to one request, without its chunks."""
    response = response.lstrip(b"\r\n")
    while _INTERIM.match(response):
        response = response.partition(_END)[2]
    head, end, body = response.partition(_END)
    if not _CHUNKED.search(head):
        return response
    return head + end + b"".join(_chunks(body))


def _chunks(body: bytes) -> Iterator[bytes]:
    start = 0
    while (line_end := body.find(b"\r\n", start)) >= 0:
        size = int(body[start:line_end].partition(b";")[0], 16)
        if not size:  # trailers follow
            return
        start = line_end + 2
        yield body[start : start + size]
        start += size + 2
