"""One test run in this process: the loads of its user classes, and Locust's tables kept current.

Locust sends a worker's tables to the master every 3 s, clears them when a run starts, may reset
them during the run, and may end at any moment. What the engine has counted must be in them at each
of these points, or requests are lost or counted in the wrong run. So the tables are updated twice a
second, and at the event that Locust fires at each point, before its own listeners. ^C is deferred
until an update is complete.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import gevent
from gevent.lock import RLock
from locust import User
from locust.env import Environment

from loadgen.errors import LoadgenBug, LoadgenError
from loadgen.locust import arguments, stats
from loadgen.locust.class_load import ClassLoad, UserClassPlan
from loadgen.locust.messages import ClassReport
from loadgen.locust.request_events import RequestEvents
from loadgen.locust.signals import Interrupts
from loadgen.logs import logger
from loadgen.net.clock import wall_ns
from loadgen.results.distribution import Distribution
from loadgen.units import NS_PER_S, ns_to_seconds

_log = logger("loadgen.locust")

_TICK_NS: Final = NS_PER_S // 2


class Session:
    """The loads of one test run, from `begin` to `finish`; then another may begin.

    refuse: ends the run, and logs why.
    """

    def __init__(self, environment: Environment, refuse: Callable[[str], None]) -> None:
        self._environment = environment
        self._refuse = refuse
        self._loads: dict[type[User], ClassLoad] = {}
        self._making = RLock()
        self._interrupts = Interrupts()
        self._ticker: Any = None
        self._events: RequestEvents | None = None
        self._is_over = self._is_closed = self._is_reported = True
        self._has_given_up = False
        self._run = 0

    @property
    def is_over(self) -> bool:
        """Whether no run is in progress."""
        return self._is_over

    def begin(self) -> None:
        """Begin a run, which has no loads yet."""
        self.finish()
        self._loads.clear()
        self._is_over = self._is_closed = self._is_reported = self._has_given_up = False
        self._run = arguments.run_of(self._environment.parsed_options)
        self._interrupts.install()
        self._events = RequestEvents.wanted(self._environment)
        self._ticker = gevent.spawn(self._tick)

    def load_for(self, user: User, work_of: Callable[[], UserClassPlan]) -> ClassLoad:
        """Return the load of the class of ``user``, made for its first user.

        If it cannot be made, stops the run, logs why, and raises GreenletExit, which ends the user.
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
                    load.counts.listener = self._events
                self._loads[user_class] = load
            return self._loads[user_class]

    # ---- counts and reports ---------------------------------------------------------------

    def merge(self) -> None:
        """Update Locust's tables."""
        with self._interrupts:
            for load in self._loads.values():
                load.flush()
                requests = load.counts.take()
                if load.counts.listener is None:
                    stats.merge(self._environment.stats, requests)
                else:
                    stats.merge_bytes(self._environment.stats, requests)

    @property
    def has_unreported(self) -> bool:
        """Whether there is anything that `reports` has not returned yet."""
        return bool(self._loads) and not self._is_reported

    def begin_measuring(self) -> None:
        """Discard what was measured so far, for Locust's ``--reset-stats`` once all users run."""
        with self._interrupts:
            for load in self._loads.values():
                load.begin_measuring()

    def reports(self) -> list[ClassReport]:
        """Return each load's report so far, with the intervals since the last call."""
        self._is_reported = self._is_closed
        with self._interrupts:
            return [self._report(load) for load in self._loads.values()]

    def _report(self, load: ClassLoad) -> ClassReport:
        return ClassReport(
            user_class=load.work.user_class,
            users=load.users,
            connections_up=load.engine.pool.totals().up,
            record=load.record(),
            names={
                name: Distribution.of(requests.latency)
                for name, requests in load.counts.by_name.items()
                if requests.latency.count
            },
            is_last=self._is_closed,
            run=self._run,
        )

    # ---- the end --------------------------------------------------------------------------

    def stop(self) -> None:
        """Let SocketUsers send nothing more; scripted users go on to the end of their task."""
        for load in self._loads.values():
            if load.work.load_model != "scripted":
                load.stop()

    def finish(self) -> None:
        """Wait for outstanding replies, close everything, and update Locust's tables."""
        if self._is_over:
            return
        self._is_over = True
        # Each of these happens even if another one raises.
        with contextlib.ExitStack() as stack:
            stack.callback(self._interrupts.remove)
            if self._events is not None:
                stack.callback(self._events.drain)
            stack.callback(self.merge)
            stack.callback(self._close)
            self._drain()

    def _drain(self) -> None:
        """Stop every load, and wait for outstanding replies, at most the longest ``drain_s``."""
        for load in self._loads.values():
            load.stop()
        longest_s = max((load.work.plan.drain_s for load in self._loads.values()), default=0.0)
        with gevent.Timeout(longest_s, False):  # type: ignore[arg-type]
            while not all(load.engine.pool.is_finished for load in self._loads.values()):
                gevent.sleep(0.005)

    def _close(self) -> None:
        """Close every load, and end the ticker."""
        try:
            with contextlib.ExitStack() as stack:
                for load in self._loads.values():
                    stack.callback(load.close)
        finally:
            self._is_closed = True
            if self._ticker is not None:
                self._ticker.kill()

    def give_up(self, error: BaseException) -> None:
        """End the run because of ``error``; further calls do nothing."""
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
                gevent.sleep(0)  # each takes long with many connections
                with self._interrupts:
                    for load in self._loads.values():
                        load.end_interval()


def _half_seconds() -> Iterator[bool]:
    """Wait for each half second of the wall clock; yield whether it is a full second."""
    while True:
        now_ns = wall_ns()
        next_ns = (now_ns // _TICK_NS + 1) * _TICK_NS
        gevent.sleep(ns_to_seconds(next_ns - now_ns))
        yield next_ns % NS_PER_S == 0
