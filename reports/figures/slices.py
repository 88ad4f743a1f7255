"""A run cut into slices of time, few enough to be seen.

A slice is an interval of the record, or where there are more than `MOST` of them several that
follow one another, together: what was counted is summed and histograms are merged, so that no
message and no maximum is lost, only the moment within the slice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from loadgen.distribution import Distribution
from loadgen.health import prints_response_time
from loadgen.record import IntervalRecord, RunRecord
from loadgen.units import format_count

Floats = npt.NDArray[np.float64]
Latency = Literal["service_time_ns", "response_time_ns"]

MOST: Final = 400
"""So many slices have two to three pixels each in the width of a page."""

_LOADED: Final = ("warming", "loading")


@dataclass(frozen=True)
class Slice:
    """Intervals that follow one another, at the same stage of the run; one at least."""

    intervals: Sequence[IntervalRecord]

    @property
    def start_s(self) -> float:
        """When it begins."""
        return self.intervals[0].start_s

    @property
    def end_s(self) -> float:
        """When the last of its intervals ends."""
        last = self.intervals[-1]
        return last.start_s + last.duration_s

    @property
    def is_loaded(self) -> bool:
        """Whether messages were sent in it: neither in the opening nor after the end."""
        return self.intervals[0].stage in _LOADED

    @property
    def connections_up(self) -> int:
        """At its end."""
        return self.intervals[-1].connections_up

    @property
    def messages_per_s(self) -> float:
        """Answered in it; one way, handed to the kernel."""
        lasting_s = sum(each.duration_s for each in self.intervals)
        return sum(each.messages for each in self.intervals) / lasting_s if lasting_s else 0.0

    @property
    def failures(self) -> int:
        """How many were met in it."""
        return sum(each.failures for each in self.intervals)

    def times(self, kind: Latency) -> Distribution:
        """Return all its times of one kind."""
        found = (getattr(each, kind) for each in self.intervals)
        return Distribution.of_all(each for each in found if each is not None)


def slices(record: RunRecord) -> list[Slice]:
    """Return all of the run in slices, some `MOST` of them."""
    size = max(1, -(-len(record.intervals) // MOST))
    found = []
    for _, intervals in groupby(record.intervals, lambda interval: interval.stage):
        every = list(intervals)
        found += [Slice(every[start : start + size]) for start in range(0, len(every), size)]
    return found


def thinning(record: RunRecord) -> str:
    """Say how many intervals a slice is made of; nothing where it is one."""
    longest = max((len(each.intervals) for each in slices(record)), default=1)
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
