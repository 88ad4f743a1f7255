"""Users of Redis inside Locust, against a real redis-server."""

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from accounts import check, failures
from local_run import LocalRun, scripted, wait_for
from redis_server import RedisServer, redis_server

from loadgen.errors import UsageError
from loadgen.locust import SocketUser


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        running.ask("SET", "text", "value")
        yield running


@pytest.mark.parametrize("is_resp3", [False, True], ids=["RESP2", "RESP3"])
def test_a_socket_user_sends_its_commands_in_turn(server: RedisServer, is_resp3: bool) -> None:
    class Reader(SocketUser):
        host = server.url("/0")
        commands = ("GET text", "LPUSH text x")
        resp3 = is_resp3
        pipeline = 4

    with LocalRun(Reader) as run:
        run.start(2)
        wait_for(lambda: run.entry("Reader").num_requests > 100)
        run.runner.stop()
        record = run.record(Reader)
    check(record)
    assert failures(record).keys() == {"reply: resp_wrongtype"}


def test_a_socket_user_makes_commands_as_they_are_sent(server: RedisServer) -> None:
    class Counter(SocketUser):
        host = server.url()
        number: ClassVar[int] = 0

        def payload(self) -> bytes:
            Counter.number += 1
            return b'SET counted "%d"' % Counter.number

    with LocalRun(Counter) as run:
        run.start(1)
        wait_for(lambda: run.entry("Counter").num_requests > 10)
        run.runner.stop()
        assert run.entry("Counter").num_failures == 0
    assert int(server.ask("GET", "counted")) > 10


def test_a_script_gets_the_bytes_of_each_reply(server: RedisServer) -> None:
    with scripted(server.url()) as (user, run):
        request = user.client.request
        assert request(b"GET text") == b"$5\r\nvalue\r\n"
        assert request(b'SET key "a\\x00b"') == b"+OK\r\n"
        assert request(b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n") == b"$3\r\na\0b\r\n"
        assert request(b"LPUSH text x", name="push").startswith(b"-WRONGTYPE ")
        assert run.entry("push").num_failures == 1
        with pytest.raises(UsageError, match="quotation mark"):
            request(b'GET "text')
        assert request(b"PING") == b"+PONG\r\n"


def test_a_script_gets_no_push(server: RedisServer) -> None:
    fields: dict[str, Any] = {"resp3": True, "first_message": b"SUBSCRIBE news"}
    with scripted(server.url(), **fields) as (user, _):
        for _ in range(3):
            assert user.client.request(b"PUBLISH news hello") == b":1\r\n"
            assert user.client.request(b"GET text") == b"$5\r\nvalue\r\n"
