"""The master of Locust's workers, which gathers what they have found."""

import contextlib
from collections.abc import Iterable
from typing import Any, Final

import gevent
from locust.env import Environment
from locust.runners import MasterRunner

from loadgen.locust import arguments
from loadgen.locust.attendance import Attendance, telling
from loadgen.locust.gevent_driver import Interrupts
from loadgen.locust.inspection import Inspection
from loadgen.locust.roles import CollectingRole
from loadgen.locust.worker import FIELD, FINISH, FINISHED, REFUSED
from loadgen.locust.worker_report import PartReport
from loadgen.logs import logger
from loadgen.results.interval_packer import packed
from loadgen.results.intervals import PackedIntervals
from loadgen.text import quoted

_log = logger("loadgen.locust")

_PATIENCE_S: Final = 5.0
_LOOK_S: Final = 1.0


class Master(CollectingRole):
    """Hears the workers of ``runner``.

    While a run goes on, ^C is for the main greenlet: raised wherever Python happens to be, it ends
    the greenlet that writes Locust's CSV files, without a word, and they stay as they are.
    """

    def __init__(self, environment: Environment, runner: MasterRunner) -> None:
        super().__init__(environment)
        self._runner = runner
        self._finished: set[str] = set()  # workers that have given their last report
        self._inspection = Inspection(
            lambda: {user_class.__name__ for user_class in environment.user_classes}
        )
        self._interrupts = Interrupts()
        self._watch: Any = None
        self._runs = 0
        expected = self.command_line.expected_workers
        self._attendance = self.gathered.attendance = Attendance(expected)
        environment.dispatcher_class = telling(
            environment.dispatcher_class, self._attendance.assign
        )
        self._go_first(
            {
                "test_start": self.begin,
                "worker_report": self._receive,
                "heartbeat_sent": lambda client_id, **_: self._attendance.hear(client_id),
                "spawning_complete": self._when_all_are_there,
                "test_stopping": lambda **_: self._attendance.end(),
                "test_stop": self._finish,
            }
        )
        runner.register_message(REFUSED, self._hear_refusal, concurrent=True)
        runner.register_message(FINISHED, self._hear_finished)

    def begin(self, **_: Any) -> None:
        """Begin a run."""
        self._interrupts.install()
        self._runs += 1
        run = arguments.number_run(self.environment.parsed_options, self._runs)
        self.gathered.begin(run)
        self._attendance.begin()
        self._inspection.begin(run)
        self._watch = gevent.spawn(self._look_for_all)

    def _when_all_are_there(self, **_: Any) -> None:
        if self.environment.reset_stats:
            self.gathered.begin_measuring()

    def _receive(self, client_id: str, data: Any, **_: Any) -> None:
        """Take in what a worker has reported, as far as it can be put together with the rest."""
        content = data.pop(FIELD, None) if isinstance(data, dict) else None
        if client_id not in self._runner.worker_indexes:
            return  # nobody that Locust knows
        self._attendance.hear(client_id)
        if content is None:
            return
        good, bad = self._inspection.reports(content)
        for why in bad:
            self.gathered.drop(client_id, why)
        accepted = self.gathered.receive(client_id, self._bounded(client_id, good))
        if accepted:
            self._attendance.report(client_id, [report.user_class for report in accepted])
        if any(report.is_last for report in accepted):
            self._hear_the_last_of(client_id)

    def _bounded(self, worker: str, reports: list[PartReport]) -> list[PartReport]:
        """Return those of ``reports`` with which what is kept of ``worker`` stays in bounds."""
        kept = []
        for report in reports:
            if report.run != self.gathered.run:
                kept.append(report)  # it is left out later on, with a word of its own
                continue
            known = self.gathered.intervals_of(worker, report.user_class).blocks
            more = packed(report.record.intervals).blocks
            why_not = self._inspection.why_too_many(PackedIntervals([*known, *more]))
            if why_not:
                self.gathered.drop(worker, why_not)
            else:
                kept.append(report)
        return kept

    def _hear_the_last_of(self, worker: str) -> None:
        """Write the record again if it was written without that worker's last report."""
        was_lost = self._attendance.is_lost(worker)
        self._attendance.finish(worker)
        if was_lost and self._watch is None:
            _log.warning("worker %s is late: its last report has come, and counts", worker)
            self._write()

    def _finish(self, **_: Any) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self._interrupts.remove)
            stack.callback(self._write)
            self._end_run()

    def _end_run(self) -> None:
        """Have every worker end its run, and wait for what it has to say."""
        self._attendance.end()
        self._finished.clear()
        try:
            self._runner.send_message(FINISH, {"run": self.gathered.run})
            with gevent.Timeout(_PATIENCE_S, False):  # type: ignore[arg-type]
                while self._silent():
                    gevent.sleep(0.02)
        finally:
            self._miss(self._attendance.unfinished)
            if self._watch is not None:
                self._watch.kill()
                self._watch = None

    def _silent(self) -> set[str]:
        """Return the workers that may still have something to say."""
        there = {client.id for client in self._runner.clients.all if client.state != "missing"}
        return there - self._finished

    def _look_for_all(self) -> None:
        while True:
            gevent.sleep(_LOOK_S)
            clients = self._runner.clients
            self._miss(
                worker
                for worker in self._attendance.unfinished
                if worker not in clients or clients[worker].state == "missing"
            )

    def _miss(self, missing: Iterable[str]) -> None:
        """Tell of workers that are lost since the last time, and of those that are back."""
        lost, back = self._attendance.miss(missing)
        for worker in lost:
            _log.warning(
                "worker %s is lost: %s; what it has found since its last report is missing",
                worker,
                self._attendance.last_words(worker),
            )
        for worker in back:
            _log.warning("worker %s is back: all that it reports counts", worker)

    def _hear_finished(self, msg: Any, **_: Any) -> None:
        self._finished.add(msg.node_id)
        is_of_this_run = _field(msg, "run") == self.gathered.run
        if is_of_this_run and not self.gathered.has_dropped(msg.node_id):
            self._attendance.finish(msg.node_id)

    def _hear_refusal(self, msg: Any, **_: Any) -> None:
        why = _field(msg, "why")
        self._refuse(f"worker {msg.node_id}: {why if isinstance(why, str) else quoted(why)}")


def _field(msg: Any, name: str) -> Any:
    """Return that field of what a worker has sent; None where there is none."""
    return msg.data.get(name) if isinstance(msg.data, dict) else None
