"""Loadgen's page in Locust's web UI, as shown in Chromium."""

import math
from collections.abc import Iterator
from typing import Any, Final

import locust_pages
import pytest
from chromium import NEEDED, chromium
from locust_pages import NASTY, NO_TIMES, Pages, times, user_class, worker
from playwright.sync_api import Browser, Locator, Page, expect

from loadgen.units import format_count, format_duration_ns, format_rate

NO_BREAK_SPACE: Final = "\N{NO-BREAK SPACE}"
EVERY_MS: Final = 2000

pytestmark = NEEDED


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    with locust_pages.serving(tmp_path_factory.mktemp("page")) as served:
        yield served


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page whose clock the test sets; an error in its script fails the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.clock.install()
    yield page
    page.context.close()
    assert errors == []


def visit(page: Page, base: str) -> None:
    page.goto(f"{base}/loadgen")
    expect(page.locator("main[aria-busy=false]")).to_be_attached()


def update(page: Page) -> None:
    page.clock.run_for(EVERY_MS)


def rows(place: Locator) -> list[list[str]]:
    return [
        [cell.replace(NO_BREAK_SPACE, " ") for cell in row.locator("th, td").all_inner_texts()]
        for row in place.locator("tbody tr").all()
    ]


class TestFigures:
    def test_are_shown_below_the_verdict_and_its_reasons(self, page: Page, pages: Pages) -> None:
        pages.show("running", user_class())
        visit(page, pages.plain)
        verdict = page.locator(".verdict")
        expect(verdict).to_contain_text("◐ busy")
        expect(verdict).to_contain_text("the generator waited for 20 % of the time")
        above, below = verdict.bounding_box(), page.locator(".tiles").bounding_box()
        assert above is not None
        assert below is not None
        assert above["y"] + above["height"] <= below["y"]

    def test_have_microseconds_or_a_dash(self, page: Page, pages: Pages) -> None:
        shown = [times("service time"), times("receive lag", **NO_TIMES)]
        pages.show("running", user_class(times=shown))
        visit(page, pages.plain)
        first = "service time", "123 456", "45.7 µs", "1.12 µs", "67.8 µs", "120 µs", "2.50 ms"
        assert rows(page.locator("[data-table=times]")) == [
            [*first, "3.50 s"],
            ["receive lag", "0", "-", "-", "-", "-", "-", "-"],
        ]

    def test_are_written_as_loadgen_writes_them(self, page: Page, pages: Pages) -> None:
        pages.show("ready")
        visit(page, pages.plain)
        edges = [0, 7, 999, 999.5, 999_499, 999_500, 1_125, 1_375, 9_995, 99_950, 2_500, 1e12]
        values = edges + [math.exp(step / 50) for step in range(1500)]

        def written(function: str) -> list[str]:
            texts = page.evaluate(f"values => values.map({function})", values)
            return [text.replace(NO_BREAK_SPACE, " ") for text in texts]

        assert written("duration") == [format_duration_ns(value) for value in values]
        assert written("count") == [plain(format_count(value)) for value in values]
        rates = [plain(format_rate(value)).removesuffix("/s") for value in values]
        assert written("rate") == rates

    def test_are_explained_column_by_column(self, page: Page, pages: Pages) -> None:
        pages.show("running", user_class())
        visit(page, pages.plain)
        tables = page.locator("[data-table]").all()
        assert len(tables) == 4
        for table in tables:
            table.locator("summary").click()
            columns = set(table.locator("thead th").all_inner_texts())
            assert columns <= set(table.locator("dt").all_inner_texts())
            for meaning in table.locator("dd").all_inner_texts():
                assert meaning.endswith(".")

    def test_are_drawn_with_gaps_where_there_is_no_value(self, page: Page, pages: Pages) -> None:
        p99 = [1_000_000, 2_000_000, None, 4_000_000]
        recent = [
            {"at_s": at, "messages_per_s": 1000.0, "p50_ns": 41_300, "p99_ns": value}
            for at, value in enumerate(p99)
        ]
        pages.show("running", user_class(recent=recent))
        visit(page, pages.plain)
        times_chart = page.locator("[data-chart=times] svg")
        expect(times_chart).to_have_attribute("aria-label", f"p50 {us('41.3')}, p99 {ms('4')}")
        lines = [line.get_attribute("d") or "" for line in times_chart.locator("path").all()]
        assert [line.count("M") for line in lines] == [1, 2]
        assert times_chart.locator("text").all_text_contents()[0] == us("10")

    def test_of_a_user_class_without_figures_are_removed(self, page: Page, pages: Pages) -> None:
        pages.show("running", user_class(), user_class(user_class="Shopper"))
        visit(page, pages.plain)
        expect(page.locator("h2")).to_have_text(["Ping", "Shopper"])
        pages.show("running", user_class(user_class="Shopper", messages=7))
        update(page)
        expect(page.locator("h2")).to_have_text(["Shopper"])
        expect(page.locator("[data-text=messages]")).to_have_text("7")

    def test_are_updated_without_losing_the_selection(self, page: Page, pages: Pages) -> None:
        many = [worker(f"host_{number}") for number in range(60)]
        pages.show("running", user_class(workers=many))
        visit(page, pages.plain)
        box = page.locator("[data-table=workers] .scroll")
        box.evaluate("box => box.scrollTop = 300")
        page.locator("[data-table=workers] summary").click()
        cell = page.locator("[data-table=workers] td").first.element_handle()
        pages.show("running", user_class(workers=many, messages=7))
        update(page)
        expect(page.locator("[data-text=messages]")).to_have_text("7")
        assert box.evaluate("box => box.scrollTop") == 300
        expect(page.locator("[data-table=workers] dl")).to_be_visible()
        assert cell.evaluate("cell => cell.isConnected")  # so that a selection is kept


def plain(text: str) -> str:
    return text.replace(NO_BREAK_SPACE, " ")


def us(number: str) -> str:
    return f"{number}{NO_BREAK_SPACE}µs"


def ms(number: str) -> str:
    return f"{number}{NO_BREAK_SPACE}ms"


class TestWorkers:
    def test_at_their_limit_or_silent_are_marked_and_listed_first(
        self, page: Page, pages: Pages
    ) -> None:
        found = [
            worker("fine"),
            worker("bound", verdict="generator-bound", evidence="it waited for 3 % of the time"),
            worker("silent", report_age_s=33.4),
            worker("slow", report_age_s=9.9),
        ]
        pages.show("running", user_class(workers=found))
        visit(page, pages.plain)
        table = page.locator("[data-table=workers]")
        states = {row[0]: row[1] for row in rows(table)}
        assert list(states) == ["bound", "silent", "fine", "slow"]
        assert states["bound"] == "✕ generator-bound: it waited for 3 % of the time"
        assert states["silent"].startswith("✕ silent for 33 s; before that, ✓ valid")
        assert states["slow"].startswith("✓ valid")
        assert table.locator("tr.marked").count() == 2
        expect(table).to_contain_text("4 workers, ✕ 1 silent, ✕ 1 generator-bound")

    def test_that_are_lost_are_marked_and_counted(self, page: Page, pages: Pages) -> None:
        unheard = dict.fromkeys(worker("unheard"), None)
        found = [
            worker("fine"),
            worker("lost", report_age_s=33.4, lost_at_s=4.6),
            {
                **unheard,
                "name": "unheard",
                "verdict": "inconclusive",
                "evidence": "",
                "lost_at_s": 0.5,
            },
        ]
        shown = user_class(workers=found, workers_expected=4, workers_reporting=1)
        pages.show("running", shown)
        visit(page, pages.plain)
        table = page.locator("[data-table=workers]")
        states = {row[0]: row[1] for row in rows(table)}
        assert list(states) == ["lost", "unheard", "fine"]
        assert states["lost"].startswith("✕ lost, last heard of at 4.6 s; before that, ✓ valid")
        assert table.locator("tr.marked").count() == 2
        expect(table).to_contain_text("1 of 4 workers reporting, ✕ 2 lost")

    def test_are_not_silent_when_no_report_is_due(self, page: Page, pages: Pages) -> None:
        pages.show("stopped", user_class(workers=[worker("done", report_age_s=400)]))
        visit(page, pages.plain)
        expect(page.locator("#state")).to_contain_text("stopped")
        assert rows(page.locator("[data-table=workers]"))[0][1].startswith("✓ valid")


class TestNoticesAndReadability:
    def test_before_a_run_says_what_to_do(self, page: Page, pages: Pages) -> None:
        pages.show("ready")
        visit(page, pages.plain)
        expect(page.locator("#notice")).to_contain_text("start a run on Locust's own page")
        pages.show("running", user_class())
        update(page)
        expect(page.locator(".user-class")).to_be_visible()
        expect(page.locator("#notice")).to_be_hidden()

    def test_says_that_locust_cannot_be_reached(self, page: Page, pages: Pages) -> None:
        pages.show("running", user_class())
        visit(page, pages.plain)
        page.context.set_offline(True)
        update(page)
        expect(page.locator("#notice")).to_contain_text("Cannot reach Locust")
        expect(page.locator(".user-class")).to_be_visible()
        page.context.set_offline(False)
        update(page)
        expect(page.locator("#notice")).to_be_hidden()

    def test_says_that_locust_fails(self, page: Page, pages: Pages) -> None:
        pages.show("running")
        pages.break_down()
        visit(page, pages.plain)
        expect(page.locator("#notice")).to_contain_text("error (status 500); its log says why")

    def test_says_to_log_in_again(self, page: Page, pages: Pages) -> None:
        pages.show("running", user_class())
        page.set_extra_http_headers({"X-User": "guest"})
        visit(page, pages.locked)
        page.set_extra_http_headers({})
        update(page)
        expect(page.locator("#notice")).to_contain_text("log in")

    def test_hostile_names_are_text_and_fit_a_narrow_page(self, page: Page, pages: Pages) -> None:
        long = NASTY + "x" * 300
        found: dict[str, Any] = {
            "findings": [{"code": "any", "evidence": long, "advice": long}],
            "failures": [{"text": long, "count": 10**12}],
            "names": [times(long)],
            "workers": [worker(long, evidence=long)],
        }
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        pages.show("running", user_class(user_class=long, target=long, plan=long, **found))
        for width in (400, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            visit(page, pages.below)
            expect(page.locator("h2")).to_have_text(long)
            name = page.locator("[data-table=names] tbody th")
            expect(name).to_have_text(long)
            assert name.evaluate("name => name.scrollWidth <= name.clientWidth")
            assert page.locator("main b, main script").count() == 0
            assert page.title() == "loadgen in Locust"
            assert page.evaluate("document.documentElement.scrollWidth") == width
        assert {address.removeprefix(pages.below) for address in requested} <= {
            *("/loadgen", "/loadgen/overview.json", "data:,"),
        }

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_every_verdict_has_enough_contrast(self, page: Page, pages: Pages, scheme: Any) -> None:
        verdicts = ("valid", "busy", "server-bound", "generator-bound", "inconclusive")
        found = [user_class(user_class=verdict, verdict=verdict) for verdict in verdicts]
        page.emulate_media(color_scheme=scheme)
        pages.show("running", *found)
        visit(page, pages.plain)
        marks = page.locator(".mark")
        texts = marks.all_inner_texts()
        assert len({text.split()[0] for text in texts}) == len(verdicts)  # not by colour alone
        for mark in marks.all():
            assert contrast(mark, mark) >= 4.5
        assert contrast(page.locator("header + p"), page.locator("body")) >= 4.5
        is_dark = luminance(page.locator("body"), "backgroundColor") < 0.2
        assert is_dark == (scheme == "dark")


def luminance(place: Locator, colour: str) -> float:
    """Relative luminance as the Web Content Accessibility Guidelines define it."""
    text = place.evaluate(f"node => getComputedStyle(node).{colour}")
    parts = [int(part) / 255 for part in text[4:-1].split(",")]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    luminous: float = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return luminous


def contrast(text: Locator, back: Locator) -> float:
    dark, light = sorted([luminance(text, "color"), luminance(back, "backgroundColor")])
    return (light + 0.05) / (dark + 0.05)
