"""One run, from a Plan to a RunRecord: open, warm up, load, drain, build the record, judge."""

import contextlib
import functools
import gc
import sys
from collections.abc import Iterator
from typing import Final

import msgspec

from loadgen.analysis import checks
from loadgen.analysis.verdict import judging
from loadgen.engine import choice
from loadgen.engine.choice import Choice
from loadgen.engine.connect_pacer import CONNECTS_UNDER_WAY
from loadgen.engine.conversation import Conversation
from loadgen.engine.lifecycle import State
from loadgen.engine.recorder import Recorder
from loadgen.errors import UnreachableError
from loadgen.net import backends, descriptors
from loadgen.net.address import Endpoint, first_reachable, resolve
from loadgen.net.clock import WallClock
from loadgen.net.failure import Cause, Failure
from loadgen.net.pacing import least_timer_slack
from loadgen.net.target import Target
from loadgen.plan import Plan
from loadgen.plan.payloads import PayloadQueue
from loadgen.plan.redaction import as_recorded, target_as_recorded
from loadgen.results.record import RunOutcome, RunRecord, TargetRecord
from loadgen.runner import probe
from loadgen.runner.account import RunAccount
from loadgen.runner.assembly import assemble, kernel_timestamps
from loadgen.runner.build_record import RunSetup
from loadgen.runner.own_server import serving
from loadgen.runner.plan_dialer import dialer_of
from loadgen.runner.probe import Probe
from loadgen.runner.surroundings import Surroundings
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

    @classmethod
    def of(cls, record: RunRecord) -> "UnreachableTargetError":
        """Return the error for ``record``, which says in one line why no connection came up."""
        return cls(_why_unreachable(record), record)


def run(
    plan: Plan, surroundings: Surroundings | None = None, queue: PayloadQueue | None = None
) -> RunRecord:
    """Carry out ``plan`` and return its record.

    queue: what each connection sends; made of the plan unless it is given.

    Raises UsageError for a payload that cannot be read and LocalLimitError where this machine
    cannot carry out the plan, both before the first socket exists; UnreachableTargetError if no
    connection came up; UnreachableError if the target's name does not resolve.
    """
    surroundings = surroundings or Surroundings()
    chosen = choice.of(plan, surroundings.stand_in)
    conditions = [checks.parse_for(plan, text) for text in plan.checks]
    descriptors.ensure(plan.connections)
    conversation = Conversation.of(plan, queue or plan.queue())
    run_of = functools.partial(_carry_out, chosen, conversation, surroundings)
    if plan.target is None:
        with serving(plan) as (server, trusting):
            record = run_of(trusting, Target.parse(server.address), server.pid)
        record = msgspec.structs.replace(record, plan=as_recorded(plan))
        counts = server.counts_if_known()
        target = msgspec.structs.replace(record.target, embedded=True, server=counts)
        record = msgspec.structs.replace(record, target=target)
    else:
        record = run_of(plan, Target.parse(plan.target))
    record = msgspec.structs.replace(record, health=judging.judge(record))
    results = [checks.evaluate(check, record) for check in conditions]
    record = msgspec.structs.replace(record, checks=results)
    if record.outcome == "unreachable":
        raise UnreachableTargetError.of(record)
    return record


def _carry_out(
    chosen: Choice,
    conversation: Conversation,
    surroundings: Surroundings,
    plan: Plan,
    target: Target,
    embedded_pid: int | None = None,
) -> RunRecord:
    """Load ``target``, and return the record, which is not judged yet.

    embedded_pid: process number of the embedded server. Raises UnreachableError, UsageError.
    """
    endpoints = resolve(plan.connected_to(target))
    endpoint = first_reachable(endpoints, plan.connect_timeout_s, is_datagram=target.is_datagram)
    others = [str(each) for each in endpoints if each != endpoint]
    target_record = TargetRecord(
        address=target_as_recorded(plan, target), resolved=str(endpoint), others=others
    )
    from loadgen.runner.monitor import Monitor  # noqa: PLC0415 - with psutil

    monitor = Monitor(plan, endpoint, embedded_pid, surroundings.clock)
    with monitor, kernel_timestamps(plan, endpoint, surroundings.wall_clock) as why_not:
        if chosen.backend == "select":
            free_descriptors = descriptors.free_below(backends.FD_SETSIZE)
            backends.check_select_capacity(plan.connections, free_descriptors)
        offered = plan.profile_with_warmup()
        setup = RunSetup(plan, target_record, chosen, why_not, plan.duration_s, offered)
        execution = _Run(setup, conversation, surroundings, endpoint)
        probe_process = None
        if probe.is_wanted(plan, why_not):
            probe_process = Probe(plan, conversation.payloads, endpoint, surroundings.should_stop)
        execution.carry_out(probe_process)
    return msgspec.structs.replace(
        execution.account.record(),
        outcome=execution.outcome,
        probe=probe_process.record if probe_process else None,
        monitor=monitor.record(execution.account.load_began_ns),
    )


class _Run:
    """One run in progress."""

    def __init__(
        self,
        setup: RunSetup,
        conversation: Conversation,
        surroundings: Surroundings,
        endpoint: Endpoint,
    ) -> None:
        plan, is_stamped = setup.plan, not setup.why_user_space
        self._plan = plan
        self._conversation = conversation
        self._surroundings = surroundings
        self._clock = surroundings.clock
        wall_clock = WallClock(self._clock, surroundings.wall_clock) if is_stamped else None
        recorder = Recorder(plan.connections, wall_clock)
        dialer = dialer_of(plan, endpoint, surroundings.socket_factory, stamped=is_stamped)
        self._engine = assemble(plan, setup.choice, dialer, recorder, self._clock)
        self.outcome: RunOutcome = "completed"
        self.account = RunAccount(setup, self._engine, recorder, surroundings.boot_clock)

    def carry_out(self, probe_process: Probe | None) -> None:
        """Go through all phases, with the probe beside the load; close the engine in the end."""
        with contextlib.closing(self._engine):
            self._open()
            if not self._engine.pool.opened:
                probe_process = None
            with (
                _quiet_garbage_collector(),
                least_timer_slack(),
                probe_process or contextlib.nullcontext(),
            ):
                self._start()
                self._warm_up()
                if probe_process:
                    probe_process.begin()
                self._load()
                if probe_process:
                    probe_process.end()
                self._drain()
        self.outcome = self._outcome()

    # ---- the phases -----------------------------------------------------------------------

    def _open(self) -> None:
        """Open all connections; return when each is up or has failed, or the time for it is over.

        Connections that come up later take part in the load.
        """
        plan, engine = self._plan, self._engine
        began_ns = now_ns = self._clock()
        self.account.begin_opening(began_ns)
        pace_s = plan.connections / plan.connect_rate_per_s if plan.connect_rate_per_s else 0.0
        greeting_s = plan.io_timeout_s * len(plan.greeting_steps())
        handshake_s = plan.handshake_timeout_s if plan.is_secure else 0.0
        timeout_ns = seconds_to_ns(plan.connect_timeout_s + handshake_s)
        longest_ns = timeout_ns + seconds_to_ns(pace_s + greeting_s)
        engine.add(self._conversation, plan.connections)
        self._observe()
        stopped_ns = engine.stopped_ns
        next_progress_ns = began_ns + INTERVAL_NS
        while engine.pool.is_opening and not self._surroundings.should_stop():
            engine.turn(_LONGEST_WAIT_S)
            now_ns = self._clock()
            if now_ns >= next_progress_ns:
                next_progress_ns += INTERVAL_NS
                self._observe()
            waited_ns = now_ns - began_ns - (engine.stopped_ns - stopped_ns)
            if engine.pool.opened:
                if waited_ns >= longest_ns:
                    break
            elif self._is_unreachable(waited_ns >= timeout_ns):
                break
        self.account.end_opening(now_ns)

    def _is_unreachable(self, is_late: bool) -> bool:
        failed = self.account.failures
        return failed >= CONNECTS_UNDER_WAY or (failed > 0 and is_late)

    def _start(self) -> None:
        """Start the messages, after all that takes time, so that the first one is not late."""
        now_ns = self._clock()
        if self._engine.pool.opened:
            self._observe()
            now_ns = self._engine.start()
        self.account.start(now_ns)

    def _warm_up(self) -> None:
        if self._plan.warmup_s:
            self._submit_until(self.account.load_began_ns)
            self.account.begin_measuring()
            self._engine.end_warm_up()
            self._observe()

    def _load(self) -> None:
        began_ns, duration_s = self.account.load_began_ns, self._plan.duration_s
        self._submit_until(began_ns + seconds_to_ns(duration_s) if duration_s else sys.maxsize)
        self.account.end_load()

    def _submit_until(self, end_ns: int) -> None:
        """Exchange messages until ``end_ns``, or until none are left.

        The last interval ends there. A warm-up ends at ``end_ns`` even if this is later.
        """
        engine, account = self._engine, self.account
        now_ns = account.border_ns
        while engine.pool.opened and now_ns < end_ns and not engine.pool.is_finished:
            if self._surroundings.should_stop():
                break
            interval_end_ns = account.border_ns + INTERVAL_NS
            if now_ns >= interval_end_ns:
                self._end_interval(interval_end_ns)
                continue
            left_ns = min(end_ns, interval_end_ns) - now_ns
            engine.turn(min(_LONGEST_WAIT_S, ns_to_seconds(left_ns)))
            now_ns = self._clock()
        now_ns = min(now_ns, end_ns) if account.phase == "warming" else now_ns
        if now_ns > account.border_ns:
            self._end_interval(now_ns)

    def _drain(self) -> None:
        engine = self._engine
        end_ns = self.account.border_ns + seconds_to_ns(self._plan.drain_s)
        stopped_ns = engine.stopped_ns
        was_stopped = self._surroundings.should_stop()
        engine.pool.drain()
        self._observe()
        now_ns = self._clock()
        while self._plan.drain_s and not engine.pool.is_finished:
            if self._surroundings.should_stop() and not was_stopped:
                break  # asked to stop while draining: the outstanding replies are given up
            engine.turn(min(_LONGEST_WAIT_S, max(0.0, ns_to_seconds(end_ns - now_ns))))
            now_ns = self._clock()
            # The drain is extended by stops of this process, in which it could read no replies.
            if now_ns >= end_ns + engine.stopped_ns - stopped_ns:
                break
        if engine.pool.opened:
            self._end_interval(now_ns)
        self.account.end()

    def _end_interval(self, now_ns: int) -> None:
        self._surroundings.observe(self.account.end_interval(now_ns))

    def _observe(self) -> None:
        self._surroundings.observe(self.account.progress())

    def _outcome(self) -> RunOutcome:
        if self._surroundings.should_stop():
            return "interrupted"
        connections = self._engine.pool.connections
        if not any(connection.ups for connection in connections) or self._is_nobody_there():
            return "unreachable"
        failed = (connection.state is State.FAILED for connection in connections)
        if not self._plan.reconnect and all(failed):
            return "lost"
        return "completed"

    def _is_nobody_there(self) -> bool:
        """Whether a target of datagrams, which any connection comes up to, has refused them all.

        One way, a connection that was opened again and not refused has reached somebody.
        """
        tried = [each for each in self._engine.pool.connections if each.submitted]
        return (
            self._plan.is_datagram
            and bool(tried)
            and not any(each.bytes_received for each in tried)
            and all(
                each.failure is not None
                and each.failure.cause is Cause.REFUSED
                and (each.state is State.FAILED or not self._plan.is_one_way)
                for each in tried
            )
        )


def _why_unreachable(record: RunRecord) -> str:
    """Return one line on why no connection came up, or nobody is there for datagrams."""
    tried = sum(failure.count for failure in record.failures)
    asked, opened = record.plan.connections, record.actual.opened
    tries = f"all {tried} attempts" if tried >= asked else f"given up after {tried} of {asked}"
    if record.plan.is_datagram and opened:
        why = "nothing listens there (port unreachable)"
        return f"{record.target.address} is unreachable: {why} (all {tried} attempts)"
    what = "lets no connection come up" if opened else "is unreachable"
    if not record.failures:  # the opening was over before the time for any of them was
        return f"{record.target.address} {what}: none was ready in time ({opened} were connected)"
    most_common = Failure(record.failures[0].phase, record.failures[0].cause)
    return f"{record.target.address} {what}: {most_common} ({tries})"


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
