"""Columns of numbers that grow as a run goes on, in eight bytes a number."""

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise


class Columns:
    """Rows of numbers, kept by column. What is unknown (None) is not a number (NaN) in them."""

    def __init__(self) -> None:
        self._columns: list[array[float]] = []

    def append(self, row: Iterable[float | None]) -> None:
        """Add a row, as long as the first one. Whole numbers below 2**53 are exact."""
        values = [math.nan if value is None else value for value in row]
        self._columns = self._columns or [array("d") for _ in values]
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)

    def keep(self, count: int) -> None:
        """Forget all rows but the first ``count``."""
        for column in self._columns:
            del column[count:]

    def thin(self) -> None:
        """Forget every other row; the first one stays."""
        for column in self._columns:
            del column[1::2]

    def __iter__(self) -> Iterator[Sequence[float]]:
        return iter(self._columns)


def since_first(values: Sequence[float]) -> list[float]:
    """Return by how much each exceeds the first."""
    return [value - values[0] for value in values]


def differences(values: Sequence[float]) -> list[float]:
    """Return by how much each exceeds the one before it; the first has none before it."""
    return [after - before for before, after in pairwise(values)]


def whole_or_none(value: float) -> int | None:
    """Return a whole number, or None for what is unknown."""
    return None if math.isnan(value) else int(value)
