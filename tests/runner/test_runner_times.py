"""Whole runs, and where their times come from: the kernel, this process, a clock that is set."""

import socket
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
from accounts import check, check_against, failures
from places import unix_listener
from servers import Peer, ScriptedServer, echoes

import loadgen
from loadgen.analysis.summary import summarise
from loadgen.cli import main
from loadgen.net.clock import wall_ns
from loadgen.results.distribution import Distribution

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has stamps")

HOUR_NS = 3600 * 10**9


def plan(server: ScriptedServer, **fields: Any) -> loadgen.Plan:
    return loadgen.Plan(target=server.address, **{"connections": 10, "probe": False, **fields})


# ---- the kernel ---------------------------------------------------------------------------


@on_linux
@pytest.mark.parametrize("load", [{}, {"rate": 5000}, {"think": "1ms"}], ids=str)
@pytest.mark.parametrize("timestamps", ["auto", "kernel"])
def test_every_reply_over_tcp_is_stamped(load: dict[str, Any], timestamps: str) -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(plan(server, messages=30, timestamps=timestamps, **load))
        check_against(record, server)
    evidence = record.timestamps
    assert (evidence.mode, evidence.reason, evidence.sample_every) == ("kernel", "", 1)
    assert evidence.stamped == record.actual.messages == 300
    assert evidence.clock_steps == []
    assert evidence.read_uncertainty_ns is None


@on_linux
def test_service_time_and_receive_lag_are_user_space_latency_to_the_nanosecond() -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(plan(server, messages=50))
    check(record)
    assert record.timestamps.stamped == 500
    delayed = record.generator.delayed
    for parts in ([record], record.intervals):
        together_ns = delayed.service_ns.sum if delayed else 0
        for times in parts:
            assert times.receive_lag_ns is not None
            together_ns += times.service_time_ns.sum + times.receive_lag_ns.sum
        assert together_ns == sum(times.user_space_latency_ns.sum for times in parts)


@on_linux
@pytest.mark.parametrize("every", [2, 10, 100])
@pytest.mark.parametrize("load", [{}, {"rate": 5000}], ids=str)
def test_a_sample_of_the_replies_is_stamped(every: int, load: dict[str, Any]) -> None:
    """Each connection has every so many-th stamped, and begins where its number says."""
    with ScriptedServer(echoes) as server:
        record = loadgen.run(plan(server, messages=25, timestamp_sample=every, **load))
        check(record)
    stamped = sum(len(range(index % every, 25, every)) for index in range(10))
    assert record.timestamps.sample_every == every
    assert record.timestamps.stamped == stamped
    assert record.timestamps.unsampled == 250 - stamped
    assert record.user_space_latency_ns.count == 250


def echoes_windows(peer: Peer) -> None:
    """Answer eight messages of 64 bytes at a time."""
    while len(data := peer.receive_exactly(512)) == 512:
        peer.send(data)


@on_linux
def test_of_replies_read_together_the_last_has_an_arrival_time() -> None:
    with ScriptedServer(echoes_windows) as server:
        record = loadgen.run(plan(server, messages=32, pipeline=8))
        check_against(record, server)
    assert record.actual.messages == 320
    assert record.timestamps.stamped == 40
    assert record.timestamps.upper_bounds == 280


@on_linux
def test_the_bytes_of_one_connection_are_shown_with_stamps_too(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with ScriptedServer(echoes) as server:
        arguments = ("-c", "2", "-n", "2", "--size", "5", "--dump-one", "--timestamps", "kernel")
        assert main([server.address, *arguments]) == 0
    lines = [line.split(maxsplit=1)[1] for line in capfd.readouterr().err.splitlines()]
    assert lines == [*["> 5 bytes b'01234'", "< 5 bytes b'01234'"] * 2, "closed"]


# ---- this process -------------------------------------------------------------------------


@pytest.mark.parametrize("load", [{}, {"rate": 5000}], ids=str)
def test_in_user_space_arrived_is_read(load: dict[str, Any]) -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(plan(server, messages=30, timestamps="user", **load))
        check_against(record, server)
    evidence = record.timestamps
    assert (evidence.mode, evidence.reason) == ("user", "as --timestamps user asks")
    assert record.receive_lag_ns is None
    delayed = record.generator.delayed  # by pauses, and left out
    parts = [record.service_time_ns, *([delayed.service_ns] if delayed else [])]
    assert Distribution.of_all(parts) == record.user_space_latency_ns
    assert evidence.read_uncertainty_ns is not None
    assert evidence.read_uncertainty_ns.count == 300
    assert record.probe is None


def test_a_unix_socket_has_no_stamps(tmp_path: Path) -> None:
    with ScriptedServer(echoes, unix_listener(tmp_path / "echo")) as server:
        record = loadgen.run(plan(server, messages=30))
        check_against(record, server)
    evidence = record.timestamps
    assert (evidence.mode, evidence.reason) == ("user", "UNIX sockets have none")
    assert record.actual.messages == 300


def test_to_insist_on_stamps_for_a_unix_socket_is_refused(tmp_path: Path) -> None:
    with (
        ScriptedServer(echoes, unix_listener(tmp_path / "echo")) as server,
        pytest.raises(loadgen.UsageError, match="--timestamps kernel: UNIX sockets have none"),
    ):
        loadgen.run(plan(server, timestamps="kernel"))


# ---- a clock that is set --------------------------------------------------------------------


class TimeOfDay:
    """A wall clock that is set by ``step_ns``, once so many bytes have been received."""

    def __init__(self, server: ScriptedServer, after_bytes: int, step_ns: int) -> None:
        self._server = server
        self._after_bytes = after_bytes
        self._step_ns = step_ns

    def __call__(self) -> int:
        return wall_ns() + self.off_by_ns()

    def off_by_ns(self) -> int:
        return self._step_ns if self._server.bytes_received >= self._after_bytes else 0

    def socket(self, *arguments: Any) -> socket.socket:
        """Return a socket whose stamps are of this clock, as the kernel's are of its own."""
        return _Stamping(self, *arguments)


class _Stamping(socket.socket):
    def __init__(self, clock: TimeOfDay, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._clock = clock

    def recvmsg_into(self, *arguments: Any) -> Any:
        size, ancillary, *rest = super().recvmsg_into(*arguments)
        moved = []
        for level, kind, stamp in ancillary:
            seconds, nanoseconds = struct.unpack("qq", stamp)
            moved_ns = seconds * 10**9 + nanoseconds + self._clock.off_by_ns()
            moved.append((level, kind, struct.pack("qq", *divmod(moved_ns, 10**9))))
        return (size, moved, *rest)


@on_linux
@pytest.mark.parametrize("step_ns", [HOUR_NS, -HOUR_NS, 5_000_000, -5_000_000])
def test_a_step_of_the_wall_clock_costs_what_was_in_flight_and_nothing_else(step_ns: int) -> None:
    with ScriptedServer(echoes) as server:
        clock = TimeOfDay(server, 6400, step_ns)
        record = loadgen.run(
            plan(server, messages=20, rate=1000),
            loadgen.Surroundings(wall_clock=clock, socket_factory=clock.socket),
        )
        check_against(record, server)
    [step] = record.timestamps.clock_steps
    assert step.step_ns == pytest.approx(step_ns, abs=1_000_000)
    assert 0 <= step.at_s <= record.actual.duration_s + record.actual.drain_s
    assert record.timestamps.left_out > 0
    assert record.timestamps.implausible == record.timestamps.missing == 0
    assert record.actual.messages == record.user_space_latency_ns.count == 200
    for times in (record.service_time_ns, record.receive_lag_ns, record.response_time_ns):
        assert times is not None
        if times.count:
            assert times.min is not None
            assert times.max is not None
            assert 0 <= times.min <= times.max < HOUR_NS // 2
    assert record.health is not None
    assert record.health.verdict == "inconclusive"
    assert "clock-set" in {finding.code for finding in record.health.findings}
    assert failures(record) == {}


# ---- the warm-up --------------------------------------------------------------------------


@pytest.mark.parametrize("load", [{}, {"rate": 1000}, {"think": "1ms"}], ids=str)
def test_a_warm_up_is_recorded_apart_and_left_out(load: dict[str, Any]) -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(plan(server, warmup_s=0.1, duration_s=0.1, **load))
        check_against(record, server)
    actual = record.actual
    assert record.requested.warmup_s == 0.1
    assert 0.1 <= actual.warmup_s < 5
    assert actual.warmup_messages > 0
    assert actual.messages > 0
    assert actual.warmup_messages + actual.messages == sum(record.connections.ledger["answered"])
    warming = [interval for interval in record.intervals if interval.stage == "warming"]
    assert [interval.stage for interval in record.intervals[:2]] == ["opening", "warming"]
    assert warming[0].start_s == pytest.approx(-actual.warmup_s)
    assert sum(interval.messages for interval in warming) == actual.warmup_messages
    assert warming[0].user_space_latency_ns.count == actual.warmup_messages
    ended = [each.start_s + each.duration_s for each in record.intervals]
    assert [each.start_s for each in record.intervals[1:]] == pytest.approx(ended[:-1])


def test_what_fell_due_in_the_warm_up_is_not_asked_for_in_the_load() -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(
            plan(server, stages="0s:1k,100ms:1k,0s:0", warmup_s=0.2, duration_s=0.15)
        )
    check(record)
    assert record.actual.due == 100


@pytest.mark.parametrize("load", [{}, {"rate": 1000}], ids=str)
def test_a_request_to_stop_in_the_warm_up(load: dict[str, Any]) -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(
            plan(server, warmup_s=60.0, **load),
            loadgen.Surroundings(should_stop=lambda: server.bytes_sent >= 6400),
        )
        check_against(record, server)
    assert record.outcome == "interrupted"
    assert record.actual.warmup_messages > 10
    assert record.actual.messages + record.actual.warmup_messages == record.actual.submitted
    assert record.actual.warmup_s < 60
    assert record.actual.messages_per_s == 0
    assert record.health is not None
    assert record.health.verdict == "inconclusive"
    assert any("before the warm-up did" in line.text for line in summarise(record))
    warming = record.intervals[1]
    assert warming.stage == "warming"
    assert warming.start_s == pytest.approx(-record.actual.warmup_s)
