"""WebSocket inside Locust: users whose host is a ws:// URL, against `websockets` in a process."""

from collections.abc import Iterator

import pytest
from accounts import check
from local_run import LocalRun, scripted, wait_for
from websocket_servers import WebSocketServer, websocket_server

from loadgen.locust import RequestFailed, SocketUser
from loadgen.net.failure import Cause


@pytest.fixture(scope="module")
def server() -> Iterator[WebSocketServer]:
    with websocket_server() as running:
        yield running


def test_a_declared_user_is_counted_and_compared(server: WebSocketServer) -> None:
    class Chatting(SocketUser):
        host = server.url("fragments")
        payloads = (b"one message", b"\xff" * 200)
        verify = True
        subprotocols = ("chat",)
        pipeline = 2

    with LocalRun(Chatting) as run:
        run.start(2)
        wait_for(lambda: run.answered(Chatting) >= 20)
        run.runner.stop()
    record = run.record(Chatting)
    check(record)
    assert record.failures == []
    ended = server.ended(2)
    assert {(each["code"], each["subprotocol"]) for each in ended} == {(1000, "chat")}


def test_a_user_that_makes_its_messages_sends_them_in_frames(server: WebSocketServer) -> None:
    class Making(SocketUser):
        host = server.url()
        verify = True
        made = 0

        def payload(self) -> bytes:
            type(self).made += 1
            return b"number %d" % self.made

    with LocalRun(Making) as run:
        run.start(1)
        wait_for(lambda: run.answered(Making) >= 5)
        run.runner.stop()
    record = run.record(Making)
    check(record)
    assert record.failures == []
    assert {each["code"] for each in server.ended(1)} == {1000}


@pytest.mark.parametrize("path", ["", "fragments", "pings"])
def test_a_script_sends_payloads_and_gets_payloads(server: WebSocketServer, path: str) -> None:
    with scripted(server.url(path)) as (user, _):
        for payload in (b"one", b"\xff\xfe", b"long " * 50_000, b"last"):
            assert user.client.request(payload) == payload
    assert {each["code"] for each in server.ended(1)} == {1000}


def test_text_is_text_for_a_script(server: WebSocketServer) -> None:
    with scripted(server.url("types")) as (user, _):
        assert user.client.request(b"text") == b"str"
        assert user.client.request(b"\xff") == b"bytes"
    with scripted(server.url("types"), ws_frames="binary") as (user, _):
        assert user.client.request(b"text") == b"bytes"
    server.ended(2)


def test_a_close_is_the_failure_of_the_request_that_met_it(server: WebSocketServer) -> None:
    with scripted(server.url("close/1008")) as (user, _):
        for _ in range(5):
            user.client.request(b"x")
        with pytest.raises(RequestFailed) as caught:
            user.client.request(b"x")
        assert caught.value.failure.cause is Cause.WS_CLOSE_1008
        assert user.client.request(b"again") == b"again"
    server.ended(2)
