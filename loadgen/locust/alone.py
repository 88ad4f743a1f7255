"""A Locust of one process, which makes load and gathers what it has found."""

from typing import Any, Final

import gevent
from locust.env import Environment

from loadgen.locust.roles import Gathering, Making

_WORKER: Final = "local"
_REPORT_S: Final = 3.0


class Alone(Making, Gathering):
    """Reports to itself, as a worker does to its master."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._reporter: Any = None

    def begin(self, **_: Any) -> None:
        """Begin a run."""
        super().begin()
        self.gathered.begin()
        self._reporter = gevent.spawn(self._report)

    def _report(self) -> None:
        while True:
            gevent.sleep(_REPORT_S)
            self.gathered.receive(_WORKER, self.session.reports())

    def _hand_in(self) -> None:
        self._reporter.kill()
        self.gathered.receive(_WORKER, self.session.reports())
        self._write()

    def _end_run(self) -> None:
        self._stop()
