"""Commands of Redis as text: beside redis-cli, and what is refused."""

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis_server import WITHIN_S, RedisServer, redis_server

import loadgen
from loadgen.errors import UsageError
from loadgen.net.protocols.resp import Resp
from loadgen.plan import Plan
from loadgen.plan.commands import encoded, words_of
from loadgen.plan.redaction import redacted_plan
from reports.repeat_command import command_of, why_no_command

URL = "redis://127.0.0.1"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


LINES = [
    "one two",
    "  blanks\t around  ",
    '"a b" c',
    r'"\x41\x00\xff\n\r\t\b\a\\\"\q"',
    r"'single \x41 \' \n'",
    r"bare\x41\n",
    'foo"bar baz"',
    "''",
    '"" a',
    "ümlaut",
    '"unbalanced',
    "'unbalanced\\'",
    '"a"b',
    "'a''b'",
    'a"b"c',
    '"',
]


def said_by_redis_cli(server: RedisServer, line: str) -> bytes:
    """Return what redis-cli prints for ``line``, typed at its prompt."""
    done = subprocess.run(
        ["redis-cli", "-p", str(server.port)],
        input=f"RPUSH words {line}\nLRANGE words 0 -1\nDEL words\n".encode(),
        capture_output=True,
        timeout=WITHIN_S,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize("line", LINES)
def test_words_are_those_of_redis_cli(server: RedisServer, line: str) -> None:
    said = said_by_redis_cli(server, line)
    try:
        words = words_of(line.encode())
    except ValueError:
        assert b"Invalid argument(s)" in said
        return
    assert said == b"\n".join([b"%d" % len(words), *words, b"%d\n" % (1 if words else 0)])


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5))
@settings(max_examples=60)
def test_any_words_can_be_written_in_double_quotes(words: list[bytes]) -> None:
    line = " ".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"' for word in words)
    assert words_of(b"X " + line.encode()) == [b"X", *words]


@given(st.binary(max_size=40))
def test_any_bytes_are_a_command_or_refused(line: bytes) -> None:
    try:
        message = loadgen.Plan(target=URL).message(line)
    except UsageError:
        return
    decoder = Resp().decoder()
    assert decoder.feed(memoryview(message)) == 1
    assert not decoder.partial


def queue(**fields: Any) -> tuple[bytes, ...]:
    return Plan(target=URL, **fields).queue().items


class TestWhatIsSent:
    def test_is_a_ping_by_default(self) -> None:
        assert queue() == (encoded([b"PING"]),)
        assert Plan(target=URL).commands == ("PING",)

    def test_is_the_commands_in_turn(self) -> None:
        expected = (b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n", b"*3\r\n$3\r\nset\r\n$1\r\na\r\n$0\r\n\r\n")
        assert queue(commands=("GET a", 'set a ""')) == expected

    def test_is_a_command_for_each_payload_or_line(self, tmp_path: Any) -> None:
        lines = tmp_path / "commands"
        lines.write_text("GET a\nSET b 'x y'\n")
        recorded = encoded([b"ECHO", b"\0\r\n"])
        sources = (b"INCR n", loadgen.LinesPayload(str(lines)), recorded)
        expected = [[b"INCR", b"n"], [b"GET", b"a"], [b"SET", b"b", b"x y"]]
        assert queue(payloads=sources) == (*map(encoded, expected), recorded)

    @pytest.mark.parametrize(
        ("path", "fields", "expected"),
        [
            ("127.0.0.1", {}, []),
            ("127.0.0.1/0", {}, []),
            ("127.0.0.1/", {"resp3": True}, [b"HELLO 3"]),
            (":p%40%20ss@h/2", {}, [b'AUTH "p@ ss"', b"SELECT 2"]),
            ("me:%00@h", {}, [b'AUTH me "\\x00"']),
            (":secret@h/1", {"resp3": True}, [b"HELLO 3 AUTH default secret", b"SELECT 1"]),
            ("me:x@h", {"resp3": True}, [b"HELLO 3 AUTH me x"]),
        ],
    )
    def test_is_after_a_login_and_the_choice_of_a_database(
        self, path: str, fields: dict[str, Any], expected: list[bytes]
    ) -> None:
        steps = Plan(target=f"redis://{path}", **fields).greeting_steps()
        assert [message for message, _ in steps] == [encoded(words_of(line)) for line in expected]


class TestRefuses:
    @pytest.mark.parametrize(
        ("fields", "advice"),
        [
            ({"commands": ("",)}, "write a command and its arguments"),
            ({"commands": ('GET "a',)}, "is not closed, or text stands"),
            ({"commands": ("MONITOR",)}, "never end"),
            ({"commands": ("client reply off",)}, "does not reply"),
            ({"commands": ("SUBSCRIBE a b",)}, "name one channel"),
            ({"commands": ("SET k \udcff",)}, r"\xHH"),
            ({"commands": ("GET a",), "payloads": (b"GET b",)}, "give one"),
            ({"payloads": (loadgen.SizePayload(10),)}, "--command"),
            ({"target": "redis://user@h"}, "redis://user:password@host"),
            ({"target": "redis://h/zero"}, "such as /2"),
            ({"target": "redis://h/0?x=1"}, "such as /2"),
            ({"target": "127.0.0.1:1", "commands": ("GET a",)}, "redis:// or rediss://"),
            ({"target": "tcp://h:1", "resp3": True}, "redis:// or rediss://"),
        ],
    )
    def test_what_cannot_be_meant(self, fields: dict[str, Any], advice: str) -> None:
        with pytest.raises(UsageError) as refusal:
            Plan(**{"target": URL, **fields})
        assert advice in str(refusal.value)
        assert "\n" not in str(refusal.value)

    @pytest.mark.parametrize("payload", [b"*1\r\n", b"*1\r\n$1\r\na\r\n+OK\r\n", b"*x"])
    def test_bytes_that_are_not_one_command(self, payload: bytes) -> None:
        with pytest.raises(UsageError, match="one command"):
            queue(payloads=(payload,))


class TestTheRecord:
    def test_of_a_redacted_run_has_neither_commands_nor_password(self) -> None:
        plan = Plan(target="redis://me:geheim@h/1", commands=("SET k geheim", "GET k"))
        redacted = redacted_plan(plan)
        assert "geheim" not in repr(redacted)
        assert "***" in str(redacted.target)
        assert why_no_command(redacted) == "what it sent is redacted"
        with pytest.raises(UsageError, match="redacted"):
            redacted.queue()

    def test_has_the_command_that_repeats_the_run(self) -> None:
        plan = Plan(target=URL, commands=("SET k 'a b'", "GET k"), resp3=True)
        words = command_of(plan)
        assert words is not None
        at = words.index("--command")
        assert words[at : at + 4] == ["--command", "SET k 'a b'", "--command", "GET k"]
        assert "--resp3" in words
