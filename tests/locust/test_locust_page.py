"""Loadgen's page in Locust's web UI, over HTTP."""

import http.client
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import locust_pages
import pytest
from locust_pages import NASTY, NO_TIMES, Pages, times, user_class
from optional import NEEDS_LOCUST

pytestmark = NEEDS_LOCUST


class Answer(NamedTuple):
    status: int
    kind: str
    header: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        assert self.kind == "application/json"
        return json.loads(self.text)


def get(address: str, **headers: str) -> Answer:
    """Get ``address``; follow no redirect."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    try:
        connection.request("GET", parts.path or "/", headers=headers)
        with connection.getresponse() as response:
            header = dict(response.getheaders())
            kind = response.headers.get_content_type()
            return Answer(response.status, kind, header, response.read().decode())
    finally:
        connection.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    with locust_pages.serving(tmp_path_factory.mktemp("page")) as served:
        yield served


@pytest.fixture(autouse=True)
def shown(pages: Pages) -> dict[str, Any]:
    found = user_class()
    pages.show("running", found)
    return found


class TestThePage:
    def test_may_fetch_from_its_own_server_only(self, pages: Pages) -> None:
        answer = get(f"{pages.plain}/loadgen")
        assert (answer.status, answer.kind) == (200, "text/html")
        policy = answer.header["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "connect-src 'self'" in policy
        links = re.findall(r"""(?:src|href)=["']?([^"' >]*)""", answer.text)
        assert set(links) == {"data:,", "./"}

    def test_has_no_way_to_turn_text_into_markup(self, pages: Pages) -> None:
        text = get(f"{pages.plain}/loadgen").text
        ways = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")
        assert [way for way in ways if way in text] == []

    def test_is_the_same_below_a_base_path_and_only_there(self, pages: Pages) -> None:
        assert get(f"{pages.below}/loadgen").text == get(f"{pages.plain}/loadgen").text
        root = pages.below.removesuffix("/under/here")
        assert get(f"{root}/loadgen").status == 404
        assert get(f"{root}/loadgen/overview.json").status == 404


class TestTheOverview:
    def test_is_the_figures_as_json(self, pages: Pages, shown: dict[str, Any]) -> None:
        for base in (pages.plain, pages.below):
            answer = get(f"{base}/loadgen/overview.json")
            assert answer.json == {"state": "running", "user_classes": [shown]}

    def test_is_never_taken_from_a_cache(self, pages: Pages) -> None:
        answer = get(f"{pages.plain}/loadgen/overview.json")
        assert answer.header["Cache-Control"] == "no-store"

    def test_keeps_names_that_look_like_markup(self, pages: Pages) -> None:
        pages.show("running", user_class(user_class=NASTY))
        answer = get(f"{pages.plain}/loadgen/overview.json")
        assert answer.json["user_classes"][0]["user_class"] == NASTY

    def test_that_raises_is_an_error_of_the_server(self, pages: Pages) -> None:
        pages.break_down()
        assert get(f"{pages.plain}/loadgen/overview.json").status == 500


class TestAPageOfAnotherOrigin:
    @pytest.mark.parametrize("origin", ["http://elsewhere.example", "null", "http://127.0.0.1:1"])
    def test_is_given_no_figures(self, pages: Pages, origin: str) -> None:
        refused = get(f"{pages.plain}/loadgen/overview.json", Origin=origin)
        assert refused.status == 403
        assert "Ping" not in refused.text

    def test_is_distinguished_from_one_of_the_same(self, pages: Pages) -> None:
        answer = get(f"{pages.plain}/loadgen/overview.json", Origin=pages.plain)
        assert (answer.status, answer.header["X-Content-Type-Options"]) == (200, "nosniff")

    def test_cannot_frame_the_page(self, pages: Pages) -> None:
        policy = get(f"{pages.plain}/loadgen").header["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy


class TestALogin:
    @pytest.mark.parametrize("path", ["/loadgen", "/loadgen/overview.json"])
    def test_is_required_where_locust_requires_one(self, pages: Pages, path: str) -> None:
        refused = get(pages.locked + path)
        assert refused.status == 302
        assert urlsplit(refused.header["Location"]).path == "/login"
        assert "Ping" not in refused.text

    @pytest.mark.parametrize("path", ["/loadgen", "/loadgen/overview.json"])
    def test_gives_access(self, pages: Pages, path: str) -> None:
        assert get(pages.locked + path, **{"X-User": "guest"}).status == 200


def arguments(base: str) -> Any:
    """The template arguments of Locust's own page."""
    found = re.search(r"templateArgs = (.*)", get(f"{base}/").text)
    assert found is not None
    return json.loads(found[1])


def tables(base: str) -> dict[str, Any]:
    """The tables that plugins have added to Locust's own page, by key."""
    added = get(f"{base}/stats/requests").json.get("extended_stats", [])
    assert len({table["key"] for table in added}) == len(added)
    return {table["key"]: table["data"] for table in added}


class TestLocustsOwnPage:
    def test_has_a_tab_beside_those_of_other_plugins(self, pages: Pages) -> None:
        titles = [tab["title"] for tab in arguments(pages.plain)["extended_tabs"]]
        assert titles == ["of others", "loadgen"]

    def test_has_a_link_that_works_below_a_base_path(self, pages: Pages) -> None:
        for base in (pages.plain, pages.below):
            [link] = arguments(base)["extended_csv_files"]
            assert link["href"] == "./loadgen"

    def test_shows_verdict_and_microseconds_of_each_user_class(self, pages: Pages) -> None:
        quiet = user_class(user_class="Quiet", findings=[], times=[times("connect", **NO_TIMES)])
        pages.show("running", user_class(), quiet)
        # Locust returns the same response to all requests within two seconds.
        for _ in range(2):
            busy_row, quiet_row = tables(pages.below)["loadgen"]
        assert busy_row == {
            "name": "Ping",
            "verdict": "busy",
            "why": "the generator waited for 20 % of the time",
            "connections": "99",
            "rate": "1\N{NO-BREAK SPACE}234",
            "median": "1.12 µs",
            "tail": "120 µs",
            "more": "/under/here/loadgen",
        }
        [table] = arguments(pages.below)["extended_tables"]
        assert {column["key"] for column in table["structure"]} == busy_row.keys()
        assert (quiet_row["median"], quiet_row["why"]) == ("-", "")

    def test_works_without_figures_when_they_raise(self, pages: Pages) -> None:
        pages.break_down()
        assert get(f"{pages.plain}/stats/requests").json["state"] == "ready"

    def test_requires_a_login_for_the_rows(self, pages: Pages) -> None:
        refused = get(f"{pages.locked}/stats/requests")
        assert refused.status == 302
        assert "Ping" not in refused.text
