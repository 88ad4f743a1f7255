"""The load of one user class in this process: its engine, who owns which connection, its findings.

Every user of a class does the same, so all of them share one engine, one plan and one record. A
second class speaks another protocol to another target: it has an engine of its own, beside the
first in the same loop, and a record of its own; no record has two plans.
"""

import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, Protocol

from gevent import GreenletExit

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
from loadgen.errors import LocalLimitError, UnreachableError
from loadgen.locust.class_record import ClassRecord
from loadgen.locust.gevent_driver import GeventDriver, Interrupts
from loadgen.locust.request_counts import (
    CONNECT,
    CountingRecorder,
    NamingRecorder,
    RequestCounts,
)
from loadgen.net import backends, descriptors
from loadgen.net.address import Endpoint, first_reachable, resolve
from loadgen.net.clock import WallClock, monotonic_ns, wall_ns
from loadgen.net.failure import Failure
from loadgen.net.target import Target
from loadgen.plan import Plan
from loadgen.plan.user_arrivals import UserArrivals
from loadgen.results.record import TargetRecord
from loadgen.runner.assembly import assemble, dialer_of, kernel_timestamps

GiveUp = Callable[[BaseException], None]

Pacing = Literal["closed", "paced", "open", "scripted"]
"""What lets a message go out: the last reply; a ``wait_time`` after it; a schedule; a script."""

_MIXED: Final = 0x9E3779B97F4A7C15  # spreads neighbouring numbers over all bits (golden ratio)


@dataclass(frozen=True, slots=True)
class UserClassPlan:
    """What a user class does: the plan of one user, under which name Locust lists it, and how.

    conversation: what every connection says; None where each user makes its own messages.
    """

    user_class: str
    name: str
    plan: Plan
    target: Target
    manner: Pacing
    conversation: Conversation | None


class ConnectionOwner(Protocol):
    """Who owns connections. It is called in the midst of a turn, and neither raises nor waits."""

    def pause_ns(self, connection: Connection) -> int:
        """Return how long ``connection`` waits after its reply."""

    def when_free(self, connection: Connection) -> None:
        """Hear that ``connection`` has come up, or that its reply is whole."""

    def when_ended(self, connection: Connection, failure: Failure | None) -> None:
        """Hear that ``connection`` has lost its socket."""


class ClassLoad:
    """An engine that gevent steps, and the users on it.

    number: this worker's, so that no two draw the same random times. give_up: hears of what makes
    it impossible to go on.

    Making one resolves the target's name and tries the kernel's timestamps, which may switch to
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
        self._members: list[ConnectionOwner] = []
        self._is_stopping = False
        self._to_send: list[Connection] = []
        self._open_loop: OpenLoop | None = None
        self._reply_bytes: Counter[str] = Counter()
        self._one_way: Counter[str] = Counter()
        self._booked = NONE
        plan = work.plan
        endpoints = resolve(work.target)
        endpoint = _first(endpoints, plan.connect_timeout_s)
        with contextlib.ExitStack() as stack:
            why_not = stack.enter_context(kernel_timestamps(plan, endpoint, wall_ns))
            clock = None if why_not else WallClock(monotonic_ns, wall_ns)
            kind = NamingRecorder if work.manner == "scripted" else CountingRecorder
            self.recorder: CountingRecorder = kind(work.name, wall_ns() - monotonic_ns(), clock)
            if work.conversation is not None and not plan.framing().one_way:
                self.recorder.reply_bytes = work.conversation.reply_bytes
            self._crowd, model = self._model(number)
            dialer = dialer_of(plan, endpoint, None, stamped=not why_not)
            backend = backends.resolve(plan.backend)
            self.engine = assemble(plan, backend, dialer, self.recorder, monotonic_ns, model)
            self.engine.when_ended = self._ended
            self._driver = GeventDriver(self.engine, monotonic_ns, interrupts, give_up)
            stack.callback(self._driver.close)
            others = [str(each) for each in endpoints if each != endpoint]
            target = TargetRecord(address=str(work.target), resolved=str(endpoint), others=others)
            self.part = ClassRecord(work.plan, target, self.engine, self.recorder)
            self.part.findings.backend = backend
            self.part.findings.why_user_space = why_not
            self._cleanup = stack.pop_all()
        self._began_ns = self.engine.start()
        self.part.begin(self._began_ns, _now(), self._crowd)

    def _model(self, number: int) -> tuple[UserArrivals | None, LoadModel]:
        plan = self.work.plan
        match self.work.manner:
            case "open":
                profile = plan.profile()
                assert profile is not None
                seed = (plan.seed + number * _MIXED) % 2**63
                crowd = UserArrivals(profile.start_per_s, plan.arrivals, seed)
                self._open_loop = OpenLoop(crowd, monotonic_ns, self.recorder.record_send)
                return crowd, self._open_loop
            case "paced":
                return None, Thinking(self._pause_ns, monotonic_ns)
            case "scripted":
                return None, OnDemand(self._members)
            case _:
                return None, ClosedLoop()

    # ---- users come and go ----------------------------------------------------------------

    def join(
        self, member: ConnectionOwner, conversation: Conversation, count: int
    ) -> list[Connection]:
        """Open ``count`` connections for ``member``.

        Raises GreenletExit, which ends the user, and gives up, if this machine forbids so many.
        """
        try:
            descriptors.ensure(self.engine.opened - self.engine.closed + count)
        except LocalLimitError as error:
            self._give_up(error)
            raise GreenletExit from None
        with self._interrupts:
            self.users += 1
            self._members += [member] * count
            connections = self.engine.add(conversation, count)
            self._resize()
            self._driver.arm()
        return connections

    def leave(self, connections: list[Connection]) -> int:
        """Let a user's ``connections`` end in good order; return how many have yet to."""
        with self._interrupts:
            self.users -= 1
            self._resize()
            for connection in connections:
                self.engine.drain_one(connection)
            self._driver.arm()
        return sum(connection.state.is_live for connection in connections)

    def cut(self, connections: list[Connection]) -> None:
        """End ``connections`` now, whatever is in flight on them."""
        with self._interrupts:
            for connection in connections:
                self.engine.cut(connection)

    def send_now(self, connection: Connection, name: str) -> None:
        """Send the message that the connection's payloads have ready, a request of ``name``."""
        self.recorder.name_by_owner[connection.index] = name
        self._to_send.append(connection)
        if len(self._to_send) == 1:
            self._driver.call_soon(self._send_all)

    def _send_all(self) -> None:
        """Send what scripts want sent, all of it together: the server is woken up less often."""
        connections, self._to_send = self._to_send, []
        for connection in connections:
            if connection.is_free:  # and was neither closed nor lost meanwhile
                self.engine.send_now(connection)
                if connection.is_free:  # it is out, and there is no reply to it
                    self._members[connection.index].when_free(connection)
        self._driver.arm()

    def _resize(self) -> None:
        crowd, open_loop = self._crowd, self._open_loop
        if crowd is not None and open_loop is not None and not self._is_stopping:
            offset_ns = monotonic_ns() - self._began_ns
            open_loop.reschedule(crowd.resize(self.users, offset_ns))

    # ---- what the engine asks and tells ---------------------------------------------------

    def _pause_ns(self, connection: Connection) -> int:
        return self._members[connection.index].pause_ns(connection)

    def _ended(self, connection: Connection, failure: Failure | None, lost: int) -> None:
        if failure is not None:
            name = self.recorder.name_of(connection.index) if lost else CONNECT
            second = self.recorder.second_of(monotonic_ns())
            self.tally.fail(name, second, str(failure), max(1, lost))
        self._members[connection.index].when_ended(connection, failure)

    # ---- accounts -------------------------------------------------------------------------

    @property
    def tally(self) -> RequestCounts:
        """What has come back, for Locust's tables."""
        return self.recorder.tally

    def count_reply(self, name: str, reply_bytes: int) -> None:
        """Count the bytes of a reply to a script's request of ``name``."""
        self._reply_bytes[name] += reply_bytes

    def count_one_way(self, name: str) -> None:
        """Count a script's request of ``name`` to which there is no reply."""
        self._one_way[name] += 1

    def flush(self) -> None:
        """Bring `tally` up to date."""
        self.recorder.flush()
        second = self.recorder.second_of(monotonic_ns())
        if self.recorder.reply_bytes is None and self.work.manner != "scripted":
            self._count_all()
        for name, reply_bytes in self._reply_bytes.items():
            self.tally.add_bytes(name, second, reply_bytes)
        for name, count in self._one_way.items():
            self.tally.add_untimed(name, second, count)
        self._reply_bytes.clear()
        self._one_way.clear()

    def _count_all(self) -> None:
        """Count what nobody has counted one by one."""
        booked, self._booked = self._booked, self.engine.totals()
        name = self.work.name
        self._reply_bytes[name] += self._booked.bytes_received - booked.bytes_received
        if self.work.plan.framing().one_way:
            self._one_way[name] += self._booked.answered - booked.answered

    def begin_measuring(self) -> None:
        """Forget what was measured so far: the users were still coming."""
        self.flush()
        self.tally.forget()
        self.part.begin_measuring(monotonic_ns(), _now())

    def stop(self) -> None:
        """Let nothing more be sent; what is in flight may come home. Doing so twice is fine."""
        with self._interrupts:
            if not self._is_stopping:
                self._is_stopping = True
                self.part.end_load(monotonic_ns())
            self.engine.drain()
            self._driver.arm()

    def close(self) -> None:
        """Close every connection, and the engine."""
        with self._interrupts:
            self._cleanup.close()
            self.flush()
            self.part.end(monotonic_ns())


def _first(endpoints: list[Endpoint], patience_s: float) -> Endpoint:
    try:
        return first_reachable(endpoints, patience_s)
    except UnreachableError:
        return endpoints[0]  # it may come up yet, and users try again


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
