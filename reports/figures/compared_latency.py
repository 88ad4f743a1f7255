"""Latency by percentile of several runs, laid over each other."""

from typing import Final

import numpy as np
from matplotlib.figure import Figure

from loadgen.analysis import censoring
from loadgen.results.record import RunRecord
from reports.figures.latency_by_percentile import curve, label_percents, label_times
from reports.figures.panel import Panel, Sides
from reports.figures.sides import draw_rounds, left_out, sides
from reports.figures.slices import WORDS, Floats, Latency, latency_of
from reports.figures.style import legend, sheet, styled


@styled
def figure(records: Sides) -> Figure | None:
    """Draw the latency of each round, those of one side alike."""
    kind = _kind(records)
    drawing = sheet(420)
    axes = drawing.add_subplot()
    for side in sides(records):
        curves = (_curve(record, kind) for record in side.rounds)
        draw_rounds(axes, side, curves, drawstyle="steps-pre")
    ends = [float(np.asarray(line.get_xdata())[-1]) for line in axes.get_lines()]
    if not ends:
        return None
    label_percents(axes, max(ends))
    label_times(axes)
    axes.set_ylabel(WORDS[kind])
    legend(axes)
    return drawing


def _curve(record: RunRecord, kind: Latency) -> tuple[Floats, Floats]:
    if kind == "response_time_ns":
        assert record.response_time_ns is not None
        return curve(record, record.response_time_ns, censoring.unserved(record))
    return curve(record, record.service_time_ns, censoring.unanswered(record))


def _kind(records: Sides) -> Latency:
    """Return what can be compared: response time only where every round has one to believe."""
    kinds = {latency_of(record) for side in sides(records) for record in side.rounds}
    return "response_time_ns" if kinds == {"response_time_ns"} else "service_time_ns"


def note(records: Sides) -> str:
    """Say what is missing, and why."""
    every = [record for side in sides(records) for record in side.rounds]
    kind = _kind(records)
    said = []
    if not any(_curve(record, kind)[0].size for record in every):
        said.append("Nothing is drawn: there are too few messages for any percentile.")
    if kind == "service_time_ns" and any(record.response_time_ns is not None for record in every):
        said.append("Service time, because not every run has a response time to believe.")
    return " ".join(filter(None, [*said, left_out(records)]))


PANEL: Final = Panel[Sides](
    name="compared-latency",
    title="Latency by percentile, run beside run",
    caption=(
        "A lower line is faster, and where the thin lines of two sides cross and mingle, rounds "
        "differ as much as the sides do; lines end where fewer than ten messages lie beyond."
    ),
    draw=figure,
    note=note,
)
