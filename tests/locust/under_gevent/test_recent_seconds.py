"""The latest seconds of a run, as the page shows them, compared with its intervals."""

from typing import Any

import msgspec
import pytest
from drawn_figures import interval
from records import HEALTHY, OPEN_LOOP_TIMES, distribution, healthy

from loadgen.locust.collector import RECENT, Collector
from loadgen.locust.messages import ClassReport
from loadgen.locust.recent_seconds import Second, seconds
from loadgen.results.aligned_records import AlignedRecord, align, intervals
from loadgen.results.interval_packer import packed
from loadgen.results.record import RunRecord


def of_a_worker(count: int, began: str, step_s: float, **times: Any) -> RunRecord:
    """A worker's record that began at that second, with ``count`` intervals, packed by threes."""
    rows = [
        interval(
            step_s * number,
            duration_s=step_s,
            messages=100 + number,
            service_time_ns=distribution(*range(1000 + number, 90_000, 700)),
            **times,
        )
        for number in range(count)
    ]
    kept = packed(rows[:1])
    for start in range(1, count, 3):
        kept.blocks.extend(packed(rows[start : start + 3]).blocks)
    return healthy(started_at=f"2026-01-31T12:00:{began}+00:00", intervals=kept, **times)


def one_by_one(workers: list[AlignedRecord]) -> list[Second]:
    return [
        Second(
            each.start_s,
            each.messages / each.duration_s,
            each.response_time_ns or each.service_time_ns,
        )
        for each in intervals(workers)
    ]


OPEN_LOOP = {name: OPEN_LOOP_TIMES[name] for name in ("response_time_ns", "schedule_lag_ns")}


@pytest.mark.parametrize("times", [{}, OPEN_LOOP])
def test_are_the_sums_of_intervals_that_begin_in_one_second(times: dict[str, Any]) -> None:
    workers = align(
        {
            "a": of_a_worker(10, "00.250", 1.0, **times),
            "b": of_a_worker(8, "03.600", 0.5, **times),
            "c": of_a_worker(1, "30.000", 1.0, **times),
        }
    )
    found, expected = seconds(workers), one_by_one(workers)
    assert [each.at_s for each in found] == [each.at_s for each in expected]
    assert [each.latency for each in found] == [each.latency for each in expected]
    rates_per_s = [each.messages_per_s for each in expected]
    assert [each.messages_per_s for each in found] == pytest.approx(rates_per_s)


def test_leave_out_the_current_interval() -> None:
    worker = of_a_worker(10, "00.000", 1.0)
    workers = align({"a": worker, "b": of_a_worker(9, "00.000", 1.0)})
    [*others, last] = seconds(workers, ["a"])
    assert len(others) == 8
    assert last.at_s == 8.0
    assert last.messages_per_s == 216
    assert seconds(workers, ["a", "b"])[-1].messages_per_s == 108


def test_of_nothing_are_none() -> None:
    assert seconds(align({"a": healthy(intervals=packed([]))})) == []
    assert seconds(align({"a": of_a_worker(1, "00.000", 1.0)}), ["a"]) == []


def test_of_a_collector_are_the_latest_and_the_whole_run_stays_packed() -> None:
    collector = Collector()
    rows = [interval(float(number), messages=number) for number in range(RECENT + 30)]
    for start in range(0, len(rows), 3):
        record = msgspec.structs.replace(HEALTHY, intervals=packed(rows[start : start + 3]))
        report = ClassReport(
            user_class="Ping", users=1, connections_up=1, record=record, names={}, is_last=False
        )
        collector.receive("local", [report])
    latest = collector.recent("Ping")
    assert [each.at_s for each in latest] == [float(at_s) for at_s in range(29, RECENT + 29)]
    merged = collector.records()["Ping"]
    assert list(merged.intervals) == rows
