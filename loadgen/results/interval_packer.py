"""Packs the intervals of a run as they end, so that a long run needs little memory."""

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
    """Appends intervals as they end, and keeps them packed."""

    def __init__(self) -> None:
        self._blocks: list[IntervalBlock] = []
        self._open: _OpenBlock | None = None

    def append(self, interval: IntervalRecord) -> None:
        """Add the next interval."""
        if self._open is None or not self._open.accepts(interval):
            if self._open is not None:
                self._blocks.append(self._open.packed())
            self._open = _OpenBlock(interval)
        self._open.append(interval)

    def move(self, by_s: float) -> None:
        """Add ``by_s`` to the start of every interval so far."""
        for columns in self._columns():
            columns["start_s"][:] = [start_s + by_s for start_s in columns["start_s"]]

    def set_last_duration(self, duration_s: float) -> None:
        """Set the duration of the last interval, now that it is known."""
        *_, columns = self._columns()
        columns["duration_s"][-1] = duration_s

    def packed(self) -> PackedIntervals:
        """Return the intervals so far, without those that are appended later."""
        unfinished = () if self._open is None else (self._open.packed(),)
        return PackedIntervals([*self._blocks, *unfinished])

    def _columns(self) -> Iterator[dict[str, list[int | float]]]:
        for block in self._blocks:
            yield block.numbers
        if self._open is not None:
            yield self._open.numbers


class _OpenBlock:
    """A block that is still being filled: intervals of one phase, with the same times known."""

    def __init__(self, first: IntervalRecord) -> None:
        self.numbers: dict[str, list[int | float]] = {name: [] for name in NUMBERS}
        self._phase = first.stage
        self._times = {kind: TimesPacker() for kind in _known(first)}

    def accepts(self, interval: IntervalRecord) -> bool:
        """Return whether ``interval`` can be added."""
        is_alike = interval.stage == self._phase and _known(interval) == list(self._times)
        return is_alike and len(self.numbers["start_s"]) < BLOCK

    def append(self, interval: IntervalRecord) -> None:
        for name, column in self.numbers.items():
            column.append(getattr(interval, name))
        for kind, packer in self._times.items():
            packer.add(getattr(interval, kind))

    def packed(self) -> IntervalBlock:
        numbers = {name: list(column) for name, column in self.numbers.items()}
        times = {kind: packer.packed() for kind, packer in self._times.items()}
        return IntervalBlock(stage=self._phase, numbers=numbers, times=times)


def _known(times: Times) -> list[str]:
    """Return the names of the times that are not null."""
    return [kind for kind in KINDS if getattr(times, kind) is not None]


def packed(intervals: Iterable[IntervalRecord] | PackedIntervals) -> PackedIntervals:
    """Return ``intervals`` packed."""
    if isinstance(intervals, PackedIntervals):
        return intervals
    packer = IntervalPacker()
    for interval in intervals:
        packer.append(interval)
    return packer.packed()
