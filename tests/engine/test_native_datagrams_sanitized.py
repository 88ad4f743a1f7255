"""Datagrams in the native module where each wrong access is told, and each call interrupted."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from command import ROOT
from native_build import SANITIZERS, build, with_built

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
    options = ("-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:locust")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--basetemp={tmp_path}/t", str(TESTS)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    said = done.stdout[-3000:] + done.stderr[-3000:]
    assert done.returncode == 0, said
    assert "passed" in said
    assert "skipped" not in said
    assert "runtime error" not in said
    assert "Sanitizer" not in said
