"""``python -m bench peers``, run as its users do, with the tools that are installed."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

from bench.peers.catalogue import PEERS
from bench.peers.peer import Peer
from bench.peers.table import missing_lines
from bench.yardstick import ROOT

WITHIN_S = 50.0  # for what hangs only
COMMAND = [sys.executable, "-m", "bench", "peers"]


@contextmanager
def started(*options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run it in a session of its own, so that what it leaves behind can be told."""
    with subprocess.Popen(
        [*COMMAND, *options],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def left_of(session: int) -> list[str]:
    """Return the processes of that session that do not end.

    What the kernel takes down, since the one above it has ended, may take a moment.
    """
    left = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == session:
                left.append(process)
    return [str(process) for process in psutil.wait_procs(left, timeout=WITHIN_S / 5)[1]]


def needs_compiler() -> None:
    if shutil.which("cc") is None:
        pytest.skip("programs are run below one in C, and there is no `cc` here")


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_compares_and_leaves_nothing_running(peer: Peer) -> None:
    needs_compiler()
    if peer.missing:
        pytest.skip(missing_lines([peer])[0])
    options = ["--only", peer.name, "--connections", "2", "--rounds", "1", "--duration", "0.3"]
    with started(*options, "--markdown") as process:
        output, errors = process.communicate(timeout=WITHIN_S)
    assert (process.returncode, errors) == (0, "")
    assert left_of(process.pid) == []
    for connections in peer.connections or (2,):
        start = f"| {peer.name} | {connections} | auto | "
        rates, costs = (
            line.removeprefix(start) for line in output.splitlines() if line.startswith(start)
        )
        the_peer, stamped, _, user_space, *_ = rates.split(" | ")
        for rate in (the_peer, stamped, user_space):
            assert int(rate.replace(",", "")) > 0
        for cost in costs.split(" | ")[:3]:
            assert sum(map(float, cost.split(" + "))) > 0
        for memory in costs.split(" | ")[3:5]:
            assert 0 < float(memory) < 200


def test_names_what_is_missing(tmp_path: os.PathLike[str]) -> None:
    with started("--list", PATH=str(tmp_path)) as process:
        output, _ = process.communicate(timeout=WITHIN_S)
    packages = {"wrk": "wrk", "h2load": "nghttp2-client", "redis-benchmark GET -P 1": "redis-tools"}
    for name, package in {**packages, "sockperf": "sockperf", "iperf3": "iperf3"}.items():
        (line,) = (line for line in output.splitlines() if line.startswith(f"{name}: "))
        assert line.startswith(f"{name}: left out, for {name.partition(' ')[0]}")
        assert f"(apt-get install {package}" in line
    assert "asyncio streams: Python alone" in output


def test_that_is_interrupted_ends_what_it_started() -> None:
    needs_compiler()
    options = ["--only", "asyncio streams", "--connections", "2", "--duration", "30"]
    with started(*options) as process:
        assert process.stdout is not None
        while not process.stdout.readline().lstrip().startswith("client"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 130
    assert errors == "interrupted: the servers are ended\n"
    assert left_of(process.pid) == []


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--only", "wrk,ab", "ab: the peers are wrk, "),
        ("--connections", "100,0", "'0': give a whole number, from 1 on"),
        ("--rounds", "few", "'few': give a whole number"),
        ("--duration", "-1", "'-1': give seconds"),
    ],
)
def test_refuses_what_makes_no_sense(option: str, value: str, reason: str) -> None:
    with started(f"{option}={value}") as process:
        _, errors = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 2
    assert reason in errors
