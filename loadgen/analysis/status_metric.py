"""The counts and shares of replies by status that a check can set a limit to."""

import re
from dataclasses import dataclass
from typing import Final

from loadgen.analysis.metrics import Threshold, because_unsettled
from loadgen.plan import Plan
from loadgen.results.record import RunRecord
from loadgen.results.verdict import Health
from loadgen.units import format_count, format_share

_PREFIX: Final = "status_"
_FORM: Final = re.compile(r"[2-5]xx|[2-9]\d\d", re.ASCII)
_NO_STATUS: Final = "the replies have no status; those of http:// have"


@dataclass(frozen=True, slots=True)
class StatusMetric:
    """How many replies of the load had a status, ``404``, or one of a class, ``5xx``.

    is_share: whether their share of all replies is meant, from 0 to 1.
    """

    form: str
    is_share: bool

    @staticmethod
    def form_in(name: str) -> str:
        """Return the status or class in the name of a figure, ``status_5xx``; empty without one.

        Raises ValueError for one that no reply has: interim responses (1xx) are none.
        """
        if not name.startswith(_PREFIX):
            return ""
        form = name.removeprefix(_PREFIX)
        if not _FORM.fullmatch(form):
            raise ValueError(
                "write a class, status_2xx to status_5xx, or a status, from status_200"
            )
        return form

    def absence_in(self, plan: Plan) -> str:
        """Return why a run of ``plan`` has no such figure; empty if it has."""
        return "" if plan.reply == "http" else _NO_STATUS

    def measure(self, record: RunRecord) -> float | None:
        """Return the count or share; None if no reply has a status."""
        if record.statuses is None:
            return None
        count = record.statuses.count_of(self.form)
        return count / max(record.statuses.count, 1) if self.is_share else count

    def in_words(self, record: RunRecord) -> str:
        """Return it in words."""
        statuses = record.statuses
        if statuses is None:
            return ""
        count = format_count(statuses.count_of(self.form))
        share = format_share(self.measure(record) or 0)
        return f"{share} ({count} of {format_count(statuses.count)})" if self.is_share else count

    def doubt(self, limit: Threshold, record: RunRecord, judged: Health) -> str:
        """Return why there is no such figure, or why it might have been another."""
        measured = self.measure(record)
        if measured is None:
            return _NO_STATUS
        return because_unsettled(limit, measured, judged)
