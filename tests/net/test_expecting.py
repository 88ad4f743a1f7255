"""Expectations: which replies are good ones, and what is kept to know it."""

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.net.failure import Cause
from loadgen.net.protocols import (
    Decoder,
    Delimiter,
    Expectation,
    Expecting,
    Fixed,
    Framing,
    LengthPrefix,
    UntilEof,
)
from loadgen.net.protocols.base import BaseDecoder, BaseFraming
from loadgen.net.protocols.http import Http

LINES = Delimiter(b"\r\n")


def decoder_of(framing: Framing, *texts: str, in_flight: int = 1) -> Decoder:
    decoder = Expecting(framing, Expectation.of(texts)).decoder()
    decoder.expect(b"m" * in_flight, [1] * in_flight)
    return decoder


def unexpected(decoder: Decoder) -> int:
    return decoder.rejected.get(Cause.UNEXPECTED_REPLY, 0)


class TestExpectation:
    @pytest.mark.parametrize(
        ("texts", "reply", "is_met"),
        [
            (["+PONG"], b"+PONG\r\n", True),
            (["+PONG"], b"-NOAUTH Authentication required.\r\n", False),
            (["+PONG"], b" +PONG\r\n", False),
            (["+PONG\\r\\n"], b"+PONG\r\n", True),
            (["+PONG\\r\\n"], b"+PONG!\r\n", False),
            (["+PONGS"], b"+PONG", False),
            (["\\x00\\xff"], b"\x00\xff\x01", True),
            (["é"], "é".encode(), True),
            (["+", ":"], b":1\r\n", True),
            (["+", ":"], b"-ERR\r\n", False),
            (["/PONG/"], b" +PONG\r\n", True),
            (["/^PONG/"], b" +PONG\r\n", False),
            ([r"/^[+:].*\r\n$/"], b":12\r\n", True),
            ([r"/\x00\d/"], b"a\x007", True),
            (["/200 OK/", "30"], b"302 Found", True),
            (["/200 OK/", "30"], b"404 Not Found", False),
            (["//"], b"", True),
            (["/[[a]b/"], b"[b", True),
            (["/"], b"/path", True),
            (["\\x2fa/"], b"/a/b", True),
        ],
    )
    def test_is_a_prefix_or_a_regular_expression_that_is_found(
        self, texts: list[str], reply: bytes, is_met: bool
    ) -> None:
        assert Expectation.of(texts).is_met_by(reply) == is_met

    @pytest.mark.parametrize(
        ("text", "accepted"),
        [
            ("", "how a good reply begins, or /a regular"),
            (r"\q", "escapes are"),
            ("/(/", "no regular expression"),
        ],
    )
    def test_refuses_what_it_cannot_read(self, text: str, accepted: str) -> None:
        with pytest.raises(ValueError, match=accepted):
            Expectation.of([text])


class TestExpectingDecoder:
    STREAM = b"+a\r\n-b\r\n+c\r\n-d\r\n-e\r\n"

    @given(places=st.sets(st.integers(1, len(STREAM) - 1)))
    def test_rejects_each_reply_once_with_the_read_that_made_it_whole(
        self, places: set[int]
    ) -> None:
        decoder = decoder_of(LINES, "+", in_flight=5)
        edges = sorted({0, len(self.STREAM)} | places)
        for start, end in pairwise(edges):
            decoder.feed(memoryview(self.STREAM)[start:end])
            whole = self.STREAM[:end].split(b"\r\n")[:-1]
            assert unexpected(decoder) == sum(line.startswith(b"-") for line in whole)

    def test_says_nothing_of_what_it_was_told_before(self) -> None:
        decoder = decoder_of(LINES, "+", in_flight=2)
        decoder.feed(memoryview(b"-a\r\n"))
        decoder.rejected.clear()
        decoder.feed(memoryview(b"-b\r\n"))
        assert decoder.rejected == {Cause.UNEXPECTED_REPLY: 1}

    def test_looks_at_a_reply_that_the_end_of_the_stream_makes_whole(self) -> None:
        for reply, count in ((b"HTTP/1.0 200 OK", 0), (b"HTTP/1.0 503 ", 1)):
            decoder = decoder_of(UntilEof(), "HTTP/1.0 200")
            decoder.feed(memoryview(reply))
            assert not decoder.rejected
            assert (decoder.end(), unexpected(decoder)) == (1, count)

    def test_does_not_reject_twice_what_the_framing_rejects(self) -> None:
        decoder = decoder_of(SaysNo(), "a", in_flight=3)
        assert decoder.feed(memoryview(b"ano")) == 3
        assert decoder.rejected == {Cause.REJECTED: 1, Cause.UNEXPECTED_REPLY: 1}

    @pytest.mark.parametrize(
        ("stream", "others"),
        [(b"nnaa", 0), (b"xnax", 2), (b"bxab", 1), (b"abxb", 1), (b"xbbx", 2), (b"nnbx", 1)],
    )
    def test_rejects_what_the_framing_does_not_whatever_comes_with_it(
        self, stream: bytes, others: int
    ) -> None:
        """The framing rejects ``n``, and ``b``, which is expected."""
        for size in (1, 2, 4):
            decoder = decoder_of(SaysNo(), "a", "b", in_flight=4)
            for start in range(0, 4, size):
                decoder.feed(memoryview(stream)[start : start + size])
            assert unexpected(decoder) == others
            assert decoder.rejected[Cause.REJECTED] == stream.count(b"n") + stream.count(b"b")

    def test_knows_which_of_responses_to_head_is_rejected(self) -> None:
        """A response to HEAD, alone, is whole only where it is known what it answers."""
        decoder = Expecting(Http(fails=frozenset({404})), Expectation.of(["/Not|one/"])).decoder()
        decoder.expect(b"HEAD /" * 3, [6] * 3)
        head = "HTTP/1.1 {}\r\nContent-Length: 5\r\n\r\n"
        answers = [head.format(status) for status in ("200 OK", "404 Not Found", "200 OK")]
        assert decoder.feed(memoryview("".join(answers).encode())) == 3
        assert decoder.rejected == {Cause.STATUS_4XX: 1, Cause.UNEXPECTED_REPLY: 2}

    @pytest.mark.parametrize("framing", [Fixed(2**28), LengthPrefix(4), UntilEof()])
    def test_keeps_no_more_than_the_longest_prefix(self, framing: Framing) -> None:
        assert most_kept(decoder_of(framing, "abc", in_flight=2), 2**24) < 2**22

    def test_keeps_no_more_than_the_limit_where_a_pattern_is_to_be_found(self) -> None:
        form = Expecting(Fixed(2**28), Expectation.of(["/x/"], max_reply_bytes=2**16))
        assert most_kept(form.decoder(), 2**24) < 2**22
        assert Expectation.of(["/x/"]).seen_bytes == 16 * 2**20
        assert Expectation.of(["x"]).seen_bytes == 1


def most_kept(decoder: Decoder, size_bytes: int) -> int:
    """Return the most memory that it takes to feed that many bytes of one reply."""
    decoder.expect(b"m", [1])
    chunk = memoryview(b"\x0f" + bytes(2**16 - 1))  # as a length: 15 * 2^24
    tracemalloc.start()
    for _ in range(size_bytes // len(chunk)):
        assert decoder.feed(chunk) == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


class SaysNo(BaseFraming):
    """Replies of one byte, of which ``n`` and ``b`` reject."""

    def decoder(self) -> Decoder:
        return _SaysNoDecoder()


class _SaysNoDecoder(BaseDecoder):
    def feed(self, view: memoryview) -> int:
        if count := sum(byte in b"nb" for byte in view):
            self.reject(Cause.REJECTED, count)
        return len(view)
