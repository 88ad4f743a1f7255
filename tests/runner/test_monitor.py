"""The samples of generator, target and machine during a run."""

import contextlib
import os
import resource
import signal
import socket
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from records import actual, closed_loop
from servers import ScriptedServer, echoes

from loadgen.analysis.summary import summarise
from loadgen.analysis.usage import usage_of
from loadgen.errors import UsageError
from loadgen.net.address import Endpoint
from loadgen.net.clock import ManualClock
from loadgen.plan import Plan
from loadgen.results.instruments import MachineSamples, MonitorRecord, ProcessSamples
from loadgen.results.record import RunRecord
from loadgen.runner.monitor import Monitor
from loadgen.runner.run import run
from loadgen.runner.surroundings import Progress, Surroundings
from loadgen.runner.target_processes import UnknownTargetError, processes_of
from loadgen.server.embedded import EmbeddedServer

OFTEN_S = 0.05


def monitor_of(record: RunRecord) -> MonitorRecord:
    assert record.monitor is not None
    return record.monitor


def columns(samples: ProcessSamples | MachineSamples) -> list[list[float]]:
    return [
        column
        for name, column in msgspec.structs.asdict(samples).items()
        if name not in ("name", "pids")
    ]


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Nothing can be opened: EMFILE (getrlimit(2)). What is open stays so."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_sample_that_cannot_be_taken_is_missing_and_no_other() -> None:
    plan = Plan(target="127.0.0.1:1", sample_interval_s=3600)
    endpoint = Endpoint(socket.AF_INET, ("127.0.0.1", 1))
    with contextlib.ExitStack() as stack:
        monitor = Monitor(plan, endpoint, os.getpid(), ManualClock())
        with monitor:
            stack.enter_context(no_descriptor_left())
    found = monitor.record(0)
    assert found is not None
    assert len(found.at_s) == 1


class TestRun:
    def test_is_sampled_from_before_the_first_connection_to_the_end(self) -> None:
        plan = Plan(connections=20, duration_s=0.5, sample_interval_s=OFTEN_S)
        record = run(plan)
        monitor = monitor_of(record)
        assert monitor.interval_s == OFTEN_S
        assert monitor.at_s[0] < 0 < record.actual.duration_s <= monitor.at_s[-1]
        assert all(before < after for before, after in pairwise(monitor.at_s))
        assert monitor.target is not None
        for samples in (monitor.generator, monitor.target, monitor.machine):
            assert {len(column) for column in columns(samples)} == {len(monitor.at_s)}

    def test_knows_itself_and_the_embedded_server(self) -> None:
        monitor = monitor_of(run(Plan(connections=20, duration_s=0.5, sample_interval_s=OFTEN_S)))
        target = monitor.target
        assert target is not None
        assert monitor.generator.pids[0] == os.getpid()
        assert not set(target.pids) & set(monitor.generator.pids)
        for samples in (monitor.generator, target):
            assert samples.cpu_s[0] == 0
            assert all(before <= after for before, after in pairwise(samples.cpu_s))
            assert min(samples.memory_bytes) > 2**20
            # Its sockets are open during the run, and not before and after it.
            opened = max(each for each in samples.descriptors if each is not None)
            assert samples.descriptors[0] is not None
            assert opened >= samples.descriptors[0] + 20
        assert all(0 <= share <= 1 for share in monitor.machine.cpu_share)
        assert monitor.machine.sent_bytes[-1] > 0

    @pytest.mark.parametrize("scheme", ["tcp", "unix"])
    def test_finds_the_process_that_listens_at_the_target(
        self, scheme: str, tmp_path: Path
    ) -> None:
        place = ("--unix", str(tmp_path / "socket")) if scheme == "unix" else ()
        with EmbeddedServer(place) as server:
            record = run(Plan(target=server.address, messages=10, connections=2))
            target = monitor_of(record).target
            assert target is not None
            assert target.pids == [server.pid]

    def test_samples_the_process_that_the_user_names(self) -> None:
        with ScriptedServer(echoes) as server, EmbeddedServer() as other:
            plan = Plan(target=server.address, messages=10, connections=2, watch=other.pid)
            target = monitor_of(run(plan)).target
            assert target is not None
            assert target.pids == [other.pid]

    def test_can_be_switched_off(self) -> None:
        assert run(Plan(messages=10, connections=2, watch="off")).monitor is None

    def test_records_when_the_target_ended(self) -> None:
        with EmbeddedServer() as server:

            def end_it(progress: Progress) -> None:
                if progress.stage == "loading" and progress.elapsed_s >= 1:
                    os.kill(server.pid, signal.SIGKILL)

            plan = Plan(
                target=server.address, connections=2, duration_s=30, sample_interval_s=OFTEN_S
            )
            record = run(plan, Surroundings().observed_by(end_it))
            monitor = monitor_of(record)
        assert record.outcome == "lost"
        assert monitor.target is not None
        assert monitor.target_ended_at_s is not None
        assert 1 <= monitor.target_ended_at_s < 30
        assert monitor.target.memory_bytes[-1] == 0
        assert monitor.target.cpu_s[-1] >= monitor.target.cpu_s[-2] > 0
        assert any("the target ended" in line.text for line in summarise(record))

    def test_a_process_that_does_not_exist_is_refused(self) -> None:
        with ScriptedServer(echoes) as server:
            plan = Plan(target=server.address, messages=1, connections=1, watch=2**22 + 1)
            with pytest.raises(UsageError, match=r"--watch-pid: 4194305.*no process"):
                run(plan)


class TestTarget:
    @pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
    def test_of_another_machine_is_unknown(self, address: str) -> None:
        with pytest.raises(UnknownTargetError, match="another machine"):
            processes_of(Plan(), Endpoint(socket.AF_INET, (address, 80)), None)

    def test_where_no_process_listens_is_unknown(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            endpoint = Endpoint(socket.AF_INET, unused.getsockname())
            with pytest.raises(UnknownTargetError, match="which process listens"):
                processes_of(Plan(), endpoint, None)

    def test_may_listen_everywhere(self) -> None:
        with socket.create_server(("", 0)) as server:
            endpoint = Endpoint(socket.AF_INET, ("127.0.0.1", server.getsockname()[1]))
            assert next(iter(processes_of(Plan(), endpoint, None))).pid == os.getpid()


def samples(cpu_s: list[float], memory_bytes: list[int]) -> ProcessSamples:
    count = len(cpu_s)
    return ProcessSamples(
        name="server",
        pids=[7],
        cpu_s=cpu_s,
        memory_bytes=memory_bytes,
        descriptors=[None] * count,
        threads=[1] * count,
        context_switches=[None] * count,
    )


def sampled(target: ProcessSamples) -> MonitorRecord:
    """Samples a second before the load, at its begin, and at the end of its 10 s."""
    return MonitorRecord(
        interval_s=1.0,
        at_s=[-1.0, 0.0, 10.0],
        generator=samples([0.0, 0.1, 9.1], [0, 0, 0]),
        target=target,
        why_no_target="",
        target_ended_at_s=None,
        machine=MachineSamples(cpu_share=[0, 1, 1], sent_bytes=[0] * 3, received_bytes=[0] * 3),
    )


class TestUsage:
    def test_is_that_of_the_measured_load(self) -> None:
        target = samples([0.0, 1.0, 6.0], [1_000_000, 5_000_000, 3_000_000])
        record = closed_loop(actual=msgspec.structs.replace(closed_loop().actual, connections=2000))
        usage = usage_of(record, target, sampled(target))
        assert usage.cpu_share == pytest.approx(0.5)
        assert usage.cpu_per_message_ns == pytest.approx(5e9 / 10_000)
        assert usage.bytes_per_connection == 2000

    def test_is_not_told_where_there_is_too_little(self) -> None:
        target = samples([0.0, 0.01, 0.02], [1_000_000] * 3)
        assert usage_of(closed_loop(), target, sampled(target)) == (None, None, None)
        empty = closed_loop(actual=actual(duration_s=0.0, messages_per_s=0.0))
        assert usage_of(empty, target, sampled(target)) == (None, None, None)

    def test_stands_in_the_summary(self) -> None:
        target = samples([0.0, 1.0, 6.0], [1_000_000] * 3)
        text = "\n".join(line.text for line in summarise(closed_loop(monitor=sampled(target))))
        assert "the target   50 % of one core, 500 µs a message (server, process 7)" in text


def test_a_long_run_has_a_bounded_number_of_samples() -> None:
    clock = ManualClock()
    plan = Plan(sample_interval_s=3600.0, watch=os.getppid())
    endpoint = Endpoint(socket.AF_INET, ("192.0.2.1", 1))
    with Monitor(plan, endpoint, None, clock, most_samples=8) as monitor:
        for _ in range(8):  # with the first, nine: the ninth thins them
            clock.advance(1_000_000_000)
            monitor._sample(lambda: None)
        thinned = monitor.record(0)
        assert thinned is not None
        assert thinned.at_s == [0.0, 2.0, 4.0, 6.0, 8.0]
        assert thinned.interval_s == 2 * 3600.0
        assert thinned.target is not None
        for samples in (thinned.generator, thinned.target, thinned.machine):
            assert {len(column) for column in columns(samples)} == {5}
