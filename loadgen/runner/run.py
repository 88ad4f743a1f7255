"""One run, from a Plan to a RunRecord: open, warm up, load, drain, freeze, judge."""

import contextlib
import sys
from datetime import UTC, datetime
from typing import Final

import msgspec

from loadgen.analysis import checks
from loadgen.analysis.verdict import judging
from loadgen.engine.connect_pacer import CONNECTS_UNDER_WAY
from loadgen.engine.conversation import Conversation
from loadgen.engine.engine import Engine
from loadgen.engine.lifecycle import State
from loadgen.engine.pool import NONE, PoolTotals
from loadgen.engine.recorder import Recorder
from loadgen.errors import UnreachableError
from loadgen.net import backends, descriptors
from loadgen.net.address import Endpoint, first_reachable, resolve
from loadgen.net.clock import WallClock
from loadgen.net.pacing import least_timer_slack
from loadgen.net.target import Target
from loadgen.plan import Plan
from loadgen.plan import payloads as payload
from loadgen.results.intervals import RunPhase
from loadgen.results.record import RunOutcome, RunRecord, TargetRecord
from loadgen.runner import probe
from loadgen.runner.assembly import assemble, dialer_of, kernel_timestamps
from loadgen.runner.build_record import freeze, freeze_interval
from loadgen.runner.context import Progress, Surroundings, quiet_garbage_collector
from loadgen.runner.cpu_time import Processor
from loadgen.runner.probe import Probe
from loadgen.runner.state import RunState
from loadgen.server.embedded import EmbeddedServer
from loadgen.units import NS_PER_S, ns_to_seconds, seconds_to_ns

INTERVAL_NS: Final = NS_PER_S

# A turn waits no longer than this, so that a request to stop is heard in time.
_LONGEST_WAIT_S: Final = 0.1


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
    conditions = [checks.parse_for(plan, text) for text in plan.checks]
    descriptors.ensure(plan.connections)
    queue = payload.load(plan.payloads)
    job = _Run(plan, backend, Conversation.of(plan, queue), surroundings)
    if plan.target is None:
        with EmbeddedServer() as server:
            target = job.carry_out(Target.parse(server.address), server.pid)
        target = msgspec.structs.replace(target, embedded=True, server=server.counts_if_known())
    else:
        target = job.carry_out(Target.parse(plan.target))
    record = freeze(job.findings, target)
    record = msgspec.structs.replace(record, health=judging.judge(record))
    results = [checks.evaluate(check, record) for check in conditions]
    record = msgspec.structs.replace(record, checks=results)
    if record.outcome == "unreachable":
        raise UnreachableTargetError(job.findings.why_unreachable(target.address), record)
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
        self._recorder = Recorder(0)
        self._interval_began_ns = 0
        self._interval_totals = NONE
        self.findings = RunState(
            plan=plan,
            started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            backend=backend,
            recorder=self._recorder,
            profile=plan.profile_with_warmup(),
        )

    def carry_out(self, target: Target, embedded_pid: int | None = None) -> TargetRecord:
        """Load ``target``; what was found stands in ``findings``.

        embedded_pid: of the embedded server. Raises UnreachableError, UsageError.
        """
        findings, surroundings = self.findings, self._surroundings
        endpoints = resolve(target)
        endpoint = first_reachable(endpoints, self._plan.connect_timeout_s)
        from loadgen.runner.monitor import Monitor  # noqa: PLC0415 - with psutil

        monitor = Monitor(self._plan, endpoint, embedded_pid, self._clock)
        with (
            monitor,
            kernel_timestamps(self._plan, endpoint, surroundings.wall_clock) as why_not,
        ):
            findings.why_user_space = why_not
            if findings.backend == "select":
                free_descriptors = descriptors.free_below(backends.FD_SETSIZE)
                backends.check_select_capacity(self._plan.connections, free_descriptors)
            engine = self._engine(endpoint)
            findings.connections = engine.connections
            with contextlib.closing(engine):
                self._carry_out(engine, self._probe(endpoint))
        findings.opened, findings.closed = engine.opened, engine.closed
        findings.cut_off = engine.cut_off
        findings.outcome = self._outcome()
        findings.monitor = monitor.record(findings.marks.load_began_ns)
        others = [str(each) for each in endpoints if each != endpoint]
        return TargetRecord(address=str(target), resolved=str(endpoint), others=others)

    # ---- the stages -----------------------------------------------------------------------

    def _engine(self, endpoint: Endpoint) -> Engine:
        plan, factory = self._plan, self._surroundings.socket_factory
        is_stamped = not self.findings.why_user_space
        wall_clock = WallClock(self._clock, self._surroundings.wall_clock) if is_stamped else None
        self._recorder = self.findings.recorder = Recorder(plan.connections, wall_clock)
        dialer = dialer_of(plan, endpoint, factory, stamped=is_stamped)
        return assemble(plan, self.findings.backend, dialer, self._recorder, self._clock)

    def _probe(self, endpoint: Endpoint) -> Probe | None:
        if not probe.is_wanted(self._plan, self.findings.why_user_space):
            return None
        payloads, should_stop = self._conversation.payloads, self._surroundings.should_stop
        return Probe(self._plan, payloads, endpoint, should_stop)

    def _carry_out(self, engine: Engine, second: Probe | None) -> None:
        findings, marks = self.findings, self.findings.marks
        self._open(engine)
        findings.opened_in_time = engine.opened
        second = second if engine.opened else None
        with quiet_garbage_collector(), least_timer_slack(), second or contextlib.nullcontext():
            self._start(engine)
            self._warm_up(engine)
            if second:
                second.begin()
            self._load(engine)
            if second:
                second.end()
            self._drain(engine)
        findings.probe = second.record if second else None
        findings.overdue = engine.overdue(marks.load_began_ns, marks.load_ended_ns)

    def _start(self, engine: Engine) -> None:
        """Let messages flow; all that takes time comes before, so that the first is not late."""
        findings, marks = self.findings, self.findings.marks
        marks.load_began_ns = now_ns = self._clock()
        self._end_interval(engine, now_ns, "opening")
        if engine.opened:
            self._observe("warming" if self._plan.warmup_s else "loading", engine.totals(), 0)
            now_ns = engine.start()
        findings.intervals.last_took(ns_to_seconds(now_ns - marks.opening_began_ns))
        self._interval_began_ns = marks.warmup_began_ns = now_ns
        findings.begin_load(now_ns + seconds_to_ns(self._plan.warmup_s))

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
        paused_ns = engine.paused_ns
        next_look_ns = began_ns + INTERVAL_NS
        while engine.is_opening and not self._surroundings.should_stop():
            engine.turn(_LONGEST_WAIT_S)
            now_ns = self._clock()
            if now_ns >= next_look_ns:
                next_look_ns += INTERVAL_NS
                self._observe("opening", engine.totals(), 0)
            waited_ns = now_ns - began_ns - (engine.paused_ns - paused_ns)
            if engine.opened:
                if waited_ns >= longest_ns:
                    break
            elif self._nobody_gets_through(waited_ns >= patience_ns):
                break
        marks.opening_ended_ns = now_ns

    def _nobody_gets_through(self, is_late: bool) -> bool:
        failed = sum(seen.count for seen in self._recorder.failures.values())
        return failed >= CONNECTS_UNDER_WAY or (failed > 0 and is_late)

    def _warm_up(self, engine: Engine) -> None:
        if self._plan.warmup_s:
            began_ns = self._submit_until(engine, self.findings.marks.load_began_ns, "warming")
            self.findings.begin_load(began_ns)
            self._recorder.begin_measuring(began_ns)
            engine.end_warm_up()
            self._observe("loading", engine.totals(), 0)
        self.findings.at_load_begin = self._interval_totals

    def _load(self, engine: Engine) -> None:
        marks, duration_s = self.findings.marks, self._plan.duration_s
        end_ns = marks.load_began_ns + seconds_to_ns(duration_s) if duration_s else sys.maxsize
        processor = Processor(self._surroundings.boot_clock)
        connected = engine.availability.so_far(marks.load_began_ns)
        before = processor.use()
        engine.take_loop_stats(marks.load_began_ns)
        marks.load_ended_ns = self._submit_until(engine, end_ns, "loading")
        self.findings.processor = processor.use().since(before)
        self.findings.pulse = engine.take_loop_stats()
        self.findings.connection_time = engine.availability.so_far(marks.load_ended_ns).since(
            connected
        )
        self.findings.at_load_end = self._interval_totals

    def _submit_until(self, engine: Engine, end_ns: int, stage: RunPhase) -> int:
        """Let messages flow until ``end_ns``, or until there is nothing to do; return when it was.

        The interval that is under way ends there; a warm-up when planned, however late that is.
        """
        now_ns = self._interval_began_ns
        while engine.opened and now_ns < end_ns and not engine.is_finished:
            if self._surroundings.should_stop():
                break
            interval_end_ns = self._interval_began_ns + INTERVAL_NS
            if now_ns >= interval_end_ns:
                self._end_interval(engine, interval_end_ns, stage)
                continue
            left_ns = min(end_ns, interval_end_ns) - now_ns
            engine.turn(min(_LONGEST_WAIT_S, ns_to_seconds(left_ns)))
            now_ns = self._clock()
        now_ns = min(now_ns, end_ns) if stage == "warming" else now_ns
        if now_ns > self._interval_began_ns:
            self._end_interval(engine, now_ns, stage)
        return now_ns

    def _drain(self, engine: Engine) -> None:
        end_ns = self.findings.marks.load_ended_ns + seconds_to_ns(self._plan.drain_s)
        paused_ns = engine.paused_ns
        was_stopped = self._surroundings.should_stop()
        engine.drain()
        self._observe("draining", engine.totals(), 0)
        now_ns = self._clock()
        while self._plan.drain_s and not engine.is_finished:
            if self._surroundings.should_stop() and not was_stopped:
                break  # whoever stops the run while it drains has waited long enough
            engine.turn(min(_LONGEST_WAIT_S, max(0.0, ns_to_seconds(end_ns - now_ns))))
            now_ns = self._clock()
            # While this process stood still, replies came and were not read.
            if now_ns >= end_ns + engine.paused_ns - paused_ns:
                break
        self.findings.marks.drain_ended_ns = now_ns
        if engine.opened:
            self._end_interval(engine, now_ns, "draining")
        self.findings.at_end = engine.totals()

    # ---- accounts -------------------------------------------------------------------------

    def _end_interval(self, engine: Engine, end_ns: int, stage: RunPhase) -> None:
        before, after = self._interval_totals, engine.totals()
        interval = self._recorder.end_interval(self._interval_began_ns, end_ns)
        findings = self.findings
        findings.intervals.append(freeze_interval(interval, before, after, stage, findings))
        duration_s = ns_to_seconds(end_ns - self._interval_began_ns)
        self._interval_began_ns, self._interval_totals = end_ns, after
        if stage != "opening":
            answered = after.answered - before.answered
            self._observe(stage, after, answered / duration_s if duration_s else 0.0)

    def _observe(self, stage: RunPhase, totals: PoolTotals, messages_per_s: float) -> None:
        self._surroundings.observe(
            Progress(
                stage=stage,
                elapsed_s=ns_to_seconds(self._interval_began_ns - self.findings.marks.load_began_ns)
                if stage in ("loading", "draining")
                else 0.0,
                totals=totals,
                messages_per_s=messages_per_s,
                failures=sum(seen.count for seen in self._recorder.failures.values()),
            )
        )

    def _outcome(self) -> RunOutcome:
        if self._surroundings.should_stop():
            return "interrupted"
        connections = self.findings.connections
        if not any(connection.connects for connection in connections):
            return "unreachable"
        failed = (connection.state is State.FAILED for connection in connections)
        if not self._plan.reconnect and all(failed):
            return "lost"
        return "completed"
