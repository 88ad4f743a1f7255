"""An open loop together with the other options of a plan, and loads that fail."""

from pathlib import Path
from typing import Any

import pytest
from accounts import check, check_against, failures
from places import unix_listener
from servers import (
    Peer,
    Script,
    ScriptedServer,
    answers_each,
    answers_once,
    byte_by_byte,
    closes_after,
    echoes,
    never_answers,
    reads_slowly,
)

import loadgen
from loadgen.plan.arrivals import ARRIVALS

# Sixty messages within 60 ms, and then no more.
SIXTY = "0s:1k,60ms:1k,0s:0"
LONG_ENOUGH_S = 20.0


def plan(server: ScriptedServer, **fields: Any) -> loadgen.Plan:
    return loadgen.Plan(target=server.address, **{"connections": 5, "probe": False, **fields})


# ---- every kind of message -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "fields"),
    [
        (byte_by_byte, {}),
        (reads_slowly, {"pipeline": 3}),
        (echoes, {"payloads": (b"one", b"number two", b"3"), "verify": True}),
        (echoes, {"payloads": (b"one", b"number two", b"3"), "verify": True, "unlimited": True}),
        (echoes, {"first_message": b"hello"}),
        (echoes, {"backend": "select", "pacing": "precise"}),
        (echoes, {"connect_rate_per_s": 500}),
        (answers_each(64, b"+OK\r\n"), {"reply": r"delimiter:\r\n", "unlimited": True}),
        (answers_each(64, bytes(1024)), {"reply": "fixed:1k", "pipeline": 2}),
    ],
)
def test_every_message_is_answered_on_time_or_later(script: Script, fields: dict[str, Any]) -> None:
    with ScriptedServer(script) as server:
        record = loadgen.run(plan(server, rate=2000, messages=12, **fields))
        check_against(record, server)
    actual = record.actual
    assert (actual.due, actual.overdue, actual.submitted, actual.messages) == (60, 0, 60, 60)
    assert record.user_space_latency_ns.count == 60
    assert failures(record) == {}


def test_a_unix_socket(tmp_path: Path) -> None:
    with ScriptedServer(echoes, unix_listener(tmp_path / "echo")) as server:
        record = loadgen.run(plan(server, rate=2000, messages=12))
        check_against(record, server)
    assert record.timestamps.mode == "user"
    assert record.actual.due == 60


def test_one_way_there_are_lags_and_no_replies() -> None:
    with ScriptedServer(never_answers) as server:
        record = loadgen.run(plan(server, rate=2000, messages=12, reply="none"))
        check_against(record, server)
    assert record.actual.messages == record.actual.due == 60
    assert record.response_time_ns is not None
    assert record.response_time_ns.count == record.service_time_ns.count == 0
    assert record.timestamps.reason == "there are no replies"


def test_a_reply_until_the_end_takes_a_connection_for_each_message() -> None:
    with ScriptedServer(answers_once(64, b"good bye")) as server:
        record = loadgen.run(plan(server, rate=2000, messages=4, reply="eof"))
        check_against(record, server)
    actual = record.actual
    assert actual.due == actual.messages == actual.opened == 20
    assert set(record.connections.ledger["connects"]) == {4}
    assert failures(record) == {}


def test_messages_larger_than_all_buffers() -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(
            plan(
                server,
                rate=1000,
                messages=3,
                connections=2,
                unlimited=True,
                payloads=(loadgen.SizePayload(1_000_000),),
                verify=True,
                send_buffer_bytes=8192,
                receive_buffer_bytes=8192,
            )
        )
        check_against(record, server)
    assert record.actual.messages == record.actual.due == 6


def test_a_warm_up_after_first_messages_on_connections_that_come_up_slowly() -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(
            plan(
                server,
                rate=1000,
                warmup_s=0.05,
                duration_s=0.05,
                first_message=b"hello",
                connect_rate_per_s=100,
            )
        )
        check_against(record, server)
    assert record.actual.warmup_messages > 0
    assert record.actual.submitted == sum(record.connections.ledger["answered"])


# ---- what was due -----------------------------------------------------------------------------


def test_a_load_that_is_lost_has_not_sent_what_was_due() -> None:
    """One message went out, and then all waited for a server that never answered."""
    with ScriptedServer(never_answers) as server:
        record = loadgen.run(
            plan(server, connections=1, rate=1000, duration_s=LONG_ENOUGH_S, io_timeout_s=0.1)
        )
        check_against(record, server)
    actual = record.actual
    assert record.outcome == "lost"
    assert failures(record) == {"receive: timeout": 1}
    assert actual.submitted == 1
    assert actual.due is not None
    assert actual.duration_s < LONG_ENOUGH_S
    assert actual.due == pytest.approx(1000 * actual.duration_s, abs=2)
    assert actual.overdue == actual.due - 1
    assert actual.submitted_per_s == pytest.approx(1 / actual.duration_s)


def test_a_lost_load_has_no_more_overdue_than_its_limit_of_messages() -> None:
    with ScriptedServer(never_answers) as server:
        record = loadgen.run(plan(server, rate=1000, messages=3, io_timeout_s=0.1))
        check_against(record, server)
    assert record.outcome == "lost"
    assert record.actual.submitted == 5
    assert (record.actual.due, record.actual.overdue) == (15, 10)


def test_nothing_is_due_beyond_the_number_of_messages_however_long_the_replies_take() -> None:
    with ScriptedServer(never_answers) as server:
        record = loadgen.run(
            plan(server, rate=1000, messages=4, unlimited=True, duration_s=0.5, drain_s=0.0)
        )
        check_against(record, server)
    actual = record.actual
    assert actual.submitted == actual.cut_off == 20
    assert (actual.due, actual.overdue) == (20, 0)
    assert actual.duration_s >= 0.5
    # They took some 20 ms: the rate is over that time, without the time in which none was sent.
    assert actual.submitted_per_s > 20 / actual.duration_s
    assert record.health is not None
    codes = {each.code for each in record.health.findings}
    # Within 20 ms, a few without a processor miss the rate, and are too short to be a pause.
    was_on_time = actual.submitted_per_s >= 995
    assert not was_on_time or not {"rate-missed", "server-behind"} & codes


@pytest.mark.parametrize("arrivals", ARRIVALS)
@pytest.mark.parametrize("warmup_s", [0.0, 0.02])
def test_stages_that_end_at_no_rate_end_the_load(arrivals: str, warmup_s: float) -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(plan(server, stages=SIXTY, arrivals=arrivals, warmup_s=warmup_s))
        check_against(record, server)
    assert record.outcome == "completed"
    assert record.requested.duration_s == 0.06
    assert record.actual.messages + record.actual.warmup_messages == record.actual.submitted


def test_after_the_stages_nothing_is_sent() -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(
            plan(server, stages=SIXTY, duration_s=LONG_ENOUGH_S),
            loadgen.Surroundings(should_stop=lambda: server.bytes_sent == 60 * 64),
        )
        check_against(record, server)
    assert (record.actual.due, record.actual.overdue, record.actual.messages) == (60, 0, 60)


def test_stopped_before_it_began() -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(
            plan(server, rate=1000, warmup_s=1.0),
            loadgen.Surroundings(should_stop=lambda: True),
        )
    check(record)
    assert record.outcome == "interrupted"
    assert record.actual.messages == record.actual.submitted == 0
    assert record.actual.overdue == record.actual.due


# ---- connections that fail ------------------------------------------------------------------


def resets_after_three(peer: Peer) -> None:
    closes_after(3, 64)(peer)
    peer.reset()


@pytest.mark.parametrize("script", [closes_after(3, 64), resets_after_three])
@pytest.mark.parametrize("unlimited", [False, True])
def test_servers_that_end_connections_under_a_rate(script: Script, unlimited: bool) -> None:
    with ScriptedServer(script) as server:
        record = loadgen.run(
            plan(server, rate=200, messages=8, unlimited=unlimited, reconnect=True)
        )
        check(record)
        server.settle(record.actual.opened)
    actual = record.actual
    assert record.outcome == "completed"
    assert (actual.due, actual.overdue, actual.submitted) == (40, 0, 40)
    assert set(record.connections.ledger["submitted"]) == {8}
    assert sum(record.connections.ledger["connects"]) > 5  # connections
    assert failures(record)


def test_those_that_are_left_take_over() -> None:
    """One connection is closed at once: the others send what it would have sent."""
    met: list[Peer] = []

    def script(peer: Peer) -> None:
        met.append(peer)
        if len(met) != 3:  # the first one only finds out which family answers
            echoes(peer)

    with ScriptedServer(script) as server:
        record = loadgen.run(plan(server, stages=SIXTY, duration_s=0.1))
        check(record)
        server.settle(record.actual.opened)
    actual = record.actual
    assert actual.due == 60
    assert actual.overdue is not None
    assert actual.submitted == 60 - actual.overdue
    assert actual.messages >= actual.submitted - sum(failures(record).values())
