"""Rounds made of files of pytest-benchmark."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from loadgen.analysis.compare.rounds import Kind, Rounds, facts
from loadgen.errors import RecordError
from loadgen.files import decoded
from loadgen.quantities import Count, SignedAmount
from loadgen.units import NS_PER_S


class _Processor(msgspec.Struct, frozen=True):
    brand_raw: str | None = None
    count: Count | None = None


class _Machine(msgspec.Struct, frozen=True):
    system: str
    release: str
    cpu: _Processor = _Processor()


class _Statistics(msgspec.Struct, frozen=True):
    median: SignedAmount


class _Benchmark(msgspec.Struct, frozen=True):
    fullname: str
    stats: _Statistics


class Document(msgspec.Struct, frozen=True):
    """The fields of a file of pytest-benchmark that a comparison needs; times are seconds."""

    datetime: str
    machine_info: _Machine
    benchmarks: list[_Benchmark]


def of_benchmarks(label: str, documents: Sequence[Document]) -> Rounds:
    """Return the rounds of ``documents``, one at least: of each benchmark its median."""
    rounds = sorted(documents, key=lambda document: document.datetime)
    times_ns: dict[str, list[float]] = {}
    for document in rounds:
        for each in document.benchmarks:
            times_ns.setdefault(each.fullname, []).append(NS_PER_S * each.stats.median)
    whole = {name: values for name, values in times_ns.items() if len(values) == len(rounds)}
    return Rounds(
        label=label,
        taken_at=tuple(document.datetime for document in rounds),
        kinds={name: Kind(name) for name in whole},
        figures=whole,
        missing=dict.fromkeys(times_ns.keys() - whole.keys(), "not in every round"),
        aliases={"time": tuple(whole)},
        facts=facts(_facts_of(document.machine_info) for document in rounds),
    )


def from_json(text: bytes) -> Document:
    """Return the document in ``text``.

    Raises RecordError if it is not one of pytest-benchmark, or has a benchmark twice.
    """
    document = decoded.from_json(text, Document, "file of pytest-benchmark")
    names = Counter(each.fullname for each in document.benchmarks)
    for name, count in names.items():
        if count > 1:
            raise RecordError(f"this file of pytest-benchmark has {name} twice")
    return document


def _facts_of(machine: _Machine) -> dict[str, object]:
    return {
        "machine: cpu": machine.cpu.brand_raw,
        "machine: processors": machine.cpu.count,
        "machine: system": machine.system,
        "machine: kernel": machine.release,
    }
