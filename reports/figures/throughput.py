"""Throughput, connections and failures over time, beside the rate that was asked for."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadgen.plan.profile import Profile
from loadgen.results.record import FailureRecord, RunRecord
from loadgen.units import format_count, format_rate
from reports.figures import units
from reports.figures.panel import Panel
from reports.figures.slices import Floats, Slice, slices, span_s, steps, thinning
from reports.figures.style import BLUE, GREEN, TEXT, VERMILLION, Row, column, legend, styled

KINDS: Final = 8
"""So many kinds of failure have a line of their own: the most frequent."""

_LINE_PX: Final = 26


@styled
def figure(record: RunRecord) -> Figure | None:
    """Draw messages a second, connections, and where there were any, failures."""
    parts = slices(record)
    kinds = record.failures[:KINDS]
    rows = []
    if any(part.is_loaded for part in parts):
        rows.append(Row(180, lambda axes: _draw_rates(axes, record, parts)))
    if any(part.connections_up for part in parts):
        rows.append(Row(110, lambda axes: _draw_connections(axes, parts)))
    if any(part.failures for part in parts):
        rows.append(Row(90, lambda axes: _draw_failures(axes, parts)))
    if kinds:
        rows.append(Row(40 + _LINE_PX * len(kinds), lambda axes: _draw_kinds(axes, kinds)))
    if not rows:
        return None
    drawing, places = column(rows)
    units.moments(places[-1], *span_s(record))
    return drawing


def rate_line(parts: Sequence[Slice]) -> tuple[Floats, Floats]:
    """Return when how many messages a second were answered, while there was load."""
    loaded = [part for part in parts if part.is_loaded]
    return steps(loaded, [part.messages_per_s for part in loaded])


def _draw_rates(axes: Axes, record: RunRecord, parts: Sequence[Slice]) -> None:
    at_s, rates = rate_line(parts)
    is_one_way = record.plan.reply == "none"
    axes.plot(at_s, rates, color=BLUE, clip_on=False, label="sent" if is_one_way else "answered")
    highest = float(np.nanmax(rates, initial=0.0))
    profile = record.plan.profile()
    if profile is not None:
        asked = requested_line(profile, record)
        axes.plot(*asked, color=TEXT, linestyle=(0, (4, 3)), linewidth=1.4, label="requested")
        highest = max(highest, float(asked[1].max()))
    units.amounts(axes, highest, lambda rate: format_rate(rate) if rate else "0")
    axes.set_ylabel("messages")
    legend(axes)


def requested_line(profile: Profile, record: RunRecord) -> tuple[Floats, Floats]:
    """Return the corners of the rate asked for, from the warm-up to the end of the load."""
    end_s = record.actual.duration_s or record.requested.duration_s or profile.duration_s
    corners = [(-record.actual.warmup_s, profile.start_per_s)] if record.actual.warmup_s else []
    corners.append((0.0, profile.start_per_s))
    at_s = 0.0
    for stage in profile.stages:
        at_s += stage.duration_s
        if at_s > end_s:
            break
        corners.append((at_s, stage.target_per_s))
    if corners[-1][0] < end_s:
        corners.append((end_s, profile.rate_at_s(end_s)))
    points = np.array(corners)
    return points[:, 0], points[:, 1]


def _draw_connections(axes: Axes, parts: Sequence[Slice]) -> None:
    # The number is that at the end of each part: a point, not a step.
    at_s = [parts[0].start_s, *(part.end_s for part in parts)]
    opened = parts[0].stage == "opening"
    up = [0 if opened else parts[0].connections_up, *(part.connections_up for part in parts)]
    axes.plot(at_s, up, color=GREEN, clip_on=False)
    units.amounts(axes, max(up))
    axes.set_ylabel("connections up")


def _draw_failures(axes: Axes, parts: Sequence[Slice]) -> None:
    """Draw how many there were in each interval."""
    failures = [part.failures for part in parts]
    at_s, counts = steps(parts, failures)
    axes.fill_between(at_s, counts, color=VERMILLION, linewidth=0, alpha=0.3)
    axes.plot(at_s, counts, color=VERMILLION, clip_on=False)
    units.amounts(axes, max(failures))
    axes.set_ylabel("failures")


def _draw_kinds(axes: Axes, kinds: Sequence[FailureRecord]) -> None:
    """Draw a line for each kind, from when it was first met until it was last."""
    for row, kind in enumerate(kinds):
        axes.plot([kind.first_s, kind.last_s], [row, row], color=VERMILLION, marker="|", mew=1.8)
        axes.annotate(
            f"{kind.phase}: {kind.cause.text.partition(';')[0]} ({format_count(kind.count)})",
            (0, row),
            xycoords=("axes fraction", "data"),
            xytext=(6, 4),
            textcoords="offset points",
            verticalalignment="bottom",
        )
    axes.set_ylim(len(kinds) - 0.4, -0.95)
    axes.set_yticks([])
    axes.set_ylabel("by cause")


def note(record: RunRecord) -> str:
    """Say what has been thinned or left out."""
    more = len(record.failures) - KINDS
    left_out = f"{more} rarer kinds of failure are not drawn." if more > 0 else ""
    parts = slices(record)
    is_something = record.failures or any(each.is_loaded or each.connections_up for each in parts)
    nothing = "" if is_something else "Nothing is drawn: nothing happened."
    return " ".join(filter(None, (nothing, thinning(record), left_out)))


PANEL: Final = Panel[RunRecord](
    name="throughput-over-time",
    title="Throughput, connections and failures over time",
    caption=(
        "Messages a second in each interval of the load beside the rate that was asked for, if one "
        "was; below, the connections that were up, the failures of each interval, rejected "
        "replies included, and a line for each kind of them from its first to its last."
    ),
    draw=figure,
    note=note,
)
