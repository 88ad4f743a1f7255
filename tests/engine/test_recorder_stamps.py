"""How the recorder uses stamps: plausible ones, others, and while the wall clock is set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.engine.recorder import Recorder
from loadgen.engine.tallies import TimesTally
from loadgen.net.clock import STEP_NS, ManualClock, WallClock, WallClockStep
from loadgen.net.timestamps import MISSING, NOT_ASKED, UPPER_BOUND

US = 1_000
MS = 1_000_000
SECOND = 1_000_000_000
HOUR = 3600 * SECOND
OFFSET_NS = 1_900_000_000 * SECOND
SERVICE_NS = 300 * US
RECEIVE_LAG_NS = 50 * US


class StampedRecorder:
    """A recorder on clocks that only the test moves, and messages that all take the same time."""

    def __init__(self) -> None:
        self.clock = ManualClock(500 * SECOND)
        self.wall = ManualClock(500 * SECOND + OFFSET_NS)
        self.recorder = Recorder(1, WallClock(self.clock, self.wall))
        self.messages = 0

    def advance(self, nanoseconds: int) -> None:
        self.clock.advance(nanoseconds)
        self.wall.advance(nanoseconds)

    def message(self, steps_ns: tuple[int, int] = (0, 0)) -> None:
        """Send, arrive, read; the wall clock is set after the first and after the second."""
        sent_ns = self.clock.now_ns
        self.wall.advance(steps_ns[0])
        self.advance(SERVICE_NS)
        stamp_ns = self.wall.now_ns
        self.wall.advance(steps_ns[1])
        self.advance(RECEIVE_LAG_NS)
        self.recorder.record((0, 1, 0, sent_ns, stamp_ns, self.clock.now_ns))
        self.messages += 1

    def times(self) -> TimesTally:
        return self.recorder.end_interval(0, 1).times


class TestStamps:
    def test_knows_service_time_and_receive_lag(self) -> None:
        scene = StampedRecorder()
        scene.message()
        times = scene.times()
        assert (times.stamped, times.service.sum_ns) == (1, SERVICE_NS)
        assert times.receive_lag.sum_ns == RECEIVE_LAG_NS
        assert times.user_space.sum_ns == SERVICE_NS + RECEIVE_LAG_NS
        assert times.read_uncertainty.count == 0

    def test_leaves_out_what_was_read_between_two_clock_reads_with_a_step_between(self) -> None:
        scene = StampedRecorder()
        for _ in range(3):
            scene.message()
        scene.recorder.flush()
        scene.message()
        scene.message(steps_ns=(SECOND, 0))
        scene.message(steps_ns=(0, 0))
        times = scene.times()
        assert (times.stamped, times.left_out, times.implausible) == (3, 3, 0)
        assert times.user_space.count == 6
        [step] = scene.recorder.steps
        assert step.step_ns == SECOND

    def test_counts_all_replies_that_it_leaves_out(self) -> None:
        scene = StampedRecorder()
        scene.advance(MS)
        now_ns = scene.clock.now_ns
        scene.wall.advance(SECOND)
        scene.recorder.record((0, 4, 0, now_ns, scene.wall.now_ns, now_ns))
        scene.recorder.record((0, 2, 0, now_ns, UPPER_BOUND, now_ns))
        scene.advance(MS)
        times = scene.times()
        assert (times.left_out, times.stamped, times.upper_bounds) == (6, 0, 0)

    def test_leaves_out_what_was_in_flight_although_it_is_read_later(self) -> None:
        scene = StampedRecorder()
        sent_ns = scene.clock.now_ns
        scene.advance(MS)
        scene.message(steps_ns=(HOUR, 0))
        scene.recorder.flush()
        scene.advance(MS)
        scene.recorder.record((0, 1, 0, sent_ns, scene.wall.now_ns, scene.clock.now_ns))
        assert scene.times().left_out == 2

    @pytest.mark.parametrize("step_ns", [HOUR, -HOUR, 20 * US, -20 * US])
    def test_uses_the_new_offset_from_then_on(self, step_ns: int) -> None:
        scene = StampedRecorder()
        scene.message()
        scene.recorder.flush()
        scene.wall.advance(step_ns)
        scene.message()
        scene.recorder.flush()
        scene.message()
        times = scene.times()
        assert (times.stamped, times.left_out) == (2, 1)
        assert (times.service.min_ns, times.service.max_ns) == (SERVICE_NS, SERVICE_NS)

    def test_never_takes_a_stamp_for_a_time_that_is_not_between_sent_and_read(self) -> None:
        scene = StampedRecorder()
        sent_ns = scene.clock.now_ns
        scene.advance(MS)
        for away_ns in (-SECOND, -MS - 2 * US, 2 * US, SECOND):
            stamp_ns = scene.wall.now_ns + away_ns
            scene.recorder.record((0, 3, 0, sent_ns, stamp_ns, scene.clock.now_ns))
        times = scene.times()
        assert (times.implausible, times.stamped, times.service.count) == (12, 0, 0)
        assert times.user_space.count == 12

    def test_tolerates_the_error_of_the_offset(self) -> None:
        scene = StampedRecorder()
        sent_ns = scene.clock.now_ns
        scene.advance(MS)
        for stamp_ns in (scene.wall.now_ns - MS - 900, scene.wall.now_ns + 900):
            scene.recorder.record((0, 1, 0, sent_ns, stamp_ns, scene.clock.now_ns))
        times = scene.times()
        assert (times.service.min_ns, times.service.max_ns) == (0, MS)
        assert (times.receive_lag.min_ns, times.receive_lag.max_ns) == (0, MS)

    def test_has_one_stamp_for_the_last_of_several_replies(self) -> None:
        scene = StampedRecorder()
        now_ns = scene.clock.now_ns
        for replies, stamp_ns in (
            *((5, scene.wall.now_ns), (4, UPPER_BOUND)),
            *((3, MISSING), (2, NOT_ASKED)),
        ):
            scene.recorder.record((0, replies, 0, now_ns, stamp_ns, now_ns))
        times = scene.times()
        assert (times.stamped, times.upper_bounds) == (1, 8)
        assert (times.missing, times.unsampled) == (3, 2)


steps = st.integers(2 * STEP_NS, HOUR) | st.integers(-HOUR, -2 * STEP_NS)
batches = st.lists(
    st.tuples(
        *(st.integers(0, 4), st.integers(0, 4)),  # messages before and after
        st.none() | st.tuples(steps, st.just(0)) | st.tuples(st.just(0), steps),
        st.booleans(),  # whether the clock has moved since it was last read
    ),
    max_size=12,
)


@given(batches)
def test_whatever_steps_there_are_a_time_that_counts_is_true(
    batches: list[tuple[int, int, tuple[int, int] | None, bool]],
) -> None:
    scene = StampedRecorder()
    for before, after, in_the_midst, waits in batches:
        scene.advance(MS * waits)
        for _ in range(before):
            scene.message()
        if in_the_midst is not None:
            scene.message(in_the_midst)
        for _ in range(after):
            scene.message()
        scene.recorder.flush()
    times = scene.times()
    assert times.stamped + times.left_out == scene.messages
    assert times.service.count == times.receive_lag.count == times.stamped
    if times.stamped:
        assert (times.service.min_ns, times.service.max_ns) == (SERVICE_NS, SERVICE_NS)
        assert times.receive_lag.sum_ns == RECEIVE_LAG_NS * times.stamped
    assert len(scene.recorder.steps) == sum(step is not None for _, _, step, _ in batches)


rows = st.tuples(
    *(st.integers(1, 5), st.integers(0, SECOND), st.integers(0, SECOND)),
    st.sampled_from([MISSING, NOT_ASKED, UPPER_BOUND]) | st.integers(-2 * SECOND, 2 * SECOND),
)
events = st.lists(
    rows | st.integers(-HOUR, HOUR).map(lambda step_ns: WallClockStep(0, 0, step_ns)) | st.none(),
    max_size=40,
)


@given(events, st.booleans())
def test_whatever_comes_no_time_is_negative_and_every_reply_is_accounted_for(
    events: list[tuple[int, int, int, int] | WallClockStep | None], is_open_loop: bool
) -> None:
    scene = StampedRecorder()
    replies = 0
    for event in events:
        match event:
            case None:
                scene.recorder.flush()
            case WallClockStep(step_ns=step_ns):
                scene.wall.advance(step_ns)
            case (count, blocked_ns, latency_ns, stamp_ns):
                intended_ns = scene.clock.now_ns
                sent_ns = intended_ns + blocked_ns
                scene.advance(blocked_ns + latency_ns)
                if stamp_ns not in (MISSING, NOT_ASKED, UPPER_BOUND):
                    stamp_ns += scene.wall.now_ns
                row = (0, count, intended_ns * is_open_loop, sent_ns, stamp_ns, scene.clock.now_ns)
                scene.recorder.record(row)
                replies += count
    times = scene.times()
    for histogram in (times.service, times.response, times.receive_lag, times.user_space):
        assert histogram.min_ns >= 0
    accounted = times.stamped + times.upper_bounds + times.unsampled
    assert accounted + times.missing + times.implausible + times.left_out == replies
    assert times.user_space.count == replies
    assert times.service.count == times.receive_lag.count == times.stamped
    assert times.response.count == times.stamped * is_open_loop
