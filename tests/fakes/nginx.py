"""A real nginx as a process on a free port, which logs every request that it has answered."""

import contextlib
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from bench.peers.processes import found, reserved_port

NEEDS_NGINX: Final = pytest.mark.skipif(found("nginx") is None, reason="nginx is not installed")

DEADLINE_S: Final = 20.0
_LOOK_EVERY_S: Final = 0.01

_CONFIGURATION: Final = """\
daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 4096;
pid nginx.pid; error_log stderr;
events {{ worker_connections 4096; }}
http {{
    log_format requests '$status $request_method $request_uri $request_length';
    access_log requests.log requests;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    {settings}
    server {{
        listen 127.0.0.1:{port};
        root files;
        chunked_transfer_encoding on;
        location /ok {{ return 200 "ok\\n"; }}
        location /empty {{ return 204; }}
        location /missing {{ return 404 "no\\n"; }}
        location /broken {{ return 500 "sorry\\n"; }}
        location /moved {{ return 302 /ok; }}
        location /files/ {{ alias files/; }}
        location /chunked/ {{ alias files/; ssi on; ssi_types *; }}
    }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """A server that runs."""

    port: int
    directory: Path

    @property
    def origin(self) -> str:
        """The beginning of the URLs of its locations: ``/ok``, ``/empty``, ``/missing``,
        ``/broken``, ``/moved``, ``/files/…`` and, in chunks, ``/chunked/…``."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> list[str]:
        """A line for each request that it has answered; all are there once it has ended."""
        text = (self.directory / "requests.log").read_text(encoding="ascii")
        return text.splitlines()

    @property
    def statuses(self) -> Counter[int]:
        """How many requests it has answered with each status."""
        return Counter(int(line.split()[0]) for line in self.log)


@contextlib.contextmanager
def nginx(directory: Path, settings: str = "", files: dict[str, bytes] = {}) -> Iterator[Nginx]:  # noqa: B006
    """Run nginx with ``settings`` of its http block, and ``files``, during the ``with``."""
    (directory / "files").mkdir()
    for name, content in files.items():
        (directory / "files" / name).write_bytes(content)
    command = [found("nginx") or "nginx", "-p", f"{directory}/", "-e", "stderr", "-c", "nginx.conf"]
    with reserved_port() as port:
        text = _CONFIGURATION.format(settings=settings, port=port)
        (directory / "nginx.conf").write_text(text, encoding="ascii")
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
            try:
                _wait_for(process, port)
                yield Nginx(port, directory)
            finally:
                process.terminate()
                process.wait(DEADLINE_S)


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    while process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), DEADLINE_S).close()
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_EVERY_S)
    pytest.fail(f"nginx has ended with {process.returncode}")
