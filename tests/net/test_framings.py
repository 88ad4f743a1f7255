"""parse(), and the one contract that every framing keeps."""

import contextlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outcomes import Rejecting

from loadgen.errors import UsageError
from loadgen.net import protocols
from loadgen.net.failure import Cause
from loadgen.net.protocols import (
    Decoder,
    Delimiter,
    Echo,
    Expectation,
    Expecting,
    Fixed,
    Framing,
    FramingError,
    Keeping,
    LengthPrefix,
    NoReply,
    Once,
    UntilEof,
)
from loadgen.net.protocols.base import BaseDecoder, BaseFraming
from loadgen.net.protocols.websocket import WebSocketReplies


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

ONE_WAY = Case(NoReply(), b"", 0, b"")


def kept(case: Case) -> Case:
    """The same where replies are kept: nothing but that is different."""
    return replace(case, framing=Keeping(case.framing))


KEPT = {f"{name}, kept": kept(case) for name, case in CASES.items()}
ANYTHING = Expectation.of(["/^/"])
EXPECTED = {
    f"{name}, expected": replace(case, framing=Expecting(case.framing, ANYTHING))
    for name, case in CASES.items()
}
AROUND = KEPT | EXPECTED

every_case = pytest.mark.parametrize(
    "case", [*CASES.values(), *AROUND.values()], ids=[*CASES, *AROUND]
)
every_framing = pytest.mark.parametrize(
    "case",
    [*CASES.values(), *AROUND.values(), ONE_WAY, kept(ONE_WAY)],
    ids=[*CASES, *AROUND, "none", "none, kept"],
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
    @given(data=st.data())
    def test_the_ends_of_replies_are_found_however_the_stream_is_cut(
        self, case: Case, data: st.DataObject
    ) -> None:
        stream = case.stream + case.rest
        decoder, ends, fed = case.decoder(), [], 0
        for chunk in cut(stream, data.draw(st.lists(st.integers(0, len(stream))))):
            ends += [fed + end for end in decoder.ends(memoryview(chunk))]
            fed += len(chunk)
        assert ends == list(accumulate(map(len, replies_of(case))))
        assert decoder.partial == bool(case.rest)

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
        assert Keeping(NoReply()).one_way
        assert not any(case.framing.one_way for case in [*CASES.values(), *AROUND.values()])

    @every_framing
    def test_the_end_of_the_stream_completes_a_reply_only_until_eof(self, case: Case) -> None:
        decoder = case.decoder()
        feed(decoder, cut(case.stream + case.rest))
        assert decoder.end() == (UntilEof() in (case.framing, getattr(case.framing, "framing", 0)))

    @every_framing
    def test_nothing_is_rejected_or_sent_back_and_no_decoder_can_change_that_for_others(
        self, case: Case
    ) -> None:
        decoder = case.decoder()
        feed(decoder, cut(case.stream))
        assert (decoder.rejected, decoder.to_send) == ({}, b"")
        assert not decoder.closes
        assert not decoder.unsolicited
        with pytest.raises(TypeError):
            decoder.rejected[Cause.REJECTED] = 1


def replies_of(case: Case) -> list[bytes]:
    """Return the replies in the stream of ``case``, as byte by byte tells them apart."""
    decoder, replies, begun = case.decoder(), [], b""
    for byte in case.stream:
        begun += bytes([byte])
        if feed(decoder, [bytes([byte])]):
            replies.append(begun)
            begun = b""
    return replies


@dataclass(frozen=True)
class Verdicts(BaseFraming):
    """Lines that end with a line feed, which are a reply with ``-`` or ``+`` and otherwise a ping.

    A ping is answered with a pong. After ``-bye`` the server closes.
    """

    def decoder(self) -> Decoder:
        return _VerdictDecoder()

    def reply_bytes(self, message_bytes: int) -> int | None:
        return None


class _VerdictDecoder(BaseDecoder):
    def __init__(self) -> None:
        super().__init__()
        self._line = b""

    def feed(self, view: memoryview) -> int:
        *lines, self._line = (self._line + view).split(b"\n")
        for line in lines:
            if line.startswith(b"-"):
                self.reject(Cause.REJECTED)
            if line == b"-bye":
                self.closes = True
            if line == b"ping":
                self.to_send += b"pong\n"
        self.partial = bool(self._line)
        return sum(line != b"ping" for line in lines)


class TestOutcomes:
    """Replies with an outcome, and what else a decoder tells the channel."""

    STREAM = b"+one\n-two\nping\n-three\nping\n+four\n-bye\n"

    @pytest.mark.parametrize("framing", [Verdicts(), Keeping(Verdicts())], ids=["plain", "kept"])
    @given(data=st.data())
    def test_each_is_told_once_however_the_bytes_are_cut(
        self, framing: Framing, data: st.DataObject
    ) -> None:
        decoder = framing.decoder()
        decoder.expect(b"mmmmm", [1] * 5)
        replies, rejected, sent = 0, 0, b""
        chunks = cut(self.STREAM, data.draw(st.lists(st.integers(0, len(self.STREAM)))))
        for chunk in chunks:
            assert not decoder.closes
            replies += feed(decoder, [chunk])
            if decoder.rejected:  # as a channel does
                rejected += decoder.rejected[Cause.REJECTED]
                decoder.rejected.clear()
            sent += decoder.to_send
            decoder.to_send = b""
        assert (replies, rejected, sent) == (5, 3, b"pong\n" * 2)
        assert decoder.closes

    def test_what_is_not_taken_adds_up(self) -> None:
        decoder = Verdicts().decoder()
        feed(decoder, [b"-one\n", b"ping\n", b"-two\nping\n"])
        assert decoder.rejected == {Cause.REJECTED: 2}
        assert decoder.to_send == b"pong\n" * 2

    def test_one_decoder_tells_nothing_of_another(self) -> None:
        feed(Verdicts().decoder(), [self.STREAM])
        fresh = Verdicts().decoder()
        assert (fresh.rejected, fresh.to_send, fresh.closes) == ({}, b"", False)


class TestKeeping:
    @pytest.mark.parametrize("framing", [Rejecting(), Expecting(Rejecting(), ANYTHING)])
    @given(places=st.sets(st.integers(1, 40)))
    def test_what_comes_unsolicited_is_no_reply_of_its_own(
        self, framing: Framing, places: set[int]
    ) -> None:
        stream = b"PING\r\none\r\n+news\r\nPING\r\ntwo\r\n+more"
        found: list[bytes] = []
        decoder = Keeping(framing, lambda reply: found.append(framing.content(reply))).decoder()
        decoder.expect(b"1\r\n2\r\n", [3, 3])
        assert feed(decoder, cut(stream, sorted(places))) == 2
        assert found == [b"one", b"two"]
        assert decoder.to_send == b"PONG\r\n" * 2

    @pytest.mark.parametrize("around", [False, True])
    def test_pings_are_not_kept_without_end(self, around: bool) -> None:
        """Each read ends within one, so that no reply is known not to have begun."""
        framing = WebSocketReplies(999)
        decoder = Keeping(Expecting(framing, ANYTHING) if around else framing).decoder()
        decoder.expect(b"m", [1])
        ping = b"\x89\x7d" + bytes(125)
        pings = ping[64:] + ping * 2**10 + ping[:64]
        assert feed(decoder, [ping[:64], *[pings] * 100]) == 0
        with pytest.raises(FramingError) as raised:
            feed(decoder, [pings] * 40)
        assert raised.value.cause is Cause.REPLY_TOO_LONG

    @pytest.mark.parametrize("case", CASES.values(), ids=CASES)
    @given(data=st.data())
    def test_the_last_whole_reply_is_kept_to_the_byte_however_it_is_cut(
        self, case: Case, data: st.DataObject
    ) -> None:
        replies, stream = replies_of(case), case.stream + case.rest
        told: list[bytes] = []
        decoder = Keeping(case.framing, told.append).decoder()
        decoder.expect(b"".join(case.messages), [len(message) for message in case.messages])
        whole = 0
        for chunk in cut(stream, data.draw(st.lists(st.integers(0, len(stream))))):
            whole += feed(decoder, [chunk])
            assert decoder.reply == (replies[whole - 1] if whole else None)
            assert told[-1:] == ([decoder.reply] if whole else [])

    def test_a_reply_that_the_end_of_the_stream_makes_whole_is_kept(self) -> None:
        decoder = Keeping(UntilEof()).decoder()
        decoder.expect(b"m", [1])
        feed(decoder, [b"all of", b" this"])
        assert decoder.reply is None
        assert decoder.end() == 1
        assert decoder.reply == b"all of this"

    def test_messages_sent_while_replies_come_in_tell_these_apart(self) -> None:
        decoder = Keeping(Echo()).decoder()
        decoder.expect(b"abcde", [2, 3])
        assert feed(decoder, [b"abc"]) == 1
        assert decoder.reply == b"ab"
        decoder.expect(b"fghi", [4])
        assert feed(decoder, [b"defgh"]) == 1
        assert decoder.reply == b"cde"
        assert feed(decoder, [b"i"]) == 1
        assert decoder.reply == b"fghi"

    @pytest.mark.parametrize("stream", [b"one\ntwo\n", b"one\ntw"])
    def test_nothing_is_kept_of_more_than_was_asked_for(self, stream: bytes) -> None:
        decoder = Keeping(Delimiter(b"\n")).decoder()
        decoder.expect(b"m", [1])
        feed(decoder, [stream])
        assert decoder.reply is None

    def test_a_message_without_a_reply_is_awaited_by_nothing(self) -> None:
        decoder = Keeping(Echo(verify=True)).decoder()
        decoder.expect(b"one way", [])
        decoder.expect(b"echo", [4])
        assert feed(decoder, [b"echo"]) == 1
        assert decoder.reply == b"echo"


class TestOnce:
    @pytest.mark.parametrize("case", CASES.values(), ids=CASES)
    def test_the_first_whole_reply_ends_the_connection(self, case: Case) -> None:
        decoder = Once(case.framing).decoder()
        message = case.messages[0]
        decoder.expect(message, [len(message)])
        [first, *_] = replies_of(case) or [case.rest]
        assert case.framing.decoder().closes is False
        assert feed(decoder, [bytes([byte]) for byte in first[:-1]]) == 0
        assert not decoder.closes
        assert feed(decoder, [first[-1:]]) + decoder.end() == 1
        assert decoder.closes


SEEING_LITTLE = [
    Expecting(case.framing, Expectation.of(["abc", "x" * 100])) for case in CASES.values()
]


class TestUntrustedPeers:
    @pytest.mark.parametrize(
        "framing",
        [*(case.framing for case in CASES.values()), *SEEING_LITTLE],
        ids=[*CASES, *(f"{name}, expected" for name in CASES)],
    )
    @pytest.mark.parametrize("size_bytes", [1, 7, 2**14])
    @given(pattern=st.binary(min_size=1, max_size=64), in_flight=st.integers(1, 3))
    @settings(max_examples=10)
    def test_nothing_that_they_send_grows_a_decoder(
        self, framing: Framing, size_bytes: int, pattern: bytes, in_flight: int
    ) -> None:
        decoder = framing.decoder()
        decoder.expect(b"m" * 2 * in_flight, [2] * in_flight)
        chunk = (pattern * size_bytes)[:size_bytes]
        with contextlib.suppress(FramingError):
            for _ in range(64):
                decoder.feed(memoryview(chunk))
        assert len(pickle.dumps(decoder)) < 2048


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
