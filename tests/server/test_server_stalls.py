import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from echoing import TIMEOUT_S, connect, receive_exactly, serving

from loadgen.errors import UsageError
from loadgen.server import EchoServer, ServerOptions
from loadgen.server.delays import FixedDelay
from loadgen.server.residence_log import read_residence_log
from loadgen.server.stalls import Stall, parse_stall, stalled_until_ns

MS = 1_000_000
S = 1000 * MS
HOUR = 3600 * S


@pytest.mark.parametrize(
    ("text", "stall"),
    [
        ("1s@5s", Stall(S, 5 * S)),
        ("1s@0", Stall(S, 0)),
        ("100ms/1s", Stall(100 * MS, S, S)),
        (" 1.5s @ 1m ", Stall(1500 * MS, 60 * S)),
    ],
)
def test_both_forms_are_read(text: str, stall: Stall) -> None:
    assert parse_stall(text) == stall


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("1s", ["'1s'", "1s@5s", "100ms/1s"]),
        ("1s@", ["'1s@'", "1s@5s"]),
        ("1s@5s/2s", ["1s@5s/2s", "100ms/1s"]),
        ("long@5s", ["long", "1s@5s"]),
        ("-1s@5s", ["-1s", "1s@5s"]),
        ("0@5s", ["0 ns", "length above 0"]),
        ("0/5s", ["0 ns", "length above 0"]),
        ("1s/0", ["1s/0", "period above 0"]),
        ("2s/1s", ["2 s", "1 s", "below the period"]),
        ("1s/1s", ["below the period"]),
        ("9" * 400 + "@1s", ["1s@5s"]),
    ],
)
def test_what_is_no_stall_is_refused_with_the_reason(text: str, parts: list[str]) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_stall(text)
    assert str(refusal.value).startswith("--stall")
    for part in parts:
        assert part in str(refusal.value)


def test_a_stall_starts_no_earlier_than_the_first_connection() -> None:
    with pytest.raises(UsageError, match="start of 0 or more"):
        Stall(S, -1)


@pytest.mark.parametrize(
    ("elapsed_ns", "until_ns"),
    [
        (0, 0),
        (5 * S - 1, 5 * S - 1),
        (5 * S, 6 * S),
        (6 * S - 1, 6 * S),
        (6 * S, 6 * S),
        (HOUR, HOUR),
    ],
)
def test_a_single_stall_holds_from_its_start_to_its_end(elapsed_ns: int, until_ns: int) -> None:
    assert Stall(S, 5 * S).until_ns(elapsed_ns) == until_ns


@pytest.mark.parametrize(
    ("elapsed_ns", "until_ns"),
    [
        (0, 0),
        (99 * MS, 99 * MS),
        (S, 1100 * MS),
        (1099 * MS, 1100 * MS),
        (1100 * MS, 1100 * MS),
        (1999 * MS, 1999 * MS),
        (7050 * MS, 7100 * MS),
    ],
)
def test_a_periodic_stall_holds_in_every_period(elapsed_ns: int, until_ns: int) -> None:
    assert Stall(100 * MS, S, S).until_ns(elapsed_ns) == until_ns


def test_of_two_stalls_the_one_that_ends_last_counts() -> None:
    stalls = (Stall(100 * MS, S, S), Stall(S, 1050 * MS))
    assert stalled_until_ns(stalls, 1010 * MS) == 1100 * MS
    assert stalled_until_ns(stalls, 1060 * MS) == 2050 * MS
    assert stalled_until_ns(stalls, 500 * MS) == 500 * MS
    assert stalled_until_ns((), 1060 * MS) == 1060 * MS


@contextlib.contextmanager
def stalled_for_an_hour() -> Iterator[tuple[EchoServer, threading.Thread, socket.socket]]:
    """A server that has accepted one connection and stands still, in a thread; and that client."""
    with (
        EchoServer(ServerOptions(stalls=(Stall(HOUR, 0),))) as server,
        connect(server.address) as client,
    ):
        while not server.counts.accepted:
            server.turn()
        client.sendall(b"hello?")
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield server, thread, client
        finally:
            server.stop()
            thread.join()


def test_a_stalled_server_neither_accepts_nor_reads_nor_answers_and_stops_at_once() -> None:
    with stalled_for_an_hour() as (server, thread, client), connect(server.address) as second:
        second.sendall(b"still there?")
        server.stop()
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()
        assert server.counts.accepted == 1
        assert server.counts.bytes_received == 0
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)


def test_a_stalled_server_stops_at_the_end_of_a_pipe() -> None:
    reader, writer = os.pipe()
    with EchoServer(ServerOptions(stalls=(Stall(HOUR, 0),))) as server, connect(server.address):
        while not server.counts.accepted:
            server.turn()
        server.stop_at_end_of(reader)
        os.write(writer, b"not the end")
        os.close(writer)
        with connect(server.address):  # gives it something to stand still before
            server.serve()
        assert server.counts.accepted == 1
    os.close(reader)


def test_what_came_before_and_during_a_stall_is_answered_after_it() -> None:
    stalls = (Stall(5 * MS, 0), Stall(2 * MS, 10 * MS, 10 * MS))
    with serving(ServerOptions(stalls=stalls)) as server, connect(server.address) as client:
        for number in range(200):
            client.sendall(b"%3d" % number)
            assert receive_exactly(client, 3) == b"%3d" % number


@pytest.mark.skipif(sys.platform != "linux", reason="arrival is only known with kernel timestamps")
@pytest.mark.parametrize("delay_ns", [0, MS])
def test_the_residence_of_a_message_includes_the_stall(tmp_path: Path, delay_ns: int) -> None:
    stall_ns = 60 * MS
    options = ServerOptions(
        stalls=(Stall(stall_ns, 0),), delay=FixedDelay(delay_ns), ledger=tmp_path / "ledger"
    )
    with serving(options) as server:
        before_ns = time.monotonic_ns()
        with connect(server.address) as client:
            client.sendall(b"hello")
            sent_ns = time.monotonic_ns()
            assert receive_exactly(client, 5) == b"hello"
    # The stall is from some moment after the connect until stall_ns later.
    (residence_ns,) = read_residence_log(tmp_path / "ledger")
    assert residence_ns >= stall_ns - (sent_ns - before_ns)
