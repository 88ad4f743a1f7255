"""The record of one user class in one process, which is merged into that of the whole run.

A worker sends its record every few seconds, and each replaces the one before, so that a lost report
or a killed worker costs only what came after the last report. Only the intervals, which would grow
with the run, are sent once each.
"""

import msgspec

from loadgen.analysis.verdict import judging
from loadgen.engine.engine import Engine
from loadgen.engine.pool import NONE, PoolTotals
from loadgen.engine.recorder import Recorder
from loadgen.locust.user_attributes import plan_of_all_users
from loadgen.net.clock import monotonic_ns
from loadgen.plan import Plan
from loadgen.plan.user_arrivals import Later, OfferedLoad
from loadgen.results.interval_packer import IntervalPacker
from loadgen.results.intervals import RunPhase
from loadgen.results.record import ConnectionsRecord, RunRecord, TargetRecord
from loadgen.runner.build_record import build_record, interval_record
from loadgen.runner.cpu_time import Processor
from loadgen.runner.state import RunState
from loadgen.units import ns_to_seconds


class ClassRecord:
    """Collects the run state of one engine; `record` builds the record so far."""

    def __init__(
        self, plan: Plan, target: TargetRecord, engine: Engine, recorder: Recorder
    ) -> None:
        self._plan = plan
        self._engine = engine
        self._target = target
        self._totals = NONE
        self._interval_began_ns = 0
        self._is_loading = True
        self._is_over = False
        self._offered: OfferedLoad | None = None
        self._processor = Processor()
        self._processor_before = self._processor.use()
        self._availability_before = engine.availability.so_far(monotonic_ns())
        self._intervals = IntervalPacker()
        self.state = RunState(plan=plan, started_at="", backend="", recorder=recorder)

    def begin(self, now_ns: int, started_at: str, offered: OfferedLoad | None) -> None:
        """Begin the load: at ``now_ns``, which is ``started_at`` by the wall clock."""
        self._offered = self.state.profile = offered
        marks = self.state.milestones
        self.state.started_at = started_at
        marks.opening_began_ns = marks.opening_ended_ns = now_ns
        marks.warmup_began_ns = marks.load_began_ns = now_ns
        self._interval_began_ns = now_ns

    def begin_measuring(self, now_ns: int, started_at: str) -> None:
        """Make all that was measured so far a warm-up."""
        self.end_interval(now_ns)
        self._intervals = IntervalPacker()
        self.state.started_at = started_at
        self.state.begin_load(now_ns)
        if self._offered is not None:
            warmup_ns = now_ns - self.state.milestones.warmup_began_ns
            self.state.profile = Later(self._offered, ns_to_seconds(warmup_ns))
        self.state.at_load_begin = self._totals
        self.state.recorder.begin_measuring(now_ns)
        self.state.recorder.failures.clear()
        self._processor_before = self._processor.use()
        self._availability_before = self._engine.availability.so_far(now_ns)
        self._engine.take_loop_stats()

    def end_interval(self, now_ns: int) -> None:
        """End the current interval."""
        before, after = self._totals, self._engine.totals()
        interval = self.state.recorder.end_interval(self._interval_began_ns, now_ns)
        phase: RunPhase = "loading" if self._is_loading else "draining"
        self._intervals.append(interval_record(interval, before, after, phase, self.state))
        self._totals, self._interval_began_ns = after, now_ns

    @property
    def connections_up(self) -> int:
        """How many connections were up when the last interval ended."""
        return self._totals.up

    def end_load(self, now_ns: int) -> None:
        """Begin the drain."""
        self.end_interval(now_ns)
        self._note_load_end(now_ns)
        self._is_loading = False
        marks = self.state.milestones
        self.state.overdue = self._engine.overdue(marks.load_began_ns, now_ns)

    def end(self, now_ns: int) -> None:
        """End the drain."""
        self.end_interval(now_ns)
        self._is_over = True
        self.state.milestones.drain_ended_ns = now_ns
        self.state.at_end = self._totals

    def record(self, now_ns: int) -> RunRecord:
        """Return the record so far, with the intervals since the last call.

        The ledger of the connections is in the last one only, after `end`.
        """
        state = self.state
        if not self._is_over:
            state.milestones.drain_ended_ns = now_ns  # so far
            self.end_interval(now_ns)  # there may be no other report
            state.at_end = self._totals_without_in_flight()
        if self._is_loading:
            self._note_load_end(now_ns)
        state.cut_off = self._engine.cut_off
        state.connections = self._engine.connections
        state.opened, state.closed = self._engine.opened, self._engine.closed
        state.opened_in_time = state.opened
        state.plan = plan_of_all_users(self._plan, len(state.connections), state.load_s)
        state.intervals, self._intervals = self._intervals, IntervalPacker()
        ledger = None if self._is_over else _without_ledger(len(state.connections))
        record = build_record(state, self._target, ledger)
        # Locust decides how long a run lasts, not the plan of a user.
        requested = msgspec.structs.replace(record.requested, duration_s=None)
        record = msgspec.structs.replace(record, requested=requested)
        return msgspec.structs.replace(record, health=judging.judge(record))

    def _totals_without_in_flight(self) -> PoolTotals:
        """Return the totals without what is in flight: its outcome is not known yet."""
        totals = self._totals
        lost = sum(connection.unanswered for connection in self._engine.connections)
        return totals._replace(submitted=totals.answered + lost)

    def _note_load_end(self, now_ns: int) -> None:
        state = self.state
        state.milestones.load_ended_ns = now_ns
        state.at_load_end = self._totals
        state.loop_stats = self._engine.loop_stats
        state.connection_time = self._engine.availability.so_far(now_ns).since(
            self._availability_before
        )
        state.processor = self._processor.use().since(self._processor_before)
        state.overdue = None  # not counted while the schedule goes on


def _without_ledger(count: int) -> ConnectionsRecord:
    return ConnectionsRecord(count=count, fairness=None, starved=0, worst=[], ledger={})
