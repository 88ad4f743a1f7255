"""A run from start to end through Locust's web UI, in Chromium."""

import contextlib
import csv
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from chromium import NEEDED, TIMEOUT_MS, chromium
from command import ROOT, TIMEOUT_S, environment
from playwright.sync_api import Browser, Locator, Page, expect

from bench.peers.processes import reserved_port

pytestmark = NEEDED

USERS: Final = 20
NO_BREAK_SPACE: Final = "\N{NO-BREAK SPACE}"
A_NUMBER: Final = re.compile(r"^[1-9]")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@contextlib.contextmanager
def locust(log: Path) -> Iterator[str]:
    """Locust with the file that is ready to use, and no host; the address of its web UI.

    In a process of its own, for gevent changes the one that it is in; it must end well.
    """
    command = [sys.executable, "-m", "locust", "-f", "bench/locustfile.py", "--rate-per-user", "50"]
    with (
        log.open("wb") as output,
        reserved_port() as port,
        subprocess.Popen(
            [*command, "--web-host", "127.0.0.1", "--web-port", str(port)],
            cwd=ROOT,
            env=environment(),
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
            process.terminate()
            assert process.wait(TIMEOUT_S) == 0, log.read_text()
        finally:
            process.kill()
    assert "Traceback" not in log.read_text()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until ``port`` is listened on, or ``process`` has ended."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while process.poll() is None:
        with (
            contextlib.suppress(ConnectionRefusedError),
            socket.create_connection(("127.0.0.1", port)),
        ):
            return
        assert time.monotonic() < deadline_s, "Locust never came up"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    pytest.fail(f"Locust ended with exit code {process.returncode}")


def start(page: Page) -> None:
    page.get_by_label("Number of users").fill(str(USERS))
    page.get_by_label("Ramp up").fill(str(USERS))
    page.get_by_role("button", name="Start").click()


def header(page: Page, title: str) -> Locator:
    """A figure in the header of Locust's own page."""
    return page.locator(f":text-is('{title}') + *")


def number(place: Locator) -> int:
    return int(place.inner_text().replace(NO_BREAK_SPACE, ""))


def wait_for_more(page: Page, place: Locator) -> None:
    """Wait until the number in ``place`` has grown."""
    page.wait_for_function(
        r"([place, before]) => Number(place.textContent.replace(/\D/g, '')) > before",
        arg=[place.element_handle(), number(place)],
        timeout=TIMEOUT_MS,
    )


def test_a_run_started_from_the_form_fills_the_page_and_leaves_a_report(
    browser: Browser, tmp_path: Path
) -> None:
    with locust(tmp_path / "log") as base, browser.new_context() as context:
        ours, theirs = context.new_page(), context.new_page()
        ours.goto(f"{base}/loadgen")
        expect(ours.locator("#notice")).to_contain_text("No figures yet")

        theirs.goto(base)
        start(theirs)

        expect(ours.locator("h2")).to_have_text("Echo")
        expect(ours.locator("[data-text=connections_up]")).to_have_text(str(USERS))
        wait_for_more(ours, ours.locator("[data-text=messages]"))
        expect(ours.locator("[data-chart=rate] path")).to_have_attribute("d", re.compile("M.*L"))
        expect(ours.locator("[data-table=times]")).to_contain_text("µs")
        expect(ours.locator("[data-table=workers] tbody tr")).to_have_count(1)

        expect(header(theirs, "RPS")).to_have_text(A_NUMBER)
        theirs.get_by_role("tab", name="loadgen").click()
        expect(theirs.get_by_role("cell", name="Echo")).to_be_visible()

        theirs.get_by_role("button", name="Stop").click()
        expect(ours.locator("#state")).to_contain_text("stopped")
        expect(ours.locator("[data-text=connections_up]")).to_have_text("0")
        *_, total = csv.DictReader(
            context.request.get(f"{base}/stats/requests/csv").text().splitlines()
        )
        assert number(ours.locator("[data-text=messages]")) == int(total["Request Count"])
        assert total["Failure Count"] == "0"

        theirs.get_by_role("tab", name="Download Data").click()
        with theirs.expect_popup() as opened:
            theirs.get_by_text("Download Report").click()
        with opened.value.expect_download(timeout=TIMEOUT_MS) as download:
            opened.value.get_by_text("Download the Report").click()
        report = download.value.path().read_text()
        assert "Echo" in report
        assert total["Request Count"] in report
