"""Streams that no server sends, for every framing that there is."""

from collections.abc import Iterator
from typing import Final

from hypothesis import strategies as st

from loadgen import Plan, UsageError
from loadgen.net import protocols
from loadgen.net.protocols import Expectation, Expecting, Framing, Once
from loadgen.plan.applications import APPLICATIONS

LIMIT_BYTES: Final = 2**12

OWN_FORMS: Final = (
    *("echo", "fixed:7", r"delimiter:\r\n", r"delimiter:aab", "length:u8", "length:u16le"),
    *("length:u32,header-included", "length:u64", "length:u64le,header-included", "none", "eof"),
)
"""Forms of `loadgen.net.protocols`: of each of its names one at least."""

PIECES: Final = (
    *(b"\r\n", b"\r", b"\n", b"\r\n\r\n", b" ", b":", b"0", b"1", b"a", b"aab", b"\0", b"\xff"),
    *(b"9223372036854775808", b"18446744073709551616", b"-1", b"\x7f" + b"\xff" * 8),
    *(b"\0\0\0\x05hello", b"\x05\0\0\0hello", b"x" * 200),
    # HTTP
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.0 404 \r\n"),
    *(b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"5\r\n"),
    *(b"Transfer-Encoding: gzip\r\n", b"Transfer-Encoding: notchunked\r\n", b"-6\r\n"),
    *(b"Content-Length: 5\r\n\r\nhello", b"ffffffffffffffff\r\n", b"0\r\n\r\n", b";ext=1"),
    # Redis
    *(b"+OK\r\n", b"-ERR no\r\n", b":1\r\n", b"$5\r\nhello\r\n", b"$-1\r\n", b"*2\r\n", b"*-1\r\n"),
    *(b"*1\r\n" * 50, b"%1\r\n", b">2\r\n", b"_\r\n", b"#t\r\n", b",1.5\r\n", b"(12\r\n", b"$"),
    # WebSocket
    *(
        b"\x81\x05hello",
        b"\x01\x02he",
        b"\x80\x03llo",
        b"\x89\0",
        b"\x8a\x01x",
        b"\x88\x02\x03\xe8",
    ),
    *(b"\x82\x7e\x00\x80", b"\x82\x7f" + b"\xff" * 8, b"\x81\x85abcd", b"\xc1\x01a", b"\x83\0"),
)
"""What replies and what damages them are made of, over all protocols."""

HEADERS: Final = (
    b"",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: notchunked\r\n\r\n",
)
"""What pieces do not often come to: headers that say whether a body is in chunks."""

STREAMS: Final = st.tuples(
    st.sampled_from(HEADERS),
    st.lists(st.sampled_from(PIECES) | st.binary(min_size=1, max_size=12), max_size=24).map(
        b"".join
    ),
).map(b"".join)

PLACES: Final = st.lists(st.integers(1, 1000), max_size=5)

MESSAGES: Final = (b"m" * 7, b"n" * 2, b"o" * 30) * 30
"""More than most streams have replies."""


STREAM_FORMS: Final = [
    form for each in APPLICATIONS.values() for form in each.forms if each.name != "datagrams"
]
"""Those of applications; a datagram is whole, so that there is nothing to cut."""


def framings() -> Iterator[tuple[str, Framing]]:
    """Yield each framing with its name; those of applications as far as their library is there."""
    for form in OWN_FORMS:
        yield form, protocols.parse(form, LIMIT_BYTES)
    yield "echo, verified", protocols.Echo(verify=True)
    for form in STREAM_FORMS:
        plan = Plan(target="localhost:1", reply=form, max_reply_bytes=LIMIT_BYTES)
        try:
            framing = plan.framing()
            framing.decoder()
        except UsageError:
            continue
        yield form, framing


def variants(framing: Framing) -> Iterator[tuple[str, Framing]]:
    """Yield ``framing``, and with what may be around it."""
    yield "alone", framing
    yield "expecting a prefix", Expecting(framing, Expectation.of(["+O"], LIMIT_BYTES))
    yield "expecting a pattern", Expecting(framing, Expectation.of(["/[a-z]/"], LIMIT_BYTES))
    yield "once", Once(framing)


def named(form: str) -> Framing:
    """Return the framing of ``form``, which may be one of a user's own. Raises UsageError."""
    return protocols.parse(form, LIMIT_BYTES)
