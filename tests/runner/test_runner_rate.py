"""Whole runs in an open loop, and with think time: when messages are sent, and their times."""

import math
import time
from typing import Any

import pytest
from accounts import check, check_against, failures, sums_ns
from servers import Peer, ScriptedServer, closes_after, echoes

import loadgen
from loadgen.net import pacing
from loadgen.plan.arrivals import ARRIVALS, Arrivals
from loadgen.plan.profile import Profile
from loadgen.plan.think_time import ThinkTime
from loadgen.server.embedded import EmbeddedServer
from loadgen.units import NS_PER_S

MS = 1_000_000

# A hundred messages within 100 ms, and then no more: however fast the machine is.
HUNDRED: dict[str, Any] = {"stages": "0s:1k,100ms:1k,0s:0", "duration_s": 0.15}
LONG_ENOUGH: dict[str, Any] = {**HUNDRED, "duration_s": 20.0}


def plan(server: ScriptedServer, **fields: Any) -> loadgen.Plan:
    return loadgen.Plan(target=server.address, **{"connections": 10, **fields})


@pytest.mark.parametrize("how", pacing.NAMES)
def test_as_many_are_sent_as_are_due(how: str) -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(plan(server, pacing=how, **HUNDRED))
        check_against(record, server)
    actual = record.actual
    assert actual.due == 100
    assert actual.overdue is not None
    assert actual.messages == actual.submitted == 100 - actual.overdue
    assert server.bytes_received == 64 * actual.submitted
    assert record.generator.pacing == how
    assert failures(record) == {}


@pytest.mark.parametrize("arrivals", ARRIVALS)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_seed_decides_how_many_are_due(arrivals: str, seed: int) -> None:
    profile = Profile.parse_stages(HUNDRED["stages"])
    expected = sum(1 for _ in Arrivals(profile, arrivals, seed).until(150 * MS))
    with ScriptedServer(echoes) as server:
        record = loadgen.run(plan(server, arrivals=arrivals, seed=seed, **HUNDRED))
    check(record)
    assert record.actual.due == expected


def test_a_constant_rate_for_as_long_as_the_load_lasts() -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(plan(server, rate=500, duration_s=0.2))
        check_against(record, server)
    actual = record.actual
    assert record.requested.rate_per_s == pytest.approx(500)
    assert actual.due is not None
    # Of 0.2 s, 100 are due; a load that is ended late, since the processor was taken away, may have
    # more, and may not.
    assert 100 <= actual.due <= 500 * (actual.duration_s + 0.1)
    assert actual.submitted_per_s == pytest.approx(actual.submitted / actual.duration_s)


@pytest.mark.parametrize(
    ("load", "count"),
    [
        ({"rate": 10, "duration_s": 0.5}, 5),
        ({"rate": 1000, "duration_s": 0.1}, 100),
        ({"rate_per_connection": 3, "duration_s": 0.2}, 6),
        ({"stages": "0s:50,200ms:50", "connections": 1}, 10),
        ({"rate": 20, "duration_s": 0.2, "warmup_s": 0.2}, 4),
        ({"rate": 10, "duration_s": 0.3, "warmup_s": 0.25}, 3),
    ],
    ids=str,
)
def test_the_message_due_at_the_end_is_not_sent(load: dict[str, Any], count: int) -> None:
    """The load is the messages of [begin, end), of a warm-up too, however late it is noticed."""
    with ScriptedServer(echoes) as server:
        record = loadgen.run(plan(server, drain_s=20.0, **load))
        check_against(record, server)
    actual = record.actual
    assert actual.due == count
    assert actual.overdue is not None
    warming = math.ceil(load.get("rate", 0) * load.get("warmup_s", 0))
    assert actual.submitted == warming + count - actual.overdue
    assert failures(record) == {}


def test_a_number_of_messages_is_cut_short_by_the_end_of_the_load() -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(plan(server, rate=100, duration_s=0.2, messages=1000))
        check_against(record, server)
    assert record.actual.due == 20


class _JumpingClock:
    """The monotonic clock, which jumps ahead by a second once ``server`` has answered five times.

    As it looks to a generator that was stopped for that long.
    """

    def __init__(self, server: ScriptedServer) -> None:
        self._server = server
        self._ahead_ns = 0

    def __call__(self) -> int:
        if self._server.bytes_sent >= 5 * 64:
            self._ahead_ns = NS_PER_S
        return time.monotonic_ns() + self._ahead_ns


def test_what_was_due_before_the_end_and_found_unsent_there_is_overdue() -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(
            plan(server, rate=50, duration_s=0.4, timestamps="user"),
            loadgen.Surroundings(clock=_JumpingClock(server)),
        )
        check_against(record, server)
    actual = record.actual
    assert actual.duration_s > 1
    assert actual.due == 20
    assert actual.overdue == 20 - actual.submitted > 0


def test_a_rate_per_connection_is_that_of_all_together() -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(plan(server, rate_per_connection="100", duration_s=0.1))
    check(record)
    assert record.requested.rate_per_s == pytest.approx(1000)


def test_the_rate_asked_for_of_a_ramp_is_its_mean() -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(plan(server, rate="0..1k/200ms"))
    check(record)
    assert record.requested.duration_s == 0.2
    assert record.requested.rate_per_s is not None
    # The load lasts somewhat longer than the ramp, which holds its last rate then.
    assert 500 <= record.requested.rate_per_s < 1000


@pytest.mark.parametrize("connections", [1, 5])
def test_a_number_of_messages_ends_it(connections: int) -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(plan(server, rate=1000, messages=20, connections=connections))
        check_against(record, server)
    actual = record.actual
    assert record.outcome == "completed"
    assert (actual.due, actual.overdue) == (20 * connections, 0)
    assert actual.messages == 20 * connections
    assert actual.duration_s >= (20 * connections - 1) / 1000
    assert set(record.connections.ledger["submitted"]) == {20}


def test_a_closed_loop_has_no_intended_times() -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(plan(server, messages=20))
    check(record)
    assert record.requested.rate_per_s is None
    for times in (record, *record.intervals):
        assert times.response_time_ns is None
        assert times.schedule_lag_ns is times.blocked_ns is times.generator_lag_ns is None
    assert record.generator.send_gap_variation is None


def test_response_time_is_service_time_and_the_wait_before_it() -> None:
    """Of the same messages, exactly: with time stamps for all of them, or for none."""
    with ScriptedServer(echoes) as server:
        record = loadgen.run(plan(server, timestamps="user", probe=False, **HUNDRED))
    check(record)
    response_ns, lag_ns, service_ns = sums_ns(record)
    assert response_ns == lag_ns + service_ns


# ---- slow servers -------------------------------------------------------------------------


def answers_all_at_once(peer: Peer) -> None:
    """Answer nothing until a hundred messages are there."""
    data = peer.receive_exactly(6400)
    if len(data) == 6400:
        peer.send(data)
    peer.receive_all()


def test_open_sends_on_time_whatever_is_in_flight() -> None:
    with ScriptedServer(answers_all_at_once) as server:
        record = loadgen.run(
            plan(server, connections=1, unlimited=True, **LONG_ENOUGH),
            loadgen.Surroundings(should_stop=lambda: server.bytes_sent == 6400),
        )
        check_against(record, server)
    assert record.actual.messages == record.actual.submitted == 100
    assert record.timestamps.stamped + record.timestamps.upper_bounds in {0, 100}


def test_otherwise_messages_wait_for_a_free_connection() -> None:
    with ScriptedServer(answers_all_at_once) as server:
        record = loadgen.run(plan(server, connections=2, pipeline=3, drain_s=0.0, **HUNDRED))
        check_against(record, server)
    actual = record.actual
    assert (actual.due, actual.overdue) == (100, 94)
    assert actual.submitted == actual.cut_off == 6


def test_waiting_for_a_slow_server_is_its_doing_and_counts() -> None:
    """One connection, 20 ms a reply, a message every 5 ms: each waits 15 ms longer than the last.

    At least so long: what a slow machine adds only makes it more.
    """
    with EmbeddedServer(("--delay", "20ms")) as server:
        record = loadgen.run(
            loadgen.Plan(target=server.address, connections=1, rate=200, duration_s=0.3)
        )
    check(record)
    actual, last = record.actual, record.actual.submitted - 1
    assert last >= 1
    assert actual.submitted <= actual.duration_s / 0.02 + 1
    assert actual.overdue is not None
    assert actual.overdue > 0
    response_ns, lag_ns, _ = sums_ns(record)
    assert lag_ns >= sum(range(last + 1)) * 15 * MS
    assert response_ns >= sum(range(last + 1)) * 15 * MS + (last + 1) * 20 * MS
    assert record.blocked_ns is not None
    assert record.generator_lag_ns is not None
    paused_ns = lag_ns - record.blocked_ns.sum - record.generator_lag_ns.sum
    assert record.blocked_ns.sum + paused_ns >= record.generator_lag_ns.sum
    assert record.service_time_ns.min is not None
    assert record.service_time_ns.min >= 20 * MS


def test_connections_open_again_under_a_rate() -> None:
    with ScriptedServer(closes_after(2, 64)) as server:
        record = loadgen.run(plan(server, rate=1000, messages=4, connections=5, reconnect=True))
        check(record)
        server.settle(record.actual.opened)
    assert record.outcome == "completed"
    assert record.actual.submitted == record.actual.due == 20
    assert record.actual.opened > 5
    assert set(failures(record)) <= {"receive: closed", "receive: reset", "send: reset"}
    # The loss of an idle connection loses no message.
    assert 20 - sum(failures(record).values()) <= record.actual.messages <= 20


# ---- think time -----------------------------------------------------------------------------


@pytest.mark.parametrize("pipeline", [1, 2])
def test_time_to_think_slows_a_closed_loop_down(pipeline: int) -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(plan(server, think="20ms", messages=4 * pipeline, pipeline=pipeline))
        check_against(record, server)
    assert record.actual.messages == 40 * pipeline
    assert record.actual.duration_s >= 3 * 0.02
    assert record.response_time_ns is None


def test_random_times_to_think_add_up_too() -> None:
    think = ThinkTime.parse("exp:5ms").draws(seed=3)
    expected_ns = sum(next(think) for _ in range(9))
    with ScriptedServer(echoes) as server:
        record = loadgen.run(plan(server, think="exp:5ms", seed=3, messages=10, connections=1))
    check(record)
    assert record.actual.duration_s * 1e9 >= expected_ns
