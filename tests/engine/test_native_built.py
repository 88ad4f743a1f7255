"""The module in C is there in the tests: else they would test the engine in Python alone."""

import shutil
import sysconfig
from importlib import import_module
from pathlib import Path

import pytest


def test_where_it_can_be_compiled() -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: cc is not there")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        pytest.skip("the headers of this Python are not there (python3-dev)")
    import_module("loadgen.engine._native")  # an ImportError says why; `make` builds it
