"""What a run does: the time of one message, by backend, connections, payload and pipeline.

    pytest bench/test_runs.py -k 'epoll and c100-'

A message's time is that of the measured load over the messages answered in it, and not that of
starting, opening, warming up and draining. The load is a closed loop against the embedded server in
a process of its own, on a core of its own where there are two. Where loadgen was the limit, the
figure is loadgen's own; the table under pytest-benchmark's says where that was so.
"""

import itertools
import os
from collections.abc import Iterator

import msgspec
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.timers import RunClock, in_rounds
from bench.yardstick import Shape, two_cores
from loadgen import LocalLimitError, Plan, RunRecord, SizePayload
from loadgen.net import backends
from loadgen.pytest_plugin import LoadRun
from loadgen.server.embedded import EmbeddedServer
from loadgen.units import format_bytes

ROUNDS = 5
DURATION_S = 0.3
WARMUP_S = 0.1
DRAIN_S = 10.0
"""Enough for all replies to come, so that it can be checked that they did."""

MOST_IN_FLIGHT_BYTES = 128 * 2**20
"""1000 connections with 16 messages of 64 KiB on each hold 1 GiB: that would measure memory."""

PAYLOADS = {"64B": 64, "1KiB": 1024, "64KiB": 65536}
SHAPES = {
    f"c{connections}-{payload}-p{pipeline}": Shape(connections, pipeline, size_bytes)
    for connections, (payload, size_bytes), pipeline in itertools.product(
        (1, 100, 1000), PAYLOADS.items(), (1, 16)
    )
}

clock = RunClock()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Start an embedded server; it and this process have a core each, if there are two."""
    own_core, server_core = two_cores()
    with EmbeddedServer() as embedded:
        if own_core is None or server_core is None:
            yield embedded.address
            return
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(embedded.pid, {server_core})
        os.sched_setaffinity(0, {own_core})
        yield embedded.address
        os.sched_setaffinity(0, cores)


@pytest.mark.benchmark(timer=clock)
@pytest.mark.parametrize("backend", backends.available())
@pytest.mark.parametrize("shape", SHAPES)
def test_round_trips(
    benchmark: BenchmarkFixture, loadrun: LoadRun, server: str, shape: str, backend: str
) -> None:
    plan = plan_of(SHAPES[shape], backend, server)
    if not benchmark.enabled:
        plan = msgspec.structs.replace(plan, warmup_s=0, duration_s=None, messages=plan.pipeline)
    benchmark.group = f"a message of a run, {shape} (connections, payload, pipeline)"

    def run() -> RunRecord:
        record = loadrun(plan)
        assert record.actual.messages > 0
        if benchmark.enabled:
            clock.advance(1 / record.actual.messages_per_s)
        return record

    try:
        in_rounds(benchmark, run, rounds=ROUNDS)
    except LocalLimitError as limit:
        pytest.skip(str(limit))
    for record in loadrun.records:
        actual = record.actual
        assert (record.outcome, record.failures) == ("completed", [])
        assert actual.connections == plan.connections
        assert actual.submitted == actual.warmup_messages + actual.messages


def plan_of(shape: Shape, backend: str, server: str) -> Plan:
    """Return the plan of one run; skip the test if too much would be in flight."""
    in_flight_bytes = shape.connections * shape.pipeline * shape.size_bytes
    if in_flight_bytes > MOST_IN_FLIGHT_BYTES:
        pytest.skip(
            f"{format_bytes(in_flight_bytes)} in flight would measure memory; "
            f"{format_bytes(MOST_IN_FLIGHT_BYTES)} is the most here"
        )
    return Plan(
        target=server,
        connections=shape.connections,
        payloads=(SizePayload(shape.size_bytes),),
        pipeline=shape.pipeline,
        backend=backend,
        warmup_s=WARMUP_S,
        duration_s=DURATION_S,
        drain_s=DRAIN_S,
    )
