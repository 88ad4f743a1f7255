import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.core.histogram import HIGHEST_NS, Histogram
from loadgen.core.recorder import ROWS, Recorder
from loadgen.failure import Cause, Failure, Phase

RESET = Failure(Phase.RECEIVE, Cause.RESET)
REFUSED = Failure(Phase.CONNECT, Cause.REFUSED)


def recorded(*latencies_ns: int, connections: int = 1, index: int = 0) -> Recorder:
    recorder = Recorder(connections)
    for latency_ns in latencies_ns:
        recorder.record((index, 1, 1_000, 1_000 + latency_ns))
    return recorder


def figures(histogram: Histogram) -> tuple[object, ...]:
    bounds = (histogram.min_ns, histogram.max_ns)
    return (histogram.count, histogram.sum_ns, bounds, histogram.buckets())


def histogram_of(*values: int) -> Histogram:
    histogram = Histogram()
    histogram.record(values)
    return histogram


class TestReplies:
    def test_become_the_histogram_of_their_latencies(self) -> None:
        recorder = Recorder(2)
        recorder.record((0, 1, 100, 350))
        recorder.record((1, 3, 1_000, 1_500))
        interval = recorder.end_interval(0, 10)
        assert figures(interval.latency) == figures(histogram_of(250, 500, 500, 500))

    def test_are_all_kept_where_they_are_more_than_are_binned_at_once(self) -> None:
        recorder = Recorder(1)
        for number in range(2 * ROWS + 1):
            recorder.record((0, 1, 0, number))
            recorder.flush_if_full()
        recorder.end_interval(0, 1)
        assert recorder.latency.count == 2 * ROWS + 1
        assert recorder.latency.sum_ns == sum(range(2 * ROWS + 1))

    def test_wait_to_be_binned_until_they_are_many(self) -> None:
        recorder = recorded(*range(1, ROWS))
        recorder.record_connect(5)  # binned together with the replies, where it can be seen
        recorder.flush_if_full()
        assert recorder.connect.count == 0
        recorder.record((0, 1, 0, 1))
        recorder.flush_if_full()
        assert recorder.connect.count == 1

    def test_beyond_the_range_are_counted_as_overflow(self) -> None:
        recorder = recorded(HIGHEST_NS + 1, 5)
        recorder.end_interval(0, 1)
        assert (recorder.latency.count, recorder.latency.overflow) == (2, 1)

    def test_that_were_read_before_they_were_sent_are_our_bug(self) -> None:
        with pytest.raises(ValueError, match="negative"):
            recorded(-1).flush()


class TestConnects:
    def test_become_a_histogram_of_their_own(self) -> None:
        recorder = Recorder(2)
        recorder.record_connect(300)
        recorder.record_connect(100)
        recorder.flush()
        assert figures(recorder.connect) == figures(histogram_of(100, 300))
        assert recorder.end_interval(0, 1).latency.count == 0


class TestIntervals:
    def test_hold_what_came_since_the_one_before_and_the_run_holds_all(self) -> None:
        recorder = recorded(100, 200)
        first = recorder.end_interval(0, 10)
        recorder.record((0, 1, 0, 300))
        second = recorder.end_interval(10, 20)
        third = recorder.end_interval(20, 30)
        assert figures(first.latency) == figures(histogram_of(100, 200))
        assert figures(second.latency) == figures(histogram_of(300))
        assert figures(third.latency) == figures(Histogram())
        assert figures(recorder.latency) == figures(histogram_of(100, 200, 300))
        assert [(span.start_ns, span.end_ns) for span in (first, second)] == [(0, 10), (10, 20)]

    def test_count_their_own_failures(self) -> None:
        recorder = Recorder(1)
        recorder.record_failure(RESET, 1)
        recorder.record_failure(REFUSED, 2)
        assert recorder.end_interval(0, 10).failures == 2
        recorder.record_failure(RESET, 11)
        assert recorder.end_interval(10, 20).failures == 1
        assert recorder.end_interval(20, 30).failures == 0


class TestFailures:
    def test_are_counted_by_kind_with_their_first_and_last_time(self) -> None:
        recorder = Recorder(1)
        for failure, now_ns in ((RESET, 5), (REFUSED, 7), (RESET, 9), (RESET, 12)):
            recorder.record_failure(failure, now_ns)
        assert recorder.failures.keys() == {RESET, REFUSED}
        reset, refused = recorder.failures[RESET], recorder.failures[REFUSED]
        assert (reset.count, reset.first_ns, reset.last_ns) == (3, 5, 12)
        assert (refused.count, refused.first_ns, refused.last_ns) == (1, 7, 7)

    def test_are_none_to_begin_with(self) -> None:
        assert Recorder(1).failures == {}


# Eight buckets an octave begin at 128 ns: no round trip over a socket is that short.
latencies = st.integers(8, 42).flatmap(lambda bits: st.integers(2 ** (bits - 1), 2**bits - 1))


def nearest_rank(values: list[int], percent: int) -> int:
    return sorted(values)[math.ceil(Fraction(percent, 100) * len(values)) - 1]


class TestConnections:
    @given(st.lists(st.tuples(st.integers(0, 3), latencies), min_size=1, max_size=200))
    def test_have_their_own_figures(self, replies: list[tuple[int, int]]) -> None:
        recorder = Recorder(4)
        for index, latency_ns in replies:
            recorder.record((index, 1, 50, 50 + latency_ns))
        found = recorder.by_connection()
        for index in {index for index, _ in replies}:
            own = [latency_ns for owner, latency_ns in replies if owner == index]
            assert found.replies[index] == len(own)
            assert found.mean_ns[index] == sum(own) // len(own)
            assert (found.min_ns[index], found.max_ns[index]) == (min(own), max(own))
            p50, p99 = nearest_rank(own, 50), nearest_rank(own, 99)
            assert abs(int(found.p50_ns[index]) - p50) <= 0.06 * p50
            assert abs(int(found.p99_ns[index]) - p99) <= 0.06 * p99

    @pytest.mark.parametrize("eighth", range(8, 16))
    @pytest.mark.parametrize("place", ["at the start", "at the end"])
    def test_have_percentiles_within_six_percent_at_either_end_of_a_bucket(
        self, eighth: int, place: str
    ) -> None:
        value = eighth * 2**17 if place == "at the start" else (eighth + 1) * 2**17 - 1
        # With one shorter and one longer, the exact bounds cannot mend the estimate.
        found = recorded(1_000, *[value] * 98, 10**9).by_connection()
        assert abs(int(found.p50_ns[0]) - value) <= 0.06 * value
        assert abs(int(found.p99_ns[0]) - value) <= 0.06 * value

    def test_have_figures_that_weigh_batches_of_replies(self) -> None:
        recorder = Recorder(1)
        recorder.record((0, 1, 0, 1_000_000))
        recorder.record((0, 9, 0, 2_000_000))
        found = recorder.by_connection()
        assert found.replies.tolist() == [10]
        assert found.mean_ns.tolist() == [1_900_000]
        assert found.p50_ns[0] == pytest.approx(2_000_000, rel=0.06)

    def test_without_replies_have_zeros(self) -> None:
        found = recorded(500, connections=3, index=1).by_connection()
        for column in (found.replies, found.mean_ns, found.min_ns, found.max_ns):
            assert np.flatnonzero(column).tolist() == [1]
        for column in (found.p50_ns, found.p99_ns):
            assert np.flatnonzero(column).tolist() == [1]

    def test_with_one_reply_have_it_in_every_figure(self) -> None:
        found = recorded(123_457).by_connection()
        columns = (found.mean_ns, found.min_ns, found.max_ns, found.p50_ns, found.p99_ns)
        assert [int(column[0]) for column in columns] == [123_457] * 5

    @pytest.mark.parametrize("index", [1, 2, 50])
    def test_that_come_later_are_found_room_for_and_the_others_keep_theirs(
        self, index: int
    ) -> None:
        recorder = recorded(100, 300)
        recorder.flush()
        recorder.record((index, 1, 0, 700))
        found = recorder.by_connection()
        assert found.replies[[0, index]].tolist() == [2, 1]
        assert found.mean_ns[[0, index]].tolist() == [200, 700]
        assert found.min_ns[[0, index]].tolist() == [100, 700]
        assert found.max_ns[[0, index]].tolist() == [300, 700]
        assert int(found.replies.sum()) == 3

    def test_span_all_intervals(self) -> None:
        recorder = recorded(100)
        recorder.end_interval(0, 1)
        recorder.record((0, 1, 0, 300))
        assert recorder.by_connection().mean_ns.tolist() == [200]
