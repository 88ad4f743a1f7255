"""A generator that does not run for a time: stopped or throttled, alone or with its server."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import pytest
from accounts import check
from command import LOADGEN, ended, running
from locusts import Locusts
from servers import DEADLINE_S, Peer, ScriptedServer, echoes

import loadgen as package
from loadgen.results.record import RunRecord, from_json
from loadgen.runner.cgroup import Cgroups, ProcessorQuota
from loadgen.units import NS_PER_S

PAUSE_S: Final = 1.2

KNOWN_WITHIN_S: Final = 0.05
"""A gap is known to 5 ms; and the test reads its own clock a little after the signal."""


def wait(duration_s: float) -> None:
    """Let time pass, which is the subject of these tests."""
    threading.Event().wait(duration_s)


def answers_slowly(peer: Peer) -> None:
    """Echo 64 bytes after 20 ms, again and again."""
    while len(message := peer.receive_exactly(64)) == 64:
        wait(0.02)
        peer.send(message)


def has_received(server: ScriptedServer, messages: int) -> bool:
    return server.bytes_received >= 64 * messages


def pause(*processes: subprocess.Popen[bytes]) -> float:
    """Stop ``processes`` for `PAUSE_S`; return the seconds for which they did not run.

    The first is stopped first and continued last: it does nothing in which the others do not run.
    """
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    for process in processes:  # the signal takes effect later
        assert os.waitid(os.P_PID, process.pid, os.WSTOPPED) is not None
    stopped_s = time.monotonic()
    wait(PAUSE_S)
    paused_s = time.monotonic() - stopped_s
    for process in reversed(processes):
        process.send_signal(signal.SIGCONT)
    return paused_s


def run_paused(server: ScriptedServer, *options: str) -> tuple[int, RunRecord, float]:
    """Load ``server`` with a pause; return exit code, record, and the length of the pause."""
    with running(server.address, *options, "--strict", "--json", "-") as process:
        with server.changed:
            began = server.changed.wait_for(lambda: has_received(server, 40), DEADLINE_S)
        assert began
        paused_s = pause(process)
        done = ended(process)
    return done.code, done.record, paused_s


def codes(record: RunRecord) -> list[str]:
    assert record.health is not None
    return [finding.code for finding in record.health.findings]


@pytest.mark.parametrize(
    "options",
    [
        ("--rate", "200", "--pacing", "eco", "--backend", "poll", "--check", "response_p90<50ms"),
        ("--rate", "200", "--pacing", "precise", "--check", "response_p90<50ms"),
        ("--rate", "200", "--timestamps", "user", "--no-probe", "--check", "response_p90<50ms"),
        ("--think", "10ms", "--backend", "select"),
        ("--timestamps", "user", "--no-probe", "--check", "service_max<300ms"),
    ],
    ids=["eco", "precise", "user", "thinking", "closed"],
)
def test_a_stopped_generator_says_so_and_does_not_blame_the_server(
    options: tuple[str, ...],
) -> None:
    is_idle = options[0] == "--timestamps"
    with ScriptedServer(answers_slowly if is_idle else echoes) as server:
        code, record, paused_s = run_paused(server, "-c", "5", "-d", "4s", *options)
    assert code == 4
    assert record.health is not None
    assert record.health.verdict == "inconclusive"
    assert "preempted" in codes(record)
    assert not {"server-behind", "unanswered"} & set(codes(record))
    assert record.generator.gaps_s >= paused_s - KNOWN_WITHIN_S
    assert record.generator.longest_gap_s >= paused_s - KNOWN_WITHIN_S
    assert record.generator.longest_gap_at_s is not None
    assert 0 < record.generator.longest_gap_at_s < 4
    assert {check.outcome for check in record.checks} <= {"inconclusive"}


def test_messages_delayed_by_a_pause_are_counted_and_left_out_of_the_times() -> None:
    with ScriptedServer(echoes) as server:
        _, record, paused_s = run_paused(server, "-c", "5", "--rate", "400", "-d", "4s")
    delayed = record.generator.delayed
    assert delayed is not None
    assert delayed.messages >= 400 * (paused_s - KNOWN_WITHIN_S) * 0.9
    assert delayed.response_ns.max is not None
    assert delayed.response_ns.max >= (paused_s - KNOWN_WITHIN_S) * NS_PER_S
    for times in (record.response_time_ns, record.blocked_ns, record.generator_lag_ns):
        assert times is not None
        assert (times.max or 0) < paused_s / 2 * NS_PER_S


ANSWERS: Final = """
import socket, sys, threading, time

seen = 0

def serve(accepted):
    global seen
    while accepted.recv(64):
        time.sleep(0.2)
        accepted.sendall(bytes(64))
        seen += 1
        if seen == 100:
            print("under load", flush=True)

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
"""A server that answers after 200 ms, and says when it is under load.

A generator that lost the processor for long enough before it is stopped has nothing in flight.
"""


def test_a_pause_of_generator_and_server_together_is_inconclusive() -> None:
    with subprocess.Popen([sys.executable, "-c", ANSWERS], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            address = f"127.0.0.1:{int(server.stdout.readline())}"
            options = ("-c", "20", "-d", "40s", "-n", "10", "--json", "-")
            with running(address, *options) as process:
                assert server.stdout.readline() == b"under load\n"
                paused_s = pause(server, process)
                record = ended(process).record
        finally:
            server.kill()
    assert record.health is not None
    assert record.health.verdict == "inconclusive"
    assert "stopped-together" in codes(record)
    assert record.generator.shared_pauses_s >= paused_s - KNOWN_WITHIN_S


# ---- in this process, by a clock that jumps -------------------------------------------------


class JumpingClock:
    """The clock of a process that is paused whenever the test says so."""

    def __init__(self) -> None:
        self.stood_still_ns = 0

    def __call__(self) -> int:
        return time.monotonic_ns() + self.stood_still_ns

    def jump(self, duration_s: float) -> None:
        self.stood_still_ns += round(duration_s * NS_PER_S)


class JumpingSocket:
    """A socket whose ``method`` pauses the process for two seconds, at the fifth call."""

    def __init__(self, method: str, clock: JumpingClock) -> None:
        self._inner = socket.socket()
        self._calls_left = 5
        self._clock = clock
        setattr(self, method, lambda *arguments: self._jump(method, *arguments))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _jump(self, method: str, *arguments: Any) -> Any:
        self._calls_left -= 1
        if not self._calls_left:
            self._clock.jump(2)
        return getattr(self._inner, method)(*arguments)


@pytest.mark.parametrize("method", ["send", "recv_into"])
@pytest.mark.parametrize("load", [{"rate": 400}, {}], ids=str)
def test_a_pause_within_a_turn_enters_no_time(method: str, load: dict[str, Any]) -> None:
    clock = JumpingClock()
    with ScriptedServer(echoes) as server:
        plan = package.Plan(
            target=server.address,
            connections=1,
            messages=200,
            probe=False,
            **{"timestamps": "user", "duration_s": 30.0, **load},
        )
        surroundings = package.Surroundings(
            clock=clock, socket_factory=lambda family, kind: JumpingSocket(method, clock)
        )
        record = package.run(plan, surroundings)
    check(record)
    assert record.generator.gaps_s >= 2
    for times in (record.response_time_ns, record.blocked_ns, record.service_time_ns):
        assert times is None or (times.max or 0) < NS_PER_S
    assert record.generator.delayed is not None
    assert record.generator.delayed.messages > 0


def test_a_pause_that_begins_in_the_warm_up_and_ends_in_the_load_counts_in_the_load() -> None:
    clock = JumpingClock()

    def jump_once_under_way(progress: package.Progress) -> None:
        if progress.stage == "warming" and progress.totals.answered and not clock.stood_still_ns:
            clock.jump(2)

    with ScriptedServer(echoes) as server:
        plan = package.Plan(
            target=server.address, connections=5, rate=200, warmup_s=1.5, duration_s=3.0
        )
        record = package.run(plan, package.Surroundings(clock=clock, observe=jump_once_under_way))
    assert record.generator.gaps_s >= 1
    assert record.generator.longest_gap_at_s == pytest.approx(0, abs=0.1)
    assert record.health is not None
    assert record.health.verdict == "inconclusive"
    assert "preempted" in codes(record)
    assert record.response_time_ns is not None
    assert (record.response_time_ns.max or 0) < NS_PER_S


def test_replies_that_arrive_in_a_pause_of_the_drain_are_read_afterwards() -> None:
    clock, go_on = JumpingClock(), threading.Event()

    def answers_late(peer: Peer) -> None:
        message = peer.receive_exactly(64)
        go_on.wait(DEADLINE_S)
        peer.send(message)
        peer.receive_all()

    def stand_still(progress: package.Progress) -> None:
        if progress.stage == "draining" and not clock.stood_still_ns:
            clock.jump(60)
            go_on.set()

    with ScriptedServer(answers_late) as server:
        plan = package.Plan(
            target=server.address, connections=3, messages=1, duration_s=0.2, drain_s=20.0
        )
        record = package.run(plan, package.Surroundings(clock=clock, observe=stand_still))
    assert (record.actual.messages, record.actual.cut_off) == (3, 0)


def test_a_pause_is_not_part_of_a_timeout() -> None:
    """The reply comes after a pause that is longer than the time-out."""
    clock, go_on = JumpingClock(), threading.Event()
    turns_after = iter(range(3))

    def answers_late(peer: Peer) -> None:
        message = peer.receive_exactly(64)
        go_on.wait(DEADLINE_S)
        peer.send(message)
        peer.receive_all()

    with ScriptedServer(answers_late) as server:

        def stand_still() -> bool:
            if server.bytes_received and not clock.stood_still_ns:
                clock.jump(60)
            elif clock.stood_still_ns and next(turns_after, None) is None:
                go_on.set()  # some turns have read the clock since
            return False

        plan = package.Plan(target=server.address, connections=1, messages=1, io_timeout_s=20.0)
        record = package.run(plan, package.Surroundings(clock=clock, should_stop=stand_still))
    assert (record.actual.messages, record.failures) == (1, [])


def test_a_suspended_machine_makes_a_run_inconclusive() -> None:
    awake_ns = iter((7 * NS_PER_S, 9 * NS_PER_S))

    def boot_clock() -> int:
        return time.monotonic_ns() + next(awake_ns)

    with ScriptedServer(echoes) as server:
        plan = package.Plan(target=server.address, connections=2, messages=200)
        record = package.run(plan, package.Surroundings(boot_clock=boot_clock))
    assert record.generator.suspended_s == pytest.approx(2, abs=0.5)
    assert record.health is not None
    assert record.health.verdict == "inconclusive"
    assert "suspended" in codes(record)


# ---- Locust -------------------------------------------------------------------------------


def test_a_stopped_locust_says_so(tmp_path: Path) -> None:
    locustfile = (
        "from loadgen.locust import SocketUser\n"
        "class Ping(SocketUser):\n"
        "    payloads = (bytes(64),)\n"
        "    rate = 20\n"
    )
    with ScriptedServer(echoes) as server, Locusts(tmp_path, locustfile) as locusts:
        locust = locusts.headless(
            "-u", "5", "-r", "100", "-t", "4s", "--host", f"tcp://{server.address}"
        )
        with server.changed:
            assert server.changed.wait_for(lambda: has_received(server, 40), DEADLINE_S)
        paused_s = pause(locust.process)
        assert locust.end() == 0
        [record] = locusts.records.values()
    assert record.generator.gaps_s >= paused_s - KNOWN_WITHIN_S
    assert record.health is not None
    assert record.health.verdict == "inconclusive"
    assert "preempted" in codes(record)


# ---- a quota of processor time ------------------------------------------------------------

GROUPS: Final = Path("/sys/fs/cgroup/cpu")


@pytest.mark.skipif(
    not os.access(GROUPS / "cpu.cfs_quota_us", os.W_OK),
    reason="control groups of version 1 cannot be made here: it takes root",
)
def test_a_generator_that_a_quota_throttles_says_so(tmp_path: Path) -> None:
    group = GROUPS / f"loadgen-test-{os.getpid()}"
    group.mkdir()
    record_file = tmp_path / "record.json"
    try:
        (group / "cpu.cfs_quota_us").write_text("20000")
        command = [*LOADGEN, "-c", "20", "-d", "2s", "--size", "64", "--strict"]
        inside = f'echo $$ > {group}/cgroup.procs && exec "$@"'
        with ScriptedServer(echoes) as server:
            done = subprocess.run(
                ["sh", "-c", inside, "sh", *command, server.address, "--json", str(record_file)],
                timeout=120,
                check=False,
                capture_output=True,
            )
    finally:
        with contextlib.suppress(OSError):
            group.rmdir()
    record = from_json(record_file.read_bytes())
    assert done.returncode == 4, done.stderr
    assert record.environment.cpu_quota == 0.2
    assert record.generator.throttled_s is not None
    assert record.generator.throttled_s > 0
    assert "throttled" in codes(record)


FILES: Final = {
    1: {
        "proc/self/cgroup": "5:devices:/\n2:cpu,cpuacct:/docker/abc\n0::/\n",
        "proc/self/mountinfo": "30 2 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/cpu/docker/cpu.cfs_quota_us": "150000\n",
        "sys/fs/cgroup/cpu/docker/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/cpu/docker/cpu.stat": "nr_throttled 3\nthrottled_time 2500000000\n",
        "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "100000\n",
    },
    2: {
        "proc/self/cgroup": "0::/kubepods/pod1/abc\n",
        "proc/self/mountinfo": "30 2 0:1 /kubepods /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        "sys/fs/cgroup/pod1/cpu.max": "150000 100000\n",
        "sys/fs/cgroup/pod1/cpu.stat": "usage_usec 9\nthrottled_usec 2500000\n",
        "sys/fs/cgroup/pod1/abc/cpu.max": "max 100000\n",
    },
}


@pytest.mark.parametrize("version", [1, 2])
def test_the_tightest_quota_of_all_groups_around_a_process_counts(
    version: int, tmp_path: Path
) -> None:
    for name, text in FILES[version].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    groups = Cgroups(tmp_path)
    assert groups.quota() == ProcessorQuota(1.5, 0.1)
    assert groups.throttled_s() == 2.5


def test_without_a_quota_there_is_nothing_to_be_throttled(tmp_path: Path) -> None:
    assert (Cgroups(tmp_path).quota(), Cgroups(tmp_path).throttled_s()) == (None, None)
