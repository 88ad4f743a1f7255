"""What runs are judged by, as bars side by side, with every round as a point."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadgen.analysis.compare.gates import Unit
from loadgen.analysis.compare.rounds import Rounds
from loadgen.analysis.compare.run_rounds import of_records
from loadgen.units import format_duration_ns, format_rate
from reports.figures import units
from reports.figures.panel import Panel, Sides
from reports.figures.sides import Side, left_out, sides
from reports.figures.style import TEXT, sheet, styled

_BAR_PX: Final = 26
_ROOM_PX: Final = 62


@styled
def figure(records: Sides) -> Figure | None:
    """Draw the medians of the rounds as bars, and each round as a point."""
    shown = sides(records)
    found = {side.label: of_records(side.label, side.rounds) for side in shown}
    names = _names(found)
    if not names:
        return None
    rows = -(-len(names) // 2)
    drawing = sheet(rows * (_ROOM_PX + _BAR_PX * len(shown)))
    places = drawing.subplots(rows, 2, squeeze=False).flatten()
    for axes, name in zip(places, names, strict=False):
        _draw_bars(axes, name, shown, found)
    for axes in places[len(names) :]:
        axes.remove()
    return drawing


def _names(found: Mapping[str, Rounds]) -> list[str]:
    """Return which figures are drawn: those that some side has; of the two latencies one."""
    if not found:
        return []
    every = list(found.values())
    latency = "response" if all("response_p50" in each.figures for each in every) else "service"
    wanted = ("messages_per_s", f"{latency}_p50", f"{latency}_p99", "cpu_per_message")
    return [name for name in wanted if any(name in each.figures for each in every)]


def _draw_bars(axes: Axes, name: str, shown: Sequence[Side], found: Mapping[str, Rounds]) -> None:
    kind = next(each.kinds[name] for each in found.values() if name in each.kinds)
    known = {
        label: [value for value in rounds.figures[name] if value is not None]
        for label, rounds in found.items()
        if name in rounds.figures
    }
    highest = max(map(max, known.values()))
    for row, side in enumerate(shown):
        values = known.get(side.label)
        if values is None:
            _write(axes, 0.0, row, "not known")
            continue
        median = statistics.median(values)
        axes.barh(row, median, height=0.66, color=side.colour)
        if len(values) > 1:
            axes.plot(values, [row] * len(values), "o", color=TEXT, markersize=3.5, alpha=0.75)
        _write(axes, max(values), row, _words(kind.unit, median))
    axes.set_title(kind.title)
    axes.set_yticks(range(len(shown)), [side.short_label for side in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    units.amounts(axes, 1.2 * highest, lambda value: _words(kind.unit, value), "x")


def _write(axes: Axes, value: float, row: int, words: str) -> None:
    axes.annotate(
        words,
        (value, row),
        xytext=(6, 0),
        textcoords="offset points",
        verticalalignment="center",
    )


def _words(unit: Unit, value: float) -> str:
    if not value:
        return "0"
    return format_rate(value) if unit == "per_s" else format_duration_ns(value)


def note(records: Sides) -> str:
    """Say what is missing, and why."""
    said = []
    found = {side.label: of_records(side.label, side.rounds) for side in sides(records)}
    names = _names(found)
    if not names:
        said.append("Nothing is drawn: the runs have no figure in common.")
    for label, rounds in found.items():
        said += [
            f"{label}: {name} is not known: {rounds.missing[name]}."
            for name in names
            if name in rounds.missing
        ]
    return " ".join(filter(None, [*said, left_out(records)]))


PANEL: Final = Panel[Sides](
    name="compared-figures",
    title="Throughput, latency and cost, run beside run",
    caption=(
        "A bar is the median of a side's rounds and each point one round; bars whose points "
        "overlap have not been shown to differ."
    ),
    draw=figure,
    note=note,
)
