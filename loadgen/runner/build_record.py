"""Builds the record of a run, or of an interval, from the state of the run."""

from collections.abc import Sequence
from typing import Any

from loadgen.engine.availability import ConnectionTime
from loadgen.engine.connection import Connection
from loadgen.engine.pool import PoolTotals
from loadgen.engine.recorder import MeasuredInterval
from loadgen.engine.tallies import ConnectionServiceTimes, TimesTally
from loadgen.plan.redaction import as_recorded
from loadgen.results.connections import from_ledger
from loadgen.results.distribution import Distribution
from loadgen.results.histogram import Histogram
from loadgen.results.instruments import ClockStep, DelayedRecord, GeneratorRecord, TimestampsRecord
from loadgen.results.intervals import IntervalRecord, RunPhase
from loadgen.results.record import (
    Actual,
    ConnectionsRecord,
    ConnectionTimeRecord,
    FailureRecord,
    Requested,
    RunRecord,
    TargetRecord,
)
from loadgen.runner import environment
from loadgen.runner.state import RunState
from loadgen.units import ns_to_seconds


def interval_record(
    interval: MeasuredInterval,
    before: PoolTotals,
    after: PoolTotals,
    phase: RunPhase,
    state: RunState,
) -> IntervalRecord:
    """Return the record of an interval, given the totals before and after it."""
    load_began_ns = state.milestones.load_began_ns
    return IntervalRecord(
        start_s=ns_to_seconds(interval.start_ns - load_began_ns),
        duration_s=ns_to_seconds(interval.end_ns - interval.start_ns),
        stage=phase,
        messages=after.answered - before.answered,
        bytes_sent=after.bytes_sent - before.bytes_sent,
        bytes_received=after.bytes_received - before.bytes_received,
        connections_up=after.up,
        failures=interval.failures,
        rejected=interval.rejected,
        **_times(interval.times, state),
    )


def build_record(
    state: RunState, target: TargetRecord, connections: ConnectionsRecord | None = None
) -> RunRecord:
    """Return the record of a run that is over, or of its results so far.

    connections: the record of the connections; built here unless it is given.
    """
    plan = state.plan
    state.recorder.flush()
    if connections is None:
        times = state.recorder.by_connection(len(state.connections))
        connections = connections_record(state.connections, times)
    return RunRecord(
        started_at=state.started_at,
        outcome=state.outcome,
        plan=as_recorded(plan),
        target=target,
        environment=environment.observe(),
        backend=state.backend,
        requested=Requested(
            connections=plan.connections,
            duration_s=plan.duration_s,
            messages_per_connection=plan.messages,
            connect_rate_per_s=plan.connect_rate_per_s,
            warmup_s=plan.warmup_s,
            rate_per_s=_requested_rate_per_s(state),
        ),
        actual=_actual(state),
        timestamps=_timestamps(state),
        generator=_generator(state),
        probe=state.probe,
        monitor=state.monitor,
        connect_latency_ns=Distribution.of(state.recorder.connect),
        **_times(state.recorder.times, state),
        failures=_failures(state),
        intervals=state.intervals.packed(),
        connections=connections,
    )


def _times(tally: TimesTally, state: RunState) -> dict[str, Any]:
    """Return the fields of `loadgen.results.record.Times`."""
    is_kernel = not state.why_user_space
    is_open_loop = state.profile is not None

    def where(condition: bool, histogram: Histogram) -> Distribution | None:
        return Distribution.of(histogram) if condition else None

    return {
        "service_time_ns": Distribution.of(tally.service),
        "response_time_ns": where(is_open_loop, tally.response),
        "schedule_lag_ns": where(is_open_loop, tally.schedule_lag),
        "blocked_ns": where(is_open_loop, tally.blocked),
        "generator_lag_ns": where(is_open_loop, tally.generator_lag),
        "receive_lag_ns": where(is_kernel, tally.receive_lag),
        "user_space_latency_ns": Distribution.of(tally.user_space),
    }


def _due(state: RunState) -> int | None:
    overdue = _overdue(state)
    return None if overdue is None else state.recorder.due + overdue


def _overdue(state: RunState) -> int | None:
    """Return how many messages were due and not sent; None in a closed loop.

    If they were too many to count, the number is estimated from the offered rate.
    """
    profile, warmup_s = state.profile, state.plan.warmup_s
    if profile is None:
        return None
    overdue = state.overdue
    if overdue is None:
        end_s = warmup_s + min(state.load_s, state.plan.duration_s or state.load_s)
        due = round(profile.expected_by_s(end_s) - profile.expected_by_s(warmup_s))
        overdue = max(0, due - state.recorder.due)
    return min(overdue, state.unsubmitted)


def _requested_rate_per_s(state: RunState) -> float | None:
    profile, warmup_s = state.profile, state.plan.warmup_s
    if profile is None or not state.load_s:
        return None
    return profile.mean_per_s(warmup_s, warmup_s + state.load_s)


def _submitting_s(state: RunState) -> float:
    """Return the time in which messages were submitted: to the last one, if a limit ended it."""
    last_ns = state.recorder.inter_send_times.last_ns
    if not state.unsubmitted and last_ns is not None:
        return ns_to_seconds(last_ns - state.milestones.load_began_ns)
    return state.load_s


def _actual(state: RunState) -> Actual:
    milestones, at_end = state.milestones, state.at_end
    began, ended = state.at_load_begin, state.at_load_end
    opening_s = ns_to_seconds(milestones.opening_ended_ns - milestones.opening_began_ns)
    duration_s = state.load_s

    def per_s(amount: int) -> float:
        return amount / duration_s if duration_s else 0.0

    service = state.recorder.times.service
    submitted, submitting_s = ended.submitted - began.submitted, _submitting_s(state)
    messages_per_s = per_s(ended.answered - began.answered)
    return Actual(
        connections=sum(connection.connects > 0 for connection in state.connections),
        opening_s=opening_s,
        connect_rate_per_s=state.opened_in_time / opening_s if opening_s else 0.0,
        warmup_s=ns_to_seconds(milestones.load_began_ns - milestones.warmup_began_ns),
        warmup_messages=began.answered,
        duration_s=duration_s,
        drain_s=ns_to_seconds(milestones.drain_ended_ns - milestones.load_ended_ns),
        messages=at_end.answered - began.answered,
        rejected=sum(seen.count for seen in state.recorder.rejected.values()),
        messages_per_s=messages_per_s,
        submitted_per_s=submitted / submitting_s if submitting_s else 0.0,
        in_flight_at_server=ns_to_seconds(messages_per_s * service.mean_ns)
        if service.count
        else None,
        bytes_sent_per_s=per_s(ended.bytes_sent - began.bytes_sent),
        bytes_received_per_s=per_s(ended.bytes_received - began.bytes_received),
        submitted=at_end.submitted,
        cut_off=state.cut_off,
        due=_due(state),
        overdue=_overdue(state),
        bytes_sent=at_end.bytes_sent,
        bytes_received=at_end.bytes_received,
        opened=state.opened,
        closed=state.closed,
        cpu_user_s=state.processor.user_s,
        cpu_system_s=state.processor.system_s,
        connection_time=_connection_time(state.connection_time),
    )


def _connection_time(time: ConnectionTime) -> ConnectionTimeRecord:
    return ConnectionTimeRecord(
        up_s=ns_to_seconds(time.up_ns),
        renewing_s=ns_to_seconds(time.renewing_ns),
        opening_s=ns_to_seconds(time.opening_ns),
        backing_off_s=ns_to_seconds(time.backing_off_ns),
        failed_s=ns_to_seconds(time.failed_ns),
        nobody_up_s=ns_to_seconds(time.none_up_ns),
    )


def _timestamps(state: RunState) -> TimestampsRecord:
    recorder, tally = state.recorder, state.recorder.times
    began_ns = state.milestones.load_began_ns
    is_kernel = not state.why_user_space
    return TimestampsRecord(
        mode="kernel" if is_kernel else "user",
        reason=state.why_user_space,
        sample_every=state.plan.timestamp_sample if is_kernel else 1,
        stamped=tally.stamped,
        upper_bounds=tally.upper_bounds,
        missing=tally.missing,
        implausible=tally.implausible,
        unsampled=tally.unsampled,
        left_out=tally.left_out,
        clock_steps=[
            ClockStep(at_s=ns_to_seconds(step.until_ns - began_ns), step_ns=step.step_ns)
            for step in recorder.steps
        ],
        read_uncertainty_ns=None if is_kernel else Distribution.of(tally.read_uncertainty),
    )


def _generator(state: RunState) -> GeneratorRecord:
    loop_stats, duration_s = state.loop_stats, state.load_s
    processor = state.processor
    longest_from_s = ns_to_seconds(loop_stats.longest_gap_from_ns - state.milestones.load_began_ns)
    return GeneratorRecord(
        pacing=state.plan.pacing,
        polls=loop_stats.polls,
        empty_polls=loop_stats.empty,
        waiting_share=ns_to_seconds(loop_stats.waited_ns) / duration_s if duration_s else 0.0,
        gaps=loop_stats.gaps,
        gaps_s=ns_to_seconds(loop_stats.gaps_total_ns),
        longest_gap_s=ns_to_seconds(loop_stats.longest_gap_ns),
        longest_gap_at_s=longest_from_s if loop_stats.gaps else None,
        shared_pauses_s=_shared_pauses_s(state),
        delayed=_delayed(state.recorder.times),
        involuntary_switches=processor.involuntary_switches,
        run_queue_s=processor.run_queue_s,
        throttled_s=processor.throttled_s,
        suspended_s=processor.suspended_s,
        send_gap_variation=state.recorder.inter_send_times.variation,
    )


def _delayed(tally: TimesTally) -> DelayedRecord | None:
    delayed = DelayedRecord(
        service_ns=Distribution.of(tally.delayed_service),
        response_ns=Distribution.of(tally.delayed_response),
        schedule_lag_ns=Distribution.of(tally.delayed_lag),
        reads=tally.delayed_reads,
    )
    return delayed if delayed.messages or delayed.reads else None


def _shared_pauses_s(state: RunState) -> float:
    service = state.recorder.times.service
    if not service.count:
        return 0.0
    pauses, usual_ns = state.recorder.pauses, service.percentile(50)
    return ns_to_seconds(pauses.shared_with_server_ns(usual_ns, state.milestones.load_began_ns))


def _failures(state: RunState) -> list[FailureRecord]:
    began_ns, recorder = state.milestones.load_began_ns, state.recorder
    return [
        FailureRecord(
            phase=failure.phase,
            cause=failure.cause,
            is_local=failure.cause.is_local,
            count=seen.count,
            first_s=ns_to_seconds(seen.first_ns - began_ns),
            last_s=ns_to_seconds(seen.last_ns - began_ns),
        )
        for failure, seen in sorted(
            (recorder.failures | recorder.rejected).items(), key=lambda item: -item[1].count
        )
    ]


def connections_record(
    connections: Sequence[Connection], times: ConnectionServiceTimes
) -> ConnectionsRecord:
    """Return the record of ``connections``, with the ``times`` of their messages."""
    return from_ledger(_ledger(connections, times))


def _ledger(
    connections: Sequence[Connection], times: ConnectionServiceTimes
) -> dict[str, list[Any]]:
    count = len(connections)
    return {
        "index": [connection.index for connection in connections],
        "state": [connection.state.value for connection in connections],
        "failure": [
            None if failure is None else f"{failure.phase}: {failure.cause}"
            for failure in (connection.failure for connection in connections)
        ],
        "failures": [connection.failures for connection in connections],
        "connects": [connection.connects for connection in connections],
        "connect_latency_ns": [connection.connect_ns for connection in connections],
        "bytes_sent": [connection.bytes_sent for connection in connections],
        "bytes_received": [connection.bytes_received for connection in connections],
        "submitted": [connection.submitted for connection in connections],
        "answered": [connection.answered for connection in connections],
        "service_time_min_ns": times.min_ns[:count].tolist(),
        "service_time_mean_ns": times.mean_ns[:count].tolist(),
        "service_time_p50_ns": times.p50_ns[:count].tolist(),
        "service_time_p99_ns": times.p99_ns[:count].tolist(),
        "service_time_max_ns": times.max_ns[:count].tolist(),
    }
