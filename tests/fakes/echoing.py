"""The embedded target in a thread, and clients of it that know nothing of loadgen."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Final

from loadgen.net.target import Target
from loadgen.server import EchoServer, ServerOptions
from loadgen.server.udp import server_of

TIMEOUT_S: Final = 20.0  # for a broken server only: nothing here waits that long


@contextlib.contextmanager
def serving(options: ServerOptions) -> Iterator[EchoServer]:
    """An echo server in a thread, stopped and closed at the end."""
    with server_of(options) as server:
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield server
        finally:
            server.stop()
            thread.join()


def connect(address: str) -> socket.socket:
    target = Target.parse(address)
    if target.is_unix:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.settimeout(TIMEOUT_S)
        client.connect(target.path)
        return client
    return socket.create_connection((target.host, target.port), TIMEOUT_S)


def receive_exactly(client: socket.socket, size_bytes: int) -> bytes:
    received = bytearray()
    while len(received) < size_bytes:
        data = client.recv(size_bytes - len(received))
        assert data, "the server closed the connection too early"
        received += data
    return bytes(received)


def receive_all(client: socket.socket) -> bytes:
    received = bytearray()
    while data := client.recv(65536):
        received += data
    return bytes(received)


def echo(address: str, message: bytes) -> bytes:
    with connect(address) as client:
        client.sendall(message)
        client.shutdown(socket.SHUT_WR)
        return receive_all(client)


def turn_until_closed(server: EchoServer, connections: int = 1) -> None:
    while server.counts.closed < connections:
        server.turn()
