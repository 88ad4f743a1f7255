"""What the peers load: each a server of its own on a free loopback port, ended with its block."""

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from bench.peers.processes import FailedError, Workshop, found, reserved_port
from bench.yardstick import server

BACKLOG: Final = 4096
BLOCK_BYTES: Final = 128 * 1024
"""What iperf3 writes at a time, unless told otherwise."""

REDIS_KEY: Final = "key:000000000000"
REDIS_LIST: Final = "mylist"
REDIS_VALUE: Final = "xxx"
"""As long as redis-benchmark's."""

_TIMEOUT_S: Final = 10.0
_NGINX: Final = """\
daemon off; master_process off; worker_processes 1; worker_rlimit_nofile {files};
pid nginx.pid; error_log stderr;
events {{ worker_connections {files}; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 600;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port} backlog={backlog};
        location / {{ return 200 "ok\\n"; }}
    }}
}}
"""
_MANY_FILES: Final = 16_384


def echo(workshop: Workshop) -> AbstractContextManager[int]:
    """Run the echo server in C."""
    return server(workshop.echo, workshop.server_core, BACKLOG)


@contextmanager
def nginx(workshop: Workshop) -> Iterator[int]:
    """Run nginx as one process that answers every request with the same three bytes."""
    program, place = found("nginx") or "nginx", f"{workshop.directory}/"
    command = [program, "-p", place, "-e", "stderr", "-c", "nginx.conf"]
    with reserved_port() as port:
        text = _NGINX.format(files=_MANY_FILES, port=port, backlog=BACKLOG)
        (workshop.directory / "nginx.conf").write_text(text, encoding="ascii")
        with workshop.serving(command, port):
            yield port


@contextmanager
def redis(workshop: Workshop) -> Iterator[int]:
    """Run redis-server, which keeps nothing on disk, with a value and a list of such values."""
    place = ["--bind", "127.0.0.1", "--tcp-backlog", str(BACKLOG), "--maxclients", str(_MANY_FILES)]
    disk = ["--save", "", "--appendonly", "no", "--dir", str(workshop.directory)]
    with (
        reserved_port() as port,
        workshop.serving(["redis-server", "--port", str(port), *place, *disk], port),
        socket.create_connection(("127.0.0.1", port), _TIMEOUT_S) as client,
        client.makefile("rb") as replies,
    ):
        client.sendall(f"SET {REDIS_KEY} {REDIS_VALUE}\r\n".encode())
        client.sendall(f"RPUSH {REDIS_LIST}{f' {REDIS_VALUE}' * 100}\r\n".encode())
        said = [replies.readline() for _ in range(2)]
        if said != [b"+OK\r\n", b":100\r\n"]:
            raise FailedError(f"redis-server says {said}")
        yield port


def sockperf(workshop: Workshop) -> AbstractContextManager[int]:
    """Run the server of sockperf, which binds no port that is bound already."""
    with reserved_port() as port:
        command = ["sockperf", "server", "--tcp", "-i", "127.0.0.1", "-p", str(port)]
    return workshop.serving(command, port)


@contextmanager
def iperf3(workshop: Workshop) -> Iterator[int]:
    """Run the server of iperf3.

    A connection that says nothing is a failed test to it, after which it listens anew.
    """
    with reserved_port() as port:
        command = ["iperf3", "-s", "-B", "127.0.0.1", "-p", str(port), "--forceflush"]
        with workshop.serving(command, port, sign="Server listening"):
            yield port


def http_response_bytes(port: int, request: bytes) -> int:
    """Return the length of the whole response. Raises FailedError where there is none."""
    with (
        socket.create_connection(("127.0.0.1", port), _TIMEOUT_S) as client,
        client.makefile("rb") as replies,
    ):
        client.sendall(request)
        head = [replies.readline()]
        while head[-1].strip():
            head.append(replies.readline())
    for line in head:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return sum(map(len, head)) + int(value)
    raise FailedError("its server gives no length of a response")


# ---- iperf3's protocol ---------------------------------------------------------------

_COOKIE: Final = b"c" * 36 + b"\0"
"""What the connections of one test begin with, so that the server knows them to be one's."""

_ASK_FOR_PARAMETERS, _AWAIT_STREAMS = b"\x09", b"\x0a"


@contextmanager
def iperf3_test(port: int, connections: int) -> Iterator[bytes]:
    """Have the server of iperf3 expect so many connections that will send; yield what each has to
    send first.

    A test has a connection of its own for what both sides have to tell each other: the server
    names a state in one byte, the client answers with a length and JSON. The server reads from
    the others as soon as all are there. When the first is closed, the test is over.

    Raises FailedError where the server does not go along.
    """
    asked = {"tcp": True, "omit": 0, "time": 0, "parallel": connections, "len": BLOCK_BYTES}
    text = json.dumps(asked).encode()
    with socket.create_connection(("127.0.0.1", port), _TIMEOUT_S) as control:
        control.sendall(_COOKIE)
        _expect(control, _ASK_FOR_PARAMETERS)
        control.sendall(struct.pack("!I", len(text)) + text)
        _expect(control, _AWAIT_STREAMS)
        yield _COOKIE


def _expect(control: socket.socket, state: bytes) -> None:
    got = control.recv(1)
    if got != state:
        raise FailedError(f"iperf3's server is in state {got!r}, not {state!r}")
