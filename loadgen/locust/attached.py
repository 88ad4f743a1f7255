"""Which role loadgen has in a Locust environment."""

from typing import Final

from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadgen.locust.alone import Alone
from loadgen.locust.master import Master
from loadgen.locust.roles import Role
from loadgen.locust.worker import Worker

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
