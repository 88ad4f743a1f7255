"""Packs the histograms of one time, such as the service time, of many intervals.

An interval of 5000 messages fills some seven hundred buckets of each of its histograms. As lists of
Python integers they take 145 KB; packed, some 3 KB.

Each histogram is a row of integers, none of them negative: the number of occupied buckets; minimum,
maximum and sum (nanoseconds; zeros without values); the distance of each occupied bucket from the
one before it, the first from 0; the count of each. The numbers of all rows are varints
(`loadgen.results.varint`) in one zlib stream (RFC 1950). The rest of a `Distribution` is computed
from them. `TimesPacker.add` is called in the loop, for each time of an interval, once a second:
``pytest bench -k interval`` measures it, with all else that the end of an interval costs.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from loadgen.quantities import LONGEST_NS, MOST_IN_HISTOGRAM
from loadgen.results.distribution import NO_VALUES, Distribution
from loadgen.results.histogram import BUCKETS, Histogram, Integers
from loadgen.results.varint import from_varints, to_varint, to_varints

_HEAD: Final = 4  # the numbers before the buckets: how many of them, minimum, maximum, sum

MOST_ROW_BYTES: Final = 9 * (_HEAD + BUCKETS + 1)
"""The most bytes of a row, so that no stream is unpacked further than its intervals can need.

A number has nine bytes at most. If all buckets are occupied, a bucket takes nine with its count:
the distances add up to `BUCKETS`, so that they have two bytes at most on average; the counts add up
to `MOST_IN_HISTOGRAM`, 2^41 each, so that they have seven at most on average. The limit is needed
because a few kilobytes of a zlib stream can expand to gigabytes (https://docs.python.org/3/library/zlib.html).
"""

# Level 4 is half as fast again as the default 6, and its result 4 % longer. A window of 8 KiB saves
# 200 KiB of memory for each stream and costs nothing: a histogram is shorter.
_LEVEL, _WINDOW_BITS, _MEMORY_LEVEL = 4, 13, 6


class TimesPacker:
    """Packs one time of consecutive intervals."""

    def __init__(self) -> None:
        self._stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL)
        self._packed = bytearray()

    def add(self, times: Distribution) -> None:
        """Add the distribution of the next interval."""
        occupied = len(times.buckets)
        # Large numbers one by one; the distances after the first, and the counts, are mostly small.
        head = (occupied, times.min or 0, times.max or 0, times.sum, *times.buckets[:1])
        numbers = np.fromiter(times.buckets + times.counts, np.int64, 2 * occupied)
        numbers[1:occupied] -= numbers[: max(0, occupied - 1)].copy()
        content = b"".join(map(to_varint, head)) + to_varints(numbers[1:])
        self._packed += self._stream.compress(content)

    def packed(self) -> bytes:
        """Return all distributions so far, packed."""
        return bytes(self._packed + self._stream.copy().flush())


class TimesColumn(NamedTuple):
    """One time of several intervals: an entry for each, and the occupied buckets of all."""

    occupied: Integers
    """How many buckets each interval has of ``buckets`` and ``counts``."""
    min_ns: Integers
    max_ns: Integers
    sum_ns: Integers
    buckets: Integers
    counts: Integers

    @classmethod
    def unpacked(cls, contents: Sequence[bytes], sizes: Sequence[int]) -> "TimesColumn":
        """Return the column that one or more `TimesPacker` packed. Raises ValueError if damaged.

        sizes: the number of intervals in each of ``contents``.
        """
        try:
            numbers = from_varints(b"".join(map(_decompressed, contents, sizes)))
            heads = _heads(numbers, sum(sizes))
            occupied = numbers[heads]
            # In each row the distances follow the head, and the counts follow the distances.
            before = np.cumsum(occupied) - occupied
            places = np.repeat(heads + _HEAD - before, occupied) + np.arange(occupied.sum())
            distances, counts = numbers[places], numbers[places + np.repeat(occupied, occupied)]
        except (zlib.error, IndexError) as error:
            raise ValueError(f"the packed times are damaged: {error}") from None
        reached = np.append(0, np.cumsum(distances))
        buckets = reached[1:] - np.repeat(reached[before], occupied)
        if buckets.size and not 0 <= buckets.min() <= buckets.max() <= BUCKETS:
            raise ValueError(f"the packed times are damaged: a bucket index lies beyond {BUCKETS}")
        low_ns, high_ns, sum_ns = (numbers[heads + after] for after in (1, 2, 3))
        column = cls(occupied, low_ns, high_ns, sum_ns, buckets, counts)
        column._check()
        return column

    def _check(self) -> None:
        """Raise ValueError for invalid histograms: the checks of `Distribution`, in bulk."""
        some = self.occupied > 0
        firsts = (np.cumsum(self.occupied) - self.occupied)[some]
        are_rising = np.diff(self.buckets) > 0
        are_rising[firsts[1:] - 1] = True
        if not are_rising.all():
            raise ValueError("the packed times are damaged: a bucket occurs twice")
        totals = np.zeros(self.occupied.size)
        if firsts.size:  # as floats: the sums of damaged data may exceed 2^63
            totals[some] = np.add.reduceat(self.counts, firsts, dtype=np.float64)
        if totals.sum() > MOST_IN_HISTOGRAM or self.max_ns.max(initial=0) > LONGEST_NS:
            raise ValueError("the packed times are damaged: a number is too large")
        slack = 1 + 1e-9
        are_within = (totals * self.min_ns <= slack * self.sum_ns.astype(float)) & (
            self.sum_ns.astype(float) <= slack * totals * self.max_ns
        )
        if np.any(self.min_ns > self.max_ns) or not are_within.all():
            raise ValueError("the packed times are damaged: their figures contradict each other")

    @classmethod
    def of(cls, times: Sequence[Distribution | None]) -> "TimesColumn":
        """Return the column of ``times``; None becomes a distribution without values."""
        known = [NO_VALUES if each is None else each for each in times]

        def numbers(values: Iterable[int]) -> Integers:
            return np.fromiter(values, np.int64)

        return cls(
            occupied=numbers(len(each.buckets) for each in known),
            min_ns=numbers(each.min or 0 for each in known),
            max_ns=numbers(each.max or 0 for each in known),
            sum_ns=numbers(each.sum for each in known),
            buckets=numbers(bucket for each in known for bucket in each.buckets),
            counts=numbers(count for each in known for count in each.counts),
        )

    def histograms(self) -> Iterator[Histogram]:
        """Yield the histogram of each interval."""
        end = 0
        for occupied, low_ns, high_ns, sum_ns in zip(
            self.occupied.tolist(),
            self.min_ns.tolist(),
            self.max_ns.tolist(),
            self.sum_ns.tolist(),
            strict=True,
        ):
            own = slice(end, end := end + occupied)
            yield Histogram.from_buckets(
                self.buckets[own], self.counts[own], (low_ns, high_ns), sum_ns
            )


def _decompressed(content: bytes, size: int) -> bytes:
    """Return the decompressed rows of ``size`` intervals.

    Raises zlib.error, and ValueError if they are longer than rows can be.
    """
    stream = zlib.decompressobj()
    most_bytes = size * MOST_ROW_BYTES
    unpacked = stream.decompress(content, most_bytes)
    if stream.unconsumed_tail:
        raise ValueError(
            f"the packed times are damaged: more than {most_bytes} bytes; an interval has "
            f"{MOST_ROW_BYTES} at most"
        )
    if not stream.eof:
        raise zlib.error("incomplete or truncated stream")
    return unpacked


def _heads(numbers: Integers, size: int) -> Integers:
    """Return the start of each of ``size`` rows. Raises ValueError if there are more or fewer."""
    heads: list[int] = []
    place = 0
    while place < numbers.size and len(heads) < size:
        heads.append(place)
        place += _HEAD + 2 * int(numbers[place])
    if place > numbers.size:
        raise ValueError("the packed times are damaged: they end too early")
    if place < numbers.size:
        raise ValueError(f"there are more than {size} of them for {size} intervals")
    if len(heads) < size:
        raise ValueError(f"there are {len(heads)} of them for {size} intervals")
    return np.array(heads, np.int64)


def summed(columns: Iterable[TimesColumn], groups: Integers, size: int) -> list[Distribution]:
    """Return one distribution for each of ``size`` groups of intervals.

    groups: the number of the group, from 0, of each interval in ``columns``.
    """
    counts = np.zeros((size, BUCKETS + 1), np.int64)
    lowest_ns = np.full(size, np.iinfo(np.int64).max)
    highest_ns, sums_ns = np.zeros(size, np.int64), np.zeros(size, object)  # may exceed 2^63
    at = 0
    for column in columns:
        own = groups[at : at + column.occupied.size]
        at += own.size
        first, end = int(own.min()), int(own.max()) + 1
        cells = np.repeat(own - first, column.occupied) * (BUCKETS + 1) + column.buckets
        more = np.bincount(cells, column.counts, (end - first) * (BUCKETS + 1)).astype(np.int64)
        counts[first:end] += more.reshape(-1, BUCKETS + 1)
        some = column.occupied > 0
        np.minimum.at(lowest_ns, own[some], column.min_ns[some])
        np.maximum.at(highest_ns, own[some], column.max_ns[some])
        np.add.at(sums_ns, own, column.sum_ns.astype(object))
    bounds_ns = zip(lowest_ns.tolist(), highest_ns.tolist(), strict=True)
    return [
        Distribution.of(
            Histogram.from_buckets(np.flatnonzero(row), row[np.flatnonzero(row)], bounds, total)
        )
        for row, bounds, total in zip(counts, bounds_ns, sums_ns.tolist(), strict=True)
    ]
