"""The fixture ``loadrun`` in a user's suite: real pytest, in a process of its own."""

import importlib.metadata
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from places import refusing_address
from pytest_suites import Suite, run_suite

from loadgen import RunRecord, from_json
from loadgen.server.embedded import EmbeddedServer

FAILURE = 1
SLOW = ("test_slow[a/b]", "test_slow[a?b]")

SUITE = """\
import loadgen
import pytest

SERVER, NOBODY = {server!r}, {nobody!r}
PLAN = loadgen.Plan(target=SERVER, connections=3, messages=50, drain_s=10)


def test_fields(loadrun):
    record = loadrun(target=SERVER, connections=2, messages=10, drain_s=10)
    assert (record.actual.connections, record.actual.messages) == (2, 20)
    assert record.latency.percentile(99) > 0
    assert record.health.verdict


def test_plan(loadrun):
    assert loadrun(PLAN).actual.messages == 150


def test_plan_and_fields(loadrun):
    assert loadrun(PLAN, connections=5).actual.messages == 250


def test_catches(loadrun):
    with pytest.raises(loadgen.UnreachableError):
        loadrun(PLAN, target=NOBODY)


@pytest.mark.xfail
def test_expected(loadrun):
    assert loadrun(PLAN).actual.messages == 0


@pytest.mark.parametrize("path", ["a/b", "a?b"])
def test_slow(loadrun, monkeypatch, path):
    monkeypatch.chdir("/")
    loadrun(PLAN, connections=2)
    assert loadrun(PLAN).latency.percentile(99) < 1, "too slow"


def test_misspelt(loadrun):
    loadrun(PLAN, conections=5)


def test_mistaken(loadrun):
    loadrun(PLAN, pipeline=0)


def test_unreachable(loadrun):
    loadrun(PLAN, target=NOBODY)


@pytest.fixture
def warmed(loadrun):
    loadrun(PLAN)
    raise RuntimeError("in a fixture")


def test_broken_fixture(warmed):
    pass
"""


class Outcome(NamedTuple):
    """What became of `SUITE`, and what it left in the folder for records."""

    suite: Suite
    folder: Path
    nobody: str

    def records(self, test: str) -> list[RunRecord]:
        files = sorted(self.folder.glob(f"*{test}-*.json"))
        return [from_json(file.read_bytes()) for file in files]

    def named(self, test: str) -> list[RunRecord]:
        """Return the records that the report of ``test`` names."""
        said = self.suite.section(test).splitlines()
        paths = [Path(line.partition(" is kept: ")[2]) for line in said if " is kept: " in line]
        assert {path.parent for path in paths} == {self.folder}
        return [from_json(path.read_bytes()) for path in paths]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    place = tmp_path_factory.mktemp("suite")
    with EmbeddedServer() as server, refusing_address() as nobody:
        source = SUITE.format(server=server.address, nobody=nobody)
        suite = run_suite(place, source, "--loadgen-records", "kept/here", "-v")
    return Outcome(suite, place / "kept" / "here", nobody)


class TestLoadrun:
    @pytest.mark.parametrize(
        "test", ["test_fields", "test_plan", "test_plan_and_fields", "test_catches"]
    )
    def test_runs_a_plan_and_returns_its_record(self, outcome: Outcome, test: str) -> None:
        assert f"test_suite.py::{test} PASSED" in outcome.suite.output

    @pytest.mark.parametrize(
        ("test", "words"),
        [
            ("test_misspelt", "UsageError: loadrun: a Plan has no 'conections'; did you mean conn"),
            ("test_mistaken", "UsageError: --pipeline: 0 is not accepted; it must be 1 or more"),
        ],
    )
    def test_tells_of_a_mistake_in_one_line_at_the_line_of_the_test(
        self, outcome: Outcome, test: str, words: str
    ) -> None:
        said = outcome.suite.section(test)
        assert words in said
        assert [line for line in said.splitlines() if line.startswith(">")] == [
            f">       loadrun(PLAN, {'conections=5' if test == 'test_misspelt' else 'pipeline=0'})"
        ]
        assert "plan.py" not in said
        assert "load runs" not in said
        assert outcome.records(test) == []

    def test_tells_of_a_server_that_is_not_there_in_one_line(self, outcome: Outcome) -> None:
        said = outcome.suite.section("test_unreachable")
        assert f"UnreachableTargetError: {outcome.nobody} is unreachable: connect: conn" in said
        assert ">       loadrun(PLAN, target=NOBODY)" in said
        assert "runner.py" not in said
        assert "test_suite.py:" in said


class TestRecords:
    @pytest.mark.parametrize("test", ["test_slow-a-b", "test_unreachable", "test_broken_fixture"])
    def test_are_kept_where_the_test_has_failed(self, outcome: Outcome, test: str) -> None:
        assert outcome.records(test)

    def test_are_those_of_all_runs_in_order(self, outcome: Outcome) -> None:
        for test in SLOW:
            assert [record.plan.connections for record in outcome.named(test)] == [2, 3]
        assert len(outcome.records("test_slow-a-b")) == 4, "names of two tests are the same"

    def test_are_summarised_in_the_report(self, outcome: Outcome) -> None:
        said = outcome.suite.section(SLOW[0])
        assert "load runs" in said
        printed = [line for line in said.splitlines() if line.startswith("  verdict ")]
        for line, record in zip(printed, outcome.named(SLOW[0]), strict=True):
            assert record.health
            assert line.split()[1].rstrip(":") == record.health.verdict
        assert "service time" in said
        assert "connections  3 of 3 up" in said

    def test_are_not_written_where_it_has_passed_or_was_to_fail(self, outcome: Outcome) -> None:
        names = {file.name for file in outcome.folder.iterdir()}
        tests = ("test_slow", "test_unreachable", "test_broken_fixture")
        assert all(any(test in name for test in tests) for name in names), names

    def test_that_cannot_be_written_are_said_to_be_lost(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        source = """
            def test_fails(loadrun):
                assert not loadrun(connections=1, messages=1)
        """
        suite = run_suite(tmp_path, source, "--loadgen-records", "file")
        assert suite.code == FAILURE
        assert f"the record is not kept: {tmp_path}/file/" in suite.section("test_fails")

    def test_go_to_a_folder_of_the_root_directory_unless_told_otherwise(
        self, tmp_path: Path
    ) -> None:
        source = """
            def test_fails(loadrun):
                assert not loadrun(connections=1, messages=1)
        """
        run_suite(tmp_path, source)
        (kept,) = (tmp_path / ".loadgen").iterdir()
        assert from_json(kept.read_bytes()).actual.messages == 1


class TestBenchmark:
    def test_gets_the_figures_of_all_runs_of_the_test(self, tmp_path: Path) -> None:
        source = """
            def test_times(benchmark, loadrun):
                plan = dict(connections=4, messages=500, drain_s=10)
                benchmark.pedantic(lambda: loadrun(**plan), rounds=3)
        """
        plugins = ("loadgen.pytest_plugin", "pytest_benchmark.plugin")
        suite = run_suite(tmp_path, source, "--benchmark-json=bench.json", plugins=plugins)
        assert suite.code == 0, suite.output
        (benchmark,) = json.loads((tmp_path / "bench.json").read_text())["benchmarks"]
        found: dict[str, Any] = benchmark["extra_info"]
        assert benchmark["stats"]["rounds"] == sum(found["verdicts"].values()) == 3
        assert found["verdict"] in found["verdicts"]
        assert 0 < found["service_p50_ns"] <= found["service_p99_ns"]
        assert "service_p999_ns" not in found, "6000 messages do not carry it"
        assert "response_p50_ns" not in found, "the loop is closed"
        assert found["messages_per_s"] > 0

    def test_may_be_another_fixture_that_uses_this_one(self, tmp_path: Path) -> None:
        source = """
            import pytest

            @pytest.fixture
            def benchmark(loadrun):
                loadrun.extra_info = "of another kind"
                return loadrun

            def test_runs(benchmark):
                assert benchmark(connections=1, messages=1).actual.messages == 1
        """
        suite = run_suite(tmp_path, source)
        assert suite.code == 0, suite.output

    def test_is_not_needed(self, tmp_path: Path) -> None:
        source = """
            import sys

            def test_runs(loadrun):
                assert loadrun(connections=1, messages=1).actual.messages == 1
                assert "pytest_benchmark" not in sys.modules
        """
        assert run_suite(tmp_path, source).code == 0


class TestPlugin:
    def test_costs_a_suite_that_does_not_use_it_no_library(self, tmp_path: Path) -> None:
        source = """
            import sys

            def test_of_something_else():
                loaded = {name for name in sys.modules if name.partition(".")[0] == "loadgen"}
                assert loaded == {"loadgen", "loadgen._version", "loadgen.pytest_plugin"}
                assert not {"numpy", "msgspec", "psutil"} & set(sys.modules)
        """
        suite = run_suite(tmp_path, source)
        assert suite.code == 0, suite.output

    def test_is_found_by_pytest_where_loadgen_is_installed(self) -> None:
        (entry,) = importlib.metadata.entry_points(group="pytest11", name="loadgen")
        assert entry.value == "loadgen.pytest_plugin"
