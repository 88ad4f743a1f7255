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
from loadgen.commands import compare, run_options

WORKFLOWS: Final = {path.stem: path for path in (ROOT / ".github" / "workflows").glob("*.yml")}
PINNED: Final = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")

every_workflow = pytest.mark.parametrize("name", WORKFLOWS)


def jobs(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load(WORKFLOWS[name].read_text())["jobs"])


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in jobs(name).values() for step in job["steps"]]


def commands(name: str) -> list[str]:
    return [step["run"] for step in steps(name) if "run" in step]


def comparison() -> str:
    """Return the one command that compares."""
    (command,) = (command for command in commands("bench") if " loadgen compare " in command)
    return str(command)


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


class TestBench:
    def test_has_base_and_head_side_by_side(self) -> None:
        checkouts = [step["with"] for step in steps("bench") if "checkout" in step.get("uses", "")]
        assert [each["path"] for each in checkouts] == ["base", "head"]
        assert "base.sha" in checkouts[0]["ref"]
        assert "ref" not in checkouts[1], "the head as it would be merged"

    def test_compares_commands_and_options_that_exist(self) -> None:
        words = shlex.split(comparison())
        assert words[:4] == ["head/.venv/bin/python", "-m", "loadgen", "compare"]
        chosen = compare.new_parser().parse_args(words[4:])
        assert [command.words[:3] for command in chosen.commands] == [
            (f"{side}/.venv/bin/python", "-m", "loadgen") for side in ("base", "head")
        ]
        base, head = (list(command.words[3:]) for command in chosen.commands)
        assert base == head
        assert isinstance(run_options.plan_of(run_options.new_parser().parse_args(base)), Plan)
        assert chosen.gates

    def test_command_makes_a_summary_and_keeps_what_the_artefact_holds(
        self, tmp_path: Path
    ) -> None:
        for side in ("base", "head"):
            python = tmp_path / side / ".venv" / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
            python.chmod(0o755)
        quick = comparison().replace("--rounds 10", "--rounds 1").replace(" 3s ", " 1s ")
        assert quick != comparison()
        summary = tmp_path / "summary.md"
        done = subprocess.run(
            ["bash", "-e", "-c", quick],
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
