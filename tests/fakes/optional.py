"""What tests need that need not be installed."""

import importlib.metadata
from typing import Final

import pytest


def _is_installed(distribution: str) -> bool:
    """Return whether it is; a module may be found as well where there is a folder of its name."""
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


NEEDS_LOCUST: Final = pytest.mark.skipif(
    not _is_installed("locust"), reason="Locust is not installed"
)
