"""How long a fresh interpreter takes to import loadgen, beside one that imports nothing.

pytest bench/test_start_up.py
"""

import subprocess
import sys

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.timers import in_rounds

ROUNDS = 15

PROGRAMS = {
    "interpreter-alone": "",
    "loadgen": "import loadgen",
    "loadgen.pytest_plugin": "import loadgen.pytest_plugin",
    "loadgen.cli": "import loadgen.cli",
    "loadgen.run": "import loadgen; loadgen.run",
}


@pytest.mark.benchmark(group="start-up of a process, with import of")
@pytest.mark.parametrize("what", PROGRAMS)
def test_import(benchmark: BenchmarkFixture, what: str) -> None:
    program = f"{PROGRAMS[what]}\nimport sys; print(*sys.modules)"
    ended = in_rounds(
        benchmark,
        lambda: subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True
        ),
        rounds=ROUNDS,
        warmup_rounds=1,
    )
    modules = ended.stdout.split()
    assert ("loadgen" in modules) == (what != "interpreter-alone")
    assert ("numpy" in modules) == (what == "loadgen.run")
