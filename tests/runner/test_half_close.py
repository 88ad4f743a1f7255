"""Runs with --half-close: servers that answer when the client has ended its side."""

import subprocess
import sys
from typing import Any

import pytest
from accounts import check, failures
from servers import Peer, ScriptedServer

import loadgen


def answers_at_the_end(peer: Peer) -> None:
    """Read to the end of the stream, then say how much it was."""
    peer.receive_all()
    if peer.stream:
        peer.send(b"got %07d\n" % len(peer.stream))


def stays_open(peer: Peer) -> None:
    """The same, but leave it to the client to close."""
    answers_at_the_end(peer)
    peer.server.released.wait()


def plan(target: str, **fields: Any) -> loadgen.Plan:
    common: dict[str, Any] = {"target": target, "connections": 3, "messages": 4, "probe": False}
    return loadgen.Plan(**(common | {"half_close": True, "reply": r"delimiter:\n"} | fields))


@pytest.mark.parametrize("reply", [r"delimiter:\n", "fixed:12", "eof"])
@pytest.mark.parametrize("load", [{}, {"rate": 200, "messages": None, "duration_s": 0.2}])
def test_each_message_has_a_connection_of_its_own(reply: str, load: dict[str, Any]) -> None:
    with ScriptedServer(answers_at_the_end) as server:
        record = loadgen.run(plan(server.address, reply=reply, **load))
    check(record)  # the server may have accepted what the end of the run has cut short
    answered = [stream for stream in server.streams if stream]
    assert failures(record) == {}
    assert record.actual.messages > 0
    assert [len(stream) for stream in answered] == [64] * record.actual.submitted


def test_a_server_that_stays_open_is_left() -> None:
    with ScriptedServer(stays_open) as server:
        record = loadgen.run(plan(server.address))
    assert failures(record) == {}
    assert (record.actual.messages, record.actual.opened) == (12, 12)


def test_our_side_ends_only_when_all_of_a_large_message_is_sent() -> None:
    payload = b"b" * 3_000_000
    with ScriptedServer(answers_at_the_end) as server:
        record = loadgen.run(
            plan(
                server.address,
                payloads=(payload,),
                send_buffer_bytes=4096,
                expect=("got 3000000",),
                messages=2,
            )
        )
    assert failures(record) == {}
    assert record.actual.messages == 6


def test_it_is_not_ended_by_what_is_exchanged_before() -> None:
    def greets(peer: Peer) -> None:
        assert peer.receive_exactly(5) == b"hello"
        peer.send(b"welcome\n")
        answers_at_the_end(peer)

    with ScriptedServer(greets) as server:
        record = loadgen.run(
            plan(server.address, first_message=b"hello", first_reply=r"delimiter:\n")
        )
    assert failures(record) == {}
    assert record.actual.messages == 12


def test_the_probe_ends_its_side_too() -> None:
    with ScriptedServer(answers_at_the_end) as server:
        record = loadgen.run(plan(server.address, messages=None, duration_s=0.5, probe=True))
    assert record.probe is not None
    assert record.probe.failure == ""


@pytest.mark.parametrize(
    "other",
    [
        "127.0.0.1:9 --pipeline 2",
        "127.0.0.1:9 --open --rate 5",
        "127.0.0.1:9 --reply none",
        "udp://127.0.0.1:9",
    ],
)
def test_is_refused_where_there_is_not_one_reply_behind_the_end(other: str) -> None:
    command = [sys.executable, "-m", "loadgen", "--half-close", *other.split()]
    child = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert child.returncode == 2
    [line] = child.stderr.splitlines()
    assert "--half-close ends our side after one message, and awaits its reply" in line
