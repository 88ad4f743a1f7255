"""From what a run has left in memory to its frozen record."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from loadgen import environment
from loadgen.core.connection import Connection
from loadgen.core.recorder import Interval, Recorder
from loadgen.core.totals import NONE, Totals
from loadgen.plan import Plan
from loadgen.record import (
    Actual,
    ConnectionRecord,
    ConnectionsRecord,
    Distribution,
    FailureRecord,
    IntervalRecord,
    Outcome,
    Requested,
    RunRecord,
    Stage,
    TargetRecord,
    jain_index,
)
from loadgen.units import ns_to_seconds

WORST: Final = 10


@dataclass(slots=True)
class Marks:
    """Moments of a run, in nanoseconds of its clock; processor time of the load, in seconds."""

    opening_began_ns: int = 0
    opening_ended_ns: int = 0
    load_began_ns: int = 0
    load_ended_ns: int = 0
    drain_ended_ns: int = 0
    cpu_user_s: float = 0.0
    cpu_system_s: float = 0.0


@dataclass(slots=True)
class Findings:
    """Everything a run has left: its connections, its recorder, its marks and intervals."""

    plan: Plan
    started_at: str
    backend: str
    recorder: Recorder
    connections: Sequence[Connection] = ()
    opened: int = 0
    opened_in_time: int = 0
    closed: int = 0
    cut_off: int = 0
    outcome: Outcome = "completed"
    marks: Marks = field(default_factory=Marks)
    at_load_end: Totals = NONE
    at_end: Totals = NONE
    intervals: list[IntervalRecord] = field(default_factory=list)


def freeze_interval(
    interval: Interval, before: Totals, after: Totals, load_began_ns: int, stage: Stage
) -> IntervalRecord:
    """Return the record of an interval, given the totals at its two ends."""
    return IntervalRecord(
        start_s=ns_to_seconds(interval.start_ns - load_began_ns),
        duration_s=ns_to_seconds(interval.end_ns - interval.start_ns),
        stage=stage,
        messages=after.answered - before.answered,
        bytes_sent=after.bytes_sent - before.bytes_sent,
        bytes_received=after.bytes_received - before.bytes_received,
        connections_up=after.up,
        failures=interval.failures,
        latency_ns=Distribution.of(interval.latency),
    )


def freeze(findings: Findings, target: TargetRecord) -> RunRecord:
    """Return the record of a run that is over."""
    plan = findings.plan
    findings.recorder.flush()
    return RunRecord(
        started_at=findings.started_at,
        outcome=findings.outcome,
        plan=plan,
        target=target,
        environment=environment.observe(),
        backend=findings.backend,
        requested=Requested(
            connections=plan.connections,
            duration_s=plan.duration_s,
            messages_per_connection=plan.messages,
            connect_rate_per_s=plan.connect_rate_per_s,
        ),
        actual=_actual(findings),
        connect_latency_ns=Distribution.of(findings.recorder.connect),
        latency_ns=Distribution.of(findings.recorder.latency),
        failures=_failures(findings),
        intervals=findings.intervals,
        connections=_connections(findings),
    )


def _actual(findings: Findings) -> Actual:
    marks, at_load_end, at_end = findings.marks, findings.at_load_end, findings.at_end
    opening_s = ns_to_seconds(marks.opening_ended_ns - marks.opening_began_ns)
    duration_s = ns_to_seconds(marks.load_ended_ns - marks.load_began_ns)
    return Actual(
        connections=sum(connection.connects > 0 for connection in findings.connections),
        opening_s=opening_s,
        connect_rate_per_s=findings.opened_in_time / opening_s if opening_s else 0.0,
        duration_s=duration_s,
        drain_s=ns_to_seconds(marks.drain_ended_ns - marks.load_ended_ns),
        messages=at_end.answered,
        messages_per_s=at_load_end.answered / duration_s if duration_s else 0.0,
        bytes_sent_per_s=at_load_end.bytes_sent / duration_s if duration_s else 0.0,
        bytes_received_per_s=at_load_end.bytes_received / duration_s if duration_s else 0.0,
        submitted=at_end.submitted,
        cut_off=findings.cut_off,
        bytes_sent=at_end.bytes_sent,
        bytes_received=at_end.bytes_received,
        opened=findings.opened,
        closed=findings.closed,
        cpu_user_s=marks.cpu_user_s,
        cpu_system_s=marks.cpu_system_s,
    )


def _failures(findings: Findings) -> list[FailureRecord]:
    began_ns = findings.marks.load_began_ns
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
            findings.recorder.failures.items(), key=lambda item: -item[1].count
        )
    ]


def _connections(findings: Findings) -> ConnectionsRecord:
    connections = findings.connections
    columns = _ledger(connections, findings.recorder)
    came_up = np.array(columns["connects"], dtype=np.int64) > 0
    answered = np.array(columns["answered"], dtype=np.int64)
    starved = came_up & (answered == 0)
    # The starved first, then the slowest: lexsort sorts by its last key first.
    order = np.lexsort((-np.array(columns["latency_mean_ns"], dtype=np.int64), ~starved))
    worst = [int(index) for index in order if came_up[index]][:WORST]
    return ConnectionsRecord(
        count=len(connections),
        fairness=jain_index(answered[came_up].tolist()),
        starved=int(starved.sum()),
        worst=[
            ConnectionRecord(**{name: column[index] for name, column in columns.items()})
            for index in worst
        ],
        ledger=columns,
    )


def _ledger(connections: Sequence[Connection], recorder: Recorder) -> dict[str, list[Any]]:
    seen = recorder.by_connection()
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
        "latency_min_ns": seen.min_ns[:count].tolist(),
        "latency_mean_ns": seen.mean_ns[:count].tolist(),
        "latency_p50_ns": seen.p50_ns[:count].tolist(),
        "latency_p99_ns": seen.p99_ns[:count].tolist(),
        "latency_max_ns": seen.max_ns[:count].tolist(),
    }
