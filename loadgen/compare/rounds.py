"""The rounds of one side of a comparison: what each run found, and what it must have in common.

A round is one run of a process: a RunRecord, or one file of pytest-benchmark. What is measured
within a run says nothing of how the next one differs.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from loadgen.compare.gates import Unit
from loadgen.figures import ErrorShare, MessageRate
from loadgen.record import RunRecord
from loadgen.time_figure import Time
from loadgen.units import NS_PER_S


@dataclass(frozen=True)
class Kind:
    """A figure that is compared: its title for people, and its unit.

    Of times and shares more is worse, of rates less. A share may be 0: differences of shares are
    looked at, and ratios of everything else.
    """

    title: str
    unit: Unit = "ns"

    @property
    def is_share(self) -> bool:
        """Whether values run from 0 to 1."""
        return self.unit == "share"

    def can_scale(self, values: Iterable[float]) -> bool:
        """Return whether ``scaled`` takes all ``values``."""
        return self.is_share or all(value > 0 for value in values)

    def scaled(self, values: Iterable[float]) -> list[float]:
        """Return ``values`` such that their differences say what has changed: logarithms."""
        return list(values) if self.is_share else list(map(math.log, values))

    def worse(self, difference: float) -> float:
        """Return by how much a ``difference`` of scaled values is worse: 0.1 is 10 %."""
        if self.is_share:
            return difference
        return -math.expm1(difference) if self.unit == "per_s" else math.expm1(difference)


@dataclass(frozen=True)
class Rounds:
    """One side of a comparison.

    taken_at: when each round began, as text that sorts by time.
    figures: a value for each round, by the name that ``--fail-on`` uses, in the order of time;
        kinds: what each is; missing: why others are not there. aliases: names for some of them.
    facts: what the other side must share, by the name that a user knows; one value for each that
        occurs. remarks: what whoever reads the comparison must know.
    """

    label: str
    taken_at: tuple[str, ...]
    kinds: Mapping[str, Kind]
    figures: Mapping[str, Sequence[float]]
    missing: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    facts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


# ---- of RunRecords ------------------------------------------------------------------------


class _CpuPerMessage:
    """What of loadgen's own processor time a message takes, in nanoseconds."""

    def measure(self, record: RunRecord) -> float | None:
        return record.actual.cpu_per_message_ns


_PERCENTILES: Final = {"50": 50.0, "99": 99.0, "999": 99.9}
_OF_RECORDS: Final[Mapping[str, tuple[Kind, Any]]] = {
    "messages_per_s": (Kind("messages/s", "per_s"), MessageRate()),
    "errors": (Kind("errors", "share"), ErrorShare()),
    **{
        f"{kind}_p{name}": (Kind(f"{kind} p{percent:g}"), Time(kind, percent))
        for kind in ("service", "response")
        for name, percent in _PERCENTILES.items()
    },
    "connect_p99": (Kind("connect p99"), Time("connect", 99.0)),
    "cpu_per_message": (Kind("CPU per message"), _CpuPerMessage()),
}
_FREE: Final = frozenset({"target", "checks", "seed"})
"""Of the plan: what two sides may differ in."""


def of_records(label: str, records: Sequence[RunRecord]) -> Rounds:
    """Return the rounds that ``records`` are, one at least."""
    records = sorted(records, key=lambda record: record.started_at)
    latency = "service" if records[0].response_time_ns is None else "response"
    kinds, figures, missing = {}, {}, {}
    for name, (kind, figure) in _OF_RECORDS.items():
        if isinstance(figure, Time) and figure.absence_in(records[0].plan):
            continue
        values = [figure.measure(record) for record in records]
        reasons = (figure.why_missing(record) for record in records if isinstance(figure, Time))
        reason = next(filter(None, reasons), "nothing was measured" if None in values else "")
        if reason:
            missing[name] = reason
        else:
            kinds[name], figures[name] = kind, values
    return Rounds(
        label=label,
        taken_at=tuple(record.started_at for record in records),
        kinds=kinds,
        figures=figures,
        missing=missing,
        aliases={f"p{name}": (f"{latency}_p{name}",) for name in _PERCENTILES},
        facts=_facts(map(_facts_of, records)),
        remarks=tuple(_remarks(records)),
    )


def _facts_of(record: RunRecord) -> dict[str, object]:
    plan, machine = record.plan, record.environment
    return {
        **{
            f"plan: {name}": getattr(plan, name)
            for name in plan.__struct_fields__
            if name not in _FREE
        },
        "backend": record.backend,
        "timestamps": record.timestamps.mode,
        "machine: cpu": machine.cpu,
        "machine: processors": machine.cpus_usable,
        "machine: memory": machine.memory_bytes,
        "machine: system": machine.system,
        "machine: kernel": machine.kernel,
    }


def _remarks(records: Sequence[RunRecord]) -> Iterable[str]:
    judged: list[str] = [record.health.verdict for record in records if record.health is not None]
    for verdict, meaning in (
        ("generator-bound", "messages/s and response time are loadgen's own limit there"),
        ("inconclusive", "trust nothing of those"),
    ):
        count = judged.count(verdict)
        if count:
            yield f"{verdict} in {count} of {len(records)} rounds: {meaning}"
    for outcome in ("interrupted", "lost", "unreachable"):
        count = sum(record.outcome == outcome for record in records)
        if count:
            yield f"{outcome} before the end in {count} of {len(records)} rounds"


# ---- of pytest-benchmark ------------------------------------------------------------------


def of_benchmarks(label: str, documents: Sequence[Mapping[str, Any]]) -> Rounds:
    """Return the rounds that files of pytest-benchmark are: of each benchmark its median.

    Raises KeyError, TypeError or ValueError if they are no such files.
    """
    documents = sorted(documents, key=lambda document: str(document["datetime"]))
    by_name: dict[str, list[float]] = {}
    for document in documents:
        for each in document["benchmarks"]:
            time_ns = NS_PER_S * float(each["stats"]["median"])
            by_name.setdefault(str(each["fullname"]), []).append(time_ns)
    whole = {name: values for name, values in by_name.items() if len(values) == len(documents)}
    return Rounds(
        label=label,
        taken_at=tuple(str(document["datetime"]) for document in documents),
        kinds={name: Kind(name) for name in whole},
        figures=whole,
        missing=dict.fromkeys(by_name.keys() - whole.keys(), "not in every round"),
        aliases={"time": tuple(whole)},
        facts=_facts(_facts_of_machine(document["machine_info"]) for document in documents),
    )


def _facts_of_machine(machine: Mapping[str, Any]) -> dict[str, object]:
    cpu = machine.get("cpu", {})
    return {
        "machine: cpu": cpu.get("brand_raw"),
        "machine: processors": cpu.get("count"),
        "machine: system": machine["system"],
        "machine: kernel": machine["release"],
    }


# ---- what two sides have in common --------------------------------------------------------


def unlike(base: Rounds, head: Rounds) -> list[str]:
    """Return what the rounds of both do not have in common, each with its values, for people."""
    found = []
    for name in {**base.facts, **head.facts}:
        before, after = base.facts.get(name, frozenset()), head.facts.get(name, frozenset())
        if len(before | after) > 1:
            found.append(f"{name}: {_either(before)} and {_either(after)}")
    return found


def are_pairs(base: Rounds, head: Rounds) -> bool:
    """Return whether the rounds were taken in turn, so that each has a neighbour on the other side.

    That is so where, in the order of time, the first two are one of each, the next two, and so on.
    """
    if len(base.taken_at) != len(head.taken_at):
        return False
    times = [(at, "base") for at in base.taken_at] + [(at, "head") for at in head.taken_at]
    sides = [side for _, side in sorted(times)]
    return all(one != other for one, other in zip(sides[::2], sides[1::2], strict=True))


def _facts(of_rounds: Iterable[Mapping[str, object]]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for facts in of_rounds:
        for name, value in facts.items():
            found.setdefault(name, set()).add(str(value))
    return {name: frozenset(values) for name, values in found.items()}


def _either(values: frozenset[str]) -> str:
    return " or ".join(sorted(values)) or "nothing"
