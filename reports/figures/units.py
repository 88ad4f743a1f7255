"""Axes that speak in units people use: durations, moments of a run, sizes, counts and shares.

What is drawn stays what the record holds (nanoseconds, seconds, bytes); only labels are scaled.
"""

import math
from collections.abc import Callable
from typing import Any, Final, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import (
    FuncFormatter,
    Locator,
    LogLocator,
    MaxNLocator,
    MultipleLocator,
    NullLocator,
)

from loadgen.units import format_bytes, format_count, format_duration_ns

_STEPS_S: Final = tuple(
    [digit * 10.0**power for power in range(-9, 1) for digit in (1, 2, 5)][:-1]
    + [5.0, 10.0, 20.0, 30.0]  # seconds
    + [60.0 * minutes for minutes in (1, 2, 5, 10, 20, 30)]
    + [3600.0 * hours for hours in (1, 2, 4, 8, 12, 24, 48, 120, 240, 480, 1200, 2400, 4800)]
)
_SPANS: Final = (("h", 3600.0, 18000.0), ("min", 60.0, 300.0), ("s", 1.0, 0.5), ("ms", 1e-3, 0.0))
"""Units, their seconds, and how long a run is for which ticks at whole or half ones are enough."""

_FEW_DECADES: Final = 2.0
"""An axis of no more powers of ten is labelled between them, too."""

_LEAST_DECADES: Final = 0.75
"""An axis shorter than that might hold one label alone."""

Which = Literal["x", "y"]


class _Moments(Locator):
    """Ticks at round seconds, minutes or hours."""

    def __call__(self) -> Any:
        assert self.axis is not None
        begin_s, end_s = self.axis.get_view_interval()
        return self.tick_values(begin_s, end_s)

    def tick_values(self, vmin: float, vmax: float) -> Any:
        room = 6 if self.axis is None else max(2, min(12, self.axis.get_tick_space() * 2 // 3))
        wanted_s = (vmax - vmin) / room
        longer_s = _STEPS_S[-1] * max(1, math.ceil(wanted_s / _STEPS_S[-1]))
        step_s = next((step for step in _STEPS_S if step >= wanted_s), longer_s)
        first, last = math.ceil(vmin / step_s - 1e-9), math.floor(vmax / step_s + 1e-9)
        return np.arange(first, last + 1) * step_s


def moments(axes: Axes, begin_s: float, end_s: float) -> None:
    """Label the bottom of ``axes`` with seconds since the load began, or longer units of it."""
    span_s = end_s - begin_s
    unit, factor, _ = next(each for each in _SPANS if span_s >= each[2])
    margin_s = 0.01 * span_s or 0.5
    axes.set_xlim(begin_s - margin_s, end_s + margin_s)
    axes.xaxis.set_major_locator(_Moments())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at_s, _: f"{at_s / factor:.10g}"))
    axes.set_xlabel(f"time since the load began ({unit})")


def durations(axes: Axes, which: Which, shortest_ns: float, longest_ns: float) -> None:
    """Make an axis of ``axes`` a logarithmic one of nanoseconds that holds both.

    Both are more than 0.
    """
    low, high = math.log10(shortest_ns), math.log10(longest_ns)
    margin = max(0.04 * (high - low), (_LEAST_DECADES - (high - low)) / 2)
    ends = (10 ** (low - margin), 10 ** (high + margin))
    digits = (1.0, 2.0, 5.0) if high - low + 2 * margin <= _FEW_DECADES else (1.0,)
    axis = _scaled(axes, which, "log", ends)
    axis.set_major_locator(LogLocator(subs=digits, numticks=8))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda each_ns, _: format_duration_ns(each_ns)))


def like_durations(axes: Axes, shortest_ns: float, longest_ns: float) -> None:
    """Make the horizontal axis of ``axes`` a linear one of nanoseconds that holds both."""
    margin_ns = max(0.04 * (longest_ns - shortest_ns), 0.02 * longest_ns)
    axis = _scaled(axes, "x", "linear", (shortest_ns - margin_ns, longest_ns + margin_ns))
    axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda each_ns, _: format_duration_ns(each_ns)))


def amounts(
    axes: Axes,
    highest: float,
    words: Callable[[float], str] = format_count,
    which: Which = "y",
) -> None:
    """Make an axis of ``axes`` one from 0 to ``highest`` and a little more."""
    axis = _scaled(axes, which, "linear", (0, 1.08 * highest if highest > 0 else 1.0))
    if words is format_bytes and highest > 0:
        axis.set_major_locator(MultipleLocator(2 ** math.ceil(math.log2(highest / 4))))
    else:
        is_whole = words is format_count and highest <= 10
        axis.set_major_locator(MaxNLocator(4, integer=is_whole, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))


def _scaled(axes: Axes, which: Which, scale: str, ends: tuple[float, float]) -> Axis:
    if which == "x":
        axes.set_xscale(scale)
        axes.set_xlim(ends)
        return axes.xaxis
    axes.set_yscale(scale)
    axes.set_ylim(ends)
    return axes.yaxis
