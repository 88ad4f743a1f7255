"""parse(), and the one contract that every framing keeps."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.errors import UsageError
from loadgen.net import protocols
from loadgen.net.failure import Cause
from loadgen.net.protocols import (
    Decoder,
    Delimiter,
    Echo,
    Fixed,
    Framing,
    FramingError,
    LengthPrefix,
    NoReply,
    UntilEof,
)


class TestParse:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("echo", Echo()),
            ("none", NoReply()),
            ("eof", UntilEof()),
            ("fixed:64", Fixed(64)),
            ("fixed:1k", Fixed(1024)),
            (r"delimiter:\r\n", Delimiter(b"\r\n")),
            ("delimiter::", Delimiter(b":")),
            ("delimiter: ", Delimiter(b" ")),
            ("length:u8", LengthPrefix(1)),
            ("length:u16be", LengthPrefix(2, "big")),
            ("length:u32le", LengthPrefix(4, "little")),
            ("length:u64,header-included", LengthPrefix(8, "big", header_included=True)),
            ("length:u16le,header-included", LengthPrefix(2, "little", header_included=True)),
        ],
    )
    def test_understands_every_documented_form(self, text: str, expected: Framing) -> None:
        assert protocols.parse(text) == expected

    @pytest.mark.parametrize(
        ("text", "advice"),
        [
            ("", "write echo, fixed:N"),
            ("json", "write echo, fixed:N"),
            ("echo:", "write echo, fixed:N"),
            ("none:x", "write echo, fixed:N"),
            ("fixed", "write echo, fixed:N"),
            ("fixed:", "write a number of bytes"),
            ("fixed:many", "write a number of bytes"),
            ("fixed:0", "one byte or more"),
            ("delimiter:", "one byte or more"),
            (r"delimiter:\q", "escapes are"),
            ("length:", "write u8, u16, u32 or u64"),
            ("length:u24", "write u8, u16, u32 or u64"),
            ("length:u16xe", "write u8, u16, u32 or u64"),
            ("length:u16,header", "write u8, u16, u32 or u64"),
        ],
    )
    def test_refuses_another_form_with_the_text_and_advice(self, text: str, advice: str) -> None:
        with pytest.raises(UsageError) as refusal:
            protocols.parse(text)
        assert str(refusal.value).startswith(f"--reply: {text!r} is not accepted; ")
        assert advice in str(refusal.value)


@dataclass(frozen=True)
class Case:
    """A stream of ``replies`` whole replies and then, in ``rest``, a part of one more.

    messages: what the client has sent before.
    """

    framing: Framing
    stream: bytes
    replies: int
    rest: bytes
    messages: tuple[bytes, ...] = (b"m",) * 4

    def decoder(self) -> Decoder:
        decoder = self.framing.decoder()
        decoder.expect(b"".join(self.messages), [len(message) for message in self.messages])
        return decoder


def length_case(
    prefix_bytes: int, order: Literal["big", "little"], header_included: bool = False
) -> Case:
    own = prefix_bytes if header_included else 0
    bodies = (b"abc", b"", b"x" * (255 - own))
    stream = b"".join((len(body) + own).to_bytes(prefix_bytes, order) + body for body in bodies)
    rest = (own + 9).to_bytes(prefix_bytes, order) + b"12345678"
    return Case(LengthPrefix(prefix_bytes, order, header_included), stream, 3, rest)


ECHOED = (b"one", b"2", b"three")
LAST = (b"cut off",)

CASES = {
    "echo": Case(Echo(), b"".join(ECHOED), 3, b"cut o", ECHOED + LAST),
    "verifying echo": Case(Echo(verify=True), b"".join(ECHOED), 3, b"cut o", ECHOED + LAST),
    "fixed": Case(Fixed(3), b"abcdefghi", 3, b"jk"),
    "fixed, of one byte": Case(Fixed(1), b"abc", 3, b""),
    "delimiter": Case(Delimiter(b"\n"), b"a\n\nlonger\n", 3, b"rest"),
    "delimiter of two bytes": Case(Delimiter(b"\r\n"), b"a\r\n\r\n\r\r\n", 3, b"rest\r"),
    "delimiter that overlaps itself": Case(Delimiter(b"aa"), b"xaaaayaa", 3, b"aba"),
    "delimiter that half repeats": Case(Delimiter(b"aab"), b"aaabaab", 2, b"xaa"),
    "until eof": Case(UntilEof(), b"", 0, b"all of this is one reply"),
    "length u8": length_case(1, "big"),
    "length u8, header included": length_case(1, "little", header_included=True),
    "length u16 big, header included": length_case(2, "big", header_included=True),
    "length u16 little": length_case(2, "little"),
    "length u32 big": length_case(4, "big"),
    "length u32 little, header included": length_case(4, "little", header_included=True),
    "length u64 big, header included": length_case(8, "big", header_included=True),
    "length u64 little": length_case(8, "little"),
}

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
every_framing = pytest.mark.parametrize(
    "case",
    [*CASES.values(), Case(NoReply(), b"", 0, b"")],
    ids=[*CASES, "none"],
)


def feed(decoder: Decoder, chunks: list[bytes]) -> int:
    """Feed ``chunks`` as a connection does: through one buffer that is used again and again."""
    buffer = bytearray(max(map(len, chunks), default=0))
    replies = 0
    for chunk in chunks:
        buffer[: len(chunk)] = chunk
        with memoryview(buffer)[: len(chunk)] as view:
            replies += decoder.feed(view)
        buffer[:] = b"\xaa" * len(buffer)
    buffer.clear()  # raises BufferError if the decoder has kept a part of it
    return replies


def cut(stream: bytes, places: Sequence[int] = ()) -> list[bytes]:
    """Return ``stream`` in pieces, none of them empty."""
    inner = {place for place in places if 0 < place < len(stream)}
    edges = sorted({0, *inner, len(stream)})
    return [stream[start:end] for start, end in pairwise(edges)]


class TestContract:
    """What `loadgen.net.protocols.base` promises, for every framing."""

    @every_case
    def test_the_whole_stream_at_once_gives_its_replies(self, case: Case) -> None:
        decoder = case.decoder()
        assert feed(decoder, cut(case.stream)) == case.replies
        assert not decoder.partial

    @every_case
    def test_byte_by_byte_gives_the_same_replies(self, case: Case) -> None:
        decoder = case.decoder()
        assert feed(decoder, [bytes([byte]) for byte in case.stream]) == case.replies
        assert not decoder.partial

    @every_case
    def test_the_bytes_of_a_reply_that_is_not_whole_are_partial_at_each_of_them(
        self, case: Case
    ) -> None:
        decoder = case.decoder()
        feed(decoder, cut(case.stream))
        for byte in case.rest:
            assert feed(decoder, [bytes([byte])]) == 0
            assert decoder.partial

    @every_case
    @given(data=st.data())
    def test_any_cut_gives_the_same_replies_and_the_same_rest(
        self, case: Case, data: st.DataObject
    ) -> None:
        stream = case.stream + case.rest
        decoder = case.decoder()
        chunks = cut(stream, data.draw(st.lists(st.integers(0, len(stream)))))
        assert feed(decoder, chunks) == case.replies
        assert decoder.partial == bool(case.rest)

    @every_framing
    @given(chunks=st.lists(st.binary(min_size=1)), messages=st.lists(st.binary(min_size=1)))
    def test_garbage_raises_nothing_but_framing_errors(
        self, case: Case, chunks: list[bytes], messages: list[bytes]
    ) -> None:
        decoder = case.framing.decoder()
        decoder.expect(b"".join(messages), [len(message) for message in messages])
        size_bytes = sum(map(len, chunks))
        with contextlib.suppress(FramingError):
            assert 0 <= feed(decoder, chunks) + decoder.end() <= size_bytes

    @every_case
    def test_decoders_share_nothing(self, case: Case) -> None:
        begun = case.decoder()
        feed(begun, cut(case.stream + case.rest))
        fresh = case.decoder()
        assert not fresh.partial
        assert feed(fresh, cut(case.stream)) == case.replies

    @every_case
    def test_a_reply_length_known_ahead_is_the_true_one(self, case: Case) -> None:
        message = case.messages[0]
        length = case.framing.reply_bytes(len(message))
        if length is None:
            return
        decoder = case.framing.decoder()
        decoder.expect(message, [len(message)])
        assert feed(decoder, cut(message[:length].ljust(length, b"x"))) == 1
        assert not decoder.partial

    def test_only_none_is_one_way(self) -> None:
        assert NoReply().one_way
        assert not any(case.framing.one_way for case in CASES.values())

    @every_framing
    def test_the_end_of_the_stream_completes_a_reply_only_until_eof(self, case: Case) -> None:
        decoder = case.decoder()
        feed(decoder, cut(case.stream + case.rest))
        assert decoder.end() == isinstance(case.framing, UntilEof)


def cause_of(decoder: Decoder, data: bytes) -> Cause:
    with pytest.raises(FramingError) as error:
        decoder.feed(memoryview(data))
    return error.value.cause


class TestWrongBytes:
    @pytest.mark.parametrize("verify", [False, True])
    def test_bytes_that_no_message_asked_for(self, verify: bool) -> None:
        assert cause_of(Echo(verify).decoder(), b"x") is Cause.UNEXPECTED_BYTES

    @pytest.mark.parametrize("verify", [False, True])
    def test_more_bytes_than_were_asked_for(self, verify: bool) -> None:
        decoder = Echo(verify).decoder()
        decoder.expect(b"abc", [3])
        assert cause_of(decoder, b"abcd") is Cause.UNEXPECTED_BYTES

    def test_any_byte_where_there_is_no_reply(self) -> None:
        assert cause_of(NoReply().decoder(), b"x") is Cause.UNEXPECTED_BYTES

    @pytest.mark.parametrize("cuts", [[], [1], [2], [1, 2, 3]])
    def test_an_echo_that_differs(self, cuts: list[int]) -> None:
        decoder = Echo(verify=True).decoder()
        decoder.expect(b"abcd", [2, 2])
        *before, last = cut(b"abcX", cuts)
        feed(decoder, before)
        assert cause_of(decoder, last) is Cause.MISMATCH

    def test_an_echo_that_is_not_verified_may_differ(self) -> None:
        decoder = Echo().decoder()
        decoder.expect(b"abcd", [4])
        assert feed(decoder, [b"abcX"]) == 1

    @pytest.mark.parametrize("cuts", [[], [1]])
    def test_a_length_that_is_less_than_its_own_header(self, cuts: list[int]) -> None:
        decoder = LengthPrefix(2, header_included=True).decoder()
        *before, last = cut(b"\x00\x01", cuts)
        feed(decoder, before)
        assert cause_of(decoder, last) is Cause.BAD_FRAME

    def test_a_server_that_closes_without_a_byte_has_not_answered(self) -> None:
        assert UntilEof().decoder().end() == 0


class TestEcho:
    @given(st.lists(st.binary(min_size=1, max_size=9), min_size=1), st.data())
    def test_messages_sent_while_replies_come_in_are_awaited_in_turn(
        self, messages: list[bytes], data: st.DataObject
    ) -> None:
        decoder = Echo(verify=True).decoder()
        replies = 0
        for message in messages:
            decoder.expect(message, [len(message)])
            replies += feed(decoder, cut(message, data.draw(st.lists(st.integers(0, 9)))))
            assert not decoder.partial
        assert replies == len(messages)


def reply_of(form: str, size_bytes: int) -> bytes:
    """Return a reply of ``form`` that has so many bytes."""
    match form:
        case "eof":
            return b"x" * size_bytes
        case r"delimiter:\r\n":
            return b"x" * (size_bytes - 2) + b"\r\n"
        case "length:u16":
            return (size_bytes - 2).to_bytes(2) + b"x" * (size_bytes - 2)
        case _:
            return size_bytes.to_bytes(4, "little") + b"x" * (size_bytes - 4)


class TestLongReplies:
    FORMS = ("eof", r"delimiter:\r\n", "length:u16", "length:u32le,header-included")

    @pytest.mark.parametrize("form", FORMS)
    @given(data=st.data())
    def test_may_be_as_long_as_allowed_however_they_are_cut(
        self, form: str, data: st.DataObject
    ) -> None:
        decoder = protocols.parse(form, max_reply_bytes=20).decoder()
        sizes = [20, 5, 19, 20] if form != "eof" else [20]
        stream = b"".join(reply_of(form, size) for size in sizes)
        chunks = cut(stream, data.draw(st.lists(st.integers(0, len(stream)))))
        assert feed(decoder, chunks) + decoder.end() == len(sizes)

    @pytest.mark.parametrize("form", FORMS)
    @given(data=st.data())
    def test_may_be_no_longer_however_they_are_cut(self, form: str, data: st.DataObject) -> None:
        decoder = protocols.parse(form, max_reply_bytes=20).decoder()
        sizes = [20, 5, 21] if form != "eof" else [21]
        stream = b"".join(reply_of(form, size) for size in sizes)
        with pytest.raises(FramingError) as error:
            feed(decoder, cut(stream, data.draw(st.lists(st.integers(0, len(stream))))))
        assert error.value.cause is Cause.REPLY_TOO_LONG

    @pytest.mark.parametrize("form", ["eof", r"delimiter:\r\n"])
    def test_that_never_end_are_refused_where_they_grow_too_long(self, form: str) -> None:
        decoder = protocols.parse(form, max_reply_bytes=1000).decoder()
        assert feed(decoder, [b"x"] * 1000) == 0
        assert cause_of(decoder, b"x") is Cause.REPLY_TOO_LONG

    @pytest.mark.parametrize("form", ["length:u32", "length:u64", "length:u64le,header-included"])
    def test_are_refused_by_what_they_announce(self, form: str) -> None:
        size = int(form[8:10]) // 8
        decoder = protocols.parse(form, max_reply_bytes=2**20).decoder()
        assert cause_of(decoder, b"\xff" * size) is Cause.REPLY_TOO_LONG

    @pytest.mark.parametrize("form", ["echo", "fixed:30"])
    def test_of_a_length_that_was_asked_for_are_fine(self, form: str) -> None:
        decoder = protocols.parse(form, max_reply_bytes=20).decoder()
        decoder.expect(b"m" * 30, [30])
        assert feed(decoder, [b"x" * 30]) == 1
