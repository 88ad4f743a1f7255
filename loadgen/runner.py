"""One run, from a Plan to a RunRecord: open, load, drain, freeze."""

import logging
import os
import socket
import sys
from datetime import UTC, datetime
from typing import Final

import msgspec

from loadgen import descriptors, payload
from loadgen.core import backends
from loadgen.core.conversation import Conversation
from loadgen.core.dialer import Dialer, Endpoint, SocketOptions, first_that_answers, resolve
from loadgen.core.engine import Engine
from loadgen.core.lifecycle import State
from loadgen.core.opener import CONNECTS_UNDER_WAY
from loadgen.core.policy import Policy
from loadgen.core.recorder import Recorder
from loadgen.core.totals import NONE, Totals
from loadgen.errors import LoadgenError, UnreachableError
from loadgen.freeze import Findings, freeze, freeze_interval
from loadgen.plan import Plan
from loadgen.record import Outcome, RunRecord, Stage, TargetRecord
from loadgen.server_processes import EmbeddedServer
from loadgen.surroundings import Progress, Surroundings, quiet_garbage_collector
from loadgen.target import Target
from loadgen.units import NS_PER_S, ns_to_seconds, seconds_to_ns

INTERVAL_NS: Final = NS_PER_S

# A turn waits no longer than this, so that a request to stop is heard in time.
_LONGEST_WAIT_S: Final = 0.1

# On a UNIX socket a connect is over at once, or refused because the backlog is full (connect(2),
# EAGAIN): nothing is ever under way, so only a pace can give the server time to accept.
_UNIX_CONNECT_RATE_PER_S: Final = 10_000

_log = logging.getLogger("loadgen.runner")


class UnreachableTargetError(UnreachableError):
    """No connection came up; ``record`` holds what was found out until then."""

    def __init__(self, message: str, record: RunRecord) -> None:
        super().__init__(message)
        self.record = record


def run(plan: Plan, surroundings: Surroundings | None = None) -> RunRecord:
    """Carry out ``plan`` and return what was found.

    Raises UsageError for a payload that cannot be read, LocalLimitError where this machine cannot
    do it, both before the first socket exists; UnreachableTargetError if no connection came up, and
    UnreachableError if the target's name does not resolve.
    """
    surroundings = surroundings or Surroundings()
    backend = backends.resolve(plan.backend)
    descriptors.ensure(plan.connections)
    queue = payload.load(plan.payloads)
    job = _Run(plan, backend, Conversation.of(plan, queue), surroundings)
    if plan.target is None:
        with EmbeddedServer() as server:
            target = job.carry_out(Target.parse(server.address))
        target = msgspec.structs.replace(target, embedded=True, server=_counts_of(server))
    else:
        target = job.carry_out(Target.parse(plan.target))
    record = freeze(job.findings, target)
    if record.outcome == "unreachable":
        raise UnreachableTargetError(job.why_unreachable(target.address), record)
    return record


class _Run:
    """The state of one run in progress."""

    def __init__(
        self, plan: Plan, backend: str, conversation: Conversation, surroundings: Surroundings
    ) -> None:
        self._plan = plan
        self._conversation = conversation
        self._surroundings = surroundings
        self._clock = surroundings.clock
        self._recorder = Recorder(plan.connections)
        self._interval_began_ns = 0
        self._interval_totals = NONE
        self.findings = Findings(
            plan=plan,
            started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            backend=backend,
            recorder=self._recorder,
        )

    def carry_out(self, target: Target) -> TargetRecord:
        """Load ``target``; what was found stands in ``findings``. Raises UnreachableError."""
        endpoint = first_that_answers(resolve(target), self._plan.connect_timeout_s)
        if self.findings.backend == "select":
            free_descriptors = descriptors.free_below(backends.FD_SETSIZE)
            backends.check_select_capacity(self._plan.connections, free_descriptors)
        engine = self._engine(endpoint)
        findings, marks = self.findings, self.findings.marks
        findings.connections = engine.connections
        try:
            self._open(engine)
            findings.opened_in_time = engine.opened
            with quiet_garbage_collector():
                marks.load_began_ns = self._clock()
                self._end_interval(engine, marks.load_began_ns, "opening")
                self._load(engine)
                self._drain(engine)
            findings.cut_off = sum(connection.in_flight for connection in engine.connections)
        finally:
            engine.close()
        findings.opened, findings.closed = engine.opened, engine.closed
        findings.outcome = self._outcome()
        return TargetRecord(
            address=str(target), resolved=str(endpoint), embedded=False, server=None
        )

    def why_unreachable(self, address: str) -> str:
        """Return one line on why nobody could connect."""
        failures = self._recorder.failures
        tried = sum(seen.count for seen in failures.values())
        most_common = max(failures, key=lambda failure: failures[failure].count)
        asked = self._plan.connections
        tries = f"all {tried} attempts" if tried >= asked else f"given up after {tried} of {asked}"
        return f"{address} is unreachable: {most_common} ({tries})"

    # ---- the stages -----------------------------------------------------------------------

    def _engine(self, endpoint: Endpoint) -> Engine:
        plan = self._plan
        options = SocketOptions(plan.nagle, plan.send_buffer_bytes, plan.receive_buffer_bytes)
        dialer = Dialer(endpoint, options, self._surroundings.socket_factory or socket.socket)
        rate = plan.connect_rate_per_s
        if rate is None and endpoint.family == socket.AF_UNIX:
            rate = _UNIX_CONNECT_RATE_PER_S
        policy = Policy(
            connect_interval_ns=0 if rate is None else round(NS_PER_S / rate),
            connect_timeout_ns=seconds_to_ns(plan.connect_timeout_s),
            io_timeout_ns=seconds_to_ns(plan.io_timeout_s),
            reconnect=plan.reconnect,
        )
        selector = backends.open_selector(self.findings.backend)
        return Engine(selector, dialer, self._recorder, self._clock, policy)

    def _open(self, engine: Engine) -> None:
        """Open all connections; come back when each is up or has failed, or patience is at its end.

        Those that come up later join in.
        """
        marks, plan = self.findings.marks, self._plan
        began_ns = now_ns = self._clock()
        marks.opening_began_ns = self._interval_began_ns = began_ns
        pace_s = plan.connections / plan.connect_rate_per_s if plan.connect_rate_per_s else 0.0
        greeting_s = plan.io_timeout_s if plan.first_message else 0.0
        patience_ns = seconds_to_ns(plan.connect_timeout_s)
        longest_ns = patience_ns + seconds_to_ns(pace_s + greeting_s)
        engine.add(self._conversation, plan.connections)
        self._observe("opening", engine.totals(), 0)
        next_look_ns = began_ns + INTERVAL_NS
        while engine.is_opening and not self._surroundings.should_stop():
            engine.turn(_LONGEST_WAIT_S)
            now_ns = self._clock()
            if now_ns >= next_look_ns:
                next_look_ns += INTERVAL_NS
                self._observe("opening", engine.totals(), 0)
            if engine.opened:
                if now_ns - began_ns >= longest_ns:
                    break
            elif self._nobody_gets_through(now_ns - began_ns >= patience_ns):
                break
        marks.opening_ended_ns = now_ns

    def _nobody_gets_through(self, is_late: bool) -> bool:
        failed = sum(seen.count for seen in self._recorder.failures.values())
        return failed >= CONNECTS_UNDER_WAY or (failed > 0 and is_late)

    def _load(self, engine: Engine) -> None:
        marks, plan = self.findings.marks, self._plan
        began_ns = marks.load_began_ns
        end_ns = began_ns + seconds_to_ns(plan.duration_s) if plan.duration_s else sys.maxsize
        cpu_began = os.times()
        now_ns = began_ns
        if engine.opened:
            engine.start()
            self._observe("loading", engine.totals(), 0)
            while now_ns < end_ns and not engine.is_finished:
                if self._surroundings.should_stop():
                    break
                interval_end_ns = self._interval_began_ns + INTERVAL_NS
                if now_ns >= interval_end_ns:
                    self._end_interval(engine, interval_end_ns, "loading")
                    continue
                engine.turn(
                    min(_LONGEST_WAIT_S, ns_to_seconds(min(end_ns, interval_end_ns) - now_ns))
                )
                now_ns = self._clock()
        cpu_ended = os.times()
        marks.cpu_user_s = cpu_ended.user - cpu_began.user
        marks.cpu_system_s = cpu_ended.system - cpu_began.system
        marks.load_ended_ns = now_ns
        if now_ns > self._interval_began_ns:
            self._end_interval(engine, now_ns, "loading")
        self.findings.at_load_end = self._interval_totals

    def _drain(self, engine: Engine) -> None:
        end_ns = self.findings.marks.load_ended_ns + seconds_to_ns(self._plan.drain_s)
        was_stopped = self._surroundings.should_stop()
        engine.drain()
        self._observe("draining", engine.totals(), 0)
        now_ns = self._clock()
        while now_ns < end_ns and not engine.is_finished:
            if self._surroundings.should_stop() and not was_stopped:
                break  # whoever stops the run while it drains has waited long enough
            engine.turn(min(_LONGEST_WAIT_S, ns_to_seconds(end_ns - now_ns)))
            now_ns = self._clock()
        self.findings.marks.drain_ended_ns = now_ns
        if engine.opened:
            self._end_interval(engine, now_ns, "draining")
        self.findings.at_end = engine.totals()

    # ---- accounts -------------------------------------------------------------------------

    def _end_interval(self, engine: Engine, end_ns: int, stage: Stage) -> None:
        before, after = self._interval_totals, engine.totals()
        interval = self._recorder.end_interval(self._interval_began_ns, end_ns)
        began_ns = self.findings.marks.load_began_ns
        self.findings.intervals.append(freeze_interval(interval, before, after, began_ns, stage))
        duration_s = ns_to_seconds(end_ns - self._interval_began_ns)
        self._interval_began_ns, self._interval_totals = end_ns, after
        if stage != "opening":
            rate = (after.answered - before.answered) / duration_s if duration_s else 0.0
            self._observe(stage, after, rate)

    def _observe(self, stage: Stage, totals: Totals, messages_per_s: float) -> None:
        self._surroundings.observe(
            Progress(
                stage=stage,
                elapsed_s=ns_to_seconds(self._interval_began_ns - self.findings.marks.load_began_ns)
                if stage != "opening"
                else 0.0,
                totals=totals,
                messages_per_s=messages_per_s,
                failures=sum(seen.count for seen in self._recorder.failures.values()),
            )
        )

    def _outcome(self) -> Outcome:
        if self._surroundings.should_stop():
            return "interrupted"
        connections = self.findings.connections
        if not any(connection.connects for connection in connections):
            return "unreachable"
        failed = (connection.state is State.FAILED for connection in connections)
        if not self._plan.reconnect and all(failed):
            return "lost"
        return "completed"


def _counts_of(server: EmbeddedServer) -> dict[str, int] | None:
    try:
        return msgspec.structs.asdict(server.counts)
    except LoadgenError as error:  # what the client has measured stands all the same
        _log.warning("%s", error)
        return None
