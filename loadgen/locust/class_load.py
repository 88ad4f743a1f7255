"""The load of one user class in this process: its engine, its users' connections, its counts.

All users of a class do the same, so they share one engine, one plan and one record. Each class may
have another protocol and target, so it has its own engine, in the same event loop, and its own
record: a record has one plan.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import msgspec
from gevent import GreenletExit

from loadgen.analysis.verdict import judging
from loadgen.engine import choice
from loadgen.engine.connection import Connection
from loadgen.engine.conversation import Conversation
from loadgen.engine.load_models import (
    ClosedLoop,
    LoadModel,
    OnDemand,
    OpenLoop,
    Thinking,
)
from loadgen.engine.pool import NONE
from loadgen.engine.recorder import Recorder
from loadgen.engine.rows import group_of, origin_of
from loadgen.errors import LocalLimitError, UnreachableError
from loadgen.locust.gevent_driver import GeventDriver
from loadgen.locust.signals import Interrupts
from loadgen.locust.stats import CONNECT, RequestCounts, RequestSink
from loadgen.locust.user_attributes import plan_of_all_users
from loadgen.net import descriptors
from loadgen.net.address import Endpoint, first_reachable, resolve
from loadgen.net.clock import WallClock, monotonic_ns, wall_ns
from loadgen.net.failure import Failure
from loadgen.net.target import Target
from loadgen.plan import Plan
from loadgen.plan.redaction import target_as_recorded
from loadgen.plan.user_arrivals import UserArrivals
from loadgen.results.record import RunRecord, TargetRecord
from loadgen.runner.account import RunAccount
from loadgen.runner.assembly import assemble, kernel_timestamps
from loadgen.runner.build_record import RunSetup
from loadgen.runner.plan_dialer import dialer_of

GiveUp = Callable[[BaseException], None]

LoadModelName = Literal["closed", "paced", "open", "scripted"]
"""What triggers a message: the last reply; a ``wait_time`` after it; a schedule; a script."""

_GOLDEN: Final = 0x9E3779B97F4A7C15  # golden ratio: neighbouring seeds differ in all bits


@dataclass(frozen=True, slots=True)
class UserClassPlan:
    """What a user class does: the plan of one user, the name that Locust lists, the load model.

    conversation: what every connection sends; None where each user makes its own messages.
    """

    user_class: str
    name: str
    plan: Plan
    target: Target
    load_model: LoadModelName
    conversation: Conversation | None

    @property
    def reply_bytes(self) -> int | None:
        """The length of each reply, where there are replies and all have the same."""
        if self.conversation is None or self.plan.is_one_way:
            return None
        return self.conversation.reply_bytes


class ConnectionOwner(Protocol):
    """An owner of connections. Called within a turn of the engine: it must not raise or wait."""

    def pause_ns(self, index: int) -> int:
        """Return the think time of the connection of that index, after its reply."""

    def when_free(self, index: int) -> None:
        """Called when the connection of that index is up, or its reply is whole."""

    def when_ended(self, index: int, failure: Failure | None) -> None:
        """Called when the connection of that index has lost its transport."""

    def when_lost(self, index: int, failure: Failure) -> None:
        """Called when a message has failed on the connection of that index, which goes on."""


class ClassLoad:
    """An engine that gevent's loop runs, and the users on it.

    number: that of this worker, so that no two draw the same random times. give_up: called with the
    error that makes it impossible to go on.

    Construction resolves the target's name and tries the kernel's timestamps, which may switch to
    other greenlets. Raises UnreachableError if the name does not resolve, UsageError or
    LocalLimitError where the plan cannot be carried out.
    """

    def __init__(
        self, work: UserClassPlan, number: int, interrupts: Interrupts, give_up: GiveUp
    ) -> None:
        self.work = work
        self._give_up = give_up
        self._interrupts = interrupts
        self.users = 0
        self._owners: list[ConnectionOwner] = []
        self._is_stopping = False
        self._to_send: list[Connection] = []
        self._open_loop: OpenLoop | None = None
        self._counted = NONE
        plan = work.plan
        endpoints = resolve(plan.connected_to(work.target))
        endpoint = _first(work.target, endpoints, plan.connect_timeout_s)
        with contextlib.ExitStack() as stack:
            why_not = stack.enter_context(kernel_timestamps(plan, endpoint, wall_ns))
            clock = None if why_not else WallClock(monotonic_ns, wall_ns)
            wall_offset_ns = wall_ns() - monotonic_ns()
            self._requests = RequestSink(work.name, wall_offset_ns, work.reply_bytes)
            self.recorder = Recorder(0, clock, [self._requests])
            self._arrivals, model = self._model(number)
            dialer = dialer_of(plan, endpoint, None, stamped=not why_not)
            chosen = choice.of(plan)
            if work.load_model == "scripted" and chosen.engine == "native":
                chosen = chosen._replace(engine="python", why_python=choice.SCRIPTED)
            self.engine = assemble(plan, chosen, dialer, self.recorder, monotonic_ns, model)
            self.engine.pool.when_ended = self._ended
            self.engine.pool.when_lost = self._lost
            self._driver = GeventDriver(self.engine, monotonic_ns, interrupts, give_up)
            stack.callback(self._driver.close)
            others = [str(each) for each in endpoints if each != endpoint]
            address = target_as_recorded(plan, work.target)
            target = TargetRecord(address=address, resolved=str(endpoint), others=others)
            setup = RunSetup(plan, target, chosen, why_not, None, self._arrivals)
            self._account = RunAccount(setup, self.engine, self.recorder)
            self._cleanup = stack.pop_all()
        self._began_ns = self.engine.start()
        self._account.start(self._began_ns)

    def _model(self, number: int) -> tuple[UserArrivals | None, LoadModel]:
        plan = self.work.plan
        match self.work.load_model:
            case "open":
                profile = plan.profile()
                assert profile is not None
                seed = (plan.seed + number * _GOLDEN) % 2**63
                arrivals = UserArrivals(profile.start_per_s, plan.arrivals, seed)
                self._open_loop = OpenLoop(arrivals, monotonic_ns)
                return arrivals, self._open_loop
            case "paced":
                return None, Thinking(self._pause_ns, monotonic_ns)
            case "scripted":
                return None, OnDemand(self._owners.__getitem__)
            case _:
                return None, ClosedLoop()

    # ---- users come and go ----------------------------------------------------------------

    def join(
        self, owner: ConnectionOwner, conversation: Conversation, count: int
    ) -> list[Connection]:
        """Open ``count`` connections for ``owner``.

        Where this machine does not allow that many, ends the run and raises GreenletExit, which
        ends the user.
        """
        try:
            descriptors.ensure(self.engine.pool.opened - self.engine.pool.closed + count)
        except LocalLimitError as error:
            self._give_up(error)
            raise GreenletExit from None
        with self._interrupts:
            self.users += 1
            self._owners += [owner] * count
            connections = self.engine.add(conversation, count)
            self._resize()
            self._driver.arm()
        return connections

    def leave(self, connections: list[Connection]) -> int:
        """Drain a user's ``connections``; return how many are still open."""
        with self._interrupts:
            self.users -= 1
            self._resize()
            for connection in connections:
                self.engine.pool.drain_one(connection)
            self._driver.arm()
        return sum(connection.state.is_live for connection in connections)

    def cut(self, connections: list[Connection]) -> None:
        """Close ``connections`` now; what is in flight is cut off."""
        with self._interrupts:
            for connection in connections:
                self.engine.pool.cut(connection)

    def send_now(self, connection: Connection, name: str) -> None:
        """Send the next message of the connection's payloads, as a request of ``name``."""
        connection.messages.origin = origin_of(self._requests.group_of(name), connection.index)
        self._to_send.append(connection)
        if len(self._to_send) == 1:
            self._driver.call_soon(self._send_all)

    def _send_all(self) -> None:
        """Send the messages of all scripts together: the server wakes up less often."""
        connections, self._to_send = self._to_send, []
        for connection in connections:
            channel = connection.messages
            if channel.is_free:  # and was neither closed nor lost meanwhile
                self.engine.send_now(channel)
                if channel.is_free:  # it is sent, and has no reply
                    self._owners[channel.index].when_free(channel.index)
        self._driver.arm()

    def _resize(self) -> None:
        arrivals, open_loop = self._arrivals, self._open_loop
        if arrivals is not None and open_loop is not None and not self._is_stopping:
            offset_ns = monotonic_ns() - self._began_ns
            open_loop.reschedule(arrivals.resize(self.users, offset_ns))

    # ---- callbacks of the engine ----------------------------------------------------------

    def _pause_ns(self, index: int) -> int:
        return self._owners[index].pause_ns(index)

    def _ended(self, connection: Connection, failure: Failure | None, lost: int) -> None:
        if failure is not None:
            group = group_of(connection.messages.origin)
            name = self._requests.name_of(group) if lost else CONNECT
            second = self._requests.second_of(monotonic_ns())
            self.counts.fail(name, second, str(failure), max(1, lost))
        self._owners[connection.index].when_ended(connection.index, failure)

    def _lost(self, connection: Connection, failure: Failure, count: int) -> None:
        name = self._requests.name_of(group_of(connection.messages.origin))
        self.counts.fail(name, self._requests.second_of(monotonic_ns()), str(failure), count)
        self._owners[connection.index].when_lost(connection.index, failure)

    # ---- counts ---------------------------------------------------------------------------

    @property
    def counts(self) -> RequestCounts:
        """Requests, for Locust's tables."""
        return self._requests.counts

    def count_reply(self, name: str, reply_bytes: int) -> None:
        """Count the bytes of a reply to a script's request of ``name``."""
        self.counts.add_bytes(name, self._requests.second_of(monotonic_ns()), reply_bytes)

    def count_one_way(self, name: str) -> None:
        """Count a script's request of ``name`` that has no reply."""
        self.counts.add_untimed(name, self._requests.second_of(monotonic_ns()), 1)

    def flush(self) -> None:
        """Bring `counts` up to date."""
        self.recorder.flush()
        if self.work.reply_bytes is None and self.work.load_model != "scripted":
            self._count_totals()

    def _count_totals(self) -> None:
        """Count what no row tells: one-way messages, and the bytes of replies that differ."""
        before, self._counted = self._counted, self.engine.pool.totals()
        name, second = self.work.name, self._requests.second_of(monotonic_ns())
        self.counts.add_bytes(name, second, self._counted.bytes_received - before.bytes_received)
        if self.work.plan.is_one_way:
            self.counts.add_untimed(name, second, self._counted.answered - before.answered)

    def begin_measuring(self) -> None:
        """Discard what was measured so far, while users were still spawning: it was a warm-up."""
        self.flush()
        self._account.reset(monotonic_ns())

    # ---- the record and the end -----------------------------------------------------------

    def end_interval(self) -> None:
        """End the current interval of the record."""
        self._account.end_interval(monotonic_ns())

    def record(self) -> RunRecord:
        """Return the record so far, with the intervals since the last call.

        It replaces the one before, so that a lost report costs only what came after it; only the
        intervals, which would grow with the run, are sent once each.
        """
        self.flush()
        if not self._account.is_over:
            self.end_interval()  # there may be no other report
        record = self._account.record()
        self._account.forget_intervals()
        plan = plan_of_all_users(record.plan, record.connections.count, record.actual.duration_s)
        requested = msgspec.structs.replace(record.requested, connections=plan.connections)
        record = msgspec.structs.replace(record, plan=plan, requested=requested)
        return msgspec.structs.replace(record, health=judging.judge(record))

    def stop(self) -> None:
        """Send nothing more; outstanding replies are still awaited. May be called twice."""
        with self._interrupts:
            if not self._is_stopping:
                self._is_stopping = True
                self.end_interval()
                self._account.end_load()
            self.engine.pool.drain()
            self._driver.arm()

    def close(self) -> None:
        """Close every connection, and the engine."""
        with self._interrupts:
            self._cleanup.close()
            self.flush()
            self.end_interval()
            self._account.end()


def _first(target: Target, endpoints: list[Endpoint], timeout_s: float) -> Endpoint:
    try:
        return first_reachable(endpoints, timeout_s, is_datagram=target.is_datagram)
    except UnreachableError:
        return endpoints[0]  # it may come up later, and users retry
