"""Packs the intervals of a run as they end, so that a long run does not grow by much."""

from collections.abc import Iterable, Iterator

from loadgen.results.intervals import (
    BLOCK,
    KINDS,
    NUMBERS,
    IntervalBlock,
    IntervalRecord,
    PackedIntervals,
    Times,
)
from loadgen.results.packed_times import TimesPacker


class IntervalPacker:
    """Takes intervals as they end, one after the other, and keeps them packed."""

    def __init__(self) -> None:
        self._blocks: list[IntervalBlock] = []
        self._open: _OpenBlock | None = None

    def append(self, interval: IntervalRecord) -> None:
        """Add the next interval."""
        if self._open is None or not self._open.takes(interval):
            self._close()
            self._open = _OpenBlock(interval)
        self._open.append(interval)

    def move(self, by_s: float) -> None:
        """Let every interval so far begin later by ``by_s``."""
        for columns in self._columns():
            columns["start_s"][:] = [start_s + by_s for start_s in columns["start_s"]]

    def last_took(self, duration_s: float) -> None:
        """Say how long the last interval was, now that it is known."""
        *_, columns = self._columns()
        columns["duration_s"][-1] = duration_s

    def packed(self) -> PackedIntervals:
        """Return all intervals so far; what is appended from now on is not among them."""
        self._close()
        return PackedIntervals(list(self._blocks))

    def _columns(self) -> Iterator[dict[str, list[int | float]]]:
        for block in self._blocks:
            yield block.numbers
        if self._open is not None:
            yield self._open.numbers

    def _close(self) -> None:
        if self._open is not None:
            self._blocks.append(self._open.closed())
            self._open = None


class _OpenBlock:
    """A block that more intervals are added to, of one stage and with the same times known."""

    def __init__(self, first: IntervalRecord) -> None:
        self.numbers: dict[str, list[int | float]] = {name: [] for name in NUMBERS}
        self._stage = first.stage
        self._times = {kind: TimesPacker() for kind in _known(first)}

    def takes(self, interval: IntervalRecord) -> bool:
        """Return whether ``interval`` fits in."""
        is_alike = interval.stage == self._stage and _known(interval) == list(self._times)
        return is_alike and len(self.numbers["start_s"]) < BLOCK

    def append(self, interval: IntervalRecord) -> None:
        for name, column in self.numbers.items():
            column.append(getattr(interval, name))
        for kind, packer in self._times.items():
            packer.add(getattr(interval, kind))

    def closed(self) -> IntervalBlock:
        times = {kind: packer.packed() for kind, packer in self._times.items()}
        return IntervalBlock(stage=self._stage, numbers=self.numbers, times=times)


def _known(times: Times) -> list[str]:
    """Return which of the times of an interval there are."""
    return [kind for kind in KINDS if getattr(times, kind) is not None]


def packed(intervals: Iterable[IntervalRecord] | PackedIntervals) -> PackedIntervals:
    """Return ``intervals`` packed."""
    if isinstance(intervals, PackedIntervals):
        return intervals
    packer = IntervalPacker()
    for interval in intervals:
        packer.append(interval)
    return packer.packed()
