"""Requests by name and second of the wall clock, counted in bulk and merged into Locust's tables.

Locust's `RequestStats.log_request` counts one request at a time, in 1.5 µs. Here a whole second's
requests of one name become one `StatsEntry`, which Locust's tables add up as they do with the
reports of workers: the counts are the same, to the request. A flush of 2048 replies costs one
histogram for each name and second in it, some 50 µs.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from locust import stats as locust_stats
from locust.stats import RequestStats, StatsEntry, StatsError

from loadgen.engine.sinks import Replies, Sink
from loadgen.net.clock import wall_ns
from loadgen.net.failure import Failure
from loadgen.results.histogram import Histogram, Integers
from loadgen.units import NS_PER_S, ns_to_seconds

CONNECT: Final = "connect"
"""The name under which Locust lists failures of connections with no message in flight."""

METHOD: Final = "TCP"
"""What Locust lists as the type of the requests."""

NS_PER_MS: Final = 1e6


@dataclass(slots=True)
class Requests:
    """Requests of one name: their latencies, the bytes of their replies, failures by their text.

    untimed: one-way messages, which have no reply. failures: of those without a reply. rejected:
    of those that have one, and so a latency.
    """

    latency: Histogram = field(default_factory=Histogram)
    untimed: int = 0
    reply_bytes: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)

    def merge(self, other: "Requests") -> None:
        """Add the counts of ``other``."""
        self.latency.merge(other.latency)
        self.untimed += other.untimed
        self.reply_bytes += other.reply_bytes
        self.failures.update(other.failures)
        self.rejected.update(other.rejected)


NameAndSecond = tuple[str, int]


class Listener(Protocol):
    """Called for every request, in addition to the counts."""

    def add(self, name: str, latency_ns: Integers, replies: Integers) -> None:
        """Take replies to requests of ``name``."""

    def add_untimed(self, name: str, text: str, count: int) -> None:
        """Take requests without a response time: failed with ``text``, or one-way if empty."""

    def reject(self, name: str, text: str, count: int) -> None:
        """Take that the next ``count`` replies to requests of ``name`` were rejected."""


class RequestCounts:
    """Counts requests by name, in full and for each second since the last `take`."""

    def __init__(self) -> None:
        self.listener: Listener | None = None
        self.by_name: dict[str, Requests] = defaultdict(Requests)
        self._pending: dict[NameAndSecond, Requests] = defaultdict(Requests)

    def add(self, name: str, latency_ns: Integers, replies: Integers, seconds: Integers) -> None:
        """Count replies to requests of ``name``, received in those ``seconds``."""
        if self.listener is not None:
            self.listener.add(name, latency_ns, replies)
        for second in np.unique(seconds).tolist():
            at_once = seconds == second
            requests = self._pending[name, second]
            requests.latency.record(latency_ns[at_once], replies[at_once])

    def add_untimed(self, name: str, second: int, count: int) -> None:
        """Count one-way requests of ``name``."""
        if not count:
            return
        self._pending[name, second].untimed += count
        if self.listener is not None:
            self.listener.add_untimed(name, "", count)

    def add_bytes(self, name: str, second: int, reply_bytes: int) -> None:
        """Count bytes of replies to requests of ``name``."""
        if reply_bytes:
            self._pending[name, second].reply_bytes += reply_bytes

    def fail(self, name: str, second: int, text: str, count: int = 1) -> None:
        """Count requests of ``name`` that failed."""
        self._pending[name, second].failures[text] += count
        if self.listener is not None:
            self.listener.add_untimed(name, text, count)

    def reject(self, name: str, second: int, text: str, count: int) -> None:
        """Count requests of ``name`` that failed although they have a reply, which `add` counts."""
        self._pending[name, second].rejected[text] += count
        if self.listener is not None:
            self.listener.reject(name, text, count)

    def take(self) -> dict[NameAndSecond, Requests]:
        """Return what was counted since the last call."""
        taken = dict(self._pending)
        self._pending.clear()
        for (name, _), requests in taken.items():
            self.by_name[name].merge(requests)
        return taken

    def forget(self) -> None:
        """Discard all counts: they were a warm-up."""
        self._pending.clear()
        self.by_name.clear()


class RequestSink(Sink):
    """Counts the replies of a recorder in ``counts``: each group is a name of requests.

    name: of group 0. wall_offset_ns: from the run's clock to the wall clock. reply_bytes: the
    length of each reply; None where only its bytes tell, which are to be counted elsewhere.

    A reply's latency begins at the intended time where there is one, and at the send otherwise. It
    ends at the kernel's receive timestamp where there is one, and at the read otherwise. So each
    reply has one, and Locust's counts are complete.
    """

    def __init__(self, name: str, wall_offset_ns: int, reply_bytes: int | None = None) -> None:
        self.counts = RequestCounts()
        self._names = [name]
        self._groups = {name: 0}
        self._wall_offset_ns = wall_offset_ns
        self._reply_bytes = reply_bytes

    def group_of(self, name: str) -> int:
        """Return the group of the requests of ``name``."""
        group = self._groups.setdefault(name, len(self._names))
        if group == len(self._names):
            self._names.append(name)
        return group

    def name_of(self, group: int) -> str:
        """Return the name of the requests of ``group``."""
        return self._names[group]

    def second_of(self, at_ns: int) -> int:
        """Return the second of the wall clock in which ``at_ns`` lies."""
        return (at_ns + self._wall_offset_ns) // NS_PER_S

    def add(self, group: int, replies: Replies) -> None:
        """Count replies, each in the second in which it was read."""
        name, count = self._names[group], replies.replies
        is_scheduled = replies.intended_ns > 0
        latency_ns = np.where(is_scheduled, replies.response_ns, replies.service_ns)
        seconds = (replies.read_ns + self._wall_offset_ns) // NS_PER_S
        self.counts.add(name, latency_ns, count, seconds)
        if self._reply_bytes:
            self.counts.add_bytes(name, int(seconds[-1]), self._reply_bytes * int(count.sum()))

    def fail(self, group: int, failure: Failure, now_ns: int) -> None:
        """Do nothing: `RequestCounts.fail` counts the messages that a failed connection lost."""

    def reject(self, group: int, failure: Failure, count: int, now_ns: int) -> None:
        """Count replies that were rejected as requests that failed."""
        self.counts.reject(self._names[group], self.second_of(now_ns), str(failure), count)

    def begin_measuring(self) -> None:
        """Discard the warm-up."""
        self.counts.forget()


# ---- Locust's tables ------------------------------------------------------------------------


def merge(tables: RequestStats, requests: Mapping[NameAndSecond, Requests]) -> None:
    """Add ``requests`` to Locust's ``tables``."""
    for (name, second), group in requests.items():
        entry = _entry(tables, name, second, group)
        # Looked up each time: clearing the tables replaces their entries.
        tables.entries[name, METHOD].extend(entry)
        tables.total.extend(entry)
        for text, count in (group.failures + group.rejected).items():
            _count_error(tables, name, text, count, second)


def merge_bytes(tables: RequestStats, requests: Mapping[NameAndSecond, Requests]) -> None:
    """Add only the bytes of ``requests``: Locust's own listener has counted the rest."""
    for (name, _), group in requests.items():
        tables.entries[name, METHOD].total_content_length += group.reply_bytes
        tables.total.total_content_length += group.reply_bytes


def _entry(tables: RequestStats, name: str, second: int, group: Requests) -> StatsEntry:
    entry = StatsEntry(tables, name, METHOD)
    latency, failures = group.latency, group.failures.total() + group.rejected.total()
    # Locust counts a failed request as a request.
    without_time = group.failures.total() + group.untimed
    entry.num_requests = latency.count + without_time
    entry.num_none_requests = without_time
    entry.num_failures = failures
    entry.total_content_length = group.reply_bytes
    # Locust declares whole milliseconds, and computes with fractions.
    entry.total_response_time = latency.sum_ns / NS_PER_MS  # type: ignore[assignment]
    if latency.count:
        entry.min_response_time = latency.min_ns / NS_PER_MS  # type: ignore[assignment]
        entry.max_response_time = latency.max_ns / NS_PER_MS  # type: ignore[assignment]
    # Looked up each time: a Locust file may replace it.
    rounded = locust_stats.bucket_response_time
    for latency_ns, count in latency.values():
        entry.response_times[rounded(latency_ns / NS_PER_MS)] += count
    if entry.num_requests:
        entry.num_reqs_per_sec[second] = entry.num_requests
        entry.last_request_timestamp = _last_moment(second)
    if failures:
        entry.num_fail_per_sec[second] = failures
    return entry


def _count_error(tables: RequestStats, name: str, text: str, count: int, second: int) -> None:
    key = StatsError.create_key(METHOD, name, text)
    error = tables.errors.setdefault(key, StatsError(METHOD, name, text))
    error.occurrences += count
    error.first_seen = error.first_seen or float(second)
    error.last_seen = _last_moment(second)


def _last_moment(second: int) -> float:
    """Return the end of ``second``, or now if that is earlier."""
    return min(ns_to_seconds(wall_ns()), second + 0.999)
