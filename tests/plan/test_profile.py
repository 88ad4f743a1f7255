import itertools
import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from loadgen.errors import UsageError
from loadgen.plan.arrivals import (
    ARRIVALS,
    CHUNK,
    Arrivals,
    arrivals,
)
from loadgen.plan.profile import Integers, Profile, RateStage
from loadgen.plan.think_time import ThinkTime
from loadgen.units import NS_PER_S

HOUR_S = 3600


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def taken(times: Iterator[int], count: int) -> list[int]:
    return list(itertools.islice(times, count))


def relative_variance(gaps: Integers) -> float:
    return float(gaps.var() / gaps.mean() ** 2)


class TestRates:
    @pytest.mark.parametrize("rate", [5000, 5000.0, "5000", "5k", " 5k/s ", "5 K/s"])
    def test_stay_the_same_for_ever(self, rate: str | float) -> None:
        profile = Profile.parse_rate(rate)
        assert profile == Profile.constant(5000)
        assert profile.duration_s == 0.0
        assert profile.peak_per_s == 5000
        assert [profile.rate_at_s(at_s) for at_s in (-1, 0, 1, 1e6)] == [5000] * 4
        assert [profile.expected_by_s(at_s) for at_s in (-1, 0, 0.5, 1e6)] == [0, 0, 2500, 5e9]
        assert profile.mean_per_s(7, 11) == 5000

    def test_climb_a_ramp_and_stay_there(self) -> None:
        profile = Profile.parse_rate("0..50k/30s")
        assert profile == Profile.parse_stages("30s:50k")
        assert profile.duration_s == 30.0
        assert profile.peak_per_s == 50_000
        assert [profile.rate_at_s(at_s) for at_s in (0, 15, 30, 99)] == [0, 25_000, 50_000, 50_000]
        assert profile.expected_by_s(15) == 187_500
        assert profile.expected_by_s(30) == 750_000
        assert profile.expected_by_s(31) == 800_000
        assert profile.mean_per_s(0, 30) == 25_000

    def test_may_fall_from_the_first(self) -> None:
        profile = Profile.parse_rate("2k..500/s/1m")
        assert profile == Profile(2000.0, (RateStage(60.0, 500.0),))
        assert profile.peak_per_s == 2000
        assert profile.rate_at_s(20) == 1500

    def test_of_each_connection_make_the_rate_of_all(self) -> None:
        assert Profile.constant(2.5).scaled(200) == Profile.constant(500)
        assert Profile.parse_rate("1..3/9s").scaled(10) == Profile.parse_rate("10..30/9s")
        assert Profile.parse_stages("1s:5,2s:0").scaled(3) == Profile.parse_stages("1s:15,2s:0")


class TestStages:
    def test_move_from_target_to_target(self) -> None:
        profile = Profile.parse_stages("10s:5k, 20s:50k, 10s:0")
        assert profile.duration_s == 40.0
        assert profile.peak_per_s == 50_000
        rates = [profile.rate_at_s(at_s) for at_s in (0, 5, 10, 20, 30, 35, 40, 41)]
        assert rates == [0, 2500, 5000, 27_500, 50_000, 25_000, 0, 0]
        counts = [profile.expected_by_s(at_s) for at_s in (10, 30, 40, 99)]
        assert counts == [25_000, 575_000, 825_000, 825_000]
        assert profile.mean_per_s(10, 30) == 27_500

    def test_of_no_length_jump(self) -> None:
        profile = Profile.parse_stages("0s:5k,20s:5k,0s:100,10s:100")
        assert profile.duration_s == 30.0
        assert [profile.rate_at_s(at_s) for at_s in (0, 19.9, 20, 31)] == [5000, 5000, 100, 100]
        assert profile.expected_by_s(30) == 101_000

    def test_jump_where_they_end_too(self) -> None:
        profile = Profile.parse_stages("10s:0,0s:8")
        assert [profile.expected_by_s(at_s) for at_s in (10, 11)] == [0, 8]


RATE_FORMS = "write a number per second such as 500, 2.5k or 1m, or a ramp such as 0..50k/30s"
STAGE_FORMS = "write duration:rate, separated by commas, such as 10s:5k,20s:50k,10s:0"


class TestRefusals:
    @pytest.mark.parametrize(
        "rate",
        ["", "fast", "-5", "nan", "inf", "5k/m", "1..", "..5/3s", "0..5k", "0..5k/x", "5:3", "1e3"],
    )
    def test_name_the_forms_of_a_rate(self, rate: str) -> None:
        with pytest.raises(UsageError) as refusal:
            Profile.parse_rate(rate)
        assert str(refusal.value) == f"--rate: {rate!r} is not accepted; {RATE_FORMS}"

    @pytest.mark.parametrize(
        "rate", [-1, float("nan"), float("inf"), 1e-7, 2e9, "2000m", "9" * 400]
    )
    def test_name_the_range_of_a_rate(self, rate: str | float) -> None:
        with pytest.raises(UsageError, match=r"--rate: .* a rate is 0, or from 0\.000001 to 1000m"):
            Profile.parse_rate(rate)

    @pytest.mark.parametrize("rate", [0, 0.0, "0", "0/s", "0..0/10s"])
    def test_are_due_to_a_rate_that_is_always_0(self, rate: str | float) -> None:
        with pytest.raises(UsageError, match=r"--rate: .* the rate must be above 0 for some time"):
            Profile.parse_rate(rate)

    @pytest.mark.parametrize(
        ("stages", "wrong"),
        [
            ("", ""),
            ("10s", "10s"),
            ("10s:5k,", ""),
            ("10s:5k,20s:-5", "20s:-5"),
            ("-10s:5k", "-10s:5k"),
            ("10s:5k,x:5k,10s:0", "x:5k"),
            ("5k:10s", "5k:10s"),
            ("10s:5k 20s:5k", "10s:5k 20s:5k"),
        ],
    )
    def test_name_the_stage_that_is_wrong(self, stages: str, wrong: str) -> None:
        with pytest.raises(UsageError) as refusal:
            Profile.parse_stages(stages)
        assert str(refusal.value) == f"--stages: {wrong!r} is not accepted; {STAGE_FORMS}"

    @pytest.mark.parametrize(
        ("stages", "why"),
        [
            ("10s:0", "above 0 for some time"),
            ("10s:0,0s:5k,0s:0,10s:0", "above 0 for some time"),
            ("0s:5k", "more than 0 s in all"),
            ("9000h:5k", "at most 8760h"),
            ("10s:2000m", "from 0.000001 to 1000m per second"),
        ],
    )
    def test_say_what_is_wrong_with_the_stages_together(self, stages: str, why: str) -> None:
        with pytest.raises(UsageError) as refusal:
            Profile.parse_stages(stages)
        assert str(refusal.value).startswith(f"--stages: {stages!r} is not accepted")
        assert why in str(refusal.value)

    @pytest.mark.parametrize("factor", [0, -1, float("nan"), 1e9])
    def test_are_due_to_a_factor_that_leaves_the_range(self, factor: float) -> None:
        with pytest.raises(UsageError, match=r"^--rate-per-conn: '5/s times "):
            Profile.constant(5).scaled(factor)

    def test_of_a_stage_back_in_time(self) -> None:
        with pytest.raises(ValueError, match="more than 0 s in all"):
            Profile(5.0, (RateStage(10.0, 5.0), RateStage(-1.0, 5.0)))

    def test_of_arrivals_of_another_kind(self) -> None:
        with pytest.raises(UsageError, match=r"--arrivals: 'bursts' .* constant, poisson, uniform"):
            arrivals(Profile.constant(5), "bursts", seed=1)


class TestWords:
    @pytest.mark.parametrize(
        ("profile", "words"),
        [
            (Profile.constant(5000), "5 000/s"),
            (Profile.constant(0.25), "0.25/s"),
            (Profile.constant(1234.5), "1 234/s"),
            (Profile.parse_rate("0..50k/30s"), "0 to 50 000/s within 30 s"),
            (Profile.parse_rate("5k..0/500ms"), "5 000 to 0 within 500 ms"),
            (
                Profile.parse_stages("10s:5k,20s:50k,10s:0"),
                "10 s to 5 000/s, 20 s to 50 000/s, 10 s to 0",
            ),
            (Profile.parse_stages("0s:5k,20s:5k"), "at once to 5 000/s, 20 s at 5 000/s"),
        ],
    )
    def test_say_what_was_asked(self, profile: Profile, words: str) -> None:
        assert plain(profile.describe()) == words


rates = st.just(0.0) | st.floats(0.01, 1e6)
durations = st.just(0.0) | st.floats(0.001, 1000)
stages = st.lists(st.builds(RateStage, durations, rates), max_size=5).map(tuple)


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    try:
        return Profile(draw(rates), draw(stages))
    except ValueError:
        reject()


class TestInverse:
    @given(profiles(), st.lists(st.floats(0, 1), min_size=1))
    def test_of_the_integral_leads_back_to_the_count(
        self, profile: Profile, shares: list[float]
    ) -> None:
        total = profile.expected_by_s(profile.duration_s + 10)
        counts = np.array(shares) * total * 0.999
        times_ns = profile.times_ns(counts)
        assert times_ns.shape == counts.shape
        for count, time_ns in zip(counts.tolist(), times_ns.tolist(), strict=True):
            # Half a nanosecond and the last digits of a float, as messages.
            slack = profile.peak_per_s * 1e-9 + 1e-9 * total
            assert profile.expected_by_s(time_ns / NS_PER_S) == pytest.approx(count, abs=slack)

    def test_waits_where_nothing_is_due(self) -> None:
        profile = Profile.parse_stages("0s:2,2s:2,0s:0,8s:0,0s:1,3s:1")
        times_ns = profile.times_ns(np.arange(6.0))
        assert times_ns.tolist() == [0, 5 * 10**8, 10**9, 15 * 10**8, 10 * 10**9, 11 * 10**9]

    def test_starts_at_once_where_the_rate_rises_from_0(self) -> None:
        profile = Profile.parse_rate("0..2/1s")
        expected = [0, NS_PER_S // 2, NS_PER_S, 2 * NS_PER_S]
        assert profile.times_ns(np.array([0.0, 0.25, 1.0, 3.0])).tolist() == expected

    def test_leaves_out_what_is_never_due(self) -> None:
        falling = Profile.parse_rate("10..0/2s")
        assert falling.expected_by_s(99) == 10
        assert len(falling.times_ns(np.array([0.0, 9.99, 10.0, 11.0]))) == 2
        assert len(Profile.constant(1e-6).times_ns(np.array([1.0, 1e6]))) == 1

    def test_is_found_to_the_very_end_of_a_load_that_fades_away(self) -> None:
        # Here the term under the root comes out below 0.
        profile = Profile(234.25485687892194, (RateStage(3603.7158173888497, 0.0),))
        last = np.nextafter(profile.expected_by_s(9999), 0)
        (time_ns,) = profile.times_ns(np.array([last])).tolist()
        assert time_ns == pytest.approx(profile.duration_s * NS_PER_S)

    def test_keeps_its_precision_where_a_ramp_is_all_but_flat(self) -> None:
        steep, flat = Profile.parse_rate("100k..100000.001/1h"), Profile.constant(100_000)
        counts = np.arange(0.0, 3.6e8, 1e7)
        assert np.abs(steep.times_ns(counts) - flat.times_ns(counts)).max() < 20_000
        (middle_ns,) = steep.times_ns(np.array([steep.expected_by_s(1800)])).tolist()
        assert middle_ns == pytest.approx(1800 * NS_PER_S, abs=1)


class TestArrivals:
    @given(profiles(), st.sampled_from(ARRIVALS), st.integers(0, 2**64))
    def test_come_in_order_at_the_times_of_the_profile(
        self, profile: Profile, kind: str, seed: int
    ) -> None:
        times_ns = taken(arrivals(profile, kind, seed), 3000)
        assert all(isinstance(time_ns, int) for time_ns in times_ns[:3])
        assert times_ns == sorted(times_ns)
        if times_ns:
            assert times_ns[0] >= 0
            # Six standard deviations of a Poisson count.
            due = profile.expected_by_s(times_ns[-1] / NS_PER_S)
            assert abs(len(times_ns) - due) <= 6 * max(due, 1) ** 0.5 + 10

    @given(profiles())
    def test_on_an_even_grid_are_as_many_as_are_due(self, profile: Profile) -> None:
        times_ns = taken(arrivals(profile, "constant", seed=1), 400)
        for count, time_ns in enumerate(times_ns):
            due = profile.expected_by_s(time_ns / NS_PER_S)
            assert abs(due - count) < 1e-6 + profile.peak_per_s * 2e-9

    @pytest.mark.parametrize("kind", ARRIVALS)
    def test_depend_on_the_profile_and_the_seed_alone(self, kind: str) -> None:
        profile = Profile.parse_rate("1k..9k/1s")
        first = taken(arrivals(profile, kind, seed=7), 5000)
        assert taken(arrivals(profile, kind, seed=7), 5000) == first
        assert (taken(arrivals(profile, kind, seed=8), 5000) == first) == (kind == "constant")

    @pytest.mark.parametrize("kind", ARRIVALS)
    def test_go_on_for_ever_at_a_rate_that_holds(self, kind: str) -> None:
        times_ns = taken(arrivals(Profile.parse_stages("1s:10"), kind, seed=1), 5 * CHUNK)
        assert len(times_ns) == 5 * CHUNK
        assert times_ns[-1] == pytest.approx(CHUNK // 2 * NS_PER_S, rel=0.1)

    @pytest.mark.parametrize(
        ("stages", "count"),
        [
            ("0s:5k,2s:5k,0s:0", 10_000),
            ("2s:5k,2s:0", 10_000),
            ("1s:16,1s:0", 16),
            ("1s:1,0s:0", 1),
        ],
    )
    def test_end_with_the_load(self, stages: str, count: int) -> None:
        profile = Profile.parse_stages(stages)
        even_ns = list(arrivals(profile, "constant", seed=1))
        assert len(even_ns) == count
        assert even_ns[-1] <= profile.duration_s * NS_PER_S
        random_ns = list(arrivals(profile, "poisson", seed=1))
        assert abs(len(random_ns) - count) <= 6 * count**0.5
        assert max(random_ns, default=0) <= profile.duration_s * NS_PER_S

    @pytest.mark.parametrize(("rate", "duration_s"), [(10, 1.1), (30, 1.1), (7, 0.3), (3, 100.1)])
    def test_that_end_on_the_grid_are_not_one_too_many(self, rate: int, duration_s: float) -> None:
        """Rounding may put the end of the stage a hair behind the message that is due there."""
        profile = Profile.parse_stages(f"0s:{rate},{duration_s}s:{rate},0s:0,1s:0")
        count = math.ceil(Fraction(str(duration_s)) * rate)
        assert len(list(arrivals(profile, "constant", seed=1))) == count

    @given(profiles(), st.sampled_from(ARRIVALS), st.lists(st.integers(0, 10**10), max_size=3))
    def test_are_handed_out_in_portions_each_before_its_end(
        self, profile: Profile, kind: str, ends_ns: list[int]
    ) -> None:
        times_ns = taken(arrivals(profile, kind, seed=1), 3000)
        if times_ns:  # an end on the very moment of a message
            ends_ns = [*ends_ns, times_ns[len(times_ns) // 2]]
        source, portions = Arrivals(profile, kind, seed=1), list[int]()
        for end_ns in sorted(ends_ns):
            portion = taken(source.until(end_ns), 3000 - len(portions))
            assert all(time_ns < end_ns for time_ns in portion)
            portions += portion
            assert portions == [time_ns for time_ns in times_ns if time_ns < end_ns]
        rest = taken(source.until(None), 3000 - len(portions))
        assert portions + rest == times_ns

    def test_on_an_even_grid_never_drift(self) -> None:
        profile = Profile.constant(100_000)
        k = np.arange(CHUNK) + HOUR_S * 100_000
        assert (profile.times_ns(k.astype(float)) == k * 10_000).all()
        assert taken(arrivals(profile, "constant", seed=1), 9000) == list(
            range(0, 90_000_000, 10_000)
        )

    def test_between_nanoseconds_are_rounded_each_by_itself(self) -> None:
        times_ns = taken(arrivals(Profile.constant(3), "constant", seed=1), 9001)
        assert times_ns == [round(k * NS_PER_S / 3) for k in range(9001)]

    def test_of_a_poisson_process_forget_the_past(self) -> None:
        times_ns = taken(arrivals(Profile.constant(10_000), "poisson", seed=1), 100_000)
        gaps = np.diff(times_ns, prepend=0)
        assert gaps.mean() == pytest.approx(100_000, rel=0.01)
        assert relative_variance(gaps) == pytest.approx(1, rel=0.03)
        assert np.corrcoef(gaps[:-1], gaps[1:])[0, 1] == pytest.approx(0, abs=0.01)

    def test_of_a_poisson_process_follow_a_ramp(self) -> None:
        profile = Profile.parse_rate("0..20k/10s")
        times_s = np.array(taken(arrivals(profile, "poisson", seed=1), 100_000)) / NS_PER_S
        counts = np.histogram(times_s, bins=np.arange(10))[0]
        due = np.array([profile.expected_by_s(second) for second in range(10)])
        # For each second, within five standard deviations of a Poisson count.
        assert (np.abs(counts - np.diff(due)) < 5 * np.sqrt(np.diff(due))).all()

    def test_of_uniform_gaps_keep_them_below_twice_the_mean(self) -> None:
        times_ns = taken(arrivals(Profile.constant(10_000), "uniform", seed=1), 100_000)
        gaps = np.diff(times_ns, prepend=0)
        assert gaps.mean() == pytest.approx(100_000, rel=0.01)
        assert 0 <= gaps.min() < 1000
        assert 199_000 < gaps.max() <= 200_000
        assert relative_variance(gaps) == pytest.approx(1 / 3, rel=0.03)


class TestThinkTime:
    def test_is_the_same_each_time(self) -> None:
        think = ThinkTime.parse("10ms")
        assert think == ThinkTime(10_000_000)
        assert taken(think.draws(seed=1), 3) == [10_000_000] * 3
        assert think.describe() == "10 ms"

    def test_is_random_with_its_mean(self) -> None:
        think = ThinkTime.parse("exp:10ms")
        assert think == ThinkTime(10_000_000, "exponential")
        draws_ns = taken(think.draws(seed=1), 100_000)
        assert all(isinstance(draw_ns, int) for draw_ns in draws_ns[:3])
        assert np.mean(draws_ns) == pytest.approx(10_000_000, rel=0.01)
        assert relative_variance(np.array(draws_ns)) == pytest.approx(1, rel=0.03)
        assert min(draws_ns) >= 0
        assert think.describe() == "10 ms on average, exponential"

    def test_depends_on_the_seed_alone(self) -> None:
        think = ThinkTime.parse("exp:10ms")
        first = taken(think.draws(seed=7), 1000)
        assert taken(think.draws(seed=7), 1000) == first
        assert taken(think.draws(seed=8), 1000) != first

    @pytest.mark.parametrize(
        "text",
        ["", "0", "0ms", "-1s", "nan", "exp", "exp:", "exp:0", "uni:5ms", "9000h", "9" * 400],
    )
    def test_of_another_form_is_refused(self, text: str) -> None:
        with pytest.raises(UsageError) as refusal:
            ThinkTime.parse(text)
        assert str(refusal.value).startswith(f"--think: {text!r} is not accepted; write a duration")
