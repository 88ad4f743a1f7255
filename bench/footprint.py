"""What loadgen costs before and beside the load: start-up, opening, memory, idleness.

Each figure is taken in rounds; printed are the median, the lowest and the highest.

    python -m bench.footprint
    python -m bench.footprint --engine both

The exit code is 1 where an aim is missed, or something could not be measured.
"""

import argparse
import gc
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from bench.tables import Judgement, aims_table, at_most, formatted, spread
from bench.ways import add_engine_option, engine_options, engines
from bench.yardstick import (
    ROOT,
    Shape,
    UnavailableError,
    built,
    heading,
    loadgen,
    server,
    two_cores,
)
from loadgen.engine.choice import resolve
from loadgen.engine.conversation import Conversation
from loadgen.engine.recorder import Recorder
from loadgen.errors import LocalLimitError
from loadgen.net import descriptors
from loadgen.net.address import resolve as resolve_target
from loadgen.net.clock import WallClock, monotonic_ns, wall_ns
from loadgen.net.dialer import SocketDialer
from loadgen.net.target import Target
from loadgen.net.transport import SocketOptions
from loadgen.plan import Plan
from loadgen.plan.payloads import load
from loadgen.runner.assembly import assemble
from loadgen.server.embedded import EmbeddedServer

MANY: Final = 10_000
IDLE_CONNECTIONS: Final = 1000
ROUNDS: Final = 5


class Figure(NamedTuple):
    """What was measured, round by round, and what it may be at most."""

    what: str
    unit: str
    digits: int
    aim: float
    values: Sequence[float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    chosen = _parser().parse_args(arguments)
    print(heading())
    rows: list[tuple[str, ...]] = []
    judgements: list[Judgement] = []
    try:
        with built() as program:
            for engine in engines(chosen.engine):
                for what, unit, digits, aim, values in _figures(program, engine, chosen):
                    print(f"engine {engine}: {what}: {spread(values, digits)} {unit}", flush=True)
                    rows.append((what, engine, f"{spread(values, digits)} {unit}"))
                    judgements.append(
                        at_most(f"engine {engine}: {what}", aim, values, unit, digits)
                    )
    except UnavailableError as reason:
        print(f"bench.footprint: {reason}", file=sys.stderr)
        return 1
    print("\n".join(formatted(("what", "engine", "found"), rows, chosen.markdown)))
    print("\n".join(aims_table(judgements, chosen.markdown)))
    return 0 if all(judgement.is_met for judgement in judgements) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.footprint",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_engine_option(parser)
    parser.add_argument(
        "-c", "--connections", type=int, default=MANY, metavar="N", help=f"that are many ({MANY})"
    )
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, metavar="N", help=f"of each ({ROUNDS})"
    )
    parser.add_argument(
        *("--duration",), type=float, default=3.0, metavar="SECONDS", help="of being idle (3)"
    )
    parser.add_argument("--markdown", action="store_true", help="tables for bench/README.md")
    return parser


def _figures(program: Path, engine: str, chosen: argparse.Namespace) -> Iterator[Figure]:
    rounds, many = range(chosen.rounds), chosen.connections
    start_up_s = [_start_up_s(engine) for _ in rounds]
    yield Figure("start-up to first connect", "s", 3, 0.35, start_up_s)
    idle_shares = [_idle_share(engine, chosen.duration) for _ in rounds]
    what = f"CPU with nothing to do, {IDLE_CONNECTIONS} connections"
    yield Figure(what, "of a core", 3, 0.05, idle_shares)
    opening_s = [_opening_s(program, engine, many) for _ in rounds]
    yield Figure(f"{many} connections opened", "s", 3, 2.0, opening_s)
    traced_bytes, resident_bytes = zip(
        *(_memory(program, engine, many) for _ in rounds), strict=True
    )
    what = f"memory per connection, {many} of them"
    yield Figure(f"{what}, by tracemalloc", "bytes", 0, 3072, traced_bytes)
    yield Figure(f"{what}, resident", "bytes", 0, 3072, resident_bytes)


def _start_up_s(engine: str) -> float:
    """Return the seconds from starting loadgen to the arrival of its first connect."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        began_s = time.perf_counter()
        command = [sys.executable, "-m", "loadgen", f"127.0.0.1:{listener.getsockname()[1]}"]
        with subprocess.Popen(
            [*command, "-c", "1", "-n", "1", "--reply", "none", *engine_options(engine)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        ):
            accepted, _ = listener.accept()
            elapsed_s = time.perf_counter() - began_s
            accepted.close()
    return elapsed_s


def _idle_share(engine: str, duration_s: float) -> float:
    """Return the share of a core that connections cost while no reply comes."""
    with EmbeddedServer(("--delay", "1h")) as target:
        port = int(target.address.rpartition(":")[2])
        shape = Shape(IDLE_CONNECTIONS, duration_s=duration_s)
        record = loadgen(port, None, shape, engine_options(engine))
    return record.actual.cpu_s / record.actual.duration_s


def _opening_s(program: Path, engine: str, many: int) -> float:
    client_core, server_core = two_cores()
    options = ("-n", "1", *engine_options(engine))
    with server(program, server_core) as port:
        return loadgen(port, client_core, Shape(many), options).actual.opening_s


# ---- memory --------------------------------------------------------------------------


def _memory(program: Path, engine: str, many: int) -> tuple[float, float]:
    """Return what each connection beyond the first takes: as Python counts it, and the kernel."""
    with server(program, None) as port:
        traced_bytes, resident_bytes = (
            (of_many - of_one) / (many - 1)
            for of_one, of_many in zip(
                _in_fresh_process(port, engine, 1),
                _in_fresh_process(port, engine, many),
                strict=True,
            )
        )
    return traced_bytes, resident_bytes


def _in_fresh_process(port: int, engine: str, connections: int) -> tuple[int, int]:
    """Return what they take in a process that has released nothing: it would be resident still."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        return fresh.submit(_bytes_of, port, engine, connections).result()


def _bytes_of(port: int, engine: str, connections: int) -> tuple[int, int]:
    descriptors.ensure(connections)
    process = psutil.Process()
    resident_bytes = _growth(port, engine, connections, lambda: process.memory_info().rss)
    tracemalloc.start()
    traced_bytes = _growth(port, engine, connections, lambda: tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    return traced_bytes, resident_bytes


def _growth(port: int, engine_name: str, connections: int, measure: Callable[[], int]) -> int:
    """Return by how much ``measure`` grows with connections that are up and have had replies."""
    endpoint = resolve_target(Target("127.0.0.1", port))[0]
    dialer = SocketDialer(endpoint, SocketOptions(stamp_every=1), socket.socket)
    try:
        choice = resolve(engine_name, "auto")
    except LocalLimitError as reason:
        raise UnavailableError(str(reason)) from None
    gc.collect()
    before = measure()
    recorder = Recorder(connections, WallClock(monotonic_ns, wall_ns))
    engine = assemble(Plan(), choice, dialer, recorder, monotonic_ns)
    engine.add(Conversation.of(Plan(), load(Plan().payloads)), connections)
    while engine.pool.is_opening:
        engine.turn()
    engine.start()
    while engine.pool.totals().answered < 2 * connections:
        for _ in range(100):
            engine.turn()
    gc.collect()
    grown = measure() - before
    engine.close()
    return grown


if __name__ == "__main__":
    sys.exit(main())
