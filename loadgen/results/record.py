"""The RunRecord: all results of a run, immutable and versioned.

Terminal, JSON, CSV and reports are made of this object. The times of messages are in nanoseconds;
moments and durations in seconds, moments counted from the start of the measured load.

History of the format:
loadgen.run/1   one latency, from send to read.
loadgen.run/2   the four times of a message, and what is computed from them; the evidence for the
                verdict; the warm-up. Added later: ``workers``, ``monitor`` and ``team``, empty or
                null by default; a second form of ``intervals``, packed
                (`loadgen.results.intervals.PackedIntervals`), beside the list; ``redact`` in the
                plan, with a redacted form of payloads and first message; ``rejected`` of the load
                and of intervals, 0 by default, and failures of the phase ``reply``; ``renewed``
                and ``resent``, 0 by default; ``statuses``, ``in_parts``, ``tls`` and ``datagrams``,
                null by default, and failures of the phase ``secure``; ``engine``, ``python`` by
                default, since there was no other, and ``why_python``, empty by default.
"""

import gc
import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypedDict

import msgspec

from loadgen.errors import RecordError
from loadgen.files import decoded
from loadgen.files.encoded import as_indented_json, as_json
from loadgen.net.failure import Cause, Failure, Phase
from loadgen.plan import Plan
from loadgen.plan.redaction import redacted_plan, redacted_target
from loadgen.quantities import (
    MOST_KINDS,
    MOST_WORKERS,
    Bytes,
    Count,
    Moment,
    MomentSeconds,
    Nanoseconds,
    Share,
    Text,
    Texts,
)
from loadgen.results.datagrams import DatagramsRecord
from loadgen.results.delivered import Actual, Requested
from loadgen.results.distribution import Distribution
from loadgen.results.environment import Environment
from loadgen.results.handshakes import TlsRecord
from loadgen.results.histogram import Histogram
from loadgen.results.instruments import (
    EngineName,
    GeneratorRecord,
    MonitorRecord,
    ProbeRecord,
    TimestampsRecord,
)
from loadgen.results.intervals import (
    Intervals,
    PackedIntervals,
    Times,
    check_order,
)
from loadgen.results.replies import PartsRecord, StatusesRecord
from loadgen.results.verdict import Checks, Health
from loadgen.results.worker_records import TeamRecord, WorkerRecord
from loadgen.units import parse_moment

SCHEMA: Final = "loadgen.run/2"

RunOutcome = Literal["completed", "interrupted", "lost", "unreachable"]
"""How the run ended: as planned; by the user; because every connection had failed; because none
came up."""


class FailureRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of failure (names of `loadgen.net.failure`): its count, first and last time.

    Those of connections count from the start of the run on. In the phase ``reply`` they are replies
    that were rejected, on connections that went on; as other replies, those of the load alone.
    """

    phase: Phase
    cause: Cause
    is_local: bool
    count: Count
    first_s: MomentSeconds
    last_s: MomentSeconds

    @property
    def is_rejection(self) -> bool:
        """Whether these are rejected replies, and not connections that failed."""
        return Failure(self.phase, self.cause).is_rejection


class ConnectionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One connection. ``failure`` is its last one, ``phase: cause``, or null.

    Its messages and bytes include the warm-up, its service times do not; their p50 and p99 come
    from a coarse histogram and are exact to 6 %. Without a timestamped reply they are zeros.
    """

    index: Count
    state: Text
    failure: Text | None
    failures: Count
    connects: Count
    connect_latency_ns: Nanoseconds
    bytes_sent: Bytes
    bytes_received: Bytes
    submitted: Count
    answered: Count
    service_time_min_ns: Nanoseconds
    service_time_mean_ns: Nanoseconds
    service_time_p50_ns: Nanoseconds
    service_time_p99_ns: Nanoseconds
    service_time_max_ns: Nanoseconds


if TYPE_CHECKING:
    Ledger = dict[str, list[Any]]
else:
    # For msgspec, which checks ranges and writes the schema: a column for each field.
    Ledger = TypedDict(
        "Ledger",
        {field.name: list[field.type] for field in msgspec.structs.fields(ConnectionRecord)},
        total=False,
    )


class ConnectionsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """All connections.

    fairness: Jain's index of answered messages over all connections, without those that stayed up
    and had nothing to send; from 1/n (one got everything) to 1 (all got the same); null without
    messages. starved: the number of these connections that were never answered.
    worst: the starved ones, then those of the highest mean service time, ten at most.
    ledger: the fields of `ConnectionRecord`, a column each, in the order of their index.
    """

    count: Count
    fairness: Share | None
    starved: Count
    worst: Annotated[list[ConnectionRecord], msgspec.Meta(max_length=MOST_KINDS)]
    ledger: Ledger

    def __post_init__(self) -> None:
        """Raise ValueError if columns of the ledger are missing, or differ in length.

        A ledger may be empty.
        """
        missing = sorted({*ConnectionRecord.__struct_fields__} - {*self.ledger})
        if self.ledger and missing:
            raise ValueError(f"the ledger lacks {', '.join(missing)}")
        if len({len(column) for column in self.ledger.values()}) > 1:
            raise ValueError("the columns of the ledger are not of one length")


class TargetRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The target.

    address: as in the plan. resolved: the address that was connected to. others: further addresses
    of the same name, which were not used. embedded: whether it was the embedded server; server: the
    counts of the embedded server.
    """

    address: Text
    resolved: Text
    others: Texts = []
    embedded: bool = False
    server: Annotated[dict[Text, Count], msgspec.Meta(max_length=MOST_KINDS)] | None = None


class RunRecord(Times, frozen=True, kw_only=True, tag_field="schema", tag=SCHEMA):
    """The results of one run; its `Times` are those of the measured load and of the drain.

    health: null until the record is judged. probe, monitor: null if there was none.
    statuses, in_parts: of the replies; null where they have none, and where none came in parts.
    workers: the processes that carried it out together (`loadgen.analysis.merge`); empty for one
    process. team: which workers were expected and which were absent; null if not recorded.
    tls: null if none was spoken. datagrams: what became of them; null for streams.
    why_python: why no native engine was used, where the plan would have had one; otherwise empty.
    """

    started_at: Moment
    outcome: RunOutcome
    plan: Plan
    target: TargetRecord
    environment: Environment
    backend: Text
    engine: EngineName = "python"
    why_python: Text = ""
    requested: Requested
    actual: Actual
    health: Health | None = None
    checks: Checks = msgspec.field(default_factory=list)
    timestamps: TimestampsRecord
    generator: GeneratorRecord
    probe: ProbeRecord | None = None
    monitor: MonitorRecord | None = None
    connect_latency_ns: Distribution
    statuses: StatusesRecord | None = None
    in_parts: PartsRecord | None = None
    failures: Annotated[list[FailureRecord], msgspec.Meta(max_length=MOST_KINDS)]
    intervals: Intervals
    connections: ConnectionsRecord
    workers: Annotated[list[WorkerRecord], msgspec.Meta(max_length=MOST_WORKERS)] = msgspec.field(
        default_factory=list
    )
    team: TeamRecord | None = None
    tls: TlsRecord | None = None
    datagrams: DatagramsRecord | None = None

    @property
    def latency(self) -> Histogram:
        """The latency of the load model: response time in an open loop, otherwise service time.

        Service time, too, if the generator was the limit: response time would be its own.
        """
        is_bound = self.health is not None and self.health.verdict == "generator-bound"
        response = None if is_bound else self.response_time_ns
        return (response or self.service_time_ns).histogram()

    @property
    def first_byte_ns(self) -> Distribution | None:
        """From send to the first byte, of replies that came in parts; None if none did."""
        return None if self.in_parts is None else self.in_parts.first_byte_ns

    @property
    def connect_latency(self) -> Histogram:
        """Time from connect to connected."""
        return self.connect_latency_ns.histogram()

    @property
    def handshake_ns(self) -> Distribution | None:
        """Time from connected to secured; None if no TLS was spoken."""
        return None if self.tls is None else self.tls.all_ns

    def to_json(self) -> bytes:
        """Return the record as indented JSON, with one line for each block of intervals."""
        if not isinstance(self.intervals, PackedIntervals):
            return as_indented_json(self)
        whole = as_indented_json(msgspec.structs.replace(self, intervals=PackedIntervals([])))
        before, empty, after = whole.partition(b'"blocks": []')
        text = io.BytesIO()  # a single copy of what may be hundreds of megabytes
        text.write(before + empty[:-1])
        for number, block in enumerate(self.intervals.blocks):
            text.write(b",\n   " if number else b"\n   ")
            text.write(as_json(block))
        text.write(b"]" + after)
        return text.getvalue()


def redacted_record(record: RunRecord) -> RunRecord:
    """Return ``record`` as if its plan had asked for redaction."""
    address = redacted_target(record.target.address)
    target = msgspec.structs.replace(record.target, address=address)
    return msgspec.structs.replace(record, plan=redacted_plan(record.plan), target=target)


# Checks of records that are read from files, and not of those that a run has built.
_CHECKS: Final[Mapping[str, Callable[[Any], object]]] = {
    "started_at": parse_moment,
    "intervals": check_order,
}


def from_json(text: bytes) -> RunRecord:
    """Return the record in ``text``. Raises RecordError."""
    form = f"record of the form {SCHEMA}"
    collects = gc.isenabled()
    gc.disable()  # a long run has millions of objects, none of which is garbage yet
    try:
        record = decoded.from_json(text, RunRecord, form)
        for field, check in _CHECKS.items():
            try:
                check(getattr(record, field))
            except ValueError as error:
                complaint = f"{field}: {decoded.error_line(error)}"
                raise RecordError(f"this is no {form}: {complaint}") from None
        return record
    finally:
        if collects:
            gc.enable()
