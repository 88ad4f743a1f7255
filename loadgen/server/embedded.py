"""The embedded server as a child process of a load run."""

import contextlib
import os
import selectors
import subprocess
import sys
import time
from typing import IO, Final, Self

import msgspec

from loadgen.errors import LoadgenError
from loadgen.logs import logger
from loadgen.server.connections import ServerCounts
from loadgen.server.processes import STOP_S

START_S: Final = 10.0
"""Seconds within which an embedded server must listen."""

_READ_BYTES: Final = 65536

_log = logger("loadgen.server")


class EmbeddedServer:
    """An echo server in a process and a session of its own, for as long as the ``with`` lasts.

    In a session of its own, ^C at the terminal does not end it before the load has drained. It runs
    ``loadgen server`` with ``arguments``, such as ``("--delay", "1ms")``, and needs no file: its
    address, its counts and its last error line come through pipes. Entering raises LoadgenError,
    with that line, if it does not listen within `START_S`.
    """

    def __init__(self, arguments: tuple[str, ...] = ()) -> None:
        self._arguments = arguments
        self._outcome: ServerCounts | str = "it has not stopped yet"

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as cleanup:
            command = [sys.executable, "-m", "loadgen", "server", "--port", "0"]
            command += ["--until-stdin-closes", "--json", "-", *self._arguments]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            cleanup.callback(self._stop)
            self.pid = self._process.pid
            self.address = self._read_address()
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._cleanup.close()

    @property
    def counts(self) -> ServerCounts:
        """What the server did, once it has stopped. Raises LoadgenError if there are none."""
        if isinstance(self._outcome, str):
            raise LoadgenError(f"the embedded server left no counts: {self._outcome}")
        return self._outcome

    def counts_if_known(self) -> dict[str, int] | None:
        """Return `counts` by name; None, with a warning, if there are none.

        The client's measurements are valid without them.
        """
        try:
            return msgspec.structs.asdict(self.counts)
        except LoadgenError as error:
            _log.warning("%s", error)
            return None

    def _read_address(self) -> str:
        output = self._process.stdout
        assert output is not None
        deadline_s = time.monotonic() + START_S
        text = b""
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while b"\n" not in text:
                if not selector.select(max(0.0, deadline_s - time.monotonic())):
                    raise LoadgenError(f"the embedded server did not listen within {START_S:g} s")
                data = os.read(output.fileno(), _READ_BYTES)
                if not data:
                    raise LoadgenError(
                        f"the embedded server did not start: {self._last_error_line()}"
                    )
                text += data
        return text.decode().partition("\n")[0].removeprefix("listening on ")

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        try:
            self._outcome = msgspec.json.decode(_rest_of(self._process.stdout), type=ServerCounts)
        except msgspec.DecodeError:
            self._outcome = self._last_error_line()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()

    def _last_error_line(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        written = _rest_of(self._process.stderr).decode(errors="replace").strip()
        return written.rpartition("\n")[2] or f"exit code {self._process.returncode}"


def _rest_of(pipe: IO[bytes] | None) -> bytes:
    """Return what is in ``pipe``; its end is not waited for: a child may hold it open."""
    assert pipe is not None
    os.set_blocking(pipe.fileno(), False)
    parts = []
    with contextlib.suppress(BlockingIOError):
        while part := os.read(pipe.fileno(), _READ_BYTES):
            parts.append(part)
    return b"".join(parts)
