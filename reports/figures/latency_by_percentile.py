"""Latency by percentile, in the manner of HdrHistogram's plots (http://hdrhistogram.org).

The horizontal axis is 1 / (1 - percentile), logarithmic, so that each further nine has as much room
as the one before.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, Locator, NullLocator

from loadgen.analysis import censoring
from loadgen.results.distribution import Distribution
from loadgen.results.record import RunRecord
from loadgen.units import format_count
from reports.figures import units
from reports.figures.panel import Panel
from reports.figures.slices import Floats, is_service_alone
from reports.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    POINTS_PER_INCH,
    VERMILLION,
    legend,
    sheet,
    styled,
)

PERCENTS: Final = (50, 90, 99, 99.9, 99.99, 99.999, 99.9999, 99.99999, 99.999999)
"""What the axis is labelled with; every line has a point at each of them that it carries."""

_LETTER_PX: Final = 7.5

_POINTS_PER_DECADE: Final = 80


class _Nines(Locator):
    """Ticks at `PERCENTS`, as many of them as there is room for their labels."""

    def __call__(self) -> list[float]:
        assert self.axis is not None
        begin, end = self.axis.get_view_interval()
        return self.tick_values(begin, end)

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        assert isinstance(self.axis, Axis)
        drawing = self.axis.get_figure(root=True)
        assert drawing is not None
        length_px = self.axis.axes.get_position().width * drawing.get_figwidth() * POINTS_PER_INCH
        found: list[float] = []
        taken_px = 0.0
        for far in (100 / (100 - percent) for percent in PERCENTS):
            place_px = length_px * np.log(far / vmin) / np.log(vmax / vmin)
            half_px = len(_in_percent(far)) * _LETTER_PX / 2
            if far <= vmax and place_px - half_px >= taken_px:
                found.append(far)
                taken_px = place_px + half_px
        return found


def _in_percent(far: float) -> str:
    return f"{100 - 100 / far:.10g} %"


class _Line(NamedTuple):
    """A time to draw. ``censored``: messages without a value, which would be the largest."""

    label: str
    times: Distribution
    colour: str
    censored: int = 0


def curve(record: RunRecord, times: Distribution, censored: int = 0) -> tuple[Floats, Floats]:
    """Return 1 / (1 - percentile) and the percentile in nanoseconds.

    The points end with the highest percentile that there are values enough for, and that is known
    although ``censored`` messages have no value.
    """
    if not times.carries(0):
        return np.array([]), np.array([])
    far = np.geomspace(1, max(1.0, times.count), 1 + _decades_points(times.count))
    percents = {*(100 * (1 - 1 / far)).tolist(), *map(float, PERCENTS)}
    shown = [
        percent
        for percent in sorted(percents)
        if times.carries(percent) and censoring.knows(record, percent, censored)
    ]
    histogram = times.histogram()
    far_shown = 100 / (100 - np.array(shown))
    return far_shown, np.array([histogram.percentile(each) for each in shown], dtype=float)


def _decades_points(count: int) -> int:
    return int(_POINTS_PER_DECADE * np.log10(max(10, count)))


def label_percents(axes: Axes, highest: float) -> None:
    """Label the horizontal axis of ``axes`` with percentiles, up to 1 / (1 - p) = ``highest``."""
    axes.set_xscale("log")
    axes.set_xlim(1, max(highest, 2) * 1.05)
    axes.xaxis.set_major_locator(_Nines())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda far, _: _in_percent(far)))
    axes.set_xlabel("share of the messages that took no longer")


def label_times(axes: Axes) -> None:
    """Scale the vertical axis of ``axes`` to hold what is drawn, but for zeros."""
    drawn = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.get_lines()])
    some = drawn[drawn > 0]
    low, high = (float(some.min()), float(some.max())) if some.size else (1e3, 1e6)
    units.durations(axes, "y", max(low, high / 1e7), high)


@styled
def figure(record: RunRecord) -> Figure | None:
    """Draw service time, response time and the two lags as far as there are values enough."""
    lines = [(each, curve(record, each.times, each.censored)) for each in _lines(record)]
    lines = [(each, points) for each, points in lines if points[0].size]
    if not lines:
        return None
    drawing = sheet(420)
    axes = drawing.add_subplot()
    for each, (far, values_ns) in lines:
        axes.plot(far, values_ns, color=each.colour, label=each.label, drawstyle="steps-pre")
    label_percents(axes, max(points[0][-1] for _, points in lines))
    label_times(axes)
    axes.set_ylabel("time")
    legend(axes)
    return drawing


def _lines(record: RunRecord) -> Iterator[_Line]:
    has_replies = record.plan.reply != "none"
    if has_replies:
        unanswered = censoring.unanswered(record)
        yield _Line("service time", record.service_time_ns, BLUE, unanswered)
    if record.response_time_ns is not None and has_replies and not is_service_alone(record):
        unserved = censoring.unserved(record)
        yield _Line("response time", record.response_time_ns, VERMILLION, unserved)
    if record.schedule_lag_ns is not None:
        yield _Line("schedule lag", record.schedule_lag_ns, ORANGE)
    if record.receive_lag_ns is not None and has_replies:
        yield _Line("receive lag", record.receive_lag_ns, GREEN)


def note(record: RunRecord) -> str:
    """Say which lines are missing, and why."""
    said = []
    lines = list(_lines(record))
    if not any(each.times.carries(0) for each in lines):
        said.append("Nothing is drawn: there are too few messages for any percentile.")
    if record.plan.reply == "none":
        said.append("One way: there is no reply to wait for, and so no service time.")
    if record.response_time_ns is not None and is_service_alone(record):
        said.append("Response time is left out: this process sent late, and that would be in it.")
    if record.timestamps.mode == "user" and record.plan.reply != "none":
        said.append("Without timestamps of the kernel, receive lag is part of service time.")
    said += [
        f"{each.label.capitalize()} ends where it is no longer known: "
        f"{format_count(each.censored)} messages had no answer."
        for each in lines
        if each.censored and each.times.count
    ]
    return " ".join(said)


PANEL: Final = Panel[RunRecord](
    name="latency-by-percentile",
    title="Latency by percentile",
    caption=(
        "At 99 %, a line shows the time that 99 in 100 messages did not exceed, and each further "
        "nine has as much room as the one before; lines end where fewer than ten messages lie "
        "beyond."
    ),
    draw=figure,
    note=note,
)
