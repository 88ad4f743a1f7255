"""What an account says of its run at one moment: all that a record is built of."""

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
from loadgen.results.intervals import PackedIntervals
from loadgen.results.record import RunOutcome, TargetRecord
from loadgen.runner.cpu_time import ProcessorUse


@dataclass(frozen=True, slots=True)
class RunSetup:
    """What is settled before a run begins.

    why_user_space: the reason for having no kernel timestamps; empty if there are some.
    duration_s: how long the load is to last; None if that is not known.
    offered: the rate offered from the first message on; None in a closed loop.
    """

    plan: Plan
    target: TargetRecord
    backend: str
    why_user_space: str
    duration_s: float | None
    offered: OfferedLoad | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSnapshot:
    """A run that is over, or so far (not ``is_over``).

    offered: the rate offered from the beginning of the measured load on.
    overdue: messages that were due and not sent; None if they were not counted.
    connection_time, loop_stats, processor: within the measured load.
    at_load_begin, at_load_end, at_end: totals at these moments.
    """

    setup: RunSetup
    started_at: str
    recorder: Recorder
    outcome: RunOutcome = "completed"
    is_over: bool = True
    offered: OfferedLoad | None = None
    connections: Sequence[Connection] = ()
    opened: int = 0
    opened_in_time: int = 0
    closed: int = 0
    cut_off: int = 0
    overdue: int | None = 0
    load_began_ns: int = 0
    opening_s: float = 0.0
    warmup_s: float = 0.0
    load_s: float = 0.0
    drain_s: float = 0.0
    loop_stats: LoopStats = field(default_factory=LoopStats)
    processor: ProcessorUse = field(default_factory=ProcessorUse)
    connection_time: ConnectionTime = field(default_factory=ConnectionTime)
    at_load_begin: PoolTotals = NONE
    at_load_end: PoolTotals = NONE
    at_end: PoolTotals = NONE
    intervals: PackedIntervals = field(default_factory=lambda: PackedIntervals([]))

    @property
    def unsubmitted(self) -> int:
        """Messages of the plan's limit that were not submitted by the end of the load."""
        plan = self.setup.plan
        if plan.messages is None:
            return sys.maxsize
        return plan.messages * plan.connections - self.at_load_end.submitted
