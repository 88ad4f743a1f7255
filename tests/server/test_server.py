import contextlib
import os
import queue
import resource
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from echoing import (
    TIMEOUT_S,
    connect,
    echo,
    receive_all,
    receive_exactly,
    serving,
    turn_until_closed,
)

from loadgen.errors import UsageError
from loadgen.net import backends
from loadgen.net.target import Target
from loadgen.server import EchoServer, ServerCounts, ServerOptions
from loadgen.server.connections import BUFFER_BYTES, PENDING_BYTES
from loadgen.server.delays import FixedDelay


class PlainClient:
    """One multiplexed connection that knows nothing of loadgen: two payloads out, all back."""

    def __init__(self, address: str, payloads: tuple[bytes, ...]) -> None:
        self.payloads: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        for payload in payloads:
            self.payloads.put(payload)
        self.total_bytes = sum(map(len, payloads))
        self.sent_bytes = 0
        self.received = b""
        self.socket = connect(address)
        self.socket.setblocking(False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.socket, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def run(self) -> None:
        while self.sent_bytes < self.total_bytes or len(self.received) < self.total_bytes:
            for _key, events in self.selector.select(TIMEOUT_S):
                if events & selectors.EVENT_READ:
                    self.received += self.socket.recv(4096)
                if events & selectors.EVENT_WRITE:
                    self.write()
        self.selector.unregister(self.socket)
        self.selector.close()
        self.socket.shutdown(socket.SHUT_WR)
        self.socket.close()

    def write(self) -> None:
        if self.payloads.empty():
            self.selector.modify(self.socket, selectors.EVENT_READ)
            return
        self.sent_bytes += self.socket.send(self.payloads.get())


@pytest.mark.parametrize("backend", backends.available())
def test_a_plain_client_gets_back_exactly_what_it_sent(backend: str) -> None:
    with serving(ServerOptions(backend=backend)) as server:
        client = PlainClient(server.address, (b"first payload", b"second payload"))
        client.run()
    assert client.received == b"first payloadsecond payload"
    assert server.counts == ServerCounts(1, 1, client.total_bytes, client.total_bytes)


def test_a_connection_is_closed_when_its_peer_closes() -> None:
    with EchoServer(ServerOptions()) as server:
        connect(server.address).close()
        turn_until_closed(server)
        assert server.counts == ServerCounts(accepted=1, closed=1)


def test_connections_still_open_are_counted_closed_at_the_end() -> None:
    with EchoServer(ServerOptions()) as server, connect(server.address), connect(server.address):
        while server.counts.accepted < 2:
            server.turn()
        assert server.counts.closed == 0
    assert server.counts == ServerCounts(accepted=2, closed=2)


def test_a_turn_without_anything_to_do_ends() -> None:
    with EchoServer(ServerOptions()) as server:
        server.turn(0.0)
        assert server.counts == ServerCounts()


@pytest.mark.parametrize("backend", backends.available())
def test_a_peer_that_does_not_read_is_held_up_and_loses_nothing(backend: str) -> None:
    block = Random(0).randbytes(1 << 20)
    sent_bytes = 0
    received = bytearray()
    with EchoServer(ServerOptions(backend=backend)) as server, connect(server.address) as client:
        client.setblocking(False)
        blocked = False
        while not blocked:
            try:
                sent_bytes += client.send(block[sent_bytes % len(block) :])
            except BlockingIOError:
                # Unsent bytes and a full pipe to the server: it has stopped to read.
                blocked = server.counts.bytes_received > server.counts.bytes_sent
            server.turn(0.0)
            assert server.counts.bytes_received - server.counts.bytes_sent <= BUFFER_BYTES
        while len(received) < sent_bytes:
            with contextlib.suppress(BlockingIOError):
                received += client.recv(1 << 20)
            server.turn(0.0)
        assert server.counts.bytes_received == server.counts.bytes_sent == sent_bytes
        expected = block * (sent_bytes // len(block) + 1)
        assert received == expected[:sent_bytes]
        client.shutdown(socket.SHUT_WR)
        turn_until_closed(server)


def test_delayed_answers_are_bounded_too() -> None:
    options = ServerOptions(delay=FixedDelay(3_600_000_000_000))
    with EchoServer(options) as server, connect(server.address) as client:
        client.setblocking(False)
        while server.counts.bytes_received <= PENDING_BYTES - BUFFER_BYTES:
            with contextlib.suppress(BlockingIOError):
                client.send(bytes(65536))
            server.turn(0.0)
        held_bytes = server.counts.bytes_received
        assert held_bytes <= PENDING_BYTES
        for _ in range(10):
            with contextlib.suppress(BlockingIOError):
                client.send(bytes(65536))
            server.turn(0.0)
        assert server.counts.bytes_received == held_bytes


@pytest.mark.parametrize("delay_ns", [0, 1_000_000])
def test_what_is_pending_at_a_half_close_is_delivered(delay_ns: int) -> None:
    message = Random(1).randbytes(8 << 20)
    with (
        serving(ServerOptions(delay=FixedDelay(delay_ns))) as server,
        connect(server.address) as client,
    ):

        def send() -> None:
            client.sendall(message)
            client.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        received = receive_all(client)
        sender.join()
    assert received == message
    assert server.counts == ServerCounts(1, 1, len(message), len(message))


def reset(client: socket.socket) -> None:
    """Close with a linger time of 0: the peer gets a reset (socket(7), SO_LINGER)."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.mark.parametrize("delay_ns", [0, 3_600_000_000_000])
def test_a_reset_ends_one_connection_and_no_other(delay_ns: int) -> None:
    with EchoServer(ServerOptions(delay=FixedDelay(delay_ns))) as server, connect(server.address):
        client = connect(server.address)
        client.sendall(b"last words")
        while server.counts.bytes_received < 10:
            server.turn()
        reset(client)
        turn_until_closed(server)
        assert server.counts.accepted == 2
    assert server.counts.closed == 2


def test_a_reset_is_seen_in_the_turn_in_which_an_answer_is_due() -> None:
    delay_ns = 1_000_000
    with EchoServer(ServerOptions(delay=FixedDelay(delay_ns))) as server:
        client = connect(server.address)
        client.sendall(b"request")
        while server.counts.bytes_received < 7:
            server.turn()
        due_ns = time.monotonic_ns() + delay_ns
        reset(client)
        while time.monotonic_ns() < due_ns:
            pass
        turn_until_closed(server)
    assert server.counts == ServerCounts(1, 1, bytes_received=7, bytes_sent=0)


def test_a_sink_reads_and_never_answers() -> None:
    with serving(ServerOptions(sink=True)) as server:
        assert echo(server.address, bytes(1 << 20)) == b""
    assert server.counts == ServerCounts(1, 1, bytes_received=1 << 20, bytes_sent=0)


@pytest.mark.parametrize("backend", backends.available())
def test_an_answer_is_never_early_and_keeps_its_place(backend: str) -> None:
    delay_ns = 2_500_000
    with (
        serving(ServerOptions(delay=FixedDelay(delay_ns), backend=backend)) as server,
        connect(server.address) as client,
    ):
        for message in (b"one", b"two"):
            start_ns = time.monotonic_ns()
            client.sendall(message)
            assert receive_exactly(client, 3) == message
            assert time.monotonic_ns() - start_ns >= delay_ns


def test_delayed_answers_of_many_connections_all_arrive() -> None:
    with (
        serving(ServerOptions(delay=FixedDelay(1_000_000))) as server,
        contextlib.ExitStack() as stack,
    ):
        clients = [stack.enter_context(connect(server.address)) for _ in range(200)]
        for number, client in enumerate(clients):
            client.sendall(b"%3d" % number)
        for number, client in enumerate(clients):
            assert receive_exactly(client, 3) == b"%3d" % number


def test_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"this host has no ::1: {error}")
    with serving(ServerOptions(host="::1")) as server:
        assert server.address.startswith("[::1]:")
        assert echo(server.address, b"hello") == b"hello"


def test_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "echo"
    with serving(ServerOptions(path=str(path))) as server:
        assert server.address == f"unix://{path}"
        assert echo(server.address, b"hello") == b"hello"
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "echo"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    with serving(ServerOptions(path=str(path))) as server:
        assert echo(server.address, b"hello") == b"hello"


def test_a_unix_socket_in_use_is_left_alone(tmp_path: Path) -> None:
    options = ServerOptions(path=str(tmp_path / "echo"))
    with serving(options) as server:
        with pytest.raises(UsageError, match="in use"):
            EchoServer(options)
        assert echo(server.address, b"hello") == b"hello"


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(UsageError, match=r"precious.*not a socket"):
        EchoServer(ServerOptions(path=str(path)))
    assert path.read_text() == "data"


def test_a_unix_socket_in_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such directory"):
        EchoServer(ServerOptions(path=str(tmp_path / "nowhere" / "echo")))


def test_a_port_in_use_is_named() -> None:
    with EchoServer(ServerOptions()) as server:
        port = Target.parse(server.address).port
        with pytest.raises(UsageError, match=f"--host 127.0.0.1 --port {port}: already in use"):
            EchoServer(ServerOptions(port=port))


def test_a_host_that_is_not_ours_is_named() -> None:
    # 192.0.2.0/24 is for documentation and no machine's address (RFC 5737).
    with pytest.raises(UsageError, match=r"192\.0\.2\.1.*not an address of this machine"):
        EchoServer(ServerOptions(host="192.0.2.1"))


def test_a_host_that_is_unknown_is_named() -> None:
    with pytest.raises(UsageError, match="--host not a host"):
        EchoServer(ServerOptions(host="not a host"))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: ServerOptions(port=65536), "--port: 65536"),
        (lambda: FixedDelay(-1), "--delay: '-1 ns'"),
        (lambda: ServerOptions(sink=True, delay=FixedDelay(1)), "--sink"),
        (lambda: ServerOptions(sink=True, ledger=Path("ledger")), "--sink"),
        (lambda: ServerOptions(backlog=0), "--backlog: 0"),
        (lambda: ServerOptions(processes=0), "--processes: 0"),
        (lambda: EchoServer(ServerOptions(backend="magic")), "--backend: 'magic'"),
        (lambda: ServerOptions(engine="magic"), "--engine: 'magic'"),
    ],
)
def test_options_that_cannot_be_served_are_refused(make: Callable[[], object], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        make()


def test_several_processes_cannot_share_a_unix_socket() -> None:
    with pytest.raises(UsageError, match="--processes 2"):
        ServerOptions(path="/tmp/echo", processes=2)


def test_stop_before_serve_and_after_close_is_harmless() -> None:
    with EchoServer(ServerOptions()) as server:
        server.stop()
        server.stop()
        server.serve()
    server.close()
    server.stop()


def test_a_server_stops_at_the_end_of_a_pipe() -> None:
    reader, writer = os.pipe()
    with EchoServer(ServerOptions()) as server:
        server.stop_at_end_of(reader)
        os.write(writer, b"not the end")
        server.turn()
        os.close(writer)
        server.serve()
    os.close(reader)


def test_a_regular_file_is_no_pipe(tmp_path: Path) -> None:
    with (
        EchoServer(ServerOptions(backend="auto")) as server,
        (tmp_path / "file").open("wb") as file,
        contextlib.suppress(UsageError),  # epoll refuses it, others find it at its end
    ):
        server.stop_at_end_of(file.fileno())


@contextlib.contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """Let this process open at most ``count`` descriptors more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_out_of_descriptors_it_waits_for_a_connection_to_close() -> None:
    selector = backends.open_selector("auto")
    with EchoServer(ServerOptions(), selector) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server.address)) for _ in range(5)]
        with descriptors_left(2):
            server.turn()
            accepted = server.counts.accepted
            assert accepted in {1, 2}
            # Three connections wait, and yet nothing is ready: the listener is not watched.
            assert selector.select(0) == []
            server.turn(0.0)
            clients[0].close()
            turn_until_closed(server)
            while server.counts.accepted == accepted:
                server.turn()
        for client in clients[1:]:
            client.close()
        turn_until_closed(server, 5)
    assert server.counts == ServerCounts(accepted=5, closed=5)


def test_counts_add_up() -> None:
    total = sum([ServerCounts(1, 1, 10, 10), ServerCounts(2, 2, 5, 0)], ServerCounts())
    assert total == ServerCounts(3, 3, 15, 10)
