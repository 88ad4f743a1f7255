"""Hand-built RunRecords: one of a healthy run, from which the others differ."""

from collections.abc import Sequence
from typing import Any

import msgspec

from loadgen.core.histogram import Histogram
from loadgen.environment import Environment
from loadgen.failure import Cause, Phase
from loadgen.payload import SizePayload
from loadgen.plan import Plan
from loadgen.record import (
    Actual,
    ConnectionRecord,
    ConnectionsRecord,
    Distribution,
    FailureRecord,
    IntervalRecord,
    Requested,
    RunRecord,
    TargetRecord,
)


def distribution(*values_ns: int) -> Distribution:
    histogram = Histogram()
    histogram.record(values_ns)
    return Distribution.of(histogram)


def connection(index: int, answered: int, latencies_ns: Sequence[int] = ()) -> ConnectionRecord:
    """A connection that was answered with the latencies (min, mean, p50, p99, max)."""
    minimum, mean, p50, p99, maximum = latencies_ns or (0,) * 5
    return ConnectionRecord(
        index=index,
        state="closed",
        failure=None,
        failures=0,
        connects=1,
        connect_latency_ns=100_000,
        bytes_sent=64 * answered,
        bytes_received=64 * answered,
        submitted=answered,
        answered=answered,
        latency_min_ns=minimum,
        latency_mean_ns=mean,
        latency_p50_ns=p50,
        latency_p99_ns=p99,
        latency_max_ns=maximum,
    )


def connections_record(
    *each: ConnectionRecord, fairness: float | None, starved: int = 0
) -> ConnectionsRecord:
    rows = [msgspec.structs.asdict(one) for one in each]
    return ConnectionsRecord(
        count=len(each),
        fairness=fairness,
        starved=starved,
        worst=list(each),
        ledger={name: [row[name] for row in rows] for name in rows[0]},
    )


def failure(phase: Phase, cause: Cause, **seen: Any) -> FailureRecord:
    """A kind of failure that was met once, one second into the load, unless ``seen`` differs."""
    when = {"count": 1, "first_s": 1.0, "last_s": 1.0, **seen}
    return FailureRecord(phase=phase, cause=cause, is_local=cause.is_local, **when)


MESSAGES = distribution(100_000, 200_000, 300_000, 400_000)

HEALTHY = RunRecord(
    started_at="2026-01-31T12:00:00.000+00:00",
    outcome="completed",
    plan=Plan(target="10.0.0.5:9999", connections=2, duration_s=2.0, payloads=(SizePayload(64),)),
    target=TargetRecord(
        address="10.0.0.5:9999", resolved="('10.0.0.5', 9999)", embedded=False, server=None
    ),
    environment=Environment(
        loadgen="0.1.0",
        python="CPython 3.11.7",
        libraries={"numpy": "2.0.0"},
        system="Linux",
        kernel="6.1",
        machine="host",
        cpu="a processor",
        cpus=2,
        cpus_usable=2,
        memory_bytes=2**33,
        limits={"descriptors_soft": 1024, "descriptors_hard": None, "tcp_tw_reuse": 2},
    ),
    backend="epoll",
    requested=Requested(
        connections=2, duration_s=2.0, messages_per_connection=None, connect_rate_per_s=None
    ),
    actual=Actual(
        connections=2,
        opening_s=0.0035,
        connect_rate_per_s=571.0,
        duration_s=2.0,
        drain_s=0.00025,
        messages=4,
        messages_per_s=2.0,
        submitted=4,
        cut_off=0,
        bytes_sent=256,
        bytes_received=256,
        bytes_sent_per_s=128.0,
        bytes_received_per_s=128.0,
        opened=2,
        closed=2,
        cpu_user_s=0.2,
        cpu_system_s=0.3,
    ),
    connect_latency_ns=distribution(100_000, 120_000),
    latency_ns=MESSAGES,
    failures=[],
    intervals=[
        IntervalRecord(
            start_s=0.0,
            duration_s=2.0,
            stage="loading",
            messages=4,
            bytes_sent=256,
            bytes_received=256,
            connections_up=2,
            failures=0,
            latency_ns=MESSAGES,
        )
    ],
    connections=connections_record(
        connection(1, 2, (300_000, 350_000, 300_000, 400_000, 400_000)),
        connection(0, 2, (100_000, 150_000, 100_000, 200_000, 200_000)),
        fairness=1.0,
    ),
)


def healthy(**changes: Any) -> RunRecord:
    """The healthy record with other values in some of its fields."""
    return msgspec.structs.replace(HEALTHY, **changes)


def actual(**changes: Any) -> Actual:
    return msgspec.structs.replace(HEALTHY.actual, **changes)


def requested(**changes: Any) -> Requested:
    return msgspec.structs.replace(HEALTHY.requested, **changes)


def plan(**changes: Any) -> Plan:
    return msgspec.structs.replace(HEALTHY.plan, **changes)
