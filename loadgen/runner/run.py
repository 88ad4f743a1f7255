"""One run, from a Plan to a RunRecord: open, warm up, load, drain, build the record, judge."""

import contextlib
import gc
import sys
from collections.abc import Iterator
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
from loadgen.plan import Plan, payloads
from loadgen.results.intervals import RunPhase
from loadgen.results.record import RunOutcome, RunRecord, TargetRecord
from loadgen.runner import probe
from loadgen.runner.assembly import assemble, dialer_of, kernel_timestamps
from loadgen.runner.build_record import build_record, interval_record
from loadgen.runner.cpu_time import Processor
from loadgen.runner.probe import Probe
from loadgen.runner.state import RunState
from loadgen.runner.surroundings import Progress, Surroundings
from loadgen.server.embedded import EmbeddedServer
from loadgen.units import NS_PER_S, ns_to_seconds, seconds_to_ns

INTERVAL_NS: Final = NS_PER_S

# The longest wait of one turn, so that a request to stop is seen in time.
_LONGEST_WAIT_S: Final = 0.1

_YOUNG: Final = 1
"""The oldest generation of the garbage collector whose size does not grow with the heap."""


class UnreachableTargetError(UnreachableError):
    """No connection came up; ``record`` holds what was measured until then."""

    def __init__(self, message: str, record: RunRecord) -> None:
        super().__init__(message)
        self.record = record


def run(plan: Plan, surroundings: Surroundings | None = None) -> RunRecord:
    """Carry out ``plan`` and return its record.

    Raises UsageError for a payload that cannot be read and LocalLimitError where this machine
    cannot carry out the plan, both before the first socket exists; UnreachableTargetError if no
    connection came up; UnreachableError if the target's name does not resolve.
    """
    surroundings = surroundings or Surroundings()
    backend = backends.resolve(plan.backend)
    conditions = [checks.parse_for(plan, text) for text in plan.checks]
    descriptors.ensure(plan.connections)
    queue = payloads.load(plan.payloads)
    execution = _Run(plan, backend, Conversation.of(plan, queue), surroundings)
    if plan.target is None:
        with EmbeddedServer() as server:
            target = execution.carry_out(Target.parse(server.address), server.pid)
        target = msgspec.structs.replace(target, embedded=True, server=server.counts_if_known())
    else:
        target = execution.carry_out(Target.parse(plan.target))
    record = build_record(execution.state, target)
    record = msgspec.structs.replace(record, health=judging.judge(record))
    results = [checks.evaluate(check, record) for check in conditions]
    record = msgspec.structs.replace(record, checks=results)
    if record.outcome == "unreachable":
        raise UnreachableTargetError(execution.state.why_unreachable(target.address), record)
    return record


class _Run:
    """One run in progress."""

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
        self.state = RunState(
            plan=plan,
            started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            backend=backend,
            recorder=self._recorder,
            profile=plan.profile_with_warmup(),
        )

    def carry_out(self, target: Target, embedded_pid: int | None = None) -> TargetRecord:
        """Load ``target``, and fill ``state``.

        embedded_pid: process number of the embedded server. Raises UnreachableError, UsageError.
        """
        state, surroundings = self.state, self._surroundings
        endpoints = resolve(target)
        endpoint = first_reachable(endpoints, self._plan.connect_timeout_s)
        from loadgen.runner.monitor import Monitor  # noqa: PLC0415 - with psutil

        monitor = Monitor(self._plan, endpoint, embedded_pid, self._clock)
        with (
            monitor,
            kernel_timestamps(self._plan, endpoint, surroundings.wall_clock) as why_not,
        ):
            state.why_user_space = why_not
            if state.backend == "select":
                free_descriptors = descriptors.free_below(backends.FD_SETSIZE)
                backends.check_select_capacity(self._plan.connections, free_descriptors)
            engine = self._engine(endpoint)
            state.connections = engine.pool.connections
            with contextlib.closing(engine):
                self._carry_out(engine, self._probe(endpoint))
        state.opened, state.closed = engine.pool.opened, engine.pool.closed
        state.cut_off = engine.pool.cut_off
        state.outcome = self._outcome()
        state.monitor = monitor.record(state.milestones.load_began_ns)
        others = [str(each) for each in endpoints if each != endpoint]
        return TargetRecord(address=str(target), resolved=str(endpoint), others=others)

    # ---- the phases -----------------------------------------------------------------------

    def _engine(self, endpoint: Endpoint) -> Engine:
        plan, factory = self._plan, self._surroundings.socket_factory
        is_stamped = not self.state.why_user_space
        wall_clock = WallClock(self._clock, self._surroundings.wall_clock) if is_stamped else None
        self._recorder = self.state.recorder = Recorder(plan.connections, wall_clock)
        dialer = dialer_of(plan, endpoint, factory, stamped=is_stamped)
        return assemble(plan, self.state.backend, dialer, self._recorder, self._clock)

    def _probe(self, endpoint: Endpoint) -> Probe | None:
        if not probe.is_wanted(self._plan, self.state.why_user_space):
            return None
        payloads, should_stop = self._conversation.payloads, self._surroundings.should_stop
        return Probe(self._plan, payloads, endpoint, should_stop)

    def _carry_out(self, engine: Engine, probe_process: Probe | None) -> None:
        state, milestones = self.state, self.state.milestones
        self._open(engine)
        state.opened_in_time = engine.pool.opened
        if not engine.pool.opened:
            probe_process = None
        with (
            _quiet_garbage_collector(),
            least_timer_slack(),
            probe_process or contextlib.nullcontext(),
        ):
            self._start(engine)
            self._warm_up(engine)
            if probe_process:
                probe_process.begin()
            self._load(engine)
            if probe_process:
                probe_process.end()
            self._drain(engine)
        state.probe = probe_process.record if probe_process else None
        state.overdue = engine.overdue(milestones.load_began_ns, milestones.load_ended_ns)

    def _start(self, engine: Engine) -> None:
        """Start the messages, after all that takes time, so that the first one is not late."""
        state, milestones = self.state, self.state.milestones
        milestones.load_began_ns = now_ns = self._clock()
        self._end_interval(engine, now_ns, "opening")
        if engine.pool.opened:
            self._observe("warming" if self._plan.warmup_s else "loading", engine.pool.totals(), 0)
            now_ns = engine.start()
        state.intervals.set_last_duration(ns_to_seconds(now_ns - milestones.opening_began_ns))
        self._interval_began_ns = milestones.warmup_began_ns = now_ns
        state.begin_load(now_ns + seconds_to_ns(self._plan.warmup_s))

    def _open(self, engine: Engine) -> None:
        """Open all connections; return when each is up or has failed, or the time for it is over.

        Connections that come up later take part in the load.
        """
        milestones, plan = self.state.milestones, self._plan
        began_ns = now_ns = self._clock()
        milestones.opening_began_ns = self._interval_began_ns = began_ns
        pace_s = plan.connections / plan.connect_rate_per_s if plan.connect_rate_per_s else 0.0
        greeting_s = plan.io_timeout_s if plan.first_message else 0.0
        timeout_ns = seconds_to_ns(plan.connect_timeout_s)
        longest_ns = timeout_ns + seconds_to_ns(pace_s + greeting_s)
        engine.add(self._conversation, plan.connections)
        self._observe("opening", engine.pool.totals(), 0)
        paused_ns = engine.paused_ns
        next_progress_ns = began_ns + INTERVAL_NS
        while engine.pool.is_opening and not self._surroundings.should_stop():
            engine.turn(_LONGEST_WAIT_S)
            now_ns = self._clock()
            if now_ns >= next_progress_ns:
                next_progress_ns += INTERVAL_NS
                self._observe("opening", engine.pool.totals(), 0)
            waited_ns = now_ns - began_ns - (engine.paused_ns - paused_ns)
            if engine.pool.opened:
                if waited_ns >= longest_ns:
                    break
            elif self._is_unreachable(waited_ns >= timeout_ns):
                break
        milestones.opening_ended_ns = now_ns

    def _is_unreachable(self, is_late: bool) -> bool:
        failed = sum(seen.count for seen in self._recorder.failures.values())
        return failed >= CONNECTS_UNDER_WAY or (failed > 0 and is_late)

    def _warm_up(self, engine: Engine) -> None:
        if self._plan.warmup_s:
            began_ns = self._submit_until(engine, self.state.milestones.load_began_ns, "warming")
            self.state.begin_load(began_ns)
            self._recorder.begin_measuring(began_ns)
            engine.end_warm_up()
            self._observe("loading", engine.pool.totals(), 0)
        self.state.at_load_begin = self._interval_totals

    def _load(self, engine: Engine) -> None:
        milestones, duration_s = self.state.milestones, self._plan.duration_s
        end_ns = milestones.load_began_ns + seconds_to_ns(duration_s) if duration_s else sys.maxsize
        processor = Processor(self._surroundings.boot_clock)
        connected = engine.pool.availability.so_far(milestones.load_began_ns)
        before = processor.use()
        engine.take_loop_stats(milestones.load_began_ns)
        milestones.load_ended_ns = self._submit_until(engine, end_ns, "loading")
        self.state.processor = processor.use().since(before)
        self.state.loop_stats = engine.take_loop_stats()
        self.state.connection_time = engine.pool.availability.so_far(
            milestones.load_ended_ns
        ).since(connected)
        self.state.at_load_end = self._interval_totals

    def _submit_until(self, engine: Engine, end_ns: int, phase: RunPhase) -> int:
        """Exchange messages until ``end_ns``, or until none are left; return the time of the end.

        The current interval ends there. A warm-up ends at ``end_ns`` even if this is later.
        """
        now_ns = self._interval_began_ns
        while engine.pool.opened and now_ns < end_ns and not engine.pool.is_finished:
            if self._surroundings.should_stop():
                break
            interval_end_ns = self._interval_began_ns + INTERVAL_NS
            if now_ns >= interval_end_ns:
                self._end_interval(engine, interval_end_ns, phase)
                continue
            left_ns = min(end_ns, interval_end_ns) - now_ns
            engine.turn(min(_LONGEST_WAIT_S, ns_to_seconds(left_ns)))
            now_ns = self._clock()
        now_ns = min(now_ns, end_ns) if phase == "warming" else now_ns
        if now_ns > self._interval_began_ns:
            self._end_interval(engine, now_ns, phase)
        return now_ns

    def _drain(self, engine: Engine) -> None:
        end_ns = self.state.milestones.load_ended_ns + seconds_to_ns(self._plan.drain_s)
        paused_ns = engine.paused_ns
        was_stopped = self._surroundings.should_stop()
        engine.pool.drain()
        self._observe("draining", engine.pool.totals(), 0)
        now_ns = self._clock()
        while self._plan.drain_s and not engine.pool.is_finished:
            if self._surroundings.should_stop() and not was_stopped:
                break  # asked to stop while draining: the outstanding replies are given up
            engine.turn(min(_LONGEST_WAIT_S, max(0.0, ns_to_seconds(end_ns - now_ns))))
            now_ns = self._clock()
            # The drain is extended by pauses of this process, in which it read no replies.
            if now_ns >= end_ns + engine.paused_ns - paused_ns:
                break
        self.state.milestones.drain_ended_ns = now_ns
        if engine.pool.opened:
            self._end_interval(engine, now_ns, "draining")
        self.state.at_end = engine.pool.totals()

    # ---- intervals, progress and outcome --------------------------------------------------

    def _end_interval(self, engine: Engine, end_ns: int, phase: RunPhase) -> None:
        before, after = self._interval_totals, engine.pool.totals()
        interval = self._recorder.end_interval(self._interval_began_ns, end_ns)
        state = self.state
        state.intervals.append(interval_record(interval, before, after, phase, state))
        duration_s = ns_to_seconds(end_ns - self._interval_began_ns)
        self._interval_began_ns, self._interval_totals = end_ns, after
        if phase != "opening":
            answered = after.answered - before.answered
            self._observe(phase, after, answered / duration_s if duration_s else 0.0)

    def _observe(self, phase: RunPhase, totals: PoolTotals, messages_per_s: float) -> None:
        is_measured = phase in ("loading", "draining")
        load_began_ns = self.state.milestones.load_began_ns
        elapsed_ns = self._interval_began_ns - load_began_ns if is_measured else 0
        self._surroundings.observe(
            Progress(
                stage=phase,
                elapsed_s=ns_to_seconds(elapsed_ns),
                totals=totals,
                messages_per_s=messages_per_s,
                failures=sum(seen.count for seen in self._recorder.failures.values()),
                rejected=sum(seen.count for seen in self._recorder.rejected.values()),
            )
        )

    def _outcome(self) -> RunOutcome:
        if self._surroundings.should_stop():
            return "interrupted"
        connections = self.state.connections
        if not any(connection.connects for connection in connections):
            return "unreachable"
        failed = (connection.state is State.FAILED for connection in connections)
        if not self._plan.reconnect and all(failed):
            return "lost"
        return "completed"


@contextlib.contextmanager
def _quiet_garbage_collector() -> Iterator[None]:
    """Keep the collector from traversing thousands of connections during the load.

    Old garbage waits until afterwards: a full collection takes time that grows with the heap of the
    embedding program, up to a third of a second.
    """
    if gc.get_freeze_count():  # frozen by the embedding program: `gc.unfreeze` would undo that, too
        yield
        return
    gc.collect(_YOUNG)
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
