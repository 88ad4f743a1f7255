"""Programs started, accounted for, and ended: clients that end by themselves, servers that do not.

All run below a small C program (`native/account.c`) that keeps them on a core, measures them, and
takes them down with this process, however that ends.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from bench import yardstick
from bench.yardstick import ROOT, built, two_cores

_ACCOUNT: Final = yardstick.SOURCE.with_name("account.c")
_START_WITHIN_S: Final = 10.0
_END_WITHIN_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.005
_MORE_THAN_ASKED_S: Final = 60.0


class FailedError(Exception):
    """A program did not do what it was started for; the text says why."""


@dataclass(frozen=True)
class Spent:
    """What a process took, from its start to its end; peak_bytes: of resident memory."""

    user_s: float
    system_s: float
    peak_bytes: int


@dataclass(frozen=True)
class Workshop:
    """Where the work is done: a directory for files, compiled programs, a core for each side."""

    directory: Path
    account: Path
    echo: Path
    client_core: int | None
    server_core: int | None

    def run(self, command: Sequence[str], asked_s: float) -> tuple[str, Spent]:
        """Run a client; return what it prints, and what it took.

        Raises FailedError where it fails, or goes on for long after the seconds it was asked for.
        """
        spent = self.directory / "spent"
        with (self.directory / "errors").open("w+") as errors:
            with _started(
                [self.account, _number(self.client_core), spent, *command], subprocess.PIPE, errors
            ) as process:
                try:
                    output, _ = process.communicate(timeout=asked_s + _MORE_THAN_ASKED_S)
                except subprocess.TimeoutExpired:
                    raise FailedError(
                        f"had not ended {_MORE_THAN_ASKED_S:g} s after it was to"
                    ) from None
            if process.returncode:
                errors.seek(0)
                raise FailedError(_ended(process.returncode, f"{output}\n{errors.read()}"))
        numbers = spent.read_text(encoding="ascii").split()
        return output, Spent(int(numbers[1]) / 1e6, int(numbers[3]) / 1e6, int(numbers[5]) * 1024)

    @contextmanager
    def serving(self, command: Sequence[str], port: int, sign: str = "") -> Iterator[int]:
        """Run a server; yield ``port`` once it can be connected to, or has printed the ``sign``.

        Raises FailedError where that does not come about.
        """
        core = _number(self.server_core)
        with (
            (self.directory / "log").open("w+") as log,
            _started([self.account, core, os.devnull, *command], log, log) as process,
        ):
            _wait_for(process, port, Path(log.name), sign)
            yield port


def _wait_for(process: subprocess.Popen[str], port: int, log: Path, sign: str) -> None:
    give_up_s = time.monotonic() + _START_WITHIN_S
    while not (sign in log.read_text() if sign else _listens(port)):
        try:
            code = process.wait(_LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            if time.monotonic() > give_up_s:
                raise FailedError(f"its server is not ready after {_START_WITHIN_S:g} s") from None
        else:
            raise FailedError(f"its server {_ended(code, log.read_text())}")


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), _START_WITHIN_S).close()
    except OSError:
        return False
    return True


@contextmanager
def _started(
    command: Sequence[str | Path], output: IO[str] | int, errors: IO[str]
) -> Iterator[subprocess.Popen[str]]:
    """Start ``command``; at the end, end it, if it has not by itself."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        text=True,
        cwd=ROOT,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_END_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()  # what runs below it goes with it


def _number(core: int | None) -> str:
    return "-1" if core is None else str(core)


def _ended(code: int, text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"ended with {code}: {lines[-1] if lines else 'it says nothing'}"


@contextmanager
def workshop() -> Iterator[Workshop]:
    """Yield a Workshop. Raises `bench.yardstick.UnavailableError` without a C compiler."""
    with ExitStack() as stack:
        account = stack.enter_context(built(_ACCOUNT))
        echo = stack.enter_context(built())
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="loadgen-peers-"))
        yield Workshop(Path(directory), account, echo, *two_cores())


@contextmanager
def reserved_port() -> Iterator[int]:
    """Yield a loopback port for a server that cannot say which it has got; no other gets it.

    It is bound here and does not listen. A server that sets SO_REUSEADDR, as most do, may bind it,
    too, and listen (socket(7)); to those who ask for any port, the kernel gives another.
    """
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


def found(command: str) -> str | None:
    """Return the path of ``command``, also where only root's PATH leads; None where it is not."""
    return shutil.which(command) or shutil.which(command, path="/usr/sbin:/sbin")
