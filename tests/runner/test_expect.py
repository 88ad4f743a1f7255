"""Runs with --expect: a server that answers is not one that does what it is asked for."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from accounts import check_against, failures
from servers import Peer, ScriptedServer, answers_each

import loadgen

LINES = r"delimiter:\r\n"


@contextmanager
def redis(folder: Path, *options: str) -> Iterator[str]:
    """Run redis-server at a UNIX socket, which keeps nothing on disk; yield the target."""
    path = folder / "redis"
    place = ["--port", "0", "--unixsocket", str(path), "--dir", str(folder), "--save", ""]
    command = ["redis-server", *place, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if "ready to accept connections" in line.lower():
                    break
            yield f"unix://{path}"
        finally:
            process.terminate()
            process.stdout.read()


def plan(target: str, **fields: Any) -> loadgen.Plan:
    common: dict[str, Any] = {
        "target": target,
        "connections": 3,
        "messages": 20,
        "reply": LINES,
        "probe": False,
    }
    return loadgen.Plan(**(common | {"payloads": (b"PING\r\n",)} | fields))


@pytest.mark.parametrize("pipeline", [1, 8])
def test_a_redis_that_wants_a_password_is_not_valid_without_errors(
    tmp_path: Path, pipeline: int
) -> None:
    with redis(tmp_path, "--requirepass", "secret") as target:
        blind = loadgen.run(plan(target, pipeline=pipeline))
        seeing = loadgen.run(
            plan(target, pipeline=pipeline, expect=("+PONG",), checks=("errors<1%",))
        )
        right = loadgen.run(
            plan(
                target,
                pipeline=pipeline,
                expect=("+PONG",),
                first_message=b"AUTH secret\r\n",
            )
        )
    assert failures(blind) == {}
    assert failures(seeing) == {"reply: unexpected_reply": 60}
    assert seeing.actual.messages == seeing.actual.rejected == 60
    assert seeing.actual.opened == 3
    assert [each.outcome for each in seeing.checks] == ["failed"]
    assert seeing.health is not None
    assert "mostly-rejected" in {finding.code for finding in seeing.health.findings}
    assert failures(right) == {}


@pytest.mark.parametrize("pieces", [1, 2])
def test_some_replies_are_rejected_and_the_connection_goes_on(pieces: int) -> None:
    """Every second reply is another one, also where it comes in parts."""

    def every_second(peer: Peer) -> None:
        replies = [b"250 OK\r\n", b"550 no\r\n"]
        while len(peer.receive_exactly(6)) == 6:
            replies.reverse()
            for start in range(0, 8, 8 // pieces):
                peer.send(replies[0][start : start + 8 // pieces])

    with ScriptedServer(every_second) as server:
        record = loadgen.run(plan(server.address, expect=("/^2[0-9][0-9] /", "3")))
        check_against(record, server)
    assert failures(record) == {"reply: unexpected_reply": 30}
    assert (record.actual.messages, record.actual.opened) == (60, 3)
    assert record.user_space_latency_ns.count == 60


def test_replies_of_a_known_length_are_looked_at_too() -> None:
    with ScriptedServer(answers_each(6, b"-no\r\n")) as server:
        record = loadgen.run(plan(server.address, reply="fixed:5", expect=("+",), pipeline=4))
    assert failures(record) == {"reply: unexpected_reply": 60}


def test_the_reply_of_the_end_of_the_stream_too() -> None:
    def page(peer: Peer) -> None:
        peer.receive_exactly(6)
        peer.send(b"HTTP/1.0 503 Service Unavailable\r\n\r\n")

    with ScriptedServer(page) as server:
        record = loadgen.run(
            plan(server.address, reply="eof", expect=("HTTP/1.0 200",), messages=2)
        )
    assert failures(record) == {"reply: unexpected_reply": 6}


def test_a_greeting_is_not_what_is_expected_of_replies() -> None:
    def banner(peer: Peer) -> None:
        peer.send(b"220 ready\r\n")
        answers_each(6, b"250 OK\r\n")(peer)

    with ScriptedServer(banner) as server:
        record = loadgen.run(plan(server.address, greeting=LINES, expect=("250",)))
    assert failures(record) == {}
    assert record.actual.messages == 60


def test_the_probe_goes_on_behind_rejected_replies() -> None:
    with ScriptedServer(answers_each(6, b"-no\r\n")) as server:
        record = loadgen.run(
            plan(server.address, messages=None, duration_s=0.5, probe=True, expect=("+",))
        )
    assert record.probe is not None
    assert record.probe.failure == ""
