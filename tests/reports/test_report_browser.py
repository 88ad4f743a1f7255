"""A report as people see it: in Chromium, wide and narrow, light and dark, without a network."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import pytest
from chromium import CHROMIUM, chromium
from playwright.sync_api import Browser, Page
from records import at, closed_loop

import loadgen
from loadgen.analysis.compare.comparison import compare
from loadgen.analysis.compare.run_rounds import of_records
from loadgen.analysis.verdict.judging import judge
from loadgen.results.record import RunRecord, TargetRecord
from loadgen.server.embedded import EmbeddedServer
from reports.page import Run
from reports.write import Folder, write_comparison, write_report

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

WIDTHS: Final = (1280, 400)
HOSTILE: Final = "<script>document.title = 'taken'</script>"

EMPTY: Final = """
() => [...document.querySelectorAll("svg")].filter((picture) => {
  const box = picture.getBoundingClientRect();
  return picture.checkVisibility() && (box.width < 200 || box.height < 60 ||
    picture.querySelectorAll("path, rect, image").length < 3);
}).map((picture) => picture.getAttribute("aria-label"))
"""
"""The names of the pictures that are to be seen, and show nothing."""

SHOWN: Final = """
() => [...document.querySelectorAll("svg")].filter((each) => each.checkVisibility()).length
"""

OVERLAPPING: Final = """
() => {
  const found = [];
  for (const picture of document.querySelectorAll("svg")) {
    if (!picture.checkVisibility()) continue;
    const texts = [...picture.querySelectorAll("text")].map(
      (text) => [text.textContent, text.getBoundingClientRect()]);
    texts.forEach(([one, a], index) => texts.slice(index + 1).forEach(([other, b]) => {
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (across > 2 && down > 4) found.push(`${one} / ${other}`);
    }));
  }
  return found;
}
"""
"""Pairs of labels within a picture that lie upon each other."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a real run, beside one that a stranger has named."""
    with EmbeddedServer(("--stall", "100ms/400ms")) as server:
        found = loadgen.run(
            loadgen.Plan(
                target=server.address,
                connections=20,
                rate=500.0,
                duration_s=1.0,
                watch=server.pid,
                sample_interval_s=0.1,
            )
        )
    hostile = msgspec.structs.replace(
        closed_loop(),
        target=TargetRecord(address=HOSTILE, resolved="", embedded=False, server=None),
    )
    out = tmp_path_factory.mktemp("report")
    return write_report([Run("real", found), Run(HOSTILE, judged(hostile))], Folder(out))


def judged(record: RunRecord) -> RunRecord:
    return msgspec.structs.replace(record, health=judge(record))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_everything_is_drawn_and_nothing_is_fetched(
    browser: Browser, report: Path, width: int, scheme: str
) -> None:
    requests: list[str] = []
    complaints: list[str] = []
    page: Page = browser.new_page(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(report.as_uri())
    assert [url for url in requests if not url.startswith("data:")] == [report.as_uri()]
    assert complaints == []
    assert page.evaluate(SHOWN) == 3 + 5 + 4
    assert page.evaluate(EMPTY) == []
    assert page.evaluate(OVERLAPPING) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 19, 24)"
    assert dark is (scheme == "dark")
    assert page.title().startswith("loadgen: real, <script>")
    assert page.locator("h1", has_text=HOSTILE).count() == 1
    page.close()


def test_it_prints_on_white_and_wide(browser: Browser, report: Path) -> None:
    page = browser.new_page(viewport={"width": 400, "height": 900}, color_scheme="dark")
    page.goto(report.as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator(".wide").first.is_visible()
    assert not page.locator(".narrow").first.is_visible()
    page.close()


def test_the_command_is_copied_as_one_line_and_breaks_between_its_words_only(
    browser: Browser, report: Path
) -> None:
    page = browser.new_page(viewport={"width": 400, "height": 900})
    page.goto(report.as_uri())
    command = page.locator("pre.command").first
    assert re.fullmatch(
        r"loadgen 127.0.0.1:\d+ -c 20 -d 1s --rate 500 --sample-interval 0.1s",
        command.inner_text(),
    )
    line_px = command.evaluate("element => parseFloat(getComputedStyle(element).lineHeight)")
    words = command.locator("span").all()
    heights = [word.evaluate("element => element.getBoundingClientRect().height") for word in words]
    assert len(words) == 10
    assert max(heights) < 1.5 * line_px
    page.close()


def test_rows_of_a_comparison_stay_one_line_high_in_a_narrow_window(
    browser: Browser, tmp_path: Path
) -> None:
    base, head = ([judged(at(2 * n + side, closed_loop())) for n in range(3)] for side in (0, 1))
    comparison = compare(of_records("old", base), of_records("new", head))
    page = browser.new_page(viewport={"width": 400, "height": 900})
    page.goto(write_comparison(comparison, (base, head), Folder(tmp_path)).as_uri())
    heights = page.locator("table.changes tr:has(td)").evaluate_all(
        "rows => rows.map((row) => row.getBoundingClientRect().height)"
    )
    assert len(heights) == len(comparison.changes)
    assert max(heights) < 1.5 * min(heights) < 60
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.close()


def test_the_record_can_be_kept(browser: Browser, report: Path, tmp_path: Path) -> None:
    page = browser.new_page(accept_downloads=True)
    page.goto(report.as_uri())
    with page.expect_download() as waiting:
        page.get_by_text("The record as JSON").first.click()
    kept = tmp_path / "kept.json"
    waiting.value.save_as(kept)
    assert waiting.value.suggested_filename == "real.json"
    assert loadgen.from_json(kept.read_bytes()).actual.messages > 0
    page.close()
