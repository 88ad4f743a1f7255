import json
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import (
    HEALTHY,
    OPEN_LOOP_TIMES,
    TIMES,
    actual,
    closed_loop,
    connection,
    connections_record,
    distribution,
    failure,
    generator,
    healthy,
    open_loop,
    plan,
    requested,
    timestamps,
)

from loadgen.analysis.merge import merge
from loadgen.analysis.verdict import judging
from loadgen.errors import RecordError
from loadgen.net.failure import Cause, Phase
from loadgen.quantities import MOST_CHARACTERS
from loadgen.results.connections import jain_index
from loadgen.results.histogram import HIGHEST_NS
from loadgen.results.instruments import ClockStep
from loadgen.results.interval_packer import packed
from loadgen.results.intervals import IntervalRecord, RunPhase
from loadgen.results.record import (
    ConnectionsRecord,
    RunOutcome,
    RunRecord,
    from_json,
)
from loadgen.results.schema import json_schema
from loadgen.results.verdict import Finding, Health, Verdict

NO_VALUES = distribution()
values_of_one = st.lists(st.integers(0, HIGHEST_NS + 9), max_size=20)


def at(second: float) -> str:
    """That moment of a minute of the wall clock."""
    return f"2026-01-31T12:00:{second:06.3f}+00:00"


def interval(start_s: float, duration_s: float = 1.0, **changes: Any) -> IntervalRecord:
    moved = {"start_s": start_s, "duration_s": duration_s, **changes}
    return msgspec.structs.replace(HEALTHY.intervals[0], **moved)


def found(verdict: Verdict, *codes: str) -> Health:
    findings = [Finding(code=code, evidence=f"{code} was seen", advice="wait") for code in codes]
    return Health(verdict=verdict, findings=findings)


def both(one: RunRecord, other: RunRecord) -> RunRecord:
    return merge({"a": one, "b": other})


class TestOneWorker:
    def test_is_recorded_as_a_run_of_one_worker(self) -> None:
        merged = merge({"alone": HEALTHY})
        (worker,) = merged.workers
        assert (worker.name, worker.host, worker.verdict) == ("alone", "host", "valid")
        assert (worker.connections, worker.messages, worker.messages_per_s) == (2, 4, 2.0)
        assert (worker.waiting_share, worker.findings) == (0.9, [])

    def test_keeps_every_figure_and_numbers_the_connections(self) -> None:
        merged = merge({"alone": HEALTHY})
        assert merged.connections.ledger["index"] == [0, 1]
        only_merged = {"workers": [], "connections": HEALTHY.connections}
        alone = healthy(intervals=packed(HEALTHY.intervals))
        assert msgspec.structs.replace(merged, **only_merged) == alone

    def test_has_its_findings_without_a_name(self) -> None:
        judged = found("busy", "preempted")
        assert merge({"alone": healthy(health=judged)}).health == judged

    def test_is_needed(self) -> None:
        with pytest.raises(ValueError, match="no records"):
            merge({})


class TestRefusing:
    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ({"plan": plan(pipeline=2)}, "plan.pipeline is 1 in one and 2 in the other"),
            ({"plan": plan(target="10.0.0.6:9999")}, "plan.target"),
            ({"plan": plan(payloads=(b"x",))}, "plan.payloads"),
            ({"backend": "poll"}, "backend is 'epoll' in one and 'poll' in the other"),
            ({"engine": "native"}, "engine is 'python' in one and 'native' in the other"),
            (
                {"target": msgspec.structs.replace(HEALTHY.target, address="10.0.0.6:9999")},
                "target.address is '10.0.0.5:9999'",
            ),
        ],
    )
    def test_names_what_differs_and_where(self, changes: dict[str, Any], named: str) -> None:
        with pytest.raises(RecordError) as refusal:
            merge({"a": HEALTHY, "b": HEALTHY, "c": healthy(**changes)})
        assert "workers a and c are not of one run" in str(refusal.value)
        assert named in str(refusal.value)

    @pytest.mark.parametrize("started_at", ["", "yesterday", "2026-01-31T12:00:00.000"])
    def test_names_a_start_that_is_no_moment(self, started_at: str) -> None:
        with pytest.raises(RecordError, match="worker b says that it started at"):
            both(HEALTHY, healthy(started_at=started_at))


class TestPlan:
    def test_has_all_connections_and_the_time_of_the_whole_load(self) -> None:
        merged = both(
            healthy(plan=plan(connections=3)), healthy(started_at=at(1.5), plan=plan(duration_s=9))
        )
        assert (merged.plan.connections, merged.plan.duration_s) == (5, 3.5)
        assert merged.plan.target == HEALTHY.plan.target

    def test_keeps_what_was_asked_for_where_there_was_no_load(self) -> None:
        idle = actual(duration_s=0.0, messages_per_s=0.0)
        merged = both(healthy(actual=idle), healthy(actual=idle, plan=plan(duration_s=7.0)))
        assert (merged.plan.duration_s, merged.actual.duration_s) == (7.0, 0.0)
        assert merged.actual.messages_per_s == 0.0

    def test_has_no_duration_where_none_has(self) -> None:
        by_number = [plan(duration_s=None, messages=number) for number in (5, 7)]
        merged = both(healthy(plan=by_number[0]), healthy(plan=by_number[1]))
        assert (merged.plan.duration_s, merged.plan.messages) == (None, 7)

    def test_has_no_number_of_messages_where_one_has_none(self) -> None:
        merged = both(HEALTHY, healthy(plan=plan(messages=7)))
        assert merged.plan.messages is None


class TestRequested:
    def test_is_added_up(self) -> None:
        one = requested(rate_per_s=1000.0, connect_rate_per_s=50.0)
        other = requested(connections=5, rate_per_s=500.0, connect_rate_per_s=50.0)
        merged = both(healthy(requested=one), healthy(requested=other)).requested
        assert merged == requested(connections=7, rate_per_s=1500.0, connect_rate_per_s=100.0)

    def test_has_no_rate_where_none_has(self) -> None:
        assert both(HEALTHY, HEALTHY).requested.rate_per_s is None


class TestActual:
    def test_adds_up_what_was_counted(self) -> None:
        one = actual(due=10, overdue=None, cpu_user_s=0.25)
        other = actual(messages=6, due=5, overdue=None, cpu_user_s=0.5, opening_s=0.5, drain_s=0.0)
        merged = both(healthy(actual=one), healthy(actual=other)).actual
        assert (merged.connections, merged.messages, merged.bytes_sent) == (4, 10, 512)
        assert (merged.due, merged.overdue, merged.cpu_user_s) == (15, None, 0.75)
        assert (merged.opening_s, merged.drain_s) == (0.5, 0.00025)

    def test_has_rates_over_the_time_from_the_first_begin_to_the_last_end(self) -> None:
        one = healthy(actual=actual(duration_s=10.0, messages_per_s=100.0))
        other = healthy(started_at=at(5), actual=actual(duration_s=15.0, messages_per_s=200.0))
        merged = both(one, other)
        assert (merged.started_at, merged.actual.duration_s) == (HEALTHY.started_at, 20.0)
        assert merged.actual.messages_per_s == (100 * 10 + 200 * 15) / 20

    def test_compares_moments_and_not_their_words(self) -> None:
        east = healthy(started_at="2026-01-31T13:00:01.000+01:00")
        merged = both(east, HEALTHY)
        assert (merged.started_at, merged.actual.duration_s) == (HEALTHY.started_at, 3.0)

    def test_has_in_flight_what_rate_and_mean_service_time_make(self) -> None:
        merged = both(HEALTHY, HEALTHY)
        assert merged.actual.in_flight_at_server == pytest.approx(4.0 * 0.00025)
        silent = healthy(service_time_ns=NO_VALUES)
        assert both(silent, silent).actual.in_flight_at_server is None

    @pytest.mark.parametrize(
        ("outcomes", "worst"),
        [
            (("completed", "completed"), "completed"),
            (("completed", "interrupted"), "interrupted"),
            (("lost", "interrupted"), "lost"),
            (("lost", "unreachable"), "unreachable"),
        ],
    )
    def test_ends_as_the_worst_of_them(
        self, outcomes: tuple[RunOutcome, RunOutcome], worst: RunOutcome
    ) -> None:
        one, other = (healthy(outcome=outcome) for outcome in outcomes)
        assert both(one, other).outcome == both(other, one).outcome == worst


class TestTimes:
    @given(st.lists(values_of_one, min_size=1, max_size=4))
    def test_are_those_of_all_values_together(self, shares: list[list[int]]) -> None:
        records = {
            str(number): healthy(
                service_time_ns=distribution(*values), connect_latency_ns=distribution(*values)
            )
            for number, values in enumerate(shares)
        }
        whole = distribution(*(value for values in shares for value in values))
        merged = merge(records)
        assert merged.service_time_ns == merged.connect_latency_ns == whole

    def test_are_there_where_one_worker_has_them(self) -> None:
        merged = both(healthy(receive_lag_ns=None), HEALTHY)
        assert merged.receive_lag_ns == HEALTHY.receive_lag_ns
        assert merged.response_time_ns is None


def stretch(*starts_s: float, up: int = 2, phase: RunPhase = "loading") -> list[IntervalRecord]:
    return [interval(start_s, connections_up=up, stage=phase) for start_s in starts_s]


class TestIntervals:
    def test_that_begin_in_one_second_are_one(self) -> None:
        one = healthy(intervals=stretch(0.0, 1.0, 2.0))
        other = healthy(started_at=at(1.25), intervals=stretch(0.0, 1.0, up=5))
        merged = both(one, other).intervals
        assert [each.start_s for each in merged] == [0.0, 1.0, 2.0]
        assert [each.duration_s for each in merged] == [1.0, 1.25, 1.25]
        assert [each.messages for each in merged] == [4, 8, 8]
        assert [each.bytes_received for each in merged] == [256, 512, 512]
        assert [each.connections_up for each in merged] == [2, 7, 7]
        assert [each.service_time_ns.count for each in merged] == [4, 8, 8]
        assert merged[1].response_time_ns is None

    def test_count_from_the_earliest_start(self) -> None:
        late = healthy(started_at=at(10), intervals=stretch(-0.5, 0.0))
        merged = both(healthy(intervals=[]), late).intervals
        assert [each.start_s for each in merged] == [9.5, 10.0]

    @given(st.integers(0, 999), st.integers(1, 40))
    def test_that_begin_with_a_second_meet_although_starts_are_cut_to_milliseconds(
        self, cut_us: int, seconds: int
    ) -> None:
        """A worker that began 437 ms and so many µs after a full second."""
        to_next_s = 0.563 - cut_us / 1_000_000
        own = [interval(0.0, to_next_s), *stretch(*(to_next_s + n for n in range(seconds)))]
        even = healthy(intervals=stretch(*(float(n) for n in range(1 + seconds))))
        merged = both(even, healthy(started_at=at(0.437), intervals=own)).intervals
        assert [each.messages for each in merged] == [8] * (1 + seconds)
        assert [round(each.start_s, 2) for each in merged] == [float(n) for n in range(seconds + 1)]

    def test_of_one_worker_in_one_second_leave_the_connections_of_the_last(self) -> None:
        opening = interval(0.1, 0.2, connections_up=1, stage="opening", messages=0)
        merged = both(healthy(intervals=[opening, *stretch(0.3, up=9)]), HEALTHY).intervals
        assert (merged[0].connections_up, merged[0].stage) == (11, "loading")

    @pytest.mark.parametrize(
        ("phases", "named"),
        [
            (("loading", "draining"), "loading"),
            (("opening", "loading"), "loading"),
            (("warming", "draining"), "draining"),
            (("warming", "opening"), "warming"),
        ],
    )
    def test_of_several_phases_are_loading_or_the_most_advanced(
        self, phases: tuple[RunPhase, RunPhase], named: RunPhase
    ) -> None:
        one, other = (healthy(intervals=stretch(0.0, phase=phase)) for phase in phases)
        assert [each.stage for each in both(one, other).intervals] == [named]

    @given(
        st.lists(
            st.tuples(
                st.integers(0, 3_999),
                st.lists(st.floats(-5, 50), max_size=6).map(sorted),
            ),
            min_size=1,
            max_size=4,
        )
    )
    def test_add_up_to_the_whole_in_the_order_of_time(
        self, workers: list[tuple[int, list[float]]]
    ) -> None:
        records = {
            str(number): healthy(started_at=at(milliseconds / 1000), intervals=stretch(*starts_s))
            for number, (milliseconds, starts_s) in enumerate(workers)
        }
        merged = merge(records).intervals
        many = sum(len(starts_s) for _, starts_s in workers)
        assert sum(each.messages for each in merged) == 4 * many
        assert sum(each.service_time_ns.count for each in merged) == 4 * many
        seconds = [int(each.start_s // 1) for each in merged]
        assert seconds == sorted(seconds)
        assert all(each.duration_s >= 1.0 for each in merged)


class TestTimestamps:
    def test_are_the_kernels_only_where_all_are(self) -> None:
        user = timestamps(mode="user", reason="as asked", read_uncertainty_ns=distribution(7))
        merged = both(HEALTHY, healthy(timestamps=user)).timestamps
        assert (merged.mode, merged.reason) == ("user", "worker b: as asked")
        assert (merged.stamped, merged.read_uncertainty_ns) == (8, distribution(7))
        assert both(HEALTHY, HEALTHY).timestamps == timestamps(stamped=8)

    def test_reasons_of_workers_are_together_no_longer_than_a_record_may_have_them(self) -> None:
        every = [
            healthy(timestamps=timestamps(mode="user", reason=letter * MOST_CHARACTERS))
            for letter in "ab"
        ]
        merged = both(*every)
        assert merged.timestamps.reason.startswith("worker ")
        assert from_json(merged.to_json()) == merged

    def test_have_one_reason_where_all_have_the_same(self) -> None:
        user = healthy(timestamps=timestamps(mode="user", reason="as asked"))
        assert both(user, user).timestamps.reason == "as asked"

    def test_tell_every_step_of_a_clock_in_the_time_of_the_run(self) -> None:
        def set_at(at_s: float) -> Any:
            return timestamps(clock_steps=[ClockStep(at_s=at_s, step_ns=5)])

        one = healthy(started_at=at(3), timestamps=set_at(0.2))
        merged = both(one, healthy(timestamps=set_at(1.1)))
        assert [step.at_s for step in merged.timestamps.clock_steps] == [1.1, 3.2]


class TestGenerator:
    def test_waited_for_the_mean_share_of_all_time(self) -> None:
        busy = healthy(generator=generator(waiting_share=0.1), actual=actual(duration_s=6.0))
        assert both(busy, HEALTHY).generator.waiting_share == pytest.approx(0.3)

    def test_did_nothing_where_there_was_no_time(self) -> None:
        idle = healthy(generator=generator(waiting_share=0.0), actual=actual(duration_s=0.0))
        assert both(idle, idle).generator.waiting_share == 0.0

    def test_is_added_up(self) -> None:
        one = generator(gaps=1, gaps_s=0.25, longest_gap_s=0.25, involuntary_switches=None)
        other = generator(gaps=2, gaps_s=0.5, longest_gap_s=0.125, involuntary_switches=3)
        merged = both(healthy(generator=one), healthy(generator=other)).generator
        assert (merged.polls, merged.gaps, merged.gaps_s) == (20, 3, 0.75)
        assert (merged.longest_gap_s, merged.involuntary_switches) == (0.25, 3)

    def test_has_no_switches_where_no_platform_tells_them(self) -> None:
        silent = healthy(generator=generator(involuntary_switches=None))
        assert both(silent, silent).generator.involuntary_switches is None

    def test_spreads_its_sends_as_the_messages_of_each_did(self) -> None:
        even = healthy(generator=generator(send_gap_variation=0.0), actual=actual(submitted=30))
        random = healthy(generator=generator(send_gap_variation=1.0), actual=actual(submitted=10))
        assert both(even, random).generator.send_gap_variation == 0.25
        assert both(random, HEALTHY).generator.send_gap_variation == 1.0
        assert both(HEALTHY, HEALTHY).generator.send_gap_variation is None


class TestFailures:
    def test_of_one_kind_are_one_from_the_first_to_the_last(self) -> None:
        refused = failure(Phase.CONNECT, Cause.REFUSED, count=2, first_s=1.5, last_s=2.0)
        reset = failure(Phase.RECEIVE, Cause.RESET, count=3)
        early = failure(Phase.CONNECT, Cause.REFUSED, count=2, first_s=1.0, last_s=1.75)
        one = healthy(failures=[refused])
        other = healthy(started_at=at(0.25), failures=[reset, early])
        assert both(one, other).failures == [
            failure(Phase.CONNECT, Cause.REFUSED, count=4, first_s=1.25, last_s=2.0),
            failure(Phase.RECEIVE, Cause.RESET, count=3, first_s=1.25, last_s=1.25),
        ]


def without_ledger(count: int, starved: int = 0) -> ConnectionsRecord:
    return ConnectionsRecord(count=count, fairness=None, starved=starved, worst=[], ledger={})


class TestConnections:
    def test_are_numbered_anew_in_the_order_of_the_workers(self) -> None:
        own = connections_record(connection(0, 3), connection(1, 0), fairness=0.5)
        merged = both(HEALTHY, healthy(connections=own)).connections
        assert (merged.count, merged.ledger["index"]) == (4, [0, 1, 2, 3])
        assert merged.ledger["answered"] == [2, 2, 3, 0]
        assert merged.ledger.keys() == HEALTHY.connections.ledger.keys()

    def test_are_weighed_all_together(self) -> None:
        slow = connection(0, 3, (1, 900_000, 1, 1, 1))
        starved = msgspec.structs.replace(connection(1, 0), submitted=1)
        own = connections_record(slow, starved, fairness=0.5, starved=1)
        merged = both(HEALTHY, healthy(connections=own)).connections
        assert merged.fairness == jain_index([2, 2, 3, 0])
        assert merged.starved == 1
        assert [worst.index for worst in merged.worst] == [3, 2, 0, 1]
        assert merged.worst[1].service_time_mean_ns == 900_000

    def test_without_a_ledger_still_count(self) -> None:
        lost = healthy(connections=without_ledger(5, starved=2))
        merged = both(lost, HEALTHY).connections
        assert (merged.count, merged.starved, merged.fairness) == (7, 2, 1.0)
        assert (merged.ledger["index"], merged.ledger["answered"]) == ([0, 1], [2, 2])

    def test_of_no_ledger_at_all_are_a_number(self) -> None:
        lost = healthy(connections=without_ledger(5))
        merged = both(lost, lost).connections
        assert (merged.count, merged.fairness, merged.worst) == (10, None, [])


class TestTarget:
    def test_has_the_counts_of_the_embedded_server_where_a_record_has_them(self) -> None:
        counted = msgspec.structs.replace(HEALTHY.target, embedded=True, server={"accepted": 4})
        assert both(HEALTHY, healthy(target=counted)).target == counted
        assert both(HEALTHY, HEALTHY).target == HEALTHY.target


class TestHealth:
    def test_is_the_most_severe_with_the_name_of_each_worker(self) -> None:
        one = healthy(health=found("busy", "preempted", "bursty"))
        other = healthy(health=found("generator-bound", "rate-missed"))
        merged = both(one, other).health
        assert merged is not None
        assert merged.verdict == "generator-bound"
        assert [(each.code, each.evidence) for each in merged.findings] == [
            ("rate-missed", "worker b: rate-missed was seen"),
            ("preempted", "worker a: preempted was seen"),
            ("bursty", "worker a: bursty was seen"),
        ]

    def test_of_a_record_without_a_verdict_is_judged(self) -> None:
        saturated = closed_loop(generator=generator(polls=10_000, waiting_share=0.01))
        assert saturated.health is None
        merged = both(closed_loop(), saturated)
        judged = judging.judge(saturated)
        assert [worker.verdict for worker in merged.workers] == ["valid", "generator-bound"]
        assert merged.workers[1].findings == judged.findings
        assert merged.health is not None
        assert merged.health.verdict == "generator-bound"

    def test_is_not_computed_from_sums(self) -> None:
        saturated = closed_loop(generator=generator(polls=10_000, waiting_share=0.01))
        merged = both(closed_loop(), saturated)
        assert judging.judge(merged).verdict == "valid"
        assert merged.health is not None
        assert merged.health.verdict == "generator-bound"


DIFFERENT = {
    "b": healthy(
        started_at=at(0.7),
        intervals=[interval(0.0, **OPEN_LOOP_TIMES), interval(1.0)],
        failures=[failure(Phase.CONNECT, Cause.REFUSED)],
        health=found("busy", "preempted"),
    ),
    "a": open_loop(plan=plan(connections=7), environment=HEALTHY.environment),
    "c": healthy(
        started_at=at(3),
        failures=[failure(Phase.RECEIVE, Cause.RESET)],
        timestamps=timestamps(mode="user", reason="as asked"),
        connections=without_ledger(3),
    ),
}


class TestOrder:
    @pytest.mark.parametrize("order", list(permutations(DIFFERENT)))
    def test_in_which_records_come_makes_no_difference(self, order: Sequence[str]) -> None:
        assert merge({name: DIFFERENT[name] for name in order}) == merge(DIFFERENT)

    def test_in_which_records_are_merged_leaves_the_sums_as_they_are(self) -> None:
        some = merge({name: DIFFERENT[name] for name in "ab"})
        in_steps, at_once = merge({"ab": some, "c": DIFFERENT["c"]}), merge(DIFFERENT)
        assert in_steps.actual.messages == at_once.actual.messages
        assert in_steps.actual.duration_s == at_once.actual.duration_s
        assert in_steps.actual.messages_per_s == pytest.approx(at_once.actual.messages_per_s)
        assert in_steps.failures == at_once.failures
        assert in_steps.intervals == at_once.intervals
        assert in_steps.connections == at_once.connections
        assert all(getattr(in_steps, name) == getattr(at_once, name) for name in TIMES)


class TestJson:
    def test_is_read_as_it_was_written_and_as_its_schema_says(self) -> None:
        merged = merge(DIFFERENT)
        assert from_json(merged.to_json()) == merged
        jsonschema.Draft202012Validator(json_schema()).validate(json.loads(merged.to_json()))

    def test_of_a_record_without_workers_has_none(self) -> None:
        content = json.loads(HEALTHY.to_json())
        del content["workers"]
        assert from_json(json.dumps(content).encode()).workers == []
