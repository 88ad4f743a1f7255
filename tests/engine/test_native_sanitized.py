"""The tests of the native module once more, where it says of each wrong access what it was."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from command import ROOT
from native_build import SANITIZERS, build, check_sanitized, with_built

MODULE: Final = "loadgen.engine._native"
PATIENCE_S: Final = 50.0
TESTS: Final = ("test_native.py", "test_native_waits.py", "test_native_arguments.py")

BEYOND: Final = """
import ctypes
from array import array
from loadgen.engine import _native
one = array("q", [0])
two = (ctypes.c_int64 * 2).from_address(one.buffer_info()[0])
_native.send((array("q", [0] * 99), one, (), one, 0), two, 2, array("q", [0] * 4))
"""
"""An array that claims to be longer than it is: no check can see that."""


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Build the module with sanitizers; return the environment of a Python that imports it."""
    directory = tmp_path_factory.mktemp("sanitized")
    environment = {**os.environ, **with_built(directory)}
    build(MODULE, directory, *SANITIZERS)
    return environment


def run(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_the_tests_find_no_wrong_access(sanitized: dict[str, str], tmp_path: Path) -> None:
    tests = [str(ROOT / "tests" / "engine" / name) for name in TESTS]
    check_sanitized(sanitized, tmp_path / "t", PATIENCE_S, *tests)


def test_they_would_find_one(sanitized: dict[str, str]) -> None:
    shown = run(sanitized, "-c", f"import {MODULE} as module; print(module.__file__)")
    assert Path(shown.stdout.strip()).parent == Path(sanitized["PYTHONPATH"].split(os.pathsep)[0])
    wrong = run(sanitized, "-c", BEYOND)
    assert wrong.returncode != 0
    assert "AddressSanitizer" in wrong.stderr
