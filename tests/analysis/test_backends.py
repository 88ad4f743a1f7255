"""The comparison of backends: order and medians, with runs that are made up."""

import re
from typing import Any

import msgspec
import pytest
from backend_rows import BUSY, GRID, MS, Runs, made_up, record_of, rows_of, same, text_of
from records import failure, spread

from loadgen.analysis.backends import BackendRun, Spread, from_json
from loadgen.errors import LocalLimitError, RecordError, UnreachableError, UsageError
from loadgen.net.failure import Cause, Phase
from loadgen.results.record import RunRecord
from loadgen.results.verdict import Health, Verdict

# ---- order --------------------------------------------------------------------------------


def test_each_round_is_the_one_before_backwards() -> None:
    runs = Runs(same())
    rows = runs.rows()
    once = [("epoll", 10), ("poll", 10), ("epoll", 100), ("poll", 100)]
    assert runs.done == [*once, *once[::-1], *once]
    assert runs.shown == [1, 2, 3]
    assert [(row.backend, row.connections) for row in rows] == once
    assert [[run.round for run in row.runs] for row in rows] == [[1, 2, 3]] * 4


def test_drift_affects_all_alike() -> None:
    """A machine that slows down evenly: over two rounds each has the same share of it."""
    grid = msgspec.structs.replace(GRID, rounds=2)
    runs = Runs(lambda *_: made_up(messages_per_s=1000.0 - 10 * len(runs.done)))
    rates = {row.messages_per_s.median for row in runs.rows(grid) if row.messages_per_s}
    assert rates == {1000.0 - 10 * 4.5}


# ---- figures ------------------------------------------------------------------------------


def test_medians_stand_between_the_lowest_and_the_highest() -> None:
    rates, p99s_ms = (900.0, 1100.0, 1000.0), (3, 5, 4)

    def made(backend: str, connections: int, before: int) -> RunRecord:
        service = spread(MS, 2 * MS, p99s_ms[before] * MS)
        return made_up(rates[before], cpu_s=0.1 * (before + 1), service_time_ns=service)

    row = rows_of(made)[0]
    assert row.messages_per_s == Spread(median=1000.0, lowest=900.0, highest=1100.0)
    assert row.service_p50_ns is not None
    assert row.service_p50_ns.median == pytest.approx(MS, rel=0.004)
    assert row.service_p99_ns is not None
    assert row.service_p99_ns.median == pytest.approx(4 * MS, rel=0.004)
    assert row.service_p99_ns.lowest < row.service_p99_ns.median < row.service_p99_ns.highest
    assert row.cpu_per_message_ns is not None
    assert row.cpu_per_message_ns.lowest == pytest.approx(0.1e9 / 9000)
    assert row.cpu_per_message_ns.highest == pytest.approx(0.3e9 / 10_000)


def test_processor_time_is_that_of_the_messages_of_the_load_without_the_drain() -> None:
    record = made_up(messages_per_s=500.0, cpu_s=2.0)
    assert record.actual.messages == 10_000
    run = BackendRun.of(record, 1)
    assert run.cpu_per_message_ns == 2e9 / 5000
    assert run.cpu_user_s + run.cpu_system_s == pytest.approx(2.0)


@pytest.mark.parametrize("told", [{"cpu_s": 0.02}, {"messages_per_s": 0.0}])
def test_too_little_processor_time_tells_nothing(told: dict[str, float]) -> None:
    assert BackendRun.of(made_up(**told), 1).cpu_per_message_ns is None


def test_growth_is_over_the_fewest_connections_and_the_share_over_the_best_backend() -> None:
    def made(backend: str, connections: int, before: int) -> RunRecord:
        is_poll = backend == "poll"
        slower = 2 if is_poll and connections == 100 else 1
        return made_up(1000.0 / slower, cpu_s=0.2 if is_poll else 0.1)

    rows = {(row.backend, row.connections): row for row in rows_of(made)}
    assert rows["epoll", 10].cpu_growth == rows["poll", 10].cpu_growth == 1
    assert rows["epoll", 100].cpu_growth == 1
    assert rows["poll", 100].cpu_growth == pytest.approx(2)
    assert rows["poll", 10].rate_share == rows["epoll", 100].rate_share == 1
    assert rows["poll", 100].rate_share == 0.5


def test_only_runs_that_ended_as_planned_count_in_the_medians() -> None:
    def made(backend: str, connections: int, before: int) -> RunRecord:
        reset = failure(Phase.RECEIVE, Cause.RESET, count=7)
        lost: dict[str, Any] = {"outcome": "lost", "failures": [reset]} if before == 1 else {}
        return made_up(5.0 if before == 1 else 1000.0, **lost)

    rows = rows_of(made)
    assert {row.messages_per_s for row in rows} == {
        Spread(median=1000.0, lowest=1000.0, highest=1000.0)
    }
    assert {row.verdict for row in rows} == {"inconclusive"}
    text = text_of(rows)
    assert "inconclusive 1/3" in text
    assert "1 of 3 rounds inconclusive: every connection had failed" in text
    assert f"receive: {Cause.RESET.text}: 7" in text


def test_what_was_lost_in_every_round_has_no_figures() -> None:
    rows = rows_of(same(outcome="lost"))
    assert all(row.messages_per_s is None and row.rate_share is None for row in rows)
    line = next(line for line in text_of(rows).splitlines() if "epoll" in line)
    assert line.split() == ["epoll", *"------", "inconclusive"]


def test_a_percentile_that_one_run_does_not_know_is_not_that_of_the_others() -> None:
    def made(backend: str, connections: int, before: int) -> RunRecord:
        return made_up(service_time_ns=spread(MS, MS, MS, count=100 if before else 10_000))

    row = rows_of(made)[0]
    assert (row.service_p99_ns, row.service_p50_ns is None) == (None, False)


def test_a_tail_that_was_never_answered_is_not_known() -> None:
    record = made_up()
    short = msgspec.structs.replace(record.actual, submitted=10_200)
    run = BackendRun.of(msgspec.structs.replace(record, actual=short), 1)
    assert (run.service_p99_ns, run.service_p50_ns is None) == (None, False)


def test_the_most_severe_verdict_of_the_rounds_is_shown() -> None:
    rows = rows_of(lambda backend, connections, before: made_up(**(BUSY if before == 1 else {})))
    assert {row.verdict for row in rows} == {"generator-bound"}
    text = text_of(rows)
    assert text.count("generator-bound 1/3") == 4
    assert "this process was the limit" in text
    assert "generator-bound" not in text_of(rows_of(same()))


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        (("busy", "valid", "valid"), "busy 1/3"),
        (("busy", "inconclusive", "generator-bound"), "inconclusive 1/3"),
        (("server-bound", "busy", "server-bound"), "server-bound 2/3"),
        (("generator-bound", "server-bound", "generator-bound"), "generator-bound 2/3"),
        (("busy", "busy", "busy"), "busy"),
    ],
)
def test_of_several_verdicts_the_most_severe_stands(
    verdicts: tuple[Verdict, ...], said: str
) -> None:
    def made(backend: str, connections: int, before: int) -> RunRecord:
        judged = Health(verdict=verdicts[before], findings=[])
        return msgspec.structs.replace(made_up(), health=judged)

    lines = text_of(rows_of(made)).splitlines()
    assert sum(line.endswith(f"  {said}") for line in lines) == 4


# ---- what does not go as planned ----------------------------------------------------------


def refusing(backend: str, connections: int, before: int) -> RunRecord:
    if backend == "poll":
        raise LocalLimitError(f"no more than 5 connections, {connections} were asked for")
    return made_up()


def test_what_is_refused_is_listed_with_the_reason_and_the_others_go_on() -> None:
    runs = Runs(refusing)
    rows = runs.rows()
    assert len(runs.done) == 2 * 3 + 2  # and is not tried again
    assert [len(row.runs) for row in rows] == [3, 0, 3, 0]
    text = text_of(rows)
    assert "refused: poll with 10 connections\n    no more than 5 connections, 10 were" in text
    assert "refused: poll with 100 connections\n" in text


def test_a_reason_that_many_share_is_shown_once() -> None:
    def made(backend: str, connections: int, before: int) -> RunRecord:
        raise LocalLimitError("not here")

    runs = Runs(made)
    text = text_of(runs.rows())
    assert text == "  refused: epoll with 10, 100; poll with 10, 100 connections\n    not here"
    assert (len(runs.done), runs.shown) == (4, [1])


def test_a_wrong_value_ends_it() -> None:
    def made(backend: str, connections: int, before: int) -> RunRecord:
        raise UsageError("--payload-file: cannot read it")

    with pytest.raises(UsageError, match="--payload-file"):
        rows_of(made)


def test_a_target_that_was_never_there_ends_it() -> None:
    def made(backend: str, connections: int, before: int) -> RunRecord:
        raise UnreachableError("connection refused")

    with pytest.raises(UnreachableError, match="connection refused"):
        rows_of(made)


def test_a_target_that_goes_away_is_a_round_that_says_so() -> None:
    def made(backend: str, connections: int, before: int) -> RunRecord:
        if backend == "poll" and before == 2:
            raise UnreachableError("gone")
        return made_up()

    rows = rows_of(made)
    assert [len(row.unreachable) for row in rows] == [0, 1, 0, 1]
    assert rows[1].unreachable[0].round == 3
    assert rows[1].messages_per_s is not None
    assert text_of(rows).count("1 of 3 rounds unreachable: gone") == 2


def test_it_ends_when_it_is_told_to_with_what_there_is() -> None:
    runs = Runs(same())
    rows = runs.rows(stop_after=6)  # the sixth was cut short
    assert [len(row.runs) for row in rows] == [1, 1, 1, 2]
    text = text_of(rows, is_interrupted=True)
    assert text.startswith("interrupted; until then:")
    assert text.count(", 1 of 3 rounds") == 3
    nothing = text_of(Runs(same()).rows(stop_after=1), is_interrupted=True)
    assert nothing == "interrupted before a run was over"


# ---- the record ---------------------------------------------------------------------------


def test_a_record_survives_json() -> None:
    record = record_of(rows_of(refusing))
    text = record.to_json()
    assert b'"schema": "loadgen.backends/1"' in text
    assert from_json(text) == record


@pytest.mark.parametrize(
    ("field", "value"), [("connections", "-1"), ("rate_share", "1e300"), ("round", "9" * 5000)]
)
def test_what_no_comparison_can_have_found_is_refused(field: str, value: str) -> None:
    text = record_of(rows_of(same())).to_json().decode()
    forged, count = re.subn(rf'"{field}": [\d.]+', f'"{field}": {value}', text)
    assert count
    with pytest.raises(RecordError, match=r"loadgen\.backends/1"):
        from_json(forged.encode())


@pytest.mark.parametrize("text", [b"", b"{}", b'{"schema": "loadgen.run/2"}', b"\xff"])
def test_what_is_no_record_is_refused(text: bytes) -> None:
    with pytest.raises(RecordError, match=r"loadgen\.backends/1"):
        from_json(text)
