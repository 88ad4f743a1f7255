"""Requests by name and second of the wall clock, counted in bulk and merged into Locust's tables.

Locust's `RequestStats.log_request` counts one request at a time, in 1.5 µs. Here a whole second's
requests of one name become one `StatsEntry`, which Locust's tables add up as they do with the
reports of workers: the counts are the same, to the request. A flush of 2048 replies costs one
histogram for each name and second in it, some 50 µs.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from locust import stats as locust_stats
from locust.stats import RequestStats, StatsEntry, StatsError

from loadgen.net.clock import wall_ns
from loadgen.results.histogram import Histogram, Integers
from loadgen.units import ns_to_seconds

METHOD: Final = "TCP"
"""What Locust lists as the type of the requests."""

NS_PER_MS: Final = 1e6


@dataclass(slots=True)
class Requests:
    """Requests of one name: their latencies, the bytes of their replies, failures by their text.

    untimed: one-way messages, which have no reply.
    """

    latency: Histogram = field(default_factory=Histogram)
    untimed: int = 0
    reply_bytes: int = 0
    failures: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def merge(self, other: "Requests") -> None:
        """Add the counts of ``other``."""
        self.latency.merge(other.latency)
        self.untimed += other.untimed
        self.reply_bytes += other.reply_bytes
        for text, count in other.failures.items():
            self.failures[text] += count


NameAndSecond = tuple[str, int]


class Listener(Protocol):
    """Called for every request, in addition to the counts."""

    def add(self, name: str, latency_ns: Integers, replies: Integers) -> None:
        """Take replies to requests of ``name``."""

    def add_untimed(self, name: str, text: str, count: int) -> None:
        """Take requests without a response time: failed with ``text``, or one-way if empty."""


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


# ---- Locust's tables ------------------------------------------------------------------------


def merge(tables: RequestStats, requests: Mapping[NameAndSecond, Requests]) -> None:
    """Add ``requests`` to Locust's ``tables``."""
    for (name, second), group in requests.items():
        entry = _entry(tables, name, second, group)
        # Looked up each time: clearing the tables replaces their entries.
        tables.entries[name, METHOD].extend(entry)
        tables.total.extend(entry)
        for text, count in group.failures.items():
            _count_error(tables, name, text, count, second)


def merge_bytes(tables: RequestStats, requests: Mapping[NameAndSecond, Requests]) -> None:
    """Add only the bytes of ``requests``: Locust's own listener has counted the rest."""
    for (name, _), group in requests.items():
        tables.entries[name, METHOD].total_content_length += group.reply_bytes
        tables.total.total_content_length += group.reply_bytes


def _entry(tables: RequestStats, name: str, second: int, group: Requests) -> StatsEntry:
    entry = StatsEntry(tables, name, METHOD)
    latency, failures = group.latency, sum(group.failures.values())
    without_time = failures + group.untimed  # Locust counts a failed request as a request
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
