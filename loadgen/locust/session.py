"""One test run in this process: the loads of its user classes, and when they give account.

Facts. Locust ships a worker's tables to the master every 3 s, resets them in the middle of a run,
clears them at the start of one, and may end at any moment; what the engine has counted must be in
them at each of these points, or requests are lost or counted in the wrong run. Locust fires an
event at each. Its own listeners were there first, so ours go to the front of the list.

Decision. The engine counts for itself, and a ticker brings Locust's tables up to date twice a
second, and at the events. Nothing is brought in by halves: ^C waits until it is done.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import gevent
from gevent.lock import RLock
from locust import User
from locust.env import Environment

from loadgen.errors import LoadgenBug, LoadgenError
from loadgen.locust import arguments, locust_stats
from loadgen.locust.class_load import ClassLoad, UserClassPlan
from loadgen.locust.gevent_driver import Interrupts
from loadgen.locust.request_events import RequestEvents
from loadgen.locust.worker_report import PartReport
from loadgen.logs import logger
from loadgen.net.clock import monotonic_ns, wall_ns
from loadgen.results.distribution import Distribution
from loadgen.units import NS_PER_S, ns_to_seconds

_log = logger("loadgen.locust")

_TICK_NS: Final = NS_PER_S // 2


class Session:
    """The loads of one test run. `begin` comes before, `finish` after; then another may begin.

    refuse: ends the run, with a word to the user.
    """

    def __init__(self, environment: Environment, refuse: Callable[[str], None]) -> None:
        self._environment = environment
        self._refuse = refuse
        self._loads: dict[type[User], ClassLoad] = {}
        self._making = RLock()
        self._interrupts = Interrupts()
        self._ticker: Any = None
        self._events: RequestEvents | None = None
        self._is_over = self._is_closed = self._is_told = True
        self._has_given_up = False
        self._run = 0

    @property
    def is_over(self) -> bool:
        """Whether no run is under way."""
        return self._is_over

    def begin(self) -> None:
        """Begin a run, in which no load was made yet."""
        self.finish()
        self._loads.clear()
        self._is_over = self._is_closed = self._is_told = self._has_given_up = False
        self._run = arguments.run_of(self._environment.parsed_options)
        self._interrupts.install()
        self._events = RequestEvents.wanted(self._environment)
        self._ticker = gevent.spawn(self._tick)

    def load_for(self, user: User, work_of: Callable[[], UserClassPlan]) -> ClassLoad:
        """Return the load that ``user`` takes part in; the first user of a class has it made.

        Raises GreenletExit, which ends the user, and stops the run with a word to the log, if it
        cannot be made.
        """
        user_class = type(user)
        with self._making:
            if self._is_over or self._has_given_up:
                raise gevent.GreenletExit
            if user_class not in self._loads:
                try:
                    number = max(0, getattr(self._environment.runner, "worker_index", 0))
                    load = ClassLoad(work_of(), number, self._interrupts, self.give_up)
                except LoadgenError as error:
                    self.give_up(error)
                    raise gevent.GreenletExit from None
                if getattr(user_class, "request_events", "auto") is not False:
                    load.tally.listener = self._events
                self._loads[user_class] = load
            return self._loads[user_class]

    # ---- accounts -------------------------------------------------------------------------

    def merge(self) -> None:
        """Bring Locust's tables up to date."""
        with self._interrupts:
            for load in self._loads.values():
                load.flush()
                requests = load.tally.take()
                if load.tally.listener is None:
                    locust_stats.merge(self._environment.stats, requests)
                else:
                    locust_stats.merge_bytes(self._environment.stats, requests)

    @property
    def has_news(self) -> bool:
        """Whether `reports` would say anything that it has not said yet."""
        return bool(self._loads) and not self._is_told

    def begin_measuring(self) -> None:
        """Forget what has come so far, as Locust's ``--reset-stats`` does when all users are up."""
        with self._interrupts:
            for load in self._loads.values():
                load.begin_measuring()

    def reports(self) -> list[PartReport]:
        """Return what each load has found so far; its intervals are those since the last call."""
        self._is_told = self._is_closed
        with self._interrupts:
            return [self._report(load) for load in self._loads.values()]

    def _report(self, load: ClassLoad) -> PartReport:
        load.flush()
        record = load.part.record(monotonic_ns())
        return PartReport(
            user_class=load.work.user_class,
            users=load.users,
            connections_up=load.part.connections_up,
            record=record,
            names={
                name: Distribution.of(requests.latency)
                for name, requests in load.tally.by_name.items()
                if requests.latency.count
            },
            is_last=self._is_closed,
            run=self._run,
        )

    # ---- the end --------------------------------------------------------------------------

    def stop(self) -> None:
        """Let declarative users send nothing more; scripts go on to the end of their task."""
        for load in self._loads.values():
            if load.work.manner != "scripted":
                load.stop()

    def finish(self) -> None:
        """Wait for what is in flight, close everything, and bring the tables up to date."""
        if self._is_over:
            return
        self._is_over = True
        # Each is undone or closed, whatever becomes of the others.
        with contextlib.ExitStack() as stack:
            stack.callback(self._interrupts.remove)
            if self._events is not None:
                stack.callback(self._events.drain)
            stack.callback(self.merge)
            stack.callback(self._close)
            self._drain()

    def _drain(self) -> None:
        """Stop every load, and wait for what is in flight, for as long as the plans say."""
        for load in self._loads.values():
            load.stop()
        longest_s = max((load.work.plan.drain_s for load in self._loads.values()), default=0.0)
        with gevent.Timeout(longest_s, False):  # type: ignore[arg-type]
            while not all(load.engine.is_finished for load in self._loads.values()):
                gevent.sleep(0.005)

    def _close(self) -> None:
        """Close every load, and let nothing tick any more."""
        try:
            with contextlib.ExitStack() as stack:
                for load in self._loads.values():
                    stack.callback(load.close)
        finally:
            self._is_closed = True
            if self._ticker is not None:
                self._ticker.kill()

    def give_up(self, error: BaseException) -> None:
        """End the run, since ``error`` makes it impossible to go on; once is enough."""
        if self._has_given_up:
            return
        self._has_given_up = True
        if not isinstance(error, LoadgenError):
            _log.error("the engine has stopped; please report this", exc_info=error)
            error = LoadgenBug(f"a bug of loadgen's: {type(error).__name__}: {error}")
        gevent.spawn(self._refuse, str(error))

    # ---- twice a second -------------------------------------------------------------------

    def _tick(self) -> None:
        for second_ends in _half_seconds():
            self.merge()
            if second_ends:
                gevent.sleep(0)  # each takes a while where connections are many
                with self._interrupts:
                    now_ns = monotonic_ns()
                    for load in self._loads.values():
                        load.part.end_interval(now_ns)


def _half_seconds() -> Iterator[bool]:
    """Wait for the next half second of the wall clock, and say whether a second ends there."""
    while True:
        now_ns = wall_ns()
        next_ns = (now_ns // _TICK_NS + 1) * _TICK_NS
        gevent.sleep(ns_to_seconds(next_ns - now_ns))
        yield next_ns % NS_PER_S == 0
