"""Tests for a process that gevent has patched: importing Locust does so, before anything else."""

import io
from collections.abc import Iterator
from typing import Any, Final

import gevent
import locust  # noqa: F401
import pytest
from gevent.hub import get_hub

BOUND_S: Final = 45


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    """End a test that hangs; an alarm, as pytest-timeout has, would hit whichever greenlet runs."""
    with gevent.Timeout(BOUND_S, AssertionError("it takes too long")):
        yield


@pytest.fixture(autouse=True)
def _nothing_is_dropped() -> Iterator[None]:
    """Fail if gevent has printed and dropped an exception of a callback or a greenlet."""
    hub: Any = get_hub()
    before, hub.exception_stream = hub.exception_stream, io.StringIO()
    try:
        yield
        assert hub.exception_stream.getvalue() == ""
    finally:
        hub.exception_stream = before
