"""Hand-built RunRecords: one of a healthy run, from which the others differ."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from loadgen.analysis.verdict.judging import judge
from loadgen.net.failure import Cause, Phase
from loadgen.plan import Plan
from loadgen.plan.payloads import SizePayload
from loadgen.results.datagrams import DatagramsRecord
from loadgen.results.delivered import Actual, Requested
from loadgen.results.distribution import Distribution
from loadgen.results.environment import Environment
from loadgen.results.handshakes import TlsRecord
from loadgen.results.histogram import Histogram
from loadgen.results.instruments import GeneratorRecord, TimestampsRecord
from loadgen.results.intervals import IntervalRecord
from loadgen.results.record import (
    ConnectionRecord,
    ConnectionsRecord,
    FailureRecord,
    RunRecord,
    TargetRecord,
)
from loadgen.results.verdict import Health


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
        service_time_min_ns=minimum,
        service_time_mean_ns=mean,
        service_time_p50_ns=p50,
        service_time_p99_ns=p99,
        service_time_max_ns=maximum,
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


SERVICE = distribution(100_000, 200_000, 300_000, 400_000)
RECEIVE_LAG = distribution(5_000, 5_000, 6_000, 9_000)
USER_SPACE = distribution(105_000, 205_000, 306_000, 409_000)

TIMES: dict[str, Any] = {  # of a closed loop, with kernel timestamps
    "service_time_ns": SERVICE,
    "response_time_ns": None,
    "schedule_lag_ns": None,
    "blocked_ns": None,
    "generator_lag_ns": None,
    "receive_lag_ns": RECEIVE_LAG,
    "user_space_latency_ns": USER_SPACE,
}
OPEN_LOOP_TIMES: dict[str, Any] = {
    **TIMES,
    "response_time_ns": distribution(120_000, 220_000, 320_000, 420_000),
    "schedule_lag_ns": distribution(20_000, 20_000, 20_000, 20_000),
    "blocked_ns": distribution(0, 0, 0, 0),
    "generator_lag_ns": distribution(20_000, 20_000, 20_000, 20_000),
}

HEALTHY = RunRecord(
    started_at="2026-01-31T12:00:00.000+00:00",
    outcome="completed",
    plan=Plan(target="10.0.0.5:9999", connections=2, duration_s=2.0, payloads=(SizePayload(64),)),
    target=TargetRecord(
        address="10.0.0.5:9999", resolved="10.0.0.5:9999", embedded=False, server=None
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
        connections=2,
        duration_s=2.0,
        messages_per_connection=None,
        connect_rate_per_s=None,
        warmup_s=0.0,
        rate_per_s=None,
    ),
    actual=Actual(
        connections=2,
        opening_s=0.0035,
        connect_rate_per_s=571.0,
        warmup_s=0.0,
        warmup_messages=0,
        duration_s=2.0,
        drain_s=0.00025,
        messages=4,
        messages_per_s=2.0,
        submitted_per_s=2.0,
        in_flight_at_server=0.0005,
        submitted=4,
        cut_off=0,
        due=None,
        overdue=None,
        bytes_sent=256,
        bytes_received=256,
        bytes_sent_per_s=128.0,
        bytes_received_per_s=128.0,
        opened=2,
        closed=2,
        cpu_user_s=0.2,
        cpu_system_s=0.3,
    ),
    health=Health(verdict="valid", findings=[]),
    timestamps=TimestampsRecord(
        mode="kernel",
        reason="",
        sample_every=1,
        stamped=4,
        upper_bounds=0,
        missing=0,
        implausible=0,
        unsampled=0,
        left_out=0,
        clock_steps=[],
        read_uncertainty_ns=None,
    ),
    generator=GeneratorRecord(
        pacing="normal",
        polls=10,
        empty_polls=0,
        waiting_share=0.9,
        gaps=0,
        gaps_s=0.0,
        longest_gap_s=0.0005,
        involuntary_switches=0,
        send_gap_variation=None,
    ),
    connect_latency_ns=distribution(100_000, 120_000),
    **TIMES,
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
            **TIMES,
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


def timestamps(**changes: Any) -> TimestampsRecord:
    return msgspec.structs.replace(HEALTHY.timestamps, **changes)


def generator(**changes: Any) -> GeneratorRecord:
    return msgspec.structs.replace(HEALTHY.generator, **changes)


def tls(**changes: Any) -> TlsRecord:
    """What a run of three full handshakes records."""
    kinds: dict[str, Any] = {"versions": {"TLSv1.3": 3}, "ciphers": {"AES": 3}, "protocols": {}}
    whole = TlsRecord(
        is_verified=True,
        full_ns=distribution(1_000_000, 2_000_000, 3_000_000),
        resumed_ns=distribution(),
        work_s=0.001,
        **kinds,
    )
    return msgspec.structs.replace(whole, **changes)


def plan(**changes: Any) -> Plan:
    return msgspec.structs.replace(HEALTHY.plan, **changes)


def spread(
    p50_ns: int, p90_ns: int, p99_ns: int, top_ns: int | None = None, *, count: int = 10_000
) -> Distribution:
    """Values of those percentiles, 1 % of them ``top_ns``; ``count`` is a multiple of 100."""
    shares = np.array([50, 40, 9, 1])
    histogram = Histogram()
    values = [p50_ns, p90_ns, p99_ns, p99_ns if top_ns is None else top_ns]
    histogram.record(values, shares * (count // 100))
    return Distribution.of(histogram)


LONG: dict[str, Any] = {  # a closed loop long enough to be judged, with time to spare
    "actual": actual(
        duration_s=10.0,
        messages=10_000,
        messages_per_s=1000.0,
        submitted_per_s=1000.0,
        submitted=10_000,
    ),
    "timestamps": timestamps(stamped=10_000),
    "generator": generator(polls=10_000, waiting_share=0.7),
    "service_time_ns": spread(1_004_000, 1_004_000, 1_020_000),
    "receive_lag_ns": spread(20_000, 40_000, 90_000),
    "user_space_latency_ns": spread(1_024_000, 1_044_000, 1_110_000),
    "health": None,
}
LONG_OPEN_LOOP: dict[str, Any] = {
    **LONG,
    "requested": requested(rate_per_s=1000.0),
    "actual": msgspec.structs.replace(LONG["actual"], due=10_000, overdue=0),
    "generator": generator(polls=10_000, waiting_share=0.7, send_gap_variation=0.7),
    "response_time_ns": spread(1_024_000, 1_043_000, 1_069_000),
    "schedule_lag_ns": spread(16_000, 30_000, 60_000),
    "blocked_ns": spread(0, 0, 0),
    "generator_lag_ns": spread(16_000, 30_000, 60_000),
}


def closed_loop(**changes: Any) -> RunRecord:
    """A closed loop that was long enough to be judged, and has not been; nothing is wrong."""
    return healthy(**{**LONG, **changes})


def open_loop(**changes: Any) -> RunRecord:
    """The same in an open loop, of 1000 messages a second for 10 s."""
    return healthy(**{**LONG_OPEN_LOOP, **changes})


def datagrams(**changes: Any) -> DatagramsRecord:
    """Of 10 000 datagrams that were all answered, unless ``changes`` differ."""
    all_answered: dict[str, Any] = {
        "sent": 10_000,
        "answered": 10_000,
        "lost": 0,
        "late": 0,
        "in_flight": 0,
        "failed": 0,
        "duplicates": 0,
        "reordered": 0,
        "unmatched": 0,
        "jitter_ns": 12_000,
        "send_refused": 0,
        "receive_buffer_errors": 0,
    }
    return DatagramsRecord(**{**all_answered, **changes})


def rejecting(count: int, **changes: Any) -> RunRecord:
    """The closed loop with so many of its 10 000 replies rejected."""
    return closed_loop(
        **{
            "actual": msgspec.structs.replace(LONG["actual"], rejected=count),
            "failures": [failure(Phase.REPLY, Cause.REJECTED, count=count)],
            **changes,
        }
    )


def offered(asked_per_s: float, sent_per_s: float, duration_s: float = 10.0) -> dict[str, Any]:
    """What of a record tells that so much was asked for, and so much was sent."""
    due, sent = round(asked_per_s * duration_s), round(sent_per_s * duration_s)
    return {
        "requested": requested(rate_per_s=asked_per_s),
        "actual": msgspec.structs.replace(
            LONG["actual"],
            duration_s=duration_s,
            messages=sent,
            messages_per_s=sent_per_s,
            submitted_per_s=sent_per_s,
            submitted=sent,
            due=due,
            overdue=due - sent,
        ),
    }


def at(second: int, record: RunRecord, **changes: Any) -> RunRecord:
    started_at = f"2026-01-31T12:00:{second:02}.000+00:00"
    return msgspec.structs.replace(record, started_at=started_at, **changes)


def judged(second: int = 0) -> RunRecord:
    record = at(second, closed_loop())
    return msgspec.structs.replace(record, health=judge(record))


def document(medians_s: dict[str, float], **changes: Any) -> dict[str, Any]:
    """Return what pytest-benchmark writes, as far as it matters."""
    return {
        "machine_info": {
            "system": "Linux",
            "release": "6.1",
            "cpu": {"brand_raw": "a processor", "count": 2},
        },
        "datetime": "2026-01-31T12:00:00+00:00",
        "benchmarks": [
            {"fullname": name, "stats": {"median": median_s}}
            for name, median_s in medians_s.items()
        ],
        **changes,
    }
