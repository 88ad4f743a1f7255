"""Which role loadgen has in a Locust environment: alone, master or worker."""

from typing import Any, Final

import gevent
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadgen.locust.master import Master
from loadgen.locust.roles import CollectingRole, LoadingRole, Role
from loadgen.locust.worker import Worker

_WORKER: Final = "local"


_REPORT_S: Final = 3.0


class Alone(LoadingRole, CollectingRole):
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


_ATTRIBUTE: Final = "loadgen"


def attached(environment: Environment) -> Role:
    """Return loadgen's role in ``environment``; made when it is first asked for."""
    known: Role | None = getattr(environment, _ATTRIBUTE, None)
    if known is None:
        known = _role(environment)
        setattr(environment, _ATTRIBUTE, known)
        if environment.runner is not None and environment.runner.state not in ("ready", "stopped"):
            known.begin()  # the run began without us
    return known


def _role(environment: Environment) -> Role:
    match environment.runner:
        case MasterRunner() as runner:
            return Master(environment, runner)
        case WorkerRunner() as runner:
            return Worker(environment, runner)
        case _:
            return Alone(environment)
