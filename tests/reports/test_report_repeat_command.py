"""The command that a report gives makes the plan that it was given for."""

import os
import shlex
import subprocess
from typing import Any

import pytest

from loadgen import Plan, SizePayload
from loadgen.cli.run_options import new_parser, plan_of
from loadgen.plan.payloads import FilePayload, LinesPayload, MadePayload
from loadgen.text import escaped
from reports.repeat_command import command_of, for_shell


def parsed(words: list[str]) -> Plan:
    return plan_of(new_parser().parse_args(words))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "localhost:9999 -c 1000 -d 1m30s --backend poll --pipeline 8",
        "[::1]:9999 -n 5",
        "unix:///run/app.sock --size 1k --size 2k --drain 0 --io-timeout 250ms",
        r"localhost:6379 --payload 'PING\r\n' --reply 'delimiter:\r\n' --first-message 'HI\0\\x'",
        r"""localhost:1 --payload '\x00\xff é " $HOME `x` \\n' """,
        "localhost:1 --payload 'a\\nb' --raw --payload-lines x.txt",
        "localhost:1 --payload-file 'a file.bin' --payload-lines requests.txt --payload x",
        "localhost:1 --rate 50k --arrivals poisson --pacing precise --open --seed 7",
        "localhost:1 --rate 0..50k/30s -d 1m --warmup 0",
        "localhost:1 --rate-per-conn 10 --connect-rate 100 --connect-timeout 0.0000015s",
        "localhost:1 --stages 10s:5k,20s:50k,10s:0",
        "localhost:1 --think exp:10ms --warmup 2s --timestamps user --timestamp-sample 10",
        "localhost:1 --verify --reconnect --nagle --sndbuf 64k --rcvbuf 1m --probe",
        "localhost:1 --reply eof --max-reply 1g --reply-timeout 1m30s",
        "localhost:1 --half-close --reply eof",
        r"localhost:1 --expect '/^\+ /' --expect='-ERR\r\n' --reply fixed:3",
        r"localhost:1 --greeting 'delimiter:\n' --reply fixed:3",
        "localhost:1 --first-message HI --first-reply fixed:2 --reply my.module:Class",
        "localhost:1 --no-probe --watch off --sample-interval 2s",
        "localhost:1 --check 'service_p99<5ms' --check 'errors<0.1%'",
        "localhost:1 --payload=-x --first-message=-hello --payload-lines=-f.txt",
        r"localhost:1 --payload='\x2d\x2dhelp' --payload-file=-- --payload-file - --payload=-1",
        "localhost:1 --payload-file '' --payload ' ' --payload-file '-- x'",
        "--verify -- -host:80",
        "-n 1 -- -1:80",
    ],
)
def test_makes_the_same_plan_again(line: str) -> None:
    plan = parsed(shlex.split(line))
    words = command_of(plan)
    assert words is not None
    assert words[0] == "loadgen"
    assert parsed(words[1:]) == plan
    assert parsed(shlex.split(shlex.join(words[1:]))) == plan


@pytest.mark.parametrize("raw", [False, True])
def test_a_shell_takes_it_as_it_stands(raw: bool) -> None:
    """Whatever bytes a text holds, and a file's name."""
    path = "a\nb 'c' \udcff\x1b[1m \\é"
    text = bytes(range(1, 256))
    plan = Plan(payloads=(text, LinesPayload(escaped(path), raw), b"-n\n"), first_message=b"\n7")
    words = command_of(plan)
    assert words is not None
    line = " ".join(for_shell(word) for word in words)
    assert line.isprintable()
    script = f"printf '%s\\0' {line}"
    printed = subprocess.run(["bash", "-c", script], capture_output=True, check=True, timeout=20)
    read = [os.fsdecode(word) for word in printed.stdout.split(b"\0")[:-1]]
    assert read == words
    assert parsed(read[1:]) == plan


def test_every_option_of_a_plan_can_be_said() -> None:
    fields: dict[str, Any] = {"target": "localhost:1", "connections": 7, "duration_s": 3.0}
    assert command_of(Plan(**fields)) == ["loadgen", "localhost:1", "-c", "7", "-d", "3s"]


def test_a_process_that_was_watched_is_left_out() -> None:
    words = command_of(Plan(target="localhost:1", watch=1))
    assert words is not None
    assert not any("watch" in word for word in words)


def test_what_code_made_as_it_ran_no_command_repeats() -> None:
    assert command_of(Plan(payloads=(MadePayload("a task"),))) is None


def test_what_no_command_line_can_hold_is_said_not_to_fit() -> None:
    assert command_of(Plan(payloads=(b"x",) * 1000)) is not None
    assert command_of(Plan(payloads=(b"x",) * 1001)) is None
    assert command_of(Plan(payloads=(b"x" * 100_000,), first_message=b"x" * 100_000)) is None


def test_lines_are_raw_all_or_none_and_no_word_holds_a_zero() -> None:
    raw = LinesPayload("a", raw=True)
    assert command_of(Plan(payloads=(raw, LinesPayload("b")))) is None
    assert command_of(Plan(payloads=(raw, b"a\0b"))) is None
    assert command_of(Plan(payloads=(raw,), first_message=b"\0")) is None
    assert command_of(Plan(payloads=(raw, b"a\xffb"))) is not None


def test_files_are_named_and_not_read() -> None:
    sources = (FilePayload("missing.bin"), LinesPayload("missing.txt"), SizePayload(9))
    words = command_of(Plan(payloads=sources))
    assert words is not None
    assert words[-6:] == [
        *("--payload-file", "missing.bin", "--payload-lines", "missing.txt"),
        *("--size", "9"),
    ]
