"""Requests by the thousand, into Locust's own tables.

Locust's `RequestStats.log_request` counts one request at a time. Here a whole second's worth goes
in as one `StatsEntry`, which the tables add to what they have, as they do with the reports of
workers. The result is the same, to the request.
"""

from collections.abc import Mapping
from typing import Final

from locust import stats as locust_stats
from locust.stats import RequestStats, StatsEntry, StatsError

from loadgen.locust.request_counts import NameAndSecond, Requests
from loadgen.net.clock import wall_ns
from loadgen.units import ns_to_seconds

METHOD: Final = "TCP"
"""What Locust lists as the type of the requests."""

NS_PER_MS: Final = 1e6


def merge(tables: RequestStats, requests: Mapping[NameAndSecond, Requests]) -> None:
    """Add ``requests`` to Locust's ``tables``."""
    for (name, second), group in requests.items():
        entry = _entry(tables, name, second, group)
        # Looked up each time: clearing the tables replaces what is in them.
        tables.entries[name, METHOD].extend(entry)
        tables.total.extend(entry)
        for text, count in group.failures.items():
            _count_error(tables, name, text, count, second)


def merge_bytes(tables: RequestStats, requests: Mapping[NameAndSecond, Requests]) -> None:
    """Add only the bytes of ``requests``: somebody else has counted the rest."""
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
    # Locust declares whole milliseconds, and computes with fractions all the same.
    entry.total_response_time = latency.sum_ns / NS_PER_MS  # type: ignore[assignment]
    if latency.count:
        entry.min_response_time = latency.min_ns / NS_PER_MS  # type: ignore[assignment]
        entry.max_response_time = latency.max_ns / NS_PER_MS  # type: ignore[assignment]
    # Looked up each time: a locustfile may put in a function of its own.
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
    """Return the end of ``second``, or now if that is sooner."""
    return min(ns_to_seconds(wall_ns()), second + 0.999)
