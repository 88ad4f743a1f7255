import math
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.results.histogram import (
    BUCKETS,
    HIGHEST_NS,
    Histogram,
    bucket_middle,
    bucket_of,
)

# Every order of magnitude as likely as every other, as latencies are.
durations = st.integers(0, 42).flatmap(lambda bits: st.integers(0, 2**bits - 1))
beyond = st.integers(HIGHEST_NS + 1, 2**52)
samples = st.lists(durations, min_size=1, max_size=60)
PERCENTS = ("0", "0.1", "1", "25", "50", "90", "99", "99.9", "99.99", "100")


def histogram_of(values: Iterable[int]) -> Histogram:
    histogram = Histogram()
    histogram.record(list(values))
    return histogram


def merged(*parts: Histogram) -> Histogram:
    whole = Histogram()
    for part in parts:
        whole.merge(part)
    return whole


def figures(histogram: Histogram) -> tuple[object, ...]:
    """Everything that can be known of a histogram."""
    bounds = (histogram.min_ns, histogram.max_ns)
    return (histogram.count, histogram.sum_ns, histogram.overflow, bounds, histogram.buckets())


def nearest_rank(values: list[int], percent: str) -> int:
    rank = math.ceil(Fraction(percent) / 100 * len(values))
    return sorted(values)[max(rank, 1) - 1]


def middle_of(value: int) -> int:
    return int(bucket_middle(bucket_of(np.array([value])))[0])


class TestBuckets:
    @given(durations)
    def test_are_never_off_by_more_than_one_percent(self, value: int) -> None:
        assert abs(middle_of(value) - value) <= value / 100

    @given(st.integers(0, 127))
    def test_are_exact_for_small_values(self, value: int) -> None:
        assert middle_of(value) == value

    @given(durations, durations)
    def test_keep_the_order_of_values(self, one: int, other: int) -> None:
        low, high = bucket_of(np.array(sorted((one, other))))
        assert low <= high

    def test_follow_each_other_without_a_gap(self) -> None:
        every = np.arange(BUCKETS)
        assert (bucket_of(bucket_middle(every)) == every).all()

    def test_begin_a_new_one_at_every_power_of_two(self) -> None:
        powers = 2 ** np.arange(7, 42)
        assert (bucket_of(powers) == bucket_of(powers - 1) + 1).all()

    @given(beyond)
    def test_end_with_the_one_for_values_beyond_the_range(self, value: int) -> None:
        assert bucket_of(np.array([HIGHEST_NS, value])).tolist() == [BUCKETS - 1, BUCKETS]


class TestRecording:
    @given(samples)
    def test_keeps_count_sum_and_bounds_exactly(self, values: list[int]) -> None:
        histogram = histogram_of(values)
        assert histogram.count == len(values)
        assert histogram.sum_ns == sum(values)
        assert (histogram.min_ns, histogram.max_ns) == (min(values), max(values))
        assert histogram.mean_ns == sum(values) / len(values)

    @given(samples, samples)
    def test_twice_is_recording_all_at_once(self, first: list[int], second: list[int]) -> None:
        histogram = histogram_of(first)
        histogram.record(np.array(second))
        assert figures(histogram) == figures(histogram_of(first + second))

    @given(st.lists(st.tuples(durations, st.integers(1, 9)), min_size=1, max_size=30))
    def test_with_weights_is_recording_each_as_often(self, weighted: list[tuple[int, int]]) -> None:
        values, weights = zip(*weighted, strict=True)
        histogram = Histogram()
        histogram.record(np.array(values), np.array(weights))
        repeated = [value for value, weight in weighted for _ in range(weight)]
        assert figures(histogram) == figures(histogram_of(repeated))

    def test_nothing_changes_nothing(self) -> None:
        histogram = histogram_of([5])
        histogram.record([])
        assert figures(histogram) == figures(histogram_of([5]))

    @given(samples, st.integers(-(2**40), -1))
    def test_a_negative_value_raises_and_counts_nothing(
        self, values: list[int], negative: int
    ) -> None:
        histogram = Histogram()
        with pytest.raises(ValueError, match=f"{negative} ns"):
            histogram.record([*values, negative])
        assert figures(histogram) == figures(Histogram())

    @given(samples, st.lists(beyond, min_size=1))
    def test_counts_what_is_beyond_the_range_as_the_maximum(
        self, values: list[int], too_long: list[int]
    ) -> None:
        histogram = histogram_of(values + too_long)
        assert histogram.overflow == len(too_long)
        assert histogram.count == len(values) + len(too_long)
        assert histogram.sum_ns == sum(values) + sum(too_long)
        share = 100 * (len(values) + 1) / histogram.count
        assert histogram.percentile(share) == max(too_long)

    @given(samples)
    def test_fills_only_the_buckets_of_its_values(self, values: list[int]) -> None:
        buckets, counts = histogram_of(values).buckets()
        expected = Counter(bucket_of(np.array(values)).tolist())
        assert dict(zip(buckets, counts, strict=True)) == expected
        assert buckets == sorted(buckets)


class TestPercentiles:
    @given(samples, st.sampled_from(PERCENTS))
    def test_are_the_nearest_rank_within_one_percent(self, values: list[int], percent: str) -> None:
        exact = nearest_rank(values, percent)
        assert abs(histogram_of(values).percentile(float(percent)) - exact) <= exact / 100

    @pytest.mark.parametrize("count", [1, 2, 3, 7, 10, 100, 127])
    def test_of_small_values_are_the_nearest_rank_exactly(self, count: int) -> None:
        values = list(range(count))
        histogram = histogram_of(values)
        for percent in PERCENTS:
            assert histogram.percentile(float(percent)) == nearest_rank(values, percent)

    def test_do_not_fall_for_the_rounding_of_floats(self) -> None:
        # 99.9 / 100 * 1000 is 999.0000000000001 as floats go; the rank is 999.
        histogram = histogram_of([10] * 999 + [100])
        assert histogram.percentile(99.9) == 10

    @given(samples)
    def test_of_0_and_100_are_the_exact_bounds(self, values: list[int]) -> None:
        histogram = histogram_of(values)
        assert histogram.percentile(0) == min(values)
        assert histogram.percentile(100) == max(values)

    @given(samples)
    def test_never_fall(self, values: list[int]) -> None:
        histogram = histogram_of(values)
        found = [histogram.percentile(percent) for percent in range(101)]
        assert found == sorted(found)

    @pytest.mark.parametrize("percent", [-0.1, 100.1, math.nan])
    def test_outside_0_to_100_raise(self, percent: float) -> None:
        with pytest.raises(ValueError, match="from 0 to 100"):
            histogram_of([1]).percentile(percent)

    def test_of_nothing_raise_and_the_mean_is_zero(self) -> None:
        with pytest.raises(ValueError, match="no values"):
            Histogram().percentile(50)
        assert Histogram().mean_ns == 0.0


class TestMerging:
    @given(samples, samples)
    def test_is_recording_everything_in_one(self, one: list[int], other: list[int]) -> None:
        whole = merged(histogram_of(one), histogram_of(other))
        assert figures(whole) == figures(histogram_of(one + other))

    @given(samples, samples, samples)
    def test_is_associative(self, a: list[int], b: list[int], c: list[int]) -> None:
        first, second, third = map(histogram_of, (a, b, c))
        left = merged(merged(first, second), third)
        right = merged(first, merged(second, third))
        assert figures(left) == figures(right)

    @given(samples)
    def test_with_nothing_changes_nothing(self, values: list[int]) -> None:
        part = histogram_of(values)
        assert figures(merged(part, Histogram())) == figures(part)
        assert figures(merged(Histogram(), part)) == figures(part)

    @given(samples, samples)
    def test_leaves_the_other_as_it_was(self, one: list[int], other: list[int]) -> None:
        part = histogram_of(other)
        merged(part, histogram_of(one))
        histogram_of(one).merge(part)
        assert figures(part) == figures(histogram_of(other))


class TestValues:
    @given(st.lists(durations | beyond, max_size=60))
    def test_are_those_recorded_within_one_percent_and_as_often(self, values: list[int]) -> None:
        histogram = histogram_of(values)
        found = [value for value, count in histogram.values() for _ in range(count)]
        assert len(found) == len(values)
        for value, recorded in zip(found, sorted(values), strict=True):
            if recorded <= HIGHEST_NS:
                assert value == pytest.approx(recorded, rel=0.01)

    @given(st.lists(durations, min_size=1, max_size=60))
    def test_never_leave_the_bounds(self, values: list[int]) -> None:
        found = [value for value, _ in histogram_of(values).values()]
        assert found == sorted(set(found))
        assert min(values) <= found[0] <= found[-1] <= max(values)

    def test_of_nothing_are_none(self) -> None:
        assert list(Histogram().values()) == []

    def test_of_one_kind_are_exact(self) -> None:
        assert list(histogram_of([123_457] * 3).values()) == [(123_457, 3)]


class TestFromBuckets:
    @given(st.lists(durations | beyond, max_size=60))
    def test_is_the_way_back_from_buckets(self, values: list[int]) -> None:
        histogram = histogram_of(values)
        buckets, counts = histogram.buckets()
        bounds_ns = (histogram.min_ns, histogram.max_ns)
        again = Histogram.from_buckets(buckets, counts, bounds_ns, histogram.sum_ns)
        assert figures(again) == figures(histogram)

    @pytest.mark.parametrize("bucket", [-1, BUCKETS + 1])
    def test_refuses_a_bucket_that_is_none(self, bucket: int) -> None:
        with pytest.raises(ValueError, match="from 0 to"):
            Histogram.from_buckets([3, bucket], [1, 1], (3, 3), 6)

    def test_refuses_counts_that_do_not_match_the_buckets(self) -> None:
        with pytest.raises(ValueError, match="one count for each bucket"):
            Histogram.from_buckets([1, 2], [1], (1, 2), 3)
