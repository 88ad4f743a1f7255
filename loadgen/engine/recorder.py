"""The recorder of a run: rows in the hot path, added up in tallies in bulk.

Facts. To add a latency to a histogram the moment it is known costs more than half a microsecond in
Python. To append six integers to a list, in one call of C code, costs a tenth of that; numpy makes
an array of them and adds it to a histogram for another tenth.

Decision. The hot path leaves one row for each batch of replies, and in an open loop one for each
message sent. `ROWS` of them, few enough to stay in the processor's cache, are added at once to two
tallies: that of the interval, with histograms, and that of the connections, with exact sums and
extremes and a coarse histogram for each. An interval that ends is merged into the run. Whatever is
to be told apart, such as populations or names of requests, is a group; the same arrays go on to
sinks, divided by group (`loadgen.engine.sinks`).

Danger. A stamp is a time of the wall clock, which may be set during a run. What was in flight then
is left out, and counted (`loadgen.net.clock.WallClock`). A stamp that does not lie between sent and
read is counted too, and never becomes a duration. Nor does a time of which more than half is pauses
of this process (`loadgen.engine.pauses`): it is counted as delayed.

Cost. A flush takes some 0.4 ms of the loop's time, once in 2048 replies; a connection costs 1.2 KB.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from loadgen.engine.handshakes import HandshakeTally
from loadgen.engine.pauses import Booleans, Pauses
from loadgen.engine.row_arrays import arrivals, columns, either, filled, unless
from loadgen.engine.rows import (
    COLUMNS,
    GROUP_MASK,
    GROUP_SHIFT,
    INDEX_MASK,
    KIND_SHIFT,
    READ_NS,
    REPLIES,
    SEND_COLUMNS,
    SENT_NS,
    STAMP_NS,
    Bulk,
    RecordParts,
    RecordReplies,
    SendRow,
)
from loadgen.engine.sinks import Replies, Sink, counted
from loadgen.engine.tallies import (
    ConnectionServiceTimes,
    ConnectionTally,
    FailureTally,
    InterSendTally,
    TimesTally,
    count_failure,
)
from loadgen.net.clock import WallClock, WallClockStep
from loadgen.net.failure import Failure
from loadgen.net.timestamps import MISSING, NOT_ASKED, UPPER_BOUND
from loadgen.results.histogram import Histogram, Integers, bucket_of

ROWS: Final = 2048
FLUSH_NS: Final = 100_000_000
"""Rows wait no longer than this, so that a step of the wall clock costs few of them."""

_MOST_IN_A_TURN: Final = 512
"""Rows of replies, or of sends, that are added in one turn at most."""

_PARTS_COLUMNS: Final = 5  # of a `PartsRow`


@dataclass(slots=True)
class MeasuredInterval:
    """What was measured from ``start_ns`` to ``end_ns``.

    failures: of connections. rejected: whole replies that were not what was asked for.
    """

    start_ns: int
    end_ns: int
    times: TimesTally
    failures: int
    rejected: int


class Recorder:
    """Collects one run's connects, sends, replies and failures.

    wall_clock: converts stamps; None where there are none, and the time of reading is taken for
    that of arrival. sinks: take the same replies and failures, apart by group.
    """

    def __init__(
        self,
        connections: int,
        wall_clock: WallClock | None = None,
        sinks: Sequence[Sink] = (),
    ) -> None:
        self.connect = Histogram()
        self.handshakes = HandshakeTally()
        self.times = TimesTally()
        self.failures: dict[Failure, FailureTally] = {}
        """Of connections, from the beginning of the run."""
        self.rejected: dict[Failure, FailureTally] = {}
        """Whole replies that were rejected, on healthy connections, since `begin_measuring`."""
        self.steps: list[WallClockStep] = []
        self.inter_send_times = InterSendTally()
        self.pauses = Pauses()
        self._last_sent_ns = 0
        self.due = 0  # scheduled messages sent that were due since `begin_measuring`
        self._due_from_ns = 0
        self._wall_clock = wall_clock
        self._sinks = tuple(sinks)
        self._interval_tally = TimesTally()
        self._interval_failures = self._interval_rejected = 0
        self._connects: list[int] = []
        self._rows: list[int] = []
        self._sends: list[int] = []
        self._parts: list[int] = []
        self._flushed_ns = 0
        self.record: RecordReplies = self._rows.extend
        """Adds a row of replies. The hot path: a call of C code."""
        self.record_parts: RecordParts = self._parts.extend
        """Adds a row of a reply that was read in several parts."""
        self.record_send: Callable[[SendRow], None] = self._sends.extend
        """Adds a row of a scheduled send."""
        self.bulk = Bulk(ROWS + _MOST_IN_A_TURN)
        """Takes the same rows, of replies and of sends, from C code."""
        # By turn: the length of _rows, the replies of bulk, and polled_before_ns.
        self._polls: list[tuple[int, int, int]] = []
        self._connection_tally = ConnectionTally(connections)

    # ---- rare events ----------------------------------------------------------------------

    def record_connect(self, latency_ns: int) -> None:
        """Note that a connect succeeded."""
        self._connects.append(latency_ns)

    def record_failure(self, failure: Failure, now_ns: int, group: int = 0) -> None:
        """Note that a connection of ``group`` failed."""
        self._interval_failures += 1
        count_failure(self.failures, failure, 1, now_ns)
        for sink in self._sinks:
            sink.fail(group, failure, now_ns)

    def record_rejected(self, failure: Failure, count: int, now_ns: int, group: int = 0) -> None:
        """Note that ``count`` whole replies were rejected; they are in the rows, as all others."""
        self._interval_rejected += count
        count_failure(self.rejected, failure, count, now_ns)
        for sink in self._sinks:
            sink.reject(group, failure, count, now_ns)

    # ---- in bulk --------------------------------------------------------------------------

    def end_turn(self, polled_ns: int, polled_before_ns: int) -> None:
        """Flush the rows if they are many or old; called once in a turn.

        ``polled_ns`` is when the poll of this turn ended, ``polled_before_ns`` when the last one
        before it ended that returned all that was ready: what the turn has read arrived since.
        """
        if self._wall_clock is None:
            ends = len(self._rows) // COLUMNS, self.bulk.replies_filled
            self._polls.append((*ends, polled_before_ns))
        is_old = polled_ns - self._flushed_ns >= FLUSH_NS
        most = max(self.bulk.replies_filled, self.bulk.sends_filled)
        if is_old or most >= ROWS or len(self._rows) + len(self._sends) >= ROWS * COLUMNS:
            self._flushed_ns = polled_ns
            self.flush()

    def flush(self) -> None:
        """Add all rows, and all connects, to the tallies."""
        self.connect.record(self._connects)
        self._connects.clear()
        bulk = self.bulk
        if self._sends or bulk.sends_filled:
            self._flush_sends(self._take_sends())
        if self._parts:
            self._flush_parts(columns(self._parts, _PARTS_COLUMNS))
            self._parts.clear()
        polls = np.array(self._polls, np.int64).reshape(-1, 3).T
        if self._rows:
            rows = columns(self._rows, COLUMNS)
            self._rows.clear()
            self._flush_rows(rows, polls[0], polls[2])
        if bulk.replies_filled:
            rows = filled(bulk.replies, bulk.replies_filled, COLUMNS)
            bulk.replies_filled = 0
            self._flush_rows(rows, polls[1], polls[2])
        self._polls.clear()

    def _take_sends(self) -> Integers:
        """Return the rows of sends, in the order in which they took place."""
        bulk = self.bulk
        sends = filled(bulk.sends, bulk.sends_filled, SEND_COLUMNS)
        bulk.sends_filled = 0
        if self._sends:
            others = columns(self._sends, SEND_COLUMNS)
            self._sends.clear()
            sends = np.concatenate((sends, others), axis=1) if sends.size else others
            sends = sends[:, np.argsort(sends[-1], kind="stable")]
        return sends

    def _flush_rows(self, rows: Integers, ends: Integers, polled_before_ns: Integers) -> None:
        """Add ``rows``, of which each turn has left those up to one of ``ends``."""
        interval = self._interval_tally
        origins, replies, intended_ns, sent_ns, _, read_ns = rows
        interval.user_space.record(read_ns - sent_ns, replies)
        delayed = self.pauses.delayed_reads(sent_ns, read_ns)
        if delayed is not None:
            interval.delayed_reads += int(replies[delayed].sum())
        is_scheduled = intended_ns > 0
        delayed_sends = (
            self.pauses.delayed_sends(intended_ns, sent_ns) if is_scheduled.any() else None
        )
        if self._wall_clock is None:
            self._record_uncertainty(rows, ends, polled_before_ns)
            arrived_ns, timed = read_ns, replies
            delayed_response = either(delayed, delayed_sends)
        else:
            arrived_ns, timed, delayed = self._stamped_arrivals(rows, self._wall_clock)
            delayed_response = delayed_sends
        scheduled = timed * is_scheduled
        in_service, in_response = unless(delayed, timed), unless(delayed_response, scheduled)
        batch = Replies(
            *(origins & INDEX_MASK, replies, intended_ns, sent_ns, arrived_ns, read_ns),
            *(in_service, in_response),
        )
        self._record_times(batch)
        kinds = origins >> KIND_SHIFT
        if kinds.any():
            interval.kinds.add(kinds, batch)
        if delayed is not None:
            interval.delayed_service.record(*counted(batch.service_ns, timed - in_service))
        if delayed_response is not None:
            interval.delayed_response.record(*counted(batch.response_ns, scheduled - in_response))
        if self._sinks:
            for group, portion in batch.by_group(origins >> GROUP_SHIFT & GROUP_MASK):
                for sink in self._sinks:
                    sink.add(group, portion)

    def _record_times(self, batch: Replies) -> None:
        """Add service times and response times of the whole, and those of each connection."""
        interval = self._interval_tally
        indices, service_ns, counts = counted(batch.indices, batch.service_ns, batch.in_service)
        buckets = bucket_of(service_ns)
        interval.service.record(service_ns, counts, buckets)
        self._connection_tally.record(indices, service_ns, counts, buckets)
        if np.count_nonzero(batch.in_response):
            interval.response.record(*counted(batch.response_ns, batch.in_response))

    def _flush_parts(self, parts: Integers) -> None:
        """Add until when the first part, and the last part, of replies in parts had arrived.

        Left out are those of which either is not known, or was delayed by a pause of this process.
        """
        sent_ns, first_stamp_ns, first_read_ns, stamp_ns, read_ns = parts
        if self._wall_clock is None:
            first_ns, whole_ns = first_read_ns, read_ns
            is_known = np.ones(sent_ns.size, bool)
            delayed = self.pauses.delayed_reads(sent_ns, read_ns)
        else:
            offset_ns = self._wall_clock.offset_ns
            first_ns, is_first_known = arrivals((sent_ns, first_stamp_ns, first_read_ns), offset_ns)
            whole_ns, is_known = arrivals((sent_ns, stamp_ns, read_ns), offset_ns)
            is_known &= is_first_known
            delayed = self.pauses.delayed_service(sent_ns, whole_ns)
        if delayed is not None:
            is_known &= ~delayed
        interval = self._interval_tally
        interval.first_part.record((first_ns - sent_ns)[is_known])
        interval.last_part.record((whole_ns - sent_ns)[is_known])

    def _flush_sends(self, sends: Integers) -> None:
        interval, pauses = self._interval_tally, self.pauses
        intended_ns, free_ns, sent_ns = sends
        self.due += int(np.count_nonzero(intended_ns >= self._due_from_ns))
        pauses.catch_up(intended_ns, sent_ns, self._last_sent_ns)
        self._last_sent_ns = int(sent_ns[-1])
        self.inter_send_times.add(sent_ns)
        delayed = pauses.delayed_sends(intended_ns, sent_ns)
        if delayed is not None:
            interval.delayed_lag.record((sent_ns - intended_ns)[delayed])
            intended_ns, free_ns, sent_ns = sends[:, ~delayed]
        lag_ns = np.maximum(sent_ns - intended_ns, 0)
        blocked_ns = np.clip(free_ns - intended_ns, 0, lag_ns)
        interval.schedule_lag.record(lag_ns)
        interval.blocked.record(blocked_ns)
        interval.generator_lag.record(lag_ns - blocked_ns)

    def _record_uncertainty(
        self, rows: Integers, ends: Integers, polled_before_ns: Integers
    ) -> None:
        """Add how much earlier than they were read replies without stamps may have arrived."""
        replies, read_ns = rows[REPLIES], rows[READ_NS]
        polled_before_ns = np.repeat(polled_before_ns, np.diff(ends, prepend=0))
        uncertainty_ns = read_ns[: polled_before_ns.size] - polled_before_ns
        self._interval_tally.read_uncertainty.record(
            uncertainty_ns, replies[: polled_before_ns.size]
        )

    def _stamped_arrivals(
        self, rows: Integers, wall_clock: WallClock
    ) -> tuple[Integers, Integers, Booleans | None]:
        """Return when replies arrived, of how many in each row that is known, and which of these
        pauses may have delayed; the time of reading where it is not known."""
        arrived_ns, is_known = self._known_arrivals(rows, wall_clock)
        sent_ns, read_ns = rows[SENT_NS], rows[READ_NS]
        delayed = None
        if is_known.any():
            known = slice(None) if is_known.all() else is_known  # a view where it can be one
            self._interval_tally.stamped += int(np.count_nonzero(is_known))
            self._interval_tally.receive_lag.record(read_ns[known] - arrived_ns[known])
            self.pauses.note_arrivals(sent_ns[known], arrived_ns[known])
            found = self.pauses.delayed_service(sent_ns[known], arrived_ns[known])
            if found is not None:
                delayed = np.zeros_like(is_known)
                delayed[known] = found
        return np.where(is_known, arrived_ns, read_ns), is_known.astype(np.int64), delayed

    def _known_arrivals(self, rows: Integers, wall_clock: WallClock) -> tuple[Integers, Booleans]:
        """Return the `arrivals`, none of which is known of what was in flight while the wall clock
        was set; count what is not known."""
        offset_ns, step = wall_clock.offset_ns, wall_clock.look()
        if step is not None:
            self.steps.append(step)
        arrived_ns, is_known = arrivals(rows[SENT_NS:], offset_ns)
        if not self.steps:
            self._count_unstamped(rows, is_known)
            return arrived_ns, is_known
        step = self.steps[-1]
        unaffected = (rows[READ_NS] <= step.since_ns) | (rows[SENT_NS] >= step.until_ns)
        self._interval_tally.left_out += int(rows[REPLIES, ~unaffected].sum())
        self._count_unstamped(rows[:, unaffected], is_known[unaffected])
        return arrived_ns, is_known & unaffected

    def _count_unstamped(self, rows: Integers, is_known: Booleans) -> None:
        """Count replies without a time of arrival of their own; a row that ``is_known`` has one."""
        replies, stamp_ns = rows[REPLIES], rows[STAMP_NS]
        if is_known.all() and (replies == 1).all():
            return
        interval = self._interval_tally
        interval.upper_bounds += int((replies[is_known] - 1).sum())
        interval.upper_bounds += int(replies[stamp_ns == UPPER_BOUND].sum())
        interval.missing += int(replies[stamp_ns == MISSING].sum())
        interval.unsampled += int(replies[stamp_ns == NOT_ASKED].sum())
        interval.implausible += int(replies[~is_known & (stamp_ns > 0)].sum())

    # ---- intervals ------------------------------------------------------------------------

    def end_interval(self, start_ns: int, end_ns: int) -> MeasuredInterval:
        """Return what was recorded since the last call, and begin a new interval."""
        self.flush()
        ended = MeasuredInterval(
            *(start_ns, end_ns, self._interval_tally),
            *(self._interval_failures, self._interval_rejected),
        )
        self.times.merge(self._interval_tally)
        self._interval_tally = TimesTally()
        self._interval_failures = self._interval_rejected = 0
        return ended

    def begin_measuring(self, now_ns: int) -> None:
        """Discard the replies of the warm-up, whose last interval has ended."""
        self.times = TimesTally()
        self.rejected = {}
        self.inter_send_times = InterSendTally()
        self.due = 0
        self._due_from_ns = now_ns
        self._connection_tally = ConnectionTally(self._connection_tally.connections)
        for sink in self._sinks:
            sink.begin_measuring()

    def by_connection(self, connections: int = 0) -> ConnectionServiceTimes:
        """Return the service times of each connection, of at least that many."""
        self.flush()
        self._connection_tally.make_room(connections)
        return self._connection_tally.summarise()
