"""Responses of HTTP/1.1 that h11 has made, cut anywhere; and what a hostile server may send."""

import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.net.failure import Cause
from loadgen.net.protocols import Decoder, FramingError, Keeping
from loadgen.net.protocols.http import Http, parse_statuses
from loadgen.net.protocols.http_reader import LONGEST_HEAD_BYTES

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LATER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"
LAST = b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GET_REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD_REQUEST = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
POST_REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
FAILS = parse_statuses("4xx,5xx")


@dataclass(frozen=True)
class Exchange:
    """A request, and what h11 answers to it as a server."""

    request: bytes
    response: bytes
    status: int
    body: bytes
    closes: bool
    ends_with_stream: bool


@st.composite
def exchanges(draw: st.DrawFn, methods: Sequence[str] = ("GET", "POST", "HEAD")) -> Exchange:
    method = draw(st.sampled_from(methods))
    version = draw(st.sampled_from(["1.1"] * 5 + ["1.0"]))
    leave = [("Connection", "close")] if draw(st.integers(0, 9)) == 0 else []
    server = h11.Connection(our_role=h11.SERVER)
    lines = "".join(f"{name}: {value}\r\n" for name, value in [("Host", "a"), *leave])
    request = f"{method} / HTTP/{version}\r\n{lines}\r\n".encode()
    server.receive_data(request)
    while server.next_event() is not h11.NEED_DATA and server.their_state is h11.SEND_BODY:
        pass
    response = b""
    for status in draw(st.lists(st.sampled_from([100, 102, 103]), max_size=2)):
        if version == "1.1":
            interim = h11.InformationalResponse(status_code=status, headers=[("A", "b")])
            response += server.send(interim) or b""
    status = draw(st.sampled_from([200, 204, 301, 304, 404, 500, 599]))
    has_body = method != "HEAD" and status not in (204, 304)
    parts = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=4)) if has_body else []
    headers = draw(st.lists(st.tuples(st.from_regex(r"X-[a-z]{1,9}", fullmatch=True), words)))
    if draw(st.booleans()) and has_body:
        headers.append(("Content-Length", str(sum(map(len, parts)))))
    response += server.send(h11.Response(status_code=status, headers=headers, reason="?")) or b""
    is_chunked = has_body and b"chunked" in response
    for part in parts:
        response += server.send(h11.Data(data=part)) or b""
    trailers = [("T", "end")] if is_chunked and draw(st.booleans()) else []
    response += server.send(h11.EndOfMessage(headers=trailers)) or b""
    return Exchange(
        request=request,
        response=response,
        status=status,
        body=b"".join(parts),
        closes=server.our_state is h11.MUST_CLOSE,
        ends_with_stream=has_body and not is_chunked and b"Content-Length" not in response,
    )


words = st.text('abc ,;="', max_size=20).map(str.strip)
conversations = st.lists(exchanges(), min_size=1, max_size=5)
cuts = st.lists(st.integers(0, 2000), max_size=8)


def up_to_the_close(exchanged: Sequence[Exchange]) -> Iterator[Exchange]:
    for each in exchanged:
        yield each
        if each.closes:
            return


def parts_of(stream: bytes, at: Sequence[int]) -> Iterator[bytes]:
    places = sorted({0, len(stream), *(each % (len(stream) + 1) for each in at)})
    for start, end in pairwise(places):
        yield stream[start:end]


def fed(decoder: Decoder, parts: Iterator[bytes] | Sequence[bytes]) -> list[int]:
    """Return the kinds of the replies."""
    kinds: list[int] = []
    for part in parts:
        replies = decoder.feed(memoryview(part))
        assert replies == len(decoder.kinds)
        kinds += decoder.kinds
    return kinds


def expecting(framing: Http, *requests: bytes) -> Decoder:
    decoder = framing.decoder()
    decoder.expect(b"".join(requests), [len(request) for request in requests])
    return decoder


class TestAnyResponses:
    @given(conversations, cuts, st.booleans())
    def test_are_told_as_h11_has_made_them(
        self, exchanged: list[Exchange], at: list[int], byte_by_byte: bool
    ) -> None:
        framing = Http(fails=FAILS)
        served = list(up_to_the_close(exchanged))
        stream = b"".join(each.response for each in served)
        for _ in ("parsed", "known"):
            decoder = expecting(framing, *(each.request for each in exchanged))
            whole = at if not byte_by_byte else range(len(stream))
            kinds = fed(decoder, parts_of(stream, whole))
            if served[-1].ends_with_stream:
                assert decoder.partial
                assert decoder.end() == 1
                kinds += decoder.kinds
            assert kinds == [each.status for each in served]
            assert decoder.closes == served[-1].closes
            assert not decoder.partial
            rejected = [each.status for each in served if each.status >= 400]
            assert sum(decoder.rejected.values()) == len(rejected)

    @given(st.lists(exchanges(["GET"]), min_size=1, max_size=4), cuts)
    def test_need_no_messages_where_all_are_of_one_method(
        self, exchanged: list[Exchange], at: list[int]
    ) -> None:
        served = [each for each in exchanged if not each.closes]
        framing = Http("GET")
        assert not framing.needs_messages
        decoder = framing.decoder()
        stream = b"".join(each.response for each in served)
        assert fed(decoder, parts_of(stream, at)) == [each.status for each in served]

    @given(exchanges(), cuts)
    def test_are_kept_with_their_bodies(self, exchange: Exchange, at: list[int]) -> None:
        framing = Keeping(Http())
        decoder = framing.decoder()
        decoder.expect(exchange.request, [len(exchange.request)])
        replies = sum(decoder.feed(memoryview(part)) for part in parts_of(exchange.response, at))
        assert replies + decoder.end() == 1
        assert decoder.reply is not None
        head, _, body = framing.content(decoder.reply).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d" % exchange.status)
        assert body == exchange.body


class TestKnownBytes:
    def test_are_known_to_all_connections_and_tell_the_same(self) -> None:
        framing = Http("GET", FAILS)
        for _ in range(3):
            decoder = framing.decoder()
            assert fed(decoder, [OK + OK, LATER, OK, OK + LAST]) == [200, 200, 200, 200, 200, 404]
            assert decoder.closes
            assert decoder.rejected == {Cause.STATUS_4XX: 1}
            assert fed(decoder, [OK]) == []  # behind the last response

    def test_mean_the_same_only_between_replies(self) -> None:
        framing = Http("GET")
        assert fed(framing.decoder(), [OK]) == [200]
        decoder = framing.decoder()
        body = b"HTTP/1.1 201 OK\r\nContent-Length: %d\r\n\r\n" % len(OK + b"!")
        assert fed(decoder, [body, OK, b"!", OK]) == [201, 200]

    def test_of_a_response_to_head_are_not_taken_for_another(self) -> None:
        framing = Http()
        decoder = expecting(framing, GET_REQUEST, HEAD_REQUEST, HEAD_REQUEST, GET_REQUEST)
        assert fed(decoder, [OK, HEAD, HEAD + OK]) == [200, 200, 200, 200]
        decoder = expecting(framing, GET_REQUEST)
        assert fed(decoder, [HEAD]) == []
        assert decoder.partial

    def test_are_bounded(self) -> None:
        decoder = Http("GET").decoder()
        tracemalloc.start()
        try:
            for size in range(0, 60_000, 20):
                response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)
                assert fed(decoder, [response]) == [200]
            kept_bytes = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert kept_bytes < 5 * 2**20


class TestEnd:
    def test_before_a_response_is_the_close_of_an_idle_connection(self) -> None:
        decoder = Http("GET").decoder()
        fed(decoder, [OK])
        assert decoder.end() == 0
        assert decoder.closes

    def test_before_the_first_response_is_one_too_unless_a_request_may_not_be_repeated(
        self,
    ) -> None:
        """Whether the connection was of use is known to the engine."""
        decoders = (Http("GET").decoder(), Http("POST").decoder())
        awaiting = expecting(Http("POST"), POST_REQUEST)
        assert [decoder.end() for decoder in (*decoders, awaiting)] == [0, 0, 0]
        assert [decoder.closes for decoder in (*decoders, awaiting)] == [True, True, False]

    @pytest.mark.parametrize("begun", [b"H", OK[:20], OK[:-1], CHUNKED + b"1\r\na\r\n"])
    def test_within_a_response_is_a_loss(self, begun: bytes) -> None:
        decoder = Http("GET").decoder()
        fed(decoder, [OK, begun])
        assert decoder.partial
        assert decoder.end() == 0
        assert not decoder.closes

    def test_after_an_interim_response_is_a_loss(self) -> None:
        decoder = Http("GET").decoder()
        fed(decoder, [OK, b"HTTP/1.1 100 Continue\r\n\r\n"])
        assert decoder.partial
        assert decoder.end() == 0
        assert not decoder.closes

    def test_fails_a_request_that_may_not_be_sent_again(self) -> None:
        decoder = expecting(Http("POST"), POST_REQUEST, POST_REQUEST)
        fed(decoder, [OK])
        with pytest.raises(FramingError) as raised:
            decoder.end()
        assert raised.value.cause is Cause.HTTP_IDLE_CLOSE

    def test_is_in_order_where_no_such_request_is_in_flight(self) -> None:
        decoder = expecting(Http("POST"), POST_REQUEST)
        fed(decoder, [OK])
        assert decoder.end() == 0
        assert decoder.closes

    @pytest.mark.parametrize(
        "response",
        [
            b"HTTP/1.0 200 OK\r\n\r\nbody",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nbody",
            b"HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n",
        ],
    )
    def test_ends_a_response_that_says_nothing_else(self, response: bytes) -> None:
        decoder = Http("GET").decoder()
        assert fed(decoder, [response]) == []
        assert decoder.end() == 1
        assert list(decoder.kinds) == [int(response[9:12])]
        assert decoder.closes


class TestClose:
    @pytest.mark.parametrize(
        ("response", "closes"),
        [
            (OK, False),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", True),
            (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", False),
            (LAST, True),
        ],
    )
    def test_is_told_with_the_response_that_announces_it(
        self, response: bytes, closes: bool
    ) -> None:
        decoder = Http("GET").decoder()
        assert len(fed(decoder, [response])) == 1
        assert decoder.closes == closes

    @pytest.mark.parametrize(
        ("head", "closes"),
        [
            (HEAD, False),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", False),
            (b"HTTP/1.1 200 OK\r\n\r\n", False),
            (b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 5\r\n\r\n", True),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", True),
        ],
    )
    def test_is_told_of_responses_to_head(self, head: bytes, closes: bool) -> None:
        decoder = expecting(Http("HEAD"), HEAD_REQUEST)
        assert fed(decoder, [head]) == [200]
        assert decoder.closes == closes

    def test_follows_each_response_without_keep_alive(self) -> None:
        framing = Http("GET", keepalive=False)
        for _ in ("parsed", "known"):
            decoder = framing.decoder()
            assert fed(decoder, [OK]) == [200]
            assert decoder.closes


class TestHostileServer:
    @pytest.mark.parametrize(
        "stream",
        [
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 2**64,
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
            CHUNKED + b"10000000000000000\r\n",
            CHUNKED + b"-1\r\n",
            CHUNKED + b"zz\r\n",
            b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc",
            b"HTTP/1.1 101 Switching\r\n\r\nabc",
        ],
    )
    def test_is_refused(self, stream: bytes) -> None:
        for parts in ([stream], [bytes([byte]) for byte in stream]):
            with pytest.raises(FramingError) as raised:
                fed(Http("GET").decoder(), parts)
            assert raised.value.cause is Cause.BAD_FRAME

    @pytest.mark.parametrize(
        ("begin", "more"),
        [
            (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 200),
            (b"HTTP/1.1 200 OK\r\nA: ", b"a" * 1000),
            (b"HTTP/1.1 200 ", b"a" * 1000),
            (CHUNKED + b"1;", b"a" * 1000),
            (CHUNKED + b"1\r\na\r\n0\r\n", b"a: b\r\n" * 200),
        ],
        ids=["headers", "header", "reason", "extension", "trailers"],
    )
    def test_never_ends_what_is_no_body(self, begin: bytes, more: bytes) -> None:
        decoder = Http("GET").decoder()
        assert fed(decoder, [begin]) == []
        fitting = LONGEST_HEAD_BYTES // len(more) - 1
        assert fed(decoder, [more] * fitting) == []
        with pytest.raises(FramingError) as raised:
            fed(decoder, [more] * 3)
        assert raised.value.cause is Cause.HTTP_HEADER_TOO_LONG

    def test_announces_more_than_there_is_memory(self) -> None:
        decoder = Http("GET").decoder()
        huge = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2**63)
        assert fed(decoder, [huge, *[bytes(65536)] * 100]) == []
        decoder = Http("GET").decoder()
        assert fed(decoder, [CHUNKED + b"7fffffffffffffff\r\n", *[bytes(65536)] * 100]) == []
        assert decoder.partial

    def test_sends_a_bomb_of_chunks(self) -> None:
        decoder = Http("GET").decoder()
        assert fed(decoder, [CHUNKED, *[b"1\r\na\r\n" * 1000] * 100, b"0\r\n\r\n"]) == [200]

    def test_sends_more_than_is_accepted(self) -> None:
        size = len(OK)
        assert fed(Http("GET", max_reply_bytes=size).decoder(), [OK, OK * 3, OK[:9], OK[9:]])
        for parts in ([OK], [OK[:9], OK[9:]], [CHUNKED[:3], CHUNKED[3:]], [OK * 3]):
            with pytest.raises(FramingError) as raised:
                fed(Http("GET", max_reply_bytes=size - 1).decoder(), parts)
            assert raised.value.cause is Cause.REPLY_TOO_LONG

    @given(
        st.lists(st.sampled_from([OK, HEAD, CHUNKED, b"\r\n", b"1", b"0\r\n", b"H"]) | st.binary())
    )
    def test_raises_nothing_else(self, parts: list[bytes]) -> None:
        for framing in (Http("GET"), Http()):
            decoder = expecting(framing, GET_REQUEST, HEAD_REQUEST, GET_REQUEST)
            try:
                fed(decoder, parts)
                decoder.end()
            except FramingError:
                pass


class TestStatuses:
    def test_are_named_by_number_and_class(self) -> None:
        assert parse_statuses("404") == {404}
        assert parse_statuses("none") == frozenset()
        assert parse_statuses("3xx,500") == {*range(300, 400), 500}
        assert {500, 599, 600, 999} <= parse_statuses("5XX")

    @pytest.mark.parametrize("text", ["", "4xx,", "100", "1xx", "600", "4x", "any", "4xx 5xx"])
    def test_are_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="404,5xx, or none"):
            parse_statuses(text)
