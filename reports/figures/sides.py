"""Several runs set side by side: who is who, and in which colour."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from matplotlib.axes import Axes

from loadgen.results.record import RunRecord
from loadgen.text import readable
from loadgen.units import format_count
from reports.figures.panel import Sides
from reports.figures.slices import Floats
from reports.figures.style import SERIES

MOST_SIDES: Final = 12
"""Lines of more sides cannot be told apart."""

_LONGEST_LABEL: Final = 18

_LINES: Final = ("solid", (0, (4, 2)))


@dataclass(frozen=True)
class Side:
    """One side: its rounds, one at least, and how it is drawn."""

    label: str
    rounds: Sequence[RunRecord]
    colour: str
    line: str | tuple[int, tuple[int, ...]]

    @property
    def short_label(self) -> str:
        """The end of a long label: of a path, the name of the file."""
        label = readable(self.label)
        return label if len(label) <= _LONGEST_LABEL else f"…{label[1 - _LONGEST_LABEL :]}"


def sides(records: Sides) -> list[Side]:
    """Return the sides of ``records`` that are drawn, at most `MOST_SIDES`."""
    each = [(label, _rounds(found)) for label, found in records.items()]
    return [
        Side(label, rounds, SERIES[i % len(SERIES)], _LINES[i // len(SERIES)])
        for i, (label, rounds) in enumerate(each[:MOST_SIDES])
        if rounds
    ]


def draw_rounds(axes: Axes, side: Side, lines: Iterable[tuple[Floats, Floats]], **how: Any) -> None:
    """Draw the lines of ``side``, one for each round, those of them that have a point.

    They are thin where there are several; the legend has the first. ``how``: as `Axes.plot` says.
    """
    width = 1.8 if len(side.rounds) == 1 else 1.0
    found = [line for line in lines if line[0].size]
    for number, (x, y) in enumerate(found):
        label = "_" if number else side.short_label or "_"
        axes.plot(x, y, color=side.colour, linestyle=side.line, linewidth=width, label=label, **how)


def left_out(records: Mapping[str, object]) -> str:
    """Say how many sides are not drawn."""
    more = len(records) - MOST_SIDES
    return (
        f"Only the first {MOST_SIDES} are drawn, {format_count(more)} are not." if more > 0 else ""
    )


def _rounds(found: RunRecord | Sequence[RunRecord]) -> Sequence[RunRecord]:
    return [found] if isinstance(found, RunRecord) else found
