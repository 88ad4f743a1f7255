"""The command line as a user meets it: in a process of its own."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from servers import ScriptedServer, echoes

from loadgen.cli import main
from loadgen.results.record import RunRecord, from_json

ROOT: Final = Path(__file__).resolve().parents[2]
TIMEOUT_S: Final = 45.0

# A socket or file that is left open makes noise, and noise is found.
PYTHON: Final = (sys.executable, "-W", "always::ResourceWarning")
LOADGEN: Final = (*PYTHON, "-m", "loadgen")


class Ended(NamedTuple):
    """What is left of a command."""

    code: int
    stdout: str
    stderr: str

    @property
    def record(self) -> RunRecord:
        """The record on standard output, which must hold nothing else."""
        return from_json(self.stdout.encode())


def environment(**extra: str) -> dict[str, str]:
    """Return this process's environment without what changes colours, and with ``extra``.

    A process that has it is not measured by coverage.py, which would write to its standard error
    where an interrupt comes at the very end, and make each start cost half as much again.
    """
    others = {"NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "LINES"}
    others.add("COVERAGE_PROCESS_CONFIG")
    kept = {name: value for name, value in os.environ.items() if name not in others}
    return {**kept, "TERM": "xterm-256color", **extra}


def measured() -> dict[str, str]:
    """Return what has coverage.py measure a process, for `environment`; nothing without it."""
    name = "COVERAGE_PROCESS_CONFIG"
    return {name: os.environ[name]} if name in os.environ else {}


def loadgen(*arguments: str, stdin: bytes = b"") -> Ended:
    """Run ``loadgen`` with ``arguments`` to its end; a traceback is never right."""
    done = subprocess.run(
        [*LOADGEN, *arguments],
        cwd=ROOT,
        env=environment(),
        input=stdin,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    ended = Ended(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in ended.stderr, ended.stderr
    assert "ResourceWarning" not in ended.stderr, ended.stderr
    return ended


def redirected(redirections: str, *arguments: str, **extra: str) -> Ended:
    """Run ``loadgen`` as a shell does with ``redirections``, and with ``extra`` variables.

    What it writes in no UTF-8 is escaped.
    """
    done = subprocess.run(
        ["bash", "-c", f'exec "$@" {redirections}', "bash", *LOADGEN, *arguments],
        cwd=ROOT,
        env=environment(**extra),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    stdout, stderr = (text.decode(errors="backslashreplace") for text in (done.stdout, done.stderr))
    assert "Traceback" not in stderr, stderr
    return Ended(done.returncode, stdout, stderr)


def loadgen_here(capfd: pytest.CaptureFixture[str], *arguments: str) -> Ended:
    """Put ``arguments`` to the command line in this process, without the time of a start-up.

    An exception that comes out of it is the traceback that a user would see.
    """
    code = main(arguments)
    return Ended(code, *capfd.readouterr())


@contextlib.contextmanager
def running(*arguments: str, stdin: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
    """``loadgen`` with ``arguments``, in a process group of its own, with pipes for its output."""
    process = subprocess.Popen(
        [*LOADGEN, *arguments],
        cwd=ROOT,
        env=environment(),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[bytes]) -> Ended:
    """Wait for the end of ``process``, and return what is left in its pipes."""
    stdout, stderr = (output or b"" for output in process.communicate(timeout=TIMEOUT_S))
    assert b"Traceback" not in stderr, stderr
    return Ended(process.returncode, stdout.decode(), stderr.decode())


def close_output(process: subprocess.Popen[bytes]) -> None:
    """Go away as the reader of ``process``'s standard output."""
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None


def check_refused(
    capfd: pytest.CaptureFixture[str], arguments: Sequence[str], parts: Sequence[str]
) -> None:
    """Check that one line, with all ``parts`` in it, says what is wrong before any socket is there.

    The first of what the command line gets is the address of a server; nothing may connect.
    """
    with ScriptedServer(echoes) as server:
        done = loadgen_here(capfd, server.address, *arguments)
    assert server.accepted == 0
    assert (done.code, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("loadgen: ")
    for part in parts:
        assert part in line
