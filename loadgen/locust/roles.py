"""Roles by Locust's runner: a worker makes load, a master collects reports, a local one does both.

Locust's own listeners reset and send its tables, and were registered first; loadgen's must run
before them.
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
from loadgen.locust.user_attributes import plan_of_all_users
from loadgen.logs import logger
from loadgen.results.record import RunRecord

_log = logger("loadgen.locust")
_console = logging.getLogger("locust.stats_logger")

_CSV_TIMEOUT_S: Final = 5.0
_REPORT_S: Final = 3.0
_LOCAL: Final = "local"
"""The worker's name in the reports of a process without workers."""

Listeners = Mapping[str, Callable[..., None]]
"""By the name of Locust's event."""


class Role(ABC):
    """Loadgen's role in one environment: its session, and its collector of reports.

    A master's session never begins, and a worker collects nothing.
    """

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.command_line = CommandLine.of(environment.parsed_options)
        self.session = Session(environment, self._refuse)
        self.collector = Collector(self._is_as_planned)

    @abstractmethod
    def begin(self, **_: Any) -> None:
        """Begin a run."""

    def _is_as_planned(self, user_class: str, record: RunRecord) -> bool:
        """Return whether ``record`` is of the plan that this process has for that class."""
        for each in self.environment.user_classes:
            if each.__name__ == user_class and hasattr(each, "check"):
                with contextlib.suppress(UsageError):
                    plan, _ = each.check(self.environment.parsed_options)
                    own, theirs = plan_of_all_users(plan, 1, 1.0), record.plan
                    return plan_in_common(own) == plan_in_common(theirs)
        return False

    def _refuse(self, why: str) -> None:
        """End a run that cannot go on; ``why`` is logged."""
        _log.error("%s", why)

    def _go_first(self, listeners: Listeners) -> None:
        for event, listener in listeners.items():
            hook = getattr(self.environment.events, event)
            hook._handlers.insert(0, listener)  # noqa: SLF001 - add_listener only appends

    def _go_last(self, listeners: Listeners) -> None:
        for event, listener in listeners.items():
            getattr(self.environment.events, event).add_listener(listener)


class LoadingRole(Role):
    """Makes load."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._finishing = RLock()
        self._go_first(
            {
                "test_start": self.begin,
                "test_stopping": lambda **_: self.session.stop(),
                "test_stop": self._finish,
                "reset_stats": lambda **_: self.session.merge(),
                "spawning_complete": self._on_spawning_complete,
            }
        )

    def begin(self, **_: Any) -> None:
        """Begin a run. Waits for the drain of the one before, which Locust does not."""
        with self._finishing:
            self.session.begin()

    def _on_spawning_complete(self, **_: Any) -> None:
        if self.environment.reset_stats:
            self.session.begin_measuring()

    def _finish(self, **_: Any) -> None:
        # ^C and the master may both ask for the end; the second must not return before it is done.
        with self._finishing:
            if not self.session.is_over:
                self.session.finish()
                self._report_end()

    @abstractmethod
    def _report_end(self) -> None:
        """Send the last report of a run."""

    def _stop(self, **_: Any) -> None:
        """End the run now: Locust decides on its exit code before it would end it."""
        runner = self.environment.runner
        if runner is not None:
            runner.stop()


class CollectingRole(Role):
    """Collects reports and writes the record."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._go_last({"quitting": self._before_quitting, "quit": self._summarise})

    @abstractmethod
    def _end_run(self) -> None:
        """End the run now, and collect the last reports."""

    def _write(self) -> None:
        if self.command_line.record_file is not None:
            self.collector.write(self.command_line.record_file)

    def _before_quitting(self, **_: Any) -> None:
        self._end_run()
        if self.command_line.csv_file is not None:
            _wait_for_change(self.command_line.csv_file)

    def _summarise(self, **_: Any) -> None:
        for user_class, record in self.collector.records().items():
            for line in (Line(""), Line(user_class), *summary.summarise(record)):
                _console.info("%s", line.text)

    def _refuse(self, why: str) -> None:
        """Stop the run; without a web UI, which could start another one, end Locust too."""
        super()._refuse(why)
        runner = self.environment.runner
        if runner is None:
            return
        if self.command_line.is_headless:
            self.environment.process_exit_code = 2
            runner.quit()
        else:
            runner.stop()


class Local(LoadingRole, CollectingRole):
    """Makes load and collects its own reports, as a master does those of workers."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._reporter: Any = None

    def begin(self, **_: Any) -> None:
        """Begin a run."""
        super().begin()
        self.collector.begin()
        self._reporter = gevent.spawn(self._report)

    def _report(self) -> None:
        while True:
            gevent.sleep(_REPORT_S)
            self.collector.receive(_LOCAL, self.session.reports())

    def _report_end(self) -> None:
        self._reporter.kill()
        self.collector.receive(_LOCAL, self.session.reports())
        self._write()

    def _end_run(self) -> None:
        self._stop()


def _wait_for_change(path: Path) -> None:
    """Wait until Locust has written its CSV files again: it does so once a second, not at the end.

    It writes all of them without switching to another greenlet.
    """
    with contextlib.suppress(OSError), gevent.Timeout(_CSV_TIMEOUT_S, False):  # type: ignore[arg-type]
        before_ns = path.stat().st_mtime_ns
        while path.stat().st_mtime_ns == before_ns:
            gevent.sleep(0.02)
