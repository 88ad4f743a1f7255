"""The page: what it holds, and how it becomes HTML.

It must open from a disk, years later, on a machine without a network: the pictures are SVG within
it, the style is within it, and there is no script. Names and errors come from strangers; every text
is made readable and escaped on its way in (jinja2's finalize and autoescape), but for what is
`Markup` already: the SVG that matplotlib has made, and a record in base 64.
"""

import base64
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from loadgen.analysis.compare import text
from loadgen.analysis.compare.comparison import Comparison
from loadgen.analysis.summary import summarise
from loadgen.files.encoded import as_json
from loadgen.results.intervals import PackedIntervals
from loadgen.results.record import RunRecord
from loadgen.text import escaped, readable
from reports import sections
from reports.figures import COMPARED, PANELS, Panel
from reports.figures.style import CSS, NARROW_PX, WIDE_PX, Format, to_file, to_svg

Source = TypeVar("Source")

_LARGEST_EMBEDDED_BYTES: Final = 4 * 2**20
"""A record of more is not put into the page as well."""


def _shown(value: object) -> object:
    """Return what a template shows of ``value``."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return readable(value)
    return value


_FIGURES_CSS: Final = Markup(CSS)  # noqa: S704 - our own
_TEMPLATES: Final = Environment(
    loader=PackageLoader("reports"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_shown,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Run:
    """A record with the name that the page gives it, and where it lies, relative to the page."""

    label: str
    record: RunRecord
    file: str = ""

    @property
    def href(self) -> str:
        """The file as a link: every byte of its name that means something else there is escaped."""
        return quote(os.fsencode(self.file))

    @property
    def file_name(self) -> str:
        """The file for people."""
        return escaped(self.file)


@dataclass(frozen=True)
class Picture:
    """A figure of the page: with its words, as SVG for a wide and for a narrow window.

    wide, narrow: empty where there is nothing to be seen; then ``note`` says why.
    files: the same as the content of files, by their form.
    """

    name: str
    title: str
    caption: str
    note: str
    wide: Markup
    narrow: Markup
    files: Mapping[Format, bytes]


@dataclass(frozen=True)
class Chapter:
    """All that the page says of one run."""

    run: Run
    judgement: sections.Judgement
    pictures: Sequence[Picture]
    raw_json: Markup

    @property
    def record(self) -> RunRecord:
        """The record itself."""
        return self.run.record

    @property
    def summary(self) -> list[str]:
        """What the terminal shows."""
        return [line.text for line in summarise(self.record)]


def chapter(run: Run, pictures: Sequence[Picture] = ()) -> Chapter:
    """Return what the page says of ``run``, and shows of it."""
    return Chapter(run, sections.judgement(run.record), pictures, _embedded(run.record))


def _embedded(record: RunRecord) -> Markup:
    """Return ``record`` as a page holds it; empty where that is too long."""
    intervals = record.intervals
    if isinstance(intervals, PackedIntervals) and intervals.packed_bytes > _LARGEST_EMBEDDED_BYTES:
        return Markup()  # seen without making a text of hundreds of megabytes
    content = as_json(record)
    if len(content) > _LARGEST_EMBEDDED_BYTES:
        return Markup()
    return Markup("data:application/json;base64,{}").format(base64.b64encode(content).decode())


def pictures_of(record: RunRecord, forms: Sequence[Format] = ()) -> list[Picture]:
    """Return the figures of one run, also as files of those ``forms``."""
    return [_picture(panel, record, forms) for panel in PANELS]


def side_by_side(
    sides: Mapping[str, Sequence[RunRecord]], forms: Sequence[Format] = ()
) -> list[Picture]:
    """Return the figures in which several runs stand beside each other."""
    return [_picture(panel, sides, forms) for panel in COMPARED]


def of_runs(chapters: Sequence[Chapter], compared: Sequence[Picture]) -> str:
    """Return the page of one run or several."""
    names = ", ".join(each.run.label for each in chapters)
    return _rendered(
        "runs.html.jinja", title=f"loadgen: {names}", chapters=chapters, compared=compared
    )


def of_comparison(
    comparison: Comparison,
    sides: tuple[Sequence[RunRecord], Sequence[RunRecord]],
    compared: Sequence[Picture],
) -> str:
    """Return the page that sets two sides against each other, all rounds of each.

    Where they ran is told of the first round, which stands for all: they must be alike.
    """
    names = (comparison.base, comparison.head)
    return _rendered(
        "comparison.html.jinja",
        title=f"loadgen: {comparison.base} and {comparison.head}",
        comparison=comparison,
        conclusion=text.conclusion(comparison),
        about=text.rounds_in_words(comparison),
        headings=text.HEADINGS,
        rows=[(change.word, text.cells(change)) for change in comparison.changes],
        notes=list(text.notes(comparison)),
        verdicts=[sections.verdicts(side) for side in sides],
        chapters=[chapter(Run(name, side[0])) for name, side in zip(names, sides, strict=True)],
        compared=compared,
    )


def _rendered(name: str, **known: object) -> str:
    return _TEMPLATES.get_template(name).render(
        sections=sections, figures_css=_FIGURES_CSS, **known
    )


def _picture(panel: Panel[Source], source: Source, forms: Sequence[Format]) -> Picture:
    words = (panel.name, panel.title, panel.caption, panel.note(source))
    drawn = panel.draw(source)
    if drawn is None:
        return Picture(*words, Markup(), Markup(), {})
    files = {form: _as_file(drawn, form, panel.title) for form in forms}
    # The narrow one comes last: what it puts below each other stays there.
    wide, narrow = (_labelled(to_svg(drawn, px), panel.title) for px in (WIDE_PX, NARROW_PX))
    return Picture(*words, wide, narrow, files)


def _as_file(drawn: Figure, form: Format, title: str) -> bytes:
    content = io.BytesIO()
    to_file(drawn, content, form, title)
    return content.getvalue()


def _labelled(svg: str, title: str) -> Markup:
    """Return ``svg`` with a name for those who do not see it."""
    return Markup(svg.replace("<svg ", f'<svg aria-label="{escape(title)}" ', 1))  # noqa: S704
