"""Chromium, as Debian packages it, for tests of what people see."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Final

import pytest
from optional import NEEDS_LOCUST
from playwright.sync_api import Browser, expect, sync_playwright

CHROMIUM: Final = shutil.which("chromium")
FLAGS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
TIMEOUT_MS: Final = 20_000
"""For what never comes; nothing here takes that long otherwise."""

NEEDED: Final = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    NEEDS_LOCUST,
]


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without pages."""
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()
