"""The native and the Python way of immediate answers: they do the same, to the byte."""

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from command import loadgen
from echoing import connect, echo, receive_all, turn_until_closed
from hypothesis import given
from hypothesis import strategies as st
from server_engines import ENGINES, needs_native

from loadgen.errors import LocalLimitError, UsageError
from loadgen.net.target import Target
from loadgen.server import EchoServer, ServerCounts, ServerOptions
from loadgen.server.certificate import provided
from loadgen.server.connections import BUFFER_BYTES
from loadgen.server.delays import FixedDelay
from loadgen.server.embedded import EmbeddedServer
from loadgen.server.immediate import ImmediateAnswers
from loadgen.server.native import NativeAnswers

CLIENTS: Final = 3
NUMBERED: Final = Random(0).randbytes(1 << 22)  # a byte at the wrong place is seen

STEPS: Final = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(0, CLIENTS - 1), st.integers(1, 400_000)),
        st.tuples(st.just("read"), st.integers(0, CLIENTS - 1), st.integers(1, 400_000)),
        st.tuples(st.just("end"), st.integers(0, CLIENTS - 1), st.just(0)),
        st.tuples(st.just("turn"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


class SlowClient:
    """A client that never waits, with little room for what it has not read."""

    def __init__(self, address: str) -> None:
        target = Target.parse(address)
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        self.socket.connect((target.host, target.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.sent_bytes = 0
        self.answered = bytearray()
        self.has_ended = False
        self.at_end = False

    def send(self, size_bytes: int) -> None:
        if not self.has_ended:
            with contextlib.suppress(BlockingIOError):
                data = NUMBERED[self.sent_bytes : self.sent_bytes + size_bytes]
                self.sent_bytes += self.socket.send(data)

    def read(self, size_bytes: int) -> None:
        with contextlib.suppress(BlockingIOError):
            data = self.socket.recv(size_bytes)
            self.answered += data
            self.at_end = not data

    def end(self) -> None:
        if not self.has_ended:
            self.has_ended = True
            self.socket.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def slow_clients(server: EchoServer) -> Iterator[list[SlowClient]]:
    # Accepted sockets inherit it; with so little room, few sends are taken whole.
    server._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    clients = [SlowClient(server.address) for _ in range(CLIENTS)]
    while server.counts.accepted < CLIENTS:
        server.turn()
    yield clients
    for client in clients:
        client.socket.close()


def play(engine: str, backend: str, steps: list[tuple[str, int, int]]) -> list[bytes]:
    """Take the steps, then read all to the end; return what each client has got back."""
    with (
        EchoServer(ServerOptions(engine=engine, backend=backend)) as server,
        slow_clients(server) as clients,
    ):
        for step, who, size_bytes in steps:
            match step:
                case "send":
                    clients[who].send(size_bytes)
                case "read":
                    clients[who].read(size_bytes)
                case "end":
                    clients[who].end()
                case _:
                    server.turn(0)
            counts = server.counts
            assert counts.bytes_received - counts.bytes_sent <= CLIENTS * BUFFER_BYTES
        for client in clients:
            client.end()
        while not all(client.at_end for client in clients):
            server.turn(0)
            for client in clients:
                client.read(1 << 20)
        turn_until_closed(server, CLIENTS)
        total_bytes = sum(client.sent_bytes for client in clients)
        assert server.counts == ServerCounts(CLIENTS, CLIENTS, total_bytes, total_bytes)
        for client in clients:
            assert client.answered == NUMBERED[: client.sent_bytes]
        return [bytes(client.answered) for client in clients]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("backend", ["auto", "poll", "select"])
@given(steps=STEPS)
def test_no_byte_is_lost_or_comes_twice(
    engine: str, backend: str, steps: list[tuple[str, int, int]]
) -> None:
    play(engine, backend, steps)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_reset_ends_one_connection_and_no_other_in_the_same_turn(engine: str) -> None:
    with EchoServer(ServerOptions(engine=engine)) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server.address)) for _ in range(5)]
        while server.counts.accepted < len(clients):
            server.turn()
        for client in clients:
            client.sendall(b"request")
        clients[2].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        clients[2].close()
        others = [client for client in clients if client is not clients[2]]
        turn_until_closed(server)
        while server.counts.bytes_sent < 7 * len(others):
            server.turn()
        for client in others:
            assert client.recv(64) == b"request"
        assert server.counts.closed == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_a_connection_is_accepted_in_the_turn_in_which_others_are_answered(engine: str) -> None:
    with EchoServer(ServerOptions(engine=engine)) as server, connect(server.address) as first:
        while not server.counts.accepted:
            server.turn()
        first.sendall(b"request")
        with connect(server.address) as second:
            while server.counts.accepted < 2 or not server.counts.bytes_sent:
                server.turn()
            second.sendall(b"another")
            while server.counts.bytes_sent < 14:
                server.turn()
            assert (first.recv(64), second.recv(64)) == (b"request", b"another")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sink_of_either_engine_reads_and_never_answers(engine: str) -> None:
    with EchoServer(ServerOptions(sink=True, engine=engine)) as server:
        with connect(server.address) as client:
            client.setblocking(False)
            sent_bytes = 0
            while sent_bytes < 1 << 20:
                with contextlib.suppress(BlockingIOError):
                    sent_bytes += client.send(bytes(65536))
                server.turn(0)
            client.shutdown(socket.SHUT_WR)
            turn_until_closed(server)
            client.setblocking(True)
            assert receive_all(client) == b""
        assert server.counts == ServerCounts(1, 1, sent_bytes, 0)


async def converse(host: str, port: int, messages: int, size_bytes: int) -> None:
    """Write all, read it back in small pieces as it comes, and look at each byte."""
    reader, writer = await asyncio.open_connection(host, port, limit=4096)
    data = NUMBERED[:size_bytes]

    async def write() -> None:
        for _ in range(messages):
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    writing = asyncio.create_task(write())
    for _ in range(messages):
        assert await reader.readexactly(size_bytes) == data
    assert await reader.read() == b""
    await writing
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("connections", "messages", "size_bytes"), [(300, 20, 64), (8, 2, 3_000_000)]
)
def test_clients_of_asyncio_get_all_back_from_a_server_process(
    engine: str, connections: int, messages: int, size_bytes: int
) -> None:
    async def all_converse(host: str, port: int) -> None:
        conversations = (converse(host, port, messages, size_bytes) for _ in range(connections))
        await asyncio.gather(*conversations)

    with EmbeddedServer(("--engine", engine)) as server:
        target = Target.parse(server.address)
        asyncio.run(all_converse(target.host, target.port))
    total_bytes = connections * messages * size_bytes
    assert server.counts == ServerCounts(connections, connections, total_bytes, total_bytes)


@pytest.mark.parametrize("engine", ENGINES)
def test_several_server_processes_of_either_engine(engine: str) -> None:
    with EmbeddedServer(("--processes", "2", "--engine", engine)) as server:
        for _ in range(10):
            assert echo(server.address, b"hello") == b"hello"
    assert server.counts == ServerCounts(10, 10, 50, 50)


class TestChoice:
    @pytest.mark.parametrize(
        ("engine", "kind"),
        [
            pytest.param("auto", NativeAnswers, marks=needs_native),
            pytest.param("native", NativeAnswers, marks=needs_native),
            ("python", ImmediateAnswers),
        ],
    )
    def test_is_that_of_the_option(self, engine: str, kind: type) -> None:
        with EchoServer(ServerOptions(engine=engine)) as server:
            assert type(server._answers) is kind

    def test_over_tls_and_with_delays_is_python(self) -> None:
        with (
            provided(ServerOptions(), None) as secured,
            EchoServer(secured) as secure,
            EchoServer(ServerOptions(delay=FixedDelay(1))) as delayed,
        ):
            for server in (secure, delayed):
                assert not isinstance(server._answers, NativeAnswers)

    @pytest.mark.parametrize(
        "options",
        [{"udp": True}, {"delay": FixedDelay(1)}, {"tls_cert": Path("cert.pem")}],
        ids=["udp", "delay", "tls"],
    )
    def test_cannot_be_native_for_these(self, options: dict[str, Any]) -> None:
        with pytest.raises(UsageError, match=r"--engine native: .* choose auto or python"):
            ServerOptions(engine="native", **options)

    def test_without_the_module_is_python(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "loadgen.server._native", None)
        with EchoServer(ServerOptions()) as server, connect(server.address) as client:
            assert type(server._answers) is ImmediateAnswers
            client.sendall(b"request")
            while server.counts.bytes_sent < 7:
                server.turn()
            assert client.recv(64) == b"request"

    def test_without_the_module_cannot_be_native(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "loadgen.server._native", None)
        with pytest.raises(
            LocalLimitError, match=r"--engine native: .*was not compiled.*C compiler"
        ):
            EchoServer(ServerOptions(engine="native"))

    def test_of_an_engine_that_is_none_is_refused_before_a_process_serves(
        self, tmp_path: Path
    ) -> None:
        ended = loadgen("server", "--engine", "magic", "--ready-file", str(tmp_path / "ready"))
        assert ended.code == 2
        assert "--engine" in ended.stderr
        assert "auto, native, python" in ended.stderr
