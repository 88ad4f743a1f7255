"""`loadgen compare --run` that is told to end takes all with it that it has begun."""

import shlex
import signal
import tempfile
from pathlib import Path

import pytest
from command import ended, loadgen, running
from lingering import Lingering

QUICK = "sh -c 'echo {} > \"$0\"' {out}"


def staying_beside(words: list[str]) -> str:
    """Return a command, a shell that stays beside ``words``, so that both must be ended."""
    return f"sh -c {shlex.quote(f'{shlex.join(words)} & sleep 40 & wait')} {{out}}"


@pytest.mark.parametrize(
    ("kind", "times", "number", "code"),
    [
        ("a child", 1, signal.SIGINT, 130),
        ("a child", 2, signal.SIGTERM, 143),
        ("a daemon", 1, signal.SIGTERM, 143),
        ("a daemon", 2, signal.SIGHUP, 129),
        ("a chain", 1, signal.SIGHUP, 129),
        ("a chain", 2, signal.SIGINT, 130),
    ],
)
def test_it_ends_the_commands_and_keeps_what_there_is(
    tmp_path: Path, kind: str, times: int, number: signal.Signals, code: int
) -> None:
    kept = tmp_path / "kept"
    with Lingering() as lingering:
        endless = staying_beside(lingering.starting(kind))
        words = ("compare", "--run", QUICK, "--run", endless, "--keep", str(kept))
        with running(*words) as process:
            lingering.await_start()
            for _ in range(times):
                process.send_signal(number)
            result = ended(process)
        lingering.check_gone()
    assert result.code == code
    assert (kept / "A" / "0001.json").exists()


@pytest.mark.parametrize("kind", ["a child", "a daemon", "a chain"])
def test_when_it_is_killed_the_commands_end_as_well(kind: str) -> None:
    with Lingering() as lingering:
        endless = staying_beside(lingering.starting(kind))
        with running("compare", "--run", endless, "--run", QUICK) as process:
            lingering.await_start()
            process.kill()
        lingering.check_gone()


def test_a_command_that_kills_its_supervisor_is_told_of() -> None:
    done = loadgen("compare", "--quiet", "--run", "sh -c 'kill -9 $PPID' {out}", "--run", QUICK)
    assert done.code == 2
    [line] = done.stderr.splitlines()
    assert "the supervisor of a command was ended before it" in line


def test_a_folder_without_keep_is_removed_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with Lingering() as lingering:
        endless = shlex.join(lingering.words) + " {out}"
        with running("compare", "--run", QUICK, "--run", endless) as process:
            lingering.await_start()
            assert list(tmp_path.iterdir())
            process.send_signal(signal.SIGTERM)
            ended(process)
        lingering.check_gone()
    assert list(tmp_path.iterdir()) == []
