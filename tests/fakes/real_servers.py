"""Other people's servers, run for a test on a free port; a test is skipped where one is missing."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from bench.peers.processes import found, reserved_port

_READY_WITHIN_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.01
_ENDS_WITHIN_S: Final = 20.0


@contextmanager
def memcached() -> Iterator[str]:
    """Run memcached; yield its address."""
    with reserved_port() as port:
        user = ["-u", "root"] if os.getuid() == 0 else []
        command = [_program("memcached"), "-l", "127.0.0.1", "-p", str(port), "-U", "0", *user]
        with _listening(command, port) as address:
            yield address


@contextmanager
def mosquitto() -> Iterator[str]:
    """Run mosquitto, which without a file of settings lets anybody on this machine in."""
    with (
        reserved_port() as port,
        _listening([_program("mosquitto"), "-p", str(port)], port) as address,
    ):
        yield address


@contextmanager
def redis(*options: str) -> Iterator[str]:
    """Run redis-server, which keeps nothing on disk."""
    with tempfile.TemporaryDirectory() as folder, reserved_port() as port:
        place = ["--bind", "127.0.0.1", "--port", str(port), "--dir", folder, "--save", ""]
        with _listening([_program("redis-server"), *place, *options], port) as address:
            yield address


@contextmanager
def postgresql() -> Iterator[str]:
    """Run PostgreSQL with a new cluster, which trusts its user ``postgres``; not as root."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not installed:
        pytest.skip("PostgreSQL is not installed in /usr/lib/postgresql")
    programs, as_user = installed[-1], list[str]()
    with tempfile.TemporaryDirectory(prefix="loadgen-pg-") as folder, reserved_port() as port:
        if os.getuid() == 0:
            as_user = [_program("runuser"), "-u", "postgres", "--"]
            shutil.chown(folder, "postgres")
        cluster = f"{folder}/cluster"
        trusting = ["-A", "trust", "-U", "postgres", "--no-sync"]
        initdb = [str(programs / "initdb"), "-D", cluster, *trusting]
        subprocess.run(
            [*as_user, *initdb],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=_READY_WITHIN_S,
        )
        chosen = [f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories="]
        settings = [word for each in [*chosen, "fsync=off"] for word in ("-c", each)]
        server = [*as_user, str(programs / "postgres"), "-D", cluster, *settings]
        with _listening(server, port, folder) as address:
            yield address


def _program(name: str) -> str:
    path = found(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@contextmanager
def _listening(command: Sequence[str], port: int, folder: str = "/") -> Iterator[str]:
    """Run ``command`` until the end of the block; yield its address once it listens."""
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            give_up_s = time.monotonic() + _READY_WITHIN_S
            while not _listens(port):
                try:
                    code = process.wait(_LOOK_EVERY_S)
                except subprocess.TimeoutExpired:
                    assert time.monotonic() < give_up_s, f"{command[0]} does not listen"
                else:
                    raise AssertionError(f"{command[0]} ended with {code}")
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), _READY_WITHIN_S).close()
    except OSError:
        return False
    return True
