import math
import statistics

import pytest

from loadgen.errors import UsageError
from loadgen.server.delays import (
    NO_DELAY,
    Delay,
    FixedDelay,
    LognormalDelay,
    MixedDelay,
    Peak,
    parse_delay,
)

MS = 1_000_000


def drawn(delay: Delay, count: int, seed: int = 7) -> list[int]:
    draw = delay.sampler(seed)
    return [draw() for _ in range(count)]


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        ("1ms", FixedDelay(MS)),
        ("0", NO_DELAY),
        ("1.5", FixedDelay(1500 * MS)),
        ("lognormal:1ms,0.5", LognormalDelay(MS, 0.5)),
        (" Lognormal:2ms, 1 ", LognormalDelay(2 * MS, 1.0)),
        ("99%:200us,1%:20ms", MixedDelay((Peak(99.0, 200_000), Peak(1.0, 20 * MS)))),
        ("100%:1ms", MixedDelay((Peak(100.0, MS),))),
        ("33.3%:0, 66.7%:1ms", MixedDelay((Peak(33.3, 0), Peak(66.7, MS)))),
    ],
)
def test_every_form_is_read(text: str, delay: Delay) -> None:
    assert parse_delay(text) == delay


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("later", ["'later'", "10ms", "lognormal:1ms,0.5", "99%:200us,1%:20ms"]),
        ("", ["''", "10ms"]),
        ("-1ms", ["'-1ms'", "10ms"]),
        ("25h", ["90000 s", "24h"]),
        ("9" * 400, ["10ms"]),
        ("lognormal:1ms", ["'lognormal:1ms'", "MEDIAN,SIGMA"]),
        ("lognormal:1ms,wide", ["wide", "MEDIAN,SIGMA"]),
        ("lognormal:soon,0.5", ["soon", "10ms"]),
        ("lognormal:0,0.5", ["0 ns", "median above 0"]),
        ("lognormal:1ms,-0.5", ["-0.5", "sigma from 0 to 5"]),
        ("lognormal:1ms,nan", ["nan", "sigma from 0 to 5"]),
        ("99%:200us", ["99 %", "100 %"]),
        ("60%:1ms,60%:2ms", ["120 %", "100 %"]),
        ("0%:1ms,100%:2ms", ["0%", "above 0 %"]),
        ("99%:200us,20ms", ["PERCENT%:DURATION"]),
        ("99%:200us,1%:soon", ["soon", "10ms"]),
        ("-1%:200us,101%:1ms", ["PERCENT%:DURATION"]),
    ],
)
def test_what_is_no_delay_is_refused_with_the_reason(text: str, parts: list[str]) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_delay(text)
    assert str(refusal.value).startswith("--delay")
    assert "\n" not in str(refusal.value)
    for part in parts:
        assert part in str(refusal.value)


def test_a_fixed_delay_is_always_the_same() -> None:
    assert drawn(FixedDelay(MS), 3) == [MS] * 3


def test_a_lognormal_delay_has_its_median_and_its_spread() -> None:
    delays_ns = drawn(LognormalDelay(MS, 0.5), 20_000)
    assert statistics.median(delays_ns) == pytest.approx(MS, rel=0.03)
    assert statistics.stdev(map(math.log, delays_ns)) == pytest.approx(0.5, rel=0.03)
    p99_ns = statistics.quantiles(delays_ns, n=100)[98]
    assert p99_ns == pytest.approx(MS * math.exp(2.326 * 0.5), rel=0.1)


def test_a_lognormal_delay_without_spread_is_fixed() -> None:
    assert drawn(LognormalDelay(MS, 0.0), 3) == [MS] * 3


def test_peaks_have_their_shares() -> None:
    mixed = parse_delay("90%:200us,9%:2ms,1%:20ms")
    delays_ns = drawn(mixed, 50_000)
    shares = {delay_ns: delays_ns.count(delay_ns) / len(delays_ns) for delay_ns in set(delays_ns)}
    assert shares == {
        200_000: pytest.approx(0.9, abs=0.01),
        2 * MS: pytest.approx(0.09, abs=0.01),
        20 * MS: pytest.approx(0.01, abs=0.003),
    }


@pytest.mark.parametrize("text", ["lognormal:1ms,0.5", "50%:1ms,50%:2ms"])
def test_a_seed_is_a_sequence(text: str) -> None:
    delay = parse_delay(text)
    assert drawn(delay, 100, seed=1) == drawn(delay, 100, seed=1)
    assert drawn(delay, 100, seed=1) != drawn(delay, 100, seed=2)
