"""The content of a response is what the parser that found its end has read of it."""

import pytest

from loadgen.net.protocols import Keeping
from loadgen.net.protocols.http import Http

CHUNKS = b"5\r\nhello\r\n1;a=b\r\n!\r\n0\r\nT: end\r\n\r\n"


def head_of(*codings: str, status: str = "200 OK") -> bytes:
    lines = "".join(f"Transfer-Encoding: {coding}\r\n" for coding in codings)
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode()


def content_of(response: bytes, request: bytes = b"GET ") -> bytes:
    """Return the content of ``response``, which ends with the stream at the latest."""
    framing = Http()
    decoder = Keeping(framing).decoder()
    decoder.expect(request, [len(request)])
    assert decoder.feed(memoryview(response)) + decoder.end() == 1
    assert decoder.reply is not None
    return framing.content(decoder.reply)


@pytest.mark.parametrize(
    "codings", [["chunked"], ["gzip, chunked"], ["gzip", "CHUNKED"], ["gzip;a, chunked "]]
)
def test_is_without_chunks_where_they_are_the_last_coding(codings: list[str]) -> None:
    assert content_of(head_of(*codings) + CHUNKS) == head_of(*codings) + b"hello!"


@pytest.mark.parametrize(
    "codings",
    [
        *(["chunked", "gzip"], ["chunked, gzip"], ["notchunked"], ["not-chunked"], ["chunked,"]),
        *(["chunked;q=1"], ["x chunked"], ["chunked\t"], ["gzip"]),
    ],
)
@pytest.mark.parametrize("body", [b"hello\r\n", b"-6\r\nhello\r\n", b"1_0\r\n", b"\r\n", CHUNKS])
def test_is_as_it_came_where_they_are_not(codings: list[str], body: bytes) -> None:
    response = head_of(*codings) + body
    assert content_of(response) == response
    closing = response.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    assert content_of(closing) == closing


def test_of_what_has_no_body_has_none() -> None:
    assert content_of(head_of("chunked"), b"HEAD ") == head_of("chunked")
    unchanged = head_of("chunked", status="304 Not Modified")
    assert content_of(unchanged) == unchanged


def test_is_that_of_the_final_response_alone() -> None:
    interim = head_of("chunked", status="103 Early Hints")
    assert content_of(interim + head_of("chunked") + CHUNKS) == head_of("chunked") + b"hello!"
    closing = head_of("chunked").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    for behind in (b"more", head_of("chunked") + CHUNKS):
        assert content_of(closing + CHUNKS + behind) == closing + b"hello!"
