"""The echo server over UDP, and a client that knows nothing of loadgen."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from echoing import TIMEOUT_S, serving

from loadgen.errors import UsageError
from loadgen.net.target import Target
from loadgen.server import ServerOptions
from loadgen.server.delays import FixedDelay, MixedDelay, Peak
from loadgen.server.processes import ServerProcesses
from loadgen.server.stalls import Stall

MS = 1_000_000


@contextlib.contextmanager
def client_of(address: str) -> Iterator[socket.socket]:
    target = Target.parse(address)
    assert target.is_datagram
    family = socket.AF_INET6 if ":" in target.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(TIMEOUT_S)
        client.connect((target.host, target.port))
        yield client


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("delay", [FixedDelay(0), FixedDelay(MS)])
def test_each_datagram_comes_back_whole(host: str, delay: FixedDelay) -> None:
    with (
        serving(ServerOptions(host=host, udp=True, delay=delay)) as server,
        client_of(server.address) as client,
        client_of(server.address) as other,
    ):
        for message in (b"one", b"", os.urandom(65_507), b"two"):
            client.send(message)
            other.send(b"other")
            assert client.recv(65_536) == message
            assert other.recv(65_536) == b"other"
    counts = server.counts
    assert counts.bytes_received == counts.bytes_sent == 65_513 + 4 * 5
    assert (counts.accepted, counts.closed) == (0, 0)


def test_answers_are_due_by_their_own_delay_and_are_logged(tmp_path: Path) -> None:
    """No answer waits for one before it, as it would on a stream."""
    ledger = tmp_path / "ledger"
    delay = MixedDelay((Peak(50.0, 2 * MS), Peak(50.0, 60 * MS)))
    options = ServerOptions(udp=True, delay=delay, ledger=ledger)
    with serving(options) as server, client_of(server.address) as client:
        for number in range(40):
            client.send(bytes((number,)))
        order = [client.recv(9)[0] for _ in range(40)]
    assert sorted(order) == list(range(40))
    assert order != sorted(order)
    residence_ns = np.fromfile(ledger, "<i8")
    assert residence_ns.size == 40
    assert residence_ns.min() >= 2 * MS
    assert residence_ns.max() >= 60 * MS


def test_a_stall_holds_up_all_that_comes_in_it() -> None:
    options = ServerOptions(udp=True, stalls=(Stall(150 * MS, 50 * MS),))
    with serving(options) as server, client_of(server.address) as client:
        client.send(b"the first")
        began_s = time.monotonic()
        client.recv(9)
        longest_s = 0.0
        while time.monotonic() < began_s + 0.3:
            asked_s = time.monotonic()
            client.send(b"and on")
            client.recv(9)
            longest_s = max(longest_s, time.monotonic() - asked_s)
    assert longest_s >= 0.1


def test_a_sink_answers_nothing() -> None:
    with serving(ServerOptions(udp=True, sink=True)) as server, client_of(server.address) as client:
        client.send(b"hello")
        deadline_s = time.monotonic() + TIMEOUT_S
        while server.counts.bytes_received < 5:
            assert time.monotonic() < deadline_s
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(9)


def test_several_processes_answer_all() -> None:
    with ServerProcesses(ServerOptions(udp=True, processes=2)) as server:
        for number in range(20):  # each from another port, and so for one or the other
            with client_of(server.address) as client:
                client.send(b"number %d" % number)
                assert client.recv(99) == b"number %d" % number


def test_a_port_that_is_taken_is_refused() -> None:
    with serving(ServerOptions(udp=True)) as server:
        port = Target.parse(server.address).port
        with (
            pytest.raises(UsageError, match="already in use"),
            serving(ServerOptions(udp=True, port=port)),
        ):
            pass


def test_a_unix_socket_is_a_stream() -> None:
    with pytest.raises(UsageError, match="leave out --unix"):
        ServerOptions(udp=True, path="/tmp/x")
