"""The worker's role: makes load, and reports to the master."""

from collections.abc import Callable
from typing import Any

from locust.env import Environment
from locust.runners import WorkerRunner

from loadgen.locust.messages import FIELD, FINISH, FINISHED, REFUSED, encode
from loadgen.locust.roles import LoadingRole


class Worker(LoadingRole):
    """Makes load on a worker, whose ``runner`` is Locust's."""

    def __init__(self, environment: Environment, runner: WorkerRunner) -> None:
        super().__init__(environment)
        self._runner = runner
        self._go_first({"report_to_master": self._report})
        self._go_last({"quitting": self._stop})
        runner.register_message(FINISH, self._on_finish, concurrent=True)

    def _report(self, data: dict[str, Any], **_: Any) -> None:
        self.session.merge()
        if self.session.has_unreported:
            data[FIELD] = encode(self.session.reports())

    def _report_end(self) -> None:
        """Send the last report at once; Locust may never send its next one."""
        send: Callable[[], None] | None = getattr(self._runner, "_send_stats", None)
        if send is not None:  # Locust's own, and private
            send()

    def _on_finish(self, msg: Any, **_: Any) -> None:
        self._runner.stop()
        self._finish()  # the listeners of test_stop may still be at work
        self._runner.send_message(FINISHED, msg.data)

    def _refuse(self, why: str) -> None:
        super()._refuse(why)
        self._runner.send_message(REFUSED, {"why": why})
