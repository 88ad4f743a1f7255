"""Targets that are not there or do not behave: a counted failure or one line, never a traceback."""

import time
from pathlib import Path

import pytest
from accounts import check, failures
from command import Ended, ended, loadgen, loadgen_here, running
from places import full_backlog, refusing_address
from servers import (
    Peer,
    Script,
    ScriptedServer,
    answers_garbage,
    answers_too_much,
    closes_after,
    closes_at_once,
    echoes,
    never_answers,
    resets_after,
    resets_at_once,
)

from loadgen.net.backends import resolve
from loadgen.results.record import from_json

GONE = {"receive: closed", "receive: reset", "send: reset"}


def check_unreachable(done: Ended, *reasons: str) -> None:
    assert done.code == 3
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("loadgen: ")
    for reason in reasons:
        assert reason in lines[0]


def test_a_name_that_does_not_resolve(capfd: pytest.CaptureFixture[str]) -> None:
    name = f"{'x' * 64}.invalid"  # a label too long to be asked for
    check_unreachable(loadgen_here(capfd, f"{name}:80"), "cannot resolve", name)


def test_a_target_that_refuses(tmp_path: Path) -> None:
    with refusing_address() as address:
        done = loadgen(address, "-d", "30s", "-c", "10", "--json", str(tmp_path / "run.json"))
    check_unreachable(done, address, "connection refused", "all 10 attempts")
    assert done.stdout == ""
    record = from_json((tmp_path / "run.json").read_bytes())
    assert record.outcome == "unreachable"
    assert failures(record) == {"connect: refused": 10}


def dribbles(peer: Peer) -> None:
    """Send a byte now and then, unasked, and no end of a line."""
    while not peer.server.released.wait(0.02):
        peer.send(b".")


def test_a_target_that_dribbles_instead_of_greeting(tmp_path: Path) -> None:
    options = ("--greeting", r"delimiter:\n", "--io-timeout", "300ms", "-d", "100ms", "-c", "3")
    with ScriptedServer(dribbles) as server:
        done = loadgen(server.address, *options, "--json", str(tmp_path / "run.json"))
    check_unreachable(done, "lets no connection come up", "no progress in time", "all 3 attempts")
    record = from_json((tmp_path / "run.json").read_bytes())
    assert record.outcome == "unreachable"
    assert failures(record) == {"receive: timeout": 3}


def test_the_record_of_an_unreachable_target_on_standard_output(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with refusing_address() as address:
        done = loadgen_here(capfd, address, "-c", "10", "--json", "-")
    check_unreachable(done, "refused")
    assert done.record.outcome == "unreachable"


def test_a_path_that_is_not_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "nobody"
    done = loadgen_here(capfd, f"unix://{path}", "-c", "2")
    check_unreachable(done, str(path), "no such socket path")


def test_a_path_that_is_too_long_to_be_one(capfd: pytest.CaptureFixture[str]) -> None:
    check_unreachable(loadgen_here(capfd, f"unix:///{'x' * 200}", "-c", "2"), "xxx")


@pytest.mark.skipif(resolve("auto") != "epoll", reason="full backlogs differ elsewhere")
def test_a_target_that_does_not_react_is_given_up_within_the_connect_timeout(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with full_backlog() as endpoint:
        began_s = time.monotonic()
        target = "{}:{}".format(*endpoint.address)
        words = ("-c", "500", "-d", "60s", "--connect-timeout", "0.3s")
        done = loadgen_here(capfd, target, *words)
        assert time.monotonic() - began_s < 30
    check_unreachable(done, "no progress in time")


@pytest.mark.parametrize(
    ("script", "arguments", "expected"),
    [
        (closes_at_once, [], GONE),
        (closes_after(2, 64), [], GONE),
        (resets_at_once, [], GONE | {"connect: reset"}),
        (resets_after(64), ["--pipeline", "2"], GONE),
        (never_answers, ["--io-timeout", "0.3s"], {"receive: timeout"}),
        (answers_too_much, [], {"receive: unexpected_bytes"}),
        (answers_garbage, ["--verify"], {"verify: mismatch"}),
        (
            answers_garbage,
            ["--reply", "length:u16,header-included", "--payload", r"\xff\xff"],
            {"receive: bad_frame", *GONE},
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_each_is_counted_once_for_each_connection(
    script: Script,
    arguments: list[str],
    expected: set[str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    with ScriptedServer(script) as server:
        options = ("-c", "10", "-d", "20s", "--json", "-", *arguments)
        done = loadgen_here(capfd, server.address, *options)
        server.settle(10)
    record = done.record
    check(record)
    expected_code = 1 if "--verify" in arguments else 0
    assert done.code == (expected_code if record.actual.opened else 3)
    assert set(failures(record)) <= expected
    assert sum(failures(record).values()) == 10
    assert record.outcome in {"lost", "unreachable"}


def test_a_target_that_dies_in_mid_run() -> None:
    with (
        ScriptedServer(echoes) as server,
        running(server.address, "-c", "10", "-d", "40s", "--json", "-") as process,
    ):
        server.wait_for(lambda: server.bytes_received >= 64_000)
        server.die()
        done = ended(process)
    assert done.code == 0
    assert "every connection had failed before the end" in done.stderr
    check(done.record)
    assert done.record.outcome == "lost"
    assert done.record.actual.messages >= 900
    assert sum(failures(done.record).values()) == 10
    assert done.record.actual.duration_s < 40


def test_failures_are_in_the_summary(capfd: pytest.CaptureFixture[str]) -> None:
    with ScriptedServer(closes_after(2, 64)) as server:
        done = loadgen_here(capfd, server.address, "-c", "10", "-d", "20s")
    assert done.code == 0
    assert "failures     10" in done.stdout
    assert "by the server" in done.stdout
    assert "messages     20" in done.stdout
