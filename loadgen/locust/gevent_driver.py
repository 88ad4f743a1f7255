"""An engine that is stepped by gevent's loop, beside everything else that lives there.

Facts. Locust is one loop (gevent's) with many greenlets: heartbeats, reports, the web UI, users. An
engine that waited in its own selector would freeze them all. An epoll descriptor can itself be
watched: it is readable when one of its sockets has something to say (epoll(7)).

Decision. gevent watches the engine's descriptor and calls `Engine.turn` with no time to wait; one
timer stands for whatever the engine means to do later, and for the next heartbeat, so that a pause
of the process is seen here, too (`loadgen.engine.loop_stats`). A turn is bounded, and the loop
looks at everybody else between two of them.

Danger, each of it seen:

- gevent takes a watcher away whose callback raises, and the load would stop without a word. A turn
  does not raise for a connection's sake; whatever else it raises is a bug, and ends the run loudly.
- libev aborts the process if a descriptor is closed while it is watched. So: stop, close the
  watcher, then the engine.
- ^C arrives in the middle of a turn nearly always. `Interrupts` keeps it until the turn is over,
  and has it raised in the main greenlet, where Locust awaits it: raised wherever Python happens to
  be, it would end a user's greenlet, with a traceback, and half of what that was doing.
- A callback of the loop must not wait for anything: a blocking call in a payload hook fails there
  (gevent.exceptions.BlockingSwitchOutError), and is treated as an error of that hook.
- After a fork two processes would share one selector. A driver is made when the first user starts,
  long after Locust has forked, and says so if it is used elsewhere.

Cost. One call of Python for each turn; see bench/locust_compare.py.
"""

import os
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final, Self

import gevent
from gevent.hub import get_hub

from loadgen.engine.engine import Engine
from loadgen.engine.loop_stats import HEARTBEAT_NS
from loadgen.errors import LoadgenBug
from loadgen.logs import logger
from loadgen.net.clock import NEVER_NS, Clock
from loadgen.units import ns_to_seconds, seconds_to_ns

_log = logger("loadgen.locust")

_READ: Final = 1  # libev's EV_READ
_HEARTBEAT_S: Final = ns_to_seconds(HEARTBEAT_NS)
_FIRST, _LAST = 2, -2  # libev's EV_MAXPRI and EV_MINPRI


class Interrupts:
    """Keeps ^C away from work that must not be torn apart; use it with ``with``, never nested.

    It takes over SIGINT only where Python's own handler would raise KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self._is_busy = self._is_pending = self._is_installed = False

    def install(self) -> None:
        """Take over SIGINT, if nobody else has and this is the main thread."""
        # A greenlet is a thread of its own to the patched `threading`; a hub is never patched.
        is_main = get_hub().main_hub
        if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._hear)
            self._is_installed = True

    def remove(self) -> None:
        """Give SIGINT back."""
        if self._is_installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._is_installed = False

    def __enter__(self) -> Self:
        self._is_busy = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_busy = False
        if self._is_pending:
            self._is_pending = False
            interrupt_main()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._is_busy and not self._is_pending:
            self._is_pending = True
        else:
            interrupt_main()


def interrupt_main() -> None:
    """Raise KeyboardInterrupt in the main greenlet; whoever runs now goes on afterwards."""
    get_hub().handle_system_error(KeyboardInterrupt, KeyboardInterrupt())


class GeventDriver:
    """Steps ``engine`` from the hub of the greenlet that makes it, until `close`.

    on_bug: hears of an exception that has left a turn; the engine is not stepped again.
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
        self._slept_from_ns = 0
        self._is_closed = False
        self._io: Any = self._loop.io(engine.fileno(), _READ)
        # What comes between the last thing before the loop waits and the first thing after it.
        self._before_sleep = self._loop.prepare(ref=False, priority=_LAST)
        self._after_sleep = self._loop.check(ref=False, priority=_FIRST)
        self._io.start(self._step)
        self._before_sleep.start(self._fall_asleep)
        self._after_sleep.start(self._wake_up)

    def arm(self) -> None:
        """Set the timer; to be called whenever the engine was told something from outside."""
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
        self._timer.start(self._ring)

    def call_soon(self, do: Callable[[], None]) -> None:
        """Have ``do`` called in the loop's next round, and not interrupted."""
        self._loop.run_callback(self._do, do)

    def close(self) -> None:
        """Close the engine, and before that all that watches it; doing so twice is fine."""
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
        for watcher in (self._timer, self._before_sleep, self._after_sleep):
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
            except BaseException as bug:  # noqa: BLE001 - whatever it is, gevent would drop it
                self._stop()
                gevent.spawn(self._on_bug, bug)

    def _ring(self) -> None:
        self._timer.close()
        self._timer = None
        self._step()

    def _fall_asleep(self) -> None:
        self._slept_from_ns = self._clock()

    def _wake_up(self) -> None:
        if self._slept_from_ns:
            due_ns = NEVER_NS if self._timer is None else self._timer_ns
            self._engine.slept(self._slept_from_ns, due_ns, self._clock())
            self._slept_from_ns = 0
