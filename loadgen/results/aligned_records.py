"""The parts of a run, found by several workers, laid on one axis of time."""

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
"""What an interval is called whose workers were at several: loading where any was, otherwise the
most advanced."""

Value = TypeVar("Value")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NS_PER_US: Final = 1_000

# A start is known to a millisecond. What begins so shortly before a second was to begin with it.
_EARLY_NS: Final = 5_000_000


@dataclass(frozen=True, slots=True)
class AlignedRecord:
    """What one worker has found; ``began_ns`` is when, by the wall clock.

    Its moments lie ``offset_ns`` after those of the run, which begins with its earliest part.
    """

    name: str
    record: RunRecord
    began_ns: int
    offset_ns: int

    def second_of(self, own_ns: int) -> int:
        """Return the second of the wall clock in which the moment ``own_ns`` of the part lies."""
        return (self.began_ns + own_ns + _EARLY_NS) // NS_PER_S

    @property
    def load_ended_ns(self) -> int:
        """The end of its load, in nanoseconds from the start of the run."""
        return self.moment_ns(self.record.actual.duration_s)

    def moment_ns(self, own_s: float) -> int:
        """Return the moment ``own_s`` of the part, in nanoseconds from the start of the run."""
        return seconds_to_ns(own_s) + self.offset_ns

    def moment_s(self, own_s: float) -> float:
        """Return the same in seconds."""
        return ns_to_seconds(self.moment_ns(own_s))


def align(records: Mapping[str, RunRecord]) -> list[AlignedRecord]:
    """Return the parts in the order of their names. Raises RecordError if a start is no moment."""
    starts_ns = {name: began_ns(name, records[name]) for name in sorted(records)}
    first_ns = min(starts_ns.values())
    return [
        AlignedRecord(name, records[name], at_ns, at_ns - first_ns)
        for name, at_ns in starts_ns.items()
    ]


def began_ns(name: str, record: RunRecord) -> int:
    """Return when ``record``, that of worker ``name``, says that it began, since the epoch.

    Raises RecordError if that is no moment.
    """
    try:
        since_epoch = parse_moment(record.started_at) - _EPOCH
    except ValueError:
        raise RecordError(
            f"the record of worker {name} says that it started at {record.started_at!r}; it must "
            f"be a {MOMENT_FORM}"
        ) from None
    return since_epoch // timedelta(microseconds=1) * _NS_PER_US


def intervals(parts: Iterable[AlignedRecord]) -> Iterator[IntervalRecord]:
    """Yield the intervals of all; those that began in one second of the wall clock are one.

    One spans the time from the earliest start to the latest end of those that it is made of.
    """
    every = heapq.merge(*map(_by_second, parts), key=lambda each: each[:2])
    for _, of_one_second in groupby(every, lambda each: each[0]):
        by_part = groupby(of_one_second, lambda each: each[1])
        yield _interval([[interval for *_, interval in own] for _, own in by_part])


def _by_second(part: AlignedRecord) -> Iterator[tuple[int, str, IntervalCounts]]:
    """Yield the second in which each interval began, whose it is, and when that is for the run."""
    for interval in counted(part.record.intervals):
        own_s = interval.numbers["start_s"]
        numbers = {**interval.numbers, "start_s": part.moment_s(own_s)}
        second = part.second_of(seconds_to_ns(own_s))
        yield second, part.name, interval._replace(numbers=numbers)


def _interval(by_part: Sequence[Sequence[IntervalCounts]]) -> IntervalRecord:
    """Return one interval; the last one of each part says how many connections were up."""
    every = [interval for own in by_part for interval in own]
    starts_s = [each.numbers["start_s"] for each in every]
    end_ns = max(
        seconds_to_ns(start_s) + seconds_to_ns(each.numbers["duration_s"])
        for start_s, each in zip(starts_s, every, strict=True)
    )
    numbers = {name: sum(each.numbers.get(name, 0) for each in every) for name in NUMBERS}
    numbers["start_s"] = min(starts_s)
    numbers["duration_s"] = ns_to_seconds(end_ns - seconds_to_ns(min(starts_s)))
    numbers["connections_up"] = sum(own[-1].numbers["connections_up"] for own in by_part)
    stage = min((each.stage for each in every), key=PHASE_PRECEDENCE.index)
    return IntervalCounts(stage, numbers, _added(every)).record()


def _added(every: Iterable[IntervalCounts]) -> dict[str, Histogram]:
    """Return the times of all, each of which any of them has."""
    added: dict[str, Histogram] = {}
    for interval in every:
        for kind, histogram in interval.times.items():
            added.setdefault(kind, Histogram()).merge(histogram)
    return added


def failures(parts: Iterable[AlignedRecord]) -> list[FailureRecord]:
    """Return every kind of failure, the most frequent first."""
    kinds: dict[tuple[str, str], list[FailureRecord]] = defaultdict(list)
    for part in parts:
        for failure in part.record.failures:
            moved = msgspec.structs.replace(
                failure,
                first_s=part.moment_s(failure.first_s),
                last_s=part.moment_s(failure.last_s),
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


def clock_steps(parts: Iterable[AlignedRecord]) -> list[ClockStep]:
    """Return when a worker found its wall clock set, in the order of time."""
    steps = [
        msgspec.structs.replace(step, at_s=part.moment_s(step.at_s))
        for part in parts
        for step in part.record.timestamps.clock_steps
    ]
    return sorted(steps, key=lambda step: step.at_s)


def times(parts: Sequence[Times]) -> dict[str, Any]:
    """Return the fields of `Times` of all; one is None only where all have none."""
    return {
        name: where_known(Distribution.of_all, (getattr(part, name) for part in parts))
        for name in Times.__struct_fields__
    }


def where_known(
    combine: Callable[[list[Value]], Value], values: Iterable[Value | None]
) -> Value | None:
    """Return what ``combine`` makes of the values that are there; None where none is."""
    known = [value for value in values if value is not None]
    return combine(known) if known else None
