"""The figures of a record that a limit can be set to, and what keeps each from meaning anything."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from loadgen.net.failure import Phase
from loadgen.results.record import RunRecord
from loadgen.results.verdict import Health
from loadgen.units import format_count, format_rate, format_share

OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


@dataclass(frozen=True, slots=True)
class Threshold:
    """A relation of `OPERATORS`, and the value that a figure is to have it to."""

    relation: str
    value: float

    def keeps(self, measured: float) -> bool:
        """Return whether ``measured`` keeps the limit."""
        return OPERATORS[self.relation](measured, self.value)

    def is_settled(self, least: float) -> bool:
        """Return whether the answer is the same for all that is more than ``least``."""
        if self.relation in (">", ">="):
            return self.keeps(least)
        return least >= self.value and not self.keeps(least)


class Metric(Protocol):
    """Something that a limit can be set to."""

    def measure(self, record: RunRecord) -> float | None:
        """Return the figure, None where there is none."""

    def in_words(self, record: RunRecord) -> str:
        """Return the figure, which must be there, for people."""

    def doubt(self, limit: Threshold, record: RunRecord, judged: Health) -> str:
        """Return why nobody can say whether it keeps ``limit``; empty where one can."""


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """Failures of any phase and cause but this machine's own limits, which say nothing of a server.

    Failed connects, resets, timeouts, bytes that do not fit and echoes that differ count once
    each, however many messages were lost with the connection; those of the warm-up count, too.
    """

    def measure(self, record: RunRecord) -> float | None:
        """Return how many there were."""
        return _errors(record)

    def in_words(self, record: RunRecord) -> str:
        """Return the count for people."""
        return format_count(_errors(record))

    def doubt(self, limit: Threshold, record: RunRecord, judged: Health) -> str:
        """Return why more errors might have come."""
        settled = limit.is_settled(_errors(record))
        return because(judged) if judged.verdict == "inconclusive" and not settled else ""


@dataclass(frozen=True, slots=True)
class ErrorShare:
    """The failures of `ErrorCount` over what was tried: messages submitted, and failed connects."""

    def measure(self, record: RunRecord) -> float | None:
        """Return the share, from 0 to 1; None if nothing was tried."""
        tried = _tried(record)
        return _errors(record) / tried if tried else None

    def why_missing(self, record: RunRecord) -> str:
        """Return why there is no share; empty where there is one."""
        return "" if _tried(record) else "nothing was tried"

    def in_words(self, record: RunRecord) -> str:
        """Return the share, and what it is a share of, for people."""
        errors, tried = _errors(record), _tried(record)
        share = format_share(errors / tried)
        return f"{share} ({format_count(errors)} of {format_count(tried)})"

    def doubt(self, limit: Threshold, record: RunRecord, judged: Health) -> str:
        """Return why there is no share, or why it might have become higher."""
        share = self.measure(record)
        if share is None:
            return self.why_missing(record)
        settled = limit.is_settled(share)
        return because(judged) if judged.verdict == "inconclusive" and not settled else ""


@dataclass(frozen=True, slots=True)
class MessageRate:
    """Messages answered (one way: sent) within the time of the load, per second."""

    def measure(self, record: RunRecord) -> float | None:
        """Return the rate per second."""
        return record.actual.messages_per_s

    def in_words(self, record: RunRecord) -> str:
        """Return the rate for people."""
        return format_rate(record.actual.messages_per_s)

    def doubt(self, limit: Threshold, record: RunRecord, judged: Health) -> str:
        """Return why the rate says nothing, or why the server might do more."""
        if judged.verdict == "inconclusive":
            return because(judged)
        if judged.verdict == "generator-bound" and not limit.is_settled(
            record.actual.messages_per_s
        ):
            return f"the server may do more; {because(judged)}"
        return ""


@dataclass(frozen=True, slots=True)
class ConnectionCount:
    """How many connections came up, once at least."""

    def measure(self, record: RunRecord) -> float | None:
        """Return how many."""
        return record.actual.connections

    def in_words(self, record: RunRecord) -> str:
        """Return the count for people."""
        return format_count(record.actual.connections)

    def doubt(self, limit: Threshold, record: RunRecord, judged: Health) -> str:
        """Return what but the server kept others from coming up."""
        asked, up = record.requested.connections, record.actual.connections
        if up >= asked or limit.is_settled(up):
            return ""
        if record.outcome == "interrupted":
            return "the run was interrupted"
        local = [one for one in record.failures if one.is_local and one.phase is Phase.CONNECT]
        return local[0].cause.text if local else ""


def _errors(record: RunRecord) -> int:
    return sum(failure.count for failure in record.failures if not failure.is_local)


def _tried(record: RunRecord) -> int:
    connects = (
        failure.count
        for failure in record.failures
        if failure.phase is Phase.CONNECT and not failure.is_local
    )
    return record.actual.submitted + sum(connects)


def because(judged: Health) -> str:
    """Return the verdict with the finding that weighs most."""
    evidence = f": {judged.findings[0].evidence}" if judged.findings else ""
    return f"the run is {judged.verdict}{evidence}"
