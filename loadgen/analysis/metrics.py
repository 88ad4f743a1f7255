"""The counts and rates that a check can set a limit to, and when they are in doubt."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

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
    """A limit: one of `OPERATORS`, and the value that a figure is compared with."""

    relation: str
    value: float

    def keeps(self, measured: float) -> bool:
        """Return whether ``measured`` keeps the limit."""
        return OPERATORS[self.relation](measured, self.value)

    def is_settled(self, least: float) -> bool:
        """Return whether the outcome is the same for every value from ``least`` on."""
        if self.relation in (">", ">="):
            return self.keeps(least)
        return least >= self.value and not self.keeps(least)


class Metric(Protocol):
    """A figure that a limit can be set to."""

    def measure(self, record: RunRecord) -> float | None:
        """Return the figure; None if there is none."""

    def in_words(self, record: RunRecord) -> str:
        """Return the figure, which must exist, in words."""

    def doubt(self, limit: Threshold, record: RunRecord, judged: Health) -> str:
        """Return why it is unknown whether the figure keeps ``limit``; empty if it is known."""


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """Failures of any phase and cause, except limits of this machine, which are not the server's.

    Failed connects, resets, timeouts, bytes that do not fit and echoes that differ count once
    each, however many messages were lost with the connection; those of the warm-up count, too. So
    does each reply that was a rejection, after the warm-up; and each datagram without a reply in
    time.
    """

    def measure(self, record: RunRecord) -> float | None:
        """Return how many there were."""
        return _errors(record)

    def in_words(self, record: RunRecord) -> str:
        """Return the count in words."""
        return format_count(_errors(record))

    def doubt(self, limit: Threshold, record: RunRecord, judged: Health) -> str:
        """Return why there might have been more errors."""
        return because_unsettled(limit, _errors(record), judged)


@dataclass(frozen=True, slots=True)
class ErrorShare:
    """The failures of `ErrorCount` over all attempts: messages submitted, failed connects and
    handshakes.

    Connections count from the start of the run on, rejected replies from the end of the warm-up on:
    each kind is divided by the attempts of its own time.
    """

    def measure(self, record: RunRecord) -> float | None:
        """Return the share, from 0 to 1; None if nothing was tried."""
        tried = _tried(record)
        if not tried:
            return None
        rejected = record.actual.rejected
        tried_in_load = max(1, tried - record.actual.warmup_messages)
        return min(1.0, (_errors(record) - rejected) / tried + rejected / tried_in_load)

    def why_missing(self, record: RunRecord) -> str:
        """Return why there is no share; empty if there is one."""
        return "" if _tried(record) else "nothing was tried"

    def in_words(self, record: RunRecord) -> str:
        """Return the share, and of how many, in words."""
        share = format_share(self.measure(record) or 0.0)
        warmup = record.actual.warmup_messages
        without = f", {format_count(warmup)} in the warm-up" if warmup else ""
        counts = f"{format_count(_errors(record))} of {format_count(_tried(record))}"
        return f"{share} ({counts}{without})"

    def doubt(self, limit: Threshold, record: RunRecord, judged: Health) -> str:
        """Return why there is no share, or why it might have become higher."""
        share = self.measure(record)
        if share is None:
            return self.why_missing(record)
        return because_unsettled(limit, share, judged)


@dataclass(frozen=True, slots=True)
class MessageRate:
    """A rate of `Actual`: messages answered (one way: sent) within the time of the load, a second.

    ``succeeded_per_s`` leaves rejected ones out.
    """

    of: Literal["messages_per_s", "succeeded_per_s"] = "messages_per_s"

    def measure(self, record: RunRecord) -> float:
        """Return the rate per second."""
        rate_per_s: float = getattr(record.actual, self.of)
        return rate_per_s

    def in_words(self, record: RunRecord) -> str:
        """Return the rate in words."""
        return format_rate(self.measure(record))

    def doubt(self, limit: Threshold, record: RunRecord, judged: Health) -> str:
        """Return why the rate means nothing, or why the server may be able to do more."""
        if judged.verdict == "inconclusive":
            return because(judged)
        if judged.verdict == "generator-bound" and not limit.is_settled(self.measure(record)):
            return f"the server may do more; {because(judged)}"
        return ""


@dataclass(frozen=True, slots=True)
class ConnectionCount:
    """How many connections came up, once at least."""

    def measure(self, record: RunRecord) -> float | None:
        """Return how many."""
        return record.actual.connections

    def in_words(self, record: RunRecord) -> str:
        """Return the count in words."""
        return format_count(record.actual.connections)

    def doubt(self, limit: Threshold, record: RunRecord, judged: Health) -> str:
        """Return what other than the server kept connections from coming up."""
        asked, up = record.requested.connections, record.actual.connections
        if up >= asked or limit.is_settled(up):
            return ""
        if record.outcome == "interrupted":
            return "the run was interrupted"
        local = [
            each for each in record.failures if each.is_local and each.phase in _BEFORE_MESSAGES
        ]
        return local[0].cause.text if local else ""


_BEFORE_MESSAGES: Final = (Phase.CONNECT, Phase.SECURE)
"""The phases of a connection that did not come up, so that none of its messages was tried."""


def _errors(record: RunRecord) -> int:
    in_vain = record.datagrams.in_vain if record.datagrams else 0
    return in_vain + sum(failure.count for failure in record.failures if not failure.is_local)


def _tried(record: RunRecord) -> int:
    not_up = (
        failure.count
        for failure in record.failures
        if failure.phase in _BEFORE_MESSAGES and not failure.is_local
    )
    return record.actual.submitted + sum(not_up)


def because_unsettled(limit: Threshold, measured: float, judged: Health) -> str:
    """Return why a figure that can only grow might break ``limit``; empty if that is settled."""
    is_settled = limit.is_settled(measured)
    return because(judged) if judged.verdict == "inconclusive" and not is_settled else ""


def because(judged: Health) -> str:
    """Return the verdict with its most severe finding."""
    evidence = f": {judged.findings[0].evidence}" if judged.findings else ""
    return f"the run is {judged.verdict}{evidence}"
