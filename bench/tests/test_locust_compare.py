"""Locust beside loadgen: what is counted, and what is made of it."""

import importlib.util
import json
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench import locust_ways
from bench.locust_compare import judged, ratios, table
from bench.locust_ways import (
    BY_HAND,
    DECLARATIVE,
    PLAIN,
    SCRIPTED,
    Found,
    Lag,
    Run,
    Way,
    counting_server,
    lag_of,
    measure,
)
from bench.locustfiles import MESSAGE
from bench.tables import aims_table, formatted, spread
from bench.yardstick import Cost, UnavailableError, built

TIMEOUT_S = 20.0  # for a broken server only


@pytest.fixture(scope="module")
def program() -> Iterator[Path]:
    if shutil.which("cc") is None:
        pytest.skip("the echo server is built with a C compiler, and there is no `cc` here")
    with built() as path:
        yield path


def found(messages_per_s: float, p99_ms: float | None = None, missing: int = 0) -> Found:
    lag = None if p99_ms is None else Lag(1.0, p99_ms, 2 * p99_ms, before_ms=3.0)
    cost = Cost(messages_per_s, user_us=4.0, system_us=11.0)
    return Found(cost, 0.1, counted=1000 - missing, served=1000, stop_s=0.25, lag=lag)


def asked(users: int) -> Run:
    return Run(users, settle_s=0.1, duration_s=0.5)


class TestServer:
    def test_keeps_its_counts_where_others_can_look(self, program: Path) -> None:
        with counting_server(program, None) as (port, counts):
            assert (counts.messages, counts.connections) == (0, 0)
            with (
                socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as one,
                socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as other,
            ):
                for client in (one, other, other):
                    client.sendall(MESSAGE)
                    assert client.recv(len(MESSAGE), socket.MSG_WAITALL) == MESSAGE
                assert (counts.messages, counts.connections) == (3, 2)
                one.shutdown(socket.SHUT_WR)
                assert one.recv(1) == b""  # it has hung up, and counted that before
                assert (counts.messages, counts.connections) == (3, 1)

    def test_begins_anew_with_each_start(self, program: Path) -> None:
        for _ in range(2):
            with counting_server(program, None) as (port, counts):
                assert counts.messages == 0
                with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as client:
                    client.sendall(MESSAGE)
                    client.recv(len(MESSAGE), socket.MSG_WAITALL)


class TestRun:
    @pytest.mark.parametrize(
        "way", [BY_HAND, DECLARATIVE, SCRIPTED, PLAIN], ids=lambda one: one.name
    )
    def test_counts_what_the_server_counts_but_for_what_is_under_way(
        self, program: Path, way: Way
    ) -> None:
        if way is not PLAIN and importlib.util.find_spec("locust") is None:
            pytest.skip("Locust is not installed")
        result = measure(way, Run(users=2, settle_s=0.1, duration_s=0.5), program)
        assert result.cost.messages_per_s > 0
        assert 0 <= result.taken_share < 1
        assert 0 < result.counted <= result.served <= result.counted + 2
        assert (result.lag is None) == (way is PLAIN)

    def test_that_ends_before_its_time_says_so(self, program: Path) -> None:
        way = Way("broken", lambda *_: [sys.executable, "-c", "raise SystemExit(3)"], len)
        with pytest.raises(UnavailableError, match="ended with 3 before its time"):
            measure(way, Run(users=1, settle_s=0.1, duration_s=0.1), program)


def test_the_engine_is_told_to_those_that_have_one() -> None:
    run = replace(asked(2), engine="python")
    told = {way: way.command(9999, run, Path("lag")) for way in (BY_HAND, DECLARATIVE, PLAIN)}
    assert "--engine" not in told.pop(BY_HAND)
    for command in told.values():
        assert command[command.index("--engine") + 1] == "python"


def test_locust_and_loadgen_are_asked_for_the_requests_alone() -> None:
    entries = [{"name": "echo", "num_requests": 7}, {"name": "connect", "num_requests": 2}]
    assert locust_ways.counted_by_locust(json.dumps(entries)) == 7


class TestLag:
    def test_is_that_of_the_time_that_is_measured_and_the_longest_before(self) -> None:
        naps = [(number, number * 1_000_000) for number in range(1, 301)]
        assert lag_of(naps, 101, 200) == Lag(150.0, 199.0, 200.0, before_ms=100.0)

    def test_is_unknown_where_no_nap_ended(self) -> None:
        assert lag_of([(1, 1), (9, 1)], 2, 8) is None


class TestRatios:
    def test_are_those_of_one_round(self) -> None:
        rounds = {
            BY_HAND.name: [found(10_000), found(20_000)],
            DECLARATIVE.name: [found(30_000), found(40_000)],
        }
        assert ratios(rounds, DECLARATIVE, BY_HAND) == [3.0, 2.0]

    def test_are_told_with_median_lowest_and_highest(self) -> None:
        assert spread([2.0, 9.0, 3.0]) == "3.00 (2.00 to 9.00)"
        assert spread([2000.0, 9000.0, 3000.0], 0) == "3,000 (2,000 to 9,000)"


class TestJudging:
    def test_takes_the_median_of_the_ratios(self) -> None:
        rounds = {
            BY_HAND.name: [found(10_000)] * 3,
            DECLARATIVE.name: [found(44_000), found(45_000), found(90_000)],
        }
        (speed, counting) = judged(asked(100), rounds)
        assert speed.aim == "100 users: declarative at least 4.5 times by hand"
        assert (speed.found, speed.is_met) == ("4.50 (4.40 to 9.00)", True)
        assert counting.is_met

    def test_finds_what_is_too_slow(self) -> None:
        rounds = {PLAIN.name: [found(100_000)], DECLARATIVE.name: [found(84_000)]}
        assert [one.is_met for one in judged(asked(100), rounds)] == [False, True]

    @pytest.mark.parametrize(("p99_ms", "is_met"), [(49.9, True), (50.0, False)])
    def test_of_many_users_is_of_the_lag_alone(self, p99_ms: float, is_met: bool) -> None:
        rounds = {BY_HAND.name: [found(9000, 400)], DECLARATIVE.name: [found(9000, p99_ms)]}
        lag, _ = judged(asked(5000), rounds)
        assert lag.aim == "5000 users: lag p99 under 50 ms, declarative"
        assert lag.is_met == is_met

    @pytest.mark.parametrize(("missing", "is_met"), [(-1, False), (0, True), (8, True), (9, False)])
    def test_wants_all_counted_but_what_was_under_way(self, missing: int, is_met: bool) -> None:
        rounds = {BY_HAND.name: [found(9000), found(9000, missing=missing)]}
        (counting,) = judged(asked(8), rounds)
        assert counting.is_met == is_met

    def test_marks_what_missed_its_aim(self) -> None:
        rounds = {PLAIN.name: [found(100_000)], DECLARATIVE.name: [found(84_000)]}
        lines = aims_table(judged(asked(100), rounds), is_markdown=True)
        assert (
            "| 100 users: declarative at least 0.85 times loadgen "
            "| 0.84 (0.84 to 0.84): MISSED |" in lines
        )


class TestTable:
    def test_has_a_line_for_each_way_with_its_ratios(self) -> None:
        rounds = {BY_HAND.name: [found(10_000, 5.0)], PLAIN.name: [found(40_000)]}
        by_hand, plain = table(asked(100), rounds, is_markdown=True)[-2:]
        assert by_hand == (
            "| 100 | auto | by hand | 10,000 (10,000 to 10,000) | 4.0 | 11.0 | 10% "
            "|  | 0.25 (0.25 to 0.25) "
            "| 1.0, 5.0, 10.0 | 3 | 0.25 |"
        )
        assert "| 4.00 (4.00 to 4.00) |  |  |  |" in plain

    def test_for_people_is_aligned(self) -> None:
        assert formatted(("a", "b"), [("long", "x"), ("", "y")], is_markdown=False) == [
            "",
            "a     b",
            "long  x",
            "      y",
        ]
