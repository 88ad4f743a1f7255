import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.engine.recorder import FLUSH_NS, ROWS, Recorder
from loadgen.engine.rows import Row
from loadgen.net.failure import Cause, Failure, Phase
from loadgen.net.timestamps import NOT_ASKED
from loadgen.results.histogram import HIGHEST_NS, Histogram

RESET = Failure(Phase.RECEIVE, Cause.RESET)
REFUSED = Failure(Phase.CONNECT, Cause.REFUSED)


def reply(index: int, replies: int, sent_ns: int, read_ns: int) -> Row:
    """A row of a closed loop without timestamps."""
    return (index, replies, 0, sent_ns, NOT_ASKED, read_ns)


def recorded(*latencies_ns: int, connections: int = 1, index: int = 0) -> Recorder:
    recorder = Recorder(connections)
    for latency_ns in latencies_ns:
        recorder.record(reply(index, 1, 1_000, 1_000 + latency_ns))
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
        recorder.record(reply(0, 1, 100, 350))
        recorder.record(reply(1, 3, 1_000, 1_500))
        interval = recorder.end_interval(0, 10)
        assert figures(interval.times.user_space) == figures(histogram_of(250, 500, 500, 500))

    def test_are_all_kept_where_they_are_more_than_are_binned_at_once(self) -> None:
        recorder = Recorder(1)
        for number in range(2 * ROWS + 1):
            recorder.record(reply(0, 1, 0, number))
            recorder.end_turn(1, 0)
        recorder.end_interval(0, 1)
        assert recorder.times.user_space.count == 2 * ROWS + 1
        assert recorder.times.user_space.sum_ns == sum(range(2 * ROWS + 1))

    def test_wait_to_be_binned_until_they_are_many(self) -> None:
        recorder = recorded(*range(1, ROWS))
        recorder.record_connect(5)  # binned together with the replies, where it can be seen
        recorder.end_turn(1, 0)
        assert recorder.connect.count == 0
        recorder.record(reply(0, 1, 0, 1))
        recorder.end_turn(1, 0)
        assert recorder.connect.count == 1

    def test_beyond_the_range_are_counted_as_overflow(self) -> None:
        recorder = recorded(HIGHEST_NS + 1, 5)
        recorder.end_interval(0, 1)
        assert (recorder.times.user_space.count, recorder.times.user_space.overflow) == (2, 1)

    def test_that_were_read_before_they_were_sent_are_a_bug(self) -> None:
        with pytest.raises(ValueError, match="negative"):
            recorded(-1).flush()

    def test_do_not_wait_for_others_without_limit(self) -> None:
        recorder = recorded(1)
        recorder.record_connect(5)
        recorder.end_turn(FLUSH_NS - 1, 0)
        assert recorder.connect.count == 0
        recorder.end_turn(FLUSH_NS, 0)
        assert recorder.connect.count == 1

    def test_to_scheduled_messages_have_a_response_time_from_the_intended_one(self) -> None:
        recorder = Recorder(1)
        recorder.record((0, 2, 1_000, 1_300, NOT_ASKED, 1_500))
        times = recorder.end_interval(0, 1).times
        assert figures(times.response) == figures(histogram_of(500, 500))
        assert figures(times.user_space) == figures(histogram_of(200, 200))

    def test_of_a_closed_loop_have_none(self) -> None:
        assert recorded(5).end_interval(0, 1).times.response.count == 0

    def test_without_timestamps_arrived_at_some_time_since_the_last_poll(self) -> None:
        recorder = Recorder(1)
        recorder.record(reply(0, 1, 0, 150))
        recorder.record(reply(0, 3, 0, 170))
        recorder.end_turn(140, 100)
        recorder.end_turn(200, 140)
        recorder.record(reply(0, 1, 0, 260))
        recorder.end_turn(250, 200)
        times = recorder.end_interval(0, 1).times
        assert figures(times.read_uncertainty) == figures(histogram_of(50, 70, 70, 70, 60))
        assert figures(times.service) == figures(times.user_space)
        assert (times.receive_lag.count, times.stamped) == (0, 0)


class TestSends:
    def test_have_a_lag_that_is_blocked_or_the_generators_own(self) -> None:
        recorder = Recorder(1)
        recorder.record_send((1_000, 400, 1_000))  # on time
        recorder.record_send((1_000, 400, 1_007))  # late, though a connection was free
        recorder.record_send((1_000, 1_050, 1_050))  # as soon as one was free
        recorder.record_send((1_000, 1_050, 1_080))  # and late
        times = recorder.end_interval(0, 1).times
        assert figures(times.schedule_lag) == figures(histogram_of(0, 7, 50, 80))
        assert figures(times.blocked) == figures(histogram_of(0, 0, 50, 50))
        assert figures(times.generator_lag) == figures(histogram_of(0, 7, 0, 30))

    @given(st.lists(st.tuples(*[st.integers(0, 10**12)] * 3), min_size=1, max_size=50))
    def test_have_lags_that_add_up(self, sends: list[tuple[int, int, int]]) -> None:
        recorder = Recorder(1)
        for send in sends:
            recorder.record_send(send)
        times = recorder.end_interval(0, 1).times
        parts = (times.blocked, times.generator_lag)
        assert {part.count for part in parts} == {times.schedule_lag.count} == {len(sends)}
        assert sum(part.sum_ns for part in parts) == times.schedule_lag.sum_ns

    def test_are_binned_once_they_are_many(self) -> None:
        recorder = Recorder(1)
        for number in range(2 * ROWS - 1):
            recorder.record_send((number, 0, number))
        recorder.end_turn(1, 0)
        assert recorder.due == 0
        recorder.record_send((5, 0, 5))
        recorder.end_turn(1, 0)
        assert recorder.due == 2 * ROWS


class TestWarmUp:
    def test_leaves_nothing_in_the_times(self) -> None:
        recorder = recorded(100)
        recorder.record_send((50, 50, 50))
        warm = recorder.end_interval(0, 10)
        recorder.begin_measuring(10)
        recorder.record(reply(0, 1, 5, 12))
        recorder.end_interval(10, 20)
        assert warm.times.user_space.count == 1
        assert figures(recorder.times.user_space) == figures(histogram_of(7))
        assert recorder.inter_send_times.count == 0
        assert recorder.by_connection().replies.tolist() == [1]

    def test_is_what_a_message_belongs_to_that_was_due_in_it(self) -> None:
        recorder = Recorder(1)
        recorder.record_send((5, 5, 5))
        recorder.end_interval(0, 10)
        recorder.begin_measuring(10)
        for intended_ns in (9, 10, 11):
            recorder.record_send((intended_ns, 0, 12))
        recorder.end_interval(10, 20)
        assert recorder.due == 2
        assert recorder.times.schedule_lag.count == 3


class TestConnects:
    def test_become_a_histogram_of_their_own(self) -> None:
        recorder = Recorder(2)
        recorder.record_connect(300)
        recorder.record_connect(100)
        recorder.flush()
        assert figures(recorder.connect) == figures(histogram_of(100, 300))
        assert recorder.end_interval(0, 1).times.user_space.count == 0


class TestIntervals:
    def test_hold_what_came_since_the_one_before_and_the_run_holds_all(self) -> None:
        recorder = recorded(100, 200)
        first = recorder.end_interval(0, 10)
        recorder.record(reply(0, 1, 0, 300))
        second = recorder.end_interval(10, 20)
        third = recorder.end_interval(20, 30)
        assert figures(first.times.user_space) == figures(histogram_of(100, 200))
        assert figures(second.times.user_space) == figures(histogram_of(300))
        assert figures(third.times.user_space) == figures(Histogram())
        assert figures(recorder.times.user_space) == figures(histogram_of(100, 200, 300))
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
            recorder.record(reply(index, 1, 50, 50 + latency_ns))
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
        recorder.record(reply(0, 1, 0, 1_000_000))
        recorder.record(reply(0, 9, 0, 2_000_000))
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
    def test_of_higher_index_make_the_tally_grow_and_the_others_keep_theirs(
        self, index: int
    ) -> None:
        recorder = recorded(100, 300)
        recorder.flush()
        recorder.record(reply(index, 1, 0, 700))
        found = recorder.by_connection()
        assert found.replies[[0, index]].tolist() == [2, 1]
        assert found.mean_ns[[0, index]].tolist() == [200, 700]
        assert found.min_ns[[0, index]].tolist() == [100, 700]
        assert found.max_ns[[0, index]].tolist() == [300, 700]
        assert int(found.replies.sum()) == 3

    @pytest.mark.parametrize("count", [1, 2, 3, 50])
    def test_have_figures_even_if_they_never_had_a_reply(self, count: int) -> None:
        found = recorded(100, 300).by_connection(count)
        assert found.replies[:count].tolist() == [2] + [0] * (count - 1)
        assert found.mean_ns[:count].tolist() == [200] + [0] * (count - 1)
        assert found.min_ns[:count].tolist() == [100] + [0] * (count - 1)
        assert found.p99_ns.size >= count

    def test_span_all_intervals(self) -> None:
        recorder = recorded(100)
        recorder.end_interval(0, 1)
        recorder.record(reply(0, 1, 0, 300))
        assert recorder.by_connection().mean_ns.tolist() == [200]
