"""The decoder of Redis's replies beside hiredis, and what hostile servers may send."""

import tracemalloc
from collections.abc import Iterator, Sequence
from itertools import pairwise

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.net.failure import Cause
from loadgen.net.protocols import FramingError
from loadgen.net.protocols.resp import Resp, RespDecoder

TEXT = st.binary(max_size=12) | st.sampled_from([b"\r\n", b"$1\r\na\r\n", b"x" * 1500])
LINE = st.text("abc -+$*19", max_size=12).map(str.encode)


def bulk(content: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(content), content)


def aggregate(kind: bytes, parts: Sequence[bytes], per_item: int = 1) -> bytes:
    return b"%b%d\r\n%b" % (kind, len(parts) // per_item, b"".join(parts))


def arrays(elements: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    lists = st.lists(elements, max_size=4)
    plain = st.lists(TEXT.map(bulk), min_size=6, max_size=40)
    keys = st.lists(TEXT.map(bulk), unique=True, max_size=3)
    return st.one_of(
        (lists | plain).map(lambda parts: aggregate(b"*", parts)),
        lists.map(lambda parts: aggregate(b"~", parts)),
        keys.map(
            lambda parts: aggregate(b"%", [each for key in parts for each in (key, b"_\r\n")], 2)
        ),
    )


SCALARS = st.one_of(
    TEXT.map(bulk),
    LINE.map(lambda line: b"+%b\r\n" % line),
    st.integers(-(2**63), 2**63 - 1).map(lambda number: b":%d\r\n" % number),
    st.integers().map(lambda number: b"(%d\r\n" % number),
    st.sampled_from([b"$-1\r\n", b"*-1\r\n", b"*0\r\n", b"_\r\n", b"#t\r\n", b",1.5e3\r\n"]),
    st.sampled_from([b",inf\r\n", b",-inf\r\n", b",nan\r\n", b"=7\r\ntxt:abc\r\n", b"+OK\r\n"]),
    st.sampled_from([b"-ERR no\r\n", b"-WRONGTYPE x\r\n", b"-MOVED 1 h:1\r\n", b"-FOO\r\n"]),
)
REPLIES = st.recursive(SCALARS, arrays, max_leaves=12)
PUSHES = st.lists(SCALARS, max_size=2).map(
    lambda parts: aggregate(b">", [bulk(b"invalidate"), *parts])
)
FRAMES = st.lists(REPLIES | PUSHES, max_size=6)

CODES = {
    "ERR": Cause.RESP_ERR,
    "WRONGTYPE": Cause.RESP_WRONGTYPE,
    "MOVED": Cause.RESP_MOVED,
    "FOO": Cause.RESP_OTHER,
}


def first_error(value: object) -> Cause | None:
    """Return the cause of the first error in what hiredis has read."""
    if isinstance(value, hiredis.ReplyError):
        return CODES[str(value).partition(" ")[0]]
    for each in value if isinstance(value, list) else ():
        if cause := first_error(each):
            return cause
    return None


def by_hiredis(stream: bytes) -> tuple[int, dict[Cause, int]]:
    """Return how many replies there are, and those that are rejected."""
    reader = hiredis.Reader(notEnoughData=Ellipsis)
    reader.feed(stream)
    replies, rejected = 0, dict[Cause, int]()
    while (value := reader.gets(False)) is not Ellipsis:
        if isinstance(value, hiredis.PushNotification):
            continue
        replies += 1
        if cause := first_error(value):
            rejected[cause] = rejected.get(cause, 0) + 1
    return replies, rejected


def pieces(stream: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return (stream[start:end] for start, end in pairwise(edges))


def fed(decoder: RespDecoder, parts: Iterator[bytes] | Sequence[bytes]) -> int:
    return sum(decoder.feed(memoryview(part)) for part in parts)


class TestBesideHiredis:
    @given(FRAMES, st.lists(st.integers(0, 10**6), max_size=6))
    def test_counts_and_rejects_the_same_however_the_bytes_are_cut(
        self, frames: list[bytes], cuts: list[int]
    ) -> None:
        stream = b"".join(frames)
        replies, rejected = by_hiredis(stream)
        for parts in (
            [stream],
            [stream[at : at + 1] for at in range(len(stream))],
            list(pieces(stream, cuts)),
        ):
            decoder = Resp().decoder()
            assert fed(decoder, parts) == replies
            assert dict(decoder.rejected) == rejected
            assert not decoder.partial

    @given(FRAMES, st.lists(st.integers(0, 10**6), max_size=3))
    def test_knows_again_what_it_has_read(self, frames: list[bytes], cuts: list[int]) -> None:
        """Two decoders of one framing get the same reads, which the first has made known."""
        stream = b"".join(frames)
        parts = list(pieces(stream, cuts))
        framing = Resp()
        told = []
        for _ in range(3):
            decoder = framing.decoder()
            told.append((fed(decoder, parts), dict(decoder.rejected), decoder.partial))
        assert told == [told[0]] * 3

    @given(FRAMES, st.lists(st.integers(0, 10**6), max_size=3))
    def test_says_where_replies_end(self, frames: list[bytes], cuts: list[int]) -> None:
        stream = b"".join(frames)
        expected, end = [], 0
        for frame in frames:
            end += len(frame)
            expected += [end] * (frame[:1] != b">")
        decoder, found, start = Resp().decoder(), [], 0
        for part in pieces(stream, cuts):
            found += [start + each for each in decoder.ends(memoryview(part))]
            start += len(part)
        assert found == expected

    @given(REPLIES, st.lists(PUSHES, max_size=2))
    def test_the_content_is_the_reply_without_what_was_pushed_before(
        self, reply: bytes, pushes: list[bytes]
    ) -> None:
        assert Resp().content(b"".join([*pushes, reply])) == reply

    @given(st.binary(max_size=60) | st.text("+-:$*%>_,#(!=|0129\r\n", max_size=60).map(str.encode))
    def test_never_reads_more_than_hiredis_in_bytes_that_are_no_replies(self, data: bytes) -> None:
        decoder = Resp(max_reply_bytes=1000).decoder()
        try:
            found = decoder.feed(memoryview(data))
        except FramingError:
            return
        if any(kind in data for kind in (b"!", b"|")):  # which hiredis does not read
            return
        try:
            replies, _ = by_hiredis(data)
        except hiredis.ProtocolError:
            return
        assert found <= replies


class TestCodes:
    @pytest.mark.parametrize(
        ("reply", "cause"),
        [
            (b"-ERR unknown command\r\n", Cause.RESP_ERR),
            (b"-NOAUTH Authentication required.\r\n", Cause.RESP_NOAUTH),
            (b"-OOM command not allowed\r\n", Cause.RESP_OOM),
            (b"-LOADING Redis is loading\r\n", Cause.RESP_LOADING),
            (b"-MOVED 3999 127.0.0.1:6381\r\n", Cause.RESP_MOVED),
            (b"-OTHER\r\n", Cause.RESP_OTHER),
            (b"-EXECABORT\r\n", Cause.RESP_EXECABORT),
            (b"!10\r\nSYNTAX bad\r\n", Cause.RESP_OTHER),
            (b"!" + b"100\r\nERR " + b"x" * 96 + b"\r\n", Cause.RESP_ERR),
            (b"*3\r\n+OK\r\n-WRONGTYPE x\r\n-ERR y\r\n", Cause.RESP_WRONGTYPE),
            (b"|1\r\n+ttl\r\n:1\r\n-ERR y\r\n", Cause.RESP_ERR),
        ],
    )
    def test_a_reply_is_rejected_by_the_first_code_in_it(self, reply: bytes, cause: Cause) -> None:
        for parts in ([reply], [reply[at : at + 1] for at in range(len(reply))]):
            decoder = Resp().decoder()
            assert fed(decoder, parts) == 1
            assert dict(decoder.rejected) == {cause: 1}

    def test_an_error_in_a_push_rejects_nothing(self) -> None:
        decoder = Resp().decoder()
        assert fed(decoder, [b">2\r\n+x\r\n-ERR y\r\n+OK\r\n"]) == 1
        assert not decoder.rejected


SUBSCRIBED = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
MESSAGE = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n"


class TestPubSub:
    @pytest.mark.parametrize("size", [1, 5, 1000])
    def test_of_resp2_is_unsolicited_once_the_connection_has_subscribed(self, size: int) -> None:
        framing = Resp()
        plain, subscribed = framing.decoder(), framing.decoder()
        stream = MESSAGE + SUBSCRIBED + MESSAGE * 3 + b"*2\r\n$4\r\npong\r\n$0\r\n\r\n" + MESSAGE
        parts = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert fed(subscribed, parts) == 3, "a list that looks like one, a confirmation and a pong"
        assert not subscribed.partial
        assert fed(plain, [MESSAGE] * 2) == 2
        assert fed(subscribed, [MESSAGE] * 2) == 0

    def test_of_resp3_confirms_with_a_push_that_is_a_reply(self) -> None:
        decoder = Resp().decoder()
        assert fed(decoder, [b">" + SUBSCRIBED[1:], b">" + MESSAGE[1:], b"+PONG\r\n"]) == 2


class TestHostile:
    @pytest.mark.parametrize(
        ("data", "cause"),
        [
            (b"$9223372036854775807\r\n", Cause.REPLY_TOO_LONG),
            (b"$18446744073709551616\r\n", Cause.REPLY_TOO_LONG),
            (b"*9223372036854775807\r\n", Cause.REPLY_TOO_LONG),
            (b"%40000\r\n", Cause.REPLY_TOO_LONG),
            (b"*1\r\n" * 40_000, Cause.REPLY_TOO_LONG),
            (b"|1\r\n+a\r\n+b\r\n" * 12_000, Cause.REPLY_TOO_LONG),
            (b"*" + b"1" * 5000 + b"\r\n", Cause.BAD_FRAME),
            (b":" + b"1" * 100_000, Cause.BAD_FRAME),
            (b"$-2\r\n", Cause.BAD_FRAME),
            (b"*-2\r\n", Cause.BAD_FRAME),
            (b"%-1\r\n", Cause.BAD_FRAME),
            (b"$+5\r\nabcde\r\n", Cause.BAD_FRAME),
            (b"$1_0\r\n", Cause.BAD_FRAME),
            (b"*?\r\n", Cause.BAD_FRAME),
            (b"HTTP/1.1 400 Bad Request\r\n", Cause.BAD_FRAME),
            (b"\r\n", Cause.BAD_FRAME),
        ],
        ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else value,
    )
    @pytest.mark.parametrize("size", [7, 4096, 10**7])
    def test_is_refused_in_bounded_memory(self, data: bytes, cause: Cause, size: int) -> None:
        decoder = Resp(max_reply_bytes=2**17).decoder()
        tracemalloc.start()
        try:
            with pytest.raises(FramingError) as refusal:
                fed(decoder, (data[at : at + size] for at in range(0, len(data), size)))
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert refusal.value.cause is cause
        assert peak_bytes < 2**18 + 4 * min(size, len(data))

    def test_nesting_a_million_deep_is_one_reply(self) -> None:
        decoder = Resp().decoder()
        assert fed(decoder, [b"*1\r\n" * 1000] * 1000) == 0
        assert fed(decoder, [b":1\r\n"]) == 1

    @pytest.mark.parametrize(
        "reply",
        [
            b"$90\r\n" + b"x" * 90 + b"\r\n",
            b"+" + b"x" * 94 + b"\r\n",
            b"*30\r\n" + b"_\r\n" * 30 + b"",
            b"*1\r\n" * 23 + b":1\r\n",
        ],
    )
    def test_the_limit_is_exact_wherever_the_bytes_are_cut(self, reply: bytes) -> None:
        for size in (1, 7, 1000):
            stream = b"+OK\r\n" + reply + b"+OK\r\n"
            parts = [stream[at : at + size] for at in range(0, len(stream), size)]
            assert fed(Resp(len(reply)).decoder(), parts) == 3
            with pytest.raises(FramingError, match="max-reply"):
                fed(Resp(len(reply) - 1).decoder(), parts)

    def test_what_is_known_is_bounded(self) -> None:
        framing = Resp()
        decoder = framing.decoder()
        for number in range(1000):
            assert fed(decoder, [bulk(b"%d" % number)]) == 1
        assert len(framing._known) <= 64
        fed(decoder, [bulk(b"x" * 2**17)])
        assert max(map(len, framing._known)) < 2**17
