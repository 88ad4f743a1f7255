"""Joins Locust: options, checks at its start, the web page, loadgen's role in the environment."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadgen.errors import UsageError
from loadgen.locust import arguments
from loadgen.locust.master import Master
from loadgen.locust.roles import Local, Role
from loadgen.locust.signals import Hangup
from loadgen.locust.web import forms, routes
from loadgen.locust.web.page_data import Overview
from loadgen.locust.worker import Worker
from loadgen.logs import logger
from loadgen.plan.payloads import files_of

_log = logger("loadgen.locust")

_ATTRIBUTE: Final = "loadgen"


def install(events: Any) -> None:
    """Register loadgen's listeners of Locust's ``events``."""
    events.init_command_line_parser.add_listener(arguments.add_to)
    events.init.add_listener(_on_init)


def _on_init(environment: Environment, web_ui: Any = None, **_: Any) -> None:
    if not _log.isEnabledFor(logging.DEBUG):
        # Thousands of connections may fail, each with a line; they are counted instead.
        logging.getLogger("loadgen.engine").setLevel(logging.WARNING)
    Hangup(environment)
    role = role_in(environment)
    _check(environment, role.command_line)
    if web_ui is not None and not isinstance(environment.runner, WorkerRunner):
        forms.guard(web_ui, environment)
        routes.register(web_ui, Overview(environment, role.collector))


def _read_by(environment: Environment) -> Iterator[Path]:
    """Yield the files that the run reads: Locust files, modules of user classes, what they send."""
    yield from map(Path, environment.parsed_locustfiles or ())
    for user_class in environment.user_classes:
        code = getattr(sys.modules.get(user_class.__module__), "__file__", None)
        if code:
            yield Path(code)
        for sources in ("payloads", "urls"):
            yield from files_of(getattr(user_class, sources, ()))
        yield from files_of([getattr(user_class, "body", None)])


def _check(environment: Environment, command_line: arguments.CommandLine) -> None:
    """End Locust with exit code 2 if a user class or an option is invalid."""
    try:
        arguments.overrides(environment.parsed_options)
        command_line.check(_read_by(environment))
        for user_class in environment.user_classes:
            if hasattr(user_class, "check"):
                user_class.check(environment.parsed_options)
    except UsageError as error:
        _log.error("%s", error)
        sys.exit(2)  # Locust logs any other exception of a listener, and goes on


def role_in(environment: Environment) -> Role:
    """Return loadgen's role in ``environment``, made at the first call."""
    known: Role | None = getattr(environment, _ATTRIBUTE, None)
    if known is None:
        known = _role(environment)
        setattr(environment, _ATTRIBUTE, known)
        if environment.runner is not None and environment.runner.state not in ("ready", "stopped"):
            known.begin()  # the run has begun already
    return known


def _role(environment: Environment) -> Role:
    match environment.runner:
        case MasterRunner() as runner:
            return Master(environment, runner)
        case WorkerRunner() as runner:
            return Worker(environment, runner)
        case _:
            return Local(environment)
