"""Whole runs against failing servers, and runs that are stopped."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import records
from accounts import check, check_against, failures
from places import SelfConnected, full_backlog, refusing_address
from servers import (
    Script,
    ScriptedServer,
    answers_garbage,
    answers_too_much,
    closes_after,
    closes_at_once,
    echoes,
    never_answers,
    reads_nothing,
    resets_after,
    resets_at_once,
    speaks_first,
)

import loadgen
from loadgen.net.backends import resolve


def plan(server: ScriptedServer, **fields: Any) -> loadgen.Plan:
    fields = {"connections": 10, "payloads": (b"12345678",), "duration_s": 30.0, **fields}
    return loadgen.Plan(target=server.address, **fields)


GONE = {"receive: closed", "receive: reset", "send: reset"}


@pytest.mark.parametrize(
    ("script", "fields", "expected"),
    [
        (closes_after(0, 8), {}, GONE),
        (closes_after(3, 8), {}, GONE),
        (closes_after(3, 8), {"pipeline": 2}, GONE),
        (resets_after(8), {"pipeline": 2}, GONE),
        (answers_too_much, {}, {"receive: unexpected_bytes"}),
        (answers_too_much, {"pipeline": 2}, {"receive: unexpected_bytes"}),
        (answers_too_much, {"verify": True}, {"receive: unexpected_bytes"}),
        (speaks_first, {}, {"receive: unexpected_bytes"}),
        (answers_garbage, {"verify": True}, {"verify: mismatch"}),
        (
            answers_garbage,
            {"payloads": (b"\xff\xfeabcd",), "reply": "length:u16,header-included"},
            {"receive: bad_frame"},
        ),
        (answers_garbage, {"reply": "none"}, {"receive: unexpected_bytes", *GONE}),
        (never_answers, {"io_timeout_s": 0.2}, {"receive: timeout"}),
    ],
)
def test_each_broken_connection_is_one_failure_and_then_the_run_is_over(
    script: Script, fields: dict[str, Any], expected: set[str]
) -> None:
    with ScriptedServer(script) as server:
        record = loadgen.run(plan(server, **fields))
        check(record)
        server.settle(10)
    assert record.outcome == "lost"
    assert set(failures(record)) <= expected
    assert sum(failures(record).values()) == 10
    assert set(record.connections.ledger["state"]) == {"failed"}
    assert record.actual.duration_s < 30
    assert record.actual.cut_off == 0


@pytest.mark.parametrize("script", [closes_at_once, resets_at_once])
@pytest.mark.parametrize("fields", [{}, {"first_message": b"hello"}, {"reply": "none"}])
def test_accepting_only_to_end_it(script: Script, fields: dict[str, Any]) -> None:
    with ScriptedServer(script) as server:
        try:
            record = loadgen.run(plan(server, **fields))
        except loadgen.UnreachableTargetError as unreachable:
            record = unreachable.record  # each was reset before we knew that it was up
        check(record)
        server.settle(10)
    assert record.outcome in {"lost", "unreachable"}
    assert set(failures(record)) <= {*GONE, "connect: reset"}
    assert sum(failures(record).values()) == 10


def test_what_was_answered_before_the_failure_is_kept() -> None:
    with ScriptedServer(closes_after(3, 8)) as server:
        record = loadgen.run(plan(server))
        check(record)
    assert record.actual.messages == 30
    assert record.actual.submitted - record.actual.messages <= 10
    assert record.user_space_latency_ns.count == 30


def test_one_that_fails_leaves_the_others_alone() -> None:
    def script(peer: Any) -> None:
        if peer is peer.server.peers[0]:
            peer.receive(1)
            peer.send(b"1234567890")
        else:
            echoes(peer)

    with ScriptedServer(script) as server:
        record = loadgen.run(plan(server, messages=50))
        check(record)
        server.settle(10)
    assert record.outcome == "completed"
    assert failures(record) == {"receive: unexpected_bytes": 1}
    assert record.actual.messages == 450
    assert sorted(record.connections.ledger["answered"]) == [0, *[50] * 9]
    assert record.connections.starved == 1
    assert record.connections.worst[0].failure == "receive: unexpected_bytes"


def test_a_target_that_dies_in_mid_run_takes_nothing_away() -> None:
    with ScriptedServer(echoes) as server:
        surroundings = loadgen.Surroundings(should_stop=_dying_after(server, 8000))
        record = loadgen.run(plan(server), surroundings)
        check(record)
    assert record.outcome == "lost"
    assert sum(failures(record).values()) == 10
    assert set(failures(record)) <= GONE
    assert record.actual.messages >= 500
    assert record.user_space_latency_ns.count == record.actual.messages


def _dying_after(server: ScriptedServer, size_bytes: int) -> Callable[[], bool]:
    dead = False

    def should_stop() -> bool:
        nonlocal dead
        if not dead and server.bytes_received > size_bytes:
            dead = True
            server.die()
        return False

    return should_stop


def test_failed_connections_open_again_where_that_is_asked_for() -> None:
    with ScriptedServer(closes_after(2, 8)) as server:
        record = loadgen.run(plan(server, messages=7, reconnect=True))
        check(record)
        server.settle(record.actual.opened)
    assert record.outcome == "completed"
    assert record.actual.submitted == 70
    assert record.actual.opened > 20
    assert min(record.connections.ledger["connects"]) >= 3
    assert record.actual.messages + sum(failures(record).values()) == 70


# ---- unreachable targets ------------------------------------------------------------------


def test_an_opening_that_ends_before_any_connection_is_up_or_has_failed() -> None:
    record = records.healthy(outcome="unreachable", failures=[])
    error = loadgen.UnreachableTargetError.of(record)
    assert error.record is record
    assert str(error).startswith(f"{record.target.address} lets no connection come up: none was")


@pytest.mark.parametrize("fields", [{}, {"reconnect": True}, {"connect_rate_per_s": 50.0}])
def test_a_target_that_refuses(fields: dict[str, Any]) -> None:
    with (
        refusing_address() as address,
        pytest.raises(loadgen.UnreachableTargetError, match=r"refused \((all|given)") as caught,
    ):
        loadgen.run(loadgen.Plan(target=address, connections=20, **fields))
    assert str(caught.value).startswith(address)
    assert caught.value.record.outcome == "unreachable"
    assert set(failures(caught.value.record)) == {"connect: refused"}
    assert caught.value.record.actual.opened == 0


def test_a_socket_connected_to_itself_has_not_reached_the_target() -> None:
    """It would echo, and seem to be a server."""
    with (
        refusing_address() as address,
        pytest.raises(loadgen.UnreachableTargetError, match="connection refused") as caught,
    ):
        loadgen.run(
            loadgen.Plan(target=address, connections=5, messages=1),
            loadgen.Surroundings(socket_factory=SelfConnected),
        )
    record = caught.value.record
    assert failures(record) == {"connect: refused": 5}
    assert record.actual.opened == record.actual.bytes_sent == 0


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(loadgen.UnreachableTargetError, match="no such socket path"):
        loadgen.run(loadgen.Plan(target=f"unix://{tmp_path}/missing", connections=3))


def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(loadgen.UnreachableError, match="cannot resolve"):
        loadgen.run(loadgen.Plan(target=f"{'x' * 64}.invalid:80"))


@pytest.mark.skipif(resolve("auto") != "epoll", reason="full backlogs differ elsewhere")
def test_a_target_that_does_not_react_is_given_up_in_the_time_of_one_connect() -> None:
    with full_backlog() as endpoint:
        began_s = time.monotonic()
        target = "{}:{}".format(*endpoint.address)
        with pytest.raises(loadgen.UnreachableTargetError, match="no progress in time"):
            loadgen.run(loadgen.Plan(target=target, connections=300, connect_timeout_s=0.3))
        assert time.monotonic() - began_s < 9  # nowhere near a timeout for each bunch, and 10 s


# ---- the end --------------------------------------------------------------------------------


def test_outstanding_replies_are_read_while_it_drains() -> None:
    def script(peer: Any) -> None:
        data = peer.receive_exactly(8)
        peer.server.released.wait()
        peer.send(data)
        peer.receive_all()

    def observe(progress: loadgen.Progress) -> None:
        if progress.totals.submitted == 10:
            server.released.set()  # it hears of this at the end of the first interval: the load's

    with ScriptedServer(script) as server:
        record = loadgen.run(
            plan(server, duration_s=0.1, drain_s=20), loadgen.Surroundings(observe=observe)
        )
        check_against(record, server)
    assert record.actual.messages == record.actual.submitted == 10
    assert record.actual.cut_off == 0
    assert record.intervals[-1].stage == "draining"
    assert record.intervals[-1].messages == 10
    assert record.actual.messages_per_s == 0
    assert record.actual.drain_s < 20


def test_no_drain_at_all() -> None:
    with ScriptedServer(never_answers) as server:
        record = loadgen.run(plan(server, duration_s=0.1, drain_s=0))
        check_against(record, server)
    assert record.actual.cut_off == 10
    assert record.outcome == "completed"


def test_what_was_not_read_by_the_end_is_cut_off() -> None:
    with ScriptedServer(reads_nothing) as server:
        record = loadgen.run(
            plan(server, payloads=(bytes(16 << 20),), duration_s=0.1, drain_s=0, connections=2)
        )
        check(record)
        assert 0 < record.actual.bytes_sent < 32 << 20
        server.released.set()
        server.settle(2)
    assert failures(record) == {}
    assert server.bytes_received == record.actual.bytes_sent


def test_a_request_to_stop_ends_the_load_with_a_full_record() -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(
            plan(server), loadgen.Surroundings(should_stop=lambda: server.bytes_received > 8000)
        )
        check_against(record, server)
    assert record.outcome == "interrupted"
    assert record.actual.messages == record.actual.submitted >= 1000
    assert record.actual.duration_s < 30
    assert failures(record) == {}


def test_a_request_to_stop_while_opening() -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(
            plan(server, connect_rate_per_s=20.0, connections=10_000),
            loadgen.Surroundings(should_stop=lambda: server.accepted >= 3),
        )
        check(record)
    assert record.outcome == "interrupted"
    assert 0 < record.actual.connections <= server.accepted < 10_000


def test_progress_is_reported_in_each_phase_and_once_a_second() -> None:
    seen: list[loadgen.Progress] = []
    with ScriptedServer(echoes) as server:
        record = loadgen.run(
            plan(server, duration_s=1.2), loadgen.Surroundings(observe=seen.append)
        )
        check_against(record, server)
    phases = [progress.stage for progress in seen]
    assert phases[0] == "opening"
    assert phases[-1] == "draining"
    assert phases.count("loading") >= 3
    assert [interval.stage for interval in record.intervals] == [
        "opening",
        "loading",
        "loading",
        "draining",
    ]
    assert record.intervals[1].duration_s == pytest.approx(1.0)
    assert seen[-1].totals.answered == record.actual.messages
