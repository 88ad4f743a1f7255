"""The modules in C are there in the tests: else what needs them would be tested in Python alone."""

import shutil
import sysconfig
from pathlib import Path
from types import ModuleType

import native_build
import pytest

from loadgen.net import native_modules


@pytest.mark.parametrize("module", native_build.MODULES)
def test_where_they_can_be_compiled(module: str) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: cc is not there")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        pytest.skip("the headers of this Python are not there")
    found = native_modules.load(module)
    assert isinstance(found, ModuleType), f"{module}: {found}"
