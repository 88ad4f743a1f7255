"""The pauses of this process, in which it did not run, and the times of messages that they delayed.

Facts. A message that falls due in a pause is sent late, and those behind it are late until the
schedule has been caught up with; without kernel timestamps, a reply that arrived in a pause seems
late, too. None of that is caused by the server. A reply's arrival by the kernel's clock is not
changed by a pause, with one exception: a pause between reading the clock and sending.

Danger. A server that has fallen behind makes messages late, too, pause or not; a pause of 10 ms
meanwhile explains 10 ms of each wait, and not seconds.

Decision. How much a pause may have added to a time is computed for each message, in bulk: at most
the pauses during its wait, or those before it whose delay the schedule had not caught up with yet.
Where that is more than half of the time, the time says nothing about the server, and is delayed.

Cost. Two searches for a portion of rows that meets no pause; some 0.1 ms for one that does: only
the pauses since the oldest of its rows are examined. The latest `PAUSES_KEPT` are remembered.
"""

from bisect import bisect_left, bisect_right
from typing import Final

import numpy as np

from loadgen.net.clock import NEVER_NS
from loadgen.results.histogram import Integers

PAUSES_KEPT: Final = 4096

LONG_NS: Final = 100_000_000
"""A pause of at least this length shows whether the server ran meanwhile."""

Booleans = np.ndarray[tuple[int], np.dtype[np.bool_]]


class Pauses:
    """The pauses of a process, in the order of time; nanoseconds of the run's clock."""

    def __init__(self) -> None:
        self.total_ns = 0
        self._from_ns: list[int] = []
        self._until_ns: list[int] = []
        self._caught_up_ns: list[int] = []  # messages intended from then on were not delayed by it
        self._answered: list[
            int
        ] = []  # messages in flight when it began that were answered early in it
        self._waiting: list[int] = []  # those that were answered later

    def add(self, from_ns: int, until_ns: int) -> None:
        """Add a pause, which began after the last one ended."""
        self.total_ns += until_ns - from_ns
        for column, value in (
            (self._from_ns, from_ns),
            (self._until_ns, until_ns),
            (self._caught_up_ns, NEVER_NS),
            (self._answered, 0),
            (self._waiting, 0),
        ):
            column.append(value)
            del column[:-PAUSES_KEPT]

    def within_ns(self, from_ns: int, until_ns: int) -> int:
        """Return how much of the time between two moments was pauses."""
        first = bisect_right(self._until_ns, from_ns)
        if first == len(self._until_ns):
            return 0
        return int(self._overlap_ns(np.array([from_ns]), np.array([until_ns]), first)[0])

    # ---- sends ----------------------------------------------------------------------------

    def catch_up(self, intended_ns: Integers, sent_ns: Integers, before_ns: int) -> None:
        """Find when the schedule was caught up with, from its next messages, one at least.

        ``before_ns`` is when the message before them was sent. A message that was not due yet when
        the one before it was sent was not delayed by any other.
        """
        first = bisect_left(self._caught_up_ns, NEVER_NS)
        if first == len(self._caught_up_ns):
            return
        on_time_ns = intended_ns[intended_ns > np.concatenate(((before_ns,), sent_ns[:-1]))]
        places = np.searchsorted(on_time_ns, self._until_ns[first:])
        knpaused_ns = on_time_ns[places[places < on_time_ns.size]].tolist()
        self._caught_up_ns[first : first + len(knpaused_ns)] = knpaused_ns

    def delayed_sends(self, intended_ns: Integers, sent_ns: Integers) -> Booleans | None:
        """Return of which messages more than half of the schedule lag is pauses; None: none."""
        first = bisect_right(self._caught_up_ns, int(intended_ns.min()))
        if first == len(self._caught_up_ns):
            return None
        from_ns, until_ns = self._since(first)
        before_ns = np.concatenate(((0,), np.cumsum(until_ns - from_ns)))
        begun = np.searchsorted(from_ns, sent_ns)
        caught_up = np.searchsorted(self._caught_up_ns[first:], intended_ns, side="right")
        paused_ns = before_ns[begun] - before_ns[np.minimum(caught_up, begun)]
        lag_ns = sent_ns - intended_ns
        delayed: Booleans = (lag_ns > 0) & (2 * paused_ns > lag_ns)
        return delayed

    # ---- replies --------------------------------------------------------------------------

    def delayed_reads(self, sent_ns: Integers, read_ns: Integers) -> Booleans | None:
        """Return of which replies more than half of the time to the read is pauses; None: none."""
        first = bisect_right(self._until_ns, int(sent_ns.min()))
        if first == len(self._until_ns):
            return None
        overlap_ns = self._overlap_ns(sent_ns, read_ns, first)
        delayed: Booleans = 2 * overlap_ns > read_ns - sent_ns
        return delayed

    def delayed_service(self, sent_ns: Integers, arrived_ns: Integers) -> Booleans | None:
        """Return which service times by the kernel's stamps pauses may have delayed; None: none.

        The clock is read before a send: a process that stops between the two adds its pause to the
        service time, which is then about as long. Only one message can be delayed so: one after
        which no other was sent in the first half of its service time. And what was in flight for
        the whole of a pause of `LONG_NS` or more, and for little else, may have met a server that
        was stopped, too.
        """
        first = bisect_right(self._until_ns, int(sent_ns.min()))
        if first == len(self._until_ns):
            return None
        from_ns, until_ns = self._since(first)
        service_ns = arrived_ns - sent_ns
        latest = np.searchsorted(from_ns, sent_ns, side="right") - 1
        length_ns = np.where(latest < 0, 0, (until_ns - from_ns)[latest])
        is_as_long = (2 * service_ns > length_ns) & (service_ns < 2 * length_ns)
        is_send_paused = (sent_ns < until_ns[latest]) & is_as_long
        is_send_paused[is_send_paused] = _idle_after(
            sent_ns, sent_ns[is_send_paused], service_ns[is_send_paused] // 2
        )
        following = np.minimum(latest + 1, from_ns.size - 1)
        length_ns = np.where(from_ns[following] > sent_ns, (until_ns - from_ns)[following], 0)
        outlasted = arrived_ns > from_ns[following] + length_ns // 2
        spans_pause = outlasted & (length_ns >= LONG_NS) & (2 * length_ns > service_ns)
        delayed: Booleans = is_send_paused | spans_pause
        return delayed

    def note_arrivals(self, sent_ns: Integers, arrived_ns: Integers) -> None:
        """Count replies that arrived early and late in pauses: did the server run meanwhile?"""
        first = bisect_right(self._from_ns, int(sent_ns.min()))
        if first == len(self._from_ns):
            return
        from_ns, until_ns = self._since(first)
        following = np.searchsorted(from_ns, sent_ns, side="right")
        starts_ns = np.append(from_ns, NEVER_NS)
        in_flight = starts_ns[following] <= arrived_ns
        following, arrived_ns = following[in_flight], arrived_ns[in_flight]
        # Both may be continued in either order: what arrives towards the end shows nothing.
        is_early = arrived_ns < (from_ns[following] + until_ns[following]) // 2
        for column, is_in in ((self._answered, is_early), (self._waiting, ~is_early)):
            for index, count in zip(*np.unique(following[is_in], return_counts=True), strict=True):
                column[first + index] += int(count)

    def shared_with_server_ns(self, usual_ns: int, since_ns: int) -> int:
        """Return how long the server was paused, too, by the arrivals of `note_arrivals`.

        That is known of pauses of at least `LONG_NS`, if they are also twice as long as the server
        usually takes, ``usual_ns``, and most of what was in flight was answered afterwards only:
        two processes are never stopped at quite the same time. Only those after ``since_ns`` count.
        """
        return sum(
            until_ns - from_ns
            for from_ns, until_ns, answered, waiting in zip(
                self._from_ns, self._until_ns, self._answered, self._waiting, strict=True
            )
            if from_ns >= since_ns
            and until_ns - from_ns >= max(LONG_NS, 2 * usual_ns)
            and waiting > answered
        )

    def _since(self, first: int) -> tuple[Integers, Integers]:
        """Return when the pauses from the one at index ``first`` on began and ended."""
        return np.array(self._from_ns[first:]), np.array(self._until_ns[first:])

    def _overlap_ns(self, from_ns: Integers, until_ns: Integers, first: int) -> Integers:
        """Return how much of each span of time was pauses, of those from index ``first`` on."""
        begun_ns, ended_ns = self._since(first)
        origin_ns = begun_ns[0]  # floats are exact for small numbers
        moments_ns = np.stack((begun_ns, ended_ns), axis=1).ravel() - origin_ns
        sums_ns = np.repeat(np.concatenate(((0,), np.cumsum(ended_ns - begun_ns))), 2)[1:-1]
        before_ns = np.interp(from_ns - origin_ns, moments_ns, sums_ns)
        overlap_ns = np.interp(until_ns - origin_ns, moments_ns, sums_ns) - before_ns
        overlap_whole_ns: Integers = np.rint(overlap_ns).astype(np.int64)
        return overlap_whole_ns


def _idle_after(sent_ns: Integers, from_ns: Integers, for_ns: Integers) -> Booleans:
    """Return after which of the moments ``from_ns`` nothing was sent for ``for_ns``."""
    in_order_ns = np.append(np.sort(sent_ns), NEVER_NS)
    following_ns = in_order_ns[np.searchsorted(in_order_ns, from_ns, side="right")]
    idle: Booleans = following_ns - from_ns >= for_ns
    return idle
