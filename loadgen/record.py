"""The RunRecord: all that a run has found, frozen, versioned, describing itself.

Terminal, JSON, CSV and every later report read this one object. The times of messages are
nanoseconds; moments and spans are seconds, counted from the start of the measured load.

History of the format:
loadgen.run/1   the first: one latency, from send to read.
loadgen.run/2   four times and what is made of them; the evidence of their worth; the warm-up.
                It has since gained ``workers``, ``monitor`` and ``team``, which are empty or null
                without, and a second form of ``intervals``: packed
                (`loadgen.intervals.PackedIntervals`), where it had been a list of them; and
                ``redact`` in the plan, with payloads and a first message that are redacted.
"""

import gc
import io
from typing import Any, Final, Literal

import msgspec

from loadgen.core.histogram import Histogram
from loadgen.distribution import Distribution
from loadgen.encoded import as_indented_json, as_json
from loadgen.environment import Environment
from loadgen.errors import RecordError, UsageError
from loadgen.evidence import (
    CheckResult,
    GeneratorRecord,
    Health,
    MonitorRecord,
    ProbeRecord,
    TargetRecord,
    TeamRecord,
    TimestampsRecord,
    WorkerRecord,
)
from loadgen.failure import Cause, Phase
from loadgen.intervals import Intervals, PackedIntervals, Times
from loadgen.plan import Plan
from loadgen.redaction import redacted_plan
from loadgen.units import NS_PER_S, parse_moment

SCHEMA: Final = "loadgen.run/2"

LEAST_CPU_S: Final = 0.05
"""Processor time is counted in hundredths of a second (times(2)); less of it tells nothing."""

Outcome = Literal["completed", "interrupted", "lost", "unreachable"]
"""How the run ended: as planned; by the user; because every connection had failed; because none
ever came up."""


class Requested(msgspec.Struct, frozen=True, kw_only=True):
    """What the plan asked for; null is no limit.

    rate_per_s: in an open loop, the mean of the rate asked for over the time of the load; null in a
    closed loop.
    """

    connections: int
    duration_s: float | None
    messages_per_connection: int | None
    connect_rate_per_s: float | None
    warmup_s: float
    rate_per_s: float | None


class ConnectionTimeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """For how long connections were asked for within the load, in connection-seconds, and had.

    up_s: ready for messages. renewing_s: being opened again where each reply ends a connection.
    opening_s: not up yet, for the first time or after a failure. backing_off_s: waiting before
    being opened again. failed_s: failed for good. A connection counts until all that was to be sent
    on it has been, or its user has left.
    nobody_up_s: seconds in which connections were asked for and none was up.
    """

    up_s: float
    renewing_s: float
    opening_s: float
    backing_off_s: float
    failed_s: float
    nobody_up_s: float

    @property
    def asked_s(self) -> float:
        """All of it, but for ``nobody_up_s``."""
        return self.had_s + self.opening_s + self.backing_off_s + self.failed_s

    @property
    def had_s(self) -> float:
        """What there was to load with."""
        return self.up_s + self.renewing_s


class Actual(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    connections: how many came up, once at least; connection_time: for how long they were up.
    opening_s: from the first connect until all had come up or failed, or the load began without
    those that had not.
    connect_rate_per_s: the connections that came up in that time, over it.
    warmup_s: from the start of the load until it was measured; warmup_messages: answered in it.
    duration_s: from then until nothing more was submitted.
    drain_s: from then until the last reply, or until waiting for it was given up.
    messages: answered (one way: handed to the kernel) after the warm-up, the drain included.
    messages_per_s, bytes_sent_per_s, bytes_received_per_s: of those within ``duration_s`` alone.
    submitted_per_s: messages begun within ``duration_s``, over it; where the plan's number of
    messages ended an open loop, over the time until the last of them.
    in_flight_at_server: messages that were, on average, between sent and arrived at one time:
    ``messages_per_s`` times the mean service time (J. Little, "A Proof for the Queuing Formula
    L = λW", Operations Research 9, 1961); null without replies.
    submitted: messages that were begun, the warm-up included; cut_off: those unanswered when the
    run ended; the rest were lost with failed connections.
    due: in an open loop, messages that were to be sent within ``duration_s``; overdue: those that
    had not been by its end. Null in a closed loop.
    opened, closed: sockets.
    bytes_sent, bytes_received: of the whole run, the warm-up included.
    cpu_user_s, cpu_system_s: processor time of this process within ``duration_s``, in its own code
    and in the kernel (times(2): hundredths of seconds).
    """

    connections: int
    opening_s: float
    connect_rate_per_s: float
    warmup_s: float
    warmup_messages: int
    duration_s: float
    drain_s: float
    messages: int
    messages_per_s: float
    submitted_per_s: float
    in_flight_at_server: float | None
    submitted: int
    cut_off: int
    due: int | None
    overdue: int | None
    bytes_sent: int
    bytes_received: int
    bytes_sent_per_s: float
    bytes_received_per_s: float
    opened: int
    closed: int
    cpu_user_s: float
    cpu_system_s: float
    connection_time: ConnectionTimeRecord | None = None

    @property
    def cpu_s(self) -> float:
        """All processor time of this process within ``duration_s``."""
        return self.cpu_user_s + self.cpu_system_s

    @property
    def cpu_per_message_ns(self) -> float | None:
        """That time for each message; None where `share_of_message_ns` knows none."""
        return self.share_of_message_ns(self.cpu_s)

    def share_of_message_ns(self, cpu_s: float) -> float | None:
        """Return what of processor time spent within ``duration_s`` each message took.

        None without messages, or with less time than `LEAST_CPU_S`.
        """
        messages = self.messages_per_s * self.duration_s  # those of the drain are not in it
        if not messages or cpu_s < LEAST_CPU_S:
            return None
        return cpu_s * NS_PER_S / messages


class FailureRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of failure (names of `loadgen.failure`), how often, and when first and last."""

    phase: Phase
    cause: Cause
    is_local: bool
    count: int
    first_s: float
    last_s: float


class ConnectionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One connection. ``failure`` is its last one, ``phase: cause``, or null.

    Its messages and bytes include the warm-up, its service times do not; their p50 and p99 come
    from a coarse histogram and are right within 6 %. Without a stamped reply they are zeros.
    """

    index: int
    state: str
    failure: str | None
    failures: int
    connects: int
    connect_latency_ns: int
    bytes_sent: int
    bytes_received: int
    submitted: int
    answered: int
    service_time_min_ns: int
    service_time_mean_ns: int
    service_time_p50_ns: int
    service_time_p99_ns: int
    service_time_max_ns: int


class ConnectionsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """All connections.

    fairness: Jain's index of answered messages over all connections that were asked for, but for
    those that stayed up and had nothing to send; from 1/n (one got everything) to 1 (all got the
    same); null without messages.
    starved: those of them that were never answered.
    worst: the starved ones, then those of the highest mean service time, ten at most.
    ledger: the fields of `ConnectionRecord`, a column each, in the order of their index.
    """

    count: int
    fairness: float | None
    starved: int
    worst: list[ConnectionRecord]
    ledger: dict[str, list[Any]]


class RunRecord(Times, frozen=True, kw_only=True, tag_field="schema", tag=SCHEMA):
    """All that one run has found; its `Times` are those of the measured load and of the drain.

    health: null until it has been judged. probe, monitor: null where there was none.
    workers: the processes that carried it out together (`loadgen.merge`); empty if it was one.
    team: who of them was there to the end; null where nobody kept count.
    """

    started_at: str
    outcome: Outcome
    plan: Plan
    target: TargetRecord
    environment: Environment
    backend: str
    requested: Requested
    actual: Actual
    health: Health | None = None
    checks: list[CheckResult] = msgspec.field(default_factory=list)
    timestamps: TimestampsRecord
    generator: GeneratorRecord
    probe: ProbeRecord | None = None
    monitor: MonitorRecord | None = None
    connect_latency_ns: Distribution
    failures: list[FailureRecord]
    intervals: Intervals
    connections: ConnectionsRecord
    workers: list[WorkerRecord] = msgspec.field(default_factory=list)
    team: TeamRecord | None = None

    @property
    def latency(self) -> Histogram:
        """The latency of the load model: response time in an open loop, otherwise service time.

        Service time, too, where the generator was the limit: response time would be its own.
        """
        is_bound = self.health is not None and self.health.verdict == "generator-bound"
        response = None if is_bound else self.response_time_ns
        return (response or self.service_time_ns).histogram()

    @property
    def connect_latency(self) -> Histogram:
        """Time from connect to connected."""
        return self.connect_latency_ns.histogram()

    def to_json(self) -> bytes:
        """Return the record as indented JSON, with a line for each block of its intervals."""
        if not isinstance(self.intervals, PackedIntervals):
            return as_indented_json(self)
        whole = as_indented_json(msgspec.structs.replace(self, intervals=PackedIntervals([])))
        before, empty, after = whole.partition(b'"blocks": []')
        text = io.BytesIO()  # one copy of it, which may be hundreds of megabytes
        text.write(before + empty[:-1])
        for number, block in enumerate(self.intervals.blocks):
            text.write(b",\n   " if number else b"\n   ")
            text.write(as_json(block))
        text.write(b"]" + after)
        return text.getvalue()


def redacted_record(record: RunRecord) -> RunRecord:
    """Return ``record`` as it would be if its plan had asked for it to be redacted."""
    return msgspec.structs.replace(record, plan=redacted_plan(record.plan))


def from_json(text: bytes) -> RunRecord:
    """Return the record that ``text`` holds. Raises RecordError."""
    collects = gc.isenabled()
    gc.disable()  # a long run is millions of objects, none of which can be garbage yet
    try:
        record = msgspec.json.decode(text, type=RunRecord)
        parse_moment(record.started_at)
        return record
    except (msgspec.DecodeError, ValueError, RecursionError, UsageError) as error:
        raise RecordError(f"this is no record of the form {SCHEMA}: {error}") from None
    finally:
        if collects:
            gc.enable()
