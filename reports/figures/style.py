"""How figures look, and how they leave: as SVG within a page, or as files.

Facts. matplotlib writes every colour as a number, names every element and every shape it uses again
(``id``), and says in a style sheet how all lines end.

Danger. A page has a light and a dark side, and holds many figures: two shapes of one name, and the
second figure is cut along the edges of the first; a style sheet in one of them is one for the whole
page.

Decision. Each colour stands for a role. A file has the colours of a light page; in the SVG of a
page, text is ``currentColor`` and every other colour a CSS variable, whose dark values are in
`CSS`. Names are kept only where something refers to them, with a prefix made of the figure itself,
so that the same figure gives the same text. A figure is drawn at the width it will have: `to_svg`
takes a narrow one, and then what stands side by side stands one below the other.
"""

import contextlib
import functools
import io
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.text import Text

from loadgen.text import readable
from reports.figures.inline_svg import inlined

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Format = Literal["svg", "png", "pdf"]

WIDE_PX: Final = 1100
NARROW_PX: Final = 360

TEXT: Final = "#1f2328"
GRID: Final = "#d8dce1"
GROUND: Final = "#101820"
"""Behind the colours of a heat map, in light and in dark."""

# What the colour-blind can tell apart: M. Okabe and K. Ito, "Color Universal Design", 2008.
BLUE: Final = "#0072b2"
VERMILLION: Final = "#d55e00"
GREEN: Final = "#009e73"
PURPLE: Final = "#cc79a7"
SKY: Final = "#56b4e9"
ORANGE: Final = "#e69f00"
SERIES: Final = (BLUE, VERMILLION, GREEN, PURPLE, SKY, ORANGE)

_ROLES: Final = {
    TEXT: "currentColor",
    GRID: f"var(--figure-grid, {GRID})",
    BLUE: f"var(--figure-blue, {BLUE})",
    VERMILLION: f"var(--figure-vermillion, {VERMILLION})",
    GREEN: f"var(--figure-green, {GREEN})",
    PURPLE: f"var(--figure-purple, {PURPLE})",
    SKY: f"var(--figure-sky, {SKY})",
    ORANGE: f"var(--figure-orange, {ORANGE})",
}
CSS: Final = (
    "@media screen and (prefers-color-scheme: dark) { :root { "
    "--figure-grid: #3a414a; --figure-blue: #4ba3dc; --figure-vermillion: #f07c28; "
    "--figure-green: #1fbf92; --figure-purple: #dd93bd; } }\n"
)
"""A rule for pages that show figures: the colours of the dark."""

_SETTINGS: Final[dict[str, Any]] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": TEXT,
    "axes.labelsize": 12,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": TEXT,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.facecolor": "none",
    "figure.titlesize": 14,
    "font.size": 12,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.borderaxespad": 0.2,
    "legend.borderpad": 0,
    "legend.columnspacing": 1.6,
    "legend.fontsize": 12,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.labelspacing": 0.3,
    "lines.linewidth": 1.8,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "loadgen",
    "text.color": TEXT,
    "text.parse_math": False,  # a name with a dollar in it stays a name
    "xtick.color": GRID,
    "xtick.labelcolor": TEXT,
    "xtick.labelsize": 11,
    "ytick.color": GRID,
    "ytick.labelcolor": TEXT,
    "ytick.labelsize": 11,
}

_SINGLE_FILE_PX: Final = 700
POINTS_PER_INCH: Final = 72
"""Dots, too: so a point, which is what matplotlib counts in, is a pixel of the page."""

_FILE_DPI: Final = 144
_BELOW_PX: Final = 50  # for the labels of the horizontal axis
_LETTER_PX: Final = 7.2  # the mean width of a letter of the legend
_HANDLE_PX: Final = 44  # a legend's piece of line, and the space around it


def styled(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Run ``function`` with our settings of matplotlib, and leave those of others as they were."""

    @functools.wraps(function)
    def with_our_settings(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(_SETTINGS)  # type: ignore[arg-type]
            return function(*arguments, **named)

    return with_our_settings


def sheet(height_px: float) -> Figure:
    """Return an empty figure as wide as a page."""
    size = (WIDE_PX / POINTS_PER_INCH, height_px / POINTS_PER_INCH)
    return Figure(figsize=size, dpi=POINTS_PER_INCH, layout="constrained")


class Row(NamedTuple):
    """Axes of a column: how high, and what draws them."""

    height_px: float
    draw: Callable[[Axes], None]


def column(rows: Sequence[Row]) -> tuple[Figure, list[Axes]]:
    """Return a figure of ``rows``, one at least, that share their horizontal axis."""
    heights_px = [row.height_px for row in rows]
    figure = sheet(_BELOW_PX + sum(heights_px))
    places = figure.subplots(len(rows), 1, sharex=True, squeeze=False, height_ratios=heights_px)
    for axes, row in zip(places[:, 0], rows, strict=True):
        row.draw(axes)
    return figure, list(places[:, 0])


def legend(axes: Axes) -> None:
    """Put a legend above ``axes``, in as many columns as there is room for."""
    handles, labels = axes.get_legend_handles_labels()
    if not labels:
        return
    labels = list(map(readable, labels))
    figure = axes.get_figure(root=True)
    assert figure is not None
    longest_px = max(map(len, labels)) * _LETTER_PX + _HANDLE_PX
    columns = max(1, int(figure.get_figwidth() * POINTS_PER_INCH * 0.9 / longest_px))
    # Evenly filled: five in rows of four would leave one alone, three and two look meant.
    columns = math.ceil(len(labels) / math.ceil(len(labels) / columns))
    axes.legend(handles, labels, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns)


@styled
def to_svg(figure: Figure, width_px: float = WIDE_PX) -> str:
    """Return ``figure`` as the ``<svg>`` element of a page, laid out for ``width_px``.

    It takes the colours of the page, and any number may stand in one. The figure keeps that width.
    """
    drawn = io.StringIO()
    with _fitted(figure, width_px):
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    return inlined(drawn.getvalue(), _ROLES)


@styled
def to_file(figure: Figure, path: Path | io.BytesIO, form: Format, title: str = "") -> None:
    """Write ``figure`` to ``path`` as dark on white, below its ``title``. Raises OSError."""
    if title:
        figure.suptitle(title, x=0.01, horizontalalignment="left")
    metadata = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[form]
    with _fitted(figure, WIDE_PX):
        figure.savefig(path, format=form, dpi=_FILE_DPI, facecolor="white", metadata=metadata)
    figure.suptitle("")


@contextlib.contextmanager
def _fitted(figure: Figure, width_px: float) -> Iterator[None]:
    """Save ``figure`` within: laid out for that width, its text readable.

    That a font lacks a character of a name is no matter for a warning.
    """
    _fit(figure, width_px)
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_text(readable(text.get_text()))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from")
        yield


def _fit(figure: Figure, width_px: float) -> None:
    """Lay out ``figure`` anew, for another width."""
    if figure.get_figwidth() * POINTS_PER_INCH == width_px:
        return
    figure.set_figwidth(width_px / POINTS_PER_INCH)
    placed = [axes for axes in figure.axes if axes.get_subplotspec() is not None]
    rows = {axes.get_subplotspec().rowspan.start for axes in placed}  # type: ignore[union-attr]
    if width_px <= _SINGLE_FILE_PX and len(rows) < len(placed):
        grid = GridSpec(len(placed), 1, figure=figure)
        for row, axes in enumerate(placed):
            axes.set_subplotspec(grid[row, 0])
        figure.set_figheight(figure.get_figheight() * len(placed) / len(rows))
    for axes in figure.axes:
        if axes.get_legend() is not None:
            legend(axes)
