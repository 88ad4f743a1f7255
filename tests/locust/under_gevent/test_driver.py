"""The engine under gevent's loop: what would stop it without a word, and does not."""

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
from scenes import DEADLINE_S, Scene, wait_for
from servers import ScriptedServer, echoes

from loadgen.engine.engine import Engine
from loadgen.engine.loop_stats import HEARTBEAT_NS
from loadgen.errors import LoadgenBug
from loadgen.locust import SocketUser
from loadgen.locust.gevent_driver import GeventDriver, Interrupts
from loadgen.net.backends import TURN_EVENTS
from loadgen.net.clock import monotonic_ns
from loadgen.net.failure import Cause
from loadgen.net.unpatched import original
from loadgen.server.embedded import EmbeddedServer

MANY: Final = 600


class Ticking:
    """What a Driver needs of an engine; its descriptor, of a real epoll, is always readable."""

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
def driving(engine: Ticking) -> Iterator[tuple[GeventDriver, list[BaseException]]]:
    """A driver of ``engine``, and the bugs that it has heard of."""
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
    def test_while_it_is_watched_stops_the_watching_first(self) -> None:
        # libev aborts the process where a descriptor is closed first, or later stumbles over it.
        engines = [Ticking() for _ in range(20)]
        for engine in engines:
            with driving(engine):
                let_the_loop_turn(2)
        turns = [engine.turns for engine in engines]
        assert min(turns) > 0
        let_the_loop_turn()
        assert [engine.turns for engine in engines] == turns
        assert {engine.closes for engine in engines} == {1}

    def test_closes_the_descriptor_when_nobody_watches_it_any_more(self) -> None:
        class Lingering(Ticking):
            def close(self) -> None:
                turns = self.turns
                let_the_loop_turn()
                assert self.turns == turns
                super().close()

        engine = Lingering()
        with driving(engine):
            wait_for(lambda: engine.turns)
        assert engine.closes == 1

    def test_in_the_midst_of_a_turn_is_fine(self) -> None:
        engine = Ticking(lambda: drivers.pop().close() if drivers else None)
        with driving(engine) as (driver, bugs):
            drivers = [driver]
            wait_for(lambda: engine.closes)
            let_the_loop_turn()
            assert (engine.turns, engine.closes, bugs) == (1, 1, [])

    def test_twice_is_fine(self) -> None:
        engine = Ticking()
        with driving(engine) as (driver, _):
            driver.close()
            driver.close()
            driver.arm()
        assert engine.closes == 1

    def test_leaves_no_timer_behind(self) -> None:
        engine = Ticking()
        engine.fall_silent()
        with driving(engine) as (driver, _):
            engine.timeout_s = 0.001
            driver.arm()
            driver.close()
            let_the_loop_turn()
        assert engine.turns == 0


class TestTimer:
    def test_steps_an_engine_whose_sockets_are_silent(self) -> None:
        engine = Ticking()
        engine.fall_silent()
        with driving(engine) as (driver, _):
            let_the_loop_turn()
            assert engine.turns == 0
            engine.timeout_s = 0.0
            driver.arm()
            wait_for(lambda: engine.turns > 3)
            engine.timeout_s = None
            wait_for(lambda: self.slept_from_heartbeat_to_heartbeat(engine))

    def slept_from_heartbeat_to_heartbeat(self, engine: Ticking) -> bool:
        """Whether the loop slept and knew when it was to wake up, though nothing is to be done."""
        began_ns, due_ns, ended_ns = engine.sleeps_ns[-1]
        return 0 < due_ns - began_ns <= HEARTBEAT_NS and ended_ns >= due_ns - 1_000_000

    def test_is_brought_forward_and_not_put_off(self) -> None:
        engine = Ticking()
        engine.fall_silent()
        with driving(engine) as (driver, _):
            for timeout_s in (3600.0, 0.001, 3600.0):
                engine.timeout_s = timeout_s
                driver.arm()
            wait_for(lambda: engine.turns == 1)


class TestBugs:
    def test_that_leave_a_turn_are_told_and_everything_else_lives_on(self) -> None:
        def fail() -> None:
            raise ZeroDivisionError("a bug")

        engine, healthy = Ticking(fail), Ticking()
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
        with driving(Ticking()) as (driver, _):
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
    """^C, which comes in the middle of a turn nearly always."""

    def test_waits_until_the_turn_is_over(self) -> None:
        finished: list[int] = []

        def interrupt() -> None:
            if not finished:
                os.kill(os.getpid(), signal.SIGINT)
                finished.append(engine.turns)

        engine = Ticking(interrupt)
        with driving(engine) as (driver, bugs):
            with pytest.raises(KeyboardInterrupt):
                gevent.sleep(DEADLINE_S)
            assert finished == [1]
            wait_for(lambda: engine.turns > 5)
            assert bugs == []
            driver.close()
        assert engine.closes == 1

    def test_lets_the_driver_be_closed_at_once(self) -> None:
        engine = Ticking(lambda: os.kill(os.getpid(), signal.SIGINT))
        with driving(engine) as (driver, bugs):
            with pytest.raises(KeyboardInterrupt):
                gevent.sleep(DEADLINE_S)
            driver.close()  # gevent is still in the midst of the callback
            let_the_loop_turn()
            assert (engine.turns, engine.closes, bugs) == (1, 1, [])

    def test_outside_of_a_turn_is_pythons_own(self) -> None:
        with driving(Ticking()), pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def test_is_left_to_whoever_has_taken_it_over(self) -> None:
        heard: list[int] = []
        before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
        try:
            engine = Ticking(lambda: os.kill(os.getpid(), signal.SIGINT))
            with driving(engine):
                wait_for(lambda: len(heard) > 1)
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            signal.signal(signal.SIGINT, before)
        assert len(heard) == engine.turns + 1

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

            with Scene(Interrupting) as scene:
                scene.runner.start(3, spawn_rate=100)
                with pytest.raises(KeyboardInterrupt):
                    gevent.sleep(DEADLINE_S)
            record = scene.record(Interrupting)
            assert record.actual.messages >= 500
            assert record.actual.messages == record.actual.submitted == Interrupting.made
            assert record.actual.messages == scene.environment.stats.total.num_requests
            assert record.failures == []
            assert server.bytes_received == 4 * Interrupting.made
            assert scene.user_errors == []


@pytest.fixture
def stumbler() -> Callable[[Any], Any]:
    """Returns the user that it was given first."""
    users: list[Any] = []

    def first(user: Any) -> Any:
        users.append(user)
        return users[0]

    return first


class TestPayloadHook:
    @pytest.mark.parametrize("open_loop", [False, True])
    def test_that_raises_costs_its_own_connection_one_message(
        self, open_loop: bool, stumbler: Callable[[Any], Any]
    ) -> None:
        with ScriptedServer(echoes) as server:

            class Stumbling(SocketUser):
                host = server.address
                rate = 500.0 if open_loop else None
                made = 0

                def payload(self) -> bytes:
                    self.made += 1
                    if self is stumbler(self) and self.made == 3:
                        raise ValueError("of the user's own")
                    return b"ping"

            with Scene(Stumbling) as scene:
                users = scene.start(3)
                wait_for(lambda: min(user.made for user in users) > 100)
                [error] = scene.user_errors
                assert repr(error) == 'ValueError("of the user\'s own")'
                assert error.__traceback__ is not None
                assert scene.errors() == {("connect", f"send: {Cause.USER_CODE.text}"): 1}
            record = scene.record(Stumbling)
            assert [(kind.cause, kind.count) for kind in record.failures] == [("user_code", 1)]
            assert record.actual.opened == server.accepted == 4
            assert sorted(record.connections.ledger["failures"]) == [0, 0, 1]
            assert record.actual.messages == record.actual.submitted
            assert record.actual.messages == sum(user.made for user in users) - 1
            check(record)
            assert scene.environment.stats.get("Stumbling", "TCP").num_failures == 0

    def test_that_waits_for_something_is_in_error(self) -> None:
        with ScriptedServer(echoes) as server:

            class Sleepy(SocketUser):
                host = server.address
                made = 0

                def payload(self) -> bytes:
                    self.made += 1
                    if self.made == 2:
                        gevent.sleep(0.001)
                    return b"ping"

            with Scene(Sleepy) as scene:
                [user] = scene.start(1)
                wait_for(lambda: user.made > 10)
            [error] = scene.user_errors
            assert isinstance(error, BlockingSwitchOutError)
            record = scene.record(Sleepy)
            assert [(kind.cause, kind.count) for kind in record.failures] == [("user_code", 1)]
            assert record.actual.messages == user.made - 1

    def test_that_raises_what_ends_greenlets_is_in_error(self) -> None:
        with ScriptedServer(echoes) as server:

            class Leaving(SocketUser):
                host = server.address
                made = 0

                def payload(self) -> bytes:
                    self.made += 1
                    if self.made == 3:
                        raise gevent.GreenletExit
                    return b"ping"

            with Scene(Leaving) as scene:
                [user] = scene.start(1)
                wait_for(lambda: user.made > 50)
            record = scene.record(Leaving)
            assert [(kind.cause, kind.count) for kind in record.failures] == [("user_code", 1)]

    @pytest.mark.parametrize("made", [b"", "text", None, bytearray(b"ping"), 7])
    def test_that_makes_no_message_is_in_error(self, made: Any) -> None:
        with ScriptedServer(echoes) as server:

            class Confused(SocketUser):
                host = server.address
                messages_made = 0

                def payload(self) -> bytes:
                    self.messages_made += 1
                    return made if self.messages_made == 2 else b"ping"

            with Scene(Confused) as scene:
                [user] = scene.start(1)
                wait_for(lambda: user.messages_made > 10)
            [error] = scene.user_errors
            assert isinstance(error, TypeError)
            assert repr(made) in str(error)


class TestWaitTime:
    def test_that_raises_holds_up_nobody_else(self, stumbler: Callable[[Any], Any]) -> None:
        with ScriptedServer(echoes) as server:

            class Wavering(SocketUser):
                host = server.address
                asked = 0

                def wait_time(self) -> float:
                    self.asked += 1
                    if self is stumbler(self) and self.asked <= 2:
                        raise ArithmeticError("no idea")
                    return 0.002

            with Scene(Wavering) as scene:
                users = scene.start(2)
                wait_for(lambda: max(user.asked for user in users) > 100)
                wait_for(lambda: min(user.asked for user in users) > 10)  # after a while
            assert [repr(each) for each in scene.user_errors] == ["ArithmeticError('no idea')"] * 2
            assert scene.record(Wavering).failures == []
            assert scene.environment.stats.total.num_failures == 0

    @pytest.mark.parametrize("wrong", [None, "soon", float("nan"), float("inf")])
    def test_that_says_no_time_is_in_error(self, wrong: Any) -> None:
        with ScriptedServer(echoes) as server:

            class Vague(SocketUser):
                host = server.address

                def wait_time(self) -> float:
                    return cast("float", wrong)

            with Scene(Vague) as scene:
                scene.start(1)
                wait_for(lambda: scene.user_errors)
                assert scene.answered(Vague) == 1

    def test_is_asked_for_each_connection_on_its_own(self) -> None:
        with ScriptedServer(echoes) as server:
            waiters = set()

            class Pacing(SocketUser):
                host = server.address
                connections = 3
                mark = "the user's own"

                def wait_time(self) -> float:
                    waiters.add(id(self))
                    assert self.mark == "the user's own"
                    return 0.001

            with Scene(Pacing) as scene:
                scene.start(2)
                wait_for(lambda: scene.answered(Pacing) > 100)
            assert len(waiters) == 6
            assert scene.user_errors == []


class TestStarvation:
    def test_does_not_befall_the_rest_of_the_loop(self) -> None:
        with EmbeddedServer() as server:

            class Busy(SocketUser):
                host = server.address
                connections = MANY

            with Scene(Busy) as scene:
                scene.start(1)
                engine = scene.load_of(Busy).engine
                wait_for(lambda: engine.totals().up == MANY)
                answered, polls = engine.totals().answered, engine.loop_stats.polls
                turns_between: list[int] = []
                while sum(turns_between) < 200:
                    before = engine.loop_stats.polls
                    gevent.sleep(0)
                    turns_between.append(engine.loop_stats.polls - before)
                # At most one for the descriptor, and one for the timer.
                assert max(turns_between) <= 2
                answered = engine.totals().answered - answered
                assert MANY < answered <= TURN_EVENTS * (engine.loop_stats.polls - polls)


class TestSeveral:
    def test_drivers_live_side_by_side_and_end_on_their_own(self) -> None:
        with ScriptedServer(echoes) as here, ScriptedServer(echoes) as there:

            class Here(SocketUser):
                host = here.address

            class There(SocketUser):
                host = there.address
                payloads = (b"longer",)

            with Scene(Here, There) as scene:
                scene.start(4)
                wait_for(lambda: min(scene.answered(Here), scene.answered(There)) > 100)
                for user in scene.users:
                    if isinstance(user, Here):
                        assert user.stop(force=True)
                wait_for(lambda: scene.load_of(Here).engine.is_finished)
                scene.load_of(Here).close()
                answered = scene.answered(There)
                wait_for(lambda: scene.answered(There) > answered + 100)
            assert here.bytes_received == 64 * scene.entry("Here").num_requests
            assert there.bytes_received == 6 * scene.entry("There").num_requests
