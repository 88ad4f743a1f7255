"""Datagrams in the native module where each wrong access is told, and each call interrupted."""

import os
from pathlib import Path
from typing import Final

import pytest
from command import ROOT
from native_build import SANITIZERS, build, check_sanitized, with_built

PATIENCE_S: Final = 50.0
SCRIPTED: Final = (
    "-DKERNEL(call)=scripted_##call",
    *("-include", str(ROOT / "tests" / "fakes" / "scripted_calls.h")),
)
TESTS: Final = ROOT / "tests" / "engine" / "test_native_datagrams.py"


@pytest.mark.timeout(120)  # compiling, and a Python whose every access is checked
@pytest.mark.parametrize("flags", [(), ("-DONE_BY_ONE",)], ids=["at once", "one by one"])
def test_the_tests_find_nothing_wrong(tmp_path: Path, flags: tuple[str, ...]) -> None:
    environment = {**os.environ, **with_built(tmp_path), "SCRIPTED_CALLS": "1"}
    build("loadgen.engine._native", tmp_path, *SANITIZERS, *SCRIPTED, *flags)
    said = check_sanitized(environment, tmp_path / "t", PATIENCE_S, str(TESTS))
    assert "skipped" not in said
