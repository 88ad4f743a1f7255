"""Runs the tests that import Locust, which patches the standard library, in their own process."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from optional import NEEDS_LOCUST

ROOT: Final = Path(__file__).parents[2]
BOUND_S: Final = 300


@NEEDS_LOCUST
@pytest.mark.timeout(BOUND_S + 30)
def test_the_tests_under_gevent_pass() -> None:
    folder = "tests/locust/under_gevent"
    command = [sys.executable, "-m", "pytest", folder, "-q", "-p", "no:cacheprovider"]
    command.append(f"--confcutdir={folder}")  # nothing is imported before gevent has patched
    child = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    assert child.returncode == pytest.ExitCode.OK, child.stdout
