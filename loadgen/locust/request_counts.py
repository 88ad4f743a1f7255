"""What has come back, by request name and second of the wall clock, as Locust's tables want it.

Cost. A flush of 2048 replies costs one histogram for each name and second that is in it, some
50 µs; `locust.stats` would take 1.5 µs for each reply.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from loadgen.engine.fast_path import (
    CONNECTION,
    INTENDED_NS,
    READ_NS,
    REPLIES,
    SENT_NS,
    Row,
)
from loadgen.engine.recorder import Recorder, arrivals
from loadgen.net.clock import WallClock
from loadgen.results.histogram import Histogram, Integers
from loadgen.units import NS_PER_S

CONNECT: Final = "connect"
"""The name under which Locust lists what went wrong while no message was under way."""


@dataclass(slots=True)
class Requests:
    """Requests of one name: their latencies, the bytes of their replies, failures by their text.

    untimed: those that were sent, and to which there is no reply.
    """

    latency: Histogram = field(default_factory=Histogram)
    untimed: int = 0
    reply_bytes: int = 0
    failures: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def merge(self, other: "Requests") -> None:
        """Add what ``other`` has counted."""
        self.latency.merge(other.latency)
        self.untimed += other.untimed
        self.reply_bytes += other.reply_bytes
        for text, count in other.failures.items():
            self.failures[text] += count


NameAndSecond = tuple[str, int]


class Listener(Protocol):
    """Hears of every request, beside the counts."""

    def add(self, name: str, latency_ns: Integers, replies: Integers) -> None:
        """Hear of replies to requests of ``name``."""

    def add_others(self, name: str, text: str, count: int) -> None:
        """Hear of requests without a response time: failed with ``text``, or one way if empty."""


class RequestCounts:
    """Counts requests by name, in full and for each second since the last `take`."""

    def __init__(self) -> None:
        self.listener: Listener | None = None
        self.by_name: dict[str, Requests] = defaultdict(Requests)
        self._pending: dict[NameAndSecond, Requests] = defaultdict(Requests)

    def add(self, name: str, latency_ns: Integers, replies: Integers, seconds: Integers) -> None:
        """Count replies to requests of ``name``, that came in those seconds."""
        if self.listener is not None:
            self.listener.add(name, latency_ns, replies)
        for second in np.unique(seconds).tolist():
            at_once = seconds == second
            requests = self._pending[name, second]
            requests.latency.record(latency_ns[at_once], replies[at_once])

    def add_untimed(self, name: str, second: int, count: int) -> None:
        """Count requests of ``name`` to which there is no reply."""
        if not count:
            return
        self._pending[name, second].untimed += count
        if self.listener is not None:
            self.listener.add_others(name, "", count)

    def add_bytes(self, name: str, second: int, reply_bytes: int) -> None:
        """Count bytes of replies to requests of ``name``."""
        if reply_bytes:
            self._pending[name, second].reply_bytes += reply_bytes

    def fail(self, name: str, second: int, text: str, count: int = 1) -> None:
        """Count requests of ``name`` that failed."""
        self._pending[name, second].failures[text] += count
        if self.listener is not None:
            self.listener.add_others(name, text, count)

    def take(self) -> dict[NameAndSecond, Requests]:
        """Return what has come since the last call."""
        taken = dict(self._pending)
        self._pending.clear()
        for (name, _), requests in taken.items():
            self.by_name[name].merge(requests)
        return taken

    def forget(self) -> None:
        """Begin anew: what has come so far was a warm-up."""
        self._pending.clear()
        self.by_name.clear()


class CountingRecorder(Recorder):
    """A Recorder that tells a tally of every reply, by the name of the request.

    name: of the requests. wall_offset_ns: what makes a time of the run's clock one of the day.

    A reply's latency is counted until the kernel took it in, where it has said when, and until it
    was read where not; from the intended time on where there is one, from sending otherwise. So
    each reply has one, and Locust's counts are whole.
    """

    def __init__(self, name: str, wall_offset_ns: int, wall_clock: WallClock | None) -> None:
        super().__init__(0, wall_clock)
        self.tally = RequestCounts()
        self.name_by_owner: dict[int, str] = {}
        """What is in flight on each connection, by index, where requests have their own names."""
        self.reply_bytes: int | None = None
        """How long each reply is, where they are all the same."""
        self._name = name
        self._wall_offset_ns = wall_offset_ns

    def name_of(self, owner: int) -> str:
        """Return the name of what is in flight on the connection of that index."""
        return self.name_by_owner.get(owner, self._name)

    def second_of(self, at_ns: int) -> int:
        """Return the second of the wall clock in which ``at_ns`` lies."""
        return (at_ns + self._wall_offset_ns) // NS_PER_S

    def _flush_rows(self, rows: Integers) -> None:
        latency_ns = np.maximum(self._arrived_ns(rows) - self._began_ns(rows), 0)
        seconds = (rows[READ_NS] + self._wall_offset_ns) // NS_PER_S
        self._tell(latency_ns, rows[REPLIES], seconds)
        super()._flush_rows(rows)

    def _tell(self, latency_ns: Integers, replies: Integers, seconds: Integers) -> None:
        self.tally.add(self._name, latency_ns, replies, seconds)
        if self.reply_bytes is not None:
            self.tally.add_bytes(
                self._name, int(seconds[-1]), self.reply_bytes * int(replies.sum())
            )

    def _arrived_ns(self, rows: Integers) -> Integers:
        read_ns: Integers = rows[READ_NS]
        if self._wall_clock is None:
            return read_ns
        arrived_ns, is_known = arrivals(rows, self._wall_clock.offset_ns)
        return np.where(is_known, arrived_ns, read_ns)

    def _began_ns(self, rows: Integers) -> Integers:
        began_ns: Integers = np.where(rows[INTENDED_NS] > 0, rows[INTENDED_NS], rows[SENT_NS])
        return began_ns


class NamingRecorder(CountingRecorder):
    """A TallyingRecorder for connections whose requests have names of their own, one at a time."""

    def __init__(self, name: str, wall_offset_ns: int, wall_clock: WallClock | None) -> None:
        super().__init__(name, wall_offset_ns, wall_clock)
        self.record = self._record_named
        self._row_names: list[str] = []

    def _record_named(self, row: Row) -> None:
        self._rows.extend(row)
        self._row_names.append(self.name_by_owner[row[CONNECTION]])

    def _tell(self, latency_ns: Integers, replies: Integers, seconds: Integers) -> None:
        names = np.array(self._row_names)
        self._row_names.clear()
        for name in np.unique(names).tolist():
            mine = names == name
            self.tally.add(name, latency_ns[mine], replies[mine], seconds[mine])
