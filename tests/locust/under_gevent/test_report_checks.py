"""Which of a worker's reports the master accepts: bytes of every kind."""

import math
import random
import sys
import zlib
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import HEALTHY, actual, closed_loop, distribution, open_loop
from records import plan as changed_plan

from loadgen.analysis.merge import merge
from loadgen.analysis.verdict import judging
from loadgen.locust import report_checks
from loadgen.locust.collector import Collector
from loadgen.locust.messages import ClassReport, encode
from loadgen.locust.report_checks import ReportChecker
from loadgen.locust.worker_tracker import WorkerTracker
from loadgen.quantities import MOST_IN_HISTOGRAM
from loadgen.results.aligned_records import began_ns
from loadgen.results.distribution import Distribution
from loadgen.results.histogram import BUCKETS, Histogram
from loadgen.results.interval_packer import packed
from loadgen.results.intervals import PackedIntervals
from loadgen.results.packed_times import MOST_ROW_BYTES, TimesColumn
from loadgen.results.record import RunRecord, from_json
from loadgen.units import NS_PER_S

BEGAN_NS: Final = began_ns("a", HEALTHY)
RUN: Final = 3


class Time:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def checker(time: Time) -> ReportChecker:
    found = ReportChecker(lambda: {"Ping", "Pong"}, time, lambda: BEGAN_NS + time.now_ns)
    found.begin(RUN)
    time.now_ns = 10 * NS_PER_S
    return found


def report(record: RunRecord | None = None, **changes: Any) -> ClassReport:
    fields: dict[str, Any] = {
        "user_class": "Ping",
        "users": 1,
        "connections_up": 1,
        "record": record or closed_loop(),
        "names": {"Ping": distribution(1_000)},
        "is_last": False,
        "run": RUN,
    }
    return ClassReport(**{**fields, **changes})


def record(**changes: Any) -> RunRecord:
    return msgspec.structs.replace(closed_loop(), **changes)


def reworked(change: Callable[[Any], Any]) -> bytes:
    """An encoded report, changed as plain values, as no correct worker would send it."""
    plain = msgspec.to_builtins([report()], builtin_types=(bytes,))
    return msgspec.msgpack.encode(change(plain) or plain)


def with_field(value: object, *path: str | int) -> bytes:
    def change(plain: Any) -> None:
        for step in path[:-1]:
            plain = plain[step]
        plain[path[-1]] = value

    return reworked(lambda plain: change(plain[0]))


def intervals(count: int, **changes: Any) -> PackedIntervals:
    one = msgspec.structs.replace(HEALTHY.intervals[0], **changes)
    return packed([msgspec.structs.replace(one, start_s=0.001 * place) for place in range(count)])


def bomb() -> PackedIntervals:
    """Two intervals, of which a time unpacks to 64 MiB."""
    stream = zlib.compressobj(9)
    chunks = [stream.compress(bytes(2**20)) for _ in range(64)]
    content = b"".join([*chunks, stream.flush()])
    block = packed(HEALTHY.intervals).blocks[0]
    times = {**block.times, "service_time_ns": content}
    return PackedIntervals([msgspec.structs.replace(block, times=times)])


def with_ledger(**columns: list[Any]) -> bytes:
    known = HEALTHY.connections.ledger
    return with_field({**known, **columns}, "record", "connections", "ledger")


def counted_often(times: int) -> Distribution:
    """The distribution of ``times`` replies of duration 0."""
    return Distribution.of(Histogram.from_buckets([0], [times], (0, 0), 0))


INVALID: Final[dict[str, tuple[Any, str]]] = {
    "no-bytes": ([1, 2], "list, not bytes"),
    "nothing": (b"", "no report of this version"),
    "noise": (random.Random(1).randbytes(4096), "no report of this version"),
    "deep": (b"\x91" * 500_000, "no report of this version"),
    "large": (bytes(report_checks.MOST_REPORT_BYTES + 1), "bytes long"),
    "no-list": (msgspec.msgpack.encode({"a": 1}), "no report of this version"),
    "another-version": (
        reworked(lambda plain: [{**plain[0], "record": {}}]),
        "no report of this version",
    ),
    "wrong-type": (with_field("many", "users"), "no report of this version"),
    "wrong-deep-type": (
        with_field([1], "record", "actual", "messages"),
        "no report of this version",
    ),
    "no-number": (with_field(math.nan, "record", "generator", "waiting_share"), ""),
    "endless-number": (with_field(math.inf, "record", "actual", "messages_per_s"), ""),
    "unknown-class": (encode([report(user_class="../../../etc/cron.d/x")]), "no user class"),
    "thousands": (encode([report()] * 3000), "3000 records"),
    "twice": (encode([report(), report()]), "two records for Ping"),
    "many-names": (
        encode([report(names={str(n): distribution() for n in range(2001)})]),
        "2001 names",
    ),
    "no-moment": (encode([report(record(started_at="\x1b[2Jnever"))]), "started at"),
    "wrong-clock": (encode([report(record(started_at="1970-01-01T00:00:00+00:00"))]), "clock"),
    "ahead": (encode([report(record(started_at="2026-01-31T12:02:00.000+00:00"))]), "clock"),
    "endless-load": (encode([report(record(actual=actual(duration_s=1e9)))]), "duration_s"),
    "late-interval": (
        encode([report(record(intervals=intervals(1, duration_s=1e12)))]),
        "interval",
    ),
    "many-intervals": (encode([report(record(intervals=intervals(3501)))]), "3501 intervals"),
    "bomb": (encode([report(record(intervals=bomb()))]), f"more than {MOST_ROW_BYTES} bytes"),
    "out-of-order": (
        encode([report(record(intervals=intervals(99)[::-50]))]),
        "order of time",
    ),
    "huge-count": (with_field(2**63, "record", "actual", "messages"), ""),
    "ledger-of-text": (with_ledger(answered=["x", "y"]), "Expected `int`"),
    "short-ledger": (with_ledger(state=["closed"]), "not of one length"),
    "another-ledger": (with_field(7, "record", "connections", "count"), "2 of 7 connections"),
    "many-replies": (
        encode([report(record(service_time_ns=counted_often(MOST_IN_HISTOGRAM)))]),
        "above",
    ),
    "many-bytes": (encode([report(record(actual=actual(bytes_sent=2**62)))]), "above"),
}


@pytest.mark.parametrize("kind", INVALID)
def test_what_cannot_be_merged_is_dropped(kind: str, checker: ReportChecker) -> None:
    content, why = INVALID[kind]
    good, bad = checker.check(content)
    assert len(good) == (kind == "twice")
    assert len(bad) == 1
    assert why in bad[0]


def test_valid_reports_are_accepted(checker: ReportChecker) -> None:
    reports = [
        report(is_last=True),
        report(open_loop(), user_class="Pong", names={}),
    ]
    assert checker.check(encode(reports)) == (reports, [])
    full = report(record(intervals=intervals(60)))
    assert checker.check(encode([full]))[1] == []


def test_large_valid_reports_are_accepted(checker: ReportChecker) -> None:
    without_limit = changed_plan(max_reply_bytes=sys.maxsize)
    week = Distribution.of(Histogram.from_buckets([BUCKETS], [2**20], (2**42, 2**43), 2**62 + 1))
    long = report(record(plan=without_limit, service_time_ns=week), is_last=True)
    assert checker.check(encode([long])) == ([long], [])


def test_many_workers_at_the_bounds_can_be_merged() -> None:
    most = counted_often(report_checks.MOST_BELIEVED)
    at_bounds = record(service_time_ns=most, actual=actual(bytes_sent=report_checks.MOST_BELIEVED))
    records = {"good": closed_loop(), **{str(number): at_bounds for number in range(7)}}
    from_json(merge(records).to_json())


def test_an_invalid_report_does_not_affect_a_valid_one(checker: ReportChecker) -> None:
    good = report(user_class="Pong")
    found, bad = checker.check(encode([report(record(started_at="never")), good]))
    assert found == [good]
    assert len(bad) == 1


def test_a_report_of_an_earlier_run_is_not_dropped(checker: ReportChecker) -> None:
    late = report(record(started_at="2020-01-01T00:00:00.000+00:00"), run=RUN - 1)
    assert checker.check(encode([late])) == ([late], [])


def test_a_longer_run_may_have_more_intervals(checker: ReportChecker, time: Time) -> None:
    content = encode([report(record(intervals=intervals(5000)))])
    assert checker.check(content)[0] == []
    time.now_ns += 60 * NS_PER_S
    assert checker.check(content)[1] == []


@settings(deadline=None)
@given(st.data())
def test_one_flipped_byte_is_dropped_or_does_no_harm(data: st.DataObject) -> None:
    checker = ReportChecker(lambda: {"Ping"}, lambda: 0, lambda: BEGAN_NS)
    checker.begin(RUN)
    content = bytearray(encode([report()]))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))
    good, _ = checker.check(bytes(content))
    for each in good:
        if each.run == RUN:
            from_json(merge({"it": each.record}).to_json())


# ---- the record ---------------------------------------------------------------------------


@pytest.fixture
def collector(time: Time) -> Collector:
    found = Collector(lambda _, each_record: each_record.plan == closed_loop().plan)
    found.tracker = WorkerTracker(0, time)
    found.tracker.begin()
    found.begin(RUN)
    return found


def receive(collector: Collector, worker: str, *reports: ClassReport) -> None:
    collector.receive(worker, list(reports))
    assert collector.tracker is not None
    collector.tracker.report(worker, [each.user_class for each in reports])


def test_the_record_names_whose_reports_were_dropped_and_why(collector: Collector) -> None:
    receive(collector, "good", report())
    for reason in ("first reason", "second", "third"):
        collector.drop("bad", reason)
    found = collector.records()["Ping"]
    assert found.team is not None
    [dropped] = found.team.dropped
    assert (dropped.name, dropped.reports, dropped.reason) == ("bad", 3, "first reason")
    for verdict in (found.health, judging.judge(from_json(found.to_json()))):
        assert verdict is not None
        assert verdict.verdict == "inconclusive"
        [finding] = [each for each in verdict.findings if each.code == "worker-reports-dropped"]
        assert finding.evidence.startswith("worker bad: 3 reports dropped")
        assert "first reason" in finding.evidence
    collector.begin(RUN + 1)
    receive(collector, "good", report(run=RUN + 1))
    again = collector.records()["Ping"].team
    assert again is not None
    assert again.dropped == []


@pytest.mark.parametrize(
    ("changes", "is_engine"),
    [
        ({"engine": "native"}, True),
        ({"plan": changed_plan(engine="native")}, False),
        ({"backend": "poll"}, False),
    ],
    ids=["engine", "engine-asked-for", "backend"],
)
def test_what_to_do_about_a_worker_with_another_engine(
    changes: dict[str, Any], is_engine: bool, collector: Collector
) -> None:
    unlike = closed_loop(**changes)
    for worker, each_record in {"a": closed_loop(), "b": closed_loop(), "c": unlike}.items():
        receive(collector, worker, report(each_record, is_last=True))
    health = collector.records()["Ping"].health
    assert health is not None
    [finding] = [each for each in health.findings if each.code == "worker-reports-dropped"]
    assert ("--engine python" in finding.advice) is is_engine
    assert ("C compiler" in finding.advice) is is_engine
    assert ("the same Locust file" in finding.advice) is not is_engine


UNLIKE: Final = msgspec.structs.replace(closed_loop(), plan=changed_plan(pipeline=7))


@pytest.mark.parametrize(
    ("records", "dropped"),
    [
        ({"a": UNLIKE, "b": closed_loop()}, ["a"]),
        ({"a": closed_loop(), "b": UNLIKE}, ["b"]),
        ({"a": UNLIKE, "b": closed_loop(), "c": closed_loop()}, ["a"]),
        ({"a": UNLIKE, "b": UNLIKE, "c": closed_loop()}, ["c"]),
        ({"a": UNLIKE, "b": UNLIKE}, []),
    ],
)
def test_a_worker_with_another_plan_does_not_affect_the_record(
    records: dict[str, RunRecord], dropped: list[str], collector: Collector
) -> None:
    for worker, each_record in records.items():
        receive(collector, worker, report(each_record, is_last=True))
    for found in (collector.records()["Ping"], collector.record_so_far("Ping")):
        assert found is not None
        assert found.team is not None
        assert [each.name for each in found.team.dropped] == dropped
        assert all("plan.pipeline is " in each.reason for each in found.team.dropped)
        assert {each.name for each in found.workers} == records.keys() - set(dropped)
    assert collector.recent("Ping")
    assert collector.names("Ping")["Ping"].count == len(records) - len(dropped)


def test_a_time_that_unpacks_to_too_much_is_damaged() -> None:
    stream = zlib.compress(bytes(2 * MOST_ROW_BYTES + 1))
    with pytest.raises(ValueError, match=f"more than {2 * MOST_ROW_BYTES} bytes"):
        TimesColumn.unpacked([stream], [2])
    with pytest.raises(ValueError, match="truncated"):
        TimesColumn.unpacked([stream[:-5]], [3])
