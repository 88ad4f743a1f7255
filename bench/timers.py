"""Timers for pytest-benchmark: its tables then show the time of one item, or of one message.

pytest-benchmark times a round by the difference of two looks at its timer, and lets a test bring a
timer of its own. That is where the size of a round goes in: 128 messages last as long as they do,
and the timer says how long one of them took.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeVar

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

T = TypeVar("T")


class PerItem:
    """A clock that runs ``items`` times slower: what so many items take is the time of one."""

    def __init__(self, items: int) -> None:
        self._items = items

    def __call__(self) -> float:
        """Return seconds of one item."""
        return perf_counter() / self._items

    def __repr__(self) -> str:
        return f"seconds for one of {self._items}"


class RunClock:
    """A clock that moves only when it is told: a run knows best how long a message took it."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def __call__(self) -> float:
        """Return the sum of what it was told, in seconds."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Let that much time pass."""
        self._now_s += seconds

    def __repr__(self) -> str:
        return "seconds of the measured load for one message"


def each_of(items: int, group: str) -> pytest.MarkDecorator:
    """Mark a benchmark whose every call handles ``items``, so that the time of one is reported.

    A round repeats the call for a millisecond, as a clock reads short times badly; all rounds
    together take about half a second. Tables set beside each other what is of one ``group``.
    """
    return pytest.mark.benchmark(
        group=group, timer=PerItem(items), min_time=0.001 / items, max_time=0.5 / items
    )


def in_rounds(benchmark: BenchmarkFixture, work: Callable[[], T], **how: Any) -> T:
    """Call ``work`` once for each of ``rounds``, after ``setup``; return what the last call did."""
    result: T = benchmark.pedantic(work, **how)  # type: ignore[no-untyped-call] # it has no types
    return result
