"""Lines of text for people: a line with its style, long text wrapped, tables in columns."""

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Final, Literal, NamedTuple, TypeVar

from loadgen.text import as_line, readable
from loadgen.units import format_count

Item = TypeVar("Item")

Style = Literal["plain", "heading", "good", "bad", "faint"]

MOST_SHOWN: Final = 1000
"""So many findings are shown, and on a page so many payloads; a record has all of them."""

LABEL_COLUMNS: Final = 15
"""The column at which the text of a labelled line begins."""

_WIDTH: Final = 99


class _Line(NamedTuple):
    text: str
    style: Style


class Line(_Line):
    """One line of output and its style; safe to show, whatever text it contains."""

    __slots__ = ()

    def __new__(cls, text: str, style: Style = "plain") -> "Line":
        """Return the line whose text is ``text`` as `loadgen.text.as_line` has it."""
        return super().__new__(cls, as_line(text), style)


def labelled(label: str, text: str, style: Style = "plain") -> Line:
    """Return an indented line: a label, and beside it what it stands for."""
    return Line(f"  {label:<{LABEL_COLUMNS - 3}} {text}", style)


def first(items: Sequence[Item]) -> tuple[Sequence[Item], str]:
    """Return those of ``items`` that are shown, and in words how many are left out."""
    more = len(items) - MOST_SHOWN
    return items[:MOST_SHOWN], f"… and {format_count(more)} more" if more > 0 else ""


def wrapped(text: str, indent_columns: int = 2, style: Style = "plain") -> Iterator[Line]:
    """Yield ``text`` as indented lines of at most 99 columns; names of options stay whole."""
    width = _WIDTH - indent_columns
    for piece in wrap(readable(text), width, break_long_words=False, break_on_hyphens=False):
        yield Line(" " * indent_columns + piece, style)


def aligned(
    rows: Sequence[Sequence[str]],
    sides: str,
    least_widths: Sequence[int] = (),
    gap_columns: int = 2,
) -> list[str]:
    """Return each row of cells as a line in which the columns are equally wide.

    A column is as wide as its widest cell, or as its ``least_widths`` if that is more: so do tables
    keep their columns whose rows are printed one by one, or whose figures differ from run to run.

    sides: for each column ``<`` or ``>``, the side on which its cells are aligned.
    """
    widths = list(least_widths) or [0] * len(sides)
    for row in rows:
        widths = [max(width, len(cell)) for width, cell in zip(widths, row, strict=True)]
    gap = " " * gap_columns
    return [
        gap.join(
            f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
