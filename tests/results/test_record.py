import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import (
    HEALTHY,
    OPEN_LOOP_TIMES,
    connection,
    connections_record,
    distribution,
    failure,
    healthy,
    plan,
)
from stepped_engine import new_connections

from loadgen.engine.availability import ConnectionTime
from loadgen.engine.choice import Choice
from loadgen.engine.connection import Connection
from loadgen.engine.conversation import Conversation
from loadgen.engine.loop_stats import LoopStats
from loadgen.engine.pool import NONE
from loadgen.engine.recorder import Recorder
from loadgen.errors import RecordError
from loadgen.net.clock import ManualClock, WallClock
from loadgen.net.failure import Cause, Failure, Phase
from loadgen.net.protocols import Echo
from loadgen.net.timestamps import NOT_ASKED
from loadgen.plan import Plan
from loadgen.plan.payloads import (
    FilePayload,
    LinesPayload,
    PayloadQueue,
    SizePayload,
)
from loadgen.results import record
from loadgen.results.connections import jain_index
from loadgen.results.distribution import Distribution
from loadgen.results.histogram import HIGHEST_NS, Histogram
from loadgen.results.instruments import ClockStep
from loadgen.results.interval_packer import packed
from loadgen.results.record import RunRecord, from_json
from loadgen.results.schema import json_schema
from loadgen.runner.build_record import Border, RunSetup, RunSnapshot, build_record
from loadgen.runner.cpu_time import ProcessorUse

SCHEMA_FILE = Path(record.__file__).with_name("record.schema.json")
TARGET = HEALTHY.target
SECOND = 1_000_000_000
WALL_NS = 1_900_000_000 * SECOND


def _numbers_without_range(schema: Any, path: str = "") -> Iterator[str]:
    match schema:
        case dict():
            is_number = schema.get("type") in ("integer", "number")
            if is_number and not {"minimum", "maximum"} <= schema.keys():
                yield path
            for key, each in schema.items():
                yield from _numbers_without_range(each, f"{path}/{key}")
        case list():
            for each in schema:
                yield from _numbers_without_range(each, path)


def recorded_run() -> RunRecord:
    """What `build_record` makes of a run of two connections, the second of which never came up."""
    recorder = Recorder(2)
    conversation = Conversation(PayloadQueue((b"x",)), Echo())
    connections = new_connections(2, conversation, ManualClock())
    connections[0].connects = 1
    recorder.record_connect(70_000)
    recorder.record((0, 1, 0, 0, NOT_ASKED, 250_000))
    recorder.record_failure(Failure(Phase.CONNECT, Cause.REFUSED), 5)
    recorder.record_rejected(Failure(Phase.REPLY, Cause.REJECTED), 3, 7)
    recorder.record_rejected(Failure(Phase.REPLY, Cause.REJECTED), 2, 9)
    recorder.end_interval(0, 10)
    return build_record(snapshot(recorder, *connections, why_user_space="as asked"))


def recorded_open_loop() -> RunRecord:
    """What it makes of an open loop with timestamps, in which the wall clock was set."""
    wall = ManualClock(WALL_NS)
    clock = ManualClock()
    recorder = Recorder(1, WallClock(clock, wall))
    recorder.record_send((50_000, 60_000, 90_000))
    recorder.record((0, 2, 50_000, 90_000, WALL_NS + 190_000, 200_000))
    recorder.flush()
    clock.advance(SECOND)
    wall.advance(3 * SECOND)
    recorder.record((0, 4, SECOND // 2, SECOND // 2, wall.now_ns, SECOND))
    recorder.end_interval(0, SECOND)
    return build_record(snapshot(recorder, rate="1k"))


def snapshot(
    recorder: Recorder, *connections: Connection, rate: str | None = None, why_user_space: str = ""
) -> RunSnapshot:
    plan = Plan(connections=2, duration_s=1.0, rate=rate)
    setup = RunSetup(plan, TARGET, Choice("epoll", "python"), why_user_space, 1.0, plan.profile())
    border = Border(0, NONE, ProcessorUse(), ConnectionTime(), LoopStats())
    return RunSnapshot(
        setup=setup,
        started_at="2026-01-31T12:00:00.000+00:00",
        recorder=recorder,
        connections=connections,
        opened=0,
        opened_in_time=0,
        closed=0,
        renewed=0,
        resent=0,
        cut_off=0,
        offered=setup.offered,
        overdue=0,
        opening_s=0.0,
        warmup_s=0.0,
        load_s=0.0,
        drain_s=0.0,
        load_begin=border,
        load_end=border,
        totals=NONE,
        intervals=packed([]),
        is_over=True,
    )


EVERY_PAYLOAD = (b"\x00\xff", FilePayload("f"), LinesPayload("l", raw=True), SizePayload(9))

RECORDS = {
    "healthy": HEALTHY,
    "of a run": recorded_run(),
    "of a run in an open loop": recorded_open_loop(),
    "without replies": healthy(
        service_time_ns=distribution(),
        receive_lag_ns=distribution(),
        user_space_latency_ns=distribution(),
    ),
    "of an open loop": healthy(**OPEN_LOOP_TIMES),
    "with failures": healthy(failures=[failure(Phase.CONNECT, Cause.REFUSED, count=3)]),
    "with every kind of payload": healthy(plan=plan(payloads=EVERY_PAYLOAD)),
    "of the embedded server": healthy(
        target=msgspec.structs.replace(HEALTHY.target, embedded=True, server={"accepted": 2})
    ),
    "with nothing to be fair about": healthy(
        connections=connections_record(connection(0, 0), fairness=None, starved=1)
    ),
}

every_record = pytest.mark.parametrize("known", RECORDS.values(), ids=RECORDS)


class TestJson:
    @every_record
    def test_is_read_as_it_was_written(self, known: RunRecord) -> None:
        assert from_json(known.to_json()) == known

    @every_record
    def test_is_as_its_schema_says(self, known: RunRecord) -> None:
        schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.Draft202012Validator(schema).validate(json.loads(known.to_json()))

    def test_is_text_of_many_lines_that_begins_with_its_schema(self) -> None:
        lines = HEALTHY.to_json().decode().splitlines(keepends=True)
        assert lines[1].strip() == f'"schema": "{record.SCHEMA}",'
        assert lines[-1] == "}\n"

    def test_may_hold_fields_of_a_later_version(self) -> None:
        content = json.loads(HEALTHY.to_json())
        content["verdict"] = "fine"
        assert from_json(json.dumps(content).encode()) == HEALTHY


def refusal_of(text: bytes) -> str:
    with pytest.raises(RecordError) as refusal:
        from_json(text)
    return str(refusal.value)


def changed(**fields: Any) -> bytes:
    return json.dumps({**json.loads(HEALTHY.to_json()), **fields}).encode()


class TestInvalidRecord:
    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"loadgen",
            b"[]",
            b"{}",
            b"null",
            b"\xff\xfe\x00",
            HEALTHY.to_json()[:-100],
            HEALTHY.to_json()[:100],
            changed(schema="loadgen.run/1"),
            changed(schema="wrk/1"),
            changed(outcome="fine"),
            changed(actual=None),
            changed(started_at=5),
            changed(started_at=""),
            changed(started_at="yesterday"),
            changed(started_at="2026-01-31T12:00:00.000"),
            changed(started_at="0001-01-01T00:00:00+14:00"),
        ],
    )
    def test_is_refused_in_one_line_that_names_the_form(self, text: bytes) -> None:
        refusal = refusal_of(text)
        assert refusal.startswith(f"this is no record of the form {record.SCHEMA}: ")
        assert "\n" not in refusal

    def test_that_began_at_no_moment_is_refused_with_what_stands_there(self) -> None:
        refusal = refusal_of(changed(started_at="yesterday"))
        assert "'yesterday'" in refusal
        assert "2026-01-31T12:00:00.000+00:00" in refusal

    def test_of_another_schema_is_refused_with_its_name(self) -> None:
        assert "loadgen.run/1" in refusal_of(changed(schema="loadgen.run/1"))

    def test_that_is_wrong_somewhere_is_refused_with_the_place(self) -> None:
        assert "$.target.embedded" in refusal_of(
            changed(target={"address": "", "resolved": "", "embedded": 5, "server": None})
        )

    def test_with_a_plan_that_cannot_be_is_refused(self) -> None:
        impossible = {**json.loads(msgspec.json.encode(HEALTHY.plan)), "connections": 0}
        assert "--connections: 0" in refusal_of(changed(plan=impossible))

    def test_with_text_that_is_not_utf_8_is_refused(self) -> None:
        assert "\n" not in refusal_of(HEALTHY.to_json().replace(b"10.0.0.5", b"\xff\xfe.0.5"))

    def test_with_an_unknown_cause_is_refused(self) -> None:
        known = msgspec.to_builtins(failure(Phase.CONNECT, Cause.REFUSED))
        unknown = {**known, "cause": "moon phase"}
        assert "moon phase" in refusal_of(changed(failures=[unknown]))

    def test_with_a_histogram_that_cannot_be_is_refused(self) -> None:
        impossible = {**msgspec.to_builtins(distribution(5)), "buckets": [-1]}
        assert "bucket" in refusal_of(changed(service_time_ns=impossible))


class TestDistribution:
    @given(st.lists(st.integers(0, HIGHEST_NS + 9), min_size=1, max_size=30))
    def test_gives_back_the_histogram_that_it_was_made_of(self, values: list[int]) -> None:
        found = distribution(*values)
        assert Distribution.of(found.histogram()) == found

    def test_holds_the_figures_of_the_histogram(self) -> None:
        found = distribution(*range(100))
        assert (found.count, found.sum, found.mean) == (100, 4950, 49.5)
        assert (found.min, found.p50, found.p90, found.p99) == (0, 49, 89, 98)
        assert (found.p999, found.max, found.overflow) == (99, 99, 0)

    def test_of_nothing_has_no_figures(self) -> None:
        found = Distribution.of(Histogram())
        figures = (found.min, found.mean, found.p50, found.p90, found.p99, found.p999)
        assert set(figures) == {None}
        assert (found.count, found.max, found.buckets) == (0, None, [])

    def test_is_what_the_record_answers_with(self) -> None:
        assert HEALTHY.latency.percentile(100) == 400_000
        assert HEALTHY.connect_latency.count == 2

    def test_of_response_times_is_the_latency_of_an_open_loop(self) -> None:
        assert healthy(**OPEN_LOOP_TIMES).latency.percentile(100) == 420_000


class TestBuildRecord:
    def test_takes_the_time_of_reading_where_the_kernel_gives_none(self) -> None:
        found = recorded_run()
        assert (found.timestamps.mode, found.timestamps.reason) == ("user", "as asked")
        assert found.service_time_ns == found.user_space_latency_ns == distribution(250_000)
        assert found.timestamps.read_uncertainty_ns == distribution()
        assert found.receive_lag_ns is None
        assert found.response_time_ns is None

    def test_counts_rejected_replies_beside_the_failures_of_connections(self) -> None:
        found = recorded_run()
        assert found.actual.rejected == 5
        rejected = failure(Phase.REPLY, Cause.REJECTED, count=5, first_s=7e-9, last_s=9e-9)
        refused = failure(Phase.CONNECT, Cause.REFUSED, count=1, first_s=5e-9, last_s=5e-9)
        assert found.failures == [rejected, refused]
        assert [each.is_rejection for each in found.failures] == [True, False]

    def test_leaves_out_what_was_rejected_in_the_warm_up(self) -> None:
        recorder = Recorder(1)
        rejected = Failure(Phase.REPLY, Cause.REJECTED)
        recorder.record_rejected(rejected, 100, 1)
        warming = recorder.end_interval(0, 2)
        recorder.begin_measuring(2)
        recorder.record_rejected(rejected, 1, 3)
        loading = recorder.end_interval(2, 4)
        found = build_record(snapshot(recorder, why_user_space="as asked"))
        assert (found.actual.rejected, [each.count for each in found.failures]) == (1, [1])
        intervals = warming, loading
        assert [(each.rejected, each.failures) for each in intervals] == [(100, 0), (1, 0)]

    def test_keeps_the_four_times_of_an_open_loop(self) -> None:
        found = recorded_open_loop()
        assert found.service_time_ns == distribution(100_000)
        assert found.response_time_ns == distribution(140_000)
        assert found.receive_lag_ns == distribution(10_000)
        assert found.schedule_lag_ns == distribution(40_000)
        assert found.blocked_ns == distribution(10_000)
        assert found.generator_lag_ns == distribution(30_000)

    def test_counts_every_kind_of_timestamp_and_the_clock_steps(self) -> None:
        evidence = recorded_open_loop().timestamps
        assert (evidence.mode, evidence.reason, evidence.read_uncertainty_ns) == (
            "kernel",
            "",
            None,
        )
        assert (evidence.stamped, evidence.upper_bounds, evidence.left_out) == (1, 1, 4)
        assert evidence.clock_steps == [ClockStep(at_s=1.0, step_ns=2 * SECOND)]


class TestSchemaFile:
    def test_is_up_to_date(self) -> None:
        fresh = json.dumps(json_schema(), indent=1) + "\n"
        assert SCHEMA_FILE.read_text(encoding="utf-8") == fresh, (
            "renew it: python -m loadgen.results.schema > loadgen/results/record.schema.json"
        )

    def test_every_number_has_a_range(self) -> None:
        kinds = json_schema()["$defs"]
        del kinds["Plan"]  # checks its values itself
        del kinds["Distribution"]["properties"]["sum"]  # bounded by count and maximum
        assert list(_numbers_without_range(kinds)) == []

    def test_refuses_what_is_no_record(self) -> None:
        schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(schema).validate(json.loads(changed(actual=None)))


class TestJainIndex:
    @pytest.mark.parametrize("count", [1, 2, 100])
    def test_is_one_where_all_got_the_same(self, count: int) -> None:
        assert jain_index([7] * count) == 1.0

    @pytest.mark.parametrize("count", [1, 2, 100])
    def test_is_one_nth_where_one_got_everything(self, count: int) -> None:
        assert jain_index([5] + [0] * (count - 1)) == pytest.approx(1 / count)

    def test_of_a_known_example(self) -> None:
        assert jain_index([1, 2, 3]) == pytest.approx(36 / 42)

    @given(st.lists(st.integers(0, 10**9), min_size=1), st.integers(1, 1000))
    def test_does_not_depend_on_the_scale(self, amounts: list[int], factor: int) -> None:
        scaled = jain_index([factor * amount for amount in amounts])
        assert scaled == pytest.approx(jain_index(amounts))

    @pytest.mark.parametrize("amounts", [[], [0], [0, 0]])
    def test_of_nothing_is_none(self, amounts: list[int]) -> None:
        assert jain_index(amounts) is None
