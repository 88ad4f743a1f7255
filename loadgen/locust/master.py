"""The master of Locust's workers, which gathers what they have found."""

import logging
from typing import Any, Final

import gevent
from locust.env import Environment
from locust.runners import MasterRunner

from loadgen.locust.driver import Interrupts
from loadgen.locust.report import decode
from loadgen.locust.roles import Gathering
from loadgen.locust.worker import FIELD, FINISH, FINISHED, REFUSED

_log = logging.getLogger("loadgen.locust")

_PATIENCE_S: Final = 5.0


class Master(Gathering):
    """Hears the workers of ``runner``.

    While a run goes on, ^C is for the main greenlet: raised wherever Python happens to be, it ends
    the greenlet that writes Locust's CSV files, without a word, and they stay as they are.
    """

    def __init__(self, environment: Environment, runner: MasterRunner) -> None:
        super().__init__(environment)
        self._runner = runner
        self._finished: set[str] = set()  # workers that have given their last report
        self._interrupts = Interrupts()
        self._go_first(
            {
                "test_start": self.begin,
                "worker_report": self._receive,
                "test_stop": self._finish,
            }
        )
        runner.register_message(REFUSED, self._hear_refusal, concurrent=True)
        runner.register_message(FINISHED, self._hear_finished)

    def begin(self, **_: Any) -> None:
        """Begin a run."""
        self._interrupts.install()
        self.gathered.begin()

    def _receive(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        content = data.pop(FIELD, None)
        if content is not None:
            try:
                self.gathered.receive(client_id, decode(content))
            except ValueError as error:
                _log.error("worker %s: %s; use the same loadgen everywhere", client_id, error)

    def _finish(self, **_: Any) -> None:
        self._end_run()
        self._write()
        self._interrupts.remove()

    def _end_run(self) -> None:
        """Have every worker end its run, and wait for what it has to say."""
        self._finished.clear()
        self._runner.send_message(FINISH)
        with gevent.Timeout(_PATIENCE_S, False):  # type: ignore[arg-type]
            while self._silent():
                gevent.sleep(0.02)
        silent = self._silent()
        if silent:
            _log.error(
                "no last report within %g s from %s: what it had found since the one before is "
                "missing in the record",
                _PATIENCE_S,
                ", ".join(sorted(silent)),
            )

    def _silent(self) -> set[str]:
        """Return the workers that may still have something to say."""
        there = {client.id for client in self._runner.clients.all if client.state != "missing"}
        return there - self._finished

    def _hear_finished(self, msg: Any, **_: Any) -> None:
        self._finished.add(msg.node_id)

    def _hear_refusal(self, msg: Any, **_: Any) -> None:
        self._refuse(f"worker {msg.node_id}: {msg.data['why']}")
