"""The intervals of a run: single records, packed blocks, and columns of one field.

A run has an interval for each second: 86 400 in a day. As objects they take 145 KB for each second
of the run, and so does their text as JSON. So they are kept in blocks of up to `BLOCK`: their
numbers as columns, their histograms packed (`loadgen.results.packed_times`). A single interval is
unpacked when it is read; one field of all intervals is read as a column.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, groupby
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, TypedDict, overload

import msgspec
import numpy as np
import numpy.typing as npt

from loadgen.errors import RecordError
from loadgen.quantities import MOST_INTERVALS, Bytes, Count, MomentSeconds, Seconds
from loadgen.results.distribution import Distribution
from loadgen.results.histogram import Histogram
from loadgen.results.packed_times import TimesColumn

BLOCK: Final = 60
"""The most intervals in a block."""

_BLOCKS_AT_ONCE: Final = 8
"""Blocks that are unpacked together, in a third of the time if their intervals hold little."""

_ROUNDING_S: Final = 1e-3  # the precision of the starts of several workers

RunPhase = Literal["opening", "warming", "loading", "draining"]
"""The phase of a run: connecting, warming up (messages that are not measured), loading (messages
that are), or draining (waiting for outstanding replies). In records its field is called ``stage``,
which elsewhere is a stage of an offered rate: a format that exists keeps its names."""

Floats = npt.NDArray[np.float64]


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """What is computed from the four times of a message: intended, sent, arrived, read.

    A message was sent in the middle of the call that sent it (`loadgen.net.clock.middle_ns`).
    service_time_ns: sent to arrived: the server and the network. Of timestamped messages; without
    kernel timestamps, arrived is the time of reading, and the generator's own queue is included.
    response_time_ns: intended to arrived: the wait of a user of the server.
    schedule_lag_ns: intended to sent; of it, blocked_ns: until a reply was read that made a
    connection available (the server's doing, but for the receive lag of that reply), and
    generator_lag_ns: from then on (the generator's). Of all messages sent.
    receive_lag_ns: arrived to read: the wait of replies for the generator. Null without kernel
    timestamps.
    user_space_latency_ns: sent to read, of all replies: what other tools call latency.

    response_time_ns, schedule_lag_ns, blocked_ns and generator_lag_ns are null in a closed loop.
    """

    service_time_ns: Distribution
    response_time_ns: Distribution | None
    schedule_lag_ns: Distribution | None
    blocked_ns: Distribution | None
    generator_lag_ns: Distribution | None
    receive_lag_ns: Distribution | None
    user_space_latency_ns: Distribution


class IntervalRecord(Times, frozen=True, kw_only=True):
    """One interval of the run: a second of the load, or the whole opening or drain.

    ``start_s`` of the opening and of the warm-up is negative. ``connections_up`` is the number at
    its end. ``stage`` is the phase of the run. ``failures`` are those of connections; ``rejected``
    of the ``messages`` had a reply that was a rejection.
    """

    start_s: MomentSeconds
    duration_s: Seconds
    stage: RunPhase
    messages: Count
    bytes_sent: Bytes
    bytes_received: Bytes
    connections_up: Count
    failures: Count
    rejected: Count = 0


KINDS: Final = Times.__struct_fields__
_NEVER_NULL: Final = ("service_time_ns", "user_space_latency_ns")
NUMBERS: Final = {
    field.name: field.required
    for field in msgspec.structs.fields(IntervalRecord)
    if field.name not in KINDS and field.name != "stage"
}
"""The fields of `IntervalRecord` that are numbers, and whether they are required."""


if TYPE_CHECKING:
    NumberColumns = dict[str, list[int | float]]
else:
    # For msgspec, which checks ranges and writes the schema: a column for each of `NUMBERS`.
    NumberColumns = TypedDict(
        "NumberColumns",
        {
            field.name: list[field.type]
            for field in msgspec.structs.fields(IntervalRecord)
            if field.name in NUMBERS
        },
        total=False,
    )


class IntervalCounts(NamedTuple):
    """An interval in a form that can be summed: its times, if not null, as histograms."""

    phase: RunPhase
    numbers: dict[str, Any]
    times: dict[str, Histogram]

    @classmethod
    def of(cls, interval: IntervalRecord) -> "IntervalCounts":
        """Return ``interval`` in this form."""
        times = {kind: getattr(interval, kind) for kind in KINDS}
        return cls(
            interval.stage,
            {name: getattr(interval, name) for name in NUMBERS},
            {kind: each.histogram() for kind, each in times.items() if each is not None},
        )

    def record(self) -> IntervalRecord:
        """Return the interval as a record."""
        times: dict[str, Any] = dict.fromkeys(KINDS)
        times.update({kind: Distribution.of(each) for kind, each in self.times.items()})
        return IntervalRecord(stage=self.phase, **self.numbers, **times)


class IntervalBlock(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive intervals of the same phase of the run (``stage``).

    numbers: the fields of `IntervalRecord` that are numbers, a column each.
    times: each field of `Times` that is not null, packed: Base64 (RFC 4648) of a zlib stream
    (RFC 1950) of integers, each in groups of seven bits, the lowest first, a byte for a group; its
    highest bit is set if another one follows (unsigned LEB128). For every interval: the number of
    occupied buckets; minimum, maximum and sum (nanoseconds; 0 without values); the distance of each
    of these buckets from the one before it, the first from bucket 0; and the count of each. The
    buckets are those of `Distribution`.
    """

    stage: RunPhase
    numbers: NumberColumns
    times: dict[str, bytes]

    def __post_init__(self) -> None:
        """Raise ValueError if the columns are incomplete, or differ in length."""
        wanted = [name for name, is_required in NUMBERS.items() if is_required]
        missing = sorted({*wanted, *_NEVER_NULL} - {*self.numbers, *self.times})
        if missing:
            raise ValueError(f"intervals without {', '.join(missing)}")
        lengths = {len(column) for column in self.numbers.values()}
        if len(lengths) > 1 or 0 in lengths:
            raise ValueError("the columns of the intervals are empty, or not of one length")
        if len(self) > BLOCK:
            raise ValueError(f"a block has {len(self)} intervals; it holds {BLOCK} at most")

    def __len__(self) -> int:
        return len(self.numbers["start_s"])

    def counted(self) -> Iterator[IntervalCounts]:
        """Yield the intervals, to be summed. Raises RecordError if they are damaged."""
        names = [name for name in NUMBERS if name in self.numbers]
        kinds = [kind for kind in KINDS if kind in self.times]
        numbers = zip(*(self.numbers[name] for name in names), strict=True)
        times = zip(*(_column((self,), kind).histograms() for kind in kinds), strict=True)
        for own, histograms in zip(numbers, times, strict=True):
            yield IntervalCounts(
                self.stage,
                dict(zip(names, own, strict=True)),
                dict(zip(kinds, histograms, strict=True)),
            )

    def rows(self) -> list[IntervalRecord]:
        """Return the intervals. Raises RecordError if they are damaged."""
        return [each.record() for each in self.counted()]


def _column(blocks: Sequence[IntervalBlock], kind: str) -> TimesColumn:
    """Return one field of `Times` of all intervals in ``blocks``: all have it, or none has.

    Raises RecordError if it is damaged.
    """
    sizes = list(map(len, blocks))
    if kind not in blocks[0].times:
        return TimesColumn.of([None] * sum(sizes))
    try:
        return TimesColumn.unpacked([block.times[kind] for block in blocks], sizes)
    except ValueError as error:
        start_s = blocks[0].numbers["start_s"][0]
        raise RecordError(f"{kind} of the intervals from {start_s} s on: {error}") from None


class PackedIntervals(msgspec.Struct, frozen=True):
    """All intervals of a run, packed; a sequence of intervals, which are unpacked when read.

    blocks: in the order of time.
    """

    blocks: Annotated[list[IntervalBlock], msgspec.Meta(max_length=MOST_INTERVALS // BLOCK)]

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    def __iter__(self) -> Iterator[IntervalRecord]:
        for block in self.blocks:
            yield from block.rows()

    @overload
    def __getitem__(self, place: int) -> IntervalRecord: ...
    @overload
    def __getitem__(self, place: slice) -> list[IntervalRecord]: ...
    def __getitem__(self, place: int | slice) -> IntervalRecord | list[IntervalRecord]:
        if isinstance(place, int):
            every = range(len(self))
            return self._at((every[place],))[0]
        return self._at(range(len(self))[place])

    @property
    def packed_bytes(self) -> int:
        """The size of all packed times in memory; as Base64 text they are longer by a third."""
        return sum(len(content) for block in self.blocks for content in block.times.values())

    def tail(self, count: int) -> "PackedIntervals":
        """Return the last blocks, with ``count`` intervals or more, or all; none is unpacked."""
        first, found = len(self.blocks), 0
        while first and found < count:
            first -= 1
            found += len(self.blocks[first])
        return PackedIntervals(self.blocks[first:])

    def _at(self, places: Iterable[int]) -> list[IntervalRecord]:
        """Return the intervals at ``places``; only the blocks that contain them are unpacked."""
        ends = list(accumulate(map(len, self.blocks)))
        rows: dict[int, list[IntervalRecord]] = {}
        found = []
        for place in places:
            number = bisect_right(ends, place)
            if number not in rows:
                rows = {number: self.blocks[number].rows()}
            found.append(rows[number][place - ends[number]])
        return found


Intervals = (
    Annotated[list[IntervalRecord], msgspec.Meta(max_length=MOST_INTERVALS)] | PackedIntervals
)
"""The two forms of intervals in a record: a list, or packed."""


# ---- one field of all intervals -----------------------------------------------------------


def numbers_of(intervals: Intervals, name: str) -> Floats:
    """Return the field ``name``, one of `NUMBERS`, of all intervals; 0 where it is not recorded."""
    if isinstance(intervals, PackedIntervals):
        columns = (block.numbers.get(name, [0] * len(block)) for block in intervals.blocks)
        return np.fromiter(chain.from_iterable(columns), np.float64)
    return np.fromiter((getattr(each, name) for each in intervals), np.float64)


def phases_of(intervals: Intervals) -> list[RunPhase]:
    """Return the phase of each interval."""
    if isinstance(intervals, PackedIntervals):
        return [block.stage for block in intervals.blocks for _ in range(len(block))]
    return [each.stage for each in intervals]


def counted(intervals: Intervals) -> Iterator[IntervalCounts]:
    """Yield all intervals, to be summed. Raises RecordError if they are damaged."""
    if isinstance(intervals, PackedIntervals):
        for block in intervals.blocks:
            yield from block.counted()
    else:
        yield from map(IntervalCounts.of, intervals)


def times_of(intervals: Intervals, kind: str) -> Iterator[TimesColumn]:
    """Yield the field ``kind`` of `Times` of all intervals, a number of intervals at a time.

    Raises RecordError if they are damaged.
    """
    if isinstance(intervals, PackedIntervals):
        for _, alike in groupby(intervals.blocks, lambda block: kind in block.times):
            blocks = list(alike)
            for start in range(0, len(blocks), _BLOCKS_AT_ONCE):
                yield _column(blocks[start : start + _BLOCKS_AT_ONCE], kind)
    else:
        for start in range(0, len(intervals), BLOCK):
            some = intervals[start : start + BLOCK]
            yield TimesColumn.of([getattr(each, kind) for each in some])


def check_order(intervals: Intervals) -> None:
    """Raise ValueError unless each of ``intervals`` begins no earlier than the one before it.

    They may overlap: a merged interval lasts as long as those of all workers in it.
    """
    starts_s = numbers_of(intervals, "start_s")
    early = np.flatnonzero(np.diff(starts_s) < -_ROUNDING_S)
    if early.size:
        before_s, start_s = starts_s[early[0] : early[0] + 2].tolist()
        raise ValueError(
            f"the intervals stand in the order of time, and one from {start_s} s on comes after "
            f"one from {before_s} s on"
        )


def check(intervals: Intervals) -> None:
    """Raise RecordError if the packed times in ``intervals`` are damaged, by unpacking all."""
    if isinstance(intervals, PackedIntervals):
        for kind in KINDS:
            for _ in times_of(intervals, kind):
                pass


def total_of(intervals: Intervals, name: str, *phases: RunPhase) -> int:
    """Return the sum of the field ``name`` over the intervals of ``phases``."""
    is_included = np.isin(phases_of(intervals), phases)
    return int(numbers_of(intervals, name)[is_included].sum())
