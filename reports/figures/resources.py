"""What generator, target and machine took over time, and the processor time of a message."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadgen.results.delivered import LEAST_CPU_S
from loadgen.results.instruments import MonitorRecord, ProcessSamples
from loadgen.results.record import RunRecord
from loadgen.text import readable
from loadgen.units import NS_PER_S, format_bytes, format_count, format_duration_ns
from reports.figures import units
from reports.figures.panel import Panel
from reports.figures.slices import MOST, Floats, slices, span_s, steps, thinning
from reports.figures.style import BLUE, GREEN, TEXT, VERMILLION, Row, column, legend, styled

SAMPLES: Final = 2 * MOST
"""Of more samples than that, every so many-th is drawn."""


_LONGEST_NAME: Final = 32

_COLUMNS: Final[dict[str, Callable[[float], str]]] = {
    "memory_bytes": format_bytes,
    "descriptors": format_count,
    "threads": format_count,
}


class _Processes(NamedTuple):
    """Processes that are drawn together."""

    label: str
    colour: str
    samples: ProcessSamples


class _Line(NamedTuple):
    """What is drawn of them: values at moments."""

    whose: _Processes
    at_s: Floats
    values: Floats


@styled
def figure(record: RunRecord) -> Figure | None:
    """Draw CPU, memory, descriptors, threads, and the processor time that a message took."""
    monitor = record.monitor
    if monitor is None or len(monitor.at_s) < 2:
        return None
    rows = [Row(150, lambda axes: _draw_cpu(axes, record, monitor))]
    for name, words in _COLUMNS.items():
        label, lines = name.removesuffix("_bytes"), list(_lines(monitor, name))
        if lines:
            rows.append(Row(90, partial(_draw_lines, lines=lines, label=label, words=words)))
    costs = list(_costs(record, monitor))
    if costs:
        words = _duration_in_words
        rows.append(Row(100, partial(_draw_lines, lines=costs, label="CPU / message", words=words)))
    drawing, places = column(rows)
    if monitor.target_ended_at_s is not None:
        _mark_end(places, monitor.target_ended_at_s)
    units.moments(places[-1], *span_s(record))
    return drawing


def _watched(monitor: MonitorRecord) -> Iterator[_Processes]:
    yield _Processes("generator", BLUE, monitor.generator)
    if monitor.target is not None:
        name = readable(monitor.target.name, _LONGEST_NAME)
        yield _Processes(f"target ({name})", VERMILLION, monitor.target)


def _kept(monitor: MonitorRecord) -> list[int]:
    """Return which samples are drawn: all, or every so many-th, and always the last."""
    last = len(monitor.at_s) - 1
    return sorted({*range(0, last, 1 + last // SAMPLES), last})


def _highest(axes: Axes) -> float:
    drawn = [np.asarray(line.get_ydata(), float) for line in axes.get_lines()]
    known = [values[~np.isnan(values)] for values in drawn]
    return float(np.concatenate(known).max(initial=0.0)) if known else 0.0


def _lines(monitor: MonitorRecord, name: str) -> Iterator[_Line]:
    """Yield a line of the samples called ``name`` for each that has some."""
    kept = _kept(monitor)
    at_s = np.array(monitor.at_s)[kept]
    for each in _watched(monitor):
        column_of = getattr(each.samples, name)
        if any(value is not None for value in column_of):
            values = np.array([np.nan if value is None else value for value in column_of], float)
            yield _Line(each, at_s, values[kept])


def _draw_lines(
    axes: Axes, lines: Sequence[_Line], label: str, words: Callable[[float], str]
) -> None:
    for whose, at_s, values in lines:
        axes.plot(at_s, values, color=whose.colour, clip_on=False, label=whose.label)
    units.amounts(axes, _highest(axes), words)
    axes.set_ylabel(label)


def _draw_cpu(axes: Axes, record: RunRecord, monitor: MonitorRecord) -> None:
    """Draw how many processors were busy between two samples."""
    kept = _kept(monitor)
    at_s = np.array(monitor.at_s)
    cpus = record.environment.cpus or 1
    # The share of the machine is known between neighbouring samples; its sum may be thinned.
    machine_s = np.cumsum(np.array(monitor.machine.cpu_share) * np.diff(at_s, prepend=at_s[0]))
    lines = [(each.label, each.colour, np.array(each.samples.cpu_s)) for each in _watched(monitor)]
    lines.append((f"this machine (of {cpus})", GREEN, cpus * machine_s))
    for label, colour, used_s in lines:
        lasting_s = np.diff(at_s[kept])
        with np.errstate(divide="ignore", invalid="ignore"):
            busy = np.where(lasting_s > 0, np.diff(used_s[kept]) / lasting_s, np.nan)
        corners_s = np.repeat(at_s[kept], 2)[1:-1]
        axes.plot(corners_s, np.repeat(busy, 2), color=colour, clip_on=False, label=label)
    units.amounts(axes, _highest(axes), lambda busy: f"{busy:g}")
    axes.set_ylabel("busy processors")
    legend(axes)


# ---- for each message ---------------------------------------------------------------------


def _costs(record: RunRecord, monitor: MonitorRecord) -> Iterator[_Line]:
    """Yield the processor time of a message over time, for each where that can be told."""
    parts = [part for part in slices(record) if part.is_loaded]
    edges_s = np.array([(part.start_s, part.end_s) for part in parts]).reshape(-1, 2)
    messages = [part.messages for part in parts]
    for whose in _watched(monitor):
        used_s = np.diff(np.interp(edges_s, monitor.at_s, whose.samples.cpu_s))[:, 0]
        costs_ns = [
            spent_s * NS_PER_S / count if count and spent_s >= LEAST_CPU_S else None
            for spent_s, count in zip(used_s.tolist(), messages, strict=True)
        ]
        if any(costs_ns):
            yield _Line(whose, *steps(parts, costs_ns))


def _duration_in_words(nanoseconds: float) -> str:
    return format_duration_ns(nanoseconds) if nanoseconds else "0"


def _mark_end(places: Sequence[Axes], ended_at_s: float) -> None:
    for axes in places:
        axes.axvline(
            ended_at_s, color=TEXT, linestyle=(0, (1, 2)), linewidth=1.4, label="the target ended"
        )
    legend(places[0])


def note(record: RunRecord) -> str:
    """Say what is missing, and why; and what has been thinned."""
    monitor = record.monitor
    if monitor is None:
        return "Nothing is drawn: the processes were not sampled (--watch off)."
    if len(monitor.at_s) < 2:
        return "Nothing is drawn: the run was too short for two samples."
    said = []
    if monitor.target is None:
        said.append(f"The target is not drawn: {monitor.why_no_target}.")
    said += [
        f"Not all descriptors are known: {each.label}."
        for each in _watched(monitor)
        if None in each.samples.descriptors
    ]
    every = 1 + (len(monitor.at_s) - 1) // SAMPLES
    if every > 1:
        samples = format_count(len(monitor.at_s))
        said.append(f"Thinned: 1 in {format_count(every)} of {samples} samples is drawn.")
    return " ".join([*said, *filter(None, [thinning(record)])])


PANEL: Final = Panel[RunRecord](
    name="resources-over-time",
    title="What generator and target took",
    caption=(
        "Processors that were busy, resident memory, open descriptors and threads, and the "
        "processor time of a message, on the clock of the figures above; a generator that keeps a "
        "whole processor busy is itself the limit."
    ),
    draw=figure,
    note=note,
)
