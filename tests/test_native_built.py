"""The modules in C are there in the tests: else what needs them would be tested in Python alone."""

import shutil
import sysconfig
from importlib import import_module
from pathlib import Path

import native_build
import pytest


@pytest.mark.parametrize("module", native_build.MODULES)
def test_where_they_can_be_compiled(module: str) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: cc is not there")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        pytest.skip("the headers of this Python are not there")
    import_module(module)  # an ImportError says why; `make` builds them
