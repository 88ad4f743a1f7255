"""Two commands run in turn, their supervisors, and what is left of them."""

import contextlib
import os
import shlex
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Final

import pytest
from lingering import Lingering, daemon

from loadgen.errors import UsageError
from loadgen.runner.commands import supervised, supervisor
from loadgen.runner.commands.alternating import (
    CommandTemplate,
    Series,
    Side,
    order,
    run_in_turn,
)

MIB: Final = 1024 * 1024


def command(program: str) -> CommandTemplate:
    return CommandTemplate.parse(f"{shlex.quote(sys.executable)} -c {shlex.quote(program)} {{out}}")


def appending(letter: str, log: Path) -> CommandTemplate:
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
    commands: dict[Side, CommandTemplate] = {"A": appending("a", log), "B": appending("b", log)}
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
        ("pass", "ended with exit code 0, and wrote no 0001.json"),
        ("raise SystemExit(3)", "ended with exit code 3"),
        ("import sys; open(sys.argv[1], 'w'); print('why it is'); sys.exit(2)", "why it is"),
        ("import os; os.kill(os.getpid(), 9)", "ended with exit code -9"),
        (
            "import select; select.select([], [], [], 30)",
            "not done after 0.5 s; allow more with --run-timeout",
        ),
    ],
)
def test_a_run_without_a_result_is_refused(tmp_path: Path, program: str, complaint: str) -> None:
    good = appending("a", tmp_path / "log")
    rounds = Series(1, tmp_path, longest_s=0.5 if "select" in program else 30)
    with pytest.raises(UsageError, match=complaint):
        list(run_in_turn({"A": command(program), "B": good}, rounds, print))
    assert not (tmp_path / "log").exists()


def test_a_failed_check_is_a_result(tmp_path: Path) -> None:
    failing = command("import sys; open(sys.argv[1], 'w'); sys.exit(1)")
    runs = list(run_in_turn({"A": failing, "B": failing}, Series(1, tmp_path, 30), print))
    assert [run.code for run in runs] == [1, 1]
    assert (tmp_path / "B" / "0001.json").exists()


def test_a_missing_command_is_refused(tmp_path: Path) -> None:
    missing = CommandTemplate.parse("no-such-command {out}")
    with pytest.raises(UsageError, match="cannot be started: No such file"):
        list(run_in_turn({"A": missing, "B": missing}, Series(1, tmp_path, 30), print))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("loadgen --json x.json", r"write \{out\} there"), ("loadgen '{out}", "not a command line")],
)
def test_a_command_must_have_a_placeholder_for_its_file(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        CommandTemplate.parse(text)


def test_a_command_is_named_in_one_line() -> None:
    assert CommandTemplate.parse("loadgen \n  --json\t{out}").text == "loadgen --json {out}"


def waiting_for(words: list[str], stays: bool = False) -> CommandTemplate:
    """Return a command that runs ``words`` and ends when they have written a line, or ``stays``."""
    return command(
        "import signal, subprocess, sys\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "open(sys.argv[1], 'w')\n"
        f"child = subprocess.Popen({words!r}, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        f"{'signal.pause()' if stays else ''}\n"
    )


@pytest.mark.parametrize("kind", ["a child", "a daemon", "a chain"])
@pytest.mark.parametrize("stays", [True, False], ids=["that takes too long", "that is done"])
def test_all_that_a_run_has_started_ends_with_it(tmp_path: Path, stays: bool, kind: str) -> None:
    with Lingering() as lingering:
        words = lingering.starting(kind)
        commands: dict[Side, CommandTemplate] = {
            "A": waiting_for(words, stays),
            "B": command("pass"),
        }
        runs = run_in_turn(commands, Series(1, tmp_path, 5.0 if stays else 60.0), print)
        with pytest.raises(UsageError, match="not done") if stays else contextlib.nullcontext():
            next(runs)
        lingering.check_gone()


def test_a_daemon_gets_sigterm_before_sigkill(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    program = (
        "import signal, sys, pathlib\n"
        f"lock = pathlib.Path({str(lock)!r})\n"
        "signal.signal(signal.SIGTERM, lambda *_: (lock.unlink(), sys.exit()))\n"
        "lock.touch()\n"
        "print(flush=True)\n"
        "signal.pause()\n"
    )
    polite = waiting_for(daemon([sys.executable, "-c", program]))
    runs = run_in_turn({"A": polite, "B": polite}, Series(1, tmp_path, 60), print)
    assert next(runs).code == 0
    assert not lock.exists()


def test_other_children_of_this_process_stay_and_keep_their_exit_codes(tmp_path: Path) -> None:
    stays = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with stays, subprocess.Popen(["sh", "-c", "exit 7"]) as ends:
        os.waitid(os.P_PID, ends.pid, os.WEXITED | os.WNOWAIT)
        slow = command("import sys, select; select.select([], [], [], 1.5); open(sys.argv[1], 'w')")
        list(run_in_turn({"A": slow, "B": slow}, Series(1, tmp_path, 60), print))
        assert stays.communicate(b"still here", timeout=20)[0] == b"still here"
    assert ends.returncode == 7


def test_an_orphan_that_another_child_of_this_process_leaves_stays(tmp_path: Path) -> None:
    """The other child starts it, and ends, while the command waits for the end of its reader."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    slow = command(
        "import select, sys\n"
        f"written = open({str(fifo)!r}, 'w')\n"
        "events = select.poll()\n"
        "events.register(written, 0)\n"
        "events.poll()\n"
        "open(sys.argv[1], 'w')\n"
    )
    with Lingering() as bystander:
        leaving = f'exec 3<"$0"; setsid {shlex.join(bystander.words)} 3<&- &'
        with subprocess.Popen(["sh", "-c", leaving, str(fifo)], stdout=subprocess.DEVNULL):
            assert next(run_in_turn({"A": slow, "B": slow}, Series(1, tmp_path, 60), print))
        bystander.check_stays()


def test_orphans_that_have_ended_take_up_no_processes_while_a_run_lasts(tmp_path: Path) -> None:
    waiting = command(
        "import pathlib, select, subprocess, sys\n"
        "starting = 'for i in 1 2 3; do (sh -c \"echo \\\\$\\\\$\" &); done'\n"
        "numbers = subprocess.check_output(['sh', '-c', starting], text=True).split()\n"
        "assert len(numbers) == 3, numbers\n"
        "while any(pathlib.Path('/proc', number).exists() for number in numbers):\n"
        "    select.select([], [], [], 0.1)\n"
        "open(sys.argv[1], 'w')\n"
    )
    runs = run_in_turn({"A": waiting, "B": waiting}, Series(1, tmp_path, 30), print)
    assert next(runs).code == 0


def test_output_without_end_is_neither_kept_nor_written_to_a_file(tmp_path: Path) -> None:
    """Under a limit of 50 KiB for files, which does not apply to pipes (setrlimit(2))."""
    chatty = (
        "import sys\n"
        f"for _ in range(64): sys.stdout.write('x' * {MIB - 1} + chr(10))\n"
        "sys.exit('why it is')\n"
    )
    limited = f'ulimit -f 100; exec "$0" -c {shlex.quote(chatty)}'
    failing = CommandTemplate.parse(shlex.join(["sh", "-c", limited, sys.executable, "{out}"]))
    runs = run_in_turn({"A": failing, "B": failing}, Series(1, tmp_path, 60), print)
    tracemalloc.start()
    try:
        with pytest.raises(UsageError, match="why it is") as told:
            next(runs)
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()
    assert len(str(told.value)) < 4096


def test_a_daemon_that_keeps_writing_does_not_delay_the_next_run(tmp_path: Path) -> None:
    writing_on = command(
        f"import subprocess, sys\nsubprocess.run({daemon(['yes'])!r})\nopen(sys.argv[1], 'w')\n"
    )
    commands: dict[Side, CommandTemplate] = {"A": writing_on, "B": writing_on}
    assert len(list(run_in_turn(commands, Series(1, tmp_path, 30), print))) == 2


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        (r"started\nended 0\nleft 12 13\n", "cannot be ended: 12, 13; end them"),
        (r"started\nended 0\n", "not ended within 0.5 s"),
        (r"", "was ended before it"),
        (r"started\n", "was ended before it"),
    ],
)
def test_a_supervisor_that_fails_is_reported_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: str, complaint: str
) -> None:
    """One that stays at the end, or ends early; processes of another user cannot be ended."""
    stays = "not ended within" in complaint
    fake = tmp_path / "supervisor.py"
    fake.write_text(
        "import signal, sys\n"
        f"sys.stdout.write('{answers}')\n"
        "sys.stdout.flush()\n"
        f"{'signal.pause()' if stays else ''}\n"
    )
    monkeypatch.setattr(supervisor, "__file__", str(fake))
    if stays:
        monkeypatch.setattr(supervised, "_END_S", 0.5)
    good = appending("a", tmp_path / "log")
    with pytest.raises(UsageError, match=complaint):
        list(run_in_turn({"A": good, "B": good}, Series(1, tmp_path, 30), print))
