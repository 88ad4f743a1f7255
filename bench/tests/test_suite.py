"""The suite of benchmarks: what its tables and files say is what was measured."""

import json
import statistics
from pathlib import Path
from time import perf_counter
from typing import Any, Final, NamedTuple

import pytest
from command import ROOT
from pytest_suites import run_pytest

from bench.timers import PerItem, RunClock
from loadgen.analysis.compare import reading
from loadgen.net import backends

BACKEND: Final = backends.available()[0]
RUN: Final = f"test_round_trips[c100-64B-p1-{BACKEND}]"
COST: Final = f"test_turn[{BACKEND}]"

PLUGINS: Final = ("loadgen.pytest_plugin", "pytest_benchmark.plugin", "pytest_timeout")


def bench(*options: str) -> str:
    """Run pytest on the suite, in a process of its own, and return what it prints."""
    done = run_pytest(ROOT, PLUGINS, "bench", *options)
    assert done.returncode == 0, done.stdout
    return done.stdout


class Measured(NamedTuple):
    """What two benchmarks printed, and the file that they wrote."""

    printed: str
    file: Path

    def benchmark(self, name: str) -> dict[str, Any]:
        (found,) = (
            each for each in json.loads(self.file.read_text())["benchmarks"] if each["name"] == name
        )
        return dict(found)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    file = tmp_path_factory.mktemp("bench") / "figures.json"
    names = f"(test_round_trips and c100-64B-p1-{BACKEND}) or (test_turn and {BACKEND})"
    return Measured(bench("-k", names, f"--benchmark-json={file}"), file)


@pytest.fixture(scope="module")
def collected() -> list[str]:
    return bench("--collect-only", "-q", "--benchmark-disable").splitlines()


class TestSuite:
    @pytest.mark.parametrize("backend", backends.available())
    def test_runs_every_backend_with_every_shape(self, collected: list[str], backend: str) -> None:
        shapes = {
            line.partition("[")[2].removesuffix(f"-{backend}]")
            for line in collected
            if "test_round_trips[" in line and line.endswith(f"-{backend}]")
        }
        assert shapes == {
            f"c{connections}-{payload}-p{pipeline}"
            for connections in (1, 100, 1000)
            for payload in ("64B", "1KiB", "64KiB")
            for pipeline in (1, 16)
        }

    @pytest.mark.parametrize(
        "piece",
        ["turn", "framing", "recorder", "histogram", "schedule", "from_words", "import"],
    )
    def test_has_every_piece_of_loadgen(self, collected: list[str], piece: str) -> None:
        assert any(f"test_{piece}" in line for line in collected)


class TestRun:
    def test_is_timed_by_the_message_of_the_measured_load(self, measured: Measured) -> None:
        found = measured.benchmark(RUN)
        times_s, per_s = found["stats"]["data"], found["extra_info"]["messages_per_s"]
        assert len(times_s) == found["stats"]["rounds"] > 1
        assert statistics.median(times_s) == pytest.approx(1 / per_s)

    def test_says_what_its_figures_are_worth(self, measured: Measured) -> None:
        found = measured.benchmark(RUN)
        said = found["extra_info"]
        assert sum(said["verdicts"].values()) == found["stats"]["rounds"]
        assert said["service_p50_ns"] <= said["service_p99_ns"]
        _, _, table = measured.printed.partition("what the figures are worth")
        (line,) = (line for line in table.splitlines() if line.startswith(RUN))
        for verdict, rounds in said["verdicts"].items():
            assert f"{verdict} ({rounds})" in line

    def test_can_be_compared_by_loadgen(self, measured: Measured) -> None:
        rounds = reading.read("A", measured.file)
        assert set(rounds.figures) == {
            f"bench/test_runs.py::{RUN}",
            f"bench/test_costs.py::{COST}",
        }


class TestTimers:
    def test_of_items_tell_the_time_of_one(self) -> None:
        timer = PerItem(1000)
        before_s = perf_counter()
        began_s = timer()
        inside_s = perf_counter()
        sum(range(1000))
        inside_s = perf_counter() - inside_s
        taken_s = 1000 * (timer() - began_s)
        assert inside_s <= taken_s + 1e-9
        assert taken_s <= perf_counter() - before_s + 1e-9

    def test_of_runs_stand_still_until_they_are_told(self) -> None:
        timer = RunClock()
        assert timer() == timer()
        timer.advance(2e-6)
        timer.advance(3e-6)
        assert timer() == pytest.approx(5e-6)
