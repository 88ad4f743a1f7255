"""Tests that need Locust, and with it a patched standard library: in a process of their own."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
BOUND_S: Final = 300


@pytest.mark.skipif(importlib.util.find_spec("locust") is None, reason="Locust is not installed")
@pytest.mark.timeout(BOUND_S + 30)
def test_they_pass_in_a_process_that_gevent_has_patched() -> None:
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
