"""A terminal that closes ends Locust as ^C does, with all files.

Facts. Nothing in Locust hears SIGHUP, which ends a process at once. ^C is raised in the main
greenlet, where Locust awaits it: it reports, writes its files, and tells the workers.

Danger. A hangup comes twice (`loadgen.signals`), and a second one in the midst of the end would
tear it apart; so it is heard once, and not any more when Locust is quitting already. Locust's
listener for keys fails to give back a terminal that has gone, which would be exit code 2.
"""

from typing import Any

import gevent
from locust import log
from locust.env import Environment

from loadgen.locust.gevent_driver import interrupt_main
from loadgen.signals import HANGUP, asking_to_end, leave_terminal


class Hangup:
    """Hears SIGHUP from now on, unless the process ignores it; to be made in the main thread."""

    def __init__(self, environment: Environment) -> None:
        self._is_ending = self._has_lost_its_terminal = False
        quitting: Any = environment.events.quitting
        quitting.add_listener(self._note_the_end)
        if HANGUP in asking_to_end():
            gevent.signal_handler(HANGUP, self._hear)

    def _hear(self) -> None:
        had_failed = log.unhandled_greenlet_exception
        self._has_lost_its_terminal |= leave_terminal() and not had_failed
        if not self._is_ending:
            self._is_ending = True
            interrupt_main()

    def _note_the_end(self, environment: Environment, **_: Any) -> None:
        self._is_ending = True
        if self._has_lost_its_terminal and environment.process_exit_code is None:
            runner = environment.runner
            has_errors = runner is not None and (runner.errors or runner.exceptions)
            code = getattr(environment.parsed_options, "exit_code_on_error", 1)
            environment.process_exit_code = code if has_errors else 0
