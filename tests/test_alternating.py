"""Two commands, run in turn."""

import contextlib
import shlex
import sys
from pathlib import Path

import pytest
from lingering import Lingering

from loadgen.compare.alternating import Command, Series, Side, order, run_in_turn
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
    commands: dict[Side, Command] = {"A": appending("a", log), "B": appending("b", log)}
    runs = list(run_in_turn(commands, Series(3, tmp_path, 30), told.append))
    assert [(run.round, run.side, run.code) for run in runs[:3]] == [
        (1, "A", 0),
        (1, "B", 0),
        (2, "B", 0),
    ]
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
        list(run_in_turn({"A": command(program), "B": good}, rounds, print))
    assert not (tmp_path / "log").exists()


def test_a_check_that_fails_leaves_a_record_all_the_same(tmp_path: Path) -> None:
    failing = command("import sys; open(sys.argv[1], 'w'); sys.exit(1)")
    runs = list(run_in_turn({"A": failing, "B": failing}, Series(1, tmp_path, 30), print))
    assert [run.code for run in runs] == [1, 1]
    assert (tmp_path / "B" / "0001.json").exists()


def test_a_command_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    missing = Command.parse("no-such-command {out}")
    with pytest.raises(UsageError, match="cannot be started: No such file"):
        list(run_in_turn({"A": missing, "B": missing}, Series(1, tmp_path, 30), print))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("loadgen --json x.json", r"write \{out\} there"), ("loadgen '{out}", "no command line")],
)
def test_a_command_must_have_a_place_for_its_file(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        Command.parse(text)


def test_a_command_is_named_in_one_line() -> None:
    assert Command.parse("loadgen \n  --json\t{out}").text == "loadgen --json {out}"


@pytest.mark.parametrize("stays", [True, False], ids=["that takes too long", "that is done"])
def test_a_run_goes_with_all_that_it_has_started(tmp_path: Path, stays: bool) -> None:
    with Lingering() as lingering:
        program = (
            "import signal, subprocess, sys\n"
            "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
            "open(sys.argv[1], 'w')\n"
            f"lingering = subprocess.Popen({lingering.words!r}, stdout=subprocess.PIPE)\n"
            "lingering.stdout.readline()\n"
            f"{'lingering.wait()' if stays else ''}\n"
        )
        commands: dict[Side, Command] = {"A": command(program), "B": command("pass")}
        runs = run_in_turn(commands, Series(1, tmp_path, 5.0 if stays else 60.0), print)
        with pytest.raises(UsageError, match="not done") if stays else contextlib.nullcontext():
            next(runs)
        lingering.check_gone()
