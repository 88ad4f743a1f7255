"""How long connections were up: the sums, and runs against servers that close connections."""

from typing import Any

import msgspec
import pytest
from accounts import check
from records import closed_loop, offered, open_loop
from servers import DEADLINE_S, Peer, ScriptedServer, closes_after, echoes
from verdicts import found, long, seen

import loadgen
from loadgen.engine.availability import Availability, ConnectionTime, Standing
from loadgen.net.clock import ManualClock
from loadgen.results.delivered import ConnectionTimeRecord
from loadgen.results.record import RunRecord

SECOND = 1_000_000_000


def test_time_adds_up_by_standing() -> None:
    clock = ManualClock(7)
    availability = Availability(clock)
    clock.advance(SECOND)  # no connection was asked for yet
    availability.add(Standing.OPENING, 3)
    clock.advance(SECOND)
    for after in (Standing.UP, Standing.FAILED):
        availability.move(Standing.OPENING, after)
    before = availability.so_far(clock())
    assert before == ConnectionTime(opening_ns=3 * SECOND, none_up_ns=SECOND)
    clock.advance(2 * SECOND)
    availability.move(Standing.OPENING, Standing.DONE)
    availability.move(Standing.UP, Standing.BACKING_OFF)
    clock.advance(SECOND)
    availability.move(Standing.BACKING_OFF, Standing.RENEWING)
    clock.advance(4 * SECOND)
    assert availability.so_far(clock()).since(before) == ConnectionTime(
        opening_ns=2 * SECOND,
        up_ns=2 * SECOND,
        renewing_ns=4 * SECOND,
        backing_off_ns=SECOND,
        failed_ns=7 * SECOND,
        none_up_ns=SECOND,
    )


def keeps_the_first(peer: Peer) -> None:
    """Serve the first connection, and close all others at once."""
    if peer.server.peers[0] is peer:
        echoes(peer)


def run(server: ScriptedServer, **changes: Any) -> RunRecord:
    wishes = {"target": server.address, "duration_s": 1.0, **changes}
    record = loadgen.run(loadgen.Plan(**wishes))
    check(record)
    return record


def codes(record: RunRecord) -> list[str]:
    assert record.health is not None
    return [finding.code for finding in record.health.findings]


def test_a_run_whose_connections_were_closed_is_invalid() -> None:
    with ScriptedServer(keeps_the_first) as server:
        record = run(server, connections=20, rate=300)
    time = record.actual.connection_time
    assert time is not None
    assert record.health is not None
    assert record.health.verdict == "inconclusive"
    assert "connections-down" in codes(record)
    assert time.had_s < 0.5 * time.asked_s
    assert time.failed_s > 0.5 * time.asked_s
    assert time.asked_s == pytest.approx(20 * record.actual.duration_s, rel=0.01)
    assert record.connections.fairness == pytest.approx(1 / 20, abs=0.01)
    assert record.connections.starved == 19


def test_the_back_off_is_named_where_it_is_the_limit() -> None:
    with ScriptedServer(closes_after(20, 64)) as server:
        record = run(server, connections=5, reconnect=True)
    assert record.health is not None
    assert record.health.verdict == "inconclusive"
    assert codes(record)[0] == "backing-off"
    assert "server-behind" not in codes(record)


def test_a_server_that_is_gone_leaves_seconds_in_which_no_connection_was_up() -> None:
    with ScriptedServer(echoes) as server:

        def kill_it_under_load() -> bool:
            if server.bytes_received > 64 * 100:
                server.die()
            return False

        record = loadgen.run(
            loadgen.Plan(target=server.address, connections=2, duration_s=4.0, reconnect=True),
            loadgen.Surroundings(should_stop=kill_it_under_load),
        )
    time = record.actual.connection_time
    assert time is not None
    assert time.nobody_up_s > 1.0
    assert "backing-off" in codes(record)


def test_renewing_is_part_of_an_exchange_that_ends_with_each_reply() -> None:
    with ScriptedServer(closes_after(1, 64)) as server:
        record = run(server, connections=5, reply="eof")
    time = record.actual.connection_time
    assert time is not None
    assert time.renewing_s > 0
    assert time.opening_s == time.backing_off_s == time.failed_s == 0
    assert not {"connections-down", "backing-off"} & set(codes(record))


def test_connections_that_are_done_are_asked_for_no_longer() -> None:
    with ScriptedServer(echoes) as server:
        record = run(server, connections=5, messages=20, duration_s=DEADLINE_S)
    time = record.actual.connection_time
    assert time is not None
    assert time.asked_s == time.had_s == time.up_s <= 5 * record.actual.duration_s
    assert not {"connections-down", "backing-off"} & set(codes(record))


def connection_time(**seconds: float) -> ConnectionTimeRecord:
    names = ConnectionTimeRecord.__struct_fields__
    return ConnectionTimeRecord(**{**dict.fromkeys(names, 0.0), **seconds})


class TestVerdict:
    @pytest.mark.parametrize(
        ("seconds", "expected"),
        [
            ({"up_s": 20.0}, ("valid", [])),
            ({"up_s": 19.9, "failed_s": 0.1}, ("valid", ["connections-down"])),
            ({"up_s": 19.7, "failed_s": 0.3}, ("inconclusive", ["connections-down"])),
            ({"up_s": 19.7, "backing_off_s": 0.3}, ("inconclusive", ["backing-off"])),
            ({"up_s": 19.0, "opening_s": 1.0}, ("valid", [])),
            ({"up_s": 15.0, "opening_s": 5.0}, ("inconclusive", ["connections-down"])),
            ({"up_s": 10.0, "renewing_s": 10.0}, ("valid", [])),
        ],
        ids=str,
    )
    def test_weighs_the_time_that_connections_were_down(
        self, seconds: dict[str, float], expected: tuple[str, list[str]]
    ) -> None:
        record = closed_loop(actual=long(connection_time=connection_time(**seconds)))
        assert seen(record) == expected

    def test_never_blames_the_server_for_a_rate_that_was_missed_meanwhile(self) -> None:
        missed = offered(1000, 500)
        down = connection_time(up_s=10.0, backing_off_s=10.0, nobody_up_s=4.0)
        missed["actual"] = msgspec.structs.replace(missed["actual"], connection_time=down)
        record = open_loop(**missed)
        assert seen(record)[0] == "inconclusive"
        assert "server-behind" not in found(record)
        evidence = found(record)["backing-off"].evidence
        assert "50 % of the load's 10 s" in evidence
        assert "for 4 s none was up" in evidence
