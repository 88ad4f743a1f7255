"""The workflows of GitHub: what they run exists, and they may do no more than they must."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from command import ROOT, TIMEOUT_S

from loadgen import Plan, from_json
from loadgen.cli import compare, run_options

WORKFLOWS: Final = {path.stem: path for path in (ROOT / ".github" / "workflows").glob("*.yml")}
PINNED: Final = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")

every_workflow = pytest.mark.parametrize("name", WORKFLOWS)


def jobs(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load(WORKFLOWS[name].read_text())["jobs"])


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in jobs(name).values() for step in job["steps"]]


def commands(name: str) -> list[str]:
    return [step["run"] for step in steps(name) if "run" in step]


def comparisons() -> tuple[str, str]:
    """Return the command that runs both in turn, and the one that judges."""
    run, judge = (command for command in commands("bench") if " loadgen compare " in command)
    return str(run), str(judge)


def checkouts(job: str) -> list[dict[str, Any]]:
    return [
        step["with"] for step in jobs("bench")[job]["steps"] if "checkout" in step.get("uses", "")
    ]


class TestEvery:
    @every_workflow
    def test_may_only_read(self, name: str) -> None:
        workflow = yaml.safe_load(WORKFLOWS[name].read_text())
        assert workflow["permissions"] == {"contents": "read"}
        assert not any("permissions" in job for job in jobs(name).values())
        for step in steps(name):
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False

    @every_workflow
    def test_ends_by_itself_and_gives_way_to_a_newer_one(self, name: str) -> None:
        workflow = yaml.safe_load(WORKFLOWS[name].read_text())
        assert workflow["concurrency"]["cancel-in-progress"]
        assert all(job["timeout-minutes"] <= 60 for job in jobs(name).values())

    @every_workflow
    def test_uses_actions_of_one_version_each(self, name: str) -> None:
        lines = [line for line in WORKFLOWS[name].read_text().splitlines() if "uses: " in line]
        assert lines
        assert [line for line in lines if not PINNED.search(line)] == []

    @every_workflow
    def test_puts_no_words_of_a_stranger_into_a_shell(self, name: str) -> None:
        assert [command for command in commands(name) if "${{" in command] == []


def test_ci_runs_what_must_hold_before_a_change_lands() -> None:
    assert commands("ci") == [".ci/run"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_ci_runs_the_tests_once_and_judges_what_they_cover() -> None:
    words = ["make", "--dry-run", "--old-file=.venv/done", "check", "JOBS=3"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    tests, verdict = (line for line in done.stdout.splitlines() if "coverage" in line)
    assert "-m pytest --numprocesses 3" in tests
    assert tests.endswith(" --cov --cov-report=json:.coverage.json")
    assert verdict.endswith(" -m bench coverage .coverage.json")


def test_what_is_locked_is_audited_and_the_newest_is_tried() -> None:
    assert commands("dependencies") == [
        "make audit",
        "python -m pip install --editable '.[all]'",
        "python -m pytest",
        "python -m pytest bench/tests",
    ]


def test_no_workflow_gives_its_rights_to_what_a_stranger_proposes() -> None:
    for path in WORKFLOWS.values():
        assert "pull_request_target" not in path.read_text()


class TestBench:
    def test_has_base_and_head_side_by_side(self) -> None:
        base, head = checkouts("measure")
        assert [base["path"], head["path"]] == ["base", "head"]
        assert "base.sha" in base["ref"]
        assert "ref" not in head, "the head as it would be merged"

    def test_is_judged_by_the_base_where_nothing_of_the_head_has_run(self) -> None:
        (base,) = checkouts("judge")
        assert (base["path"], base["ref"]) == ("base", "${{ github.event.pull_request.base.sha }}")
        assert not any("head/" in step.get("run", "") for step in jobs("bench")["judge"]["steps"])
        words = shlex.split(comparisons()[1])
        assert words[:4] == ["base/.venv/bin/python", "-m", "loadgen", "compare"]
        chosen = compare.new_parser().parse_args(words[4:])
        assert chosen.gates
        assert not chosen.commands

    def test_compares_commands_and_options_that_exist(self) -> None:
        words = shlex.split(comparisons()[0])
        assert words[:4] == ["base/.venv/bin/python", "-m", "loadgen", "compare"]
        chosen = compare.new_parser().parse_args(words[4:])
        assert [command.words[:3] for command in chosen.commands] == [
            (f"{side}/.venv/bin/python", "-m", "loadgen") for side in ("base", "head")
        ]
        base, head = (list(command.words[3:]) for command in chosen.commands)
        assert base == head
        assert isinstance(run_options.plan_of(run_options.new_parser().parse_args(base)), Plan)

    def test_command_makes_a_summary_and_keeps_what_the_artefact_holds(
        self, tmp_path: Path
    ) -> None:
        for side in ("base", "head"):
            python = tmp_path / side / ".venv" / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
            python.chmod(0o755)
        run, judge = comparisons()
        quick = run.replace("--rounds 10", "--rounds 1").replace(" 3s ", " 1s ")
        assert quick != run
        summary = tmp_path / "summary.md"
        done = subprocess.run(
            ["bash", "-e", "-c", f"{quick}\n{judge}"],
            cwd=tmp_path,
            env={**os.environ, "GITHUB_STEP_SUMMARY": str(summary)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr  # of one round nothing can be said
        assert summary.read_text().startswith("### loadgen compare: ")
        (kept,) = (step["with"] for step in steps("bench") if "upload" in step.get("uses", ""))
        files = sorted((tmp_path / kept["path"]).rglob("*.json"))
        assert [from_json(file.read_bytes()).plan.duration_s for file in files] == [1.0, 1.0]
