"""How evenly the connections were served, and how long they took to come up."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from loadgen.results.record import RunRecord
from loadgen.units import format_count
from reports.figures import units
from reports.figures.panel import Panel
from reports.figures.style import BLUE, GREEN, SKY, sheet, styled

Integers = npt.NDArray[np.int64]

_BARS: Final = 30
_WIDE: Final = 10.0
"""Times that differ by more than this factor have a logarithmic axis."""


@styled
def figure(record: RunRecord) -> Figure | None:
    """Draw how messages, mean service times and connect latencies are spread over connections."""
    messages, means_ns, connects_ns = _columns(record)
    shown = [each for each in (messages, means_ns, connects_ns) if each.size]
    if not shown:
        return None
    drawing = sheet(330)
    places = list(np.atleast_1d(drawing.subplots(1, len(shown), squeeze=True)))
    if messages.size:
        _draw_messages(places.pop(0), messages, record)
    if means_ns.size:
        _draw_times(places.pop(0), means_ns, "mean service time", GREEN)
    if connects_ns.size:
        _draw_times(places.pop(0), connects_ns, "connect latency", SKY)
    return drawing


def _columns(record: RunRecord) -> tuple[Integers, Integers, Integers]:
    """Return of the connections their messages, mean service times, and connect latencies.

    Each only of those that have one.
    """
    ledger = record.connections.ledger

    def column(name: str) -> Integers:
        return np.array(ledger.get(name, ()), dtype=np.int64)

    used = (column("connects") > 0) & (column("submitted") > 0)
    means_ns, connects_ns = column("service_time_mean_ns"), column("connect_latency_ns")
    return (
        column("answered")[used],
        means_ns[means_ns > 0],
        connects_ns[(column("connects") > 0) & (connects_ns > 0)],
    )


def _draw_messages(axes: Axes, messages: Integers, record: RunRecord) -> None:
    low, high = int(messages.min()), int(messages.max())
    width = max(1, -(-(high - low + 1) // _BARS))
    edges = np.arange(low, high + width + 1, width) - 0.5
    _bars(axes, messages, edges, BLUE)
    margin = max(1.0, 0.04 * (high - low))
    axes.set_xlim(edges[0] - margin if low else -0.6, edges[-1] + margin)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: format_count(count)))
    axes.set_xlabel("messages sent" if record.plan.reply == "none" else "messages answered")
    axes.set_title(_fairness(record))


def _draw_times(axes: Axes, times_ns: Integers, words: str, colour: str) -> None:
    low, high = int(times_ns.min()), int(times_ns.max())
    if high > _WIDE * low:
        edges = np.geomspace(low, high, _BARS + 1)
        units.durations(axes, "x", low, high)
    else:
        margin_ns = max(0, 0.05 * high - (high - low)) / 2  # all the same is one bar to be seen
        edges = np.linspace(low - margin_ns, high + margin_ns, 2 if margin_ns else _BARS + 1)
        units.like_durations(axes, float(edges[0]), float(edges[-1]))
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)  # as rounded
    _bars(axes, times_ns, edges, colour)
    axes.set_xlabel(words)


def _bars(axes: Axes, values: Integers, edges: Any, colour: str) -> None:
    counts, _ = np.histogram(values, edges)
    axes.stairs(counts, edges, fill=True, color=colour)
    units.amounts(axes, float(counts.max()))
    axes.set_ylabel("connections")


def _fairness(record: RunRecord) -> str:
    """Say how even it was, in a few words."""
    connections = record.connections
    if connections.fairness is None:
        return ""
    starved = f", {format_count(connections.starved)} starved" if connections.starved else ""
    return f"Jain's index {connections.fairness:.3f}{starved}"


def note(record: RunRecord) -> str:
    """Say what is missing, and why."""
    columns: Sequence[Integers] = _columns(record)
    listed = len(record.connections.ledger.get("index", ()))
    if not listed and record.connections.count:
        return "Nothing is drawn: the record does not list its connections one by one."
    if not any(each.size for each in columns):
        return "Nothing is drawn: no connection came up."
    said = []
    if not columns[1].size:
        said.append("No connection has a service time.")
    if listed < record.connections.count:
        said.append(
            f"Of {format_count(record.connections.count)} connections, "
            f"{format_count(listed)} are listed in the record, and drawn."
        )
    return " ".join(said)


PANEL: Final = Panel[RunRecord](
    name="connections",
    title="Connections beside each other",
    caption=(
        "How many connections got so many messages, had such a mean service time, and took so long "
        "to come up: narrow heaps are even, a heap apart is a group that was served differently; "
        "Jain's index is 1 where all got the same."
    ),
    draw=figure,
    note=note,
)
