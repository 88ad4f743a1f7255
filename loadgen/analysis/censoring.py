"""Less than was asked for: messages that were never answered, and rates that were not reached.

Facts. A server that stops answering gives no latencies; a percentile of those it has given looks
as good as ever. What was not answered took longer than the run lasted, and belongs beyond every
value that was measured: it is censored, as statisticians say.

Decision. With a share of s censored, the highest s of all values are unknown, and every percentile
below them is known and right. Where a percentile is not known it is not printed, and a check on it
is not passed.
"""

from typing import Final

from loadgen.results.record import RunRecord
from loadgen.units import NS_PER_S

TOLERANCE: Final = 0.01
"""How far the rate and the connections may stay behind what was asked; and the share of replies
that may lack an arrival time, or of the run that may be lost, before its p99 can depend on them."""

_LONG_OPENING: Final = 0.1

FEW_MESSAGES: Final = 10
"""The end of a run always finds some messages overdue; up to here they show nothing."""


def unanswered(record: RunRecord) -> int:
    """Return how many messages were sent and not answered."""
    actual = record.actual
    return actual.submitted - actual.warmup_messages - actual.messages


def unserved(record: RunRecord) -> int:
    """Return how many messages were intended and not answered: those never sent included."""
    return unanswered(record) + (record.actual.overdue or 0)


def knows(record: RunRecord, percent: float, censored: int, delayed: int = 0) -> bool:
    """Return whether that percentile is known although some messages have no value.

    censored: those that were never answered; delayed: those that pauses of this process delayed.
    """
    unknown, total = censored + delayed, record.actual.messages + censored
    return unknown * 100 < (100 - percent) * total or not unknown


def down_share(record: RunRecord) -> float:
    """Return for what share of the connection-time asked for connections were down, from 0 to 1.

    Down is: failed, or waiting to be opened again; and where connections take more than a tenth of
    the time to come up, that too.
    """
    found = record.actual.connection_time
    if found is None or not found.asked_s:
        return 0.0
    down_s = found.backing_off_s + found.failed_s
    if found.opening_s > _LONG_OPENING * found.asked_s:
        down_s += found.opening_s
    return down_s / found.asked_s


def is_short(got_per_s: float, asked_per_s: float, duration_s: float) -> bool:
    """Return whether less was got than asked for, by more than the end of a run explains."""
    short_per_s = asked_per_s - got_per_s
    return short_per_s > asked_per_s * TOLERANCE and short_per_s * duration_s > FEW_MESSAGES


def falls_behind(record: RunRecord) -> bool:
    """Return whether answers fall behind what is sent, so that ever more is in flight.

    In a steady state what is in flight at the end of a load of D seconds is a share of S / D of it,
    with a service time of S. Where messages pile up evenly, it is about twice that with the median
    for S.
    """
    actual, service = record.actual, record.service_time_ns
    if record.plan.reply == "none" or service.p50 is None or not actual.duration_s:
        return False
    steady = 1.5 * service.p50 / NS_PER_S / actual.duration_s
    expected_per_s = actual.submitted_per_s * (1 - steady)
    return is_short(actual.messages_per_s, expected_per_s, actual.duration_s)
