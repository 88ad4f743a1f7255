"""Limits for replies: of their length, and of the time until they are complete."""

from typing import Any

import pytest
from accounts import check
from command import loadgen as run_command
from servers import DEADLINE_S, Peer, Script, ScriptedServer, drips, echoes, never_ends

import loadgen
from loadgen.analysis.summary import summarise
from loadgen.net.failure import Cause, Phase
from loadgen.plan import Plan
from loadgen.results.record import RunRecord

LINES = r"delimiter:\n"


def run(server: ScriptedServer, **fields: Any) -> RunRecord:
    """Load ``server``; the run would last for ever if nothing failed."""
    load = {"connections": 3, "duration_s": DEADLINE_S, "drain_s": DEADLINE_S, "probe": False}
    record = loadgen.run(Plan(target=server.address, **{**load, **fields}))
    check(record)
    assert record.outcome == "lost"
    return record


def failures_of(record: RunRecord) -> dict[tuple[Phase, Cause], int]:
    return {(each.phase, each.cause): each.count for each in record.failures}


def announces_much(peer: Peer) -> None:
    """Say that a reply of 4 GiB follows."""
    peer.receive()
    peer.send(b"\xff\xff\xff\xff")
    peer.receive_all()


@pytest.mark.parametrize(
    ("reply", "script"),
    [("eof", never_ends), (LINES, never_ends), ("length:u32", announces_much)],
)
@pytest.mark.parametrize("load", [{}, {"rate": 1000}, {"rate": 1000, "unlimited": True}], ids=str)
def test_a_reply_that_is_too_long_is_a_failure(
    reply: str, script: Script, load: dict[str, Any]
) -> None:
    with ScriptedServer(script) as server:
        record = run(server, reply=reply, max_reply_bytes=2**20, **load)
        server.settle(3)  # each connection was closed
    assert failures_of(record) == {(Phase.RECEIVE, Cause.REPLY_TOO_LONG): 3}
    assert record.actual.messages == 0


def sends_much(peer: Peer) -> None:
    """Answer once, with a long reply."""
    peer.receive()
    for _ in range(20):
        peer.send(bytes(2**20))


def test_a_reply_of_more_than_16_mib_is_accepted_only_where_it_is_asked_for() -> None:
    plan: dict[str, Any] = {"reply": "eof", "connections": 1, "messages": 1}
    with ScriptedServer(sends_much) as server:
        refused = loadgen.run(Plan(target=server.address, **plan))
    assert failures_of(refused) == {(Phase.RECEIVE, Cause.REPLY_TOO_LONG): 1}
    with ScriptedServer(sends_much) as server:
        record = loadgen.run(Plan(target=server.address, max_reply_bytes=2**30, **plan))
    assert record.failures == []
    assert record.actual.bytes_received == 20 * 2**20


def greets_well(peer: Peer) -> None:
    peer.send(peer.receive_exactly(2))
    drips(peer)


@pytest.mark.parametrize(
    ("script", "fields"),
    [
        (drips, {"reply": "eof"}),
        (drips, {"reply": LINES, "pipeline": 5}),
        (drips, {"reply": LINES, "rate": 1000}),
        (drips, {"reply": LINES, "rate": 1000, "unlimited": True}),
        (drips, {"payloads": (loadgen.SizePayload(2**15),)}),
        (greets_well, {"reply": LINES, "first_message": b"H\n"}),
        (drips, {"reply": "length:u32", "max_reply_bytes": 2**31}),
    ],
    ids=lambda each: getattr(each, "__name__", None) or str(each),
)
def test_a_reply_that_drips_is_a_failure(script: Script, fields: dict[str, Any]) -> None:
    with ScriptedServer(script) as server:
        record = run(server, reply_timeout_s=0.3, **fields)
        server.settle(3)
    assert failures_of(record) == {(Phase.RECEIVE, Cause.REPLY_TIMEOUT): 3}
    assert record.actual.messages == 0


def test_replies_in_time_are_no_failures() -> None:
    with ScriptedServer(echoes) as server:
        plan = Plan(target=server.address, connections=3, messages=100, reply_timeout_s=DEADLINE_S)
        record = loadgen.run(plan)
    assert record.failures == []
    assert record.actual.messages == 300


@pytest.mark.parametrize(
    ("script", "options", "cause"),
    [
        (drips, ("--reply-timeout", "300ms"), Cause.REPLY_TIMEOUT),
        (never_ends, ("--max-reply", "1m"), Cause.REPLY_TOO_LONG),
    ],
)
def test_the_command_line_says_so(script: Script, options: tuple[str, ...], cause: Cause) -> None:
    load = ("-c", "2", "-n", "1", "--reply", "eof", "--check", "errors<1%", "--json", "-")
    with ScriptedServer(script) as server:
        done = run_command(server.address, *load, *options)
    assert done.code == 1
    assert failures_of(done.record) == {(Phase.RECEIVE, cause): 2}
    words = [line.text for line in summarise(done.record) if cause.text in line.text]
    assert len(words) == 1
    assert options[0] in words[0]
