"""The figures of a record that a limit can be set to, and what keeps each from meaning anything."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from loadgen import health, shortfall
from loadgen.distribution import Distribution
from loadgen.evidence import Health
from loadgen.failure import Phase
from loadgen.plan import Plan
from loadgen.record import RunRecord
from loadgen.units import format_count, format_duration_ns

OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}
KINDS: Final = {
    "service": "service_time_ns",
    "response": "response_time_ns",
    "schedule_lag": "schedule_lag_ns",
    "blocked": "blocked_ns",
    "generator_lag": "generator_lag_ns",
    "receive_lag": "receive_lag_ns",
    "user_space": "user_space_latency_ns",
    "connect": "connect_latency_ns",
}
_OF_REPLIES: Final = ("service", "response", "receive_lag", "user_space")
_OF_THE_SCHEDULE: Final = ("response", "schedule_lag", "blocked")
_PERCENT_NEEDED: Final[dict[str | float, float]] = {"min": 0.0, "mean": 99.0, "max": 100.0}
_UNTIL_READ: Final = ("service", "response")
_ONE_WAY: Final = "the load is one way (--reply none): there are no replies to be timed"
_UNSCHEDULED: Final = "in a closed loop no message has an intended time: ask for a --rate"
_CENSORED: Final = ("service", "response", "user_space")


@dataclass(frozen=True, slots=True)
class Limit:
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


class Figure(Protocol):
    """Something that a limit can be set to."""

    def measure(self, record: RunRecord) -> float | None:
        """Return the figure, None where there is none."""

    def in_words(self, record: RunRecord) -> str:
        """Return the figure, which must be there, for people."""

    def doubt(self, limit: Limit, record: RunRecord, judged: Health) -> str:
        """Return why nobody can say whether it keeps ``limit``; empty where one can."""


@dataclass(frozen=True, slots=True)
class Time:
    """A statistic of one of the durations of a record, in nanoseconds.

    kind: a name such as ``service``; statistic: ``min``, ``mean``, ``max`` or a percentile.
    """

    kind: str
    statistic: str | float

    def _distribution(self, record: RunRecord) -> Distribution | None:
        found: Distribution | None = getattr(record, KINDS[self.kind])
        return found

    def measure(self, record: RunRecord) -> float | None:
        """Return the nanoseconds, None where nothing was measured."""
        found = self._distribution(record)
        if found is None:
            return None
        if not isinstance(self.statistic, str):
            return found.percentile(self.statistic)
        value: float | None = getattr(found, self.statistic)
        return value

    def in_words(self, record: RunRecord) -> str:
        """Return the duration for people."""
        return format_duration_ns(self.measure(record) or 0)

    def doubt(self, limit: Limit, record: RunRecord, judged: Health) -> str:
        """Return why the time is not there, or not the server's, or the chance of a few values."""
        return (
            self._absence(record)
            or self._disbelief(record, judged)
            or self._scarcity(record)
            or self._censorship(limit, record)
            or self._obscurity(limit, record)
        )

    def absence_in(self, plan: Plan) -> str:
        """Return why no run of ``plan`` has this time; empty where one may have it."""
        if self.kind in _OF_REPLIES and plan.reply == "none":
            return _ONE_WAY
        if self.kind in (*_OF_THE_SCHEDULE, "generator_lag") and plan.profile() is None:
            return _UNSCHEDULED
        return ""

    def why_missing(self, record: RunRecord) -> str:
        """Return why the time is not there, or left to chance; empty where it is worth a look."""
        return self._absence(record) or self._scarcity(record)

    def _absence(self, record: RunRecord) -> str:
        found = self._distribution(record)
        if self.kind in _OF_REPLIES and record.plan.reply == "none":
            return _ONE_WAY
        if found is None and self.kind == "receive_lag":
            return f"there are no timestamps of the kernel: {record.timestamps.reason}"
        if found is None:
            return _UNSCHEDULED
        return "" if found.count else "nothing was measured"

    def _disbelief(self, record: RunRecord, judged: Health) -> str:
        if judged.verdict == "inconclusive":
            return _because(judged)
        if self.kind in _OF_THE_SCHEDULE and not health.prints_response_time(judged):
            return _because(judged)
        holds_our_queue = self.kind == "user_space" or (
            self.kind in _UNTIL_READ and record.timestamps.mode == "user"
        )
        if holds_our_queue and judged.verdict in ("busy", "generator-bound"):
            return f"the generator's own queue is in it; {_because(judged)}"
        return ""

    def _scarcity(self, record: RunRecord) -> str:
        found = self._distribution(record)
        if found is None or isinstance(self.statistic, str) or found.carries(self.statistic):
            return ""
        return (
            f"a p{self.statistic:g} of {format_count(found.count)} values is left to chance; "
            "run for longer (--duration)"
        )

    def _censorship(self, limit: Limit, record: RunRecord) -> str:
        """Doubt what messages without an answer might change: they would only raise it."""
        if self.kind not in _CENSORED or limit.is_settled(self.measure(record) or 0):
            return ""
        censored = shortfall.unserved if self.kind == "response" else shortfall.unanswered
        count = censored(record)
        percent = _PERCENT_NEEDED.get(self.statistic, self.statistic)
        if shortfall.knows(record, float(percent), count):
            return ""
        total = format_count(record.actual.messages + count)
        return f"{format_count(count)} of {total} messages had no answer; they took longer"

    def _obscurity(self, limit: Limit, record: RunRecord) -> str:
        """Doubt what replies without an arrival time of their own might change.

        They were read together with a later one, as after a stall: just the longest may be among
        them.
        """
        if self.kind not in _UNTIL_READ or limit.is_settled(self.measure(record) or 0):
            return ""
        count = record.timestamps.upper_bounds
        percent = _PERCENT_NEEDED.get(self.statistic, self.statistic)
        if shortfall.knows(record, float(percent), count):
            return ""
        return (
            f"{format_count(count)} replies were read together with a later one, which hides when "
            "they came; fewer messages in flight on a connection show it"
        )


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

    def doubt(self, limit: Limit, record: RunRecord, judged: Health) -> str:
        """Return why more errors might have come."""
        settled = limit.is_settled(_errors(record))
        return _because(judged) if judged.verdict == "inconclusive" and not settled else ""


@dataclass(frozen=True, slots=True)
class ErrorShare:
    """The failures of `ErrorCount` over what was tried: messages submitted, and failed connects."""

    def measure(self, record: RunRecord) -> float | None:
        """Return the share, from 0 to 1; None if nothing was tried."""
        tried = _tried(record)
        return _errors(record) / tried if tried else None

    def in_words(self, record: RunRecord) -> str:
        """Return the share, and what it is a share of, for people."""
        errors, tried = _errors(record), _tried(record)
        return f"{100 * errors / tried:.3g} % ({format_count(errors)} of {format_count(tried)})"

    def doubt(self, limit: Limit, record: RunRecord, judged: Health) -> str:
        """Return why there is no share, or why it might have become higher."""
        share = self.measure(record)
        if share is None:
            return "nothing was tried"
        settled = limit.is_settled(share)
        return _because(judged) if judged.verdict == "inconclusive" and not settled else ""


@dataclass(frozen=True, slots=True)
class MessageRate:
    """Messages answered (one way: sent) within the time of the load, per second."""

    def measure(self, record: RunRecord) -> float | None:
        """Return the rate per second."""
        return record.actual.messages_per_s

    def in_words(self, record: RunRecord) -> str:
        """Return the rate for people."""
        rate_per_s = record.actual.messages_per_s
        return f"{format_count(rate_per_s) if rate_per_s >= 100 else f'{rate_per_s:.3g}'}/s"

    def doubt(self, limit: Limit, record: RunRecord, judged: Health) -> str:
        """Return why the rate says nothing, or why the server might do more."""
        if judged.verdict == "inconclusive":
            return _because(judged)
        if judged.verdict == "generator-bound" and not limit.is_settled(
            record.actual.messages_per_s
        ):
            return f"the server may do more; {_because(judged)}"
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

    def doubt(self, limit: Limit, record: RunRecord, judged: Health) -> str:
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


def _because(judged: Health) -> str:
    """Return the verdict with the finding that weighs most."""
    evidence = f": {judged.findings[0].evidence}" if judged.findings else ""
    return f"the run is {judged.verdict}{evidence}"
