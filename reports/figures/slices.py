"""A run cut into slices of time, few enough to be seen.

A slice is an interval of the record, or where there are more than `MOST` of them several that
follow one another, together: what was counted is summed and histograms are merged, so that no
message and no maximum is lost, only the moment within the slice. A slice ends where the stage of
the run changes, unless that happens so often that a slice for each time could not be seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from loadgen.analysis.verdict.judging import prints_response_time
from loadgen.results.distribution import Distribution
from loadgen.results.intervals import (
    Intervals,
    RunPhase,
    numbers_of,
    phases_of,
    times_of,
)
from loadgen.results.packed_times import summed
from loadgen.results.record import RunRecord
from loadgen.units import format_count

Floats = npt.NDArray[np.float64]
Latency = Literal["service_time_ns", "response_time_ns"]

MOST: Final = 400
"""So many slices have two to three pixels each in the width of a page."""

_LOADED: Final = ("warming", "loading")
_SHOWN: Final = (*("start_s", "duration_s", "messages", "connections_up", "failures", "rejected"),)


@dataclass(frozen=True)
class Slice:
    """Intervals that follow one another; one at least.

    stage: of the first, and mostly of all. size: how many.
    start_s: when the first begins; end_s: when the last ends.
    messages: answered in it (one way: handed to the kernel); messages_per_s: those, over its time.
    connections_up: at its end. failures: how many were met in it, rejected replies included.
    """

    stage: RunPhase
    size: int
    start_s: float
    end_s: float
    messages: int
    messages_per_s: float
    connections_up: int
    failures: int

    @property
    def is_loaded(self) -> bool:
        """Whether messages were sent in it: neither in the opening nor after the end."""
        return self.stage in _LOADED


class _Same(NamedTuple):
    """Intervals, the same only as themselves."""

    intervals: Intervals

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.intervals is other.intervals

    def __hash__(self) -> int:
        return id(self.intervals)


def slices(record: RunRecord) -> list[Slice]:
    """Return all of the run in slices, some `MOST` of them."""
    return _slices(_Same(record.intervals))


@lru_cache(maxsize=8)  # every figure of a record asks, and every note below one
def _slices(of: _Same) -> list[Slice]:
    intervals = of.intervals
    most = _most(intervals)
    known_stages: list[RunPhase] = []
    sizes: list[int] = []
    for stage, count in _stretches(intervals):
        own = [min(most, count - start) for start in range(0, count, most)]
        sizes += own
        known_stages += [stage] * len(own)
    if not sizes:
        return []
    lasts = np.cumsum(sizes) - 1
    firsts = np.append(0, lasts[:-1] + 1)
    columns = {name: numbers_of(intervals, name) for name in _SHOWN}

    def added(name: str) -> Floats:
        return np.add.reduceat(columns[name], firsts)

    lasting_s, messages = added("duration_s"), added("messages")
    rates = np.divide(messages, lasting_s, out=np.zeros(len(sizes)), where=lasting_s > 0)
    return [
        Slice(*each)
        for each in zip(
            known_stages,
            sizes,
            columns["start_s"][firsts].tolist(),
            (columns["start_s"] + columns["duration_s"])[lasts].tolist(),
            messages.astype(int).tolist(),
            rates.tolist(),
            columns["connections_up"][lasts].astype(int).tolist(),
            (added("failures") + added("rejected")).astype(int).tolist(),
            strict=True,
        )
    ]


def _most(intervals: Intervals) -> int:
    """Return of how many intervals a slice is made, at most."""
    return max(1, -(-len(intervals) // MOST))


def _stretches(intervals: Intervals) -> list[tuple[RunPhase, int]]:
    """Return how many intervals follow one another at each stage of the run, `MOST` times at most.

    Where the stage changes more often, it counts only where a slice begins.
    """
    stages = phases_of(intervals)
    changes = [(stage, sum(1 for _ in same)) for stage, same in groupby(stages)]
    if len(changes) <= MOST:
        return changes
    size = _most(intervals)
    return [(stages[at], min(size, len(stages) - at)) for at in range(0, len(stages), size)]


def times_by_slice(record: RunRecord, kind: Latency, parts: Sequence[Slice]) -> list[Distribution]:
    """Return all times of one kind of each of ``parts``, which are all slices of the run."""
    groups = np.repeat(np.arange(len(parts)), [part.size for part in parts])
    return summed(times_of(record.intervals, kind), groups, len(parts))


def thinning(record: RunRecord) -> str:
    """Say how many intervals a slice is made of; nothing where it is one."""
    longest = max((each.size for each in slices(record)), default=1)
    if longest == 1:
        return ""
    return (
        f"Thinned: of {format_count(len(record.intervals))} intervals, up to "
        f"{format_count(longest)} are drawn as one."
    )


def is_service_alone(record: RunRecord) -> bool:
    """Return whether service time is all that can be shown of latency.

    In a closed loop there is no response time; where this process sent late, it is its own.
    """
    is_believed = record.health is None or prints_response_time(record.health)
    return record.response_time_ns is None or not is_believed


def latency_of(record: RunRecord) -> Latency:
    """Return which time is the latency of the load."""
    return "service_time_ns" if is_service_alone(record) else "response_time_ns"


WORDS: Final[dict[Latency, str]] = {
    "service_time_ns": "service time",
    "response_time_ns": "response time",
}


def span_s(record: RunRecord) -> tuple[float, float]:
    """Return from when until when there is something to show of the run."""
    parts = slices(record)
    starts = [part.start_s for part in parts]
    ends = [part.end_s for part in parts]
    if record.monitor is not None:
        starts += record.monitor.at_s[:1]
        ends += record.monitor.at_s[-1:]
    return min(starts, default=0.0), max(ends, default=record.actual.duration_s)


def steps(parts: Sequence[Slice], values: Sequence[float | None]) -> tuple[Floats, Floats]:
    """Return the corners of a line that keeps each value for the length of its slice.

    It is broken where a value is unknown, where nothing was measured between two slices, and where
    the load begins or ends.
    """
    corners = list(_corners(parts, values))
    return np.array([x for x, _ in corners]), np.array([y for _, y in corners])


def _corners(
    parts: Sequence[Slice], values: Sequence[float | None]
) -> Iterator[tuple[float, float]]:
    before: Slice | None = None
    for part, value in zip(parts, values, strict=True):
        if before is not None and _is_apart(before, part):
            yield before.end_s, np.nan
        height = np.nan if value is None else value
        yield part.start_s, height
        yield part.end_s, height
        before = part


def _is_apart(before: Slice, after: Slice) -> bool:
    gap_s = after.start_s - before.end_s
    return before.is_loaded != after.is_loaded or gap_s > (after.end_s - after.start_s) / 2
