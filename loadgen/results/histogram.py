"""Latency histograms in HdrHistogram's layout, filled in bulk.

Latencies span six orders of magnitude and the tail matters, so the width of a bucket is relative to
its value: values (integers of nanoseconds) below 128 have a bucket each; every octave above is
divided into 128 equal buckets, so that a bucket is never wider than 1/128 of its value, and its
middle is off by 0.4 % at most (Gil Tene's HdrHistogram, http://hdrhistogram.org, with seven bits of
precision). A load test yields 100 000 values a second; binning them one by one in Python costs as
much as sending them, while numpy bins a hundred thousand in a few milliseconds.

A value beyond `HIGHEST_NS` (73 minutes) is counted as overflow and enters percentiles as the
maximum, so that the tail is not understated. A negative value is a bug of the caller and raises.
A histogram takes 37 KB, being dense; records keep only the occupied buckets.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

PRECISION_BITS: Final = 7
HIGHEST_NS: Final = 2**42 - 1

_PER_OCTAVE: Final = 2**PRECISION_BITS
BUCKETS: Final = (42 - PRECISION_BITS + 1) * _PER_OCTAVE


def bucket_of(values_ns: Integers) -> Integers:
    """Return the bucket index of each value; `BUCKETS` for those above `HIGHEST_NS`.

    A value v of b bits lies in octave o = max(b - 8, 0), at index o * 128 + (v >> o).
    """
    # frexp(v) gives the exponent b with 2**(b-1) <= v < 2**b; a float64 is exact below 2**53.
    bits: Integers = np.frexp(np.minimum(values_ns, HIGHEST_NS + 1).astype(float))[1].astype(int)
    octave = np.maximum(bits - (PRECISION_BITS + 1), 0)
    index: Integers = np.minimum((octave << PRECISION_BITS) + (values_ns >> octave), BUCKETS)
    return index


def bucket_middle(index: Integers) -> Integers:
    """Return the value in the middle of each bucket, in nanoseconds."""
    octave = np.maximum((index >> PRECISION_BITS) - 1, 0)
    lowest = (index - (octave << PRECISION_BITS)) << octave
    middle: Integers = lowest + ((np.int64(1) << octave) - 1) // 2
    return middle


class Histogram:
    """Counts of values by bucket, with exact count, sum, minimum and maximum."""

    __slots__ = ("_counts", "count", "max_ns", "min_ns", "sum_ns")

    def __init__(self) -> None:
        self._counts: Integers = np.zeros(BUCKETS + 1, dtype=np.int64)  # the last is the overflow
        self.count = 0
        self.sum_ns = 0
        self.min_ns = 0
        self.max_ns = 0

    @classmethod
    def from_buckets(
        cls,
        buckets: Sequence[int] | Integers,
        counts: Sequence[int] | Integers,
        bounds_ns: tuple[int, int],
        sum_ns: int,
    ) -> "Histogram":
        """Return the histogram that `buckets` and the exact figures describe.

        ``bounds_ns`` is (minimum, maximum). Raises ValueError if an index is out of range.
        """
        if len(buckets) != len(counts):
            raise ValueError("a histogram needs one count for each bucket")
        indices = np.asarray(buckets, dtype=np.int64)
        if indices.size and not 0 <= indices.min() <= indices.max() <= BUCKETS:
            raise ValueError(f"a bucket index lies from 0 to {BUCKETS}")
        histogram = cls()
        histogram._counts[indices] = counts
        histogram.count = int(histogram._counts.sum())
        histogram.min_ns, histogram.max_ns = bounds_ns
        histogram.sum_ns = sum_ns
        return histogram

    def record(
        self,
        values_ns: Integers | Iterable[int],
        weights: Integers | None = None,
        buckets: Integers | None = None,
    ) -> None:
        """Count values (nanoseconds), each once, or as often as its entry in ``weights`` says.

        buckets: those of the values, where the caller knows them. Raises ValueError on a negative
        value.
        """
        values = np.asarray(values_ns, dtype=np.int64)
        if not values.size:
            return
        low, high = int(values.min()), int(values.max())
        if low < 0:
            raise ValueError(f"a duration cannot be negative: {low} ns")
        indices = bucket_of(values) if buckets is None else buckets
        self._counts += np.bincount(indices, weights, BUCKETS + 1).astype(np.int64)
        self.min_ns = min(self.min_ns, low) if self.count else low
        self.max_ns = max(self.max_ns, high)
        self.count += int(values.size if weights is None else weights.sum())
        self.sum_ns += int(values.sum() if weights is None else values @ weights)

    def merge(self, other: "Histogram") -> None:
        """Add the counts of ``other``; the result is as if all values had been recorded here."""
        if not other.count:
            return
        self.min_ns = min(self.min_ns, other.min_ns) if self.count else other.min_ns
        self.max_ns = max(self.max_ns, other.max_ns)
        self._counts += other._counts  # noqa: SLF001 - its own kind
        self.count += other.count
        self.sum_ns += other.sum_ns

    @property
    def overflow(self) -> int:
        """The number of values above `HIGHEST_NS`."""
        return int(self._counts[BUCKETS])

    @property
    def mean_ns(self) -> float:
        """The exact mean; 0.0 if there are no values."""
        return self.sum_ns / self.count if self.count else 0.0

    def percentile(self, percent: float) -> int:
        """Return the value in nanoseconds that ``percent`` of all values do not exceed.

        The nearest-rank definition: the smallest value at or below which at least that share lies;
        0 and 100 give the exact minimum and maximum. Raises ValueError if there are no values,
        or ``percent`` is not from 0 to 100.
        """
        return self.percentiles(percent)[0]

    def percentiles(self, *percents: float) -> list[int]:
        """Return several percentiles, as `percentile` does, at little more than the cost of one."""
        if not all(0 <= percent <= 100 for percent in percents):
            raise ValueError(f"percentiles lie from 0 to 100, not at {percents}")
        if not self.count:
            raise ValueError("there is no percentile of no values")
        # The tolerance keeps 99.9 % of 1000, 999.0000000000001 as floats go, at rank 999.
        ranks = [math.ceil(percent / 100 * self.count - 1e-9 * self.count) for percent in percents]
        indices = np.searchsorted(np.cumsum(self._counts), np.maximum(ranks, 1))
        middles_ns = np.clip(bucket_middle(indices), self.min_ns, self.max_ns)
        middles_ns[indices == BUCKETS] = self.max_ns
        return [
            self.min_ns if percent == 0 else self.max_ns if rank >= self.count else middle_ns
            for percent, rank, middle_ns in zip(percents, ranks, middles_ns.tolist(), strict=True)
        ]

    def values(self) -> Iterator[tuple[int, int]]:
        """Yield (nanoseconds, count): the middle of each bucket, within minimum and maximum."""
        indices = np.flatnonzero(self._counts)
        middles_ns = np.clip(bucket_middle(indices), self.min_ns, self.max_ns)
        yield from zip(middles_ns.tolist(), self._counts[indices].tolist(), strict=True)

    def occupied(self) -> tuple[Integers, Integers]:
        """Return the indices of the occupied buckets, and their counts, as arrays."""
        indices = np.flatnonzero(self._counts)
        return indices, self._counts[indices]

    def buckets(self) -> tuple[list[int], list[int]]:
        """Return the indices of the occupied buckets, and their counts, as lists."""
        indices, counts = self.occupied()
        return indices.tolist(), counts.tolist()
