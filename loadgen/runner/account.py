"""The account of a run: what is counted from its opening to its end, and the record made of it.

Facts. Recorder, connections, loop and processor each count on their own, and without end. A run has
four phases: opening, warm-up, load and drain. Of an opening or a warm-up there may be none.

Decision. All is read at the same moments, the borders of intervals, and a phase ends where its last
interval has ended: so the intervals of a phase add up to its totals. At every border the recorder
gives the times and failures since the one before, and the totals of the connections are read; where
the measured load begins and ends, also the use of the processor, the connection-time, and the
statistics of the loop. What is said of the load is the difference between these two borders.

A warm-up counts in the totals, and its intervals and failures stay in the record, at times below
zero; in all else that is measured, the load begins at nothing (`RunAccount.begin_measuring`). Where
it shows only later that the load so far was a warm-up, its intervals and failures go, too, and the
run begins anew (`RunAccount.reset`).

A record so far is that of a run which ends at the last border, without what is not settled yet.
What is in flight has no outcome, and does not count as submitted. What is overdue is estimated: to
count it would end the schedule. The rows of the connections are left out: to make them, the loop
would wait for milliseconds. Making a record changes nothing in the account.
"""

from datetime import UTC, datetime

from loadgen.engine.engine import Engine
from loadgen.engine.pool import NONE, PoolTotals
from loadgen.engine.recorder import Recorder
from loadgen.net.clock import Clock, boot_ns
from loadgen.plan.user_arrivals import Later
from loadgen.results.interval_packer import IntervalPacker
from loadgen.results.intervals import IntervalRecord, RunPhase
from loadgen.results.record import RunRecord
from loadgen.runner.build_record import Border, RunSetup, RunSnapshot, build_record, times_fields
from loadgen.runner.cpu_time import Processor
from loadgen.runner.datagram_books import begin_measuring
from loadgen.runner.surroundings import Progress
from loadgen.units import ns_to_seconds, seconds_to_ns


class RunAccount:
    """The account of the run of ``engine``, which ``recorder`` belongs to.

    Its methods are called in the order of the phases, in the thread that runs the engine; times are
    nanoseconds of the engine's clock. boot_clock: as in `Processor`.

    To be read, ``border_ns`` is the end of the last interval, and ``load_began_ns`` when the
    measured load began, or is to begin.
    """

    def __init__(
        self,
        setup: RunSetup,
        engine: Engine,
        recorder: Recorder,
        boot_clock: Clock | None = boot_ns,
    ) -> None:
        self._setup = setup
        self._engine = engine
        self._recorder = recorder
        self._processor = Processor(boot_clock)
        self._started_at = _time_of_day()
        self.phase: RunPhase = "warming" if setup.plan.warmup_s else "loading"
        self.is_over = False
        self.border_ns = self.load_began_ns = self._warmup_began_ns = 0
        self._opening_ns: tuple[int, int] | None = None
        self._opened_in_time = 0
        self._totals = NONE  # at the last border
        self._intervals = IntervalPacker()
        self._load_begin: Border | None = None
        self._load_end: Border | None = None
        self._overdue: int | None = None

    # ---- the phases -----------------------------------------------------------------------

    def begin_opening(self, now_ns: int) -> None:
        """Begin with connections that are opened before any message is sent."""
        self.phase = "opening"
        self.border_ns = now_ns

    def end_opening(self, now_ns: int) -> None:
        """End the opening; connections that come up later take part in the load."""
        self._opening_ns = (self.border_ns, now_ns)
        self._opened_in_time = self._engine.pool.opened
        self.load_began_ns = now_ns
        self.end_interval(now_ns)
        self.phase = "warming" if self._setup.plan.warmup_s else "loading"

    def start(self, now_ns: int) -> None:
        """Begin the warm-up of the plan, or without one the load: the engine has started."""
        if self._opening_ns is not None:
            self._intervals.set_last_duration(ns_to_seconds(now_ns - self._opening_ns[0]))
            self._engine.take_loop_stats(now_ns)
        self.border_ns = self._warmup_began_ns = now_ns
        self._set_load_began(now_ns + seconds_to_ns(self._setup.plan.warmup_s))
        if self.phase == "loading":
            self._load_begin = self._border()

    def begin_measuring(self) -> None:
        """Let the measured load begin at the last border; all before that was a warm-up."""
        self.phase = "loading"
        self._set_load_began(self.border_ns)
        self._recorder.begin_measuring(self.border_ns)
        self._engine.take_loop_stats(self.border_ns)
        pool = self._engine.pool
        datagrams = begin_measuring(pool.connections, pool.cut_off)
        self._load_begin = self._border()._replace(datagrams=datagrams)

    def reset(self, now_ns: int) -> None:
        """Begin the run anew, during the load, which becomes a warm-up without a trace."""
        self.end_interval(now_ns)
        self.forget_intervals()
        self._recorder.failures.clear()
        self._started_at = _time_of_day()
        self.begin_measuring()

    def end_load(self) -> None:
        """Begin the drain at the last border."""
        self.phase = "draining"
        self._load_end = self._border()
        self._engine.take_loop_stats()

    def end(self) -> None:
        """End the run, and the schedule of its messages, at the last border."""
        self.is_over = True
        end_ns = (self._load_end or self._border()).at_ns
        self._overdue = self._engine.overdue(self.load_began_ns, end_ns)

    def _set_load_began(self, load_began_ns: int) -> None:
        """Count the starts of intervals from then on, also of those that have ended."""
        self._intervals.move(-ns_to_seconds(load_began_ns - self.load_began_ns))
        self.load_began_ns = load_began_ns

    def _border(self) -> Border:
        at_ns, use = self.border_ns, self._processor.use()
        connection_time = self._engine.pool.availability.so_far(at_ns)
        handshakes_ns = self._recorder.handshakes.work_ns
        loop_stats, pool = self._engine.loop_stats, self._engine.pool
        return Border(
            *(at_ns, self._totals, use, connection_time, loop_stats, handshakes_ns),
            *(pool.renewed, pool.resent),
        )

    # ---- intervals and progress -----------------------------------------------------------

    def end_interval(self, now_ns: int) -> Progress:
        """End the current interval, and return the progress by then."""
        began_ns, self.border_ns = self.border_ns, now_ns
        before, after = self._totals, self._engine.pool.totals()
        self._totals = after
        interval = self._recorder.end_interval(began_ns, now_ns)
        answered, duration_s = after.answered - before.answered, ns_to_seconds(now_ns - began_ns)
        self._intervals.append(
            IntervalRecord(
                start_s=ns_to_seconds(began_ns - self.load_began_ns),
                duration_s=duration_s,
                stage=self.phase,
                messages=answered,
                bytes_sent=after.bytes_sent - before.bytes_sent,
                bytes_received=after.bytes_received - before.bytes_received,
                connections_up=after.up,
                failures=interval.failures,
                rejected=interval.rejected,
                **times_fields(interval.times, self._setup),
            )
        )
        return self._progress(after, answered / duration_s if duration_s else 0.0)

    def forget_intervals(self) -> None:
        """Leave out of later records the intervals that have ended: they are kept elsewhere."""
        self._intervals = IntervalPacker()

    def progress(self) -> Progress:
        """Return the progress as it is now, with the connections, and without a rate."""
        return self._progress(self._engine.pool.totals(), 0.0)

    def _progress(self, totals: PoolTotals, messages_per_s: float) -> Progress:
        is_measured = self.phase in ("loading", "draining")
        elapsed_s = ns_to_seconds(self.border_ns - self.load_began_ns) if is_measured else 0.0
        return Progress(
            stage=self.phase,
            elapsed_s=elapsed_s,
            totals=totals,
            messages_per_s=messages_per_s,
            failures=self.failures,
            rejected=sum(seen.count for seen in self._recorder.rejected.values()),
        )

    @property
    def failures(self) -> int:
        """How often a connection failed so far."""
        return sum(seen.count for seen in self._recorder.failures.values())

    # ---- the record -----------------------------------------------------------------------

    def record(self) -> RunRecord:
        """Return the record, or that so far, of a run whose load has begun.

        A record so far is to be asked for right after `end_interval`, so that it ends there.
        """
        setup, engine, totals = self._setup, self._engine, self._totals
        begin, end = self._load_begin, self._load_end or self._border()
        assert begin is not None, "nothing is measured before the load"
        if not self.is_over:
            lost = sum(connection.messages.unanswered for connection in engine.pool.connections)
            totals = totals._replace(submitted=totals.answered + lost)
        opening_ns, opened_ns = self._opening_ns or (0, 0)
        warmup_s = ns_to_seconds(begin.at_ns - self._warmup_began_ns)
        snapshot = RunSnapshot(
            setup=setup,
            started_at=self._started_at,
            recorder=self._recorder,
            connections=engine.pool.connections,
            opened=engine.pool.opened,
            opened_in_time=self._opened_in_time,
            closed=engine.pool.closed,
            renewed=engine.pool.renewed,
            resent=engine.pool.resent,
            cut_off=engine.pool.cut_off,
            offered=None if setup.offered is None else Later(setup.offered, warmup_s),
            overdue=self._overdue,
            opening_s=ns_to_seconds(opened_ns - opening_ns),
            warmup_s=warmup_s,
            load_s=ns_to_seconds(end.at_ns - begin.at_ns),
            drain_s=ns_to_seconds(self.border_ns - end.at_ns),
            load_begin=begin,
            load_end=end,
            totals=totals,
            intervals=self._intervals.packed(),
            is_over=self.is_over,
        )
        return build_record(snapshot)


def _time_of_day() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
