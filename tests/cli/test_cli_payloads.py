"""Payload options, checked against what the server has received."""

from collections.abc import Callable
from pathlib import Path

import pytest
from command import Ended, loadgen, loadgen_here
from servers import ScriptedServer, echoes

Received = Callable[..., bytes]


def stream_of(command: Callable[..., Ended], *arguments: str) -> bytes:
    """Return the bytes that each connection of ``command`` has sent."""
    with ScriptedServer(echoes) as server:
        done = command(server.address, "-c", "2", *arguments, "--verify")
        assert done.code == 0, done
        server.settle(2)
    [stream] = set(server.streams)
    return stream


@pytest.fixture
def received(capfd: pytest.CaptureFixture[str]) -> Received:
    """Return the bytes that each connection sends, given the options."""
    return lambda *arguments: stream_of(lambda *all_: loadgen_here(capfd, *all_), *arguments)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-n", "2", "--payload", "text"], b"texttext"),
        (["-n", "5", "--payload", "a", "--payload", "bc"], b"abcabca"),
        (["-n", "1", "--payload", r"\r\n\t\0\\\x41\xff"], b"\r\n\t\0\\A\xff"),
        (["-n", "1", "--raw", "--payload", r"\r\n\q"], rb"\r\n\q"),
        (["-n", "1", "--payload", "müde"], "müde".encode()),
        (["-n", "1", "--payload=--dashed"], b"--dashed"),
        (["-n", "3", "--size", "5"], b"01234" * 3),
        (["-n", "2", "--payload", "x", "--size", "3"], b"x012"),
        (["-n", "1", "--first-message", r"hi\n", "--payload", "x"], b"hi\nx"),
        (["-n", "1", "--raw", "--first-message", r"hi\n", "--payload", "x"], rb"hi\nx"),
        (["-n", "4", "--pipeline", "3", "--payload", "a", "--payload", "bc"], b"abcabc"),
    ],
)
def test_on_the_command_line(arguments: list[str], expected: bytes, received: Received) -> None:
    assert received(*arguments) == expected


@pytest.mark.parametrize(("text", "size_bytes"), [("64k", 65536), ("1m", 1 << 20), ("100", 100)])
def test_sizes(text: str, size_bytes: int, received: Received) -> None:
    stream = received("-n", "1", "--size", text)
    assert len(stream) == size_bytes


def test_the_default_is_64_bytes(received: Received) -> None:
    assert len(received("-n", "1")) == 64


def test_files_lines_and_texts_keep_their_order(tmp_path: Path, received: Received) -> None:
    whole, lines = tmp_path / "whole", tmp_path / "lines"
    whole.write_bytes(b"\0all\nof it\n\\n")
    lines.write_bytes(b"one\r\ntwo\\x21\nthree")
    sources = ("--payload", "[", "--payload-lines", str(lines), "--payload-file", str(whole))
    assert received("-n", "6", *sources, "--payload", "]") == (
        b"[" + b"one" + b"two!" + b"three" + b"\0all\nof it\n\\n" + b"]"
    )


def test_raw_lines(tmp_path: Path, received: Received) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"a\\n\nb\\q\n")
    assert received("-n", "2", "--raw", "--payload-lines", str(path)) == rb"a\nb\q"


def fed_with(content: bytes) -> Callable[..., Ended]:
    return lambda *arguments: loadgen(*arguments, stdin=content)


def test_standard_input_as_a_payload() -> None:
    content = b"\0whatever comes\n\xff"
    assert stream_of(fed_with(content), "-n", "2", "--payload-file", "-") == content * 2


def test_standard_input_as_lines() -> None:
    assert stream_of(fed_with(b"a\nb\n"), "-n", "3", "--payload-lines", "-") == b"aba"


def test_bytes_that_are_no_text_pass_through_the_command_line() -> None:
    arguments = ("-n", "1", "--payload", "\udcff\udc00".replace("\udc00", r"\0"))
    assert stream_of(loadgen, *arguments) == b"\xff\0"
