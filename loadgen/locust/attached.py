"""What ties loadgen to one Locust environment: listeners, and who tells whom.

A worker, and a Locust of one process, has a `Session`; a master, and a Locust of one process, has
what was `Gathered`. Locust's own listeners strip and send its tables, and were there first: ours
go before them.
"""

import logging
from collections.abc import Callable
from typing import Any, Final

import gevent
from gevent.lock import RLock
from locust import stats as locust_stats
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadgen import summary
from loadgen.locust import arguments
from loadgen.locust.gathered import Gathered
from loadgen.locust.report import decode, encode
from loadgen.locust.session import Session

_log = logging.getLogger("loadgen.locust")
_console = logging.getLogger("locust.stats_logger")

_ATTRIBUTE: Final = "loadgen"
_FIELD: Final = "loadgen"
_FINISH: Final = "loadgen_finish"
_FINISHED: Final = "loadgen_finished"
_REFUSED: Final = "loadgen_refused"
_LOCAL: Final = "local"
_REPORT_S: Final = 3.0
_PATIENCE_S: Final = 5.0
_LATE_S: Final = 0.2


class Attached:
    """Loadgen's part in one environment."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.session = Session(environment, self._refuse)
        self.gathered = Gathered()
        self._reporter: Any = None
        self._finishing = RLock()
        self._finished: set[str] = set()  # workers that have given their last report
        first, last = _adders(environment)
        runner = environment.runner
        if isinstance(runner, MasterRunner):
            first("test_start", self._begin_gathering)
            first("worker_report", self._receive)
            first("test_stop", self._finish_gathering)
        else:
            first("test_start", self._begin)
            first("test_stopping", lambda **_: self.session.stop())
            first("test_stop", self._finish)
            first("report_to_master", self._report_to_master)
            first("reset_stats", lambda **_: self.session.merge())
            first("spawning_complete", self._when_all_are_there)
        last("quitting", self._stop_before_quitting)
        last("quit", self._summarise)
        if isinstance(runner, WorkerRunner):
            runner.register_message(_FINISH, self._finish_early, concurrent=True)
        if isinstance(runner, MasterRunner):
            runner.register_message(_REFUSED, self._hear_refusal, concurrent=True)
            runner.register_message(_FINISHED, self._hear_finished)

    @property
    def is_worker(self) -> bool:
        """Whether there is a master to report to."""
        return isinstance(self.environment.runner, WorkerRunner)

    # ---- where the load is made -----------------------------------------------------------

    def _begin(self, **_: Any) -> None:
        with self._finishing:  # Locust lets a run start while the last one drains
            self.session.begin()
        if not self.is_worker:
            self._begin_gathering()
            self._reporter = gevent.spawn(self._report_to_ourselves)

    def _when_all_are_there(self, **_: Any) -> None:
        if self.environment.reset_stats:
            self.session.begin_measuring()

    def _finish(self, **_: Any) -> None:
        # ^C and the master may both ask for the end; whoever comes second must not be off sooner.
        with self._finishing:
            if self.session.is_over:
                return
            self.session.finish()
            if self.is_worker:
                self._send_last()
            else:
                self._reporter.kill()
                self.gathered.receive(_LOCAL, self.session.reports())
                self._write()

    def _send_last(self) -> None:
        """Let the master have the end of the run at once; Locust's next report may never come."""
        send: Callable[[], None] | None = getattr(self.environment.runner, "_send_stats", None)
        if send is not None:  # Locust's own, and private
            send()

    def _report_to_master(self, data: dict[str, Any], **_: Any) -> None:
        self.session.merge()
        if self.session.has_news:
            data[_FIELD] = encode(self.session.reports())

    def _finish_early(self, **_: Any) -> None:
        runner = self.environment.runner
        if runner is not None:
            runner.stop()
            self._finish()  # whoever has stopped it may not be done
            runner.send_message(_FINISHED)

    def _refuse(self, why: str) -> None:
        """End a run that cannot go on: here, or where it was started."""
        _log.error("%s", why)
        runner = self.environment.runner
        if isinstance(runner, WorkerRunner):
            runner.send_message(_REFUSED, {"why": why})
        else:
            self._end_refused()

    def _hear_refusal(self, msg: Any, **_: Any) -> None:
        _log.error("worker %s: %s", msg.node_id, msg.data["why"])
        self._end_refused()

    def _end_refused(self) -> None:
        """Stop the run; without a web UI in which another could be started, end Locust too."""
        runner, options = self.environment.runner, self.environment.parsed_options
        if runner is None:
            return
        if options is not None and options.headless:
            self.environment.process_exit_code = 2
            runner.quit()
        else:
            runner.stop()

    def _report_to_ourselves(self) -> None:
        while True:
            gevent.sleep(_REPORT_S)
            self.gathered.receive(_LOCAL, self.session.reports())

    # ---- where it is put together ---------------------------------------------------------

    def _begin_gathering(self, **_: Any) -> None:
        self.gathered.begin()

    def _receive(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        content = data.pop(_FIELD, None)
        if content is not None:
            try:
                self.gathered.receive(client_id, decode(content))
            except ValueError as error:
                _log.error("worker %s: %s; use the same loadgen everywhere", client_id, error)

    def _finish_gathering(self, **_: Any) -> None:
        self._wait_for_all()
        self._write()

    def _wait_for_all(self) -> None:
        """Have every worker end its run, and wait for what it has to say."""
        runner = self.environment.runner
        assert isinstance(runner, MasterRunner)
        self._finished.clear()
        runner.send_message(_FINISH)
        with gevent.Timeout(_PATIENCE_S, False):  # type: ignore[arg-type]
            while not self._finished.issuperset(_there(runner)):
                gevent.sleep(0.02)
        silent = _there(runner) - self._finished
        if silent:
            _log.error(
                "no last report within %g s from %s: what it had found since the one before is "
                "missing in the record",
                _PATIENCE_S,
                ", ".join(sorted(silent)),
            )

    def _hear_finished(self, msg: Any, **_: Any) -> None:
        self._finished.add(msg.node_id)

    def _write(self) -> None:
        path = arguments.record_file(self.environment.parsed_options)
        if path is not None:
            self.gathered.write(path)

    # ---- the end --------------------------------------------------------------------------

    def _stop_before_quitting(self, **_: Any) -> None:
        """End the run now: Locust decides on its exit code before it would end it."""
        runner = self.environment.runner
        if isinstance(runner, MasterRunner):
            self._wait_for_all()
        elif runner is not None:
            runner.stop()
        if not self.is_worker and getattr(self.environment.parsed_options, "csv_prefix", None):
            # Locust writes its CSV files once a second, and not again at the end.
            gevent.sleep(locust_stats.CSV_STATS_INTERVAL_SEC + _LATE_S)

    def _summarise(self, **_: Any) -> None:
        if self.is_worker:
            return
        for user_class, record in self.gathered.records().items():
            _console.info("%s", f"\n{user_class}")
            for line in summary.summarise(record):
                _console.info("%s", line.text)


def attached(environment: Environment) -> Attached:
    """Return what ties loadgen to ``environment``; made when it is first asked for."""
    known: Attached | None = getattr(environment, _ATTRIBUTE, None)
    if known is None:
        known = Attached(environment)
        setattr(environment, _ATTRIBUTE, known)
        if environment.runner is not None and environment.runner.state not in ("ready", "stopped"):
            known._begin()  # noqa: SLF001 - its own module; the run began without us
    return known


def _there(runner: MasterRunner) -> set[str]:
    """Return the workers that may still have something to say."""
    return {client.id for client in runner.clients.all if client.state != "missing"}


def _adders(environment: Environment) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return what puts a listener before all others, and after them."""

    def first(event: str, listener: Callable[..., None]) -> None:
        hook = getattr(environment.events, event)
        hook._handlers.insert(0, listener)  # noqa: SLF001 - add_listener only appends

    def last(event: str, listener: Callable[..., None]) -> None:
        getattr(environment.events, event).add_listener(listener)

    return first, last
