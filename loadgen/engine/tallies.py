"""The tallies of the recorder: times of messages, inter-send times, failures, and connections."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from loadgen.engine.sinks import Replies, counted
from loadgen.net.failure import Failure
from loadgen.results.histogram import (
    BUCKETS,
    PRECISION_BITS,
    Histogram,
    Integers,
    bucket_middle,
)
from loadgen.units import NS_PER_S

# The histogram of a connection has 8 buckets an octave: off by 6 % at most.
_COARSE_SHIFT: Final = PRECISION_BITS - 3
_OF_A_CLASS: Final = 100  # kinds

_COARSE_BUCKETS: Final = (BUCKETS >> _COARSE_SHIFT) + 1


@dataclass(slots=True)
class KindTally:
    """How many replies were of each kind, and the service times of each class of kinds.

    A class is a hundred kinds (`loadgen.net.protocols.base.Decoder`).
    """

    counts: Counter[int] = field(default_factory=Counter)
    classes: dict[int, Histogram] = field(default_factory=lambda: defaultdict(Histogram))

    def add(self, kinds: Integers, batch: Replies) -> None:
        """Add ``batch``, of which ``kinds`` has that of each entry, 0 for none."""
        for kind in np.unique(kinds[kinds > 0]).tolist():
            self.counts[kind] += int(batch.replies[kinds == kind].sum())
        classes, service_ns = kinds // _OF_A_CLASS, batch.service_ns
        for each in np.unique(classes[kinds > 0]).tolist():
            self.classes[each].record(*counted(service_ns, batch.in_service * (classes == each)))

    def merge(self, other: "KindTally") -> None:
        """Add the counts and histograms of ``other``."""
        self.counts.update(other.counts)
        for each, histogram in other.classes.items():
            self.classes[each].merge(histogram)


@dataclass(slots=True)
class TimesTally:
    """Histograms of the times of `loadgen.results.record.Times`, and counts of kernel time stamps.

    delayed_service, delayed_response, delayed_lag: what was left out of service time, of response
    time and of schedule lag, because more than half of it was pauses of this process.
    delayed_reads: the number of replies of which that holds for the time until they were read.
    first_part, last_part: of replies that were read in several parts, the times from the send until
    the first of them and the last had arrived.
    """

    service: Histogram = field(default_factory=Histogram)
    response: Histogram = field(default_factory=Histogram)
    schedule_lag: Histogram = field(default_factory=Histogram)
    blocked: Histogram = field(default_factory=Histogram)
    generator_lag: Histogram = field(default_factory=Histogram)
    receive_lag: Histogram = field(default_factory=Histogram)
    user_space: Histogram = field(default_factory=Histogram)
    read_uncertainty: Histogram = field(default_factory=Histogram)
    delayed_service: Histogram = field(default_factory=Histogram)
    delayed_response: Histogram = field(default_factory=Histogram)
    delayed_lag: Histogram = field(default_factory=Histogram)
    stamped: int = 0
    upper_bounds: int = 0
    missing: int = 0
    implausible: int = 0
    unsampled: int = 0
    left_out: int = 0
    delayed_reads: int = 0
    first_part: Histogram = field(default_factory=Histogram)
    last_part: Histogram = field(default_factory=Histogram)
    kinds: KindTally = field(default_factory=KindTally)

    def merge(self, other: "TimesTally") -> None:
        """Add the counts and histograms of ``other``."""
        for name in self.__slots__:
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, int):
                setattr(self, name, mine + theirs)
            else:
                mine.merge(theirs)


@dataclass(slots=True)
class InterSendTally:
    """The times between sends: their count, sum and sum of squares (seconds)."""

    count: int = 0
    sum_s: float = 0.0
    sum_of_squares: float = 0.0
    last_ns: int | None = None

    def add(self, sent_ns: Integers) -> None:
        """Add sends, in the order in which they took place."""
        first_ns = sent_ns[0] if self.last_ns is None else self.last_ns
        between_s = np.diff(sent_ns, prepend=first_ns)[self.last_ns is None :] / NS_PER_S
        self.count += between_s.size
        self.sum_s += float(between_s.sum())
        self.sum_of_squares += float(between_s @ between_s)
        self.last_ns = int(sent_ns[-1])

    @property
    def variation(self) -> float | None:
        """The squared coefficient of variation, variance over squared mean; None without times."""
        if not self.sum_s:
            return None
        return self.count * self.sum_of_squares / self.sum_s**2 - 1


@dataclass(slots=True)
class FailureTally:
    """How often one kind of failure occurred, and when first and last (clock nanoseconds)."""

    count: int
    first_ns: int
    last_ns: int


def count_failure(
    tallies: dict[Failure, FailureTally], failure: Failure, count: int, now_ns: int
) -> None:
    """Count that ``failure`` occurred ``count`` times at ``now_ns``."""
    tally = tallies.setdefault(failure, FailureTally(0, now_ns, now_ns))
    tally.count += count
    tally.last_ns = now_ns


@dataclass(frozen=True, slots=True)
class ConnectionServiceTimes:
    """The service times of each connection, by index, in nanoseconds; 0 where there were none."""

    replies: Integers
    mean_ns: Integers
    min_ns: Integers
    max_ns: Integers
    p50_ns: Integers
    p99_ns: Integers


@dataclass(slots=True)
class ConnectionTally:
    """Counts, sums and coarse histograms by connection; it grows as higher indices are recorded."""

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

    def record(
        self, indices: Integers, service_ns: Integers, replies: Integers, buckets: Integers
    ) -> None:
        """Count service times, which lie in those ``buckets`` of a `Histogram`, each for the
        connection of its index, ``replies`` times."""
        if not indices.size:
            return
        self.make_room(int(indices.max()) + 1)
        np.add.at(self.replies, indices, replies)
        np.add.at(self.sum_ns, indices, service_ns * replies)
        np.minimum.at(self.min_ns, indices, service_ns)
        np.maximum.at(self.max_ns, indices, service_ns)
        cells = indices * _COARSE_BUCKETS + (buckets >> _COARSE_SHIFT)
        np.add.at(self.coarse.reshape(-1), cells, replies.astype(np.uint32))

    def make_room(self, connections: int) -> None:
        """Grow to at least that many connections."""
        if connections <= self.connections:
            return
        connections = max(connections, 2 * self.connections)
        wider = ConnectionTally(connections)
        for name in ("replies", "sum_ns", "min_ns", "max_ns", "coarse"):
            getattr(wider, name)[: self.connections] = getattr(self, name)
            setattr(self, name, getattr(wider, name))
        self.connections = connections

    def summarise(self) -> ConnectionServiceTimes:
        """Return the service times of each connection."""
        is_silent = self.replies == 0
        minimum = np.where(is_silent, 0, self.min_ns)
        return ConnectionServiceTimes(
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
