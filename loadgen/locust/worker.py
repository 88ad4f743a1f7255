"""A worker of Locust's, which makes load and tells the master what it has found.

What there is to tell travels in Locust's own reports, every 3 s and at the end, and as three
messages beside them: the master asks for the end of a run, the worker says when that is done, and
why it cannot go on.
"""

from collections.abc import Callable
from typing import Any, Final

from locust.env import Environment
from locust.runners import WorkerRunner

from loadgen.locust.roles import LoadingRole
from loadgen.locust.worker_report import encode

FIELD: Final = "loadgen"
"""Where our part of a report stands in it."""

FINISH: Final = "loadgen_finish"
FINISHED: Final = "loadgen_finished"
REFUSED: Final = "loadgen_refused"


class Worker(LoadingRole):
    """Makes load where ``runner`` says."""

    def __init__(self, environment: Environment, runner: WorkerRunner) -> None:
        super().__init__(environment)
        self._runner = runner
        self._go_first({"report_to_master": self._report})
        self._go_last({"quitting": self._stop})
        runner.register_message(FINISH, self._finish_early, concurrent=True)

    def _report(self, data: dict[str, Any], **_: Any) -> None:
        self.session.merge()
        if self.session.has_news:
            data[FIELD] = encode(self.session.reports())

    def _hand_in(self) -> None:
        """Let the master have the end of the run at once; Locust's next report may never come."""
        send: Callable[[], None] | None = getattr(self._runner, "_send_stats", None)
        if send is not None:  # Locust's own, and private
            send()

    def _finish_early(self, msg: Any, **_: Any) -> None:
        self._runner.stop()
        self._finish()  # whoever has stopped it may not be done
        self._runner.send_message(FINISHED, msg.data)

    def _refuse(self, why: str) -> None:
        super()._refuse(why)
        self._runner.send_message(REFUSED, {"why": why})
