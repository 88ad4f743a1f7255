"""A real redis-server for tests, on a free port, or none where it is not installed."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import pytest

from bench.peers.processes import reserved_port

WITHIN_S: Final = 20.0
"""Only a broken server takes this long."""


@dataclass(frozen=True)
class RedisServer:
    """One that runs."""

    port: int
    password: str = ""

    def url(self, path: str = "", login: str = "") -> str:
        """Return its URL."""
        return f"redis://{login}{'@' if login else ''}127.0.0.1:{self.port}{path}"

    def ask(self, *words: str | bytes) -> bytes:
        """Return the last word of its answer to a command, as redis-cli prints it."""
        login = ["-a", self.password, "--no-auth-warning"] if self.password else []
        done = subprocess.run(
            ["redis-cli", "-p", str(self.port), *login, *words],
            capture_output=True,
            timeout=WITHIN_S,
            check=True,
        )
        return done.stdout.removesuffix(b"\n")


@contextmanager
def redis_server(password: str = "", *options: str) -> Iterator[RedisServer]:
    """Run one that keeps nothing on disk; skip the test where there is none."""
    for program in ("redis-server", "redis-cli"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (apt-get install redis-server redis-tools)")
    with reserved_port() as port, tempfile.TemporaryDirectory(prefix="loadgen-redis-") as folder:
        place = ["--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
        login = ["--requirepass", password] if password else []
        with subprocess.Popen(
            ["redis-server", *place, *login, *options], stdout=subprocess.DEVNULL
        ) as process:
            try:
                _await_listening(process, port)
                yield RedisServer(port, password)
            finally:
                process.terminate()


def _await_listening(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), WITHIN_S).close()
        except ConnectionRefusedError:
            assert process.poll() is None, "redis-server has ended"
            assert time.monotonic() < deadline_s, "redis-server does not listen"
        else:
            return
