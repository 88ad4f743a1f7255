"""What loadgen does in a Locust process, as far as two of its three roles have it in common.

A *worker* makes load; a *master* gathers what the workers have found; a Locust *alone* does both.
Locust's own listeners strip and send its tables, and were there first: ours go before them.
"""

import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import gevent
from gevent.lock import RLock
from locust.env import Environment

from loadgen import summary
from loadgen.locust import arguments
from loadgen.locust.gathered import Gathered
from loadgen.locust.session import Session
from loadgen.logs import logger
from loadgen.summary_times import Line

_log = logger("loadgen.locust")
_console = logging.getLogger("locust.stats_logger")

_PATIENCE_S: Final = 5.0

Listeners = Mapping[str, Callable[..., None]]
"""By the name of Locust's event."""


class Role(ABC):
    """Loadgen's part in one environment: its session, and what was gathered.

    A master's session is never begun, and a worker gathers nothing.
    """

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.session = Session(environment, self._refuse)
        self.gathered = Gathered()

    @abstractmethod
    def begin(self, **_: Any) -> None:
        """Begin a run."""

    def _refuse(self, why: str) -> None:
        """End a run that cannot go on, with a word to the user."""
        _log.error("%s", why)

    def _go_first(self, listeners: Listeners) -> None:
        for event, listener in listeners.items():
            hook = getattr(self.environment.events, event)
            hook._handlers.insert(0, listener)  # noqa: SLF001 - add_listener only appends

    def _go_last(self, listeners: Listeners) -> None:
        for event, listener in listeners.items():
            getattr(self.environment.events, event).add_listener(listener)


class Making(Role):
    """Where load is made."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._finishing = RLock()
        self._go_first(
            {
                "test_start": self.begin,
                "test_stopping": lambda **_: self.session.stop(),
                "test_stop": self._finish,
                "reset_stats": lambda **_: self.session.merge(),
                "spawning_complete": self._when_all_are_there,
            }
        )

    def begin(self, **_: Any) -> None:
        """Begin a run; one that still drains is waited for: Locust does not."""
        with self._finishing:
            self.session.begin()

    def _when_all_are_there(self, **_: Any) -> None:
        if self.environment.reset_stats:
            self.session.begin_measuring()

    def _finish(self, **_: Any) -> None:
        # ^C and the master may both ask for the end; whoever comes second must not be off sooner.
        with self._finishing:
            if not self.session.is_over:
                self.session.finish()
                self._hand_in()

    @abstractmethod
    def _hand_in(self) -> None:
        """Pass on the last report of a run."""

    def _stop(self, **_: Any) -> None:
        """End the run now: Locust decides on its exit code before it would end it."""
        runner = self.environment.runner
        if runner is not None:
            runner.stop()


class Gathering(Role):
    """Where what was found is put together."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._go_last({"quitting": self._before_quitting, "quit": self._summarise})

    @abstractmethod
    def _end_run(self) -> None:
        """End the run now, with all that there is to say of it."""

    def _write(self) -> None:
        path = arguments.record_file(self.environment.parsed_options)
        if path is not None:
            self.gathered.write(path)

    def _before_quitting(self, **_: Any) -> None:
        self._end_run()
        prefix = getattr(self.environment.parsed_options, "csv_prefix", None)
        if prefix:
            _wait_for_change(Path(f"{prefix}_stats.csv"))

    def _summarise(self, **_: Any) -> None:
        for user_class, record in self.gathered.records().items():
            for line in (Line(""), Line(user_class), *summary.summarise(record)):
                _console.info("%s", line.text)

    def _refuse(self, why: str) -> None:
        """Stop the run; without a web UI in which another could be started, end Locust too."""
        super()._refuse(why)
        runner, options = self.environment.runner, self.environment.parsed_options
        if runner is None:
            return
        if options is not None and options.headless:
            self.environment.process_exit_code = 2
            runner.quit()
        else:
            runner.stop()


def _wait_for_change(path: Path) -> None:
    """Wait until Locust has written its CSV files again: it does so once a second, not at the end.

    It writes all of them at one go, with no other greenlet between.
    """
    with contextlib.suppress(OSError), gevent.Timeout(_PATIENCE_S, False):  # type: ignore[arg-type]
        before_ns = path.stat().st_mtime_ns
        while path.stat().st_mtime_ns == before_ns:
            gevent.sleep(0.02)
