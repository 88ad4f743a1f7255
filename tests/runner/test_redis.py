"""Whole runs against a real redis-server."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from accounts import check, failures
from command import loadgen as loadgen_command
from redis_server import WITHIN_S, RedisServer, redis_server

import loadgen
from loadgen.results.record import RunRecord

USER = "tester"
PASSWORD = "p@ss:w/rd"
ESCAPED = "p%40ss%3Aw%2Frd"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        running.ask("SET", "text", "value")
        running.ask("RPUSH", "list", *map(str, range(100)))
        yield running


@pytest.fixture(scope="module")
def locked() -> Iterator[RedisServer]:
    with redis_server(PASSWORD) as running:
        running.ask("ACL", "SETUSER", USER, "on", f">{PASSWORD}", "~*", "+get", "+select", "+hello")
        yield running


def run(server: RedisServer, target: str = "", **fields: Any) -> RunRecord:
    fields = {"connections": 3, "messages": 200, **fields}
    record = loadgen.run(loadgen.Plan(target=target or server.url(), **fields))
    check(record)
    return record


MIXED = (
    "GET text",
    "LRANGE list 0 -1",
    "SET k '\\r\\n'",
    "GET none",
    "INCR n",
    "HGETALL h",
    "PING",
)
LOADS: dict[str, dict[str, Any]] = {
    "closed": {},
    "pipelined": {"pipeline": 16},
    "open": {"rate": 3000, "duration_s": 0.3, "messages": None},
    "open, pipelined": {"rate": 3000, "duration_s": 0.3, "messages": None, "unlimited": True},
}


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("resp3", [False, True], ids=["RESP2", "RESP3"])
@pytest.mark.parametrize("commands", [("GET text",), MIXED], ids=["GET", "mixed"])
def test_every_command_is_answered(
    server: RedisServer, commands: tuple[str, ...], resp3: bool, load: str
) -> None:
    server.ask("CONFIG", "RESETSTAT")
    record = run(server, commands=commands, resp3=resp3, **LOADS[load])
    assert failures(record) == {}
    assert record.actual.messages == record.actual.submitted > 0
    stats = server.ask("INFO", "commandstats").decode()
    calls = {
        line.partition(":")[0].removeprefix("cmdstat_"): int(line.partition("=")[2].split(",")[0])
        for line in stats.splitlines()
        if line.startswith("cmdstat_")
    }
    others = ("config|resetstat", "info", "hello", "command|docs", "command")
    assert sum(count for name, count in calls.items() if name not in others) == (
        record.actual.messages
    )
    assert calls.get("hello", 0) == (3 if resp3 else 0)


def test_values_are_what_was_written_and_in_the_database_of_the_url(server: RedisServer) -> None:
    run(server, server.url("/3"), commands=(r'SET binary "\x00\r\n\xff \"x\""',), messages=1)
    assert server.ask("-n", "3", "--raw", "GET", "binary") == b'\0\r\n\xff "x"'
    assert server.ask("EXISTS", "binary") == b"0"


def test_errors_are_rejected_replies_by_their_code(server: RedisServer) -> None:
    commands = (
        "LPUSH text x",
        "NOSUCH command",
        "GET text",
        "EVALSHA 0123456789012345678901234567890123456789 0",
        """EVAL "return redis.error_reply('MINE own')" 0""",
        """EVAL "return {1, redis.error_reply('MOVED 1 h:1'), 3}" 0""",
    )
    record = run(server, commands=commands, messages=12, connections=2, pipeline=3)
    assert failures(record) == {
        "reply: resp_wrongtype": 4,
        "reply: resp_err": 4,
        "reply: resp_noscript": 4,
        "reply: resp_other": 4,
        "reply: resp_moved": 4,
    }
    assert (record.actual.messages, record.actual.rejected) == (24, 20)


def test_a_transaction_is_rejected_for_a_command_in_it(server: RedisServer) -> None:
    commands = ("MULTI", "GET text", "LPUSH text x", "EXEC")
    record = run(server, commands=commands, messages=8, connections=1)
    assert failures(record) == {"reply: resp_wrongtype": 2}


@pytest.mark.parametrize("pipeline", [1, 16])
def test_what_is_expected_is_judged_reply_by_reply(server: RedisServer, pipeline: int) -> None:
    """One that the server refuses as expected, and one that it grants, and that is not."""
    commands = ("LPUSH text x", "GET text")
    record = run(server, commands=commands, expect=("-WRONGTYPE",), pipeline=pipeline)
    assert failures(record) == {"reply: resp_wrongtype": 300, "reply: unexpected_reply": 300}


class TestLogin:
    @pytest.mark.parametrize("resp3", [False, True], ids=["RESP2", "RESP3"])
    @pytest.mark.parametrize("login", [f":{ESCAPED}", f"{USER}:{ESCAPED}"])
    def test_by_the_url(self, locked: RedisServer, login: str, resp3: bool) -> None:
        record = run(locked, locked.url("/1", login), commands=("GET a",), resp3=resp3, messages=5)
        assert failures(record) == {}
        assert record.actual.messages == 15
        assert PASSWORD not in record.target.address
        assert ESCAPED not in record.target.address

    @pytest.mark.parametrize(
        ("login", "path", "fields", "cause"),
        [
            (f":{ESCAPED}x", "", {}, "resp_wrongpass"),
            ("nobody:x", "", {"resp3": True}, "resp_wrongpass"),
            ("", "/1", {}, "resp_noauth"),
            ("", "", {"resp3": True}, "resp_noauth"),
            (f":{ESCAPED}", "/99", {}, "resp_err"),
        ],
    )
    def test_that_fails_says_why(
        self, locked: RedisServer, login: str, path: str, fields: dict[str, Any], cause: str
    ) -> None:
        with pytest.raises(loadgen.UnreachableTargetError) as refusal:
            run(locked, locked.url(path, login), **fields)
        record = refusal.value.record
        check(record)
        assert failures(record) == {f"connect: {cause}": 3}

    def test_that_is_missing_rejects_every_reply(self, locked: RedisServer) -> None:
        record = run(locked, commands=("GET a",), messages=4)
        assert failures(record) == {"reply: resp_noauth": 12}

    def test_the_command_line_says_so_and_shows_no_password(self, locked: RedisServer) -> None:
        url = locked.url("", f":{ESCAPED}x")
        ended = loadgen_command(url, "-c", "1", "-d", "0.2s", "--redact", "--json", "-")
        assert "wrong user or password" in ended.stderr
        assert ESCAPED not in ended.stderr + ended.stdout


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize(
    ("first", "command"),
    [(b"CLIENT TRACKING ON BCAST", "SET k v"), (b"SUBSCRIBE news", "PUBLISH news it")],
    ids=["client tracking", "pub/sub"],
)
def test_pushes_are_no_replies(server: RedisServer, first: bytes, command: str, load: str) -> None:
    fields = {"commands": (command,), "resp3": True, "first_message": first, **LOADS[load]}
    record = run(server, **fields)
    assert failures(record) == {}
    assert record.actual.messages == record.actual.submitted
    reply_bytes = len(b"+OK\r\n")
    greeting_bytes = 3 * 250  # the reply to HELLO has less
    pushed_bytes = record.actual.bytes_received - record.actual.messages * reply_bytes
    assert pushed_bytes > greeting_bytes


class Publisher:
    """Publishes for as long as the block lasts."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._has_begun, self._is_to_end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._publish)

    def __enter__(self) -> None:
        self._thread.start()
        assert self._has_begun.wait(WITHIN_S)

    def __exit__(self, *exception: object) -> None:
        self._is_to_end.set()
        self._thread.join()

    def _publish(self) -> None:
        with socket.create_connection(("127.0.0.1", self._server.port), WITHIN_S) as client:
            while not self._is_to_end.is_set():
                client.sendall(b"PUBLISH news hello\r\n")
                client.recv(4096)
                self._has_begun.set()


def test_messages_of_pub_sub_are_no_replies_in_resp2(server: RedisServer) -> None:
    with Publisher(server):
        record = run(server, commands=("PING",), first_message=b"SUBSCRIBE news", messages=500)
    assert failures(record) == {}
    assert record.actual.messages == 1500


def test_a_list_whose_lengths_vary_is_counted_whole(server: RedisServer) -> None:
    values = ["x" * (7 * number % 1300) for number in range(300)]
    server.ask("RPUSH", "varied", *values)
    commands = tuple(f"LRANGE varied {start} -1" for start in range(0, 300, 7))
    record = run(server, commands=commands, pipeline=8, messages=45, connections=1)
    assert failures(record) == {}
    assert record.actual.messages == 45


def test_a_reply_that_is_too_long_fails_its_connection(server: RedisServer) -> None:
    record = run(server, commands=("LRANGE list 0 -1",), max_reply_bytes=500, connections=1)
    assert failures(record) == {"receive: reply_too_long": 1}


def test_resp_frames_what_is_sent_as_it_is(server: RedisServer) -> None:
    record = run(
        server,
        f"127.0.0.1:{server.port}",
        payloads=(b"GET text\r\n", b"LPUSH text x\r\n"),
        reply="resp",
        messages=10,
        connections=1,
    )
    assert failures(record) == {"reply: resp_wrongtype": 5}
