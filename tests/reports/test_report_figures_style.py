"""Figures leave as SVG that a page takes as its own, and as files."""

import functools
import io
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib as mpl
import pytest
from drawn_figures import drawn, interval, monitor, processes
from records import OPEN_LOOP_TIMES, closed_loop, failure, open_loop

from loadgen.net.failure import Cause, Phase
from loadgen.results.record import RunRecord
from reports.figures import PANELS, compared_latency, connections, latency_by_percentile, resources
from reports.figures.panel import Panel
from reports.figures.style import BLUE, CSS, GRID, NARROW_PX, TEXT, WIDE_PX, to_file, to_svg

FULL = open_loop(
    intervals=[interval(0.0, **OPEN_LOOP_TIMES), interval(1.0, **OPEN_LOOP_TIMES)],
    monitor=monitor(),
    failures=[failure(Phase.RECEIVE, Cause.RESET)],
)


@functools.cache
def svg_of(panel: Panel[RunRecord], width_px: float = WIDE_PX) -> str:
    return to_svg(drawn(panel.draw(FULL)), width_px)


every_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)


def names(svg: str) -> list[str]:
    return re.findall(r'\bid="([^"]+)"', svg)


def references(svg: str) -> set[str]:
    found = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg)
    return {one or other for one, other in found}


class TestPanels:
    def test_have_names_for_files_and_words_for_people(self) -> None:
        assert len({panel.name for panel in PANELS}) == len(PANELS)
        for panel in PANELS:
            assert re.fullmatch(r"[a-z-]+", panel.name)
            assert panel.title
            assert panel.caption.endswith(".")

    def test_leave_the_settings_of_matplotlib_alone(self) -> None:
        before = dict(mpl.rcParams)
        for panel in PANELS:
            assert panel.draw(FULL) is not None
        to_svg(drawn(latency_by_percentile.figure(FULL)))
        assert dict(mpl.rcParams) == before


class TestSvg:
    @every_panel
    def test_is_one_element_that_is_as_wide_as_its_place(self, panel: Panel[RunRecord]) -> None:
        root = ET.fromstring(svg_of(panel))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "viewBox" in root.attrib
        assert not {"width", "height"} & set(root.keys())

    @every_panel
    def test_takes_its_colours_from_the_page(self, panel: Panel[RunRecord]) -> None:
        svg = svg_of(panel)
        assert "currentColor" in svg
        outside_variables = re.sub(r"var\([^)]*\)", "", svg)
        assert not {TEXT, GRID, BLUE} & set(re.findall(r"#[0-9a-f]{6}", outside_variables))
        assert "<style" not in svg

    def test_uses_variables_that_the_rule_for_the_dark_sets(self) -> None:
        six = {f"run-{number}.json": closed_loop() for number in range(6)}
        svg = to_svg(drawn(compared_latency.figure(six)))
        variables = re.findall(r"--figure-[a-z]+", CSS)
        assert variables
        assert [name for name in variables if name not in svg] == []

    def test_has_names_that_clash_with_those_of_no_other(self) -> None:
        every = [svg_of(panel, width) for panel in PANELS for width in (WIDE_PX, NARROW_PX)]
        found = [name for svg in every for name in names(svg)]
        assert found
        assert len(found) == len(set(found))
        for svg in every:
            assert references(svg) == set(names(svg))

    def test_keeps_text_as_text(self) -> None:
        record = open_loop(
            monitor=monitor(target=processes("<script>alert('$x$')</script>", [0.0] * 6))
        )
        svg = to_svg(drawn(resources.figure(record)))
        assert "<script" not in svg
        shown = [
            element.text for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
        ]
        assert "target (<script>alert('$x$')</script>)" in shown

    def test_is_the_same_for_the_same_record(self) -> None:
        first, second = (to_svg(drawn(latency_by_percentile.figure(FULL))) for _ in range(2))
        assert first == second

    def test_of_a_narrow_page_stands_in_one_column(self) -> None:
        figure = drawn(connections.figure(closed_loop()))
        wide = ET.fromstring(to_svg(figure)).attrib["viewBox"].split()
        narrow = ET.fromstring(to_svg(figure, NARROW_PX)).attrib["viewBox"].split()
        assert [float(wide[2]), float(narrow[2])] == [1100, NARROW_PX]
        assert float(narrow[3]) > 2 * float(wide[3])
        assert len({axes.get_position().x0 for axes in figure.axes}) <= len(figure.axes)
        tops = [axes.get_position().y1 for axes in figure.axes]
        assert tops == sorted(tops, reverse=True)
        assert len(set(tops)) == len(tops)


class TestFiles:
    @pytest.mark.parametrize(
        ("form", "begins"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")]
    )
    def test_are_of_their_format(self, form: str, begins: bytes, tmp_path: Path) -> None:
        path = tmp_path / f"figure.{form}"
        to_file(drawn(latency_by_percentile.figure(FULL)), path, form, "A title")  # type: ignore[arg-type]
        assert path.read_bytes().startswith(begins)

    def test_have_colours_and_a_title_of_their_own(self) -> None:
        written = io.BytesIO()
        to_file(drawn(latency_by_percentile.figure(FULL)), written, "svg", "A title <b>")
        text = written.getvalue().decode()
        assert "A title &lt;b&gt;" in text
        assert TEXT in text
        assert "var(" not in text

    def test_are_the_same_for_the_same_record(self) -> None:
        first, second = io.BytesIO(), io.BytesIO()
        for file in (first, second):
            to_file(drawn(latency_by_percentile.figure(FULL)), file, "pdf", "A title")
        assert first.getvalue() == second.getvalue()
