"""A process that stays until it is killed, and a way to see that it is gone."""

import contextlib
import socket
import sys
from collections.abc import Sequence
from typing import Final, Self

import pytest

_TIMEOUT_S: Final = 20.0
_PROGRAM: Final = """
import signal, socket, sys
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    print("ready", flush=True)
    connection.recv(1)
"""


_CHAIN: Final = """
import os, signal, socket, sys, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    print("ready", flush=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    until_s = time.monotonic() + 30
    while time.monotonic() < until_s:
        if os.fork():
            os._exit(0)
        os.setsid()
        time.sleep(0.001)
    connection.sendall(b"survived")
"""


def daemon(words: Sequence[str]) -> list[str]:
    """Return what starts ``words`` as a daemon: an orphan in a session and a group of its own.

    Nothing of its environment tells where it comes from.
    """
    return ["sh", "-c", '(env -i setsid "$@" &)', "sh", *words]


class Lingering:
    """A process that runs ``words`` connects here, prints a line, and ignores polite signals.

    ``as_daemon`` starts it as a daemon. ``as_chain`` starts another that stays for half a minute as
    a chain of daemons: each lives for a millisecond and leaves one in a session of its own.

    The connection lives as long as the process does, which is how its end is seen.
    """

    def __enter__(self) -> Self:
        self._cleanup = contextlib.ExitStack()
        self._listener = self._cleanup.enter_context(socket.create_server(("127.0.0.1", 0)))
        self._listener.settimeout(_TIMEOUT_S)
        port = self._listener.getsockname()[1]
        self.words = [sys.executable, "-c", _PROGRAM, str(port)]
        self.as_daemon = daemon(self.words)
        self.as_chain = [sys.executable, "-c", _CHAIN, str(port)]
        return self

    def __exit__(self, *exception: object) -> None:
        self._cleanup.close()

    def starting(self, kind: str) -> list[str]:
        """Return what starts a child, a daemon, or a chain."""
        return {"a child": self.words, "a daemon": self.as_daemon, "a chain": self.as_chain}[kind]

    def await_start(self) -> None:
        """Wait until it is there."""
        self._connection = self._cleanup.enter_context(self._listener.accept()[0])
        self._connection.settimeout(_TIMEOUT_S)

    def check_gone(self) -> None:
        """Check that it has been there, and ends."""
        if not hasattr(self, "_connection"):
            self.await_start()
        assert self._connection.recv(1) == b""

    def check_stays(self) -> None:
        """Check that it is there, and let it go."""
        self.await_start()
        self._connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            self._connection.recv(1)
        self._connection.settimeout(_TIMEOUT_S)
        self._connection.sendall(b"x")
        self.check_gone()
