"""Columns of numbers, eight bytes for each: the samples of the monitor in memory."""

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise


class Columns:
    """Rows of numbers, kept by column; unknown values (None) are kept as not a number (NaN)."""

    def __init__(self) -> None:
        self._columns: list[array[float]] = []

    def append(self, row: Iterable[float | None]) -> None:
        """Add a row of the same length as the first one. Integers below 2**53 are exact."""
        values = [math.nan if value is None else value for value in row]
        self._columns = self._columns or [array("d") for _ in values]
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)

    def keep(self, count: int) -> None:
        """Delete all rows but the first ``count``."""
        for column in self._columns:
            del column[count:]

    def thin(self) -> None:
        """Delete every other row, but not the first one."""
        for column in self._columns:
            del column[1::2]

    def __iter__(self) -> Iterator[Sequence[float]]:
        return iter(self._columns)


def since_first(values: Sequence[float]) -> list[float]:
    """Return the difference of each value to the first."""
    return [value - values[0] for value in values]


def differences(values: Sequence[float]) -> list[float]:
    """Return the differences between neighbours, one fewer than ``values``."""
    return [after - before for before, after in pairwise(values)]


def int_or_none(value: float) -> int | None:
    """Return ``value`` as an integer; None if it is unknown."""
    return None if math.isnan(value) else int(value)
