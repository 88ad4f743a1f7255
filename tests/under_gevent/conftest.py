"""Tests for a process that gevent has patched: importing Locust does so, before anything else."""

from collections.abc import Iterator
from typing import Final

import gevent
import locust  # noqa: F401
import pytest

BOUND_S: Final = 45


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    """End a test that hangs; an alarm, as pytest-timeout has, would hit whichever greenlet runs."""
    with gevent.Timeout(BOUND_S, AssertionError("it takes too long")):
        yield
