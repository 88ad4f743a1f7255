"""The RunRecord: all that a run has found, frozen, versioned, describing itself.

Terminal, JSON, CSV and every later report read this one object. Latencies in it are nanoseconds;
moments and spans are seconds, counted from the start of the load.

History of the format:
loadgen.run/1   the first.
"""

import json
import sys
from typing import Any, Final, Literal

import msgspec

from loadgen.core.histogram import Histogram
from loadgen.environment import Environment
from loadgen.errors import RecordError, UsageError
from loadgen.failure import Cause, Phase
from loadgen.plan import Plan

SCHEMA: Final = "loadgen.run/1"

Stage = Literal["opening", "loading", "draining"]
"""What a run is at: connecting, submitting messages, or waiting for the last replies."""

Outcome = Literal["completed", "interrupted", "lost", "unreachable"]
"""How the run ended: as planned; by the user; because every connection had failed; because none
ever came up."""


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """Durations in nanoseconds: figures for people, and the histogram that they come from.

    ``buckets`` and ``counts`` are the occupied buckets of `loadgen.core.histogram`, which says how
    wide they are. ``overflow`` counts values beyond its range; they count as the maximum. Where
    ``count`` is 0, the figures are null.
    """

    count: int
    min: int | None
    mean: float | None
    p50: int | None
    p90: int | None
    p99: int | None
    p999: int | None
    max: int | None
    overflow: int
    sum: int
    buckets: list[int]
    counts: list[int]

    def __post_init__(self) -> None:
        """Raise ValueError if this is the form of no histogram."""
        if sum(self.counts) != self.count:
            raise ValueError("the counts of the buckets do not add up to the count")
        self.histogram()

    @classmethod
    def of(cls, histogram: Histogram) -> "Distribution":
        """Return the frozen form of ``histogram``."""
        buckets, counts = histogram.buckets()
        some = histogram.count > 0

        def percentile(percent: float) -> int | None:
            return histogram.percentile(percent) if some else None

        return cls(
            count=histogram.count,
            min=histogram.min_ns if some else None,
            mean=histogram.mean_ns if some else None,
            p50=percentile(50),
            p90=percentile(90),
            p99=percentile(99),
            p999=percentile(99.9),
            max=histogram.max_ns if some else None,
            overflow=histogram.overflow,
            sum=histogram.sum_ns,
            buckets=buckets,
            counts=counts,
        )

    def histogram(self) -> Histogram:
        """Return the histogram that this is the frozen form of."""
        bounds_ns = (self.min or 0, self.max or 0)
        return Histogram.from_buckets(self.buckets, self.counts, bounds_ns, self.sum)


class TargetRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was loaded. ``server`` holds the embedded server's own counts, where that was it."""

    address: str
    resolved: str
    embedded: bool
    server: dict[str, int] | None


class Requested(msgspec.Struct, frozen=True, kw_only=True):
    """What the plan asked for; null is no limit."""

    connections: int
    duration_s: float | None
    messages_per_connection: int | None
    connect_rate_per_s: float | None


class Actual(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    connections: how many came up, once at least.
    opening_s: from the first connect until all had come up or failed, or the load began without
    those that had not.
    connect_rate_per_s: the connections that came up in that time, over it.
    duration_s: from the start of the load until nothing more was submitted.
    drain_s: from then until the last reply, or until waiting for it was given up.
    messages: answered (one way: handed to the kernel), the drain included.
    messages_per_s, bytes_sent_per_s, bytes_received_per_s: of those within ``duration_s`` alone.
    submitted: messages that were begun; cut_off: those unanswered when the run ended; the rest
    were lost with failed connections.
    opened, closed: sockets.
    cpu_user_s, cpu_system_s: processor time of this process within ``duration_s``, in its own code
    and in the kernel (times(2): hundredths of seconds).
    """

    connections: int
    opening_s: float
    connect_rate_per_s: float
    duration_s: float
    drain_s: float
    messages: int
    messages_per_s: float
    submitted: int
    cut_off: int
    bytes_sent: int
    bytes_received: int
    bytes_sent_per_s: float
    bytes_received_per_s: float
    opened: int
    closed: int
    cpu_user_s: float
    cpu_system_s: float

    @property
    def cpu_s(self) -> float:
        """All processor time of this process within ``duration_s``."""
        return self.cpu_user_s + self.cpu_system_s


class FailureRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of failure (names of `loadgen.failure`), how often, and when first and last."""

    phase: Phase
    cause: Cause
    is_local: bool
    count: int
    first_s: float
    last_s: float


class IntervalRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One stretch of the run: a second of the load, or all of the opening or the draining.

    ``start_s`` of the opening is negative. ``connections_up`` is the number at its end.
    """

    start_s: float
    duration_s: float
    stage: Stage
    messages: int
    bytes_sent: int
    bytes_received: int
    connections_up: int
    failures: int
    latency_ns: Distribution


class ConnectionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One connection. ``failure`` is its last one, ``phase: cause``, or null.

    Its p50 and p99 come from a coarse histogram and are right within 6 %.
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
    latency_min_ns: int
    latency_mean_ns: int
    latency_p50_ns: int
    latency_p99_ns: int
    latency_max_ns: int


class ConnectionsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """All connections.

    fairness: Jain's index of answered messages over the connections that came up, from 1/n (one
    got everything) to 1 (all got the same); null without messages.
    starved: connections that came up and were never answered.
    worst: the starved ones, then those of the highest mean latency, ten at most.
    ledger: the fields of `ConnectionRecord`, a column each, in the order of their index.
    """

    count: int
    fairness: float | None
    starved: int
    worst: list[ConnectionRecord]
    ledger: dict[str, list[Any]]


class RunRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="schema", tag=SCHEMA):
    """All that one run has found."""

    started_at: str
    outcome: Outcome
    plan: Plan
    target: TargetRecord
    environment: Environment
    backend: str
    requested: Requested
    actual: Actual
    connect_latency_ns: Distribution
    latency_ns: Distribution
    failures: list[FailureRecord]
    intervals: list[IntervalRecord]
    connections: ConnectionsRecord

    @property
    def latency(self) -> Histogram:
        """Message latency from send to read, in this process's own clock."""
        return self.latency_ns.histogram()

    @property
    def connect_latency(self) -> Histogram:
        """Time from connect to connected."""
        return self.connect_latency_ns.histogram()

    def to_json(self) -> bytes:
        """Return the record as indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def from_json(text: bytes) -> RunRecord:
    """Return the record that ``text`` holds. Raises RecordError."""
    try:
        return msgspec.json.decode(text, type=RunRecord)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, UsageError) as error:
        raise RecordError(f"this is no record of the form {SCHEMA}: {error}") from None


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a RunRecord."""
    schema = msgspec.json.schema(RunRecord)
    for definition in schema["$defs"].values():
        if "description" in definition:
            # Python 3.13 takes the indentation out of docstrings, earlier ones leave it in.
            lines = definition["description"].splitlines()
            definition["description"] = "\n".join(line.strip() for line in lines)
    return schema


def jain_index(amounts: list[int]) -> float | None:
    """Return how evenly ``amounts`` are spread: (Σx)² / (n Σx²); None if there is nothing.

    R. Jain, D. Chiu, W. Hawe, "A Quantitative Measure of Fairness and Discrimination", DEC-TR-301,
    1984.
    """
    squares = sum(amount * amount for amount in amounts)
    return sum(amounts) ** 2 / (len(amounts) * squares) if squares else None


if __name__ == "__main__":  # renews loadgen/record.schema.json
    sys.stdout.write(json.dumps(json_schema(), indent=1) + "\n")
