"""Requests merged in bulk, compared with Locust's own listener; and events for each request."""

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_run import LocalRun, wait_for
from locust import stats as locust_stats
from locust import task
from locust.stats import RequestStats, StatsEntry
from servers import Peer, ScriptedServer, answers_each, echoes, never_answers

from loadgen.locust import ScriptedSocketUser, SocketUser
from loadgen.locust import stats as bulk
from loadgen.locust.stats import METHOD, RequestCounts
from loadgen.net.clock import wall_ns
from loadgen.units import NS_PER_S

MS: Final = 1_000_000
SECOND: Final = 1_700_000_000
QUIET: Final = settings(deadline=None, max_examples=60)


class One(NamedTuple):
    """One request: its latency or its failure; neither if it is one-way."""

    name: str
    second: int = SECOND
    latency_ns: int | None = None
    reply_bytes: int = 0
    failure: str = ""


def one_by_one(tables: RequestStats, requests: Sequence[One]) -> None:
    """Log ``requests`` as Locust's own listener does."""
    for one in requests:
        latency_ms: Any = None if one.latency_ns is None else one.latency_ns / MS
        tables.log_request(METHOD, one.name, latency_ms, one.reply_bytes)
        if one.failure:
            tables.log_error(METHOD, one.name, one.failure)


def counts_of(requests: Sequence[One]) -> RequestCounts:
    counts = RequestCounts()
    for name, some in itertools.groupby(requests, key=lambda one: one.name):
        group = list(some)
        answered = [(one.latency_ns, one.second) for one in group if one.latency_ns is not None]
        if answered:
            latency_ns, seconds = np.array(answered).T
            counts.add(name, latency_ns, np.ones_like(latency_ns), seconds)
        for one in group:
            counts.add_bytes(name, one.second, one.reply_bytes)
            if one.failure:
                counts.fail(name, one.second, one.failure)
            elif one.latency_ns is None:
                counts.add_untimed(name, one.second, 1)
    return counts


def in_bulk(tables: RequestStats, requests: Sequence[One]) -> None:
    bulk.merge(tables, counts_of(requests).take())


EXACT: Final = ("num_requests", "num_none_requests", "num_failures", "total_content_length")
MILLISECONDS: Final = ("total_response_time", "min_response_time", "max_response_time")


def check_same(one: StatsEntry, other: StatsEntry) -> None:
    for name in EXACT:
        assert getattr(one, name) == getattr(other, name), name
    for name in MILLISECONDS:
        assert getattr(one, name) == pytest.approx(getattr(other, name)), name
    assert sum(one.num_reqs_per_sec.values()) == sum(other.num_reqs_per_sec.values())
    assert sum(one.num_fail_per_sec.values()) == sum(other.num_fail_per_sec.values())
    assert sum(one.response_times.values()) == sum(other.response_times.values())


def check_same_tables(one: RequestStats, other: RequestStats) -> None:
    assert one.entries.keys() == other.entries.keys()
    check_same(one.total, other.total)
    for key, entry in one.entries.items():
        check_same(entry, other.entries[key])
    occurrences = [
        {key: (error.name, error.error, error.occurrences) for key, error in each.errors.items()}
        for each in (one, other)
    ]
    assert occurrences[0] == occurrences[1]


places = st.tuples(st.sampled_from(["login", "buy", "connect"]), st.integers(SECOND, SECOND + 3))
answers = st.builds(
    lambda place, latency_ns, reply_bytes: One(place[0], place[1], latency_ns, reply_bytes),
    places,
    st.none() | st.integers(0, 3600 * NS_PER_S),
    st.integers(0, 10**6),
)
failures = st.builds(
    lambda place, text: One(place[0], place[1], failure=text),
    places,
    st.sampled_from(["receive: reset", "connect: refused"]),
)
some_requests = st.lists(answers | failures, max_size=40)


class TestMerging:
    @given(some_requests)
    @QUIET
    def test_counts_what_logging_one_by_one_would_count(self, some: list[One]) -> None:
        bulk_tables, tables = RequestStats(), RequestStats()
        in_bulk(bulk_tables, some)
        one_by_one(tables, some)
        check_same_tables(bulk_tables, tables)

    @given(some_requests, st.integers(0, 40))
    @QUIET
    def test_in_portions_is_the_same(self, some: list[One], cut: int) -> None:
        whole, portions = RequestStats(), RequestStats()
        in_bulk(whole, some)
        in_bulk(portions, some[:cut])
        in_bulk(portions, some[cut:])
        check_same_tables(portions, whole)
        assert portions.total.num_reqs_per_sec == whole.total.num_reqs_per_sec

    @given(some_requests)
    @QUIET
    def test_puts_each_into_its_second(self, some: list[One]) -> None:
        tables = RequestStats()
        in_bulk(tables, some)
        assert tables.total.num_reqs_per_sec == Counter(one.second for one in some)
        failed = Counter(one.second for one in some if one.failure)
        assert tables.total.num_fail_per_sec == failed

    @given(st.lists(st.integers(1, 9_900), min_size=1, max_size=40))
    @QUIET
    def test_puts_each_time_where_locust_rounds_it_to(self, times_ms: list[int]) -> None:
        rounded_ms = map(locust_stats.bucket_response_time, times_ms)
        some = [One("buy", latency_ns=time_ms * MS) for time_ms in rounded_ms]
        bulk_tables, tables = RequestStats(), RequestStats()
        in_bulk(bulk_tables, some)
        one_by_one(tables, some)
        assert bulk_tables.total.response_times == tables.total.response_times
        for percent in (0.5, 0.9, 0.99, 1.0):
            assert bulk_tables.total.get_response_time_percentile(
                percent
            ) == tables.total.get_response_time_percentile(percent)

    @given(st.lists(st.integers(0, 60_000 * MS), min_size=1, max_size=40))
    @QUIET
    def test_is_off_by_no_more_than_the_histogram_and_one_step(self, times_ns: list[int]) -> None:
        tables, logged = RequestStats(), RequestStats()
        some = [One("buy", latency_ns=time_ns) for time_ns in times_ns]
        in_bulk(tables, some)
        one_by_one(logged, some)
        pairs = zip(
            *(sorted(Counter(each.total.response_times).elements()) for each in (tables, logged)),
            strict=True,
        )
        assert all(abs(one - other) <= max(1, 0.12 * other) for one, other in pairs)

    def test_uses_a_rounding_function_of_the_user(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(locust_stats, "bucket_response_time", lambda time_ms: round(time_ms, 1))
        tables = RequestStats()
        in_bulk(tables, [One("buy", latency_ns=240_000), One("buy", latency_ns=1_440_000)])
        assert tables.total.response_times == {0.2: 1, 1.4: 1}

    def test_goes_on_after_the_tables_were_cleared_or_reset(self) -> None:
        tables = RequestStats()
        some = [One("buy", latency_ns=5 * MS, reply_bytes=7), One("buy", failure="receive: reset")]
        for clear in (tables.clear_all, tables.reset_all, tables.clear_all):
            in_bulk(tables, some)
            clear()
            assert (tables.num_requests, tables.errors) == (0, {})
            in_bulk(tables, some)
            entry = tables.get("buy", METHOD)
            assert (tables.num_requests, entry.num_requests, entry.num_failures) == (2, 2, 1)
            assert [error.occurrences for error in tables.errors.values()] == [1]

    def test_says_when_a_request_and_an_error_were_last_seen(self) -> None:
        now_s = wall_ns() // NS_PER_S
        tables = RequestStats()
        in_bulk(tables, [One("buy", second=SECOND, failure="receive: reset")])
        assert tables.last_request_timestamp == SECOND + 0.999
        [error] = tables.errors.values()
        assert (error.first_seen, error.last_seen) == (SECOND, SECOND + 0.999)
        in_bulk(tables, [One("buy", second=now_s + 5, failure="receive: reset")])
        assert tables.last_request_timestamp is not None
        assert now_s <= tables.last_request_timestamp < now_s + 5
        assert (error.first_seen, error.occurrences) == (SECOND, 2)

    def test_of_nothing_adds_no_entry(self) -> None:
        tables = RequestStats()
        counts = RequestCounts()
        counts.add_bytes("buy", SECOND, 0)
        counts.add_untimed("buy", SECOND, 0)
        bulk.merge(tables, counts.take())
        assert tables.entries == {}

    def test_of_bytes_alone_counts_no_request(self) -> None:
        tables = RequestStats()
        counts = counts_of([One("buy", latency_ns=MS, reply_bytes=7), One("buy", failure="reset")])
        bulk.merge_bytes(tables, counts.take())
        assert (tables.num_requests, tables.errors) == (0, {})
        assert tables.total.total_content_length == 7
        assert tables.get("buy", METHOD).total_content_length == 7


class TestRequestCounts:
    def test_returns_each_request_once_and_keeps_the_sum(self) -> None:
        some = [One("buy", latency_ns=MS), One("buy", failure="reset"), One("look")]
        counts = counts_of(some)
        assert sum(group.latency.count for group in counts.take().values()) == 1
        assert counts.take() == {}
        counts.fail("buy", SECOND, "reset", 3)
        counts.take()
        assert counts.by_name["buy"].failures == {"reset": 4}
        assert (counts.by_name["buy"].latency.count, counts.by_name["look"].untimed) == (1, 1)

    def test_discards_the_warm_up(self) -> None:
        counts = counts_of([One("buy", latency_ns=MS)])
        counts.take()
        counts.fail("buy", SECOND, "reset")
        counts.forget()
        assert (counts.take(), counts.by_name) == ({}, {})

    def test_counts_a_batch_of_replies_as_so_many_requests(self) -> None:
        tables = RequestStats()
        counts = RequestCounts()
        counts.add("buy", np.array([MS, 3 * MS]), np.array([4, 2]), np.array([SECOND, SECOND]))
        bulk.merge(tables, counts.take())
        assert tables.num_requests == 6
        assert tables.total.total_response_time == 10
        assert tables.total.response_times == {1: 4, 3: 2}


class RequestListener:
    """Listens to Locust's ``events.request``."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.times_ms: list[float | None] = []
        self.exceptions: list[str] = []

    def listen(
        self,
        name: str,
        response_time: float | None,
        exception: Exception | None,
        request_type: str,
        **_: Any,
    ) -> None:
        assert request_type == METHOD
        self.names.append(name)
        self.times_ms.append(response_time)
        if exception is not None:
            self.exceptions.append(str(exception))


@pytest.fixture
def listener() -> RequestListener:
    return RequestListener()


class TestRequestEvents:
    @pytest.mark.parametrize(
        ("wish", "listens", "is_fired"),
        [
            ("auto", False, False),
            ("auto", True, True),
            (True, False, True),
            (True, True, True),
            (False, True, False),
        ],
    )
    def test_are_fired_with_a_listener_or_if_the_class_asks(
        self,
        wish: bool | str,
        listens: bool,
        is_fired: bool,
        listener: RequestListener,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level("INFO", "loadgen.locust")
        with ScriptedServer(echoes) as server:

            class Ping(SocketUser):
                host = server.address
                connections = 2
                pipeline = 2
                payloads = (b"ping",)
                request_events = wish

            run = LocalRun(Ping)
            if listens:
                run.listen(listener.listen)
            with run:
                run.start(2)
                wait_for(lambda: run.answered(Ping) > 200)
            entry, total = run.entry("Ping"), run.environment.stats.total
            messages = run.record(Ping).actual.messages
            assert entry.num_requests == total.num_requests == messages
            assert sum(entry.response_times.values()) == messages
            assert sum(entry.num_reqs_per_sec.values()) == messages
            assert entry.total_content_length == total.total_content_length == 4 * messages
            assert listener.names == ["Ping"] * (messages if is_fired and listens else 0)
            if listener.names:
                assert max(listener.times_ms) == pytest.approx(entry.max_response_time)  # type: ignore[type-var]
            said = [each for each in caplog.messages if each.startswith("events.request is fired")]
            assert len(said) == is_fired
            if is_fired and wish == "auto":
                assert "RequestListener.listen listens" in said[0]

    def test_include_failures_and_one_way_requests(self, listener: RequestListener) -> None:
        def answers_every_other(peer: Peer) -> None:
            if len(peer.receive_exactly(11)) == 11:
                peer.send(b"answered")
                peer.receive_exactly(11)

        with ScriptedServer(answers_every_other) as server:

            class Shopper(ScriptedSocketUser):
                host = server.address
                reply = "fixed:8"

                @task
                def tell_twice_then_ask(self) -> None:
                    self.client.send(b"tell", name="tell")
                    self.client.send(b"tell", name="tell")
                    self.client.request(b"ask", name="ask")

            run = LocalRun(Shopper)
            run.listen(listener.listen)
            with run:
                run.start(1)
                wait_for(lambda: run.entry("ask").num_requests > 3)
            stats = run.environment.stats
            assert Counter(listener.names) == {
                name: run.entry(name).num_requests for name in set(listener.names)
            }
            assert len(listener.exceptions) == stats.num_failures == run.entry("ask").num_failures
            assert sum(run.errors().values()) == stats.num_failures
            assert Counter(listener.exceptions) == Counter(
                text for (_, text), count in run.errors().items() for _ in range(count)
            )
            answered = run.entry("ask").num_requests - stats.num_failures
            assert sum(time_ms is not None for time_ms in listener.times_ms) == answered

    def test_of_one_class_are_not_fired_for_another(self, listener: RequestListener) -> None:
        with ScriptedServer(echoes) as server:

            class Loud(SocketUser):
                host = server.address

            class Quiet(SocketUser):
                host = server.address
                request_events = False

            run = LocalRun(Loud, Quiet)
            run.listen(listener.listen)
            with run:
                run.start(2)
                wait_for(lambda: min(run.answered(Loud), run.answered(Quiet)) > 50)
            for user_class in (Loud, Quiet):
                messages = run.record(user_class).actual.messages
                entry = run.entry(user_class.__name__)
                assert entry.num_requests == messages
                assert entry.total_content_length == 64 * messages
            assert set(listener.names) == {"Loud"}

    def test_go_on_when_a_listener_raises(self) -> None:
        def fails(**_: Any) -> None:
            raise ZeroDivisionError("of the listener's own")

        with ScriptedServer(echoes) as server:

            class Ping(SocketUser):
                host = server.address

            run = LocalRun(Ping)
            run.listen(fails)
            with run:
                run.start(1)
                wait_for(lambda: run.entry("Ping").num_requests > 50)
            assert run.entry("Ping").num_requests == run.record(Ping).actual.messages


class TestTables:
    def test_agree_with_the_record_and_the_server(self) -> None:
        with ScriptedServer(answers_each(4, b"an answer")) as server:

            class Asking(SocketUser):
                host = server.address
                payloads = (b"ping",)
                reply = "fixed:9"
                name = "asked"

            with LocalRun(Asking) as run:
                run.start(3)
                wait_for(lambda: run.answered(Asking) > 300)
            entry, record = run.entry("asked"), run.record(Asking)
            assert server.bytes_received == 4 * entry.num_requests
            assert server.bytes_sent == entry.total_content_length
            assert entry.num_requests == record.actual.messages
            times = record.service_time_ns if record.timestamps.mode == "kernel" else None
            if times is not None and times.count == entry.num_requests:
                assert entry.total_response_time == pytest.approx(times.sum / MS)

    def test_count_one_way_messages_without_a_time(self) -> None:
        with ScriptedServer(never_answers) as server:

            class Telling(SocketUser):
                host = server.address
                reply = "none"
                payloads = (b"tell",)
                rate = 2000.0

            with LocalRun(Telling) as run:
                run.start(2)
                wait_for(lambda: run.answered(Telling) > 100)
            entry = run.entry("Telling")
            assert entry.num_requests == entry.num_none_requests
            assert entry.num_requests == run.record(Telling).actual.messages
            assert entry.min_response_time is None
            assert server.bytes_received == 4 * entry.num_requests

    def test_are_reset_when_all_users_run_if_requested(self) -> None:
        with ScriptedServer(echoes) as server:

            class Ping(SocketUser):
                host = server.address

            with LocalRun(Ping, reset_stats=True) as run:
                run.runner.start(2, spawn_rate=1)
                wait_for(lambda: run.runner.state == "running")
                wait_for(lambda: run.entry("Ping").num_requests > 200)
            record = run.record(Ping)
            assert run.entry("Ping").num_requests == record.actual.messages
            assert record.actual.warmup_messages > 0
            assert server.bytes_received == 64 * (
                record.actual.messages + record.actual.warmup_messages
            )

    def test_list_scripted_requests_that_a_task_makes(self) -> None:
        with ScriptedServer(echoes) as server:

            class Shopper(ScriptedSocketUser):
                host = server.address

                @task(3)
                def look(self) -> None:
                    self.client.request(b"look", name="look")

                @task
                def buy(self) -> None:
                    self.client.request(b"to buy", name="buy")

            with LocalRun(Shopper) as run:
                run.start(5)
                wait_for(lambda: min(run.entry(name).num_requests for name in names) > 20)
            counts = {name: run.entry(name).num_requests for name in names}
            assert sum(counts.values()) == run.record(Shopper).actual.messages
            assert server.bytes_received == 4 * counts["look"] + 6 * counts["buy"]
            for name, size_bytes in (("look", 4), ("buy", 6)):
                entry = run.entry(name)
                assert entry.total_content_length == size_bytes * entry.num_requests


names: Final = ("look", "buy")
