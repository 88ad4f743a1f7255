"""What loadgen itself costs, piece by piece: seconds for one message, value or line.

pytest bench/test_costs.py
"""

from itertools import islice
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.pairs import CONNECTIONS, PairedEngine
from bench.timers import each_of, in_rounds
from bench.ways import NATIVE
from loadgen import Histogram, LocalLimitError, Plan, SizePayload
from loadgen.cli import run_options
from loadgen.engine.choice import resolve
from loadgen.engine.recorder import ROWS, Recorder
from loadgen.net import backends, protocols
from loadgen.net.clock import WallClock, monotonic_ns, wall_ns
from loadgen.plan import profile as schedule
from loadgen.plan.arrivals import arrivals
from loadgen.results.distribution import Distribution
from loadgen.results.interval_packer import IntervalPacker
from loadgen.results.intervals import KINDS, NUMBERS, IntervalRecord

REPLIES = 1000
ARRIVALS = 20_000
VALUES = 100_000
TURNS = 300
WARM_UP_TURNS = 10

STREAMS = {
    "echo": b"x" * 64,
    "fixed:64": b"x" * 64,
    r"delimiter:\r\n": b"x" * 62 + b"\r\n",
    "length:u32be": (60).to_bytes(4, "big") + b"x" * 60,
}
"""A reply of 64 bytes in each form that can be fed for ever."""

PROFILES = {
    "even": (schedule.Profile.constant(50_000), "constant"),
    "poisson": (schedule.Profile.constant(50_000), "poisson"),
    "uniform": (schedule.Profile.constant(50_000), "uniform"),
    "ramp": (schedule.Profile.parse_rate("0..50k/30s"), "poisson"),
}

COMMAND_LINE = [
    *("10.0.0.5:9999", "-c", "1000", "--pipeline", "4", "--warmup", "2s"),
    *("--stages", "0s:1k,10s:20k", "--arrivals", "poisson"),
    *("--payload", r"PING\r\n", "--reply", r"delimiter:\r\n"),
]


@each_of(CONNECTIONS, "a message in the engine, over a socketpair")
@pytest.mark.parametrize("backend", backends.available())
def test_turn(benchmark: BenchmarkFixture, backend: str) -> None:
    take_turns(benchmark, PairedEngine(backend))


@each_of(CONNECTIONS, "a message in the engine, over a socketpair")
@pytest.mark.parametrize("backend", backends.available())
def test_native_turn(benchmark: BenchmarkFixture, backend: str) -> None:
    try:
        resolve(NATIVE, backend)
    except LocalLimitError as limit:
        pytest.skip(str(limit))
    take_turns(benchmark, PairedEngine(backend, NATIVE))


def take_turns(benchmark: BenchmarkFixture, paired: PairedEngine) -> None:
    with paired as pairs:
        before = pairs.engine.pool.totals().answered
        # The far ends answer between the rounds, where no time is taken.
        in_rounds(
            benchmark,
            lambda: pairs.engine.turn(0),
            setup=pairs.answer,
            rounds=TURNS,
            warmup_rounds=WARM_UP_TURNS,
        )
        answered = pairs.engine.pool.totals().answered - before
    assert answered == CONNECTIONS * (TURNS + WARM_UP_TURNS if benchmark.enabled else 1)


@each_of(REPLIES, "a reply found, by framing")
@pytest.mark.parametrize("reads", ["one-by-one", "all-at-once"])
@pytest.mark.parametrize("form", STREAMS)
def test_framing(benchmark: BenchmarkFixture, form: str, reads: str) -> None:
    decoder, reply = protocols.parse(form).decoder(), STREAMS[form]
    together = 1 if reads == "one-by-one" else 16
    batch, lengths = bytes(len(reply)) * together, (len(reply),) * together
    view = memoryview(reply * together)

    def feed() -> int:
        whole = 0
        while whole < REPLIES:
            decoder.expect(batch, lengths)
            whole += decoder.feed(view)
        return whole

    assert REPLIES <= benchmark(feed) < REPLIES + together
    assert not decoder.partial


@each_of(ROWS, "a reply recorded")
@pytest.mark.parametrize("arrival", ["read", "stamped"])
def test_recorder(benchmark: BenchmarkFixture, arrival: str) -> None:
    wall_clock = WallClock(monotonic_ns, wall_ns)
    recorder = Recorder(1000, wall_clock if arrival == "stamped" else None)
    read_ns = monotonic_ns()
    sent_ns, stamp_ns = read_ns - 300_000, read_ns - 100_000 + wall_clock.offset_ns
    rows = [(number % 1000, 1, 0, sent_ns + number, stamp_ns, read_ns) for number in range(ROWS)]

    def record_all() -> None:
        for row in rows:
            recorder.record(row)
        recorder.end_turn(read_ns, read_ns)
        recorder.flush()

    benchmark(record_all)
    times = recorder.end_interval(0, read_ns).times
    assert times.user_space.count > 0
    assert times.user_space.count % ROWS == 0
    assert times.stamped == (times.user_space.count if arrival == "stamped" else 0)


@each_of(VALUES, "a value binned, of many")
def test_histogram(benchmark: BenchmarkFixture) -> None:
    values_ns = np.random.default_rng(1).lognormal(12, 1, VALUES).astype(np.int64)
    histogram = Histogram()
    benchmark(histogram.record, values_ns)
    assert histogram.count % VALUES == 0
    assert histogram.percentile(50) == pytest.approx(float(np.median(values_ns)), rel=0.01)


@pytest.mark.benchmark(group="an interval that ends, while the loop waits")
def test_interval(benchmark: BenchmarkFixture) -> None:
    random = np.random.default_rng(1)
    histograms = {kind: Histogram() for kind in KINDS}
    for histogram in histograms.values():
        histogram.record(random.lognormal(11, 1.5, 5000).astype(np.int64))
    packer = IntervalPacker()
    numbers: dict[str, Any] = dict.fromkeys(NUMBERS, 5000)

    def end() -> None:
        times: dict[str, Any] = {kind: Distribution.of(each) for kind, each in histograms.items()}
        packer.append(IntervalRecord(stage="loading", **numbers, **times))

    benchmark(end)
    assert len(histograms["service_time_ns"].buckets()[0]) > 500
    assert packer.packed()[0].service_time_ns.count == 5000


@each_of(ARRIVALS, "an intended time")
@pytest.mark.parametrize("spread", PROFILES)
def test_schedule(benchmark: BenchmarkFixture, spread: str) -> None:
    profile, kind = PROFILES[spread]
    times_ns = benchmark(lambda: list(islice(arrivals(profile, kind, 1), ARRIVALS)))
    assert len(times_ns) == ARRIVALS
    assert times_ns == sorted(times_ns)


@pytest.mark.benchmark(group="a plan")
class TestPlan:
    def test_from_words(self, benchmark: BenchmarkFixture) -> None:
        plan = benchmark(
            lambda: run_options.plan_of(run_options.new_parser().parse_args(COMMAND_LINE))
        )
        assert (plan.connections, plan.pipeline, plan.payloads) == (1000, 4, (b"PING\r\n",))

    def test_from_values(self, benchmark: BenchmarkFixture) -> None:
        plan = benchmark(
            lambda: Plan(target="10.0.0.5:9999", payloads=(SizePayload(64),), rate="50k")
        )
        assert plan.rate == "50k"
