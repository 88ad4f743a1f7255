"""The latest seconds of a run, over all workers, for the charts of the page.

Each second has the rate and one latency. All other times stay packed: to unpack and add up all
times of two minutes takes half a second for two workers.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from loadgen.results.aligned_records import AlignedRecord
from loadgen.results.distribution import Distribution
from loadgen.results.intervals import numbers_of, times_of
from loadgen.results.packed_times import summed
from loadgen.units import NS_PER_S, ns_to_seconds


class Second(NamedTuple):
    """The intervals that began in one second of the wall clock: start, rate and latency."""

    at_s: float
    messages_per_s: float
    latency: Distribution


def seconds(workers: Sequence[AlignedRecord], under_way: Sequence[str] = ()) -> list[Second]:
    """Return the seconds in which intervals of ``workers`` began.

    under_way: the names of workers whose last interval has not ended; it is left out.
    """
    is_open_loop = all(worker.record.response_time_ns is not None for worker in workers)
    kind = "response_time_ns" if is_open_loop else "service_time_ns"
    every = [_columns(worker, worker.name in under_way) for worker in workers]
    wall_s, start_ns, end_ns, messages, is_over = map(np.concatenate, zip(*every, strict=True))
    if not is_over.any():
        return []
    known, groups = np.unique(wall_s[is_over], return_inverse=True)
    # Intervals that have not ended are a last group of their own, which is discarded.
    group_of = np.full(wall_s.size, known.size)
    group_of[is_over] = groups
    columns = chain.from_iterable(times_of(worker.record.intervals, kind) for worker in workers)
    latencies = summed(columns, group_of, known.size + 1)
    answered = np.bincount(groups, messages[is_over])
    begin_ns = np.full(known.size, np.iinfo(np.int64).max)
    np.minimum.at(begin_ns, groups, start_ns[is_over])
    finish_ns = np.zeros(known.size, np.int64)
    np.maximum.at(finish_ns, groups, end_ns[is_over])
    return [
        Second(ns_to_seconds(begin), _rate(count, finish - begin), latency)
        for begin, finish, count, latency in zip(
            begin_ns.tolist(), finish_ns.tolist(), answered.tolist(), latencies[:-1], strict=True
        )
    ]


def _rate(messages: float, lasting_ns: int) -> float:
    return messages / ns_to_seconds(lasting_ns) if lasting_ns else 0.0


def _columns(worker: AlignedRecord, is_under_way: bool) -> tuple[Any, ...]:
    """Return the second, start, end and messages of each interval, and whether it has ended."""
    intervals = worker.record.intervals
    starts_s, lasting_s = numbers_of(intervals, "start_s"), numbers_of(intervals, "duration_s")
    own_ns = np.rint(starts_s * NS_PER_S).astype(np.int64)
    end_ns = own_ns + np.rint(lasting_s * NS_PER_S).astype(np.int64)
    is_over = np.arange(own_ns.size) < own_ns.size - is_under_way
    messages = numbers_of(intervals, "messages")
    wall_s = np.array([worker.second_of(at_ns) for at_ns in own_ns.tolist()], np.int64)
    return wall_s, own_ns + worker.offset_ns, end_ns + worker.offset_ns, messages, is_over
