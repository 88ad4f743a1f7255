"""What happened, kept as counts and histograms.

Facts. To bin a latency in a histogram the moment it is known costs more than half a microsecond in
Python. To append four integers to a list, in one call of C code, costs a tenth of that; numpy makes
an array of them and bins it for another tenth.

Decision. The hot path leaves one row for each batch of replies (connection, replies, sent, read).
`ROWS` of them, few enough to stay in the processor's cache, are binned at once: into the interval's
histogram and, per connection, into exact sums and extremes and a coarse histogram. An interval that
ends is merged into the run.

Cost. A flush takes some 0.2 ms of the loop's time, once in 2048 replies; a connection costs 1.2 KB.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from loadgen.core.histogram import (
    BUCKETS,
    PRECISION_BITS,
    Histogram,
    Integers,
    bucket_middle,
    bucket_of,
)
from loadgen.failure import Failure

ROWS: Final = 2048
_COLUMNS: Final = 4

# A connection's own histogram has 8 buckets an octave: off by 6 % at most.
_COARSE_SHIFT: Final = PRECISION_BITS - 3
_COARSE_BUCKETS: Final = (BUCKETS >> _COARSE_SHIFT) + 1


@dataclass(slots=True)
class FailureCount:
    """How often one kind of failure was met, and when first and last (clock nanoseconds)."""

    count: int
    first_ns: int
    last_ns: int


@dataclass(slots=True)
class Interval:
    """What was measured from ``start_ns`` to ``end_ns``."""

    start_ns: int
    end_ns: int
    latency: Histogram
    failures: int


@dataclass(frozen=True, slots=True)
class ConnectionLatency:
    """The latencies of each connection, by index, in nanoseconds; 0 where there were no replies."""

    replies: Integers
    mean_ns: Integers
    min_ns: Integers
    max_ns: Integers
    p50_ns: Integers
    p99_ns: Integers


class Recorder:
    """Collects one run's connects, replies and failures."""

    def __init__(self, connections: int) -> None:
        self.connect = Histogram()
        self.latency = Histogram()
        self.failures: dict[Failure, FailureCount] = {}
        self._interval = Histogram()
        self._interval_failures = 0
        self._connects: list[int] = []
        self._rows: list[int] = []
        self.record: Callable[[tuple[int, int, int, int]], None] = self._rows.extend
        """Takes a row, (connection index, replies, sent_ns, read_ns): so many replies were read at
        one time, to messages that were sent at one time. The hot path: no Python call."""
        self._tables = _ConnectionTables(connections)

    # ---- rare events ----------------------------------------------------------------------

    def record_connect(self, latency_ns: int) -> None:
        """Note that a connection came up."""
        self._connects.append(latency_ns)

    def record_failure(self, failure: Failure, now_ns: int) -> None:
        """Note that a connection failed."""
        self._interval_failures += 1
        known = self.failures.get(failure)
        if known is None:
            self.failures[failure] = FailureCount(1, now_ns, now_ns)
        else:
            known.count += 1
            known.last_ns = now_ns

    # ---- in bulk --------------------------------------------------------------------------

    def flush_if_full(self) -> None:
        """Bin the rows that are waiting, if they are many; to be called once in a turn."""
        if len(self._rows) >= ROWS * _COLUMNS:
            self.flush()

    def flush(self) -> None:
        """Bin what is waiting."""
        self.connect.record(self._connects)
        self._connects.clear()
        if not self._rows:
            return
        rows = np.fromiter(self._rows, np.int64, len(self._rows)).reshape(-1, _COLUMNS)
        self._rows.clear()
        owners, replies, sent_ns, read_ns = rows.T
        latency_ns = read_ns - sent_ns
        self._interval.record(latency_ns, replies)
        self._tables.record(owners, latency_ns, replies)

    def end_interval(self, start_ns: int, end_ns: int) -> Interval:
        """Return what was recorded since the last call, and begin anew."""
        self.flush()
        ended = Interval(start_ns, end_ns, self._interval, self._interval_failures)
        self.latency.merge(self._interval)
        self._interval = Histogram()
        self._interval_failures = 0
        return ended

    def by_connection(self) -> ConnectionLatency:
        """Return what each connection saw."""
        self.flush()
        return self._tables.summarise()


@dataclass(slots=True)
class _ConnectionTables:
    """One row per connection, grown as higher indices come."""

    connections: int
    replies: Integers = field(init=False)
    sum_ns: Integers = field(init=False)
    min_ns: Integers = field(init=False)
    max_ns: Integers = field(init=False)
    coarse: np.ndarray[tuple[int, int], np.dtype[np.uint32]] = field(init=False)

    def __post_init__(self) -> None:
        self.replies = np.zeros(self.connections, np.int64)
        self.sum_ns = np.zeros(self.connections, np.int64)
        self.min_ns = np.full(self.connections, np.iinfo(np.int64).max)
        self.max_ns = np.zeros(self.connections, np.int64)
        self.coarse = np.zeros((self.connections, _COARSE_BUCKETS), np.uint32)

    def record(self, owners: Integers, latency_ns: Integers, replies: Integers) -> None:
        highest = int(owners.max())
        if highest >= self.connections:
            self._grow(max(highest + 1, 2 * self.connections))
        np.add.at(self.replies, owners, replies)
        np.add.at(self.sum_ns, owners, latency_ns * replies)
        np.minimum.at(self.min_ns, owners, latency_ns)
        np.maximum.at(self.max_ns, owners, latency_ns)
        cells = owners * _COARSE_BUCKETS + (bucket_of(latency_ns) >> _COARSE_SHIFT)
        np.add.at(self.coarse.reshape(-1), cells, replies.astype(np.uint32))

    def _grow(self, connections: int) -> None:
        wider = _ConnectionTables(connections)
        for name in ("replies", "sum_ns", "min_ns", "max_ns", "coarse"):
            getattr(wider, name)[: self.connections] = getattr(self, name)
            setattr(self, name, getattr(wider, name))
        self.connections = connections

    def summarise(self) -> ConnectionLatency:
        quiet = self.replies == 0
        minimum = np.where(quiet, 0, self.min_ns)
        return ConnectionLatency(
            replies=self.replies,
            mean_ns=self.sum_ns // np.maximum(self.replies, 1),
            min_ns=minimum,
            max_ns=self.max_ns,
            p50_ns=np.clip(self._percentile(50), minimum, self.max_ns),
            p99_ns=np.clip(self._percentile(99), minimum, self.max_ns),
        )

    def _percentile(self, percent: float) -> Integers:
        rank = np.maximum(np.ceil(self.replies * (percent / 100)), 1)
        cumulative = np.cumsum(self.coarse, axis=1, dtype=np.int64)
        reached = np.argmax(cumulative >= rank[:, None], axis=1)
        # The middle of a coarse bucket is the middle of the fine buckets that it joins.
        return bucket_middle((reached << _COARSE_SHIFT) + (1 << (_COARSE_SHIFT - 1)) - 1)
