"""When this process did not run, and which times of messages that has gone into.

Facts. A message that falls due in a pause is sent late, and those behind it are late until the
schedule has been caught up with; without kernel timestamps, a reply that came in a pause looks
late, too. None of that is the server's doing. A reply's arrival by the kernel's clock knows no
pause, but for one: between reading the clock and sending.

Danger. A server that has fallen behind makes messages late, too, pause or not; a pause of 10 ms in
the midst of it explains 10 ms of each wait, and not seconds.

Decision. What a pause may have added to a time is worked out for each message, in bulk: at most
the pauses that it waited through, or that those before it had not made good yet. Where that is more
than half of the time, the time says nothing of the server, and the message counts as delayed.

Cost. Nothing for a run without pauses; some microseconds for a portion of rows that meets one. The
latest `KEPT` pauses are remembered.
"""

from typing import Final

import numpy as np

from loadgen.core.histogram import Integers
from loadgen.core.timers import NEVER_NS

KEPT: Final = 4096

LONG_NS: Final = 100_000_000
"""A pause of at least this length tells whether the server went on meanwhile."""

Booleans = np.ndarray[tuple[int], np.dtype[np.bool_]]


class Pauses:
    """The pauses of a process, in the order of time; nanoseconds of the run's clock."""

    def __init__(self) -> None:
        self.total_ns = 0
        self._from_ns: list[int] = []
        self._until_ns: list[int] = []
        self._caught_up_ns: list[int] = []  # messages intended from then on were not delayed by it
        self._answered: list[int] = []  # of the messages in flight when it began: answered in it
        self._waiting: list[int] = []  # those answered later

    def add(self, from_ns: int, until_ns: int) -> None:
        """Note a pause; it began after the last one ended."""
        self.total_ns += until_ns - from_ns
        for column, value in (
            (self._from_ns, from_ns),
            (self._until_ns, until_ns),
            (self._caught_up_ns, NEVER_NS),
            (self._answered, 0),
            (self._waiting, 0),
        ):
            column.append(value)
            del column[:-KEPT]

    def within_ns(self, from_ns: int, until_ns: int) -> int:
        """Return how much of the time between two moments was pauses."""
        if not self._until_ns or self._until_ns[-1] <= from_ns:
            return 0
        overlap_ns = self._overlap_ns(np.array([from_ns]), np.array([until_ns]))
        return int(overlap_ns[0])

    # ---- of a schedule --------------------------------------------------------------------

    def catch_up(self, intended_ns: Integers, sent_ns: Integers, before_ns: int) -> None:
        """See from the next messages of a schedule, one at least, when it was caught up with.

        ``before_ns`` is when the message before them was sent. A message that was not due yet when
        the one before it was sent has waited for nobody.
        """
        if not self._caught_up_ns or self._caught_up_ns[-1] != NEVER_NS:
            return
        on_time_ns = intended_ns[intended_ns > np.concatenate(((before_ns,), sent_ns[:-1]))]
        first = self._caught_up_ns.index(NEVER_NS)
        places = np.searchsorted(on_time_ns, self._until_ns[first:])
        known_ns = on_time_ns[places[places < on_time_ns.size]].tolist()
        self._caught_up_ns[first : first + len(known_ns)] = known_ns

    def delay_sends(self, intended_ns: Integers, sent_ns: Integers) -> Booleans | None:
        """Return of which messages more than half of the schedule lag is pauses; or None."""
        if not self._from_ns or int(intended_ns.min()) >= self._caught_up_ns[-1]:
            return None
        before_ns = np.cumsum([0, *np.subtract(self._until_ns, self._from_ns)])
        begun = np.searchsorted(self._from_ns, sent_ns)
        made_good = np.searchsorted(self._caught_up_ns, intended_ns, side="right")
        own_ns = before_ns[begun] - before_ns[np.minimum(made_good, begun)]
        lag_ns = sent_ns - intended_ns
        delayed: Booleans = (lag_ns > 0) & (2 * own_ns > lag_ns)
        return delayed

    # ---- of replies -----------------------------------------------------------------------

    def delay_reads(self, sent_ns: Integers, read_ns: Integers) -> Booleans | None:
        """Return of which replies more than half of the time to the read is pauses; or None."""
        if not self._until_ns or int(sent_ns.min()) >= self._until_ns[-1]:
            return None
        delayed: Booleans = 2 * self._overlap_ns(sent_ns, read_ns) > read_ns - sent_ns
        return delayed

    def hold_up_sends(self, sent_ns: Integers, arrived_ns: Integers) -> Booleans | None:
        """Return which messages may have left after a pause, and not at ``sent_ns``; or None.

        The clock is read before a send; a process that stops between the two adds its pause to the
        service time, which is then about as long as the pause.
        """
        if not self._until_ns or int(sent_ns.min()) >= self._until_ns[-1]:
            return None
        latest = np.searchsorted(self._from_ns, sent_ns, side="right") - 1
        until_ns = np.where(latest < 0, 0, np.take(self._until_ns, latest))
        length_ns = until_ns - np.take(self._from_ns, latest)
        service_ns = arrived_ns - sent_ns
        is_as_long = (2 * service_ns > length_ns) & (service_ns < 2 * length_ns)
        held_up: Booleans = (sent_ns < until_ns) & is_as_long
        return held_up

    def look_at_server(self, sent_ns: Integers, arrived_ns: Integers) -> None:
        """See from replies whether the server went on while this process did not."""
        if not self._until_ns or int(sent_ns.min()) >= self._from_ns[-1]:
            return
        following = np.searchsorted(self._from_ns, sent_ns, side="right")
        starts_ns = np.array([*self._from_ns, NEVER_NS])
        in_flight = starts_ns[following] <= arrived_ns
        following, arrived_ns = following[in_flight], arrived_ns[in_flight]
        from_ns, until_ns = np.take(self._from_ns, following), np.take(self._until_ns, following)
        # Both may be let go on in either order: what comes towards the end tells nothing.
        is_early = arrived_ns < (from_ns + until_ns) // 2
        for column, is_in in ((self._answered, is_early), (self._waiting, ~is_early)):
            for index, count in zip(*np.unique(following[is_in], return_counts=True), strict=True):
                column[index] += int(count)

    def shared_ns(self, usual_ns: int, since_ns: int) -> int:
        """Return how long the server stood still in pauses, too, by what `look_at_server` saw.

        That is known of pauses of at least `LONG_NS`, if they are also four times as long as the
        server usually takes, ``usual_ns``, and most of what was in flight was answered afterwards
        only: two processes are never stopped at quite the same time. Only those after ``since_ns``
        count.
        """
        return sum(
            until_ns - from_ns
            for from_ns, until_ns, answered, waiting in zip(
                self._from_ns, self._until_ns, self._answered, self._waiting, strict=True
            )
            if from_ns >= since_ns
            and until_ns - from_ns >= max(LONG_NS, 4 * usual_ns)
            and waiting > answered
        )

    def _overlap_ns(self, from_ns: Integers, until_ns: Integers) -> Integers:
        """Return how much of each span of time was pauses."""
        origin_ns = self._from_ns[0]  # floats are exact for small numbers
        moments_ns = np.stack((self._from_ns, self._until_ns), axis=1).ravel() - origin_ns
        lengths_ns = np.subtract(self._until_ns, self._from_ns)
        sums_ns = np.repeat(np.cumsum([0, *lengths_ns]), 2)[1:-1]
        before_ns = np.interp(from_ns - origin_ns, moments_ns, sums_ns)
        overlap_ns = np.interp(until_ns - origin_ns, moments_ns, sums_ns) - before_ns
        overlap_whole_ns: Integers = np.rint(overlap_ns).astype(np.int64)
        return overlap_whole_ns
