"""Rows as arrays: their columns, and what is made of them, for all rows at once."""

from array import array
from collections.abc import Iterable
from typing import Final

import numpy as np

from loadgen.engine.pauses import Booleans
from loadgen.results.histogram import Integers

# The offset between the clocks is known this well: a stamp that is off by less is plausible.
_TOLERANCE_NS: Final = 1_000


def arrivals(times_ns: Iterable[Integers], offset_ns: int) -> tuple[Integers, Booleans]:
    """Return when replies arrived, and of which that is known.

    times_ns: when they were sent, their stamps, and when they were read.
    offset_ns: how far stamps are ahead of the clock that the other times are read from. A stamp
    that does not lie between sent and read is not a known time.
    """
    sent_ns, stamp_ns, read_ns = times_ns
    arrived_ns = stamp_ns - offset_ns
    early_ns, late_ns = sent_ns - arrived_ns, arrived_ns - read_ns
    is_known = (stamp_ns > 0) & (np.maximum(early_ns, late_ns) <= _TOLERANCE_NS)
    return np.clip(arrived_ns, sent_ns, read_ns), is_known


def columns(numbers: list[int], width: int) -> Integers:
    """Return rows of ``width`` integers as an array of columns, each together in memory."""
    rows = np.fromiter(numbers, np.int64, len(numbers)).reshape(-1, width)
    return np.ascontiguousarray(rows.T)


def filled(numbers: "array[int]", count: int, width: int) -> Integers:
    """Return the first ``count`` rows, of ``width`` integers, as a copy, in the same form."""
    rows = np.frombuffer(numbers, np.int64, count * width).reshape(-1, width)
    return np.array(rows.T, order="C")


def unless(mask: Booleans | None, counts: Integers) -> Integers:
    """Return ``counts``, and 0 where the mask is true; None is true nowhere."""
    return counts if mask is None else np.where(mask, 0, counts)


def either(one: Booleans | None, other: Booleans | None) -> Booleans | None:
    """Return where one of the two is true; None is true nowhere."""
    if one is None or other is None:
        return other if one is None else one
    return np.logical_or(one, other)
