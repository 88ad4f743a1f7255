"""What a plan says about the load over time, and about where its times come from."""

import itertools
import math
from typing import Any

import msgspec
import pytest

from loadgen.errors import UsageError
from loadgen.net import pacing
from loadgen.plan.arrivals import ARRIVALS
from loadgen.plan.load import DEFAULT_DURATION_S
from loadgen.plan.plan import TIMESTAMPS, Plan
from loadgen.plan.profile import Profile

OPEN_LOOPS: dict[str, Any] = {
    "--rate": {"rate": 5000.0},
    "--rate-per-conn": {"rate_per_connection": "5k"},
    "--stages": {"stages": "10s:5k"},
}


def refusal_of(**values: Any) -> str:
    with pytest.raises(UsageError) as refusal:
        Plan(**values)
    return str(refusal.value)


class TestProfile:
    def test_of_a_closed_loop_is_none(self) -> None:
        assert Plan().profile() is None
        assert Plan(think="10ms").profile() is None

    @pytest.mark.parametrize("rate", [5000, 5000.0, "5k", "5000/s"])
    def test_of_a_rate(self, rate: float | str) -> None:
        assert Plan(rate=rate).profile() == Profile.constant(5000)

    def test_of_a_rate_per_connection_is_that_of_all(self) -> None:
        assert Plan(rate_per_connection="5", connections=200).profile() == Profile.constant(1000)
        ramp = Plan(rate_per_connection="0..5/10s", connections=200).profile()
        assert ramp == Profile.parse_rate("0..1000/10s")

    def test_of_stages(self) -> None:
        assert Plan(stages="10s:5k,5s:0").profile() == Profile.parse_stages("10s:5k,5s:0")

    def test_begins_after_a_warm_up_at_its_first_rate(self) -> None:
        profile = Plan(rate="1k..5k/10s", warmup_s=2.0).profile_with_warmup()
        assert profile is not None
        assert [profile.rate_at_s(at_s) for at_s in (0, 1, 2, 7, 12)] == [
            1000,
            1000,
            1000,
            3000,
            5000,
        ]
        assert Plan(warmup_s=2.0).profile_with_warmup() is None

    @pytest.mark.parametrize("pair", [*itertools.combinations(OPEN_LOOPS, 2)], ids=" ".join)
    def test_is_given_in_one_way_only(self, pair: tuple[str, str]) -> None:
        refusal = refusal_of(**OPEN_LOOPS[pair[0]], **OPEN_LOOPS[pair[1]])
        assert refusal == f"{pair[0]} and {pair[1]} both say how much to send; give one"


class TestDuration:
    def test_is_that_of_a_ramp_or_of_stages_unless_another_is_given(self) -> None:
        assert Plan(rate="0..5k/30s").duration_s == 30
        assert Plan(rate_per_connection="0..5/7s").duration_s == 7
        assert Plan(stages="10s:5k,500ms:0").duration_s == 10.5
        assert Plan(stages="10s:5k", duration_s=60.0).duration_s == 60
        assert Plan(stages="10s:5k", messages=9).duration_s is None

    def test_of_a_constant_rate_is_the_usual_one(self) -> None:
        assert Plan(rate=5).duration_s == DEFAULT_DURATION_S

    def test_does_not_hold_the_warm_up(self) -> None:
        assert Plan(stages="0s:5k,10s:5k", warmup_s=3.0).duration_s == 10


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        ({"rate": "fast"}, "--rate: 'fast' is not accepted; write a number per second"),
        ({"rate": "0..5k"}, "--rate: '0..5k' is not accepted; write a number per second"),
        ({"rate": 0}, "--rate: 0 is not accepted; the rate must be above 0"),
        ({"rate": math.nan}, "--rate: nan is not accepted; a rate is"),
        ({"rate": "2g"}, "--rate: '2g' is not accepted; a rate is 0, or from"),
        ({"rate_per_connection": "fast"}, "--rate-per-conn: 'fast' is not accepted; write"),
        ({"rate_per_connection": 0}, "--rate-per-conn: 0 is not accepted; the rate must be above"),
        ({"rate_per_connection": "1g"}, "--rate-per-conn: '1 000 000 000/s times 100' is"),
        ({"stages": "10s"}, "--stages: '10s' is not accepted; write duration:rate"),
        ({"stages": "10s:5k,"}, "--stages: '' is not accepted; write duration:rate"),
        ({"stages": "10s:0"}, "--stages: '10s:0' is not accepted; the rate must be above 0"),
        ({"think": "long"}, "--think: 'long' is not accepted; write a duration such as 10ms"),
        ({"think": "0"}, "--think: '0' is not accepted; write a duration"),
        ({"seed": -1}, "--seed: -1 is not accepted; give a whole number from 0 to 2^63 - 1"),
        ({"seed": 2**63}, f"--seed: {2**63} is not accepted; give a whole number"),
        ({"pacing": "lazy"}, "--pacing: 'lazy' is not accepted; choose one of eco, normal"),
        (
            {"timestamps": "mine"},
            "--timestamps: 'mine' is not accepted; choose one of auto, kernel",
        ),
        ({"arrivals": "odd", "rate": 5}, "--arrivals: 'odd' is not accepted; choose one of const"),
        ({"timestamp_sample": 0}, "--timestamp-sample: 0 is not accepted; it must be 1 or more"),
        (
            {"timestamp_sample": 10**7},
            "--timestamp-sample: 10000000 is not accepted; it must be at",
        ),
        ({"warmup_s": -1.0}, "--warmup: -1.0 is not accepted; "),
        ({"warmup_s": math.inf}, "--warmup: inf is not accepted; "),
        ({"rate": True}, "--rate: Expected"),
        ({"rate_per_connection": b"5"}, "--rate-per-conn: Expected"),
        ({"unlimited": 1}, "--open: Expected"),
        ({"checks": "errors<1"}, "--check: Expected"),
        ({"probe": 1}, "--probe: Expected"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_with_its_option_and_what_can(
    values: dict[str, Any], refusal: str
) -> None:
    assert refusal_of(**values).startswith(refusal)


@pytest.mark.parametrize("option", OPEN_LOOPS)
def test_an_open_loop_leaves_no_time_to_think(option: str) -> None:
    refusal = refusal_of(think="10ms", **OPEN_LOOPS[option])
    assert refusal.startswith("--think is a pause of a closed loop")
    assert refusal.endswith(option)


@pytest.mark.parametrize(
    ("values", "option"), [({"unlimited": True}, "--open"), ({"arrivals": "poisson"}, "--arrivals")]
)
def test_without_a_schedule_there_is_nothing_to_send_on_time(
    values: dict[str, Any], option: str
) -> None:
    refusal = refusal_of(**values)
    assert refusal.startswith(f"{option} ")
    assert "--rate" in refusal
    for loop in OPEN_LOOPS.values():
        assert Plan(**values, **loop).profile() is not None


def test_a_warm_up_needs_a_rate_to_run_at() -> None:
    assert refusal_of(warmup_s=1.0, stages="10s:5k").startswith("--warmup runs at the rate")
    assert refusal_of(warmup_s=1.0, rate="0..5k/10s").startswith("--warmup runs at the rate")
    assert Plan(warmup_s=1.0, stages="0s:1k,10s:5k").warmup_s == 1


def test_a_warm_up_would_use_up_a_number_of_messages() -> None:
    assert refusal_of(warmup_s=1.0, messages=5).startswith("--warmup would use up")


@pytest.mark.parametrize(
    ("field", "values"),
    [("arrivals", ARRIVALS), ("pacing", pacing.NAMES), ("timestamps", TIMESTAMPS)],
)
def test_every_name_may_be_planned(field: str, values: tuple[str, ...]) -> None:
    for value in values:
        plan = Plan(rate=5, **{field: value})  # type: ignore[arg-type]
        assert getattr(plan, field) == value


@pytest.mark.parametrize(
    "plan",
    [
        Plan(rate="0..50k/30s", arrivals="poisson", unlimited=True, seed=7, warmup_s=0.0),
        Plan(rate_per_connection=2.5, pacing="precise", timestamps="user", probe=False),
        Plan(stages="0s:1k,10s:5k", warmup_s=2.5, timestamp_sample=10),
        Plan(think="exp:10ms", checks=("service_p99<5ms", "errors<0.1%"), probe=True),
    ],
    ids=range(4),
)
def test_survives_json(plan: Plan) -> None:
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
