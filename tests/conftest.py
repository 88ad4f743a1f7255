"""What all tests have in common."""

from importlib import import_module

import pytest
from hypothesis import settings

# A busy machine is no reason to fail; each run of the tests draws other examples.
settings.register_profile("tests", deadline=None, max_examples=40)
settings.load_profile("tests")


@pytest.fixture
def one_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each page of a report one picture: to draw all takes a second, and shows no more."""
    page = import_module("reports.page")  # here: matplotlib is loaded where something is drawn
    monkeypatch.setattr(page, "PANELS", page.PANELS[:1])
    monkeypatch.setattr(page, "COMPARED", page.COMPARED[:1])
