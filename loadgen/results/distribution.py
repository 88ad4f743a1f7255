"""A Distribution: the percentiles and the buckets of a histogram, as a record holds them."""

import operator
from collections.abc import Iterable
from itertools import chain
from typing import Annotated, Any, Final

import msgspec
import numpy as np

from loadgen.quantities import MeanNanoseconds, Nanoseconds, ValueCount
from loadgen.results.histogram import BUCKETS, Histogram

VALUES_BEYOND: Final = 10
"""A percentile is printed if at least so many values lie beyond it: with fewer, another run of the
same length would give another figure."""


# It contains only numbers, so the collector need not traverse it; a long record has millions.
class Distribution(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Durations in nanoseconds: count, mean, extremes, percentiles, and the histogram.

    ``buckets`` and ``counts`` are the occupied buckets, as `loadgen.results.histogram` defines
    them. ``overflow`` counts values beyond its range; they count as the maximum. Mean,
    extremes and percentiles are null if ``count`` is 0.
    """

    count: ValueCount
    min: Nanoseconds | None
    mean: MeanNanoseconds | None
    p50: Nanoseconds | None
    p90: Nanoseconds | None
    p99: Nanoseconds | None
    p999: Nanoseconds | None
    max: Nanoseconds | None
    overflow: ValueCount
    sum: Annotated[int, msgspec.Meta(ge=0)]
    buckets: list[Annotated[int, msgspec.Meta(ge=0, le=BUCKETS)]]
    counts: list[ValueCount]

    def __post_init__(self) -> None:
        """Raise ValueError if the fields contradict each other."""
        if sum(self.counts) != self.count:
            raise ValueError("the counts of the buckets do not add up to the count")
        if len(self.buckets) != len(self.counts):
            raise ValueError("a histogram needs one count for each bucket")
        if not all(map(operator.lt, self.buckets, self.buckets[1:])):
            raise ValueError("the buckets of a histogram stand in order, each of them once")
        figures: list[Any] = [self.min, self.p50, self.p90, self.p99, self.p999, self.max]
        if any((figure is None) == bool(self.count) for figure in (*figures, self.mean)):
            raise ValueError("the figures are null where count is 0, and only there")
        if self.count and not all(map(operator.le, figures, figures[1:])):
            raise ValueError("minimum, percentiles and maximum contradict each other")
        if not (self.min or 0) * self.count <= self.sum <= (self.max or 0) * self.count:
            raise ValueError("sum and count give a mean that is not within minimum and maximum")

    @classmethod
    def of(cls, histogram: Histogram) -> "Distribution":
        """Return the distribution of ``histogram``."""
        if not histogram.count:
            return NO_VALUES
        buckets, counts = histogram.buckets()
        p50, p90, p99, p999 = histogram.percentiles(50, 90, 99, 99.9)
        return cls(
            count=histogram.count,
            min=histogram.min_ns,
            mean=histogram.mean_ns,
            p50=p50,
            p90=p90,
            p99=p99,
            p999=p999,
            max=histogram.max_ns,
            overflow=histogram.overflow,
            sum=histogram.sum_ns,
            buckets=buckets,
            counts=counts,
        )

    @classmethod
    def of_all(cls, distributions: "Iterable[Distribution]") -> "Distribution":
        """Return the distribution of all values of ``distributions``."""
        known = [each for each in distributions if each.count]
        if len(known) == 1:
            return known[0]  # saves time where there are thousands of intervals
        # Only occupied buckets: a histogram is dense, and a thousand times as large.
        buckets = np.fromiter(chain.from_iterable(each.buckets for each in known), np.int64)
        counts = np.fromiter(chain.from_iterable(each.counts for each in known), np.int64)
        summed = np.bincount(buckets, counts).astype(np.int64)
        occupied = np.flatnonzero(summed)
        bounds_ns = (
            min((each.min or 0 for each in known), default=0),
            max((each.max or 0 for each in known), default=0),
        )
        sum_ns = sum(each.sum for each in known)
        return cls.of(Histogram.from_buckets(occupied, summed[occupied], bounds_ns, sum_ns))

    def histogram(self) -> Histogram:
        """Return the histogram that this describes."""
        bounds_ns = (self.min or 0, self.max or 0)
        return Histogram.from_buckets(self.buckets, self.counts, bounds_ns, self.sum)

    def carries(self, percent: float) -> bool:
        """Return whether there are enough values for that percentile (see `VALUES_BEYOND`)."""
        return self.count * (100 - percent) >= 100 * VALUES_BEYOND * (1 - 1e-9)

    def percentile(self, percent: float) -> int | None:
        """Return that percentile in nanoseconds; None if there are no values."""
        return self.histogram().percentile(percent) if self.count else None


NO_VALUES: Final = Distribution(
    count=0,
    min=None,
    mean=None,
    p50=None,
    p90=None,
    p99=None,
    p999=None,
    max=None,
    overflow=0,
    sum=0,
    buckets=[],
    counts=[],
)
"""The distribution of no values."""
