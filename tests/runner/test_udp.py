"""Runs over UDP: the books agree with what the server has seen, whatever becomes of datagrams."""

import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from accounts import check, failures
from command import ROOT, environment
from command import loadgen as run_command
from datagrams import Holding, UdpServer
from name_server import ADDRESS, NSD, name_server, query
from places import refusing_udp_address

import loadgen
from loadgen.errors import UsageError
from loadgen.net.failure import Cause
from loadgen.results.datagrams import DatagramsRecord
from loadgen.results.record import from_json
from loadgen.server.embedded import EmbeddedServer

PATIENT_S: Final = 1.0
"""A time-out that only what is never answered reaches: all of that waits at once."""


def plan(target: str, **fields: Any) -> loadgen.Plan:
    return loadgen.Plan(**{"target": target, "connections": 3, "pipeline": 1, **fields})


def run(target: str, **fields: Any) -> tuple[loadgen.RunRecord, DatagramsRecord]:
    record = loadgen.run(plan(target, **fields))
    check(record)
    assert record.datagrams is not None
    return record, record.datagrams


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(("--udp",)) as running:
        yield running


class TestAgainstAnEcho:
    @pytest.mark.parametrize("reply", ["datagram", "sequence", "echo"])
    @pytest.mark.parametrize("pipeline", [1, 8])
    def test_each_message_is_answered(
        self, server: EmbeddedServer, reply: str, pipeline: int
    ) -> None:
        verify = reply == "echo"
        record, found = run(
            server.address, reply=reply, pipeline=pipeline, messages=200, verify=verify
        )
        assert (found.sent, found.answered, found.in_vain) == (600, 600, 0)
        assert (found.duplicates, found.reordered) == (
            (0, 0) if reply == "sequence" else (None,) * 2
        )
        assert record.actual.bytes_sent == record.actual.bytes_received == 600 * 64
        assert (record.failures, record.actual.opened) == ([], 3)
        assert record.timestamps.mode == "kernel"
        assert record.connections.fairness == 1.0

    def test_a_schedule_is_kept(self, server: EmbeddedServer) -> None:
        record, found = run(
            server.address, reply="sequence", rate=2000.0, duration_s=0.4, warmup_s=0.2
        )
        assert record.actual.due == 800
        assert found.answered == record.actual.messages
        assert record.actual.warmup_messages > 0

    def test_users_think(self, server: EmbeddedServer) -> None:
        _, found = run(server.address, think="1ms", messages=20)
        assert found.answered == 60

    def test_its_process_is_watched(self, server: EmbeddedServer) -> None:
        record, _ = run(server.address, duration_s=0.3, sample_interval_s=0.05)
        assert record.monitor is not None
        assert record.monitor.target is not None
        assert record.monitor.target.pids == [server.pid]

    def test_one_way_is_only_sent(self, server: EmbeddedServer) -> None:
        record, found = run(server.address, reply="none", messages=50, pipeline=4)
        assert (found.sent, found.answered) == (150, 150)
        assert record.actual.bytes_sent == 150 * 64

    def test_its_counts_are_ours(self) -> None:
        with EmbeddedServer(("--udp", "--delay", "1ms")) as server:
            record, _ = run(server.address, payloads=(b"x" * 20_000, b"a"), messages=10)
        assert server.counts.bytes_received == record.actual.bytes_sent == 3 * 5 * 20_001
        assert server.counts.bytes_sent == record.actual.bytes_received
        assert (record.service_time_ns.min or 0) >= 1_000_000


class TestWhatIsLost:
    """By a peer whose losses are known one by one."""

    def test_is_counted_and_nothing_else(self) -> None:
        lost = frozenset(range(10, 100, 10))
        with UdpServer(lambda number, datagram: () if number in lost else (datagram,)) as server:
            record, found = run(
                server.address,
                connections=1,
                pipeline=16,
                messages=100,
                reply="sequence",
                io_timeout_s=PATIENT_S,
            )
        assert (found.sent, found.answered, found.lost, found.late) == (100, 91, 9, 0)
        assert server.received == 100
        assert record.failures == []
        assert loadgen.check(record, "lost<9").outcome == "failed"
        assert loadgen.check(record, "lost<1%").measured == "9 % (9 of 100)"
        assert loadgen.check(record, "errors<9").outcome == "failed"

    def test_is_told_on_the_command_line(self) -> None:
        with UdpServer(lambda number, datagram: (datagram,) if number else ()) as server:
            ended = run_command(
                *(server.address, "-c", "1", "--messages", "20", "--reply", "sequence"),
                *("--io-timeout", "1s", "--check", "lost<1"),
            )
        assert ended.code == 1, ended.stderr
        assert "20 sent = 19 answered + 1 lost (5 %) + 0 late" in ended.stdout
        assert "0 duplicates, 0 reordered, jitter" in ended.stdout
        assert "lost<1   failed: 1" in ended.stdout

    def test_stalls_a_window_of_one_no_longer_than_the_timeout(self) -> None:
        """Each connection loses its first message, and still sends all others."""
        with UdpServer(lambda number, datagram: () if number < 3 else (datagram,)) as server:
            record, found = run(server.address, messages=5, io_timeout_s=PATIENT_S)
        assert (found.answered, found.lost) == (12, 3)
        assert record.actual.duration_s >= PATIENT_S

    def test_may_come_late(self) -> None:
        """The reply is held back until the next message, which is sent after the time-out."""
        with UdpServer(Holding([0])) as server:
            _, found = run(
                server.address, connections=1, messages=3, reply="sequence", io_timeout_s=PATIENT_S
            )
        assert (found.answered, found.lost, found.late, found.duplicates) == (2, 0, 1, 0)

    def test_may_be_doubled_and_overtaken(self) -> None:
        holding = Holding([20, 40])

        def fate(number: int, datagram: bytes) -> Iterable[bytes]:
            replies = tuple(holding(number, datagram))
            return (*replies, *replies) if number == 10 else replies

        with UdpServer(fate) as server:
            _, found = run(server.address, connections=1, pipeline=8, messages=60, reply="sequence")
        assert (found.answered, found.in_vain) == (60, 0)
        assert (found.duplicates, found.reordered) == (1, 2)

    def test_of_everything_leaves_nothing_to_believe(self) -> None:
        with UdpServer(lambda *_: ()) as server:
            record, found = run(server.address, messages=2, io_timeout_s=0.1)
        assert (found.answered, found.lost) == (0, 6)
        assert record.health is not None
        assert record.health.verdict == "inconclusive"

    def test_is_in_flight_if_the_run_ends_before(self) -> None:
        with UdpServer(lambda *_: ()) as server:
            _, found = run(server.address, duration_s=0.1, drain_s=0.0)
        assert (found.sent, found.in_flight, found.lost) == (3, 3, 0)

    def test_an_echo_that_differs_is_rejected(self) -> None:
        with UdpServer(lambda number, datagram: (datagram[::-1],)) as server:
            record, found = run(server.address, reply="echo", verify=True, messages=4)
        assert found.answered == record.actual.rejected == 12
        assert failures(record) == {f"reply: {Cause.MISMATCH}": 12}


class TestNobodyThere:
    @pytest.mark.parametrize(
        "fields",
        [
            {"duration_s": 10.0},
            {"duration_s": 10.0, "reply": "none"},
            {"duration_s": 0.5, "drain_s": 0.0, "reconnect": True},
        ],
    )
    def test_is_an_unreachable_target_and_not_hammered(self, fields: dict[str, Any]) -> None:
        with (
            refusing_udp_address() as target,
            pytest.raises(loadgen.UnreachableTargetError) as unreachable,
        ):
            run(target, **fields)
        record, why = unreachable.value.record, str(unreachable.value)
        check(record)
        assert record.outcome == "unreachable"
        assert set(failures(record)) == {f"receive: {Cause.REFUSED}"}
        assert f"{target} is unreachable: nothing listens there (port unreachable) (all " in why
        assert record.health is not None
        assert record.health.verdict == "inconclusive"
        found = record.datagrams
        assert found is not None
        assert 0 < found.sent <= 3 * 4 * 2

    def test_ends_the_command_in_one_line(self) -> None:
        with refusing_udp_address() as target:
            ended = run_command(target, "-c", "3", "--duration", "10s")
        assert (ended.code, ended.stdout) == (3, "")
        [line] = ended.stderr.splitlines()
        assert line.endswith("(port unreachable) (all 3 attempts)")

    def test_any_more_is_a_lost_run(self) -> None:
        """The server answers once, and is gone."""

        def answer_once() -> None:
            datagram, sender = peer.recvfrom(1024)
            peer.sendto(datagram, sender)
            peer.close()

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            target = "udp://{}:{}".format(*peer.getsockname())
            answering = threading.Thread(target=answer_once)
            answering.start()
            record, found = run(target, connections=1, duration_s=10.0)
            answering.join()
        assert (record.outcome, found.answered) == ("lost", 1)
        assert set(failures(record)) == {f"receive: {Cause.REFUSED}"}


REFUSED: Final[dict[str, dict[str, Any]]] = {
    "a datagram has 65507 at most": {"payloads": (b"x" * 65_508,)},
    "it has 8 at least": {"payloads": (b"1234567",), "reply": "sequence"},
    "udp:// has datagram, sequence, echo or none": {"reply": "eof"},
    "--first-message needs a connection": {"first_message": b"hello"},
    "--probe needs a stream": {"probe": True},
    "only the numbers of --reply sequence tell": {"checks": ("duplicates<1",)},
}


class TestWhatCannotBe:
    @pytest.mark.parametrize("why", REFUSED)
    def test_is_refused_in_one_line(self, why: str) -> None:
        with pytest.raises(UsageError) as refused:
            loadgen.run(plan("udp://127.0.0.1:9", **REFUSED[why]))
        assert why in str(refused.value)
        assert "\n" not in str(refused.value)

    def test_needs_a_target_of_datagrams(self) -> None:
        with pytest.raises(UsageError, match="only udp:// has datagrams"):
            plan("127.0.0.1:9", reply="sequence")
        with pytest.raises(UsageError, match="only udp:// has datagrams"):
            loadgen.run(plan("127.0.0.1:9", checks=("lost<1%",)))

    def test_of_a_file_is_told_once_it_is_read(self, tmp_path: Path) -> None:
        short = tmp_path / "short"
        short.write_bytes(b"short")
        ended = run_command(
            "udp://127.0.0.1:9", "--payload-file", str(short), "--reply", "sequence"
        )
        assert ended.code == 2
        assert "8 at least" in ended.stderr


@pytest.mark.skipif(NSD is None, reason="there is no nsd")
def test_a_dns_server_answers_queries(tmp_path: Path) -> None:
    queries = tuple(query(number) for number in range(4))
    with name_server(tmp_path) as target:
        record, found = run(target, payloads=queries, messages=100, pipeline=4)
        assert (found.sent, found.answered, found.in_vain) == (300, 300, 0)
        text = "".join(f"\\x{byte:02x}" for byte in query(7))
        ended = run_command(target, "-c", "2", "--messages", "50", "--payload", text, "--dump-one")
        _, scheduled = run(target, payloads=queries, rate=1000.0, duration_s=0.3)
    assert scheduled.answered == scheduled.sent > 0
    assert record.actual.bytes_received > record.actual.bytes_sent  # the answer repeats the query
    assert ended.code == 0
    assert repr(ADDRESS)[2:-1] in ended.stdout + ended.stderr


_NETWORK: Final = """
set -e
ip link set lo up
tc qdisc add dev lo root netem loss 10% duplicate 5% delay 1ms reorder 25%
echo ready
exec "$@"
"""

_THERE: Final = """
import sys
import loadgen
from loadgen.server.embedded import EmbeddedServer

with EmbeddedServer(("--udp",)) as server:
    plan = loadgen.Plan(
        target=server.address, connections=4, pipeline=8, messages=200, reply="sequence",
        io_timeout_s=0.5,
    )
    record = loadgen.run(plan)
sys.stdout.buffer.write(record.to_json())
"""


def test_a_bad_network_is_told_apart_from_a_good_one() -> None:
    """netem (tc-netem(8)) loses, doubles and reorders, in a network of this test's own."""
    for tool in ("unshare", "ip", "tc"):
        if shutil.which(tool, path="/usr/sbin:/sbin:/usr/bin:/bin") is None:
            pytest.skip(f"there is no {tool}")
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", _NETWORK, "sh", sys.executable, "-c", _THERE],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        timeout=40,
        check=False,
    )
    ready, _, rest = done.stdout.partition(b"\n")
    if ready != b"ready":
        pytest.skip(f"no network with netem: {done.stderr.decode().strip()}")
    record = from_json(rest)
    check(record)
    found = record.datagrams
    assert found is not None
    assert found.sent == 800
    assert found.lost > 0
    assert found.duplicates
    assert found.reordered
    assert found.answered > 400
