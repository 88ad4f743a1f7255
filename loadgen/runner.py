"""One run, from a Plan to a RunRecord: open, load, drain, freeze."""

import contextlib
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
from loadgen.core.dialer import Dialer, Endpoint, SocketOptions, resolve
from loadgen.core.engine import Engine
from loadgen.core.lifecycle import State
from loadgen.core.opener import CONNECTS_UNDER_WAY, Policy
from loadgen.core.recorder import Recorder
from loadgen.core.totals import NONE, Totals
from loadgen.errors import LoadgenError, UnreachableError
from loadgen.freeze import Findings, freeze, freeze_interval
from loadgen.plan import Plan
from loadgen.record import Outcome, RunRecord, TargetRecord
from loadgen.server_processes import EmbeddedServer
from loadgen.surroundings import Phase, Progress, Surroundings, quiet_garbage_collector
from loadgen.target import Target
from loadgen.units import NS_PER_S, ns_to_seconds, seconds_to_ns

INTERVAL_NS: Final = NS_PER_S

# A turn waits no longer than this, so that a request to stop is heard in time.
_HEARING_S: Final = 0.1

_LONGEST_PROBE_S: Final = 60.0

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
    backends.check_capacity(backend, descriptors.lowest_free() + plan.connections + 1)
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
        self._selector = backends.open_selector(backend)
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
        endpoint = self._choose(resolve(target))
        engine = self._engine(endpoint)
        findings, marks = self.findings, self.findings.marks
        findings.connections = engine.connections
        try:
            marks.opening_began_ns = self._clock()
            self._open(engine)
            with quiet_garbage_collector():
                marks.load_began_ns = self._clock()
                self._load(engine)
                self._drain(engine)
            findings.cut_off = sum(connection.in_flight for connection in engine.connections)
        finally:
            engine.close()
        findings.opened, findings.closed = engine.opened, engine.closed
        findings.outcome = self._outcome()
        return TargetRecord(
            address=str(target), resolved=str(endpoint.address), embedded=False, server=None
        )

    def why_unreachable(self, address: str) -> str:
        """Return one line on why nobody could connect."""
        failures = self._recorder.failures
        tried = sum(seen.count for seen in failures.values())
        most_common = max(failures, key=lambda failure: failures[failure].count)
        return f"{address} is unreachable: {most_common} ({tried} of {tried} attempts)"

    # ---- the stages -----------------------------------------------------------------------

    def _choose(self, endpoints: list[Endpoint]) -> Endpoint:
        """Return the first endpoint that answers, where a name has several; else the first.

        ``localhost`` is ::1 and 127.0.0.1, and many a server listens on one of them only.
        """
        if len(endpoints) > 1:
            for endpoint in endpoints:
                with contextlib.suppress(OSError):
                    self._probe(endpoint)
                    return endpoint
        return endpoints[0]

    def _probe(self, endpoint: Endpoint) -> None:
        with socket.socket(endpoint.family, socket.SOCK_STREAM) as probe:
            probe.settimeout(min(self._plan.connect_timeout_s, _LONGEST_PROBE_S))
            probe.connect(endpoint.address)

    def _engine(self, endpoint: Endpoint) -> Engine:
        plan = self._plan
        options = SocketOptions(plan.nagle, plan.send_buffer_bytes, plan.receive_buffer_bytes)
        dialer = Dialer(endpoint, options, self._surroundings.socket_factory or socket.socket)
        rate = plan.connect_rate_per_s
        policy = Policy(
            connect_interval_ns=0 if rate is None else round(NS_PER_S / rate),
            connect_timeout_ns=seconds_to_ns(plan.connect_timeout_s),
            io_timeout_ns=seconds_to_ns(plan.io_timeout_s),
            reconnect=plan.reconnect,
        )
        return Engine(self._selector, dialer, self._recorder, self._clock, policy)

    def _open(self, engine: Engine) -> None:
        """Open all connections; come back when each is up or has failed, or nobody gets through."""
        began_ns = self._clock()
        patience_ns = seconds_to_ns(self._plan.connect_timeout_s)
        engine.add(self._conversation, self._plan.connections)
        self._interval_began_ns = began_ns
        self._observe("opening", engine.totals(), 0)
        next_look_ns = began_ns + INTERVAL_NS
        while engine.is_opening and not self._surroundings.should_stop():
            engine.turn(_HEARING_S)
            now_ns = self._clock()
            if now_ns >= next_look_ns:
                next_look_ns += INTERVAL_NS
                self._observe("opening", engine.totals(), 0)
            failed = sum(seen.count for seen in self._recorder.failures.values())
            is_late = now_ns - began_ns >= patience_ns
            if not engine.opened and failed and (is_late or failed >= CONNECTS_UNDER_WAY):
                break

    def _load(self, engine: Engine) -> None:
        marks, plan = self.findings.marks, self._plan
        began_ns = self._interval_began_ns = marks.load_began_ns
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
                    self._end_interval(engine, interval_end_ns)
                    continue
                engine.turn(min(_HEARING_S, ns_to_seconds(min(end_ns, interval_end_ns) - now_ns)))
                now_ns = self._clock()
        cpu_ended = os.times()
        marks.cpu_user_s = cpu_ended.user - cpu_began.user
        marks.cpu_system_s = cpu_ended.system - cpu_began.system
        marks.load_ended_ns = now_ns
        if now_ns > self._interval_began_ns:
            self._end_interval(engine, now_ns)
        self.findings.at_load_end = self._interval_totals

    def _drain(self, engine: Engine) -> None:
        end_ns = self.findings.marks.load_ended_ns + seconds_to_ns(self._plan.drain_s)
        engine.drain()
        now_ns = self._clock()
        while now_ns < end_ns and not engine.is_finished:
            engine.turn(min(_HEARING_S, ns_to_seconds(end_ns - now_ns)))
            now_ns = self._clock()
        self.findings.marks.drain_ended_ns = now_ns
        if engine.opened:
            self._end_interval(engine, now_ns, draining=True)
        self.findings.at_end = engine.totals()

    # ---- accounts -------------------------------------------------------------------------

    def _end_interval(self, engine: Engine, end_ns: int, draining: bool = False) -> None:
        before, after = self._interval_totals, engine.totals()
        interval = self._recorder.end_interval(self._interval_began_ns, end_ns)
        began_ns = self.findings.marks.load_began_ns
        self.findings.intervals.append(freeze_interval(interval, before, after, began_ns, draining))
        duration_s = ns_to_seconds(end_ns - self._interval_began_ns)
        self._interval_began_ns, self._interval_totals = end_ns, after
        rate = (after.answered - before.answered) / duration_s if duration_s else 0.0
        self._observe("draining" if draining else "loading", after, rate)

    def _observe(self, phase: Phase, totals: Totals, messages_per_s: float) -> None:
        self._surroundings.observe(
            Progress(
                phase=phase,
                elapsed_s=ns_to_seconds(self._interval_began_ns - self.findings.marks.load_began_ns)
                if phase != "opening"
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
        if all(connection.state is State.FAILED for connection in connections):
            return "lost"
        return "completed"


def _counts_of(server: EmbeddedServer) -> dict[str, int] | None:
    try:
        return msgspec.structs.asdict(server.counts)
    except LoadgenError as error:  # what the client has measured stands all the same
        _log.warning("%s", error)
        return None
