"""One test run of Locust in this process: an environment with a local runner."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final, Self

import gevent
from locust import User
from locust.argument_parser import get_parser
from locust.env import Environment
from locust.event import Events
from locust.stats import StatsEntry

from loadgen.locust import ScriptedSocketUser, plugin
from loadgen.locust.class_load import ClassLoad
from loadgen.locust.plugin import role_in
from loadgen.locust.session import Session
from loadgen.locust.stats import METHOD
from loadgen.results.record import RunRecord

DEADLINE_S: Final = 20.0
"""Only a broken program takes this long."""


def wait_for(condition: Callable[[], Any]) -> None:
    """Let other greenlets run until ``condition`` holds."""
    with gevent.Timeout(DEADLINE_S, AssertionError("it never came to that")):
        while not condition():
            gevent.sleep(0.001)


class LocalRun:
    """Locust with ``user_classes``; in a ``with`` it begins, and ends, one test run.

    options: of `locust.env.Environment`. arguments: of Locust's command line.
    """

    def __init__(self, *user_classes: type[User], arguments: str = "", **options: Any) -> None:
        events: Any = Events()  # type: ignore[no-untyped-call]
        plugin.install(events)
        self.environment = Environment(
            user_classes=list(user_classes),
            events=events,
            parsed_options=get_parser().parse_args(arguments.split()),
            **options,
        )
        self.runner = self.environment.create_local_runner()
        events.init.fire(environment=self.environment, runner=self.runner, web_ui=None)
        self.user_errors: list[Exception] = []
        events.user_error.add_listener(lambda exception, **_: self.user_errors.append(exception))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.runner.quit()

    def start(self, users: int) -> list[Any]:
        """Spawn that many users, and return them."""
        self.runner.start(users, spawn_rate=100)
        wait_for(lambda: len(self.users) == users)
        return self.users

    def listen(self, listener: Callable[..., None]) -> None:
        """Register ``listener`` for each request; to be called before the run begins."""
        self.environment.events.request.add_listener(listener)  # type: ignore[no-untyped-call]

    @property
    def users(self) -> list[Any]:
        # A greenlet that has just ended has no arguments.
        return [greenlet.args[0] for greenlet in self.runner.user_greenlets if greenlet.args]

    @property
    def session(self) -> Session:
        return role_in(self.environment).session

    def load_of(self, user_class: type[User]) -> ClassLoad:
        """Return the load of ``user_class``, once there is one."""
        wait_for(lambda: user_class in self.session._loads)
        return self.session._loads[user_class]

    def answered(self, user_class: type[User]) -> int:
        return self.load_of(user_class).engine.pool.totals().answered

    def entry(self, name: str) -> StatsEntry:
        """Return Locust's current table entry of ``name``."""
        self.session.merge()
        return self.environment.stats.get(name, METHOD)

    def errors(self) -> dict[tuple[str, str], int]:
        """Return how often each (name, error) is in Locust's tables."""
        self.session.merge()
        errors = self.environment.stats.errors.values()
        return {(error.name, str(error.error)): error.occurrences for error in errors}

    def record(self, user_class: type[User]) -> RunRecord:
        """Return the record of the run, which is over."""
        return role_in(self.environment).collector.records()[user_class.__name__]


@contextlib.contextmanager
def scripted(address: str, **attributes: Any) -> Iterator[tuple[Any, LocalRun]]:
    """A scripted user whose script is the test itself, and its run."""
    attributes = {"host": address, "__module__": __name__, **attributes}
    user_class = type("Shopper", (ScriptedSocketUser,), attributes)
    run = LocalRun(user_class)
    events: Any = run.environment.events
    events.test_start.fire(environment=run.environment)
    user = user_class(run.environment)
    try:
        yield user, run
    finally:
        if user._client is not None:
            user._client.close()
        events.test_stop.fire(environment=run.environment)
        run.runner.quit()
