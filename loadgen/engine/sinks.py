"""What a recorder hands on: the replies of each flush, apart by group, as columns of numbers.

A sink bins them as it likes: by group, as `GroupTallies` does, or by name and second. It is called
once for each group that a flush has met, and never by the hot path.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from loadgen.net.failure import Failure
from loadgen.results.histogram import Histogram, Integers


class Replies(NamedTuple):
    """Columns of a flush, or of one group in it; an entry for each `loadgen.engine.rows.Row`.

    indices: of the connections. intended_ns: 0 where there was no schedule. arrived_ns: where no
    stamp says when the replies arrived, when they were read. in_service, in_response: how many of
    the ``replies`` count in service time and in response time; not those whose arrival is unknown,
    nor those that were delayed by pauses of this process.
    """

    indices: Integers
    replies: Integers
    intended_ns: Integers
    sent_ns: Integers
    arrived_ns: Integers
    read_ns: Integers
    in_service: Integers
    in_response: Integers

    @property
    def service_ns(self) -> Integers:
        """From the send to the arrival."""
        service_ns: Integers = self.arrived_ns - self.sent_ns
        return service_ns

    @property
    def response_ns(self) -> Integers:
        """From the intended time to the arrival; it means nothing where there was no schedule."""
        response_ns: Integers = np.maximum(self.arrived_ns - self.intended_ns, 0)
        return response_ns

    def by_group(self, groups: Integers) -> Iterator[tuple[int, "Replies"]]:
        """Yield each group and its replies, in their order; ``groups`` has that of each entry."""
        first = groups[0]
        if (groups == first).all():
            yield int(first), self
            return
        order = np.argsort(groups, kind="stable")
        found, starts = np.unique(groups[order], return_index=True)
        parts = np.split(np.array(self)[:, order], starts[1:], axis=1)
        for group, columns in zip(found.tolist(), parts, strict=True):
            yield group, Replies(*columns)


class Sink(Protocol):
    """Takes all that is recorded of each group."""

    def add(self, group: int, replies: Replies) -> None:
        """Take the replies of one flush, one entry at least."""

    def fail(self, group: int, failure: Failure, now_ns: int) -> None:
        """Take the failure of a connection."""

    def reject(self, group: int, failure: Failure, count: int, now_ns: int) -> None:
        """Take that ``count`` replies were rejected, which the next flush has among the others."""

    def begin_measuring(self) -> None:
        """Discard the replies so far: they were a warm-up."""


def counted(*columns: Integers) -> tuple[Integers, ...]:
    """Return ``columns`` without the entries of which the last one, a count, is 0."""
    if np.count_nonzero(columns[-1]) == columns[-1].size:
        return columns
    is_counted = columns[-1] > 0
    return tuple(column[is_counted] for column in columns)


@dataclass(slots=True)
class GroupTally:
    """What is known of one group; the sums over all groups are the figures of the recorder.

    service, response: as in `loadgen.engine.tallies.TimesTally`. replies: all that were read.
    rejected: how many of them were. failures: of connections, from the beginning of the run.
    """

    service: Histogram = field(default_factory=Histogram)
    response: Histogram = field(default_factory=Histogram)
    replies: int = 0
    rejected: int = 0
    failures: int = 0


class GroupTallies:
    """A sink for an engine of several groups, with the tally of each.

    Two histograms for each group in a flush cost some 50 µs.
    """

    def __init__(self) -> None:
        self.by_group: dict[int, GroupTally] = defaultdict(GroupTally)

    def add(self, group: int, replies: Replies) -> None:
        """Add the replies of one flush."""
        tally = self.by_group[group]
        tally.replies += int(replies.replies.sum())
        tally.service.record(*counted(replies.service_ns, replies.in_service))
        tally.response.record(*counted(replies.response_ns, replies.in_response))

    def fail(self, group: int, failure: Failure, now_ns: int) -> None:
        """Count the failure of a connection."""
        self.by_group[group].failures += 1

    def reject(self, group: int, failure: Failure, count: int, now_ns: int) -> None:
        """Count replies that were rejected."""
        self.by_group[group].rejected += count

    def begin_measuring(self) -> None:
        """Discard the replies so far, and keep the failures of connections."""
        for group, tally in self.by_group.items():
            self.by_group[group] = GroupTally(failures=tally.failures)
