"""Builds the record of a run from a snapshot of it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from loadgen.engine.availability import ConnectionTime
from loadgen.engine.choice import Choice
from loadgen.engine.connection import Connection
from loadgen.engine.loop_stats import LoopStats
from loadgen.engine.pool import PoolTotals
from loadgen.engine.recorder import Recorder
from loadgen.engine.tallies import ConnectionServiceTimes, KindTally, TimesTally
from loadgen.plan import Plan
from loadgen.plan.redaction import as_recorded
from loadgen.plan.user_arrivals import OfferedLoad
from loadgen.results.connections import from_ledger
from loadgen.results.delivered import Actual, ConnectionTimeRecord, Requested
from loadgen.results.distribution import Distribution
from loadgen.results.handshakes import TlsRecord
from loadgen.results.histogram import Histogram
from loadgen.results.instruments import ClockStep, DelayedRecord, GeneratorRecord, TimestampsRecord
from loadgen.results.intervals import PackedIntervals
from loadgen.results.record import (
    ConnectionsRecord,
    FailureRecord,
    RunRecord,
    TargetRecord,
)
from loadgen.results.replies import PartsRecord, StatusesRecord
from loadgen.runner import environment
from loadgen.runner.cpu_time import ProcessorUse
from loadgen.runner.datagram_books import NO_DATAGRAMS, DatagramTotals, datagrams_record
from loadgen.units import ns_to_seconds


@dataclass(frozen=True, slots=True)
class RunSetup:
    """What is settled before a run begins.

    why_user_space: the reason for having no kernel timestamps; empty if there are some.
    duration_s: how long the load is to last; None if that is not known.
    offered: the rate offered from the first message on; None in a closed loop.
    """

    plan: Plan
    target: TargetRecord
    choice: Choice
    why_user_space: str
    duration_s: float | None
    offered: OfferedLoad | None


class Border(NamedTuple):
    """Where the measured load begins or ends: what has been counted by then.

    loop_stats: since the one before. handshakes_ns: what was spent on handshakes so far. renewed,
    resent: as in `loadgen.engine.pool.ConnectionPool`.
    """

    at_ns: int
    totals: PoolTotals
    processor: ProcessorUse
    connection_time: ConnectionTime
    loop_stats: LoopStats
    handshakes_ns: int = 0
    renewed: int = 0
    resent: int = 0
    datagrams: DatagramTotals = NO_DATAGRAMS


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSnapshot:
    """A run that is over, or so far (not ``is_over``).

    offered: the rate offered from the beginning of the measured load on.
    overdue: messages that were due and not sent; None if they were not counted.
    totals: without what is in flight, in a run so far.
    """

    setup: RunSetup
    started_at: str
    recorder: Recorder
    connections: Sequence[Connection]
    opened: int
    opened_in_time: int
    closed: int
    renewed: int
    resent: int
    cut_off: int
    offered: OfferedLoad | None
    overdue: int | None
    opening_s: float
    warmup_s: float
    load_s: float
    drain_s: float
    load_begin: Border
    load_end: Border
    totals: PoolTotals
    intervals: PackedIntervals
    is_over: bool

    @property
    def unsubmitted(self) -> int:
        """Messages of the plan's limit that were not submitted by the end of the load."""
        plan = self.setup.plan
        if plan.messages is None:
            return sys.maxsize
        return plan.messages * plan.connections - self.load_end.totals.submitted


def build_record(run: RunSnapshot) -> RunRecord:
    """Return the record of a run that has been completed, or of its results so far."""
    setup, plan = run.setup, run.setup.plan
    return RunRecord(
        started_at=run.started_at,
        outcome="completed",
        plan=as_recorded(plan),
        target=setup.target,
        environment=environment.observe(),
        **setup.choice._asdict(),
        requested=Requested(
            connections=plan.connections,
            duration_s=setup.duration_s,
            messages_per_connection=plan.messages,
            connect_rate_per_s=plan.connect_rate_per_s,
            warmup_s=plan.warmup_s,
            rate_per_s=_requested_rate_per_s(run),
        ),
        actual=_actual(run),
        timestamps=_timestamps(run),
        generator=_generator(run),
        connect_latency_ns=Distribution.of(run.recorder.connect),
        **times_fields(run.recorder.times, setup),
        statuses=_statuses(run.recorder.times.kinds),
        in_parts=_in_parts(run.recorder.times),
        failures=_failures(run),
        intervals=run.intervals,
        connections=_connections_record(run),
        tls=_tls(run) if plan.is_secure else None,
        datagrams=datagrams_record(run.connections, run.cut_off, run.load_begin.datagrams),
    )


def times_fields(tally: TimesTally, setup: RunSetup) -> dict[str, Any]:
    """Return the fields of `loadgen.results.record.Times`."""
    is_kernel = not setup.why_user_space
    is_open_loop = setup.offered is not None

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


def _statuses(tally: KindTally) -> StatusesRecord | None:
    if not tally.counts:
        return None
    return StatusesRecord(
        counts={str(status): count for status, count in sorted(tally.counts.items())},
        classes={
            f"{each}xx": Distribution.of(tally.classes[each]) for each in sorted(tally.classes)
        },
    )


def _in_parts(tally: TimesTally) -> PartsRecord | None:
    if not tally.last_part.count:
        return None
    return PartsRecord(
        first_byte_ns=Distribution.of(tally.first_part),
        whole_ns=Distribution.of(tally.last_part),
    )


def _due(run: RunSnapshot) -> int | None:
    overdue = _overdue(run)
    return None if overdue is None else run.recorder.due + overdue


def _overdue(run: RunSnapshot) -> int | None:
    """Return how many messages were due and not sent; None in a closed loop.

    If they were not counted, the number is estimated from the offered rate.
    """
    if run.offered is None:
        return None
    overdue = run.overdue
    if overdue is None:
        due = round(run.offered.expected_by_s(min(run.load_s, run.setup.duration_s or run.load_s)))
        overdue = max(0, due - run.recorder.due)
    return min(overdue, run.unsubmitted)


def _requested_rate_per_s(run: RunSnapshot) -> float | None:
    if run.offered is None or not run.load_s:
        return None
    return run.offered.mean_per_s(0.0, run.load_s)


def _submitting_s(run: RunSnapshot) -> float:
    """Return the time in which messages were submitted: to the last one, if a limit ended it."""
    last_ns = run.recorder.inter_send_times.last_ns
    if not run.unsubmitted and last_ns is not None:
        return ns_to_seconds(last_ns - run.load_begin.at_ns)
    return run.load_s


def _actual(run: RunSnapshot) -> Actual:
    processor = run.load_end.processor.since(run.load_begin.processor)
    connection_time = run.load_end.connection_time.since(run.load_begin.connection_time)
    began, ended, at_end = run.load_begin.totals, run.load_end.totals, run.totals
    duration_s = run.load_s

    def per_s(amount: int) -> float:
        return amount / duration_s if duration_s else 0.0

    service = run.recorder.times.service
    submitted, submitting_s = ended.submitted - began.submitted, _submitting_s(run)
    messages_per_s = per_s(ended.answered - began.answered)
    return Actual(
        connections=sum(connection.ups > 0 for connection in run.connections),
        opening_s=run.opening_s,
        connect_rate_per_s=run.opened_in_time / run.opening_s if run.opening_s else 0.0,
        warmup_s=run.warmup_s,
        warmup_messages=began.answered,
        duration_s=duration_s,
        drain_s=run.drain_s,
        messages=at_end.answered - began.answered,
        rejected=sum(seen.count for seen in run.recorder.rejected.values()),
        renewed=run.renewed - run.load_begin.renewed,
        resent=run.resent - run.load_begin.resent,
        messages_per_s=messages_per_s,
        submitted_per_s=submitted / submitting_s if submitting_s else 0.0,
        in_flight_at_server=ns_to_seconds(messages_per_s * service.mean_ns)
        if service.count
        else None,
        bytes_sent_per_s=per_s(ended.bytes_sent - began.bytes_sent),
        bytes_received_per_s=per_s(ended.bytes_received - began.bytes_received),
        submitted=at_end.submitted,
        cut_off=run.cut_off,
        due=_due(run),
        overdue=_overdue(run),
        bytes_sent=at_end.bytes_sent,
        bytes_received=at_end.bytes_received,
        opened=run.opened,
        closed=run.closed,
        cpu_user_s=processor.user_s,
        cpu_system_s=processor.system_s,
        connection_time=_connection_time(connection_time),
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


def _timestamps(run: RunSnapshot) -> TimestampsRecord:
    recorder, tally = run.recorder, run.recorder.times
    began_ns = run.load_begin.at_ns
    is_kernel = not run.setup.why_user_space
    return TimestampsRecord(
        mode="kernel" if is_kernel else "user",
        reason=run.setup.why_user_space,
        sample_every=run.setup.plan.timestamp_sample if is_kernel else 1,
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


def _generator(run: RunSnapshot) -> GeneratorRecord:
    loop_stats, duration_s = run.load_end.loop_stats, run.load_s
    processor = run.load_end.processor.since(run.load_begin.processor)
    longest_from_s = ns_to_seconds(loop_stats.longest_gap_from_ns - run.load_begin.at_ns)
    return GeneratorRecord(
        pacing=run.setup.plan.pacing,
        polls=loop_stats.polls,
        empty_polls=loop_stats.empty,
        waiting_share=ns_to_seconds(loop_stats.waited_ns) / duration_s if duration_s else 0.0,
        gaps=loop_stats.gaps,
        gaps_s=ns_to_seconds(loop_stats.gaps_total_ns),
        longest_gap_s=ns_to_seconds(loop_stats.longest_gap_ns),
        longest_gap_at_s=longest_from_s if loop_stats.gaps else None,
        shared_pauses_s=_shared_pauses_s(run),
        delayed=_delayed(run.recorder.times),
        involuntary_switches=processor.involuntary_switches,
        run_queue_s=processor.run_queue_s,
        throttled_s=processor.throttled_s,
        suspended_s=processor.suspended_s,
        send_gap_variation=run.recorder.inter_send_times.variation,
    )


def _delayed(tally: TimesTally) -> DelayedRecord | None:
    delayed = DelayedRecord(
        service_ns=Distribution.of(tally.delayed_service),
        response_ns=Distribution.of(tally.delayed_response),
        schedule_lag_ns=Distribution.of(tally.delayed_lag),
        reads=tally.delayed_reads,
    )
    return delayed if delayed.messages or delayed.reads else None


def _shared_pauses_s(run: RunSnapshot) -> float:
    service = run.recorder.times.service
    if not service.count:
        return 0.0
    pauses, usual_ns = run.recorder.pauses, service.percentile(50)
    return ns_to_seconds(pauses.shared_with_server_ns(usual_ns, run.load_begin.at_ns))


def _tls(run: RunSnapshot) -> TlsRecord:
    tally = run.recorder.handshakes
    return TlsRecord(
        is_verified=not run.setup.plan.insecure,
        full_ns=Distribution.of(tally.full),
        resumed_ns=Distribution.of(tally.resumed),
        versions=dict(tally.versions),
        ciphers=dict(tally.ciphers),
        protocols=dict(tally.protocols),
        work_s=ns_to_seconds(run.load_end.handshakes_ns - run.load_begin.handshakes_ns),
    )


def _failures(run: RunSnapshot) -> list[FailureRecord]:
    began_ns, recorder = run.load_begin.at_ns, run.recorder
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


def _connections_record(run: RunSnapshot) -> ConnectionsRecord:
    count = len(run.connections)
    if not run.is_over:
        return ConnectionsRecord(count=count, fairness=None, starved=0, worst=[], ledger={})
    return from_ledger(_ledger(run.connections, run.recorder.by_connection(count)))


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
