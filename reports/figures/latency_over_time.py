"""Latency over time: its percentiles in each interval, and below them all of it as a heat map."""

from typing import Any, Final

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from loadgen.results.distribution import Distribution
from loadgen.results.intervals import times_of
from loadgen.results.record import RunRecord
from loadgen.units import format_count
from reports.figures import units
from reports.figures.panel import Panel
from reports.figures.slices import (
    WORDS,
    Floats,
    Slice,
    latency_of,
    slices,
    span_s,
    steps,
    thinning,
    times_by_slice,
)
from reports.figures.style import (
    BLUE,
    GREEN,
    GROUND,
    ORANGE,
    VERMILLION,
    Row,
    column,
    legend,
    styled,
)

_PERCENTS: Final = {"p50": 50.0, "p90": 90.0, "p99": 99.0}
_COLOURS: Final = {"p50": BLUE, "p90": GREEN, "p99": ORANGE, "max": VERMILLION}
_DIGITS: Final = 9  # of seconds: no interval is shorter than a nanosecond
_ROWS_PER_OCTAVE: Final = 4
_FAINTEST: Final = 0.3
"""Where in the colours of the map one message lies: far enough from its ground to be seen."""


@styled
def figure(record: RunRecord) -> Figure | None:
    """Draw the latency of the load model over time."""
    kind = latency_of(record)
    parts = slices(record)
    times = times_by_slice(record, kind, parts)
    known = [each for each in times if each.count]
    if not known:
        return None
    shortest_ns = max(1, min(each.min or 0 for each in known))
    longest_ns = max(shortest_ns, *(each.max or 0 for each in known))

    def draw_lines(axes: Axes) -> None:
        _draw_percentiles(axes, parts, times)
        units.durations(axes, "y", max(1, min(map(_low, known))), longest_ns)
        axes.set_ylabel(WORDS[kind])
        legend(axes)

    def draw_map(axes: Axes) -> None:
        _draw_map(axes, parts, times)
        units.durations(axes, "y", shortest_ns, longest_ns)
        axes.set_ylabel(WORDS[kind])

    drawing, places = column([Row(200, draw_lines), Row(240, draw_map)])
    units.moments(places[-1], *span_s(record))
    return drawing


def _low(times: Distribution) -> int:
    """Return the lowest value that the lines show of ``times``."""
    shown = times.p50 if times.carries(50) else times.max
    return shown or 1


def _draw_percentiles(axes: Axes, parts: list[Slice], times: list[Distribution]) -> None:
    for name, colour in _COLOURS.items():
        values = [_value(each, name) for each in times]
        if any(value is not None for value in values):
            axes.plot(*steps(parts, values), color=colour, label=name)


def _value(times: Distribution, name: str) -> float | None:
    """Return that figure in nanoseconds; None where there are too few values for it."""
    is_known = name == "max" or times.carries(_PERCENTS[name])
    return getattr(times, name) if is_known else None


# ---- the heat map -------------------------------------------------------------------------


def _draw_map(axes: Axes, parts: list[Slice], times: list[Distribution]) -> None:
    edges_s, columns = _columns(parts)
    edges_ns, rows_of = _rows(times)
    rows = len(edges_ns) - 1
    counts = np.zeros((rows, len(edges_s) - 1))
    for (first, end), each in zip(columns, times, strict=True):
        values = list(each.histogram().values())
        if values:
            nanoseconds, amounts = np.array(values).T
            counts[:, first:end] += np.bincount(rows_of(nanoseconds), amounts, rows)[:, np.newaxis]
    axes.set_facecolor(GROUND)
    axes.grid(visible=False)
    most = max(2.0, counts.max())
    cells = axes.pcolormesh(
        edges_s,
        edges_ns,
        np.ma.masked_equal(counts, 0),
        cmap=_colours(),
        norm=LogNorm(1, most),
        rasterized=True,
    )
    drawing = axes.get_figure(root=True)
    assert drawing is not None
    scale = drawing.colorbar(
        cells, ax=axes, location="top", aspect=30, shrink=0.5, anchor=(0.0, 0.0), pad=0.01
    )
    scale.set_label("messages in a cell")
    scale.ax.xaxis.set_label_position("top")
    scale.ax.xaxis.set_minor_locator(NullLocator())
    scale.ax.xaxis.set_major_locator(LogLocator(numticks=6))
    scale.ax.xaxis.set_major_formatter(FuncFormatter(lambda count, _: format_count(count)))
    scale.outline.set_visible(False)


def _columns(parts: list[Slice]) -> tuple[Floats, list[tuple[int, int]]]:
    """Return the edges of the columns, and from which to which each slice reaches.

    Intervals follow each other as closely as floating point lets them, and may overlap.
    """
    spans_s = np.round([(part.start_s, part.end_s) for part in parts], _DIGITS)
    edges_s = np.unique(spans_s)
    return edges_s, [tuple(places) for places in np.searchsorted(edges_s, spans_s).tolist()]


def _rows(times: list[Distribution]) -> tuple[Floats, Any]:
    """Return the edges of the rows in nanoseconds, and what tells the rows of values."""
    known = [each for each in times if each.count]
    first = np.floor(np.log2(max(1, min(each.min or 0 for each in known))) * _ROWS_PER_OCTAVE)
    last = np.floor(np.log2(max(1, *(each.max or 0 for each in known))) * _ROWS_PER_OCTAVE)
    edges_ns = 2 ** (np.arange(first, last + 2) / _ROWS_PER_OCTAVE)

    def rows_of(values_ns: npt.NDArray[Any]) -> npt.NDArray[Any]:
        rows = np.searchsorted(edges_ns, values_ns, side="right") - 1
        return np.clip(rows, 0, len(edges_ns) - 2)

    return edges_ns, rows_of


def _colours() -> ListedColormap:
    whole = mpl.colormaps["viridis"]
    return ListedColormap(whole(np.linspace(_FAINTEST, 1, 256)))


def note(record: RunRecord) -> str:
    """Say why there is nothing to see, or how it has been thinned."""
    if record.plan.reply == "none":
        return "Nothing is drawn: one way, there is no reply to wait for."
    kind = latency_of(record)
    if not any(column.counts.size for column in times_of(record.intervals, kind)):
        return "Nothing is drawn: no message was answered."
    return thinning(record)


PANEL: Final = Panel[RunRecord](
    name="latency-over-time",
    title="Latency over time",
    caption=(
        "Above, percentiles and the maximum of each interval, where it has messages enough for "
        "them; below, every message in a map, brighter where more of them took that long: a stall "
        "is a streak that leaves the band."
    ),
    draw=figure,
    note=note,
)
