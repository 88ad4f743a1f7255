"""Runs over WebSocket, against `websockets` in a process of its own, and servers that misbehave."""

from collections.abc import Iterator
from typing import Any, Final, Literal

import pytest
from accounts import check, failures
from command import loadgen as command
from servers import Peer, ScriptedServer, answers_each, echoes, never_answers
from websocket_servers import WebSocketServer, websocket_server

import loadgen
from loadgen import UsageError
from loadgen.net.protocols.websocket_frames import payload_of
from loadgen.net.protocols.websocket_upgrade import accept_key
from loadgen.plan.payloads import SizePayload
from loadgen.results.record import RunRecord

SUBPROTOCOLS: Final = ("other", "chat", "mqtt")


@pytest.fixture(scope="module")
def server() -> Iterator[WebSocketServer]:
    with websocket_server() as running:
        yield running


def load(target: str, **fields: Any) -> RunRecord:
    record = loadgen.run(loadgen.Plan(target=target, **{"connections": 3, **fields}))
    check(record)
    return record


def refused(target: str, **fields: Any) -> RunRecord:
    """Return the record of a load of which no connection comes up."""
    with pytest.raises(loadgen.UnreachableTargetError) as refusal:
        load(target, **fields)
    check(refusal.value.record)
    return refusal.value.record


class TestAgainstAnIndependentServer:
    @pytest.mark.parametrize(
        "fields",
        [
            {"messages": 40},
            {"messages": 40, "pipeline": 8},
            {"messages": 40, "pipeline": 3, "ws_mask": "once"},
            {"messages": 40, "rate": 2000.0},
            {"messages": 40, "rate": 4000.0, "pipeline": 4},
            {"messages": 40, "timestamps": "user"},
            {"messages": 20, "ws_frame_bytes": 5},
            {"messages": 20, "payloads": (b"one", b"\xff" * 200, SizePayload(70_000))},
            {"messages": 20, "pipeline": 7, "payloads": (b"text", b"\xff\xfe")},
            {"duration_s": 0.1, "warmup_s": 0.05, "think": "1ms"},
        ],
        ids=str,
    )
    def test_every_echo_is_counted_and_compared(
        self, server: WebSocketServer, fields: dict[str, Any]
    ) -> None:
        record = load(server.url(), verify=True, **fields)
        assert record.failures == []
        assert record.actual.messages == 3 * fields["messages"] if "messages" in fields else True
        ended = server.ended(3)
        assert {(each["code"], each["error"]) for each in ended} == {(1000, "")}

    def test_replies_in_fragments_with_pings_between_them(self, server: WebSocketServer) -> None:
        """The server's close waits for the pong to each ping; so it has got them."""
        for path in ("fragments", "pings"):
            for pipeline in (1, 5):
                record = load(server.url(path), messages=30, pipeline=pipeline, verify=True)
                assert (record.failures, record.actual.messages) == ([], 90)
                assert {each["code"] for each in server.ended(3)} == {1000}

    def test_an_echo_that_differs_is_a_mismatch(self, server: WebSocketServer) -> None:
        record = load(server.url("wrong"), messages=2, verify=True)
        assert failures(record) == {"verify: mismatch": 3}
        assert {each["code"] for each in server.ended(3)} == {1000}
        assert load(server.url("wrong"), messages=2).failures == []
        server.ended(3)

    def test_an_orderly_close_renews_the_connection_and_loses_nothing(
        self, server: WebSocketServer
    ) -> None:
        for code in (1000, 1001):
            record = load(server.url(f"close/{code}"), messages=12, pipeline=2)
            assert (record.failures, record.actual.messages) == ([], 36)
            assert record.actual.opened > 3
            assert {each["code"] for each in server.ended(record.actual.opened)} <= {code, 1000}

    @pytest.mark.parametrize("code", [1008, 1011, 4001])
    def test_another_close_code_is_a_cause(self, server: WebSocketServer, code: int) -> None:
        record = load(server.url(f"close/{code}"), messages=12)
        name = "4xxx" if code > 4000 else code
        assert failures(record) == {f"receive: ws_close_{name}": 3}
        assert record.actual.messages == 15
        for each in server.ended(3):
            assert f"; then received {code}" in each["error"]  # our answer to it

    def test_a_subprotocol_is_chosen_of_those_that_are_offered(
        self, server: WebSocketServer
    ) -> None:
        load(server.url(), messages=1, subprotocols=SUBPROTOCOLS)
        assert {each["subprotocol"] for each in server.ended(3)} == {"mqtt"}
        record = refused(server.url(), messages=1, subprotocols=("unheard-of",))
        assert failures(record) == {"connect: ws_subprotocol": 3}
        server.ended(3)

    @pytest.mark.parametrize(("path", "cause"), [("gone", "4xx"), ("busy", "5xx")])
    def test_a_refusal_is_a_cause(self, server: WebSocketServer, path: str, cause: str) -> None:
        record = refused(server.url(path), messages=1)
        assert failures(record) == {f"connect: ws_status_{cause}": 3}
        assert (record.actual.connections, record.outcome) == (0, "unreachable")

    def test_the_server_may_speak_first_and_a_first_message_is_one(
        self, server: WebSocketServer
    ) -> None:
        record = load(server.url("welcome"), messages=5, verify=True, greeting="websocket")
        assert (record.failures, record.actual.messages) == ([], 15)
        server.ended(3)
        record = load(server.url(), messages=5, first_message=b"log in", connections=1)
        server.ended(1)
        assert (record.failures, record.actual.messages) == ([], 5)
        assert record.actual.bytes_sent > 5 * (64 + 6) + len(b"log in") + 6


def frame_of(plan: loadgen.Plan) -> int:
    """Return the first byte of the frame that ``plan`` sends."""
    return plan.queue().batch(0, 1)[0][0]


class TestPlan:
    def test_text_is_what_is_utf_8_unless_one_type_is_asked_for(self) -> None:
        target, text, other = "ws://127.0.0.1:1", "é".encode(), b"\xff"
        kinds: list[tuple[bytes, Literal["auto", "text", "binary"], int]] = [
            *((text, "auto", 0x81), (other, "auto", 0x82)),
            *((text, "text", 0x81), (text, "binary", 0x82), (other, "binary", 0x82)),
        ]
        for payload, kind, first in kinds:
            plan = loadgen.Plan(target=target, payloads=(payload,), ws_frames=kind)
            assert frame_of(plan) == first
            assert plan.message(payload)[0] == first
        plan = loadgen.Plan(target=target, payloads=(b"ok" + other,), ws_frames="text")
        with pytest.raises(UsageError, match="not UTF-8 from byte 2 on"):
            plan.queue()

    def test_masks_are_fresh_for_each_frame_unless_once_is_asked_for(self) -> None:
        plan = loadgen.Plan(target="ws://127.0.0.1:1", pipeline=3)
        queue = plan.queue()
        sent = [queue.batch(0, 1)[0] for _ in range(50)]
        assert len(set(sent)) > 45
        assert len({payload_of(each) for each in sent}) == 1
        batch, lengths = queue.batch(0, 3)
        assert len({batch[at : at + 70] for at in (0, 70, 140)}) == 3
        assert lengths == (70, 70, 70)
        repeated = loadgen.Plan(target="ws://127.0.0.1:1", ws_mask="once").queue()
        assert repeated.batch(0, 1) == repeated.batch(0, 1)

    def test_queues_of_several_payloads_go_round(self) -> None:
        payloads = (b"one", b"two two", b"\xff" * 300)
        plan = loadgen.Plan(target="ws://127.0.0.1:1", payloads=payloads, ws_frame_bytes=2)
        for position in range(3):
            for count in (1, 2, 3, 7):
                batch, lengths = plan.queue().batch(position, count)
                assert len(lengths) == count
                assert sum(lengths) == len(batch)
                expected = [payloads[(position + each) % 3] for each in range(count)]
                assert payload_of(batch) == b"".join(expected)

    @pytest.mark.parametrize(
        ("target", "start"),
        [
            ("ws://[::1]/", "GET / HTTP/1.1\r\nHost: [::1]\r\n"),
            ("ws://server.test:80?a=b", "GET /?a=b HTTP/1.1\r\nHost: server.test\r\n"),
            (
                "ws://server.test:8080/a%20b/é",
                "GET /a%20b/%C3%A9 HTTP/1.1\r\nHost: server.test:8080\r\n",
            ),
            ("wss://server.test:443", "GET / HTTP/1.1\r\nHost: server.test\r\n"),
        ],
    )
    def test_the_request_names_path_and_host_of_the_url(self, target: str, start: str) -> None:
        plan = loadgen.Plan(target=target)
        ((request, _),) = plan.greeting_steps()
        assert request.decode().startswith(start)

    @pytest.mark.parametrize(
        ("fields", "complaint"),
        [
            ({"subprotocols": ("a b",)}, "--subprotocol: 'a b' is not accepted; write each name"),
            ({"subprotocols": ("a", "a")}, "--subprotocol: 'a' is not accepted; write each name"),
            ({"headers": ("Upgrade: x",)}, "--header: 'Upgrade: x' is not accepted; the opening"),
            ({"headers": ("Sec-WebSocket-Key: x",)}, "the opening of a WebSocket has its own"),
            ({"headers": ("no colon",)}, "write 'Name: value', in one line"),
            ({"headers": ("X: a\r\nY: b",)}, "write 'Name: value', in one line"),
            ({"reply": "echo"}, "--reply: 'echo' is not accepted; a frame comes back without"),
            ({"ws_frames": "json"}, "--ws-frames"),
            ({"ws_frame_bytes": 0}, "--ws-frame-size: 0 is not accepted; it must be 1 or more"),
            ({"verify": True, "reply": "fixed:66"}, "--verify compares an echo"),
        ],
    )
    def test_what_no_websocket_has_is_refused(self, fields: dict[str, Any], complaint: str) -> None:
        with pytest.raises(UsageError) as caught:
            loadgen.Plan(target="ws://127.0.0.1:1", **fields)
        assert complaint in str(caught.value)

    @pytest.mark.parametrize(
        ("option", "fields"),
        [
            ("--subprotocol", {"subprotocols": ("chat",)}),
            ("--ws-frames", {"ws_frames": "text"}),
            ("--ws-frame-size", {"ws_frame_bytes": 10}),
            ("--ws-mask", {"ws_mask": "once"}),
        ],
    )
    def test_its_options_go_with_no_other_target(self, option: str, fields: dict[str, Any]) -> None:
        with pytest.raises(UsageError) as caught:
            loadgen.Plan(target="127.0.0.1:1", **fields)
        assert str(caught.value) == f"{option} goes with a target of ws:// or wss://"


def test_on_the_command_line(server: WebSocketServer) -> None:
    ended = command(
        *(server.url("headers"), "-c", "2", "-n", "3", "--subprotocol", "chat"),
        *("-H", "X-Token: secret", "--ws-frames", "binary", "--payload", "hello", "--json", "-"),
    )
    assert ended.code == 0, ended.stderr
    check(ended.record)
    assert ended.record.actual.messages == 6
    assert ended.record.plan.headers == ("X-Token: secret",)
    assert {each["subprotocol"] for each in server.ended(2)} == {"chat"}


def switching(after: bytes = b"", **changed: bytes) -> Any:
    """Return a script that switches to WebSocket, sends ``after`` at once, and then reads on."""

    def script(peer: Peer) -> None:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            data = peer.receive()
            if not data:
                return
            request += data
        key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
        lines = {
            "status": b"HTTP/1.1 101 Switching Protocols",
            "upgrade": b"Upgrade: websocket",
            "connection": b"Connection: Upgrade",
            "accept": b"Sec-WebSocket-Accept: " + accept_key(key),
            **changed,
        }
        peer.send(b"\r\n".join((*lines.values(), b"", after)))
        peer.receive_all()

    return script


class TestServersThatMisbehave:
    @pytest.mark.parametrize(
        ("script", "failure"),
        [
            (switching(accept=b"Sec-WebSocket-Accept: no"), "connect: ws_accept"),
            (switching(status=b"HTTP/1.1 302 Found"), "connect: ws_status_3xx"),
            (switching(extension=b"Sec-WebSocket-Extensions: x"), "connect: ws_extension"),
            (switching(endless=b"X: " + b"y" * 70_000), "receive: ws_handshake"),
            (echoes, "receive: ws_handshake"),
            (never_answers, "receive: timeout"),
        ],
        ids=["accept", "moved", "extension", "endless header", "echo server", "silent"],
    )
    def test_no_connection_comes_up(self, script: Any, failure: str) -> None:
        with ScriptedServer(script) as server:
            url = f"ws://{server.address}/"
            record = refused(url, messages=1, io_timeout_s=0.5, watch="off")
        assert failures(record) == {failure: 3}

    @pytest.mark.parametrize(
        ("after", "failure"),
        [
            (b"\x81\x85\x01\x02\x03\x04hello", "receive: bad_frame"),
            (b"\x81\x7f\x80" + bytes(7), "receive: bad_frame"),
            (b"\x81\x7f\x7f" + b"\xff" * 7, "receive: reply_too_long"),
            (b"\x81\x05hello", "receive: unexpected_bytes"),
            (b"\x88\x02\x03\xf0", "receive: ws_close_1008"),
        ],
        ids=["masked", "2^63", "2^63 - 1", "not asked for", "policy"],
    )
    def test_what_comes_behind_the_handshake_is_judged(self, after: bytes, failure: str) -> None:
        """It may come in the same read as the answer, or in another."""
        with ScriptedServer(switching(after)) as server:
            target = f"ws://{server.address}/"
            record = load(target, messages=1, io_timeout_s=5, watch="off", max_reply_bytes=1000)
        assert failures(record) == {failure: 3}

    def test_a_reply_in_flight_at_an_orderly_close_is_not_lost_or_counted_twice(self) -> None:
        with ScriptedServer(switching(b"\x88\x02\x03\xe8")) as server:
            target = f"ws://{server.address}/"
            record = load(target, messages=1, io_timeout_s=5, watch="off")
        assert failures(record) == {"receive: closed": 3}


def test_headers_are_sent_as_they_are_given() -> None:
    with ScriptedServer(switching()) as scripted:
        plan = loadgen.Plan(
            target=f"ws://{scripted.address}/x?y=1",
            connections=2,
            messages=1,
            io_timeout_s=0.3,
            headers=("Authorization: Bearer abc", "Host: other.test"),
        )
        loadgen.run(plan)
        requests = [stream.partition(b"\r\n\r\n")[0].decode() for stream in scripted.streams]
    for request in requests:
        assert request.startswith("GET /x?y=1 HTTP/1.1\r\n")
        assert "\r\nAuthorization: Bearer abc" in request
        assert request.count("Host:") == 1
    keys = {request.partition("Sec-WebSocket-Key: ")[2] for request in requests}
    assert len(keys) == 2  # section 4.1: a new one for each connection


def test_its_replies_may_be_awaited_without_its_handshake() -> None:
    with ScriptedServer(answers_each(1, b"\x81\x02ok")) as server:
        record = load(server.address, messages=4, payloads=(b"x",), reply="websocket")
    assert (record.failures, record.actual.messages) == ([], 12)
