"""The engine in gevent's loop: what could stop it silently, and does not."""

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import gevent
import pytest
from accounts import check
from gevent.exceptions import BlockingSwitchOutError
from local_run import DEADLINE_S, LocalRun, wait_for
from servers import ScriptedServer, echoes

from loadgen.engine.engine import Engine
from loadgen.engine.loop_stats import HEARTBEAT_NS
from loadgen.errors import LoadgenBug
from loadgen.locust import SocketUser
from loadgen.locust.gevent_driver import GeventDriver
from loadgen.locust.signals import Interrupts
from loadgen.net.backends import TURN_EVENTS
from loadgen.net.clock import monotonic_ns
from loadgen.net.failure import Cause
from loadgen.net.unpatched import original
from loadgen.server.embedded import EmbeddedServer

MANY: Final = 600


class FakeEngine:
    """What a driver needs of an engine; its descriptor, a real epoll, is always readable."""

    def __init__(self, at_each_turn: Callable[[], None] = lambda: None) -> None:
        self.turns = self.closes = 0
        self.sleeps_ns: list[tuple[int, int, int]] = []
        self.timeout_s: float | None = None
        self._at_each_turn = at_each_turn
        self._event = os.eventfd(1)
        self._poll = original("select", "epoll")()
        self._poll.register(self._event, select.POLLIN)

    def fileno(self) -> int:
        return int(self._poll.fileno())

    def turn(self, timeout_s: float) -> None:
        assert timeout_s == 0
        self.turns += 1
        self._at_each_turn()

    def next_timeout(self) -> float | None:
        return self.timeout_s

    def slept(self, began_ns: int, due_ns: int, ended_ns: int) -> None:
        assert ended_ns >= began_ns
        self.sleeps_ns.append((began_ns, due_ns, ended_ns))

    def fall_silent(self) -> None:
        os.eventfd_read(self._event)

    def close(self) -> None:
        self.closes += 1
        self._poll.close()
        os.close(self._event)


@contextlib.contextmanager
def driving(engine: FakeEngine) -> Iterator[tuple[GeventDriver, list[BaseException]]]:
    """A driver of ``engine``, and the bugs reported to it."""
    bugs: list[BaseException] = []
    interrupts = Interrupts()
    interrupts.install()
    driver = GeventDriver(cast("Engine", engine), monotonic_ns, interrupts, bugs.append)
    try:
        yield driver, bugs
    finally:
        driver.close()
        interrupts.remove()


def let_the_loop_turn(times: int = 20) -> None:
    for _ in range(times):
        gevent.sleep(0.001)


class TestClosing:
    def test_stops_the_watcher_before_the_engine_closes(self) -> None:
        # libev aborts the process, at once or later, if a descriptor is closed first.
        engines = [FakeEngine() for _ in range(20)]
        for engine in engines:
            with driving(engine):
                let_the_loop_turn(2)
        turns = [engine.turns for engine in engines]
        assert min(turns) > 0
        let_the_loop_turn()
        assert [engine.turns for engine in engines] == turns
        assert {engine.closes for engine in engines} == {1}

    def test_closes_the_descriptor_after_its_watcher(self) -> None:
        class Lingering(FakeEngine):
            def close(self) -> None:
                turns = self.turns
                let_the_loop_turn()
                assert self.turns == turns
                super().close()

        engine = Lingering()
        with driving(engine):
            wait_for(lambda: engine.turns)
        assert engine.closes == 1

    def test_within_a_turn_is_allowed(self) -> None:
        engine = FakeEngine(lambda: drivers.pop().close() if drivers else None)
        with driving(engine) as (driver, bugs):
            drivers = [driver]
            wait_for(lambda: engine.closes)
            let_the_loop_turn()
            assert (engine.turns, engine.closes, bugs) == (1, 1, [])

    def test_twice_is_allowed(self) -> None:
        engine = FakeEngine()
        with driving(engine) as (driver, _):
            driver.close()
            driver.close()
            driver.arm()
        assert engine.closes == 1

    def test_leaves_no_timer_behind(self) -> None:
        engine = FakeEngine()
        engine.fall_silent()
        with driving(engine) as (driver, _):
            engine.timeout_s = 0.001
            driver.arm()
            driver.close()
            let_the_loop_turn()
        assert engine.turns == 0


class TestTimer:
    def test_steps_an_engine_whose_sockets_are_silent(self) -> None:
        engine = FakeEngine()
        engine.fall_silent()
        with driving(engine) as (driver, _):
            let_the_loop_turn()
            assert engine.turns == 0
            engine.timeout_s = 0.0
            driver.arm()
            wait_for(lambda: engine.turns > 3)
            engine.timeout_s = None
            wait_for(lambda: self.slept_until_each_heartbeat(engine))

    def slept_until_each_heartbeat(self, engine: FakeEngine) -> bool:
        """Whether the loop waited with a due time, although the engine has no timeout."""
        began_ns, due_ns, ended_ns = engine.sleeps_ns[-1]
        return 0 < due_ns - began_ns <= HEARTBEAT_NS and ended_ns >= due_ns - 1_000_000

    def test_is_brought_forward_and_not_put_off(self) -> None:
        engine = FakeEngine()
        engine.fall_silent()
        with driving(engine) as (driver, _):
            for timeout_s in (3600.0, 0.001, 3600.0):
                engine.timeout_s = timeout_s
                driver.arm()
            wait_for(lambda: engine.turns == 1)


class TestBugs:
    def test_that_leave_a_turn_are_reported_and_the_loop_goes_on(self) -> None:
        def fail() -> None:
            raise ZeroDivisionError("a bug")

        engine, healthy = FakeEngine(fail), FakeEngine()
        with driving(engine) as (driver, bugs), driving(healthy) as (_, others):
            wait_for(lambda: bugs)
            turns = healthy.turns
            wait_for(lambda: healthy.turns > turns + 10)
            driver.arm()
            let_the_loop_turn()
            assert [repr(bug) for bug in bugs] == ["ZeroDivisionError('a bug')"]
            assert (engine.turns, engine.closes, others) == (1, 0, [])
        assert engine.closes == 1

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_use_after_a_fork_is_refused(self) -> None:
        refused, accepted = 3, 4
        with driving(FakeEngine()) as (driver, _):
            child = os.fork()
            if not child:
                code = accepted
                try:
                    driver.arm()
                except LoadgenBug:
                    code = refused
                finally:
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == refused
            driver.arm()


class TestInterrupt:
    """^C, which nearly always arrives within a turn."""

    def test_waits_until_the_turn_is_over(self) -> None:
        finished: list[int] = []

        def interrupt() -> None:
            if not finished:
                os.kill(os.getpid(), signal.SIGINT)
                finished.append(engine.turns)

        engine = FakeEngine(interrupt)
        with driving(engine) as (driver, bugs):
            with pytest.raises(KeyboardInterrupt):
                gevent.sleep(DEADLINE_S)
            assert finished == [1]
            wait_for(lambda: engine.turns > 5)
            assert bugs == []
            driver.close()
        assert engine.closes == 1

    def test_lets_the_driver_be_closed_at_once(self) -> None:
        engine = FakeEngine(lambda: os.kill(os.getpid(), signal.SIGINT))
        with driving(engine) as (driver, bugs):
            with pytest.raises(KeyboardInterrupt):
                gevent.sleep(DEADLINE_S)
            driver.close()  # gevent is still within the callback
            let_the_loop_turn()
            assert (engine.turns, engine.closes, bugs) == (1, 1, [])

    def test_outside_of_a_turn_is_pythons_own(self) -> None:
        with driving(FakeEngine()), pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def test_is_left_to_another_handler_in_place(self) -> None:
        signals: list[int] = []
        before = signal.signal(signal.SIGINT, lambda number, _: signals.append(number))
        try:
            engine = FakeEngine(lambda: os.kill(os.getpid(), signal.SIGINT))
            with driving(engine):
                wait_for(lambda: len(signals) > 1)
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            signal.signal(signal.SIGINT, before)
        assert len(signals) == engine.turns + 1

    def test_loses_nothing_of_a_run(self) -> None:
        with ScriptedServer(echoes) as server:

            class Interrupting(SocketUser):
                host = server.address
                connections = 20
                made = 0

                def payload(self) -> bytes:
                    Interrupting.made += 1
                    if Interrupting.made == 500:
                        os.kill(os.getpid(), signal.SIGINT)
                    return b"ping"

            with LocalRun(Interrupting) as run:
                run.runner.start(3, spawn_rate=100)
                with pytest.raises(KeyboardInterrupt):
                    gevent.sleep(DEADLINE_S)
            record = run.record(Interrupting)
            assert record.actual.messages >= 500
            assert record.actual.messages == record.actual.submitted == Interrupting.made
            assert record.actual.messages == run.environment.stats.total.num_requests
            assert record.failures == []
            assert server.bytes_received == 4 * Interrupting.made
            assert run.user_errors == []


@pytest.fixture
def first_user() -> Callable[[Any], Any]:
    """A function that returns the first user that it was called with."""
    users: list[Any] = []

    def first(user: Any) -> Any:
        users.append(user)
        return users[0]

    return first


class TestPayloadHook:
    @pytest.mark.parametrize("open_loop", [False, True])
    def test_that_raises_costs_its_own_connection_one_message(
        self, open_loop: bool, first_user: Callable[[Any], Any]
    ) -> None:
        with ScriptedServer(echoes) as server:

            class Failing(SocketUser):
                host = server.address
                rate = 500.0 if open_loop else None
                made = 0

                def payload(self) -> bytes:
                    self.made += 1
                    if self is first_user(self) and self.made == 3:
                        raise ValueError("of the user's own")
                    return b"ping"

            with LocalRun(Failing) as run:
                users = run.start(3)
                wait_for(lambda: min(user.made for user in users) > 100)
                [error] = run.user_errors
                assert repr(error) == 'ValueError("of the user\'s own")'
                assert error.__traceback__ is not None
                assert run.errors() == {("connect", f"send: {Cause.USER_CODE.text}"): 1}
            record = run.record(Failing)
            assert [(kind.cause, kind.count) for kind in record.failures] == [("user_code", 1)]
            assert record.actual.opened == server.accepted == 4
            assert sorted(record.connections.ledger["failures"]) == [0, 0, 1]
            assert record.actual.messages == record.actual.submitted
            assert record.actual.messages == sum(user.made for user in users) - 1
            check(record)
            assert run.environment.stats.get("Stumbling", "TCP").num_failures == 0

    def test_that_blocks_is_an_error(self) -> None:
        with ScriptedServer(echoes) as server:

            class Blocking(SocketUser):
                host = server.address
                made = 0

                def payload(self) -> bytes:
                    self.made += 1
                    if self.made == 2:
                        gevent.sleep(0.001)
                    return b"ping"

            with LocalRun(Blocking) as run:
                [user] = run.start(1)
                wait_for(lambda: user.made > 10)
            [error] = run.user_errors
            assert isinstance(error, BlockingSwitchOutError)
            record = run.record(Blocking)
            assert [(kind.cause, kind.count) for kind in record.failures] == [("user_code", 1)]
            assert record.actual.messages == user.made - 1

    def test_that_raises_greenlet_exit_is_an_error(self) -> None:
        with ScriptedServer(echoes) as server:

            class Leaving(SocketUser):
                host = server.address
                made = 0

                def payload(self) -> bytes:
                    self.made += 1
                    if self.made == 3:
                        raise gevent.GreenletExit
                    return b"ping"

            with LocalRun(Leaving) as run:
                [user] = run.start(1)
                wait_for(lambda: user.made > 50)
            record = run.record(Leaving)
            assert [(kind.cause, kind.count) for kind in record.failures] == [("user_code", 1)]

    @pytest.mark.parametrize("made", [b"", "text", None, bytearray(b"ping"), 7])
    def test_that_returns_an_invalid_message_is_an_error(self, made: Any) -> None:
        with ScriptedServer(echoes) as server:

            class Invalid(SocketUser):
                host = server.address
                messages_made = 0

                def payload(self) -> bytes:
                    self.messages_made += 1
                    return made if self.messages_made == 2 else b"ping"

            with LocalRun(Invalid) as run:
                [user] = run.start(1)
                wait_for(lambda: user.messages_made > 10)
            [error] = run.user_errors
            assert isinstance(error, TypeError)
            assert repr(made) in str(error)


class TestWaitTime:
    def test_that_raises_delays_no_other_user(self, first_user: Callable[[Any], Any]) -> None:
        with ScriptedServer(echoes) as server:

            class Failing(SocketUser):
                host = server.address
                calls = 0

                def wait_time(self) -> float:
                    self.calls += 1
                    if self is first_user(self) and self.calls <= 2:
                        raise ArithmeticError("no idea")
                    return 0.002

            with LocalRun(Failing) as run:
                users = run.start(2)
                wait_for(lambda: max(user.calls for user in users) > 100)
                wait_for(lambda: min(user.calls for user in users) > 10)  # after a while
            assert [repr(each) for each in run.user_errors] == ["ArithmeticError('no idea')"] * 2
            assert run.record(Failing).failures == []
            assert run.environment.stats.total.num_failures == 0

    @pytest.mark.parametrize("wrong", [None, "soon", float("nan"), float("inf")])
    def test_that_returns_an_invalid_time_is_an_error(self, wrong: Any) -> None:
        with ScriptedServer(echoes) as server:

            class Invalid(SocketUser):
                host = server.address

                def wait_time(self) -> float:
                    return cast("float", wrong)

            with LocalRun(Invalid) as run:
                run.start(1)
                wait_for(lambda: run.user_errors)
                assert run.answered(Invalid) == 1

    def test_is_called_for_each_connection_separately(self) -> None:
        with ScriptedServer(echoes) as server:
            waiters = set()

            class Paced(SocketUser):
                host = server.address
                connections = 3
                mark = "the user's own"

                def wait_time(self) -> float:
                    waiters.add(id(self))
                    assert self.mark == "the user's own"
                    return 0.001

            with LocalRun(Paced) as run:
                run.start(2)
                wait_for(lambda: run.answered(Paced) > 100)
            assert len(waiters) == 6
            assert run.user_errors == []


class TestStarvation:
    def test_of_other_greenlets_does_not_happen(self) -> None:
        with EmbeddedServer() as server:

            class Busy(SocketUser):
                host = server.address
                connections = MANY

            with LocalRun(Busy) as run:
                run.start(1)
                engine = run.load_of(Busy).engine
                wait_for(lambda: engine.pool.totals().up == MANY)
                answered, polls = engine.pool.totals().answered, engine.loop_stats.polls
                turns_between: list[int] = []
                while sum(turns_between) < 200:
                    before = engine.loop_stats.polls
                    gevent.sleep(0)
                    turns_between.append(engine.loop_stats.polls - before)
                # At most one for the descriptor, and one for the timer.
                assert max(turns_between) <= 2
                answered = engine.pool.totals().answered - answered
                assert MANY < answered <= TURN_EVENTS * (engine.loop_stats.polls - polls)


class TestSeveral:
    def test_drivers_run_side_by_side_and_end_separately(self) -> None:
        with ScriptedServer(echoes) as here, ScriptedServer(echoes) as there:

            class Here(SocketUser):
                host = here.address

            class There(SocketUser):
                host = there.address
                payloads = (b"longer",)

            with LocalRun(Here, There) as run:
                run.start(4)
                wait_for(lambda: min(run.answered(Here), run.answered(There)) > 100)
                for user in run.users:
                    if isinstance(user, Here):
                        assert user.stop(force=True)
                wait_for(lambda: run.load_of(Here).engine.pool.is_finished)
                run.load_of(Here).close()
                answered = run.answered(There)
                wait_for(lambda: run.answered(There) > answered + 100)
            assert here.bytes_received == 64 * run.entry("Here").num_requests
            assert there.bytes_received == 6 * run.entry("There").num_requests
