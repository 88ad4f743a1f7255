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

from loadgen.analysis import summary
from loadgen.analysis.lines import Line
from loadgen.analysis.merge import plan_in_common
from loadgen.errors import UsageError
from loadgen.locust.arguments import CommandLine
from loadgen.locust.collector import Collector
from loadgen.locust.session import Session
from loadgen.locust.user_attributes import crowd_plan
from loadgen.logs import logger
from loadgen.results.record import RunRecord

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
        self.command_line = CommandLine.of(environment.parsed_options)
        self.session = Session(environment, self._refuse)
        self.gathered = Collector(self._is_as_planned)

    @abstractmethod
    def begin(self, **_: Any) -> None:
        """Begin a run."""

    def _is_as_planned(self, user_class: str, record: RunRecord) -> bool:
        """Return whether ``record`` is of what this process takes the plan of that class to be."""
        for each in self.environment.user_classes:
            if each.__name__ == user_class and hasattr(each, "check"):
                with contextlib.suppress(UsageError):
                    plan, _ = each.check(self.environment.parsed_options)
                    own, theirs = crowd_plan(plan, 1, 1.0), record.plan
                    return plan_in_common(own) == plan_in_common(theirs)
        return False

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


class LoadingRole(Role):
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


class CollectingRole(Role):
    """Where what was found is put together."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._go_last({"quitting": self._before_quitting, "quit": self._summarise})

    @abstractmethod
    def _end_run(self) -> None:
        """End the run now, with all that there is to say of it."""

    def _write(self) -> None:
        if self.command_line.record_file is not None:
            self.gathered.write(self.command_line.record_file)

    def _before_quitting(self, **_: Any) -> None:
        self._end_run()
        if self.command_line.csv_file is not None:
            _wait_for_change(self.command_line.csv_file)

    def _summarise(self, **_: Any) -> None:
        for user_class, record in self.gathered.records().items():
            for line in (Line(""), Line(user_class), *summary.summarise(record)):
                _console.info("%s", line.text)

    def _refuse(self, why: str) -> None:
        """Stop the run; without a web UI in which another could be started, end Locust too."""
        super()._refuse(why)
        runner = self.environment.runner
        if runner is None:
            return
        if self.command_line.is_headless:
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
