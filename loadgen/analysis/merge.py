"""One record made of those of the workers of a distributed run.

Facts. Histograms of one layout add up without loss; percentiles, means and rates do not. Each
worker counts moments from the start of its own load; what workers share is the wall clock.

Danger. Where one generator is at its limit and another is nearly idle, their sums look like two
that keep up. The wall clocks of two machines differ; by as much their moments are shifted against
each other, and the run looks longer. A process may end during the run, and its figures with it.

Decision. Counts and histograms are added, and every figure is computed from the sums. Moments count
from the start of the earliest load, and rates are over the time from there to the end of the last
one. The verdict is not computed from sums: each worker's record is judged by itself, and so are
missing workers (`loadgen.analysis.verdict.worker_rules`); the most severe verdict stands.

Cost. Rates of workers that did not load at the same time are lower than each worker measured them.
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
from loadgen.results.datagrams import DatagramsRecord
from loadgen.results.delivered import Actual, ConnectionTimeRecord, Requested
from loadgen.results.distribution import Distribution
from loadgen.results.handshakes import TlsRecord
from loadgen.results.instruments import DelayedRecord, GeneratorRecord, TimestampsRecord
from loadgen.results.interval_packer import packed
from loadgen.results.record import RunOutcome, RunRecord, TargetRecord
from loadgen.results.replies import PartsRecord, StatusesRecord
from loadgen.results.team import Team
from loadgen.results.verdict import SEVERITY, Finding, Health
from loadgen.results.worker_records import WorkerRecord
from loadgen.units import ns_to_seconds

OUTCOMES: Final[tuple[RunOutcome, ...]] = ("unreachable", "lost", "interrupted", "completed")
"""How a run ends, the worst first; of several workers' outcomes, the worst stands."""

_MAY_DIFFER: Final = frozenset({"connections", "duration_s", "messages"})  # in the plans

# Fields of `Actual`.
_SUMS: Final = (
    *("connections", "opened", "closed", "submitted", "messages", "rejected", "warmup_messages"),
    *("renewed", "resent", "cut_off", "bytes_sent", "bytes_received", "cpu_user_s", "cpu_system_s"),
)
_SUMS_WHERE_KNOWN: Final = ("due", "overdue")
_LONGEST: Final = ("opening_s", "warmup_s", "drain_s")
_RATES: Final = (
    *("messages_per_s", "submitted_per_s", "bytes_sent_per_s", "bytes_received_per_s"),
)


def merge(of_workers: Mapping[str, RunRecord], team: Team | None = None) -> RunRecord:
    """Return the record of the run whose workers, by name, made ``of_workers``.

    ``team`` says how many workers were to take part, and which were missing at the end; None where
    that was not counted.

    The rates in its plan are those of each worker; ``requested`` has their sums. Workers and their
    connections are in the order of the workers' names; the environment is that of the first.

    Raises ValueError without records, and RecordError if they are not of one run: if plans differ
    in more than connections, duration and messages, or targets, backends or engines differ.
    """
    if not of_workers:
        raise ValueError("there are no records to merge")
    aligned = aligned_records.align(of_workers)
    _check_same_run(aligned)
    records = [worker.record for worker in aligned]
    judged = [record.health or judging.judge(record) for record in records]
    load_s = ns_to_seconds(max(worker.load_ended_ns for worker in aligned))
    times = aligned_records.times(records)
    record = RunRecord(
        started_at=min(aligned, key=lambda worker: worker.began_ns).record.started_at,
        outcome=min((record.outcome for record in records), key=OUTCOMES.index),
        plan=_plan([record.plan for record in records], load_s),
        target=_target([record.target for record in records]),
        environment=records[0].environment,
        backend=records[0].backend,
        engine=records[0].engine,
        why_python=records[0].why_python,
        requested=_requested(aligned, team, load_s),
        actual=_actual([record.actual for record in records], load_s, times["service_time_ns"]),
        timestamps=_timestamps(aligned),
        generator=_generator(aligned),
        connect_latency_ns=Distribution.of_all(record.connect_latency_ns for record in records),
        **times,
        statuses=where_known(StatusesRecord.of_all, (each.statuses for each in records)),
        in_parts=where_known(PartsRecord.of_all, (each.in_parts for each in records)),
        failures=aligned_records.failures(aligned),
        intervals=packed(aligned_records.intervals(aligned)),
        connections=connections.joined([record.connections for record in records]),
        datagrams=where_known(DatagramsRecord.of_all, (record.datagrams for record in records)),
        workers=[_worker(worker, found) for worker, found in zip(aligned, judged, strict=True)],
        tls=where_known(TlsRecord.of_all, (record.tls for record in records)),
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
    """Return why two records are not of one run, in words; empty if they are."""
    known = _identity(one)
    for what, value in _identity(other).items():
        if value != known[what]:
            return f"{what} is {shortened(known[what])} in one and {shortened(value)} in the other"
    return ""


def _identity(record: RunRecord) -> dict[str, object]:
    """Return what the records of all workers of one run have in common, by its name."""
    return {
        **{f"plan.{field}": value for field, value in plan_in_common(record.plan).items()},
        "target.address": record.target.address,
        "backend": record.backend,
        "engine": record.engine,
    }


def plan_in_common(plan: Plan) -> dict[str, object]:
    """Return the fields of ``plan`` that the plans of all workers of one run have in common."""
    fields = msgspec.structs.asdict(plan)
    return {field: value for field, value in fields.items() if field not in _MAY_DIFFER}


# ---- what was asked for -------------------------------------------------------------------


def _plan(plans: Sequence[Plan], load_s: float) -> Plan:
    """Return the plan of all. Its duration, where any has one, is how long the load was.

    If the load had no duration, it is the longest that was asked for.
    """
    asked_s = where_known(max, (plan.duration_s for plan in plans))
    return msgspec.structs.replace(
        plans[0],
        connections=sum(plan.connections for plan in plans),
        duration_s=None if asked_s is None else load_s or asked_s,
        messages=_loosest([plan.messages for plan in plans]),
    )


def _requested(aligned: Sequence[AlignedRecord], team: Team | None, load_s: float) -> Requested:
    wanted = [worker.record.requested for worker in aligned]
    asked = team_of_workers.asked_share(team, aligned)
    return Requested(
        connections=round(asked * sum(each.connections for each in wanted)),
        duration_s=where_known(max, (each.duration_s for each in wanted)),
        messages_per_connection=_loosest([each.messages_per_connection for each in wanted]),
        connect_rate_per_s=where_known(sum, (each.connect_rate_per_s for each in wanted)),
        warmup_s=wanted[0].warmup_s,
        rate_per_s=team_of_workers.asked_per_s(team, aligned, load_s),
    )


def _loosest(limits: Sequence[int | None]) -> int | None:
    """Return the highest limit; None, which is no limit, where any plan has none."""
    return None if None in limits else where_known(max, limits)


def _target(records: Sequence[TargetRecord]) -> TargetRecord:
    """Return the target; all workers loaded one server, so its own counts are not added."""
    return msgspec.structs.replace(
        records[0],
        embedded=any(each.embedded for each in records),
        server=next((each.server for each in records if each.server is not None), None),
    )


# ---- what was measured --------------------------------------------------------------------


def _actual(records: Sequence[Actual], load_s: float, service: Distribution) -> Actual:
    fields: dict[str, Any] = {name: sum(getattr(each, name) for each in records) for name in _SUMS}
    for name in _SUMS_WHERE_KNOWN:
        fields[name] = where_known(sum, (getattr(each, name) for each in records))
    for name in _LONGEST:
        fields[name] = max(getattr(each, name) for each in records)
    for name in _RATES:
        amount = sum(getattr(each, name) * each.duration_s for each in records)
        fields[name] = amount / load_s if load_s else 0.0
    opened_in_time = sum(each.connect_rate_per_s * each.opening_s for each in records)
    opening_s = fields["opening_s"]
    return Actual(
        **fields,
        connection_time=where_known(_connection_time, (each.connection_time for each in records)),
        connect_rate_per_s=opened_in_time / opening_s if opening_s else 0.0,
        duration_s=load_s,
        in_flight_at_server=None
        if service.mean is None
        else ns_to_seconds(fields["messages_per_s"] * service.mean),
    )


def _connection_time(records: Sequence[ConnectionTimeRecord]) -> ConnectionTimeRecord:
    """Return the sums. For how long no worker had a connection up is at most the least of them."""
    names = ConnectionTimeRecord.__struct_fields__
    sums = {name: sum(getattr(each, name) for each in records) for name in names}
    sums["nobody_up_s"] = min(each.nobody_up_s for each in records)
    return ConnectionTimeRecord(**sums)


def _generator(aligned: Sequence[AlignedRecord]) -> GeneratorRecord:
    generators = [worker.record.generator for worker in aligned]
    durations_s = [worker.record.actual.duration_s for worker in aligned]
    submitted = [worker.record.actual.submitted for worker in aligned]
    return GeneratorRecord(
        pacing=generators[0].pacing,
        polls=sum(each.polls for each in generators),
        empty_polls=sum(each.empty_polls for each in generators),
        waiting_share=_mean([each.waiting_share for each in generators], durations_s) or 0.0,
        gaps=sum(each.gaps for each in generators),
        gaps_s=sum(each.gaps_s for each in generators),
        longest_gap_s=max(each.longest_gap_s for each in generators),
        longest_gap_at_s=_longest_gap_at_s(aligned),
        shared_pauses_s=sum(each.shared_pauses_s for each in generators),
        delayed=where_known(_delayed, (each.delayed for each in generators)),
        involuntary_switches=where_known(sum, (each.involuntary_switches for each in generators)),
        run_queue_s=where_known(sum, (each.run_queue_s for each in generators)),
        throttled_s=where_known(max, (each.throttled_s for each in generators)),
        suspended_s=where_known(max, (each.suspended_s for each in generators)),
        send_gap_variation=_mean([each.send_gap_variation for each in generators], submitted),
    )


def _delayed(records: Sequence[DelayedRecord]) -> DelayedRecord:
    return DelayedRecord(
        service_ns=Distribution.of_all(each.service_ns for each in records),
        response_ns=Distribution.of_all(each.response_ns for each in records),
        schedule_lag_ns=Distribution.of_all(each.schedule_lag_ns for each in records),
        reads=sum(each.reads for each in records),
    )


def _longest_gap_at_s(aligned: Sequence[AlignedRecord]) -> float | None:
    longest = max(aligned, key=lambda worker: worker.record.generator.longest_gap_s)
    at_s = longest.record.generator.longest_gap_at_s
    return None if at_s is None else longest.run_time_s(at_s)


# ---- timestamps and verdict ---------------------------------------------------------------


def _timestamps(aligned: Sequence[AlignedRecord]) -> TimestampsRecord:
    """Return where arrival times come from: the kernel only if all workers had them from it."""
    stamps = [worker.record.timestamps for worker in aligned]
    are_kernel = all(each.mode == "kernel" for each in stamps)
    return TimestampsRecord(
        mode="kernel" if are_kernel else "user",
        reason=_reason(aligned),
        sample_every=max(each.sample_every for each in stamps),
        stamped=sum(each.stamped for each in stamps),
        upper_bounds=sum(each.upper_bounds for each in stamps),
        missing=sum(each.missing for each in stamps),
        implausible=sum(each.implausible for each in stamps),
        unsampled=sum(each.unsampled for each in stamps),
        left_out=sum(each.left_out for each in stamps),
        clock_steps=aligned_records.clock_steps(aligned),
        read_uncertainty_ns=where_known(
            Distribution.of_all, (each.read_uncertainty_ns for each in stamps)
        ),
    )


def _reason(aligned: Sequence[AlignedRecord]) -> str:
    """Return why the kernel gave no timestamps; with names, unless it is the same for all."""
    reasons = [(worker.name, worker.record.timestamps.reason) for worker in aligned]
    if len({reason for _, reason in reasons}) == 1:
        return reasons[0][1]
    named = "; ".join(f"worker {name}: {reason}" for name, reason in reasons if reason)
    return named[:MOST_CHARACTERS]


def _health(
    record: RunRecord, aligned: Sequence[AlignedRecord], judged: Sequence[Health]
) -> Health:
    """Return the most severe verdict, and all findings, the most severe first."""
    found = [(result.verdict, [result.finding]) for result in worker_rules.workers(record)]
    for worker, own_health in zip(aligned, judged, strict=True):
        named = [
            finding if len(aligned) == 1 else _named(worker.name, finding)
            for finding in own_health.findings
        ]
        found.append((own_health.verdict, named))
    found.sort(key=lambda pair: SEVERITY.index(pair[0]))
    return Health(
        verdict=found[0][0],
        findings=[finding for _, findings in found for finding in findings],
    )


def _named(worker: str, finding: Finding) -> Finding:
    evidence = f"worker {worker}: {finding.evidence}"
    return msgspec.structs.replace(finding, evidence=evidence[:MOST_CHARACTERS])


def _worker(worker: AlignedRecord, judged: Health) -> WorkerRecord:
    record = worker.record
    return WorkerRecord(
        name=worker.name,
        host=record.environment.machine,
        connections=record.actual.connections,
        messages=record.actual.messages,
        messages_per_s=record.actual.messages_per_s,
        waiting_share=record.generator.waiting_share,
        verdict=judged.verdict,
        findings=judged.findings,
    )


def _mean(values: Sequence[float | None], weights: Sequence[float]) -> float | None:
    """Return the weighted mean of the values that are known; None if their weights are 0."""
    known = [
        (value, weight) for value, weight in zip(values, weights, strict=True) if value is not None
    ]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None
