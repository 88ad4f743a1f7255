"""The recorder by group: what its sinks are given, and that the groups add up to the whole."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.engine.recorder import Recorder
from loadgen.engine.rows import INDEX_MASK, Row, group_of, origin_of
from loadgen.engine.sinks import GroupTallies, Replies, Sink
from loadgen.net.clock import ManualClock, WallClock
from loadgen.net.failure import Cause, Failure, Phase
from loadgen.net.timestamps import MISSING, NOT_ASKED, UPPER_BOUND
from loadgen.results.histogram import Histogram

US = 1_000
MS = 1_000_000
SECOND = 1_000_000_000
START_NS = 500 * SECOND
OFFSET_NS = 1_900_000_000 * SECOND
GROUPS = (0, 1, 7, 2**27 - 1)
AS_READ = 500  # a stamp this much too late is taken for the time of reading

RESET = Failure(Phase.RECEIVE, Cause.RESET)
REFUSED = Failure(Phase.CONNECT, Cause.REFUSED)
MISMATCH = Failure(Phase.VERIFY, Cause.MISMATCH)


class Seen:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.portions: list[tuple[int, Replies]] = []
        self.failed: list[tuple[int, Failure, int]] = []
        self.rejected: list[tuple[int, Failure, int, int]] = []
        self.warm_ups = 0

    def add(self, group: int, replies: Replies) -> None:
        self.portions.append((group, replies))

    def fail(self, group: int, failure: Failure, now_ns: int) -> None:
        self.failed.append((group, failure, now_ns))

    def reject(self, group: int, failure: Failure, count: int, now_ns: int) -> None:
        self.rejected.append((group, failure, count, now_ns))

    def begin_measuring(self) -> None:
        self.warm_ups += 1

    def rows(self) -> list[tuple[int, ...]]:
        """(group, index, replies, intended_ns, sent_ns, read_ns) of each row, as they came."""
        return [
            (group, *map(int, row))
            for group, each in self.portions
            for row in zip(
                *(each.indices, each.replies, each.intended_ns, each.sent_ns, each.read_ns),
                strict=True,
            )
        ]


class Batch(NamedTuple):
    """Replies of one group: when sent and arrived, relative to the clock."""

    group: int
    connection: int
    replies: int
    waits_ns: int | None
    """From the intended time to the send; None in a closed loop."""
    takes_ns: int
    stamp_ns: int
    """A stamp that is no time, or how far from the time of reading the stamp is."""
    pause: str = ""
    """When the process was paused: before the send, or after it."""


class ClockSet(NamedTuple):
    """The wall clock is set by ``step_ns``."""

    step_ns: int


FLUSH, END_INTERVAL, MEASURE = "flush", "end interval", "begin measuring"
Event = Batch | ClockSet | str

batches = st.builds(
    Batch,
    st.sampled_from(GROUPS),
    st.integers(0, 3),
    st.integers(1, 5),
    st.none() | st.integers(0, 100 * MS),
    st.integers(0, 100 * MS),
    st.sampled_from([MISSING, NOT_ASKED, UPPER_BOUND]) | st.integers(-100 * MS, 2 * US),
)
paused_batches = st.builds(Batch._replace, batches, pause=st.sampled_from(["before", "after"]))
set_clocks = st.builds(ClockSet, st.sampled_from([-SECOND, 20 * US, SECOND]))
orders = st.sampled_from([FLUSH, END_INTERVAL, MEASURE])
calm_events = st.lists(batches | batches | set_clocks | orders, max_size=30)
events = st.lists(batches | paused_batches | set_clocks | orders, max_size=30)


class Scene:
    """A recorder with or without stamps, on clocks that move only with what is played."""

    def __init__(self, *sinks: Sink, stamped: bool) -> None:
        self.clock = ManualClock(START_NS)
        self.wall = ManualClock(START_NS + OFFSET_NS)
        self.stamped = stamped
        self.recorder = Recorder(1, WallClock(self.clock, self.wall) if stamped else None, sinks)
        self.rows: list[Row] = []
        self.measured: list[Row] = []
        """Those since the measurement began."""

    def play(self, events: Sequence[Event], only: int | None = None) -> None:
        """Let all this happen, and the last interval end; only with replies of group ``only``."""
        for event in events:
            match event:
                case Batch():
                    self._reply(event, is_recorded=only in (None, event.group))
                case ClockSet():
                    self._advance(1)
                    self.wall.advance(event.step_ns)
                case "flush":
                    self.recorder.flush()
                case _:
                    self.recorder.end_interval(0, 1)
                    if event is MEASURE:
                        self.recorder.begin_measuring(self.clock.now_ns)
                        self.measured.clear()
        self.recorder.end_interval(0, 1)

    def _reply(self, batch: Batch, *, is_recorded: bool) -> None:
        intended_ns = 0 if batch.waits_ns is None else self.clock.now_ns
        self._advance(batch.waits_ns or 0, paused=batch.pause == "before")
        sent_ns = self.clock.now_ns
        if intended_ns:
            self.recorder.record_send((intended_ns, intended_ns, sent_ns))
        self._advance(batch.takes_ns, paused=batch.pause == "after")
        stamp_ns = batch.stamp_ns
        if not self.stamped:
            stamp_ns = NOT_ASKED
        elif stamp_ns not in (MISSING, NOT_ASKED, UPPER_BOUND):
            stamp_ns += self.wall.now_ns
        if is_recorded:
            origin = origin_of(batch.group, batch.connection)
            row = (origin, batch.replies, intended_ns, sent_ns, stamp_ns, self.clock.now_ns)
            self.recorder.record(row)
            self.rows.append(row)
            self.measured.append(row)

    def _advance(self, nanoseconds: int, *, paused: bool = False) -> None:
        began_ns = self.clock.now_ns
        self.clock.advance(nanoseconds)
        self.wall.advance(nanoseconds)
        if paused and nanoseconds:
            self.recorder.pauses.add(began_ns, self.clock.now_ns)


def figures(histogram: Histogram) -> tuple[object, ...]:
    bounds = (histogram.min_ns, histogram.max_ns)
    return (histogram.count, histogram.sum_ns, bounds, histogram.buckets())


def merged(histograms: Sequence[Histogram]) -> Histogram:
    whole = Histogram()
    for each in histograms:
        whole.merge(each)
    return whole


class TestGroupTallies:
    @given(events, st.booleans())
    def test_add_up_to_the_whole_whatever_happens(
        self, events: list[Event], is_stamped: bool
    ) -> None:
        tallies = GroupTallies()
        scene = Scene(tallies, stamped=is_stamped)
        scene.play(events)
        times, groups = scene.recorder.times, list(tallies.by_group.values())
        assert figures(merged([group.service for group in groups])) == figures(times.service)
        assert figures(merged([group.response for group in groups])) == figures(times.response)
        assert sum(group.replies for group in groups) == times.user_space.count
        timed = times.stamped if is_stamped else times.user_space.count
        assert times.service.count + times.delayed_service.count == timed

    @given(calm_events, st.booleans())
    def test_have_the_figures_that_each_group_would_have_alone(
        self, events: list[Event], is_stamped: bool
    ) -> None:
        tallies = GroupTallies()
        Scene(tallies, stamped=is_stamped).play(events)
        for group, tally in tallies.by_group.items():
            alone = Scene(stamped=is_stamped)
            alone.play(events, only=group)
            assert tally.replies == sum(row[1] for row in alone.measured)
            if not any(isinstance(event, ClockSet) for event in events):
                times = alone.recorder.times
                assert figures(tally.service) == figures(times.service)
                assert figures(tally.response) == figures(times.response)

    @pytest.mark.parametrize(("is_stamped", "response_ms"), [(False, 3), (True, 201)])
    def test_leave_out_what_pauses_delayed(self, is_stamped: bool, response_ms: int) -> None:
        """The kernel's stamp tells that the last reply was late, and not only read late."""
        tallies = GroupTallies()
        scene = Scene(tallies, stamped=is_stamped)
        in_time = Batch(1, 0, 1, 1 * MS, 2 * MS, stamp_ns=AS_READ)
        waits = in_time._replace(group=2, waits_ns=30 * MS, pause="before")
        unknown = in_time._replace(group=2, stamp_ns=MISSING)
        late = in_time._replace(group=2, takes_ns=200 * MS, pause="after")
        scene.play([in_time, waits, unknown, late])
        times = scene.recorder.times
        assert (times.delayed_service.count, times.delayed_service.max_ns) == (1, 200 * MS)
        assert times.delayed_response.min_ns == 32 * MS
        one, other = tallies.by_group[1], tallies.by_group[2]
        assert (one.service.sum_ns, one.response.sum_ns) == (2 * MS, 3 * MS)
        assert (other.replies, other.service.max_ns) == (3, 2 * MS)
        assert (other.response.count, other.response.sum_ns) == (1, response_ms * MS)

    def test_count_failures_and_rejected_replies_apart(self) -> None:
        tallies = GroupTallies()
        recorder = Recorder(1, sinks=[tallies])
        recorder.record_failure(RESET, 5, 1)
        recorder.record_failure(REFUSED, 6, 1)
        recorder.record_rejected(MISMATCH, 3, 7, 2)
        recorder.record_failure(RESET, 8)
        found = {
            group: (tally.failures, tally.rejected) for group, tally in tallies.by_group.items()
        }
        assert found == {0: (1, 0), 1: (2, 0), 2: (0, 3)}


class TestSinks:
    @given(events, st.booleans())
    def test_see_each_row_once(self, events: list[Event], is_stamped: bool) -> None:
        one, other = Seen(), Seen()
        scene = Scene(one, other, stamped=is_stamped)
        scene.play(events)
        expected = Counter(
            (group_of(origin), origin & INDEX_MASK, replies, intended_ns, sent_ns, read_ns)
            for origin, replies, intended_ns, sent_ns, _, read_ns in scene.rows
        )
        assert Counter(one.rows()) == Counter(other.rows()) == expected
        assert one.warm_ups == sum(event is MEASURE for event in events)

    @given(events, st.booleans())
    def test_see_an_arrival_between_send_and_read_and_that_of_reading_where_none_is_known(
        self, events: list[Event], is_stamped: bool
    ) -> None:
        seen = Seen()
        Scene(seen, stamped=is_stamped).play(events)
        for _, each in seen.portions:
            assert (each.sent_ns <= each.arrived_ns).all()
            assert (each.arrived_ns <= each.read_ns).all()
            assert (each.in_service <= each.replies).all()
            assert (each.in_response <= each.replies * (each.intended_ns > 0)).all()
            if not is_stamped:
                assert each.arrived_ns.tolist() == each.read_ns.tolist()

    def test_take_the_stamp_where_there_is_one_and_the_read_elsewhere(self) -> None:
        seen = Seen()
        scene = Scene(seen, stamped=True)
        closed, takes_ns = None, 10 * MS
        stamps = (-4 * MS, MISSING, UPPER_BOUND, NOT_ASKED, -SECOND, -1 * MS)
        scene.play([Batch(3, 0, 2, closed, takes_ns, stamp_ns) for stamp_ns in stamps])
        [(group, replies)] = seen.portions
        assert group == 3
        assert replies.service_ns.tolist() == [6 * MS, *[10 * MS] * 4, 9 * MS]
        assert replies.in_service.tolist() == [1, 0, 0, 0, 0, 1]

    def test_never_see_a_stamp_from_before_the_clock_was_set_as_an_arrival(self) -> None:
        seen = Seen()
        scene = Scene(seen, stamped=True)
        stamped = Batch(1, 0, 1, None, 10 * MS, -4 * MS)
        scene.play([stamped, ClockSet(3 * MS), stamped])
        [(_, replies)] = seen.portions
        assert scene.recorder.times.left_out == 2
        assert replies.arrived_ns.tolist() == replies.read_ns.tolist()
        assert replies.in_service.tolist() == [0, 0]

    def test_are_called_once_for_each_group_in_a_flush_with_its_rows_in_order(self) -> None:
        seen = Seen()
        recorder = Recorder(1, sinks=[seen])
        for number, group in enumerate((2, 0, 2, 1, 0, 2)):
            recorder.record((origin_of(group, 5), 1, 0, 0, NOT_ASKED, number))
        recorder.flush()
        found = {group: replies.read_ns.tolist() for group, replies in seen.portions}
        assert found == {0: [1, 4], 1: [3], 2: [0, 2, 5]}
        assert len(seen.portions) == 3
        recorder.flush()
        assert len(seen.portions) == 3

    def test_see_failures_and_rejected_replies_when_they_happen(self) -> None:
        seen = Seen()
        recorder = Recorder(1, sinks=[seen])
        recorder.record_failure(RESET, 5, 1)
        recorder.record_rejected(MISMATCH, 3, 7, 2)
        assert seen.failed == [(1, RESET, 5)]
        assert seen.rejected == [(2, MISMATCH, 3, 7)]


class TestGroupsOfOneRecorder:
    def test_may_be_scheduled_or_not(self) -> None:
        recorder = Recorder(1)
        recorder.record((origin_of(0, 0), 2, 0, 1_000, NOT_ASKED, 1_500))
        recorder.record((origin_of(1, 1), 3, 900, 1_000, NOT_ASKED, 1_700))
        times = recorder.end_interval(0, 1).times
        assert (times.response.count, times.response.sum_ns) == (3, 3 * 800)
        assert (times.service.count, times.service.sum_ns) == (5, 2 * 500 + 3 * 700)

    def test_share_the_numbers_of_connections(self) -> None:
        recorder = Recorder(2)
        for group, index in ((0, 0), (1, 1), (9, 1)):
            recorder.record((origin_of(group, index), 1, 0, 0, NOT_ASKED, 100))
        assert recorder.by_connection().replies.tolist() == [1, 2]


class TestRejected:
    def test_are_counted_by_kind_apart_from_failures_of_connections(self) -> None:
        recorder = Recorder(1)
        recorder.record_rejected(MISMATCH, 3, 5)
        recorder.record_failure(RESET, 6)
        recorder.record_rejected(MISMATCH, 2, 9)
        tally = recorder.rejected[MISMATCH]
        assert (tally.count, tally.first_ns, tally.last_ns) == (5, 5, 9)
        assert recorder.rejected.keys() == {MISMATCH}
        assert recorder.failures.keys() == {RESET}

    def test_are_counted_in_their_interval(self) -> None:
        recorder = Recorder(1)
        recorder.record_rejected(MISMATCH, 3, 5)
        first = recorder.end_interval(0, 10)
        assert (first.rejected, first.failures) == (3, 0)
        assert recorder.end_interval(10, 20).rejected == 0

    @pytest.mark.parametrize("group", [0, 4])
    def test_of_the_warm_up_do_not_count(self, group: int) -> None:
        tallies = GroupTallies()
        recorder = Recorder(1, sinks=[tallies])
        recorder.record_rejected(MISMATCH, 3, 5, group)
        recorder.record_failure(RESET, 6, group)
        recorder.end_interval(0, 10)
        recorder.begin_measuring(10)
        recorder.record_rejected(MISMATCH, 1, 12, group)
        assert recorder.rejected[MISMATCH].count == tallies.by_group[group].rejected == 1
        assert recorder.failures[RESET].count == tallies.by_group[group].failures == 1


@given(st.lists(st.sampled_from(GROUPS), min_size=1, max_size=60))
def test_a_portion_is_whole_in_every_column(groups: list[int]) -> None:
    numbers = np.arange(len(groups))
    batch = Replies(*(numbers + 100 * column for column in range(len(Replies._fields))))
    for group, portion in batch.by_group(np.array(groups)):
        own = [number for number, each in enumerate(groups) if each == group]
        for column, values in enumerate(portion):
            assert values.tolist() == [number + 100 * column for number in own]
