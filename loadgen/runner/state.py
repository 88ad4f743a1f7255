"""The state of a run in memory, of which its record is built."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from loadgen.engine.availability import ConnectionTime
from loadgen.engine.connection import Connection
from loadgen.engine.loop_stats import LoopStats
from loadgen.engine.pool import NONE, PoolTotals
from loadgen.engine.recorder import Recorder
from loadgen.plan import Plan
from loadgen.plan.user_arrivals import OfferedLoad
from loadgen.results.instruments import MonitorRecord, ProbeRecord
from loadgen.results.interval_packer import IntervalPacker
from loadgen.results.record import RunOutcome
from loadgen.runner.cpu_time import ProcessorUse
from loadgen.units import ns_to_seconds


@dataclass(slots=True)
class Milestones:
    """When phases of a run began or ended (ns of its clock); the load follows the warm-up."""

    opening_began_ns: int = 0
    opening_ended_ns: int = 0
    warmup_began_ns: int = 0
    load_began_ns: int = 0
    load_ended_ns: int = 0
    drain_ended_ns: int = 0


@dataclass(slots=True)
class RunState:
    """What a run holds: its connections, recorder, milestones, intervals, and totals.

    profile: the rate offered over time, the warm-up included; None in a closed loop.
    overdue: messages that were due and not sent; None if they were too many to count.
    why_user_space: the reason for having no kernel timestamps; empty if there are some.
    connection_time, loop_stats, processor: within the measured load.
    at_load_begin, at_load_end, at_end: totals at these moments.
    """

    plan: Plan
    started_at: str
    backend: str
    recorder: Recorder
    profile: OfferedLoad | None = None
    connections: Sequence[Connection] = ()
    opened: int = 0
    opened_in_time: int = 0
    closed: int = 0
    cut_off: int = 0
    overdue: int | None = 0
    why_user_space: str = ""
    probe: ProbeRecord | None = None
    monitor: MonitorRecord | None = None
    outcome: RunOutcome = "completed"
    milestones: Milestones = field(default_factory=Milestones)
    loop_stats: LoopStats = field(default_factory=LoopStats)
    processor: ProcessorUse = field(default_factory=ProcessorUse)
    connection_time: ConnectionTime = field(default_factory=ConnectionTime)
    at_load_begin: PoolTotals = NONE
    at_load_end: PoolTotals = NONE
    at_end: PoolTotals = NONE
    intervals: IntervalPacker = field(default_factory=IntervalPacker)

    @property
    def load_s(self) -> float:
        """The duration of the measured load, in seconds."""
        return ns_to_seconds(self.milestones.load_ended_ns - self.milestones.load_began_ns)

    @property
    def unsubmitted(self) -> int:
        """Messages of the plan's limit that were not submitted by the end of the load."""
        messages = self.plan.messages
        if messages is None:
            return sys.maxsize
        return messages * self.plan.connections - self.at_load_end.submitted

    def why_unreachable(self, address: str) -> str:
        """Return one line on why no connection to ``address`` came up."""
        failures = self.recorder.failures
        tried = sum(seen.count for seen in failures.values())
        most_common = max(failures, key=lambda failure: failures[failure].count)
        asked = self.plan.connections
        tries = f"all {tried} attempts" if tried >= asked else f"given up after {tried} of {asked}"
        return f"{address} is unreachable: {most_common} ({tries})"

    def begin_load(self, now_ns: int) -> None:
        """Let the load begin at ``now_ns``, from which the starts of intervals are counted."""
        self.intervals.move(-ns_to_seconds(now_ns - self.milestones.load_began_ns))
        self.milestones.load_began_ns = now_ns
