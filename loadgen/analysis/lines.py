"""Text for people, in lines: a line with its style, long text wrapped, a list cut short."""

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Final, Literal, NamedTuple, TypeVar

from loadgen.text import as_line, readable
from loadgen.units import format_count

Item = TypeVar("Item")


Style = Literal["plain", "heading", "good", "bad", "faint"]


MOST_SHOWN: Final = 1000
"""So many findings are shown, and on a page so many payloads; a record has all of them."""


class _Line(NamedTuple):
    text: str
    style: Style


class Line(_Line):
    """One line of output, and how it is meant; fit to be shown, whatever it was made of."""

    __slots__ = ()

    def __new__(cls, text: str, style: Style = "plain") -> "Line":
        """Return the line whose text is ``text`` as `loadgen.text.as_line` has it."""
        return super().__new__(cls, as_line(text), style)


_INDENT_COLUMNS: Final = 15


_WIDTH: Final = 99


def first(items: Sequence[Item]) -> tuple[Sequence[Item], str]:
    """Return those of ``items`` that are shown, and in words how many are left out."""
    more = len(items) - MOST_SHOWN
    return items[:MOST_SHOWN], f"… and {format_count(more)} more" if more > 0 else ""


def wrapped(text: str, indent_columns: int = 2, style: Style = "plain") -> Iterator[Line]:
    """Yield ``text`` as indented lines that are not too wide; names of options stay whole."""
    width = _WIDTH - indent_columns
    for part in wrap(readable(text), width, break_long_words=False, break_on_hyphens=False):
        yield Line(" " * indent_columns + part, style)
