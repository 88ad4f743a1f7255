"""Where loadgen meets Locust's command line, and the start of its processes."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from locust.env import Environment
from locust.runners import WorkerRunner

from loadgen.errors import UsageError
from loadgen.locust import arguments
from loadgen.locust.attach import attached
from loadgen.locust.hangup import Hangup
from loadgen.locust.web import forms, page
from loadgen.locust.web.overview import Overview
from loadgen.logs import logger
from loadgen.plan.payloads import files_of

_log = logger("loadgen.locust")


def install(events: Any) -> None:
    """Listen to Locust's ``events`` from now on."""
    events.init_command_line_parser.add_listener(arguments.add_to)
    events.init.add_listener(_when_locust_starts)


def _when_locust_starts(environment: Environment, web_ui: Any = None, **_: Any) -> None:
    if not _log.isEnabledFor(logging.DEBUG):
        # A line for each connection that fails is too much where thousands do; they are counted.
        logging.getLogger("loadgen.engine").setLevel(logging.WARNING)
    Hangup(environment)
    ours = attached(environment)
    _check(environment, ours.command_line)
    if web_ui is not None and not isinstance(environment.runner, WorkerRunner):
        forms.guard(web_ui, environment)
        page.register(web_ui, Overview(environment, ours.gathered))


def _read_by(environment: Environment) -> Iterator[Path]:
    """Yield the files that the run is made of: code, and what its users send."""
    yield from map(Path, environment.parsed_locustfiles or ())
    for user_class in environment.user_classes:
        code = getattr(sys.modules.get(user_class.__module__), "__file__", None)
        if code:
            yield Path(code)
        yield from files_of(getattr(user_class, "payloads", ()))


def _check(environment: Environment, command_line: arguments.CommandLine) -> None:
    """End Locust with exit code 2 if a user class or an option makes no sense."""
    try:
        arguments.overrides(environment.parsed_options)
        command_line.check(_read_by(environment))
        for user_class in environment.user_classes:
            if hasattr(user_class, "check"):
                user_class.check(environment.parsed_options)
    except UsageError as error:
        _log.error("%s", error)
        sys.exit(2)  # Locust logs whatever else a listener raises, and goes on
