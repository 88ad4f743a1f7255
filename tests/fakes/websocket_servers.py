"""An independent server of WebSocket for tests, in a process of its own."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

PROGRAM: Final = Path(__file__).parent / "websocket_program.py"


class WebSocketServer:
    """Where it listens, and what it says of the connections that have ended."""

    def __init__(self, address: str, told: IO[str]) -> None:
        self.address = address
        self._told = told

    def url(self, path: str = "") -> str:
        """Return a target, whose path says what the server does (`websocket_program`)."""
        return f"ws://{self.address}/{path}"

    def ended(self, connections: int) -> list[dict[str, Any]]:
        """Return what it says of that many further connections, when they have ended."""
        return [json.loads(self._told.readline()) for _ in range(connections)]


@contextlib.contextmanager
def websocket_server() -> Iterator[WebSocketServer]:
    """Serve until the end of the ``with``."""
    command = [sys.executable, str(PROGRAM)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            yield WebSocketServer(f"127.0.0.1:{port}", process.stdout)
        finally:
            process.stdin.close()  # it ends then
            process.stdout.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
