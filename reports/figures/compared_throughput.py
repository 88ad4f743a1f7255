"""Throughput over time of several runs, laid over each other from the start of their loads."""

from typing import Final

import numpy as np
from matplotlib.figure import Figure

from loadgen.summary_times import format_rate
from loadgen.units import format_count
from reports.figures import units
from reports.figures.panel import Panel, Sides
from reports.figures.sides import left_out, sides
from reports.figures.slices import MOST, slices
from reports.figures.style import legend, sheet, styled
from reports.figures.throughput import rate_line


@styled
def figure(records: Sides) -> Figure | None:
    """Draw messages a second of each round, those of one side alike."""
    drawing = sheet(360)
    axes = drawing.add_subplot()
    highest, spans_s = 0.0, []
    for side in sides(records):
        label: str | None = side.label
        for record in side.rounds:
            at_s, rates = rate_line(record, slices(record))
            if at_s.size:
                axes.plot(
                    at_s,
                    rates,
                    color=side.colour,
                    linestyle=side.line,
                    linewidth=1.8 if len(side.rounds) == 1 else 1.0,
                    label=label or "_",
                )
                label = None
                highest = max(highest, float(np.nanmax(rates)))
                spans_s.append((at_s[0], at_s[-1]))
    if not spans_s:
        return None
    units.amounts(axes, highest, lambda rate: format_rate(rate) if rate else "0")
    units.moments(axes, min(begin for begin, _ in spans_s), max(end for _, end in spans_s))
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
