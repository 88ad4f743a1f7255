"""Runs an engine inside gevent's event loop, beside Locust's greenlets.

Facts. Locust is one loop (gevent's) with many greenlets: heartbeats, reports, the web UI, users. An
engine that waited in its own selector would block them all. An epoll descriptor can itself be
polled: it is readable when one of its sockets is ready (epoll(7)).

Decision. gevent watches the engine's descriptor and calls `Engine.turn` with a timeout of 0; one
timer stands for the engine's next timeout and for the next heartbeat, so that a pause of the
process is noticed here, too (`loadgen.engine.loop_stats`). A turn is bounded, and the loop serves
other greenlets between two turns.

Danger, each of it seen:

- gevent removes a watcher whose callback raises, and the load would stop silently. A turn does not
  raise for the failure of a connection; any other exception is a bug, and ends the run with an
  error.
- libev aborts the process if a descriptor is closed while a watcher has it. So the watcher is
  stopped and closed before the engine.
- ^C nearly always arrives within a turn. `loadgen.locust.signals.Interrupts` defers it to the end
  of the turn, and raises it in the main greenlet, where Locust awaits it: raised wherever Python
  happens to be, it would end a user's greenlet with a traceback, its work half done.
- A callback of the loop must not block: a blocking call in a payload hook raises
  gevent.exceptions.BlockingSwitchOutError, and is treated as an error of that hook.
- After a fork two processes would share one selector. A driver is made when the first user starts,
  after Locust has forked, and raises LoadgenBug if it is used in another process.

Cost. One Python call for each turn; see bench/locust_compare.py.
"""

import os
from collections.abc import Callable
from typing import Any, Final

import gevent
from gevent.hub import get_hub

from loadgen.engine.engine import Engine
from loadgen.engine.loop_stats import HEARTBEAT_NS
from loadgen.errors import LoadgenBug
from loadgen.locust.signals import Interrupts
from loadgen.net.clock import NEVER_NS, Clock
from loadgen.units import ns_to_seconds, seconds_to_ns

_READ: Final = 1  # libev's EV_READ
_HEARTBEAT_S: Final = ns_to_seconds(HEARTBEAT_NS)
_FIRST, _LAST = 2, -2  # libev's EV_MAXPRI and EV_MINPRI


class GeventDriver:
    """Runs ``engine`` in the hub of the greenlet that constructs it, until `close`.

    on_bug: called with an exception that left a turn; the engine does not run again.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        interrupts: Interrupts,
        on_bug: Callable[[BaseException], None],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._interrupts = interrupts
        self._on_bug = on_bug
        self._process = os.getpid()
        self._loop: Any = get_hub().loop
        self._is_running = True
        self._timer: Any = None
        self._timer_ns = 0
        self._wait_began_ns = 0
        self._is_closed = False
        self._io: Any = self._loop.io(engine.fileno(), _READ)
        # Their lowest and highest priority bracket the loop's wait.
        self._before_wait = self._loop.prepare(ref=False, priority=_LAST)
        self._after_wait = self._loop.check(ref=False, priority=_FIRST)
        self._io.start(self._step)
        self._before_wait.start(self._begin_wait)
        self._after_wait.start(self._end_wait)

    def arm(self) -> None:
        """Set the timer; to be called after every change to the engine from outside a turn."""
        if os.getpid() != self._process:
            raise LoadgenBug("an engine was made before a fork, and used after it")
        if not self._is_running:
            return
        timeout_s = self._engine.next_timeout()
        timeout_s = _HEARTBEAT_S if timeout_s is None else min(timeout_s, _HEARTBEAT_S)
        due_ns = self._clock() + seconds_to_ns(timeout_s)
        if self._timer is not None:
            if self._timer_ns <= due_ns:
                return
            self._timer.close()
        self._timer_ns = due_ns
        self._timer = self._loop.timer(timeout_s, ref=False)
        self._timer.start(self._on_timer)

    def call_soon(self, do: Callable[[], None]) -> None:
        """Call ``do`` in the loop's next iteration; ^C is deferred meanwhile."""
        self._loop.run_callback(self._do, do)

    def close(self) -> None:
        """Close the watchers, then the engine. May be called twice."""
        self._stop()
        if not self._is_closed:
            self._is_closed = True
            self._engine.close()

    def _stop(self) -> None:
        if not self._is_running:
            return
        self._is_running = False
        self._io.stop()
        self._io.close()
        for watcher in (self._timer, self._before_wait, self._after_wait):
            if watcher is not None:
                watcher.close()
        self._timer = None

    def _step(self) -> None:
        self._do(self._turn)

    def _turn(self) -> None:
        self._engine.turn(0)
        self.arm()

    def _do(self, do: Callable[[], None]) -> None:
        if not self._is_running:
            return
        with self._interrupts:
            try:
                do()
            except BaseException as bug:  # noqa: BLE001 - gevent would drop it
                self._stop()
                gevent.spawn(self._on_bug, bug)

    def _on_timer(self) -> None:
        self._timer.close()
        self._timer = None
        self._step()

    def _begin_wait(self) -> None:
        self._wait_began_ns = self._clock()

    def _end_wait(self) -> None:
        if self._wait_began_ns:
            due_ns = NEVER_NS if self._timer is None else self._timer_ns
            self._engine.slept(self._wait_began_ns, due_ns, self._clock())
            self._wait_began_ns = 0
