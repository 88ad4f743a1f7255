"""Checks of datagrams: how many were lost, late, doubled or overtaken."""

from dataclasses import dataclass
from typing import Final, Literal

from loadgen.analysis.metrics import Threshold, because_unsettled
from loadgen.plan import Plan
from loadgen.results.record import RunRecord
from loadgen.results.verdict import Health
from loadgen.units import format_count, format_share

DatagramFate = Literal["lost", "late", "duplicates", "reordered"]
DATAGRAM_FATES: Final[tuple[DatagramFate, ...]] = ("lost", "late", "duplicates", "reordered")


@dataclass(frozen=True, slots=True)
class DatagramCount:
    """How many datagrams were lost, or late, or the like: a count of `DatagramsRecord`.

    As a share: of those sent; duplicates and reordered ones: of those answered.
    """

    of: DatagramFate
    is_share: bool = False

    def measure(self, record: RunRecord) -> float | None:
        """Return the count, or the share from 0 to 1; None where it is not known."""
        count = self._count(record)
        if count is None or not self.is_share:
            return count
        return count / self._whole(record) if self._whole(record) else None

    def in_words(self, record: RunRecord) -> str:
        """Return it in words."""
        count, share = format_count(self._count(record) or 0), self.measure(record)
        if not self.is_share or share is None:
            return count
        return f"{format_share(share)} ({count} of {format_count(self._whole(record))})"

    def absence_in(self, plan: Plan) -> str:
        """Return why ``plan`` has no such count; empty if it has one."""
        if not plan.is_datagram:
            return "only udp:// has datagrams"
        if self.of in ("duplicates", "reordered") and plan.reply != "sequence":
            return "only the numbers of --reply sequence tell"
        return ""

    def doubt(self, limit: Threshold, record: RunRecord, judged: Health) -> str:
        """Return why there might have been more, or whether the loss was this machine's own."""
        measured = self.measure(record)
        if measured is None:
            return self.absence_in(record.plan) or "no datagram was sent"
        drops = record.datagrams.receive_buffer_errors if record.datagrams else 0
        if self.of == "lost" and drops and not limit.keeps(measured):
            return f"up to {format_count(drops)} of them were dropped by this machine"
        return because_unsettled(limit, measured, judged)

    def _count(self, record: RunRecord) -> int | None:
        return None if record.datagrams is None else getattr(record.datagrams, self.of)

    def _whole(self, record: RunRecord) -> int:
        found = record.datagrams
        if found is None:
            return 0
        return found.sent if self.of in ("lost", "late") else found.answered
