"""Two commands, run in turn."""

import shlex
import sys
from pathlib import Path

import psutil
import pytest

from loadgen.compare.alternating import Command, Series, order, run_in_turn
from loadgen.errors import UsageError


def command(program: str) -> Command:
    return Command.parse(f"{shlex.quote(sys.executable)} -c {shlex.quote(program)} {{out}}")


def appending(letter: str, log: Path) -> Command:
    """Return a command that writes ``letter`` to its file, and appends it to ``log``."""
    return command(
        f"import sys; open(sys.argv[1], 'w').write({letter!r}); "
        f"open({str(log)!r}, 'a').write({letter!r})"
    )


@pytest.fixture(autouse=True)
def folders(tmp_path: Path) -> None:
    for side in "AB":
        (tmp_path / side).mkdir()


def test_the_order_gives_both_the_same_share_of_a_drift() -> None:
    assert "".join(side for _, side in order(4)) == "ABBAABBA"
    assert [number for number, _ in order(2)] == [1, 1, 2, 2]


def test_runs_each_in_turn_and_keeps_their_files(tmp_path: Path) -> None:
    log, told = tmp_path / "log", list[str]()
    commands = {"A": appending("a", log), "B": appending("b", log)}
    run_in_turn(commands, Series(3, tmp_path, 30), told.append)  # type: ignore[arg-type]
    assert log.read_text() == "abbaab"
    assert told[:3] == ["round 1 of 3: A", "round 1 of 3: B", "round 2 of 3: B"]
    for side in "AB":
        files = sorted((tmp_path / side).iterdir())
        assert [file.name for file in files] == ["0001.json", "0002.json", "0003.json"]
        assert {file.read_text() for file in files} == {side.lower()}


@pytest.mark.parametrize(
    ("program", "complaint"),
    [
        ("pass", "ended with 0, and wrote no 0001.json"),
        ("raise SystemExit(3)", "ended with 3"),
        ("import sys; open(sys.argv[1], 'w'); print('why it is'); sys.exit(2)", "why it is"),
        ("import os; os.kill(os.getpid(), 9)", "ended with -9"),
        ("import select; select.select([], [], [], 30)", "not done after 0.5 s; --run-timeout"),
    ],
)
def test_a_run_that_is_none_is_told_of(tmp_path: Path, program: str, complaint: str) -> None:
    good = appending("a", tmp_path / "log")
    rounds = Series(1, tmp_path, longest_s=0.5 if "select" in program else 30)
    with pytest.raises(UsageError, match=complaint):
        run_in_turn({"A": command(program), "B": good}, rounds, print)
    assert not (tmp_path / "log").exists()


def test_a_check_that_fails_leaves_a_record_all_the_same(tmp_path: Path) -> None:
    failing = command("import sys; open(sys.argv[1], 'w'); sys.exit(1)")
    run_in_turn({"A": failing, "B": failing}, Series(1, tmp_path, 30), print)
    assert (tmp_path / "B" / "0001.json").exists()


def test_a_command_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    missing = Command.parse("no-such-command {out}")
    with pytest.raises(UsageError, match="cannot be started: No such file"):
        run_in_turn({"A": missing, "B": missing}, Series(1, tmp_path, 30), print)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("loadgen --json x.json", r"write \{out\} there"), ("loadgen '{out}", "no command line")],
)
def test_a_command_must_have_a_place_for_its_file(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        Command.parse(text)


def test_what_takes_too_long_goes_with_all_that_it_has_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    program = (
        "import pathlib, signal, subprocess, sys\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "wait = 'import select; select.select([], [], [], 60)'\n"
        "child = subprocess.Popen([sys.executable, '-c', wait])\n"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(child.pid))\n"
        "child.wait()\n"
    )
    endless = command(program)
    with pytest.raises(UsageError, match="not done"):
        run_in_turn({"A": endless, "B": endless}, Series(1, tmp_path, 2.0), print)
    child = int(pid_file.read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).wait(10) is None
