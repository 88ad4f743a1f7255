"""What tests need that need not be installed, and how to do without it."""

import importlib.metadata
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from command import ROOT
from native_build import MODULES

from loadgen.engine import native


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

NEEDS_NATIVE: Final = pytest.mark.skipif(
    not native.available(), reason=f"no native engine: {native.absence()}"
)

_REFUSING: Final = """
import sys


class Absent:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent)
"""


def without_native(folder: Path, absent: Sequence[str] = MODULES) -> dict[str, str]:
    """Return the variables with which Python finds no module in C, as without a compiler."""
    text = f"ABSENT = {list(absent)!r}\n{_REFUSING}"
    (folder / "sitecustomize.py").write_text(text, encoding="utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
