"""The account of a run, kept of an engine on a clock that only the test moves."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from accounts import check
from datagram_loop import Loop
from datagrams import UdpPeer
from records import HEALTHY
from stepped_engine import MS, SECOND, SteppedEngine, conversation, every, socket_of

from loadgen.engine.choice import Choice
from loadgen.net.clock import monotonic_ns, wall_ns
from loadgen.plan import Plan
from loadgen.results.record import RunRecord
from loadgen.runner.account import RunAccount
from loadgen.runner.build_record import RunSetup

EPOLL = Choice("epoll", "python")

INTERVAL_NS = 100 * MS  # of the schedule: ten messages a second


class AccountedRun:
    """A run of two connections in an open loop, and its account."""

    def __init__(self, warmup_s: float = 0.0, rate: str | float = 10.0) -> None:
        self.stepped = SteppedEngine(model=every(INTERVAL_NS))
        self.clock, self.engine = self.stepped.clock, self.stepped.engine
        self.suspended_ns = 0
        plan = Plan(target="a:1", connections=2, rate=rate, warmup_s=warmup_s, duration_s=9.0)
        self.offered = plan.profile_with_warmup()
        setup = RunSetup(plan, HEALTHY.target, EPOLL, "as asked", plan.duration_s, self.offered)
        boot_clock = lambda: monotonic_ns() + self.suspended_ns  # noqa: E731
        self.account = RunAccount(setup, self.engine, self.stepped.recorder, boot_clock)

    def open(self) -> None:
        self.account.begin_opening(self.clock.now_ns)
        self.stepped.open(2, conversation(scheduled=True))
        self.clock.advance(SECOND)
        self.account.end_opening(self.clock.now_ns)

    def start(self) -> None:
        self.account.start(self.engine.start())

    def send(self) -> None:
        """Send the next message, when it is due."""
        submitted = self.engine.pool.totals().submitted
        wait_s = self.engine.next_timeout()
        assert wait_s is not None
        self.clock.advance(round(wait_s * SECOND))
        self.stepped.turn_until(lambda: self.engine.pool.totals().submitted > submitted)

    def answer(self, after_ns: int) -> None:
        """Answer the message that is in flight."""
        self.clock.advance(after_ns)
        self.stepped.answer(next(each for each in self.engine.pool.connections if each.in_flight))

    def exchange(self, messages: int, after_ns: int = 5 * MS) -> None:
        for _ in range(messages):
            self.send()
            self.answer(after_ns)

    def end_interval(self) -> None:
        self.account.end_interval(self.clock.now_ns)

    def break_one(self) -> None:
        """Let the peer of the second connection close it."""
        self.stepped.peer_of(self.engine.pool.connections[1]).close()
        self.stepped.turn_until(lambda: self.account.failures > 0)

    def end_one_well(self) -> None:
        """Let a peer answer by closing its connection; return once that is up again."""
        self.send()
        renewed = self.engine.pool.renewed
        busy = next(each for each in self.engine.pool.connections if each.in_flight)
        with self.stepped.peer_of(busy) as peer:
            peer.recv(100)
            peer.sendall(b"pong")
        self.stepped.turn_until(lambda: self.engine.pool.renewed > renewed and busy.is_up)

    def pause(self, pause_ns: int) -> None:
        """Let this process not run for so long, in which the machine is suspended, too."""
        self.clock.sleep, sleep = None, self.clock.sleep
        self.clock.advance(pause_ns)
        self.clock.sleep = sleep
        self.engine.turn(0)
        self.suspended_ns += 1000 * pause_ns

    def finish(self) -> RunRecord:
        """Drain, with a message in flight that is answered then, and end after a pause."""
        self.send()
        self.end_interval()
        self.account.end_load()
        self.engine.pool.drain()
        self.answer(5 * MS)
        self.pause(20 * MS)
        self.end_interval()
        self.account.end()
        return self.account.record()


@pytest.fixture
def run() -> Iterator[AccountedRun]:
    run = AccountedRun()
    with run.stepped:
        yield run


@pytest.fixture
def warming() -> Iterator[AccountedRun]:
    """A run whose warm-up is to last for three seconds."""
    run = AccountedRun(warmup_s=3.0)
    with run.stepped:
        run.open()
        run.start()
        yield run


def summed(record: RunRecord, name: str, *phases: str) -> int:
    return sum(getattr(each, name) for each in record.intervals if each.stage in phases)


def without_machine(record: RunRecord) -> RunRecord:
    """Return ``record`` without what depends on the machine and on when the test runs."""
    nothing: dict[str, Any] = dict.fromkeys(
        ("involuntary_switches", "run_queue_s", "throttled_s", "suspended_s")
    )
    replace = msgspec.structs.replace
    generator = replace(record.generator, polls=0, empty_polls=0, **nothing)
    actual = replace(record.actual, cpu_user_s=0.0, cpu_system_s=0.0)
    return replace(record, started_at=HEALTHY.started_at, generator=generator, actual=actual)


# ---- intervals and totals --------------------------------------------------------------------


def test_the_intervals_add_up_to_the_totals_at_every_border(warming: AccountedRun) -> None:
    warming.exchange(3)
    warming.end_interval()
    warming.account.begin_measuring()
    for messages in (2, 0, 4):
        warming.exchange(messages)
        warming.clock.advance(MS)
        warming.end_interval()
        so_far = warming.account.record()
        actual = so_far.actual
        assert actual.warmup_messages == summed(so_far, "messages", "warming") == 3
        assert actual.messages == summed(so_far, "messages", "loading")
        assert actual.messages == so_far.latency.count == so_far.service_time_ns.count
        assert actual.bytes_sent == sum(each.bytes_sent for each in so_far.intervals)
        assert actual.bytes_received == sum(each.bytes_received for each in so_far.intervals)
        durations_s = (each.duration_s for each in so_far.intervals if each.stage == "loading")
        assert actual.duration_s == pytest.approx(sum(durations_s))
    record = warming.finish()
    check(record)
    assert record.actual.messages == 2 + 0 + 4 + 1
    assert summed(record, "messages", "draining") == 1
    assert record.service_time_ns.count == 7
    assert [each.stage for each in record.intervals] == [
        *("opening", "warming", "loading", "loading", "loading", "loading", "draining")
    ]
    starts_s = [each.start_s for each in record.intervals]
    ends_s = [each.start_s + each.duration_s for each in record.intervals]
    assert starts_s[1:] == pytest.approx(ends_s[:-1])
    assert ends_s[1] == pytest.approx(0.0)  # the warm-up ended earlier than planned


def test_the_progress_is_that_by_the_end_of_the_interval(run: AccountedRun) -> None:
    run.open()
    assert run.account.progress().stage == "loading"
    assert run.account.progress().totals.up == 2
    run.start()
    run.exchange(2)
    run.clock.now_ns = run.account.border_ns + SECOND // 2
    progress = run.account.end_interval(run.clock.now_ns)
    assert (progress.elapsed_s, progress.messages_per_s) == (0.5, 4.0)
    assert progress.totals == run.engine.pool.totals()


# ---- a record so far -------------------------------------------------------------------------


def test_what_is_in_flight_has_no_outcome_so_far(run: AccountedRun) -> None:
    run.open()
    run.start()
    run.exchange(3)
    run.send()
    run.end_interval()
    first, second = run.account.record(), run.account.record()
    assert without_machine(first) == without_machine(second)
    assert (first.actual.messages, first.actual.submitted) == (3, 3)
    assert first.actual.duration_s == pytest.approx(0.3)
    assert first.actual.drain_s == 0.0
    # At 10/s, three are due within 0.3 s; the fourth is due just then, and sent.
    assert (first.actual.due, first.actual.overdue) == (4, 0)
    assert (first.connections.count, first.connections.ledger) == (2, {})
    run.answer(5 * MS)
    record = run.finish()
    check(record)
    assert (record.actual.messages, record.actual.submitted) == (5, 5)


def test_what_was_lost_has_an_outcome_so_far(run: AccountedRun) -> None:
    run.open()
    run.start()
    run.exchange(1)
    run.send()
    connection = next(each for each in run.engine.pool.connections if each.in_flight)
    run.stepped.peer_of(connection).close()
    run.stepped.turn_until(lambda: run.account.failures > 0)
    run.end_interval()
    so_far = run.account.record()
    assert (so_far.actual.messages, so_far.actual.submitted) == (1, 2)
    assert [failure.count for failure in so_far.failures] == [1]
    assert summed(so_far, "failures", "loading") == 1


def test_what_is_overdue_is_estimated_so_far_and_counted_in_the_end(run: AccountedRun) -> None:
    run.open()
    run.start()
    run.send()
    run.send()
    run.clock.advance(360 * MS)  # three more are due, and both connections wait
    run.end_interval()
    so_far = run.account.record()
    assert (so_far.actual.due, so_far.actual.overdue) == (5, 3)
    run.account.end_load()
    run.engine.pool.drain()
    run.answer(INTERVAL_NS)
    run.answer(INTERVAL_NS)
    run.end_interval()
    run.account.end()
    record = run.account.record()
    assert (record.actual.due, record.actual.overdue) == (5, 3)
    assert (record.actual.submitted, record.actual.messages) == (2, 2)


@pytest.mark.parametrize("reports", [1, 3])
def test_records_so_far_change_nothing_in_the_record(reports: int) -> None:
    kept: list[tuple[RunRecord, bytes]] = []

    def keep(record: RunRecord) -> None:
        kept.append((record, record.to_json()))

    def recorded(reports: int) -> RunRecord:
        run = AccountedRun(warmup_s=0.2)
        with run.stepped:
            run.open()
            run.start()
            run.exchange(2)
            run.end_interval()
            run.account.begin_measuring()
            for messages in (1, 3, 2):
                run.exchange(messages)
                run.end_interval()
                for _ in range(reports):  # at a border
                    keep(run.account.record())
                run.send()
                for _ in range(reports):  # in the middle of an interval
                    keep(run.account.record())
                run.answer(7 * MS)
            record = run.finish()
            for _ in range(reports):
                assert without_machine(run.account.record()) == without_machine(record)
            return without_machine(record)

    assert recorded(reports).to_json() == recorded(0).to_json()
    assert len(kept) == 6 * reports
    assert all(record.to_json() == text for record, text in kept)


def test_each_interval_is_in_one_record_if_it_is_forgotten_after_each(run: AccountedRun) -> None:
    run.open()
    run.start()
    reports = []
    for messages in (2, 0, 3):
        run.exchange(messages)
        run.clock.advance(MS)
        run.end_interval()
        reports.append(run.account.record())
        run.account.forget_intervals()
    last = run.finish()
    assert [len(each.intervals) for each in (*reports, last)] == [2, 1, 1, 2]
    sent = sum(summed(each, "messages", "loading", "draining") for each in (*reports, last))
    assert sent == last.actual.messages == last.service_time_ns.count == 6


# ---- the warm-up -----------------------------------------------------------------------------


def test_a_warm_up_is_in_no_figure_of_the_load() -> None:
    run = AccountedRun(warmup_s=0.2, rate="10..100/9s")
    with run.stepped:
        run.open()
        run.start()
        run.exchange(3, after_ns=50 * MS)
        run.break_one()
        run.pause(40 * MS)
        run.end_interval()
        run.account.begin_measuring()
        run.exchange(20, after_ns=MS)
        run.pause(80 * MS)
        record = run.finish()
    check(record)
    load_only(record)
    assert record.actual.warmup_messages == summed(record, "messages", "warming") == 3
    assert record.actual.warmup_s == pytest.approx(0.29)
    assert run.offered is not None
    offered_per_s = run.offered.mean_per_s(0.29, 0.29 + record.actual.duration_s)
    assert record.requested.rate_per_s == pytest.approx(offered_per_s)
    assert [failure.first_s < 0 for failure in record.failures] == [True]
    assert summed(record, "failures", "warming") == 1


def test_datagrams_that_had_their_end_in_the_warm_up_are_in_no_books_of_the_load() -> None:
    """Of 0 and 1, lost in it, one reply comes late, in the load; 2 and 3 are in flight between."""
    held: list[bytes] = []

    def fate(number: int, datagram: bytes) -> tuple[bytes, ...]:
        held.append(datagram)
        return (datagram,) if number > 3 else ()

    peer = UdpPeer(fate)
    loop = Loop(peer, pipeline=2, messages=6)
    plan = Plan(target=peer.address, connections=1, warmup_s=1.0, duration_s=9.0)
    setup = RunSetup(plan, HEALTHY.target, EPOLL, "as asked", plan.duration_s, None)
    account = RunAccount(setup, loop.served.engine, loop.recorder)
    with loop.served:
        loop.start()
        account.start(loop.clock())
        loop.settle()
        loop.expire()
        account.end_interval(loop.clock())
        account.begin_measuring()
        assert loop.channel.in_flight == 2
        for number in (0, 2):
            peer.socket.sendto(held[number], socket_of(loop.connection).getsockname())
        loop.settle()
        loop.expire()
        account.end_interval(loop.clock())
        account.end_load()
        account.end()
        found = account.record().datagrams
    assert found is not None
    assert (found.sent, found.answered, found.lost) == (4, 3, 1)
    assert (found.late, found.in_flight, found.failed) == (0, 0, 0)
    assert (found.duplicates, found.reordered, found.unmatched) == (0, 0, 0)


def test_connections_that_were_renewed_in_the_warm_up_are_not_among_those_of_the_load() -> None:
    run = AccountedRun(warmup_s=1.0)
    with run.stepped:
        run.account.begin_opening(run.clock.now_ns)
        run.stepped.open(2, conversation(reply="eof", scheduled=True))
        run.account.end_opening(run.clock.now_ns)
        run.start()
        run.end_one_well()
        run.end_interval()
        run.account.begin_measuring()
        run.end_one_well()
        run.end_one_well()
        run.end_interval()
        assert run.account.record().actual.renewed == 2


def test_a_reset_leaves_no_trace_of_what_was_before(run: AccountedRun) -> None:
    run.start()  # without an opening: connections come during the load
    run.stepped.open(2, conversation(scheduled=True))
    run.exchange(3, after_ns=50 * MS)
    run.break_one()
    run.pause(40 * MS)
    before = run.account.record()
    began_ns = wall_ns()
    while wall_ns() < began_ns + 2 * MS:
        pass  # the time at which a run began is known to the millisecond
    run.account.reset(run.clock.now_ns)
    run.exchange(20, after_ns=MS)
    run.pause(80 * MS)
    record = run.finish()
    load_only(record)
    assert [each.stage for each in record.intervals] == ["loading", "draining"]
    assert record.intervals[0].start_s == 0.0
    assert record.failures == []
    assert record.started_at > before.started_at
    assert record.actual.messages == 21 == summed(record, "messages", "loading", "draining")


def load_only(record: RunRecord) -> None:
    """Every figure is of the load: 20 replies after 1 ms, one in the drain, a pause of 80 ms."""
    actual, generator = record.actual, record.generator
    times = record.service_time_ns
    assert times.count == actual.messages == 21
    assert times.max == 5 * MS
    assert generator.gaps == 1
    assert generator.gaps_s == pytest.approx(0.08)
    assert generator.suspended_s == pytest.approx(80.0, abs=20.0)
    spent, lag = actual.connection_time, record.schedule_lag_ns
    assert spent is not None
    assert lag is not None
    assert spent.up_s == spent.failed_s == pytest.approx(actual.duration_s)
    assert actual.due is not None
    assert actual.due == lag.count == 21
    assert max(record.connections.ledger["service_time_max_ns"]) < 6 * MS
