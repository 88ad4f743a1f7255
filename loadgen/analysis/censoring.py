"""Censored values: messages never answered; and rates that were not reached.

A server that stops answering gives no latencies, and the percentiles of those measured until then
do not show it. A message that was not answered took longer than all that was measured: its value is
censored, in the sense of statistics. With a share s of values censored, the highest s of all values
are unknown, and every percentile below them is known. A percentile that is not known is not
printed, and a check on it does not pass.
"""

from typing import Final

from loadgen.results.record import RunRecord
from loadgen.units import NS_PER_S

TOLERANCE: Final = 0.01
"""By how much the rate and the connections may fall short of what was asked; and the share of
replies without an arrival time, or of the run lost, below which the p99 cannot depend on them."""

_LONG_OPENING: Final = 0.1

FEW_MESSAGES: Final = 10
"""At the end of a run some messages are always overdue; up to this number they show nothing."""


def unanswered(record: RunRecord) -> int:
    """Return how many messages were sent and not answered."""
    actual, books = record.actual, record.datagrams
    if books is not None:  # whose losses in the warm-up are none of the load
        return books.sent - books.answered + books.send_refused
    return actual.submitted - actual.warmup_messages - actual.messages


def unserved(record: RunRecord) -> int:
    """Return how many messages were intended and not answered: those never sent included."""
    return unanswered(record) + (record.actual.overdue or 0)


def knows(record: RunRecord, percent: float, censored: int, delayed: int = 0) -> bool:
    """Return whether that percentile is known although some messages have no value.

    censored: messages never answered; delayed: messages that pauses of this process delayed.
    """
    unknown, total = censored + delayed, record.actual.messages + censored
    return unknown * 100 < (100 - percent) * total or not unknown


def down_share(record: RunRecord) -> float:
    """Return for what share of the connection-time asked for connections were down, from 0 to 1.

    A connection is down while it has failed, or waits in back-off to be opened again; also while
    it opens, if opening takes more than a tenth of the time.
    """
    found = record.actual.connection_time
    if found is None or not found.asked_s:
        return 0.0
    down_s = found.backing_off_s + found.failed_s
    if found.opening_s > _LONG_OPENING * found.asked_s:
        down_s += found.opening_s
    return down_s / found.asked_s


def is_short(reached_per_s: float, asked_per_s: float, duration_s: float) -> bool:
    """Return whether the rate fell short by more than the end of a run explains."""
    short_per_s = asked_per_s - reached_per_s
    return short_per_s > asked_per_s * TOLERANCE and short_per_s * duration_s > FEW_MESSAGES


def falls_behind(record: RunRecord) -> bool:
    """Return whether answers fall behind what is sent, so that ever more is in flight.

    In a steady state the messages in flight at the end of a load of D seconds are a share of S / D
    of all, with a service time of S. If messages pile up evenly, they are about twice that, with
    the median for S.
    """
    actual, service = record.actual, record.service_time_ns
    if record.plan.is_one_way or service.p50 is None or not actual.duration_s:
        return False
    steady = 1.5 * service.p50 / NS_PER_S / actual.duration_s
    expected_per_s = actual.submitted_per_s * (1 - steady)
    ended_per_s = actual.messages_per_s
    if record.datagrams is not None:  # a message that was lost is not in flight any more
        ended_per_s += record.datagrams.in_vain / actual.duration_s
    return is_short(ended_per_s, expected_per_s, actual.duration_s)
