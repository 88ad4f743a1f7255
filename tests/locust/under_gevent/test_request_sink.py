"""What a recorder hands on by group, counted by the name of the request and the second."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_run import LocalRun
from locust import User
from locust.stats import RequestStats, StatsEntry

from loadgen.engine.recorder import Recorder
from loadgen.engine.rows import origin_of
from loadgen.locust import stats as bulk
from loadgen.locust.request_events import RequestEvents
from loadgen.locust.stats import METHOD, RequestSink
from loadgen.net.clock import ManualClock, WallClock
from loadgen.net.failure import Cause, Failure, Phase
from loadgen.net.timestamps import MISSING, NOT_ASKED
from loadgen.units import NS_PER_S

MS: Final = 1_000_000
OFFSET_NS: Final = 1_700_000_000 * NS_PER_S
MISMATCH: Final = Failure(Phase.VERIFY, Cause.MISMATCH)
RESET: Final = Failure(Phase.RECEIVE, Cause.RESET)


def tables_of(sink: RequestSink) -> RequestStats:
    tables = RequestStats()
    bulk.merge(tables, sink.counts.take())
    return tables


def entry_of(sink: RequestSink, name: str) -> StatsEntry:
    return tables_of(sink).get(name, METHOD)


requests = st.lists(
    st.tuples(
        st.sampled_from(["shop", "login", "buy", "look"]),
        st.integers(1, 4),  # replies
        st.integers(0, 400 * MS),  # from the intended time to the send
        st.integers(0, 3 * NS_PER_S),  # and to the reply
        st.booleans(),  # whether all is flushed then
    ),
    max_size=40,
)


class TestReplies:
    @given(requests, st.booleans())
    @settings(deadline=None)
    def test_are_counted_once_each_by_name_and_second(
        self, requests: Sequence[tuple[str, int, int, int, bool]], is_scheduled: bool
    ) -> None:
        sink = RequestSink("shop", OFFSET_NS, reply_bytes=7)
        recorder = Recorder(1, sinks=[sink])
        now_ns = 500 * NS_PER_S
        counts, seconds = Counter[str](), Counter[int]()
        times_ns = Counter[str]()
        for name, replies, waits_ns, takes_ns, is_flushed in requests:
            intended_ns = now_ns if is_scheduled else 0
            sent_ns = now_ns + waits_ns
            now_ns = sent_ns + takes_ns
            origin = origin_of(sink.group_of(name), 0)
            recorder.record((origin, replies, intended_ns, sent_ns, NOT_ASKED, now_ns))
            counts[name] += replies
            seconds[(now_ns + OFFSET_NS) // NS_PER_S] += replies
            times_ns[name] += replies * (takes_ns + waits_ns * is_scheduled)
            if is_flushed:
                recorder.flush()
        recorder.flush()
        tables = tables_of(sink)
        assert {name: entry.num_requests for (name, _), entry in tables.entries.items()} == counts
        assert tables.total.num_reqs_per_sec == seconds
        for name, count in counts.items():
            entry = tables.get(name, METHOD)
            assert entry.total_response_time == pytest.approx(times_ns[name] / MS)
            assert entry.total_content_length == 7 * count

    def test_end_at_the_stamp_or_at_the_read_where_there_is_none(self) -> None:
        sink = RequestSink("shop", OFFSET_NS)
        clock = ManualClock(500 * NS_PER_S)
        wall = ManualClock(clock.now_ns + OFFSET_NS)
        recorder = Recorder(1, WallClock(clock, wall), [sink])
        sent_ns, read_ns = clock.now_ns - 10 * MS, clock.now_ns
        for name, stamp_ns in (("stamped", wall.now_ns - 4 * MS), ("other", MISSING)):
            origin = origin_of(sink.group_of(name), 0)
            recorder.record((origin, 2, 0, sent_ns, stamp_ns, read_ns))
        recorder.flush()
        tables = tables_of(sink)
        assert tables.get("stamped", METHOD).total_response_time == 2 * 6
        assert tables.get("other", METHOD).total_response_time == 2 * 10

    def test_of_the_warm_up_do_not_count(self) -> None:
        sink = RequestSink("shop", OFFSET_NS)
        recorder = Recorder(1, sinks=[sink])
        recorder.record((0, 3, 0, 0, NOT_ASKED, 5))
        recorder.end_interval(0, 10)
        recorder.begin_measuring(10)
        recorder.record((0, 2, 0, 10, NOT_ASKED, 15))
        recorder.flush()
        assert entry_of(sink, "shop").num_requests == 2


class TestNames:
    def test_have_one_group_each_and_the_first_is_that_of_the_class(self) -> None:
        sink = RequestSink("shop", OFFSET_NS)
        groups = [sink.group_of(name) for name in ("buy", "shop", "look", "buy", "")]
        assert groups == [1, 0, 2, 1, 3]
        assert [sink.name_of(group) for group in range(4)] == ["shop", "buy", "look", ""]


class TestRejectedReplies:
    def recorded(self, sink: RequestSink) -> None:
        """Five replies to `buy`, of which three are rejected, and one to `look`."""
        recorder = Recorder(1, sinks=[sink])
        buy, look = sink.group_of("buy"), sink.group_of("look")
        recorder.record_rejected(MISMATCH, 2, 5 * MS, buy)
        recorder.record_rejected(RESET, 1, 5 * MS, buy)
        recorder.record_failure(RESET, 5 * MS, look)  # counted with the messages that it loses
        for group, replies in ((buy, 4), (look, 1), (buy, 1)):
            recorder.record((origin_of(group, 0), replies, 0, 0, NOT_ASKED, 5 * MS))
        recorder.flush()

    def check(self, tables: RequestStats) -> None:
        buy, look = tables.get("buy", METHOD), tables.get("look", METHOD)
        assert (buy.num_requests, buy.num_failures, buy.num_none_requests) == (5, 3, 0)
        assert (look.num_requests, look.num_failures) == (1, 0)
        assert buy.response_times == {5: 5}
        assert sum(buy.num_fail_per_sec.values()) == 3
        errors = {
            (error.name, str(error.error)): error.occurrences for error in tables.errors.values()
        }
        assert errors == {("buy", str(MISMATCH)): 2, ("buy", str(RESET)): 1}

    def test_are_requests_that_failed_and_have_a_time(self) -> None:
        sink = RequestSink("shop", OFFSET_NS)
        self.recorded(sink)
        self.check(tables_of(sink))
        assert sink.counts.by_name["buy"].rejected == {str(MISMATCH): 2, str(RESET): 1}

    def test_are_the_same_where_each_request_is_an_event(self) -> None:
        class Shopper(User):
            pass

        run = LocalRun(Shopper)
        sink = RequestSink("shop", OFFSET_NS)
        sink.counts.listener = events = RequestEvents(run.environment)
        self.recorded(sink)
        events.drain()
        self.check(run.environment.stats)
        run.runner.quit()
