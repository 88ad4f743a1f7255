"""Live progress and colours: on a terminal, and nowhere else."""

import contextlib
import os
import re
import subprocess
from pathlib import Path

import pytest
from command import LOADGEN, ROOT, TIMEOUT_S, environment, loadgen_here
from servers import ScriptedServer, closes_after, echoes

from loadgen.results.record import from_json

COLOUR = re.compile(rb"\x1b\[[0-9;]*3[0-7][0-9;]*m")
ESCAPE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(*arguments: str, **extra: str) -> tuple[int, bytes]:
    """Run ``loadgen`` with a pseudo-terminal as its standard output; return code and output."""
    ours, theirs = os.openpty()
    with (
        os.fdopen(ours, "rb", buffering=0) as terminal,
        subprocess.Popen(
            [*LOADGEN, *arguments],
            cwd=ROOT,
            env=environment(COLUMNS="120", **extra),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        os.close(theirs)
        output = bytearray()
        with contextlib.suppress(OSError):  # EIO on Linux: the other end is closed
            while data := terminal.read(65536):
                output += data
        assert process.stderr is not None
        assert process.stderr.read() == b""
        code = process.wait(TIMEOUT_S)
    return code, bytes(output)


def test_progress_is_live_on_a_terminal() -> None:
    with ScriptedServer(echoes) as server:
        code, output = on_terminal(server.address, "-c", "10", "-d", "1.3s")
    assert code == 0
    text = ESCAPE.sub(b"", output).decode()
    assert "10 of 10 connections up" in text
    assert re.search(r"1 of 1\.3 s: .* messages/s", text)
    assert "draining" in text
    assert text.index("connections up") < text.index("p99")


def test_quiet_shows_the_summary_alone() -> None:
    with ScriptedServer(echoes) as server:
        code, output = on_terminal(server.address, "-c", "10", "-d", "0.2s", "--quiet")
    assert code == 0
    assert b"connections up" not in output
    assert b"p99" in output


def test_a_terminal_that_goes_does_not_take_the_run_with_it(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    ours, theirs = os.openpty()
    with (
        ScriptedServer(echoes) as server,
        subprocess.Popen(
            [*LOADGEN, server.address, "-c", "2", "-d", "1.3s", "--json", str(path)],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        os.close(theirs)
        os.read(ours, 1)  # it draws
        os.close(ours)
        _, stderr = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, stderr) == (0, b"")  # there is no terminal to show it
    assert from_json(path.read_bytes()).outcome == "completed"


def test_there_is_no_progress_where_there_is_no_terminal(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with ScriptedServer(echoes) as server:
        done = loadgen_here(capfd, server.address, "-c", "10", "-d", "0.2s")
    assert done.code == 0
    assert "connections up" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "p99" in done.stdout


def test_failures_are_coloured_on_a_terminal() -> None:
    with ScriptedServer(closes_after(1, 64)) as server:
        code, output = on_terminal(server.address, "-c", "3", "-d", "20s")
    assert code == 0
    assert COLOUR.search(output)


def test_no_color_is_heeded() -> None:
    with ScriptedServer(closes_after(1, 64)) as server:
        code, output = on_terminal(server.address, "-c", "3", "-d", "20s", NO_COLOR="1")
    assert code == 0
    assert b"failures" in output
    assert not COLOUR.search(output)


@pytest.mark.parametrize("extra", [{}, {"NO_COLOR": "1"}], ids=["colours", "NO_COLOR"])
def test_a_table_of_backends_is_live_and_coloured_on_a_terminal(extra: dict[str, str]) -> None:
    with ScriptedServer(closes_after(1, 64)) as server:
        options = ("-c", "1,2", "-n", "3", "--rounds", "1")
        code, output = on_terminal(server.address, *options, **extra)
    assert code == 0
    assert b"2 of 2 connections up" in output  # the progress of a run
    assert b"inconclusive" in output
    assert bool(COLOUR.search(output)) == (not extra)


def test_the_lines_of_a_summary_are_not_broken_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    with ScriptedServer(echoes) as server:
        done = loadgen_here(capfd, server.address, "-c", "3", "-n", "3")
    assert max(map(len, done.stdout.splitlines())) > 60
    [header] = [line for line in done.stdout.splitlines() if "p99.9" in line]
    assert header.split() == ["min", "mean", "p50", "p90", "p99", "p99.9", "max"]
