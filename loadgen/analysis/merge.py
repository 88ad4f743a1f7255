"""One record of a run that several processes carried out together.

Facts. Histograms of one layout add up without loss; percentiles, means and rates do not. Each part
counts its moments from the start of its own load; what the parts have in common is the wall clock.

Danger. Where one generator is at its limit and another has time to spare, their sums look like two
that keep up. The wall clocks of two machines differ, and by as much their moments are moved against
each other, and the run is the longer. A process may end in mid-run, and its part with it.

Decision. What was counted is added up, and every figure is made anew of the sums. Moments count
from the start of the earliest load, and rates are over the time from there to the end of the last
one. The verdict is not made of sums: each part is judged by itself, and so are
the workers that are missing (`loadgen.analysis.verdict.worker_rules`); the gravest stands.

Cost. The rates of workers that did not load at the same time come out lower than they saw them.
"""

from collections.abc import Mapping, Sequence
from reprlib import repr as shortened
from typing import Any, Final

import msgspec

from loadgen.analysis.verdict import judging, worker_rules
from loadgen.errors import RecordError
from loadgen.plan import Plan
from loadgen.quantities import MOST_CHARACTERS
from loadgen.results import aligned_records, connections
from loadgen.results import team as team_of_workers
from loadgen.results.aligned_records import AlignedRecord, where_known
from loadgen.results.distribution import Distribution
from loadgen.results.instruments import DelayedRecord, GeneratorRecord, TimestampsRecord
from loadgen.results.interval_packer import packed
from loadgen.results.record import (
    Actual,
    ConnectionTimeRecord,
    Requested,
    RunOutcome,
    RunRecord,
    TargetRecord,
)
from loadgen.results.team import Team
from loadgen.results.verdict import SEVERITY, Finding, Health
from loadgen.results.worker_records import WorkerRecord
from loadgen.units import ns_to_seconds

OUTCOMES: Final[tuple[RunOutcome, ...]] = ("unreachable", "lost", "interrupted", "completed")
"""How a run ends, the worst first; of several workers' outcomes, the worst stands."""

_MAY_DIFFER: Final = frozenset({"connections", "duration_s", "messages"})  # in the plans

# Fields of `Actual`.
_SUMS: Final = (
    *("connections", "opened", "closed", "submitted", "messages", "warmup_messages", "cut_off"),
    *("bytes_sent", "bytes_received", "cpu_user_s", "cpu_system_s"),
)
_SUMS_WHERE_KNOWN: Final = ("due", "overdue")
_LONGEST: Final = ("opening_s", "warmup_s", "drain_s")
_RATES: Final = (
    *("messages_per_s", "submitted_per_s", "bytes_sent_per_s", "bytes_received_per_s"),
)


def merge(parts: Mapping[str, RunRecord], team: Team | None = None) -> RunRecord:
    """Return the record of the run whose ``parts`` its workers, by name, have found.

    ``team`` says how many were to take part, and who was not there to the end; None, that nobody
    kept count of them.

    The rates in its plan are those of each worker; ``requested`` has their sums. Workers stand in
    the order of their names, and so do their connections; the environment is that of the first.

    Raises ValueError without parts, and RecordError where they are not of one run: where plans
    differ in more than connections, duration and messages, or targets or backends differ.
    """
    if not parts:
        raise ValueError("there is no record of no parts")
    aligned = aligned_records.align(parts)
    _check_same_run(aligned)
    records = [part.record for part in aligned]
    judged = [record.health or judging.judge(record) for record in records]
    load_s = ns_to_seconds(max(part.load_ended_ns for part in aligned))
    times = aligned_records.times(records)
    record = RunRecord(
        started_at=min(aligned, key=lambda part: part.began_ns).record.started_at,
        outcome=min((record.outcome for record in records), key=OUTCOMES.index),
        plan=_plan([record.plan for record in records], load_s),
        target=_target([record.target for record in records]),
        environment=records[0].environment,
        backend=records[0].backend,
        requested=_requested(aligned, team, load_s),
        actual=_actual([record.actual for record in records], load_s, times["service_time_ns"]),
        timestamps=_timestamps(aligned),
        generator=_generator(aligned),
        connect_latency_ns=Distribution.of_all(record.connect_latency_ns for record in records),
        **times,
        failures=aligned_records.failures(aligned),
        intervals=packed(aligned_records.intervals(aligned)),
        connections=connections.joined([record.connections for record in records]),
        workers=[_worker(part, found) for part, found in zip(aligned, judged, strict=True)],
        team=None if team is None else team_of_workers.team_record(team, aligned),
    )
    return msgspec.structs.replace(record, health=_health(record, aligned, judged))


def _check_same_run(aligned: Sequence[AlignedRecord]) -> None:
    first, *others = aligned
    for other in others:
        difference = unlike(first.record, other.record)
        if difference:
            raise RecordError(
                f"the records of workers {first.name} and {other.name} are not of one run: "
                f"{difference}"
            )


def unlike(one: RunRecord, other: RunRecord) -> str:
    """Return what makes two records no parts of one run, in words; empty if they are."""
    known = _identity(one)
    for what, value in _identity(other).items():
        if value != known[what]:
            return (
                f"{what} is {shortened(known[what])} in the one and {shortened(value)} in the other"
            )
    return ""


def _identity(record: RunRecord) -> dict[str, object]:
    """Return what all parts of one run have in common, by its name."""
    return {
        **{f"plan.{field}": value for field, value in plan_in_common(record.plan).items()},
        "target.address": record.target.address,
        "backend": record.backend,
    }


def plan_in_common(plan: Plan) -> dict[str, object]:
    """Return the fields of ``plan`` that the plans of all parts of one run have in common."""
    fields = msgspec.structs.asdict(plan)
    return {field: value for field, value in fields.items() if field not in _MAY_DIFFER}


# ---- what was asked for -------------------------------------------------------------------


def _plan(plans: Sequence[Plan], load_s: float) -> Plan:
    """Return the plan of all. Its duration, where any has one, is how long the load was.

    A load of no length leaves the longest that was asked for.
    """
    asked_s = where_known(max, (plan.duration_s for plan in plans))
    return msgspec.structs.replace(
        plans[0],
        connections=sum(plan.connections for plan in plans),
        duration_s=None if asked_s is None else load_s or asked_s,
        messages=_loosest([plan.messages for plan in plans]),
    )


def _requested(aligned: Sequence[AlignedRecord], team: Team | None, load_s: float) -> Requested:
    parts = [part.record.requested for part in aligned]
    asked = team_of_workers.asked_share(team, aligned)
    return Requested(
        connections=round(asked * sum(part.connections for part in parts)),
        duration_s=where_known(max, (part.duration_s for part in parts)),
        messages_per_connection=_loosest([part.messages_per_connection for part in parts]),
        connect_rate_per_s=where_known(sum, (part.connect_rate_per_s for part in parts)),
        warmup_s=parts[0].warmup_s,
        rate_per_s=team_of_workers.asked_per_s(team, aligned, load_s),
    )


def _loosest(limits: Sequence[int | None]) -> int | None:
    """Return the highest limit; None, which is no limit, where any part has none."""
    return None if None in limits else where_known(max, limits)


def _target(parts: Sequence[TargetRecord]) -> TargetRecord:
    """Return the target; one server was loaded, so that counts of its own are no sums."""
    return msgspec.structs.replace(
        parts[0],
        embedded=any(part.embedded for part in parts),
        server=next((part.server for part in parts if part.server is not None), None),
    )


# ---- what came of it ----------------------------------------------------------------------


def _actual(parts: Sequence[Actual], load_s: float, service: Distribution) -> Actual:
    fields: dict[str, Any] = {name: sum(getattr(part, name) for part in parts) for name in _SUMS}
    for name in _SUMS_WHERE_KNOWN:
        fields[name] = where_known(sum, (getattr(part, name) for part in parts))
    for name in _LONGEST:
        fields[name] = max(getattr(part, name) for part in parts)
    for name in _RATES:
        amount = sum(getattr(part, name) * part.duration_s for part in parts)
        fields[name] = amount / load_s if load_s else 0.0
    opened_in_time = sum(part.connect_rate_per_s * part.opening_s for part in parts)
    opening_s = fields["opening_s"]
    return Actual(
        **fields,
        connection_time=where_known(_connection_time, (part.connection_time for part in parts)),
        connect_rate_per_s=opened_in_time / opening_s if opening_s else 0.0,
        duration_s=load_s,
        in_flight_at_server=None
        if service.mean is None
        else ns_to_seconds(fields["messages_per_s"] * service.mean),
    )


def _connection_time(parts: Sequence[ConnectionTimeRecord]) -> ConnectionTimeRecord:
    """Return what all had together. That no worker had any is known of the least time alone."""
    names = ConnectionTimeRecord.__struct_fields__
    sums = {name: sum(getattr(part, name) for part in parts) for name in names}
    sums["nobody_up_s"] = min(part.nobody_up_s for part in parts)
    return ConnectionTimeRecord(**sums)


def _generator(aligned: Sequence[AlignedRecord]) -> GeneratorRecord:
    records = [part.record for part in aligned]
    parts = [record.generator for record in records]
    durations_s = [record.actual.duration_s for record in records]
    submitted = [record.actual.submitted for record in records]
    return GeneratorRecord(
        pacing=parts[0].pacing,
        polls=sum(part.polls for part in parts),
        empty_polls=sum(part.empty_polls for part in parts),
        waiting_share=_mean([part.waiting_share for part in parts], durations_s) or 0.0,
        gaps=sum(part.gaps for part in parts),
        gaps_s=sum(part.gaps_s for part in parts),
        longest_gap_s=max(part.longest_gap_s for part in parts),
        longest_gap_at_s=_longest_gap_at_s(aligned),
        shared_pauses_s=sum(part.shared_pauses_s for part in parts),
        delayed=where_known(_delayed, (part.delayed for part in parts)),
        involuntary_switches=where_known(sum, (part.involuntary_switches for part in parts)),
        run_queue_s=where_known(sum, (part.run_queue_s for part in parts)),
        throttled_s=where_known(max, (part.throttled_s for part in parts)),
        suspended_s=where_known(max, (part.suspended_s for part in parts)),
        send_gap_variation=_mean([part.send_gap_variation for part in parts], submitted),
    )


def _delayed(parts: Sequence[DelayedRecord]) -> DelayedRecord:
    return DelayedRecord(
        service_ns=Distribution.of_all(part.service_ns for part in parts),
        response_ns=Distribution.of_all(part.response_ns for part in parts),
        schedule_lag_ns=Distribution.of_all(part.schedule_lag_ns for part in parts),
        reads=sum(part.reads for part in parts),
    )


def _longest_gap_at_s(aligned: Sequence[AlignedRecord]) -> float | None:
    longest = max(aligned, key=lambda part: part.record.generator.longest_gap_s)
    at_s = longest.record.generator.longest_gap_at_s
    return None if at_s is None else longest.run_time_s(at_s)


# ---- what it is worth ---------------------------------------------------------------------


def _timestamps(aligned: Sequence[AlignedRecord]) -> TimestampsRecord:
    """Return where arrival times come from: the kernel only where it gave them to all."""
    parts = [part.record.timestamps for part in aligned]
    are_kernel = all(part.mode == "kernel" for part in parts)
    return TimestampsRecord(
        mode="kernel" if are_kernel else "user",
        reason=_reason(aligned),
        sample_every=max(part.sample_every for part in parts),
        stamped=sum(part.stamped for part in parts),
        upper_bounds=sum(part.upper_bounds for part in parts),
        missing=sum(part.missing for part in parts),
        implausible=sum(part.implausible for part in parts),
        unsampled=sum(part.unsampled for part in parts),
        left_out=sum(part.left_out for part in parts),
        clock_steps=aligned_records.clock_steps(aligned),
        read_uncertainty_ns=where_known(
            Distribution.of_all, (part.read_uncertainty_ns for part in parts)
        ),
    )


def _reason(aligned: Sequence[AlignedRecord]) -> str:
    """Return why the kernel gave no timestamps; with names, unless it is the same for all."""
    reasons = [(part.name, part.record.timestamps.reason) for part in aligned]
    if len({reason for _, reason in reasons}) == 1:
        return reasons[0][1]
    every = "; ".join(f"worker {name}: {reason}" for name, reason in reasons if reason)
    return every[:MOST_CHARACTERS]


def _health(
    record: RunRecord, aligned: Sequence[AlignedRecord], judged: Sequence[Health]
) -> Health:
    """Return the gravest verdict, and all findings, those of the gravest first."""
    found = [(remark.verdict, [remark.finding]) for remark in worker_rules.remarks(record)]
    for part, health_of_part in zip(aligned, judged, strict=True):
        named = [
            finding if len(aligned) == 1 else _named(part.name, finding)
            for finding in health_of_part.findings
        ]
        found.append((health_of_part.verdict, named))
    found.sort(key=lambda pair: SEVERITY.index(pair[0]))
    return Health(
        verdict=found[0][0],
        findings=[finding for _, findings in found for finding in findings],
    )


def _named(worker: str, finding: Finding) -> Finding:
    evidence = f"worker {worker}: {finding.evidence}"
    return msgspec.structs.replace(finding, evidence=evidence[:MOST_CHARACTERS])


def _worker(part: AlignedRecord, judged: Health) -> WorkerRecord:
    record = part.record
    return WorkerRecord(
        name=part.name,
        host=record.environment.machine,
        connections=record.actual.connections,
        messages=record.actual.messages,
        messages_per_s=record.actual.messages_per_s,
        waiting_share=record.generator.waiting_share,
        verdict=judged.verdict,
        findings=judged.findings,
    )


def _mean(values: Sequence[float | None], weights: Sequence[float]) -> float | None:
    """Return the weighted mean of the values that are there; None if they weigh nothing."""
    known = [
        (value, weight) for value, weight in zip(values, weights, strict=True) if value is not None
    ]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None
