"""What other load tools for HTTP say of a server's latency, beside what it knows itself."""

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.peers.catalogue import wrk_arguments
from bench.peers.printed import Percentiles, tcpkali_percentiles, wrk_percentiles
from bench.truth import HTTP_REQUEST, Bench, Truth
from bench.yardstick import Shape, output_of, print_title, two_cores
from loadgen.results.distribution import Distribution

RATE_PER_S: Final = 10_000
"""What the open loops are asked for."""

_PERCENTS: Final = (50.0, 90.0, 99.0)


@dataclass(frozen=True)
class Peer:
    """A load tool. ``at_least_s``: how long it must run to say anything."""

    name: str
    arguments: Callable[[int, int, int], list[str]]
    """From port, connections and whole seconds."""
    percentiles: Callable[[str], Percentiles]
    at_least_s: int = 1

    @property
    def is_installed(self) -> bool:
        """Whether the command is there."""
        return shutil.which(self.name) is not None


def _wrk(port: int, connections: int, seconds: int) -> list[str]:
    return ["--latency", *wrk_arguments(port, connections, seconds)]


def _wrk2(port: int, connections: int, seconds: int) -> list[str]:
    return ["-R", str(RATE_PER_S), *_wrk(port, connections, seconds)]


def _tcpkali(port: int, connections: int, seconds: int) -> list[str]:
    load = ["-c", str(connections), "-r", f"{RATE_PER_S / connections:g}", "-T", f"{seconds}s"]
    latency = ["--latency-marker", "HTTP/1.1", "--latency-percentiles", "50,90,99"]
    return [*load, *latency, "-w", "1", "-e", "-m", HTTP_REQUEST, f"127.0.0.1:{port}"]


PEERS: Final = (
    Peer("wrk", _wrk, wrk_percentiles),
    Peer("wrk2", _wrk2, wrk_percentiles, at_least_s=12),  # it calibrates for 10 s
    Peer("tcpkali", _tcpkali, tcpkali_percentiles),
)


def compare(bench: Bench) -> bool:
    """Print what other tools and loadgen say of the same HTTP server, and what it knows."""
    print_title(
        f"Peers: a 1 ms HTTP server; closed loops, and open ones at {RATE_PER_S:,}/s; us",
        f"{'conns':>5} {'tool':22} {'got/s':>8}  {'figure':21} {'p50':>11} {'p90':>11} {'p99':>11}",
    )
    for peer in PEERS:
        if not peer.is_installed:
            print(f"      {peer.name} is not installed: left out")
    for connections in (30, 100) if bench.is_quick else (30, 100, 1000):
        for peer in PEERS:
            if peer.is_installed:
                _print_peer(bench, peer, connections)
        for rate_per_s in (None, RATE_PER_S):
            _print_own(bench, connections, rate_per_s)
    return True


def _print_peer(bench: Bench, peer: Peer, connections: int) -> None:
    seconds = max(peer.at_least_s, math.ceil(bench.duration_s))
    with bench.serving("delay 1000", "http") as truth:
        arguments = peer.arguments(truth.port, connections, seconds)
        text = output_of(two_cores()[0], [peer.name, *arguments])
    label = f"{connections:5} {peer.name:22} {truth.residences_ns.size / seconds:8,.0f}"
    _print_tool(label, truth, {"as printed": peer.percentiles(text)})


def _print_own(bench: Bench, connections: int, rate_per_s: int | None) -> None:
    shape = Shape(connections, duration_s=bench.duration_s, payload=HTTP_REQUEST)
    record, truth = bench.run("delay 1000", shape, rate_per_s)
    figures = {
        "service time": _percentiles(record.service_time_ns),
        "user space": _percentiles(record.user_space_latency_ns),
    }
    if record.response_time_ns:
        figures["response time"] = _percentiles(record.response_time_ns)
    name = "loadgen" if rate_per_s is None else "loadgen --rate"
    label = f"{connections:5} {name:22} {record.actual.messages_per_s:8,.0f}"
    _print_tool(label, truth, figures)


def _percentiles(distribution: Distribution) -> Percentiles:
    return {percent: (distribution.percentile(percent) or 0) / 1e3 for percent in _PERCENTS}


def _print_tool(label: str, truth: Truth, figures: dict[str, Percentiles]) -> None:
    true_us = {percent: truth.percentile_ns(percent) / 1e3 for percent in _PERCENTS}
    for name, values_us in {"truth": true_us, **figures}.items():
        row = [values_us.get(percent) for percent in _PERCENTS]
        cells = " ".join("-".rjust(11) if one is None else f"{one:11,.0f}" for one in row)
        print(f"{label:37}  {name:21} {cells}", flush=True)
        label = ""
