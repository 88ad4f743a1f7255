"""What one process has found about one user class: its part of the record of the whole run.

A worker sends its part now and then, and each replaces the one before it: what gets lost on the
way, or dies with the worker, takes nothing else with it. Only the intervals, which would grow with
the run, are sent once each.
"""

import msgspec

from loadgen.analysis.verdict import judging
from loadgen.engine.engine import Engine
from loadgen.engine.pool import NONE, PoolTotals
from loadgen.locust.request_counts import CountingRecorder
from loadgen.locust.user_attributes import crowd_plan
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
    """Collects the findings of one engine; `record` is what they are so far."""

    def __init__(
        self, plan: Plan, target: TargetRecord, engine: Engine, recorder: CountingRecorder
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
        self._used = self._processor.use()
        self._connected = engine.availability.so_far(monotonic_ns())
        self._fresh = IntervalPacker()
        self.findings = RunState(plan=plan, started_at="", backend="", recorder=recorder)

    def begin(self, now_ns: int, started_at: str, offered: OfferedLoad | None) -> None:
        """Let the load begin: at ``now_ns``, which is ``started_at`` in the time of day."""
        self._offered = self.findings.profile = offered
        marks = self.findings.milestones
        self.findings.started_at = started_at
        marks.opening_began_ns = marks.opening_ended_ns = now_ns
        marks.warmup_began_ns = marks.load_began_ns = now_ns
        self._interval_began_ns = now_ns

    def begin_measuring(self, now_ns: int, started_at: str) -> None:
        """Let all that has come so far be a warm-up."""
        self.end_interval(now_ns)
        self._fresh = IntervalPacker()
        self.findings.started_at = started_at
        self.findings.begin_load(now_ns)
        if self._offered is not None:
            warmup_ns = now_ns - self.findings.milestones.warmup_began_ns
            self.findings.profile = Later(self._offered, ns_to_seconds(warmup_ns))
        self.findings.at_load_begin = self._totals
        self.findings.recorder.begin_measuring(now_ns)
        self.findings.recorder.failures.clear()
        self._used = self._processor.use()
        self._connected = self._engine.availability.so_far(now_ns)
        self._engine.take_pulse()

    def end_interval(self, now_ns: int) -> None:
        """Close the books of the interval that is under way."""
        before, after = self._totals, self._engine.totals()
        interval = self.findings.recorder.end_interval(self._interval_began_ns, now_ns)
        stage: RunPhase = "loading" if self._is_loading else "draining"
        self._fresh.append(interval_record(interval, before, after, stage, self.findings))
        self._totals, self._interval_began_ns = after, now_ns

    @property
    def connections_up(self) -> int:
        """How many connections were up when the last interval ended."""
        return self._totals.up

    def end_load(self, now_ns: int) -> None:
        """Let nothing be submitted any more."""
        self.end_interval(now_ns)
        self._look(now_ns)
        self._is_loading = False
        marks = self.findings.milestones
        self.findings.overdue = self._engine.overdue(marks.load_began_ns, now_ns)

    def end(self, now_ns: int) -> None:
        """Let the drain be over."""
        self.end_interval(now_ns)
        self._is_over = True
        self.findings.milestones.drain_ended_ns = now_ns
        self.findings.at_end = self._totals

    def record(self, now_ns: int) -> RunRecord:
        """Return the findings so far; its intervals are those since the last call.

        The ledger of the connections comes with the last one, after `end`.
        """
        findings = self.findings
        if not self._is_over:
            findings.milestones.drain_ended_ns = now_ns  # so far
            self.end_interval(now_ns)  # nobody knows whether there will be another report
            findings.at_end = self._concluded()
        if self._is_loading:
            self._look(now_ns)
        findings.cut_off = self._engine.cut_off
        findings.connections = self._engine.connections
        findings.opened, findings.closed = self._engine.opened, self._engine.closed
        findings.opened_in_time = findings.opened
        findings.plan = crowd_plan(self._plan, len(findings.connections), findings.load_s)
        findings.intervals, self._fresh = self._fresh, IntervalPacker()
        ledger = None if self._is_over else _without_ledger(len(findings.connections))
        record = build_record(findings, self._target, ledger)
        # Users come and go; how long that lasts is asked of Locust, and of no part.
        requested = msgspec.structs.replace(record.requested, duration_s=None)
        record = msgspec.structs.replace(record, requested=requested)
        return msgspec.structs.replace(record, health=judging.judge(record))

    def _concluded(self) -> PoolTotals:
        """Return the totals without what is in flight: nothing is known of it yet."""
        totals = self._totals
        lost = sum(connection.unanswered for connection in self._engine.connections)
        return totals._replace(submitted=totals.answered + lost)

    def _look(self, now_ns: int) -> None:
        findings = self.findings
        findings.milestones.load_ended_ns = now_ns
        findings.at_load_end = self._totals
        findings.loop_stats = self._engine.pulse
        findings.connection_time = self._engine.availability.so_far(now_ns).since(self._connected)
        findings.processor = self._processor.use().since(self._used)
        findings.overdue = None  # not counted, as long as the schedule goes on


def _without_ledger(count: int) -> ConnectionsRecord:
    return ConnectionsRecord(count=count, fairness=None, starved=0, worst=[], ledger={})
