"""The master's role: collects the reports of Locust's workers, and notices lost workers."""

import contextlib
from collections.abc import Iterable
from typing import Any, Final

import gevent
from locust.env import Environment
from locust.runners import MasterRunner

from loadgen.locust import arguments
from loadgen.locust.messages import FIELD, FINISH, FINISHED, REFUSED, ClassReport
from loadgen.locust.report_checks import ReportChecker
from loadgen.locust.roles import CollectingRole
from loadgen.locust.signals import Interrupts
from loadgen.locust.worker_tracker import WorkerTracker, with_dispatch_listener
from loadgen.logs import logger
from loadgen.results.interval_packer import packed
from loadgen.results.intervals import PackedIntervals
from loadgen.text import quoted

_log = logger("loadgen.locust")

_LAST_REPORT_TIMEOUT_S: Final = 5.0
_CHECK_S: Final = 1.0


class Master(CollectingRole):
    """Collects from the workers of ``runner``.

    During a run, ^C is raised in the main greenlet: raised wherever Python happens to be, it could
    silently end the greenlet that writes Locust's CSV files.
    """

    def __init__(self, environment: Environment, runner: MasterRunner) -> None:
        super().__init__(environment)
        self._runner = runner
        self._finished: set[str] = set()  # workers that have sent their last report
        self._checker = ReportChecker(
            lambda: {user_class.__name__ for user_class in environment.user_classes}
        )
        self._interrupts = Interrupts()
        self._monitor: Any = None
        self._runs = 0
        expected = self.command_line.expected_workers
        self._tracker = self.collector.tracker = WorkerTracker(expected)
        environment.dispatcher_class = with_dispatch_listener(
            environment.dispatcher_class, self._tracker.assign
        )
        self._go_first(
            {
                "test_start": self.begin,
                "worker_report": self._receive,
                "heartbeat_sent": lambda client_id, **_: self._tracker.note_contact(client_id),
                "spawning_complete": self._on_spawning_complete,
                "test_stopping": lambda **_: self._tracker.end(),
                "test_stop": self._finish,
            }
        )
        runner.register_message(REFUSED, self._on_refused, concurrent=True)
        runner.register_message(FINISHED, self._on_finished)

    def begin(self, **_: Any) -> None:
        """Begin a run."""
        self._interrupts.install()
        self._runs += 1
        run = arguments.number_run(self.environment.parsed_options, self._runs)
        self.collector.begin(run)
        self._tracker.begin()
        self._checker.begin(run)
        self._monitor = gevent.spawn(self._check_heartbeats)

    def _on_spawning_complete(self, **_: Any) -> None:
        if self.environment.reset_stats:
            self.collector.begin_measuring()

    def _receive(self, client_id: str, data: Any, **_: Any) -> None:
        """Take in what a worker has reported, as far as it can be merged with the other reports."""
        content = data.pop(FIELD, None) if isinstance(data, dict) else None
        if client_id not in self._runner.worker_indexes:
            return  # not a worker that Locust knows
        self._tracker.note_contact(client_id)
        if content is None:
            return
        good, bad = self._checker.check(content)
        for why in bad:
            self.collector.drop(client_id, why)
        accepted = self.collector.receive(client_id, self._bounded(client_id, good))
        if accepted:
            self._tracker.report(client_id, [report.user_class for report in accepted])
        if any(report.is_last for report in accepted):
            self._note_last_report(client_id)

    def _bounded(self, worker: str, reports: list[ClassReport]) -> list[ClassReport]:
        """Return those of ``reports`` with which the intervals of ``worker`` stay within bounds."""
        kept = []
        for report in reports:
            if report.run != self.collector.run:
                kept.append(report)  # the collector leaves it out, and logs why
                continue
            known = self.collector.intervals_of(worker, report.user_class).blocks
            more = packed(report.record.intervals).blocks
            why_not = self._checker.why_too_many(PackedIntervals([*known, *more]))
            if why_not:
                self.collector.drop(worker, why_not)
            else:
                kept.append(report)
        return kept

    def _note_last_report(self, worker: str) -> None:
        """Write the record again if it was written without that worker's last report."""
        was_lost = self._tracker.is_lost(worker)
        self._tracker.finish(worker)
        if was_lost and self._monitor is None:
            _log.warning("worker %s is late: its last report has arrived, and counts", worker)
            self._write()

    def _finish(self, **_: Any) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self._interrupts.remove)
            stack.callback(self._write)
            self._end_run()

    def _end_run(self) -> None:
        """Have every worker end its run, and wait for the last reports."""
        self._tracker.end()
        self._finished.clear()
        try:
            self._runner.send_message(FINISH, {"run": self.collector.run})
            with gevent.Timeout(_LAST_REPORT_TIMEOUT_S, False):  # type: ignore[arg-type]
                while self._awaited():
                    gevent.sleep(0.02)
        finally:
            self._log_missing(self._tracker.unfinished)
            if self._monitor is not None:
                self._monitor.kill()
                self._monitor = None

    def _awaited(self) -> set[str]:
        """Return the workers whose last report may still come."""
        connected = {client.id for client in self._runner.clients.all if client.state != "missing"}
        return connected - self._finished

    def _check_heartbeats(self) -> None:
        while True:
            gevent.sleep(_CHECK_S)
            clients = self._runner.clients
            self._log_missing(
                worker
                for worker in self._tracker.unfinished
                if worker not in clients or clients[worker].state == "missing"
            )

    def _log_missing(self, missing: Iterable[str]) -> None:
        """Log which workers are newly lost, and which are back."""
        lost, back = self._tracker.update_missing(missing)
        for worker in lost:
            _log.warning(
                "worker %s is lost: %s; what it measured since its last report is missing",
                worker,
                self._tracker.last_contact(worker),
            )
        for worker in back:
            _log.warning("worker %s is back: all that it reports counts", worker)

    def _on_finished(self, msg: Any, **_: Any) -> None:
        self._finished.add(msg.node_id)
        is_of_this_run = _field(msg, "run") == self.collector.run
        if is_of_this_run and not self.collector.has_dropped(msg.node_id):
            self._tracker.finish(msg.node_id)

    def _on_refused(self, msg: Any, **_: Any) -> None:
        why = _field(msg, "why")
        self._refuse(f"worker {msg.node_id}: {why if isinstance(why, str) else quoted(why)}")


def _field(msg: Any, name: str) -> Any:
    """Return that field of a worker's message; None where there is none."""
    return msg.data.get(name) if isinstance(msg.data, dict) else None
