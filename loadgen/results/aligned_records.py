"""The records of several workers, aligned on one time axis; what has a time in them is merged."""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Final, TypeVar

import msgspec

from loadgen.errors import RecordError
from loadgen.results.distribution import Distribution
from loadgen.results.histogram import Histogram
from loadgen.results.instruments import ClockStep
from loadgen.results.intervals import (
    NUMBERS,
    IntervalCounts,
    IntervalRecord,
    RunPhase,
    Times,
    counted,
)
from loadgen.results.record import FailureRecord, RunRecord
from loadgen.units import MOMENT_FORM, NS_PER_S, ns_to_seconds, parse_moment, seconds_to_ns

PHASE_PRECEDENCE: Final[tuple[RunPhase, ...]] = ("loading", "draining", "warming", "opening")
"""Of the phases of workers in one interval the first one here is its phase: loading if any worker
was loading, otherwise the most advanced."""

Value = TypeVar("Value")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NS_PER_US: Final = 1_000

# A start is known to a millisecond: one shortly before a second is counted to that second.
_EARLY_NS: Final = 5_000_000


@dataclass(frozen=True, slots=True)
class AlignedRecord:
    """The record of one worker, which started at ``began_ns`` of the wall clock.

    The run begins with the earliest record, and this one ``offset_ns`` later.
    """

    name: str
    record: RunRecord
    began_ns: int
    offset_ns: int

    def second_of(self, own_ns: int) -> int:
        """Return the second of the wall clock in which the record's time ``own_ns`` lies."""
        return (self.began_ns + own_ns + _EARLY_NS) // NS_PER_S

    @property
    def load_ended_ns(self) -> int:
        """The end of its load (ns since the start of the run)."""
        return self.run_time_ns(self.record.actual.duration_s)

    def run_time_ns(self, own_s: float) -> int:
        """Return the record's time ``own_s`` as one of the run (ns since its start)."""
        return seconds_to_ns(own_s) + self.offset_ns

    def run_time_s(self, own_s: float) -> float:
        """Return the record's time ``own_s`` as one of the run (s since its start)."""
        return ns_to_seconds(self.run_time_ns(own_s))


def align(records: Mapping[str, RunRecord]) -> list[AlignedRecord]:
    """Return the records in the order of their names. Raises RecordError for an invalid start."""
    starts_ns = {name: began_ns(name, records[name]) for name in sorted(records)}
    first_ns = min(starts_ns.values())
    return [
        AlignedRecord(name, records[name], at_ns, at_ns - first_ns)
        for name, at_ns in starts_ns.items()
    ]


def began_ns(name: str, record: RunRecord) -> int:
    """Return the start of ``record``, that of worker ``name`` (ns since the epoch).

    Raises RecordError if it is invalid.
    """
    try:
        since_epoch = parse_moment(record.started_at) - _EPOCH
    except ValueError:
        raise RecordError(
            f"the record of worker {name} says that it started at {record.started_at!r}; it must "
            f"be a {MOMENT_FORM}"
        ) from None
    return since_epoch // timedelta(microseconds=1) * _NS_PER_US


def intervals(aligned: Iterable[AlignedRecord]) -> Iterator[IntervalRecord]:
    """Yield the merged intervals: those that began in one second of the wall clock become one.

    It lasts from the earliest start to the latest end of the intervals merged.
    """
    every = heapq.merge(*map(_by_second, aligned), key=lambda each: each[:2])
    for _, of_one_second in groupby(every, lambda each: each[0]):
        by_record = groupby(of_one_second, lambda each: each[1])
        yield _interval([[interval for *_, interval in own] for _, own in by_record])


def _by_second(aligned: AlignedRecord) -> Iterator[tuple[int, str, IntervalCounts]]:
    """Yield each interval, moved to the run's time, after its second and its worker's name."""
    for interval in counted(aligned.record.intervals):
        own_s = interval.numbers["start_s"]
        numbers = {**interval.numbers, "start_s": aligned.run_time_s(own_s)}
        second = aligned.second_of(seconds_to_ns(own_s))
        yield second, aligned.name, interval._replace(numbers=numbers)


def _interval(by_record: Sequence[Sequence[IntervalCounts]]) -> IntervalRecord:
    """Return one interval; the connections up are those of the last interval of each record."""
    every = [interval for own in by_record for interval in own]
    starts_s = [each.numbers["start_s"] for each in every]
    end_ns = max(
        seconds_to_ns(start_s) + seconds_to_ns(each.numbers["duration_s"])
        for start_s, each in zip(starts_s, every, strict=True)
    )
    numbers = {name: sum(each.numbers.get(name, 0) for each in every) for name in NUMBERS}
    numbers["start_s"] = min(starts_s)
    numbers["duration_s"] = ns_to_seconds(end_ns - seconds_to_ns(min(starts_s)))
    numbers["connections_up"] = sum(own[-1].numbers["connections_up"] for own in by_record)
    phase = min((each.phase for each in every), key=PHASE_PRECEDENCE.index)
    return IntervalCounts(phase, numbers, _added(every)).record()


def _added(every: Iterable[IntervalCounts]) -> dict[str, Histogram]:
    """Return the sum of the histograms, for each time that any interval has."""
    added: dict[str, Histogram] = {}
    for interval in every:
        for kind, histogram in interval.times.items():
            added.setdefault(kind, Histogram()).merge(histogram)
    return added


def failures(aligned: Iterable[AlignedRecord]) -> list[FailureRecord]:
    """Return the merged failures of each kind, the most frequent first."""
    kinds: dict[tuple[str, str], list[FailureRecord]] = defaultdict(list)
    for each in aligned:
        for failure in each.record.failures:
            moved = msgspec.structs.replace(
                failure,
                first_s=each.run_time_s(failure.first_s),
                last_s=each.run_time_s(failure.last_s),
            )
            kinds[failure.phase, failure.cause].append(moved)
    merged = [
        msgspec.structs.replace(
            seen[0],
            count=sum(failure.count for failure in seen),
            first_s=min(failure.first_s for failure in seen),
            last_s=max(failure.last_s for failure in seen),
        )
        for seen in kinds.values()
    ]
    return sorted(merged, key=lambda failure: -failure.count)


def clock_steps(aligned: Iterable[AlignedRecord]) -> list[ClockStep]:
    """Return the clock steps of all workers, in the order of time."""
    steps = [
        msgspec.structs.replace(step, at_s=each.run_time_s(step.at_s))
        for each in aligned
        for step in each.record.timestamps.clock_steps
    ]
    return sorted(steps, key=lambda step: step.at_s)


def times(records: Sequence[Times]) -> dict[str, Any]:
    """Return the merged fields of `Times`; one is None only where all are."""
    return {
        name: where_known(Distribution.of_all, (getattr(record, name) for record in records))
        for name in Times.__struct_fields__
    }


def where_known(
    combine: Callable[[list[Value]], Value], values: Iterable[Value | None]
) -> Value | None:
    """Return ``combine`` of the values that are not None; None where there are none."""
    known = [value for value in values if value is not None]
    return combine(known) if known else None
