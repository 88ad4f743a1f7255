"""One time of many intervals, such as their service times, in few bytes.

Facts. An interval of 5000 messages fills some seven hundred buckets of each of its histograms.
Kept as lists of Python's integers they take 145 KB; as bytes, some 3 KB.

Decision. Each histogram is a row of whole numbers, none of them negative: how many buckets hold
something; minimum, maximum and sum (nanoseconds; zeros where nothing was counted); how far each of
these buckets lies from the one before it, the first from 0; the count of each. The rows follow one
another, their numbers are varints (`loadgen.packing`), and all of them are one zlib stream
(RFC 1950). What else a `Distribution` says follows from these numbers.

Cost. `TimesPacker.add` is called in the loop, for each time of an interval, once a second:
``pytest bench -k interval`` says how long that holds it up, with all the rest that then is done.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from loadgen.core.histogram import BUCKETS, Histogram, Integers
from loadgen.distribution import NOTHING, Distribution
from loadgen.packing import from_varints, to_varint, to_varints

_MOST_BYTES: Final = 2**22
"""Sixty intervals with something in every bucket are 3 MB; what unpacks to more is damaged."""

_HEAD: Final = 4  # the numbers before the buckets: how many of them, minimum, maximum, sum

# Level 4 is half as fast again as the usual 6, and its result 4 % longer. A window of 8 KiB spares
# 200 KiB of memory a stream and costs nothing: a histogram is shorter.
_LEVEL, _WINDOW_BITS, _MEMORY_LEVEL = 4, 13, 6


class TimesPacker:
    """Packs one time of intervals that come one after the other."""

    def __init__(self) -> None:
        self._stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL)
        self._packed = bytearray()

    def add(self, times: Distribution) -> None:
        """Add those of the next interval."""
        occupied = len(times.buckets)
        # Large ones, one by one; the distances after the first, and the counts, are mostly small.
        head = (occupied, times.min or 0, times.max or 0, times.sum, *times.buckets[:1])
        numbers = np.fromiter(times.buckets + times.counts, np.int64, 2 * occupied)
        numbers[1:occupied] -= numbers[: max(0, occupied - 1)].copy()
        content = b"".join(map(to_varint, head)) + to_varints(numbers[1:])
        self._packed += self._stream.compress(content)

    def packed(self) -> bytes:
        """Return all of them, packed; nothing can be added any more."""
        return bytes(self._packed + self._stream.flush())


class TimesColumn(NamedTuple):
    """One time of several intervals: an entry each, and the occupied buckets of all."""

    occupied: Integers
    """How many buckets each interval has of ``buckets`` and ``counts``."""
    min_ns: Integers
    max_ns: Integers
    sum_ns: Integers
    buckets: Integers
    counts: Integers

    @classmethod
    def unpacked(cls, *contents: bytes) -> "TimesColumn":
        """Return what one `TimesPacker` has packed, or several. Raises ValueError if damaged."""
        try:
            numbers = from_varints(b"".join(map(_inflated, contents)))
            heads = _heads(numbers)
            occupied = numbers[heads]
            # The distances of each row begin right after its head, its counts right after these.
            before = np.cumsum(occupied) - occupied
            places = np.repeat(heads + _HEAD - before, occupied) + np.arange(occupied.sum())
            distances, counts = numbers[places], numbers[places + np.repeat(occupied, occupied)]
        except (zlib.error, IndexError) as error:
            raise ValueError(f"the packed times are damaged: {error}") from None
        reached = np.append(0, np.cumsum(distances))
        buckets = reached[1:] - np.repeat(reached[before], occupied)
        if buckets.size and buckets.max() > BUCKETS:
            raise ValueError(f"the packed times are damaged: a bucket index lies beyond {BUCKETS}")
        low_ns, high_ns, sum_ns = (numbers[heads + after] for after in (1, 2, 3))
        return cls(occupied, low_ns, high_ns, sum_ns, buckets, counts)

    @classmethod
    def of(cls, times: Sequence[Distribution | None]) -> "TimesColumn":
        """Return the column of ``times``; nothing was counted where there is none."""
        known = [NOTHING if each is None else each for each in times]

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
        """Yield those of each interval, as histograms."""
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


def _inflated(content: bytes) -> bytes:
    """Return what zlib has made ``content`` of. Raises ValueError or zlib.error if damaged."""
    stream = zlib.decompressobj()
    inflated = stream.decompress(content, _MOST_BYTES)
    if not stream.eof:
        raise ValueError("the packed times are damaged: cut off, or too long")
    return inflated


def _heads(numbers: Integers) -> Integers:
    """Return where each row begins. Raises ValueError if the last one is cut off."""
    heads, place = [], 0
    while place < numbers.size:
        heads.append(place)
        place += _HEAD + 2 * int(numbers[place])
    if place > numbers.size:
        raise ValueError("the packed times are damaged: they end too early")
    return np.array(heads, np.int64)


def summed(columns: Iterable[TimesColumn], groups: Integers, size: int) -> list[Distribution]:
    """Return the distributions of ``size`` groups of intervals, each group together.

    groups: of which group each interval in ``columns`` is, from 0 on.
    """
    counts = np.zeros((size, BUCKETS + 1), np.int64)
    lowest_ns = np.full(size, np.iinfo(np.int64).max)
    highest_ns, sum_ns = np.zeros(size, np.int64), np.zeros(size, np.int64)
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
        np.add.at(sum_ns, own, column.sum_ns)
    bounds_ns = zip(lowest_ns.tolist(), highest_ns.tolist(), strict=True)
    return [
        Distribution.of(
            Histogram.from_buckets(np.flatnonzero(row), row[np.flatnonzero(row)], bounds, total)
        )
        for row, bounds, total in zip(counts, bounds_ns, sum_ns.tolist(), strict=True)
    ]
