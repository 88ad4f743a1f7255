"""What loadgen costs before and beside the load: start-up, opening, memory, idleness.

python -m bench.footprint
"""

import argparse
import gc
import socket
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from bench.yardstick import (
    ROOT,
    Shape,
    UnavailableError,
    built,
    loadgen,
    server,
    two_cores,
)
from loadgen.engine.conversation import Conversation
from loadgen.engine.engine import Engine
from loadgen.engine.group import Group
from loadgen.engine.load_models import ClosedLoop
from loadgen.engine.recorder import Recorder
from loadgen.engine.driver import PythonDriver
from loadgen.engine.timeouts import ConnectionPolicy
from loadgen.net import backends, descriptors
from loadgen.net.address import resolve
from loadgen.net.clock import WallClock, monotonic_ns, wall_ns
from loadgen.net.dialer import SocketDialer
from loadgen.net.target import Target
from loadgen.net.transport import SocketOptions
from loadgen.plan import Plan
from loadgen.plan.payloads import load
from loadgen.server.embedded import EmbeddedServer

MANY = 10_000
ROUNDS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.footprint", description=__doc__)
    parser.parse_args(arguments)
    _report("start-up to first connect", [_start_up_s() for _ in range(ROUNDS)], "s")
    _report("CPU with nothing to do, 1000 connections", [_idle_share()], "of a core")
    try:
        with built() as program:
            _report(f"{MANY} connections opened", [_opening_s(program) for _ in range(ROUNDS)], "s")
            _print_memory(program)
    except UnavailableError as reason:
        print(f"bench.footprint: {reason}", file=sys.stderr)
        return 1
    return 0


def _report(what: str, figures: list[float], unit: str) -> None:
    print(
        f"{what}: median {statistics.median(figures):.3f} {unit}"
        f"  ({min(figures):.3f} to {max(figures):.3f})",
        flush=True,
    )


def _start_up_s() -> float:
    """Return the seconds from starting loadgen to the arrival of its first connect."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        began_s = time.perf_counter()
        command = [sys.executable, "-m", "loadgen", f"127.0.0.1:{listener.getsockname()[1]}"]
        with subprocess.Popen(
            [*command, "-c", "1", "-n", "1", "--reply", "none"], cwd=ROOT, stdout=subprocess.DEVNULL
        ):
            accepted, _ = listener.accept()
            elapsed_s = time.perf_counter() - began_s
            accepted.close()
    return elapsed_s


def _idle_share() -> float:
    """Return the share of a core that 1000 connections cost while no reply comes."""
    with EmbeddedServer(("--delay", "1h")) as target:
        port = int(target.address.rpartition(":")[2])
        record = loadgen(port, None, Shape(1000, duration_s=3.0))
    return record.actual.cpu_s / record.actual.duration_s


def _opening_s(program: Path) -> float:
    client_core, server_core = two_cores()
    with server(program, server_core) as port:
        return loadgen(port, client_core, Shape(MANY), ("-n", "1")).actual.opening_s


def _print_memory(program: Path) -> None:
    """Print what a connection costs this process: as Python counts it, and as the kernel does."""
    descriptors.ensure(MANY)
    process = psutil.Process()
    with server(program, None) as port:
        resident_bytes = _bytes_per_connection(port, lambda: process.memory_info().rss)
        tracemalloc.start()
        traced_bytes = _bytes_per_connection(port, lambda: tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    print(
        f"memory per connection, {MANY} of them: {traced_bytes:.0f} bytes by tracemalloc, "
        f"{resident_bytes:.0f} bytes of resident memory"
    )


def _bytes_per_connection(port: int, measure: Callable[[], int]) -> float:
    """Return by how much ``measure`` grows for each connection that is up and has had replies."""
    endpoint = resolve(Target("127.0.0.1", port))[0]
    dialer = SocketDialer(endpoint, SocketOptions(stamp_every=1), socket.socket)
    gc.collect()
    before = measure()
    selector = PythonDriver(backends.open_selector("auto"), monotonic_ns)
    recorder = Recorder(MANY, WallClock(monotonic_ns, wall_ns))
    group = Group(dialer, ClosedLoop())
    engine = Engine(selector, [group], recorder, monotonic_ns, ConnectionPolicy())
    engine.add(Conversation.of(Plan(), load(Plan().payloads)), MANY)
    while engine.pool.is_opening:
        engine.turn()
    engine.start()
    while engine.pool.totals().answered < 2 * MANY:
        for _ in range(100):
            engine.turn()
    gc.collect()
    grown = measure() - before
    engine.close()
    return grown / MANY


if __name__ == "__main__":
    sys.exit(main())
