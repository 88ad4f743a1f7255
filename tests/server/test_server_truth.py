"""What a server with delays promises: order, lower bounds, and one entry for each message."""

import contextlib
import socket
import sys
import threading
import time
from pathlib import Path
from random import Random

import pytest
from echoing import connect, echo, receive_all, receive_exactly, serving, turn_until_closed

from loadgen.net import backends
from loadgen.net.pacing import least_timer_slack
from loadgen.server import EchoServer, ServerCounts, ServerOptions
from loadgen.server.connections import PENDING_BYTES
from loadgen.server.delays import Delay, FixedDelay, LognormalDelay, MixedDelay, Peak, parse_delay
from loadgen.server.residence_log import read_residence_log

MS = 1_000_000
HOUR = 3_600_000 * MS

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's timestamps")


LONG_OR_NONE = MixedDelay((Peak(50.0, HOUR), Peak(50.0, 0)))


def seed_of(*delays_ns: int) -> int:
    """Return a seed with which `LONG_OR_NONE` begins like this."""
    for seed in range(1000):
        draw = LONG_OR_NONE.sampler(seed)
        if all(draw() == delay_ns for delay_ns in delays_ns):
            return seed
    raise AssertionError("no such seed")


def send_alone(server: EchoServer, client: socket.socket, message: bytes) -> None:
    """Send ``message`` and let the server read it by itself."""
    expected_bytes = server.counts.bytes_received + len(message)
    client.sendall(message)
    while server.counts.bytes_received < expected_bytes:
        server.turn()


def turn_until_sent(server: EchoServer, size_bytes: int) -> None:
    while server.counts.bytes_sent < size_bytes:
        server.turn()


@pytest.mark.parametrize("text", ["lognormal:200us,1.5", "80%:0,20%:2ms"])
def test_on_one_connection_random_delays_keep_the_order(tmp_path: Path, text: str) -> None:
    delay, count = parse_delay(text), 300
    options = ServerOptions(delay=delay, seed=3, ledger=tmp_path / "ledger")
    messages = [b"%03d" % number for number in range(count)]
    with EchoServer(options) as server, connect(server.address) as client:
        for message in messages:
            send_alone(server, client, message)
        turn_until_sent(server, 3 * count)
        assert receive_exactly(client, 3 * count) == b"".join(messages)
    residences_ns = read_residence_log(tmp_path / "ledger")
    draw = delay.sampler(3)
    delays_ns = [draw() for _ in range(count)]
    assert len(residences_ns) == count
    assert all(
        residence_ns >= delay_ns
        for residence_ns, delay_ns in zip(residences_ns, delays_ns, strict=True)
    )


def test_of_two_connections_the_later_request_may_be_answered_first() -> None:
    with (
        EchoServer(ServerOptions(delay=LONG_OR_NONE, seed=seed_of(HOUR, 0))) as server,
        connect(server.address) as first,
        connect(server.address) as second,
    ):
        send_alone(server, first, b"first")
        send_alone(server, second, b"second")
        turn_until_sent(server, 6)
        assert receive_exactly(second, 6) == b"second"
        first.setblocking(False)
        with pytest.raises(BlockingIOError):
            first.recv(1)


def test_on_one_connection_a_later_answer_waits_for_the_one_before() -> None:
    with (
        EchoServer(ServerOptions(delay=LONG_OR_NONE, seed=seed_of(HOUR, 0))) as server,
        connect(server.address) as client,
    ):
        send_alone(server, client, b"first")
        send_alone(server, client, b"second")
        for _ in range(5):
            server.turn(0.0)
        assert server.counts == ServerCounts(1, 0, bytes_received=11, bytes_sent=0)


@pytest.mark.parametrize("backend", backends.available())
def test_the_residence_log_has_one_entry_for_each_message(tmp_path: Path, backend: str) -> None:
    delay_ns, connections, rounds = 300_000, 20, 10
    options = ServerOptions(delay=FixedDelay(delay_ns), ledger=tmp_path / "ledger", backend=backend)
    with serving(options) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server.address)) for _ in range(connections)]
        for number in range(rounds):
            for client in clients:
                client.sendall(b"%4d" % number)
            for client in clients:
                assert receive_exactly(client, 4) == b"%4d" % number
    residences_ns = read_residence_log(tmp_path / "ledger")
    assert len(residences_ns) == connections * rounds
    assert min(residences_ns) >= delay_ns


def test_no_byte_is_lost_between_random_delays_and_a_half_close(tmp_path: Path) -> None:
    message = Random(1).randbytes(4 << 20)
    options = ServerOptions(delay=LognormalDelay(200_000, 1.0), ledger=tmp_path / "ledger")
    with serving(options) as server, connect(server.address) as client:

        def send() -> None:
            client.sendall(message)
            client.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        received = receive_all(client)
        sender.join()
    assert received == message
    assert server.counts == ServerCounts(1, 1, len(message), len(message))
    assert min(read_residence_log(tmp_path / "ledger")) > 0


@pytest.mark.parametrize("delay", [FixedDelay(0), LognormalDelay(200_000, 1.0)])
def test_a_peer_that_does_not_read_is_held_up_and_loses_nothing(
    tmp_path: Path, delay: Delay
) -> None:
    block = Random(0).randbytes(1 << 20)
    sent_bytes = 0
    received = bytearray()
    options = ServerOptions(delay=delay, ledger=tmp_path / "ledger")
    with EchoServer(options) as server, connect(server.address) as client:
        client.setblocking(False)
        idle_turns = 0
        while idle_turns < 3:  # nothing moves any more: both directions are full
            before = sent_bytes, server.counts
            with contextlib.suppress(BlockingIOError):
                sent_bytes += client.send(block[sent_bytes % len(block) :])
            server.turn(0.01)
            idle_turns = idle_turns + 1 if before == (sent_bytes, server.counts) else 0
        assert 0 < server.counts.bytes_received - server.counts.bytes_sent <= PENDING_BYTES
        assert server.counts.bytes_received < sent_bytes
        while len(received) < sent_bytes:
            with contextlib.suppress(BlockingIOError):
                received += client.recv(1 << 20)
            server.turn(0.0)
        expected = block * (sent_bytes // len(block) + 1)
        assert received == expected[:sent_bytes]
        client.shutdown(socket.SHUT_WR)
        turn_until_closed(server)


def test_answers_of_a_lost_connection_are_not_in_the_residence_log(tmp_path: Path) -> None:
    options = ServerOptions(delay=FixedDelay(HOUR), ledger=tmp_path / "ledger")
    with EchoServer(options) as server, connect(server.address) as client:
        send_alone(server, client, b"hello")
    assert len(read_residence_log(tmp_path / "ledger")) == 0


def test_a_residence_log_alone_delays_nothing_and_logs_everything(tmp_path: Path) -> None:
    with serving(ServerOptions(ledger=tmp_path / "ledger")) as server:
        for _ in range(5):
            with connect(server.address) as client:
                client.sendall(b"hello")
                assert receive_exactly(client, 5) == b"hello"
    assert len(read_residence_log(tmp_path / "ledger")) == 5


@linux_only
def test_a_delay_counts_from_the_arrival_and_not_from_the_reading(tmp_path: Path) -> None:
    unread_ns = 5 * MS
    options = ServerOptions(delay=FixedDelay(MS), ledger=tmp_path / "ledger")
    with EchoServer(options) as server, connect(server.address) as client:
        while not server.counts.accepted:
            server.turn()
        client.sendall(b"hello")
        until_ns = time.monotonic_ns() + unread_ns
        while time.monotonic_ns() < until_ns:
            pass
        # Overdue when it is read, it is answered in the same turn.
        server.turn()
        assert server.counts.bytes_sent == 5
    (residence_ns,) = read_residence_log(tmp_path / "ledger")
    assert residence_ns >= unread_ns


def test_on_a_unix_socket_a_delay_counts_from_the_reading(tmp_path: Path) -> None:
    options = ServerOptions(
        path=str(tmp_path / "echo"), delay=FixedDelay(MS), ledger=tmp_path / "ledger"
    )
    with serving(options) as server:
        assert echo(server.address, b"hello") == b"hello"
    (residence_ns,) = read_residence_log(tmp_path / "ledger")
    assert residence_ns >= MS


@pytest.mark.parametrize("backend", backends.available())
def test_one_turn_waits_until_an_answer_is_due_and_sends_it(backend: str) -> None:
    options = ServerOptions(delay=FixedDelay(5 * MS), backend=backend)
    with least_timer_slack(), EchoServer(options) as server, connect(server.address) as client:
        for sent in range(1, 11):
            send_alone(server, client, b"!")
            if server.counts.bytes_sent < sent:  # on a busy machine it may be due when it is read
                server.turn()
            assert server.counts.bytes_sent == sent


@pytest.mark.parametrize("backend", backends.available())
def test_a_delay_of_years_does_not_end_the_server(backend: str) -> None:
    century_ns = 100 * 365 * 24 * HOUR
    delay = LognormalDelay(24 * HOUR, 5.0)
    seed = next(seed for seed in range(10_000) if delay.sampler(seed)() > 3 * century_ns)
    with (
        EchoServer(ServerOptions(delay=delay, seed=seed, backend=backend)) as server,
        connect(server.address) as client,
    ):
        send_alone(server, client, b"first")
        send_alone(server, client, b"second")
        assert server.counts.bytes_sent == 0
