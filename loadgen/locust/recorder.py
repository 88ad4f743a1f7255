"""The engine's recorder, which also counts each reply under the name that Locust lists."""

from typing import Final

import numpy as np

from loadgen.engine.recorder import Recorder, arrivals
from loadgen.engine.rows import (
    INTENDED_NS,
    ORIGIN,
    READ_NS,
    REPLIES,
    SENT_NS,
    Row,
)
from loadgen.locust.stats import RequestCounts
from loadgen.net.clock import WallClock
from loadgen.results.histogram import Integers
from loadgen.units import NS_PER_S

CONNECT: Final = "connect"
"""The name under which Locust lists failures of connections with no message in flight."""


class CountingRecorder(Recorder):
    """A Recorder that also counts each reply in ``counts``, by the name of the request.

    name: of the requests. wall_offset_ns: from the run's clock to the wall clock.

    A reply's latency begins at the intended time where there is one, and at the send otherwise. It
    ends at the kernel's receive timestamp where there is one, and at the read otherwise. So each
    reply has one, and Locust's counts are complete.
    """

    def __init__(self, name: str, wall_offset_ns: int, wall_clock: WallClock | None) -> None:
        super().__init__(0, wall_clock)
        self.counts = RequestCounts()
        self.name_by_owner: dict[int, str] = {}
        """The name of the request in flight, by connection index, where requests have names."""
        self.reply_bytes: int | None = None
        """The length of each reply, where all have the same."""
        self._name = name
        self._wall_offset_ns = wall_offset_ns

    def name_of(self, owner: int) -> str:
        """Return the name of the request in flight on the connection of that index."""
        return self.name_by_owner.get(owner, self._name)

    def second_of(self, at_ns: int) -> int:
        """Return the second of the wall clock in which ``at_ns`` lies."""
        return (at_ns + self._wall_offset_ns) // NS_PER_S

    def _flush_rows(self, rows: Integers) -> None:
        latency_ns = np.maximum(self._arrived_ns(rows) - self._began_ns(rows), 0)
        seconds = (rows[READ_NS] + self._wall_offset_ns) // NS_PER_S
        self._count(latency_ns, rows[REPLIES], seconds)
        super()._flush_rows(rows)

    def _count(self, latency_ns: Integers, replies: Integers, seconds: Integers) -> None:
        self.counts.add(self._name, latency_ns, replies, seconds)
        if self.reply_bytes is not None:
            self.counts.add_bytes(
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
    """A CountingRecorder for requests that each have a name, one in flight on a connection."""

    def __init__(self, name: str, wall_offset_ns: int, wall_clock: WallClock | None) -> None:
        super().__init__(name, wall_offset_ns, wall_clock)
        self.record = self._record_named
        self._row_names: list[str] = []

    def _record_named(self, row: Row) -> None:
        self._rows.extend(row)
        self._row_names.append(self.name_by_owner[row[ORIGIN]])

    def _count(self, latency_ns: Integers, replies: Integers, seconds: Integers) -> None:
        names = np.array(self._row_names)
        self._row_names.clear()
        for name in np.unique(names).tolist():
            mine = names == name
            self.counts.add(name, latency_ns[mine], replies[mine], seconds[mine])
