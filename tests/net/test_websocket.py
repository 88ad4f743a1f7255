"""WebSocket without sockets: frames and handshake, with `websockets` as the other side of each."""

import contextlib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from loadgen.net.failure import Cause
from loadgen.net.protocols import Decoder, FramingError
from loadgen.net.protocols.websocket import WebSocketEchoes, WebSocketReplies
from loadgen.net.protocols.websocket_frames import (
    BINARY,
    TEXT,
    control_frame,
    message_frames,
    new_keys,
    payload_of,
    read_header,
)
from loadgen.net.protocols.websocket_upgrade import (
    LONGEST_ANSWER_BYTES,
    Upgrade,
    accept_key,
    upgrade_request,
)
from loadgen.testing import check_protocol

EDGES: Final = (0, 1, 125, 126, 127, 1023, 1024, 1025, 65535, 65536)
"""Lengths beside which the form of a frame, or the way to mask it, changes."""

CODES: Final = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999)
MESSAGE: Final = Frame(Opcode.TEXT, b"reply")
PING: Final = Frame(Opcode.PING, b"are you there")
PONG: Final = Frame(Opcode.PONG, b"unasked")


def wire(*frames: Frame) -> bytes:
    """Return ``frames`` as a server sends them."""
    return b"".join(frame.serialize(mask=False) for frame in frames)


def close(code: int, reason: bytes = b"") -> Frame:
    return Frame(Opcode.CLOSE, code.to_bytes(2, "big") + reason)


def cut(stream: bytes, places: Iterable[int] = ()) -> list[bytes]:
    """Return ``stream`` in pieces that end at ``places``."""
    ends = sorted({0, *places, len(stream)})
    return [stream[start:end] for start, end in pairwise(ends)]


def feed(decoder: Decoder, chunks: Iterable[bytes]) -> tuple[int, bytes]:
    """Return how many replies are in ``chunks``, and what is sent back, as a channel does it."""
    replies, sent = 0, b""
    for chunk in chunks:
        replies += decoder.feed(memoryview(chunk))
        sent += decoder.to_send
        decoder.to_send = b""
    return replies, sent


def payloads(frames: Iterable[object]) -> list[bytes]:
    """Return the payloads of the whole messages among ``frames``."""
    whole, begun = [], b""
    for frame in frames:
        assert isinstance(frame, Frame)
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            begun += frame.data
            if frame.fin:
                whole.append(begun)
                begun = b""
    return whole


def client() -> ClientProtocol:
    """Return the independent client, past its handshake."""
    return ClientProtocol(parse_uri("ws://server/"), state=State.OPEN, max_size=None)


def read_by_server(data: bytes) -> list[object]:
    """Return the frames that the independent server reads, which accepts them all."""
    server = ServerProtocol(state=State.OPEN, max_size=None)
    server.receive_data(data)
    assert server.parser_exc is None
    return list(server.events_received())


any_message = st.tuples(st.sampled_from((TEXT, BINARY)), st.binary(max_size=300))
sizes = st.none() | st.integers(1, 70)


class TestWritten:
    """What we write, read by the independent server."""

    @pytest.mark.parametrize("size", EDGES)
    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    def test_a_message_is_one_masked_frame_of_the_shortest_form(
        self, size: int, opcode: int
    ) -> None:
        payload = bytes(number % 251 for number in range(size))
        [frame] = message_frames(opcode, payload, None)
        sent = frame.masked(0x04030201)
        assert sent == Frame(Opcode(opcode), payload).serialize(mask=True)[
            : len(sent) - size - 4
        ] + (b"\x01\x02\x03\x04" + bytes(each ^ (1 + at % 4) for at, each in enumerate(payload)))
        assert payloads(read_by_server(sent)) == [payload]
        assert payload_of(sent) == payload

    @given(messages=st.lists(any_message, max_size=4), size=sizes)
    def test_the_server_reads_the_payloads(
        self, messages: list[tuple[int, bytes]], size: int | None
    ) -> None:
        keys = new_keys()
        frames = [each for message in messages for each in message_frames(*message, size)]
        sent = b"".join(each.masked(next(keys)) for each in frames)
        assert payloads(read_by_server(sent)) == [payload for _, payload in messages]

    @given(payload=st.binary(max_size=400), size=st.integers(1, 70))
    def test_no_fragment_is_longer_than_asked_for(self, payload: bytes, size: int) -> None:
        sent = b"".join(each.masked(7) for each in message_frames(TEXT, payload, size))
        read = [frame for frame in read_by_server(sent) if isinstance(frame, Frame)]
        assert [frame.opcode for frame in read] == [Opcode.TEXT] + [Opcode.CONT] * (len(read) - 1)
        assert [len(frame.data) for frame in read[:-1]] == [size] * (len(read) - 1)
        assert payload_of(sent) == payload

    def test_masks_are_not_repeated(self) -> None:
        keys = new_keys()
        assert len({next(keys) for _ in range(3000)}) > 2990
        assert len({control_frame(0x9, b"") for _ in range(20)}) > 15


class TestReplies:
    """What the independent server writes, read by us."""

    @pytest.mark.parametrize("size", EDGES)
    @pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
    def test_a_frame_is_a_reply_whole_and_byte_by_byte(self, size: int, opcode: Opcode) -> None:
        stream = wire(Frame(opcode, b"x" * size))
        assert WebSocketReplies().content(stream) == b"x" * size
        decoder = WebSocketReplies().decoder()
        for _ in range(3):
            assert feed(decoder, [stream]) == (1, b"")
            assert not decoder.partial
        assert feed(decoder, cut(stream, range(min(300, len(stream))))) == (1, b"")
        assert not decoder.partial

    @given(
        frames=st.lists(
            st.one_of(
                st.builds(
                    lambda parts: [
                        Frame(Opcode.CONT if number else Opcode.BINARY, part, part is parts[-1])
                        for number, part in enumerate(parts)
                    ],
                    st.lists(
                        st.binary(min_size=1, max_size=200), min_size=1, max_size=4, unique=True
                    ),
                ),
                st.sampled_from(([PING], [PONG], [Frame(Opcode.TEXT, b"")])),
            ),
            max_size=5,
        ),
        data=st.data(),
    )
    def test_messages_are_counted_and_kept_however_they_are_cut(
        self, frames: list[list[Frame]], data: st.DataObject
    ) -> None:
        """Control frames may stand between the fragments, too."""
        flat = [frame for each in frames for frame in each]
        for _ in range(data.draw(st.integers(0, 2))):
            flat.insert(data.draw(st.integers(0, len(flat))), PONG)
        stream = wire(*flat)
        messages = payloads(flat)
        decoder = WebSocketReplies(4096).decoder()
        kept, begun, got = [], b"", 0
        for chunk in cut(stream, data.draw(st.lists(st.integers(0, len(stream))))):
            ends = decoder.ends(memoryview(chunk))
            got += len(ends)
            for start, end in pairwise((0, *ends)):
                kept.append(payload_of(begun + chunk[start:end]))
                begun = b""
            begun += chunk[ends[-1] if ends else 0 :]
        assert (got, kept) == (len(messages), messages)
        assert not decoder.partial
        assert not decoder.closes

    def test_a_ping_is_answered_with_its_payload_between_fragments_as_well(self) -> None:
        stream = wire(Frame(Opcode.TEXT, b"be", fin=False), PING, Frame(Opcode.CONT, b"gun"))
        for places in ((), range(len(stream))):
            replies, sent = feed(WebSocketReplies().decoder(), cut(stream, places))
            [pong] = read_by_server(sent)
            assert isinstance(pong, Frame)
            assert (replies, pong.opcode, pong.data) == (1, Opcode.PONG, PING.data)

    def test_of_pings_at_once_the_last_is_answered(self) -> None:
        last = Frame(Opcode.PING, b"last")
        _, sent = feed(WebSocketReplies().decoder(), [wire(*[PING] * 1000, last)])
        assert [each.data for each in read_by_server(sent) if isinstance(each, Frame)] == [b"last"]

    @pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x03\xe9going away"])
    def test_an_orderly_close_is_answered_and_ends_the_connection(self, payload: bytes) -> None:
        decoder = WebSocketReplies().decoder()
        ended = wire(MESSAGE, Frame(Opcode.CLOSE, payload))
        replies, sent = feed(decoder, [ended + wire(MESSAGE, MESSAGE)])
        assert (replies, decoder.closes) == (1, True)
        [answer] = read_by_server(sent)
        assert isinstance(answer, Frame)
        assert (answer.opcode, answer.data) == (Opcode.CLOSE, payload[:2])
        assert feed(decoder, [wire(MESSAGE)]) == (0, b"")

    @pytest.mark.parametrize("code", CODES[2:])
    def test_another_close_is_a_failure_of_its_own_cause(self, code: int) -> None:
        decoder = WebSocketReplies().decoder()
        with pytest.raises(FramingError) as caught:
            feed(decoder, [wire(close(code, b"because"))])
        name = {3: "3xxx", 4: "4xxx"}.get(code // 1000, str(code))
        assert caught.value.cause == f"ws_close_{name}"
        [answer] = read_by_server(decoder.to_send)
        assert isinstance(answer, Frame)
        assert answer.data == code.to_bytes(2, "big")

    @pytest.mark.parametrize(
        ("stream", "cause", "code"),
        [
            (MESSAGE.serialize(mask=True), Cause.BAD_FRAME, 1002),
            (PING.serialize(mask=True), Cause.BAD_FRAME, 1002),
            (b"\xc1\x01x", Cause.BAD_FRAME, 1002),
            (b"\x83\x01x", Cause.BAD_FRAME, 1002),
            (b"\x8b\x00", Cause.BAD_FRAME, 1002),
            (b"\x09\x00", Cause.BAD_FRAME, 1002),
            (b"\x89\x7e\x00\x7e" + bytes(126), Cause.BAD_FRAME, 1002),
            (b"\x80\x01x", Cause.BAD_FRAME, 1002),
            (b"\x01\x01x\x81\x01x", Cause.BAD_FRAME, 1002),
            (b"\x81\x7e\x00\x7d" + bytes(125), Cause.BAD_FRAME, 1002),
            (b"\x81\x7f" + (65535).to_bytes(8, "big"), Cause.BAD_FRAME, 1002),
            (b"\x81\x7f" + (2**63).to_bytes(8, "big"), Cause.BAD_FRAME, 1002),
            (b"\x81\x7f" + (2**63 - 1).to_bytes(8, "big"), Cause.REPLY_TOO_LONG, 1009),
            (b"\x81\x7e\x03\xfd", Cause.REPLY_TOO_LONG, 1009),
            (b"\x01\x64" + bytes(100) + b"\x00\x00" * 500, Cause.REPLY_TOO_LONG, 1009),
            (b"\x01\x00" + wire(PONG) * 200, Cause.REPLY_TOO_LONG, 1009),
            (b"\x88\x01\x03", Cause.BAD_FRAME, 1002),
            (wire(close(999)), Cause.BAD_FRAME, 1002),
            (wire(close(1005)), Cause.BAD_FRAME, 1002),
            (wire(close(5000)), Cause.BAD_FRAME, 1002),
            (wire(close(1000, b"\xff")), Cause.BAD_FRAME, 1002),
        ],
        ids=[
            *("masked", "masked ping", "reserved bit", "opcode 3", "opcode 11"),
            *("fragmented ping", "long ping", "continues nothing", "not continued"),
            *("16 bits for 125", "64 bits for 65535", "2^63", "2^63 - 1", "long"),
            *("many fragments", "pongs within", "half a code"),
            *("code 999", "code 1005", "code 5000", "reason"),
        ],
    )
    def test_what_must_not_be_is_refused_and_the_server_told(
        self, stream: bytes, cause: Cause, code: int
    ) -> None:
        for places in ((), range(len(stream))):
            decoder = WebSocketReplies(1024).decoder()
            with pytest.raises(FramingError) as caught:
                feed(decoder, cut(stream, places))
            assert caught.value.cause is cause
            [told] = read_by_server(decoder.to_send)
            assert isinstance(told, Frame)
            assert told.data == code.to_bytes(2, "big")

    def test_the_longest_reply_is_counted_with_its_headers(self) -> None:
        for size in (10, 200):
            reply = wire(Frame(Opcode.TEXT, bytes(size)))
            assert WebSocketReplies(len(reply)).decoder().feed(memoryview(reply)) == 1
            with pytest.raises(FramingError):
                WebSocketReplies(len(reply) - 1).decoder().feed(memoryview(reply))

    @given(
        frames=st.lists(
            st.builds(
                Frame,
                st.sampled_from(Opcode),
                st.one_of(
                    st.binary(max_size=140),
                    st.builds(lambda code: close(code).data, st.sampled_from((*CODES, 1005, 2000))),
                ),
                st.booleans(),
            ),
            max_size=4,
        ),
        noise=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=2),
        data=st.data(),
    )
    def test_it_agrees_with_an_independent_client(
        self, frames: list[Frame], noise: list[tuple[int, int]], data: st.DataObject
    ) -> None:
        """Of a stream that may be damaged both read the same, or both refuse it.

        We refuse lengths that are not the shortest form (section 5.2), see what is wrong with a
        header before its payload has come, and take a close within a message (section 5.4); the
        other one does none of that.
        """
        stream = bytearray(b"".join(lax(frame) for frame in frames))
        for at, byte in noise:
            if stream:
                stream[at % len(stream)] = byte
        other = client()
        other.receive_data(bytes(stream))
        read = [frame for frame in other.events_received() if isinstance(frame, Frame)]
        decoder = WebSocketReplies().decoder()
        chunks = cut(bytes(stream), data.draw(st.lists(st.integers(0, len(stream)))))
        error, replies = None, 0
        try:
            for chunk in chunks:
                replies += len(decoder.ends(memoryview(chunk)))
        except FramingError as raised:
            error = raised.cause
        if error is None:
            assert other.parser_exc is None or "incomplete" in str(other.parser_exc)
            assert replies == len(payloads(read))
            assert decoder.closes == (other.close_rcvd is not None)
        elif error is not Cause.BAD_FRAME:
            assert other.close_rcvd is not None
            assert str(error)[9] == str(other.close_rcvd.code)[0]
            assert replies <= len(payloads(read))
        else:
            assert replies <= len(payloads(read))

    @given(chunks=st.lists(st.binary(min_size=1, max_size=400)), limit=st.integers(1, 500))
    def test_garbage_raises_nothing_else_and_takes_no_memory(
        self, chunks: list[bytes], limit: int
    ) -> None:
        for framing in (WebSocketReplies(limit), WebSocketEchoes(limit)):
            decoder = framing.decoder()
            decoder.expect(control_frame(TEXT, b"sent"), [10])
            with contextlib.suppress(FramingError):
                for chunk in chunks:
                    assert len(decoder.ends(memoryview(chunk))) <= len(chunk)
                decoder.end()
            assert len(decoder.to_send) < 300


def lax(frame: Frame) -> bytes:
    """Return ``frame`` on the wire, also if it must not be."""
    with contextlib.suppress(Exception):
        return frame.serialize(mask=False)
    length = len(frame.data)
    size = bytes((length,)) if length < 126 else b"\x7e" + length.to_bytes(2, "big")
    return bytes((frame.opcode | 0x80 * frame.fin,)) + size + frame.data


class TestEchoes:
    """Replies that are compared with what was sent."""

    MESSAGES: Final = (b"one", b"\xff" * 300, "drei €".encode())

    def told(self, size: int | None = None) -> Decoder:
        """Return a decoder that has been told of the messages, sent in one batch."""
        decoder = WebSocketEchoes().decoder()
        sent = [
            b"".join(each.masked(key) for each in message_frames(TEXT, payload, size))
            for payload, key in zip(self.MESSAGES, new_keys(), strict=False)
        ]
        decoder.expect(b"".join(sent), [len(each) for each in sent])
        return decoder

    @given(size=sizes, data=st.data())
    def test_equal_payloads_are_accepted_in_whatever_frames_they_come(
        self, size: int | None, data: st.DataObject
    ) -> None:
        one, two, three = self.MESSAGES
        fragments = (Frame(Opcode.BINARY, two[:7], fin=False), PING, Frame(Opcode.CONT, two[7:]))
        stream = wire(Frame(Opcode.TEXT, one), *fragments, Frame(Opcode.BINARY, three))
        decoder = self.told(size)
        chunks = cut(stream, data.draw(st.lists(st.integers(0, len(stream)))))
        assert feed(decoder, chunks)[0] == 3
        assert not decoder.partial

    @pytest.mark.parametrize("wrong", [b"onE", b"on", b"one!", b""])
    def test_other_payloads_are_a_mismatch(self, wrong: bytes) -> None:
        with pytest.raises(FramingError) as caught:
            feed(self.told(), [wire(Frame(Opcode.TEXT, wrong))])
        assert caught.value.cause is Cause.MISMATCH

    @pytest.mark.parametrize("payload", [b"one", b""])
    def test_a_message_too_many_was_not_asked_for(self, payload: bytes) -> None:
        decoder = self.told()
        feed(decoder, [wire(*(Frame(Opcode.TEXT, each) for each in self.MESSAGES))])
        with pytest.raises(FramingError) as caught:
            feed(decoder, [wire(Frame(Opcode.TEXT, payload))])
        assert caught.value.cause is Cause.UNEXPECTED_BYTES


class TestUpgrade:
    """The opening handshake, with the independent server on the other side."""

    def answered(
        self, protocol: ServerProtocol, offered: Sequence[str] = (), headers: Sequence[str] = ()
    ) -> tuple[Request, Decoder]:
        """Return the request as the server read it, and the decoder that has read its answer."""
        sent = upgrade_request("/chat?x=1", "server.test:8080", offered, headers)
        protocol.receive_data(sent)
        [request] = protocol.events_received()
        assert isinstance(request, Request)
        protocol.send_response(protocol.accept(request))
        decoder = Upgrade(tuple(offered)).decoder()
        decoder.expect(sent, [len(sent)])
        answer = b"".join(protocol.data_to_send())
        assert feed(decoder, cut(answer, range(len(answer)))) == (1, b"")
        return request, decoder

    def test_the_server_understands_the_request_and_we_its_answer(self) -> None:
        headers = ("Origin: https://example.test", "Cookie: a=1", "X-Empty:", "Cookie: b=2")
        request, decoder = self.answered(ServerProtocol(), headers=headers)
        assert (request.path, request.headers["Host"]) == ("/chat?x=1", "server.test:8080")
        assert request.headers["Origin"] == "https://example.test"
        assert request.headers.get_all("Cookie") == ["a=1", "b=2"]
        assert "X-Empty" not in request.headers
        assert (decoder.rejected, decoder.partial) == ({}, False)

    def test_a_host_may_be_given_and_each_request_has_a_key_of_its_own(self) -> None:
        first, _ = self.answered(ServerProtocol(), headers=("host: other.test",))
        second, _ = self.answered(ServerProtocol())
        assert first.headers.get_all("Host") == ["other.test"]
        assert first.headers["Sec-WebSocket-Key"] != second.headers["Sec-WebSocket-Key"]

    def test_one_of_the_subprotocols_must_be_chosen(self) -> None:
        known = [Subprotocol("mqtt"), Subprotocol("chat")]
        _, decoder = self.answered(ServerProtocol(subprotocols=known), ("other", "chat"))
        assert decoder.rejected == {}
        choosing = ServerProtocol(select_subprotocol=lambda *_: None)
        _, decoder = self.answered(choosing, ("chat",))
        assert decoder.rejected == {Cause.WS_SUBPROTOCOL: 1}

    def test_the_accept_key_is_that_of_the_standard(self) -> None:
        assert accept_key(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

    GOOD: Final = (
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: WebSocket",
        b"Connection: keep-alive, Upgrade",
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    )

    def judged(self, *lines: bytes, offered: tuple[str, ...] = ()) -> dict[Cause, int]:
        """Return why an answer of ``lines`` to the standard's own key is rejected."""
        decoder = Upgrade(offered).decoder()
        decoder.expect(
            b"GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", [1]
        )
        assert decoder.feed(memoryview(b"\r\n".join((*lines, b"", b"")))) == 1
        return decoder.rejected

    def test_what_a_good_answer_may_have(self) -> None:
        assert self.judged(*self.GOOD) == {}
        assert self.judged(*self.GOOD, b"Server: x", b"Sec-WebSocket-Extensions:") == {}
        chosen = b"sec-websocket-protocol: chat"
        assert self.judged(*self.GOOD, chosen, offered=("mqtt", "chat")) == {}

    @pytest.mark.parametrize(
        ("lines", "cause"),
        [
            ((b"HTTP/1.1 200 OK", *GOOD[1:]), Cause.WS_HANDSHAKE),
            ((b"HTTP/1.1 301 Moved", b"Location: /x"), Cause.WS_STATUS_3XX),
            ((b"HTTP/1.1 403 Forbidden",), Cause.WS_STATUS_4XX),
            ((b"HTTP/1.0 503",), Cause.WS_STATUS_5XX),
            ((b"HTTP/1.1 1010 Wrong", *GOOD[1:]), Cause.WS_HANDSHAKE),
            ((GOOD[0], *GOOD[2:]), Cause.WS_HANDSHAKE),
            ((*GOOD[:2], b"Connection: close", GOOD[3]), Cause.WS_HANDSHAKE),
            ((GOOD[0], b"Upgrade: h2c", *GOOD[2:]), Cause.WS_HANDSHAKE),
            ((*GOOD, b" folded: line"), Cause.WS_HANDSHAKE),
            ((*GOOD, b"no colon"), Cause.WS_HANDSHAKE),
            (GOOD[:3], Cause.WS_ACCEPT),
            ((*GOOD[:3], GOOD[3].upper()), Cause.WS_ACCEPT),
            ((*GOOD, GOOD[3]), Cause.WS_ACCEPT),
            ((*GOOD, b"Sec-WebSocket-Extensions: permessage-deflate"), Cause.WS_EXTENSION),
            ((*GOOD, b"Sec-WebSocket-Protocol: chat"), Cause.WS_SUBPROTOCOL),
        ],
    )
    def test_another_answer_is_rejected_by_cause(
        self, lines: Sequence[bytes], cause: Cause
    ) -> None:
        assert self.judged(*lines) == {cause: 1}

    @pytest.mark.parametrize(
        "answer",
        [
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x00",
            b"HTTP/2",
            b"HTTP/1.1 101 " + b"x" * LONGEST_ANSWER_BYTES,
        ],
        ids=["request", "zero", "other version", "endless"],
    )
    def test_what_is_no_answer_at_all_is_refused_at_once(self, answer: bytes) -> None:
        for places in ((), range(len(answer))):
            with pytest.raises(FramingError) as caught:
                feed(Upgrade().decoder(), cut(answer, places))
            assert caught.value.cause is Cause.WS_HANDSHAKE

    @given(data=st.data(), behind=st.binary(max_size=40))
    def test_bytes_behind_it_are_not_its_own(self, data: st.DataObject, behind: bytes) -> None:
        answer = b"\r\n".join((*self.GOOD, b"", b"")) + behind
        decoder = Upgrade().decoder()
        assert feed(decoder, cut(answer, data.draw(st.lists(st.integers(0, len(answer))))))[0] == 1
        assert decoder.partial == bool(behind)


def test_they_keep_the_contract_of_framings() -> None:
    fragments = (Frame(Opcode.TEXT, b"a", fin=False), PONG, Frame(Opcode.CONT, b"b"))
    replies = [wire(MESSAGE), wire(Frame(Opcode.BINARY, b"x" * 300)), wire(PING, *fragments)]
    check_protocol(WebSocketReplies(2**16), replies, most_reply_bytes=2**16)
    sent = [message_frames(TEXT, payload, None)[0].masked(9) for payload in (b"reply", b"x" * 300)]
    check_protocol(WebSocketEchoes(2**16), replies[:2], sent, 2**16)


def test_headers_that_are_not_whole_are_none() -> None:
    for stream in (wire(Frame(Opcode.TEXT, bytes(200))), wire(Frame(Opcode.TEXT, bytes(70000)))):
        view = memoryview(stream)
        whole = read_header(view)
        assert whole is not None
        assert whole.header_bytes + whole.payload_bytes == len(stream)
        for size in range(whole.header_bytes):
            assert read_header(view[:size]) is None
