"""Places to connect to, where nothing listens, or not yet."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loadgen.net.address import Endpoint


@contextlib.contextmanager
def refusing_address() -> Iterator[str]:
    """A port that refuses, and that no other process can get: it is bound and does not listen."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield "127.0.0.1:{1}".format(*bound.getsockname())


@contextlib.contextmanager
def refusing_udp_address() -> Iterator[str]:
    """The same for datagrams: it takes them from one other port only, and refuses all others."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        bound.connect(("127.0.0.1", 9))
        yield "udp://{}:{}".format(*bound.getsockname())


@contextlib.contextmanager
def full_backlog() -> Iterator[Endpoint]:
    """A listener that accepts nothing and whose queue is full: a connect does not end (Linux)."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        name = listener.getsockname()
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                caller = stack.enter_context(socket.socket())
                caller.setblocking(False)
                caller.connect_ex(name)
            yield Endpoint(socket.AF_INET, name)


def unix_listener(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(1024)
    return listener


class SelfConnected(socket.socket):
    """A socket that connects to itself, whatever it is told: a simultaneous open, as TCP has it.

    As it happens now and then where nothing listens at a port from which connects come.
    """

    def connect(self, address: Any) -> None:
        self.bind((address[0], 0))
        super().connect(self.getsockname())

    def connect_ex(self, address: Any) -> int:
        self.bind((address[0], 0))
        return super().connect_ex(self.getsockname())
