"""The server that load tools are measured against, seen from a plain socket."""

import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.peers.printed import tcpkali_percentiles, wrk_percentiles
from bench.truth import SOURCE, Truth, expected_in_stalls, percentile, serving
from bench.yardstick import UnavailableError, built

DELAY_NS = 2_000_000
TIMEOUT_S = 20.0  # for a broken server only
HTTP_REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def program() -> Iterator[Path]:
    if shutil.which("cc") is None:
        pytest.skip("the reference server is built with a C compiler, and there is no `cc` here")
    with built(SOURCE) as path:
        yield path


def connected(truth: Truth) -> socket.socket:
    return socket.create_connection(("127.0.0.1", truth.port), TIMEOUT_S)


def receive_exactly(client: socket.socket, size_bytes: int) -> bytes:
    data = bytearray()
    while len(data) < size_bytes:
        more = client.recv(size_bytes - len(data))
        assert more, "the server hung up"
        data += more
    return bytes(data)


class TestResidences:
    def test_are_one_a_message_from_the_delay_to_the_round_trip(self, program: Path) -> None:
        round_trips_ns = []
        with serving(program, None, "delay 2000") as truth, connected(truth) as client:
            for number in range(20):
                message = bytes([number]) * 64
                sent_ns = time.perf_counter_ns()
                client.sendall(message)
                assert receive_exactly(client, 64) == message
                round_trips_ns.append(time.perf_counter_ns() - sent_ns)
        residences_ns = truth.residences_ns.tolist()
        assert len(residences_ns) == len(round_trips_ns)
        for residence_ns, round_trip_ns in zip(residences_ns, round_trips_ns, strict=True):
            assert DELAY_NS <= residence_ns <= round_trip_ns

    def test_have_the_second_delay_now_and_then_where_there_are_two_peaks(
        self, program: Path
    ) -> None:
        with serving(program, None, "peaks 0 5000") as truth, connected(truth) as client:
            for _ in range(1000):
                client.sendall(b"x" * 64)
                receive_exactly(client, 64)
        assert truth.residences_ns.size == 1000
        assert 1 <= (truth.residences_ns >= 5_000_000).sum() < 500

    def test_contain_the_stall_that_a_request_fell_into(self, program: Path) -> None:
        # Every tenth of a second it stops for 99 ms, first 50 ms after the connection.
        with serving(program, None, "delay 0 stall 99000 100000") as truth:
            began_ns = time.perf_counter_ns()
            with connected(truth) as client:
                while time.perf_counter_ns() - began_ns < 200_000_000:
                    client.sendall(b"x" * 64)
                    receive_exactly(client, 64)
        assert truth.percentile_ns(100) > 20_000_000

    def test_add_up_where_one_worker_serves_all(self, program: Path) -> None:
        with serving(program, None, "fifo 3000") as truth:
            clients = [connected(truth) for _ in range(5)]
            began_ns = time.perf_counter_ns()
            for client in clients:
                client.sendall(b"x" * 64)
            for client in clients:
                receive_exactly(client, 64)
                client.close()
            elapsed_ns = time.perf_counter_ns() - began_ns
        assert elapsed_ns >= 5 * 3_000_000
        assert truth.residences_ns.size == 5
        assert truth.residences_ns.min() >= 3_000_000


class TestBytes:
    def test_of_several_requests_at_once_come_back_in_order(self, program: Path) -> None:
        sent = bytes(range(256)) * 5  # 20 messages
        with serving(program, None, "delay 1000") as truth, connected(truth) as client:
            for start, end in ((0, 1), (1, 130), (130, 1000), (1000, len(sent))):
                client.sendall(sent[start:end])
            assert receive_exactly(client, len(sent)) == sent
        assert truth.residences_ns.size == 20

    def test_that_the_kernel_does_not_take_at_once_are_kept(self, program: Path) -> None:
        sent = bytes(range(250)) * 40_000
        size = str(len(sent))
        with serving(program, None, "delay 0", size) as truth, connected(truth) as client:
            client.sendall(sent)  # all of it is read before anything comes back
            is_whole = receive_exactly(client, len(sent)) == sent
        assert is_whole
        assert truth.residences_ns.size == 1

    def test_come_back_to_a_client_that_has_already_closed_its_side(self, program: Path) -> None:
        with serving(program, None, "delay 2000") as truth, connected(truth) as client:
            client.sendall(b"x" * 64)
            client.shutdown(socket.SHUT_WR)
            assert receive_exactly(client, 64) == b"x" * 64
            assert client.recv(1) == b""

    def test_are_an_http_response_to_a_request_in_pieces(self, program: Path) -> None:
        pieces = (HTTP_REQUEST[:-3], HTTP_REQUEST[-3:] + HTTP_REQUEST)
        with serving(program, None, "delay 0", "http") as truth, connected(truth) as client:
            for piece in pieces:
                client.sendall(piece)
            responses = receive_exactly(client, 2 * truth.answer_bytes)
        head, _, body = responses[: truth.answer_bytes].partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        assert truth.residences_ns.size == 2


def test_an_unknown_behaviour_is_refused(program: Path) -> None:
    with (
        pytest.raises(UnavailableError, match="did not start"),
        serving(program, None, "guess 200"),
    ):
        pass


class TestArithmeticOfStalls:
    def p99s_ns(self, connections: int) -> tuple[int, int]:
        service_ns, response_ns = expected_in_stalls(
            connections, 5000, 200_000, 100_000_000, 1_000_000_000
        )
        return percentile(service_ns, 99), percentile(response_ns, 99)

    def test_is_that_of_the_longest_waits_where_there_are_connections_enough(self) -> None:
        assert self.p99s_ns(4000) == (90_200_000, 90_200_000)

    def test_hides_the_stall_from_service_times_where_there_are_few(self) -> None:
        service_ns, response_ns = self.p99s_ns(20)
        assert service_ns == 200_000
        assert 90_200_000 < response_ns < 91_000_000


def test_what_wrk_and_wrk2_print_is_understood() -> None:
    text = "  Latency Distribution\n     50%    1.04ms\n     90%  860.00us\n 99.000%    3.06s \n"
    assert wrk_percentiles(text) == {50: 1040, 90: 860, 99: 3_060_000}


def test_what_tcpkali_prints_is_understood() -> None:
    text = "Message latency at percentiles: 1.1/1.2/2.5 (50.0/90.0/99.0%)\n"
    assert tcpkali_percentiles(text) == {50: 1100, 90: 1200, 99: 2500}
    assert tcpkali_percentiles("") == {}
