"""SIGINT and SIGHUP in a Locust process: ^C is deferred during a turn, a hangup acts as ^C.

Locust does not handle SIGHUP, which ends a process at once. On ^C, raised in the main greenlet
where Locust awaits it, Locust reports, writes its files and ends the workers; SIGHUP is made to do
the same. It comes twice (`loadgen.signals`), and a second one during the shutdown would
interrupt that: only the first counts, and none once Locust is quitting. Locust's listener for keys
fails to restore a terminal that has gone, which would otherwise mean exit code 2.
"""

import signal
from types import FrameType, TracebackType
from typing import Any, Self

import gevent
from gevent.hub import get_hub
from locust import log
from locust.env import Environment

from loadgen.signals import HANGUP, asking_to_end, leave_terminal


class Interrupts:
    """Defers ^C while work must not be interrupted: a context manager, never nested.

    It takes over SIGINT only where Python's own handler would raise KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self._is_busy = self._is_pending = self._is_installed = False

    def install(self) -> None:
        """Take over SIGINT, if Python's handler is in place and this is the main thread."""
        # For the patched `threading` each greenlet is a thread; only the hub knows the real one.
        is_main = get_hub().main_hub
        if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._hear)
            self._is_installed = True

    def remove(self) -> None:
        """Restore Python's handler of SIGINT."""
        if self._is_installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._is_installed = False

    def __enter__(self) -> Self:
        self._is_busy = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_busy = False
        if self._is_pending:
            self._is_pending = False
            interrupt_main()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._is_busy and not self._is_pending:
            self._is_pending = True
        else:
            interrupt_main()


def interrupt_main() -> None:
    """Raise KeyboardInterrupt in the main greenlet; the current one continues afterwards."""
    get_hub().handle_system_error(KeyboardInterrupt, KeyboardInterrupt())


class Hangup:
    """Handles SIGHUP from now on, unless the process ignores it; construct in the main thread."""

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
