"""Rounds made of RunRecords.

A run that this machine disturbed says nothing about the server; its figures are left out (None). A
run that failed because of the server is kept: its rate counts over the duration that was asked for,
and its times are missing, since those of the messages answered until then mean nothing. Messages
that were rejected do not count in the rate; where they are the most, the times are missing, too.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from loadgen.analysis import rejections
from loadgen.analysis.compare.rounds import (
    Kind,
    Rounds,
    Values,
    facts,
)
from loadgen.analysis.metrics import ErrorShare
from loadgen.analysis.time_metric import TimeMetric
from loadgen.analysis.verdict.judging import disturbance
from loadgen.plan import Plan
from loadgen.results.record import RunRecord
from loadgen.results.verdict import Verdict


@dataclass(frozen=True)
class _Figure:
    """A figure of a record, why it may be missing, and why no run of a plan has it."""

    kind: Kind
    measure: Callable[[RunRecord], float | None]
    why_missing: Callable[[RunRecord], str]
    why_never: Callable[[Plan], str] = lambda _: ""


def _failed_early(record: RunRecord) -> str:
    return f"{record.outcome} before the end" if record.outcome in ("lost", "unreachable") else ""


def _why_no_times(record: RunRecord) -> str:
    return _failed_early(record) or (_REJECTED if rejections.are_most(record) else "")


def _messages_per_s(record: RunRecord) -> float | None:
    asked_s, actual = record.requested.duration_s, record.actual
    if not _failed_early(record):
        return actual.succeeded_per_s
    return actual.messages * (1 - actual.rejected_share) / asked_s if asked_s else None


def _cpu_per_message_ns(record: RunRecord) -> float | None:
    return record.actual.cpu_per_message_ns


def _time(name: str, percent: float) -> _Figure:
    time = TimeMetric(name, percent)
    return _Figure(
        Kind(f"{name} p{percent:g}"),
        time.measure,
        lambda record: _why_no_times(record) or time.why_missing(record),
        time.absence_in,
    )


_REJECTED: Final = "most replies were rejections"
_P99: Final = TimeMetric("service", 99.0)
_PERCENTILES: Final = {"50": 50.0, "99": 99.0, "999": 99.9}
_FIGURES: Final[Mapping[str, _Figure]] = {
    "messages_per_s": _Figure(Kind("messages/s", "per_s"), _messages_per_s, lambda _: ""),
    "errors": _Figure(Kind("errors", "share"), ErrorShare().measure, ErrorShare().why_missing),
    **{
        f"{kind}_p{name}": _time(kind, percent)
        for kind in ("service", "response")
        for name, percent in _PERCENTILES.items()
    },
    "connect_p99": _time("connect", 99.0),
    "cpu_per_message": _Figure(Kind("CPU per message"), _cpu_per_message_ns, _why_no_times),
}
_MEANINGS: Final[Mapping[Verdict, str]] = {
    "generator-bound": "messages/s and response time show loadgen's own limit",
    "inconclusive": "too few messages were answered",
}
_FREE: Final = frozenset({"target", "checks", "seed", "watch", "sample_interval_s", "redact"})
"""Of the plan: what two sides may differ in."""

_RESOLVED: Final = frozenset({"backend", "engine"})
"""Of the plan: what ``auto`` leaves open. Two sides must share what it came to in the run."""


def of_records(label: str, records: Sequence[RunRecord]) -> Rounds:
    """Return the rounds of ``records``, one at least."""
    records = sorted(records, key=lambda record: record.started_at)
    disturbances = [disturbance(record) for record in records]
    latency = "service" if records[0].response_time_ns is None else "response"
    figures: dict[str, Values] = {}
    missing: dict[str, str] = {}
    for name, figure in _FIGURES.items():
        if figure.why_never(records[0].plan):
            continue
        values, reason = _values(figure, records, disturbances)
        if reason:
            missing[name] = reason
        else:
            figures[name] = values
    return Rounds(
        label=label,
        taken_at=tuple(record.started_at for record in records),
        kinds={name: _FIGURES[name].kind for name in figures},
        figures=figures,
        missing=missing,
        aliases={
            "succeeded_per_s": ("messages_per_s",),
            **{f"p{name}": (f"{latency}_p{name}",) for name in _PERCENTILES},
        },
        facts=facts(map(_facts_of, records)),
        remarks=tuple(_remarks(records, disturbances)),
    )


def _values(
    figure: _Figure, records: Sequence[RunRecord], disturbances: Sequence[str]
) -> tuple[list[float | None], str]:
    """Return the value of each round, None if it is left out; and why there are no values."""
    values: list[float | None] = []
    reasons: list[str] = []
    for record, disturbed in zip(records, disturbances, strict=True):
        if disturbed and not figure.kind.is_share:
            values.append(None)
            continue
        values.append(figure.measure(record))
        reason = figure.why_missing(record)
        if reason or values[-1] is None:
            reasons.append(reason or "nothing was measured")
    if reasons:
        return [], f"{reasons[0]}{_in_some(len(reasons), len(records))}"
    if not any(value is not None for value in values):
        return [], "every round is left out"
    return values, ""


def _in_some(count: int, rounds: int) -> str:
    return f" (in {count} of {rounds} rounds)" if rounds > 1 else ""


def _facts_of(record: RunRecord) -> dict[str, object]:
    plan, machine = record.plan, record.environment
    return {
        **{
            f"plan: {name}": getattr(plan, name)
            for name in plan.__struct_fields__
            if name not in _FREE | _RESOLVED
        },
        "backend": record.backend,
        "engine": record.engine,
        "timestamps": record.timestamps.mode,
        "machine: cpu": machine.cpu,
        "machine: processors": machine.cpus_usable,
        "machine: processor quota": machine.cpu_quota,
        "machine: memory": machine.memory_bytes,
        "machine: system": machine.system,
        "machine: kernel": machine.kernel,
    }


def _remarks(records: Sequence[RunRecord], disturbances: Sequence[str]) -> Iterable[str]:
    """Yield which rounds are worth less, and why."""
    disturbed = list(filter(None, disturbances))
    if disturbed:
        yield (
            f"left out of everything but errors: {len(disturbed)} of {len(records)} rounds, which "
            f"this machine disturbed, such as: {disturbed[0]}"
        )
    verdicts = Counter(
        record.health.verdict
        for record, disturbed in zip(records, disturbances, strict=True)
        if record.health is not None and not disturbed and not _why_no_times(record)
    )
    for verdict, meaning in _MEANINGS.items():
        if verdicts[verdict]:
            yield f"{verdict} in {verdicts[verdict]} of {len(records)} rounds: {meaning}"
    for reason, count in Counter(filter(None, map(_failed_early, records))).items():
        in_rounds = f"in {count} of {len(records)} rounds"
        yield f"{reason} {in_rounds}: its messages count over the whole duration"
    rejecting = [record for record in records if record.actual.rejected]
    if rejecting:
        worst = max(rejecting, key=lambda record: record.actual.rejected_share)
        yield (
            f"rejected in {len(rejecting)} of {len(records)} rounds, and not counted in "
            f"messages/s: up to {rejections.in_words(worst)}"
        )
    hidden = sum(bool(_P99.why_unstamped(record)) for record in records)
    if hidden:
        yield (
            f"in {hidden} of {len(records)} rounds many replies were read together with a later "
            "one, and have no time: a stall may be hidden there"
        )
