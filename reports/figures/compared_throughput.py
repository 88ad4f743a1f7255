"""Throughput over time of several runs, laid over each other from the start of their loads."""

from typing import Final

import numpy as np
from matplotlib.figure import Figure

from loadgen.units import format_count, format_rate
from reports.figures import units
from reports.figures.panel import Panel, Sides
from reports.figures.sides import draw_rounds, left_out, sides
from reports.figures.slices import MOST, slices
from reports.figures.style import legend, sheet, styled
from reports.figures.throughput import rate_line


@styled
def figure(records: Sides) -> Figure | None:
    """Draw messages a second of each round, those of one side alike."""
    drawing = sheet(360)
    axes = drawing.add_subplot()
    for side in sides(records):
        draw_rounds(axes, side, (rate_line(slices(record)) for record in side.rounds))
    drawn = [np.asarray(line.get_xydata(), float) for line in axes.get_lines()]
    if not drawn:
        return None
    points = np.concatenate(drawn)
    highest = float(np.nanmax(points[:, 1]))
    units.amounts(axes, highest, lambda rate: format_rate(rate) if rate else "0")
    units.moments(axes, points[:, 0].min(), points[:, 0].max())
    axes.set_ylabel("messages")
    legend(axes)
    return drawing


def note(records: Sides) -> str:
    """Say what is missing, or has been thinned."""
    every = [record for side in sides(records) for record in side.rounds]
    said = []
    if not any(part.is_loaded for record in every for part in slices(record)):
        said.append("Nothing is drawn: no run came to its load.")
    if any(len(record.intervals) > MOST for record in every):
        said.append(
            f"Thinned: of more than {format_count(MOST)} intervals, several are drawn as one."
        )
    return " ".join(filter(None, [*said, left_out(records)]))


PANEL: Final = Panel[Sides](
    name="compared-throughput",
    title="Throughput over time, run beside run",
    caption=(
        "Messages a second in each interval, every run counted from the start of its own load; a "
        "dip that all lines share is the target's or the machine's."
    ),
    draw=figure,
    note=note,
)
