"""Bad input: exit code 2 and one line that names the option, the value and what is accepted.

Start-up is nearly all of such a command's time, so most are put to `loadgen.cli.main` in this
process: an exception that leaves it is the traceback that a user would see. A few of each kind are
put to the real command as well.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from command import ended, loadgen, loadgen_here, running
from servers import ScriptedServer, echoes

from loadgen.cli.run_options import new_parser
from loadgen.net import backends
from loadgen.plan.payloads import SizePayload
from loadgen.results.record import from_json

NINES = "9" * 400  # more than a float can hold
TOO_MANY_NINES = "9" * 5000  # more digits than `int` reads

Complaint = Callable[..., str]


def only_line(code: int, stdout: str, stderr: str) -> str:
    assert code == 2
    assert stdout == ""
    lines = stderr.splitlines()
    assert len(lines) == 1, stderr
    return lines[0]


@pytest.fixture
def complaint(capfd: pytest.CaptureFixture[str]) -> Complaint:
    """Return the one line that is all that ``loadgen`` says to its arguments."""

    def complain(*arguments: str) -> str:
        return only_line(*loadgen_here(capfd, *arguments))

    return complain


@pytest.mark.parametrize(
    "arguments",
    [
        ["--frobnicate"],
        ["--payload-file", "/nowhere"],
        ["server", "--port", "70000"],
    ],
    ids=" ".join,
)
def test_the_real_command_says_the_same(arguments: list[str], complaint: Complaint) -> None:
    line = only_line(*loadgen(*arguments))
    assert line.startswith("loadgen")
    assert line == complaint(*arguments)


def test_whole_numbers_are_taken_exactly(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """None goes through a float, which has 53 bits."""
    number = 2**53 + 1
    with ScriptedServer(echoes) as server:
        path = tmp_path / "run.json"
        words = ("-c", "1", "-n", "1", "--seed", str(number), "--json", str(path))
        done = loadgen_here(capfd, server.address, *words)
    assert done.code == 0
    assert from_json(path.read_bytes()).plan.seed == number
    chosen = new_parser().parse_args(["-n", str(number), "--size", str(number)])
    assert (chosen.messages, chosen.payloads) == (number, [SizePayload(number)])


@pytest.mark.parametrize("option", ["--payload-file", "--payload-lines"])
def test_payloads_without_end_are_refused(
    option: str, complaint: Complaint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadgen.plan.payloads.LARGEST_BYTES", 2**20)
    line = complaint("127.0.0.1:1", option, "/dev/zero")
    assert f"{option}: cannot read '/dev/zero': it has more than 1 MiB" in line


def test_a_wait_for_a_payload_without_a_writer_can_be_interrupted(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with running("127.0.0.1:1", "--payload-file", str(pipe)) as process, pipe.open("wb") as writer:
        writer.write(bytes(2**20))  # more than a pipe holds: it reads, and waits for the rest
        process.send_signal(signal.SIGINT)
        done = ended(process)
    assert (done.code, done.stdout, done.stderr) == (130, "", "")


def test_standard_input_without_a_byte_is_named() -> None:
    assert "--payload-file" in only_line(*loadgen("127.0.0.1:1", "--payload-file", "-"))


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--frobnicate"], ["--frobnicate"]),
        *[
            ([option, TOO_MANY_NINES], [option, "'9999", "5002 characters"])
            for option in ("--connections", "--messages", "--seed", "--size", "--watch-pid")
        ],
        (["-d", TOO_MANY_NINES], ["--duration", "inf", "8760h"]),
        (["--io-timeout", f"1{'0' * 99}"], ["--io-timeout", "1e+99", "8760h"]),
        (["--sample-interval", "1000000000s"], ["--sample-interval", "8760h"]),
        (["--connect-rate", f"0.{'0' * 350}1"], ["--connect-rate", "0.0", "0.000001"]),
        (["--reply", f"fixed:{TOO_MANY_NINES}"], ["--reply", "fixed:9", "5008 characters"]),
        (["--check", f"errors<{TOO_MANY_NINES}"], ["--check", "errors<9", "5009 characters"]),
        (["--backend", TOO_MANY_NINES], ["--backend", "'9999", "5002 characters"]),
        (["--seed", str(2**63)], ["--seed", "9223372036854775808", "2^63 - 1"]),
        ([f"127.0.0.1:{TOO_MANY_NINES}"], ["TARGET", "'127.0.0.1:9", "65535"]),
        (["-c", "-5"], ["--connections", "'-5'", "whole number"]),
        (["--conns", "0"], ["--connections", "0", "1 or more"]),
        (["-c", "many"], ["--connections", "'many'", "whole number"]),
        (["-c", "1.5"], ["--connections", "'1.5'", "whole number"]),
        (["127.0.0.1:1", "-c"], ["--connections", "argument"]),
        (["-c", "1g"], ["--connections", "1000000000", "ulimit"]),
        (["-n", "-1"], ["--messages", "'-1'", "whole number"]),
        (["-n", "0"], ["--messages", "0", "1 or more"]),
        (["-n", NINES], ["--messages", NINES]),
        (["-d", "0"], ["--duration", "0"]),
        (["-d", "soon"], ["--duration", "'soon'", "10ms"]),
        (["--duration=-1s"], ["--duration", "'-1s'", "10ms"]),
        (["-d", "-1s"], ["--duration", "-1s", "10ms"]),
        (["--pipeline", "0"], ["--pipeline", "0", "1 or more"]),
        (["--pipeline", "-2"], ["--pipeline", "'-2'", "whole number"]),
        (["--pipeline", "900000g"], ["--pipeline"]),
        (["--drain", "x"], ["--drain", "'x'", "10ms"]),
        (["--size", "0"], ["--size", "0", "byte"]),
        (["--size", "-64"], ["--size", "'-64'", "64k"]),
        (["--size", "-5k"], ["--size", "-5k", "64k"]),
        (["--size", "big"], ["--size", "'big'", "64k"]),
        (["--size", "900000g"], ["--size"]),
        (["--payload", ""], ["--payload", "one byte or more"]),
        (["--payload", r"\q"], ["--payload", r"\q", r"\xHH", "--raw"]),
        (["--payload-file", "/nowhere/to/be/found"], ["--payload-file", "'/nowhere/to/be/found'"]),
        (["--payload-lines", "/nowhere"], ["--payload-lines", "'/nowhere'", "No such file"]),
        (["--payload-file", "/"], ["--payload-file", "'/'"]),
        (["--first-message", r"\x"], ["--first-message", r"\xHH"]),
        (["--reply", "telepathy"], ["--reply", "'telepathy'", "delimiter"]),
        (["--reply", "fixed:0"], ["--reply", "'fixed:0'", "one byte or more"]),
        (["--reply", "fixed:x"], ["--reply", "'fixed:x'", "64k"]),
        (["--reply", "length:u7"], ["--reply", "'length:u7'", "u8"]),
        (["--reply", "delimiter:"], ["--reply", "'delimiter:'"]),
        (["--verify", "--reply", "none"], ["--verify", "--reply none"]),
        (["--reply", "eof", "--pipeline", "2"], ["--reply eof", "--pipeline 2"]),
        (["--backend", "magic"], ["--backend", "'magic'", "epoll"]),
        (["--backend", "devpoll"], ["--backend", "devpoll", "choose one of"]),
        (["--backend", "select", "-c", "1100"], ["--backend select", "1024", "choose one of"]),
        (["--connect-rate", "0"], ["--connect-rate", "0"]),
        (["--connect-rate", "-5"], ["--connect-rate", "'-5'", "2.5k"]),
        (["--connect-timeout", "0s"], ["--connect-timeout", "0"]),
        (["--io-timeout", "-1"], ["--io-timeout", "'-1'", "10ms"]),
        (["--reply-timeout", "0"], ["--reply-timeout", "0", "more than 0"]),
        (["--reply-timeout", "soon"], ["--reply-timeout", "'soon'", "10ms"]),
        (["--max-reply", "0"], ["--max-reply", "0", "1 or more"]),
        (["--max-reply", "much"], ["--max-reply", "'much'", "64k"]),
        (["--max-reply", "9000000000g"], ["--max-reply", "at most"]),
        (["--sndbuf", "0"], ["--sndbuf", "0", "1 or more"]),
        (["--sndbuf", "4g"], ["--sndbuf"]),
        (["--rcvbuf", "4g"], ["--rcvbuf"]),
        (["--json", "/nowhere/run.json"], ["--json", "'/nowhere/run.json'", "no directory"]),
        (["--json", "/"], ["--json", "'/'", "directory"]),
        (["--connections-csv", "/nowhere/x"], ["--connections-csv", "'/nowhere/x'"]),
        (["--json", "-", "--connections-csv", "-"], ["--json", "--connections-csv"]),
        (["127.0.0.1:70000"], ["TARGET", "'127.0.0.1:70000'", "65535"]),
        (["127.0.0.1:0"], ["TARGET", "'127.0.0.1:0'", "65535"]),
        (["127.0.0.1"], ["TARGET", "'127.0.0.1'", "host:port"]),
        (["ftp://127.0.0.1:80"], ["TARGET", "'ftp://127.0.0.1:80'", "host:port"]),
        (["unix://relative"], ["TARGET", "'unix://relative'", "absolute path"]),
        (["::1:80"], ["TARGET", "'::1:80'", "[ipv6-address]:port"]),
        (["127.0.0.1:1", "127.0.0.1:2"], ["127.0.0.1:2"]),
        (["run", "--frobnicate"], ["--frobnicate"]),
        (["runn"], ["'runn'", "loadgen run"]),
    ],
    ids=lambda value: " ".join(value)[:40] if value and isinstance(value[0], str) else None,
)
def test_one_line_says_what_was_wrong(
    arguments: list[str], parts: list[str], complaint: Complaint
) -> None:
    # A target that refuses: whatever gets past its checks ends with another code, and soon.
    target = ["127.0.0.1:1"] if arguments[0].startswith("-") else []
    if "select" in arguments and "select" not in backends.available():
        pytest.skip("this platform has no select")
    line = complaint(*arguments, *target)
    assert line.startswith("loadgen: ")
    for part in parts:
        assert part in line


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--port", "70000"], ["--port", "70000", "65535"]),
        (["--port", "-1"], ["--port", "-1", "65535"]),
        (["--port", "http"], ["--port", "'http'", "65535"]),
        (["--processes", "0"], ["--processes", "0", "1 or more"]),
        (["--delay", "later"], ["--delay", "'later'", "10ms"]),
        (["--backend", "magic"], ["--backend", "magic", "epoll"]),
        (["--host", "192.0.2.1"], ["--host 192.0.2.1", "not an address of this machine"]),
        (["--unix", "/nowhere/socket"], ["--unix /nowhere/socket", "no such directory"]),
        (["--json", "/nowhere/x"], ["--json", "'/nowhere/x'", "no directory"]),
        (["--frobnicate"], ["--frobnicate"]),
        (["--port", TOO_MANY_NINES], ["--port", "'9999", "5002 characters"]),
        (["--processes", TOO_MANY_NINES], ["--processes", "'9999"]),
    ],
    ids=lambda value: " ".join(value)[:40] if value and isinstance(value[0], str) else None,
)
def test_the_server_says_what_was_wrong(
    arguments: list[str], parts: list[str], complaint: Complaint
) -> None:
    line = complaint("server", *arguments)
    assert line.startswith("loadgen server: ")
    for part in parts:
        assert part in line


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"one\n\nthree\n", ["line 2", "empty"]),
        (b"\n", ["line 1", "empty"]),
        (b"", ["empty"]),
        (b"one\r\n\r\n", ["line 2", "empty"]),
        (b"one\n\\q\n", ["line 2", r"\q", r"\xHH"]),
    ],
)
def test_a_bad_line_of_payloads_is_named(
    tmp_path: Path, content: bytes, parts: list[str], complaint: Complaint
) -> None:
    path = tmp_path / "lines"
    path.write_bytes(content)
    line = complaint("127.0.0.1:1", "--payload-lines", str(path))
    assert line.startswith("loadgen: --payload-lines")
    for part in (str(path), *parts):
        assert part in line


def test_an_empty_payload_file_is_named(tmp_path: Path, complaint: Complaint) -> None:
    path = tmp_path / "empty"
    path.touch()
    line = complaint("127.0.0.1:1", "--payload-file", str(path))
    assert line == f"loadgen: --payload-file: {path} is empty; a payload has one byte or more"
