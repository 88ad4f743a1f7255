"""What TLS costs: handshakes, processor time of a message, memory of a connection, fidelity.

Handshakes and messages are measured against ``loadgen server --tls``, on a core of its own, whose
certificate has a key of the curve P-256.

    python -m bench tls
    python -m bench tls --quick
"""

import argparse
import os
import selectors
import socket
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.yardstick import Cost, Shape, UnavailableError, cost_of, heading, loadgen, two_cores
from loadgen.analysis.usage import usage_of
from loadgen.engine.conversation import Conversation
from loadgen.engine.driver import PythonDriver
from loadgen.engine.engine import Engine
from loadgen.engine.group import Group
from loadgen.engine.load_models import ClosedLoop
from loadgen.engine.recorder import Recorder
from loadgen.engine.timeouts import ConnectionPolicy
from loadgen.errors import LoadgenError
from loadgen.net import backends, descriptors
from loadgen.net.address import resolve
from loadgen.net.clock import WallClock, monotonic_ns, wall_ns
from loadgen.net.dialer import EndpointDialer
from loadgen.net.target import Target
from loadgen.plan import Plan
from loadgen.runner.plan_dialer import dialer_of
from loadgen.server.embedded import EmbeddedServer

MESSAGE_BYTES = 64
CONNECTIONS = 100
MANY = 1000
"""Of so many, the memory of one is known."""
DELAY = "1ms"


class Size(NamedTuple):
    """How much is measured."""

    connections: int
    duration_s: float
    rounds: int


class Peer(NamedTuple):
    """A server that listens at ``port``; ``ca_file``, what to trust; None: it speaks no TLS."""

    port: int
    ca_file: str | None

    @property
    def arguments(self) -> tuple[str, ...]:
        """Return the options of loadgen."""
        return () if self.ca_file is None else ("--tls", "--cacert", self.ca_file)

    def dialer(self, *, resume: bool = False) -> EndpointDialer:
        """Return a dialer with the kernel's time of arrival."""
        is_secure = self.ca_file is not None
        target = f"{'tls' if is_secure else 'tcp'}://127.0.0.1:{self.port}"
        plan = Plan(target=target, ca_file=self.ca_file, tls_resume=resume)
        return dialer_of(plan, resolve(Target.parse(target))[0], None, stamped=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench tls", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a little of everything")
    size = Size(100, 0.5, 1) if parser.parse_args(arguments).quick else Size(500, 2.0, 5)
    descriptors.ensure(2 * size.connections)
    print(f"{heading()}; {ssl.OPENSSL_VERSION}\n")
    try:
        with serving(is_secure=True) as peer:
            _print_handshakes(peer, size)
        with serving(is_secure=False) as plain, serving(is_secure=True) as peer:
            _print_memory(plain, peer, size)
            _print_messages(plain, peer, size)
        for is_secure in (False, True):
            _print_fidelity(size, is_secure=is_secure)
    except (UnavailableError, LoadgenError) as reason:
        print(f"bench tls: {reason}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def serving(*words: str, is_secure: bool) -> Iterator[Peer]:
    """Run ``loadgen server`` with ``words`` on its core, with a certificate if ``is_secure``."""
    with ExitStack() as stack:
        ca_file = None
        if is_secure:
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="loadgen-bench-"))
            ca_file = str(Path(place) / "ca.pem")
            words += ("--tls", "--tls-write-ca", ca_file)
        server = stack.enter_context(EmbeddedServer(words))
        core = two_cores()[1]
        if core is not None:
            os.sched_setaffinity(server.pid, {core})
        yield Peer(int(server.address.rpartition(":")[2]), ca_file)


@contextmanager
def on_own_core() -> Iterator[None]:
    """Keep this process on the client's core for as long as the ``with`` lasts."""
    core = two_cores()[0]
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def opened(dialer: EndpointDialer, connections: int) -> Iterator[Engine]:
    """Open ``connections`` in an engine of this process; close them in the end."""
    selector = PythonDriver(backends.open_selector("auto"), monotonic_ns)
    recorder = Recorder(connections, WallClock(monotonic_ns, wall_ns))
    policy = ConnectionPolicy()
    engine = Engine(selector, [Group(dialer, ClosedLoop())], recorder, monotonic_ns, policy)
    try:
        engine.add(Conversation.of(Plan(), Plan().queue()), connections)
        while engine.pool.is_opening:
            engine.turn()
        if recorder.failures:
            raise UnavailableError(f"connections failed: {', '.join(map(str, recorder.failures))}")
        yield engine
    finally:
        engine.close()


def exchange(engine: Engine, messages: int) -> None:
    """Exchange ``messages`` in all, so that every connection has had some."""
    engine.start()
    while engine.pool.totals().answered < messages:
        for _ in range(10):
            engine.turn()


def _print_handshakes(peer: Peer, size: Size) -> None:
    for kind, resume in (("full", False), ("resumed", True)):
        dialer = peer.dialer(resume=resume)
        count = size.rounds + resume  # the first round leaves the sessions
        with on_own_core():
            rounds = [_opening(dialer, size.connections) for _ in range(count)]
        rates, cpus_us = zip(*rounds[resume:], strict=True)
        print(
            f"handshakes, {kind}: median {statistics.median(rates):,.0f}/s "
            f"({min(rates):,.0f} to {max(rates):,.0f}), "
            f"{statistics.median(cpus_us):.0f} us of processor time each, the connect included",
            flush=True,
        )


def _opening(dialer: EndpointDialer, connections: int) -> tuple[float, float]:
    """Return connections opened a second, and the microseconds of processor time of each."""
    began_s, cpu_began_s = time.perf_counter(), time.process_time()
    with opened(dialer, connections) as engine:
        elapsed_s = time.perf_counter() - began_s
        cpu_s = time.process_time() - cpu_began_s
        exchange(engine, 2 * connections)
    return connections / elapsed_s, cpu_s / connections * 1e6


def _print_memory(plain: Peer, peer: Peer, size: Size) -> None:
    """Print what a connection takes, of a process of its own."""
    shape = Shape(MANY, duration_s=max(2.0, size.duration_s))
    for name, each in (("plain", plain), ("TLS", peer)):
        record = loadgen(each.port, two_cores()[0], shape, each.arguments)
        monitor = record.monitor
        used = None if monitor is None else usage_of(record, monitor.generator, monitor)
        if used is None or used.bytes_per_connection is None:
            raise UnavailableError("there is no memory of a connection in the record")
        print(f"memory of a connection, {name}: {used.bytes_per_connection:,.0f} bytes", flush=True)


def _print_messages(plain: Peer, peer: Peer, size: Size) -> None:
    shape = Shape(CONNECTIONS, size_bytes=MESSAGE_BYTES, duration_s=size.duration_s)
    core = two_cores()[0]
    ways: dict[str, Callable[[], Cost]] = {
        "plain": lambda: cost_of(loadgen(plain.port, core, shape, plain.arguments)),
        "TLS": lambda: cost_of(loadgen(peer.port, core, shape, peer.arguments)),
        "ssl.SSLSocket by hand": lambda: _by_hand(peer, size.duration_s),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(size.rounds):
        for name, way in ways.items():
            costs[name].append(way())
    for name, each in costs.items():
        median = Cost(*map(statistics.median, zip(*each, strict=True)))
        print(f"a message, {CONNECTIONS} connections, {name:21}: {median}", flush=True)


def _by_hand(peer: Peer, duration_s: float) -> Cost:
    """Return the cost of the barest loop over ``ssl.SSLSocket``: no clock, no record, no checks."""
    context = ssl.create_default_context(cafile=peer.ca_file)
    message, buffer = bytes(MESSAGE_BYTES), bytearray(MESSAGE_BYTES)
    with ExitStack() as stack, on_own_core(), selectors.DefaultSelector() as selector:
        for _ in range(CONNECTIONS):
            plain = socket.create_connection(("127.0.0.1", peer.port))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            secured = context.wrap_socket(plain, server_hostname="127.0.0.1")
            stack.enter_context(secured).setblocking(False)
            selector.register(secured, selectors.EVENT_READ, secured)
            secured.send(message)
        messages, before, began_s = 0, os.times(), time.perf_counter()
        while (elapsed_s := time.perf_counter() - began_s) < duration_s:
            for key, _ in selector.select():
                secured = key.data
                try:
                    secured.recv_into(buffer)
                except ssl.SSLWantReadError:  # a ticket
                    continue
                secured.send(message)
                messages += 1
        after = os.times()
    return Cost(
        messages / elapsed_s,
        (after.user - before.user) / messages * 1e6,
        (after.system - before.system) / messages * 1e6,
    )


def _print_fidelity(size: Size, *, is_secure: bool) -> None:
    """Print service time beside what the server's own log says, under a moderate rate."""
    with tempfile.TemporaryDirectory(prefix="loadgen-bench-") as place:
        ledger = Path(place) / "residences"
        shape = Shape(CONNECTIONS, size_bytes=MESSAGE_BYTES, duration_s=size.duration_s)
        with serving("--delay", DELAY, "--ledger", str(ledger), is_secure=is_secure) as peer:
            arguments = (*peer.arguments, "--rate", "5000", "--timestamps", "kernel")
            record = loadgen(peer.port, two_cores()[0], shape, arguments)
        residences_ns = np.fromfile(ledger, dtype=np.int64)
    seen = record.service_time_ns
    if not seen.count or not residences_ns.size:
        raise UnavailableError("no message was answered")
    figures = []
    for percent in (50, 99):
        true_ns = int(np.percentile(residences_ns, percent, method="inverted_cdf"))
        shown_ns = seen.percentile(percent) or 0
        figures.append(
            f"p{percent} {shown_ns / 1000:,.0f} us, in the server's log {true_ns / 1000:,.0f} us"
        )
    name = "TLS" if is_secure else "plain"
    print(f"service time at 5000/s, {name}: {'; '.join(figures)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
