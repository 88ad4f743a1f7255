"""The durations that a check can set a limit to, and when they are in doubt."""

from dataclasses import dataclass
from typing import Final

from loadgen.analysis import censoring
from loadgen.analysis.metrics import Threshold, because
from loadgen.analysis.verdict import judging
from loadgen.plan import Plan
from loadgen.results.distribution import Distribution
from loadgen.results.instruments import DelayedRecord
from loadgen.results.record import RunRecord
from loadgen.results.verdict import Health
from loadgen.units import format_count, format_duration_ns

KINDS: Final = {
    "service": "service_time_ns",
    "response": "response_time_ns",
    "schedule_lag": "schedule_lag_ns",
    "blocked": "blocked_ns",
    "generator_lag": "generator_lag_ns",
    "receive_lag": "receive_lag_ns",
    "user_space": "user_space_latency_ns",
    "first_byte": "first_byte_ns",
    "connect": "connect_latency_ns",
}
_OF_REPLIES: Final = ("service", "response", "receive_lag", "user_space", "first_byte")
_OF_THE_SCHEDULE: Final = ("response", "schedule_lag", "blocked")
_PERCENT_NEEDED: Final[dict[str | float, float]] = {"min": 0.0, "mean": 99.0, "max": 100.0}
_UNTIL_READ: Final = ("service", "response")
_ONE_WAY: Final = "the load is one way (--reply none): there are no replies to be timed"
_UNSCHEDULED: Final = "in a closed loop no message has an intended time: ask for a --rate"
_DELAYED_ADVICE: Final = "give the generator a core of its own, or run for longer (--duration)"
_CENSORED: Final = ("service", "response", "user_space")


@dataclass(frozen=True, slots=True)
class TimeMetric:
    """A statistic of one of the durations of a record, in nanoseconds.

    kind: a name such as ``service``; statistic: ``min``, ``mean``, ``max`` or a percentile.
    """

    kind: str
    statistic: str | float

    def _distribution(self, record: RunRecord) -> Distribution | None:
        found: Distribution | None = getattr(record, KINDS[self.kind])
        return found

    def measure(self, record: RunRecord) -> float | None:
        """Return the nanoseconds; None if nothing was measured."""
        found = self._distribution(record)
        return None if found is None else self._of(found)

    def _of(self, found: Distribution) -> float | None:
        if not isinstance(self.statistic, str):
            return found.percentile(self.statistic)
        value: float | None = getattr(found, self.statistic)
        return value

    def in_words(self, record: RunRecord) -> str:
        """Return the duration in words."""
        return format_duration_ns(self.measure(record) or 0)

    def doubt(self, limit: Threshold, record: RunRecord, judged: Health) -> str:
        """Return why the time is missing, is not the server's, or rests on too few values."""
        return (
            self._why_absent(record)
            or self._why_not_the_servers(record, judged)
            or self._why_too_few(record)
            or self._why_delayed(limit, record)
            or ("" if limit.is_settled(self.measure(record) or 0) else self._why_longer(record))
        )

    def absence_in(self, plan: Plan) -> str:
        """Return why no run of ``plan`` has this time; empty if a run may have it."""
        if self.kind in _OF_REPLIES and plan.reply == "none":
            return _ONE_WAY
        if self.kind in (*_OF_THE_SCHEDULE, "generator_lag") and plan.profile() is None:
            return _UNSCHEDULED
        return ""

    def why_missing(self, record: RunRecord) -> str:
        """Return why the time is missing, has too few values, or is unknown; empty if known."""
        return (
            self._why_absent(record)
            or self._why_too_few(record)
            or self.why_unanswered(record)
            or self._pauses(record)
        )

    def _why_absent(self, record: RunRecord) -> str:
        found = self._distribution(record)
        if self.kind in _OF_REPLIES and record.plan.is_one_way:
            return _ONE_WAY
        if found is None and self.kind == "receive_lag":
            return f"there are no timestamps of the kernel: {record.timestamps.reason}"
        if found is None and self.kind == "first_byte":
            return "no reply came in several parts"
        if found is None:
            return _UNSCHEDULED
        return "" if found.count else "nothing was measured"

    def _why_not_the_servers(self, record: RunRecord, judged: Health) -> str:
        if judged.verdict == "inconclusive":
            return because(judged)
        if self.kind in _OF_THE_SCHEDULE and not judging.prints_response_time(judged):
            return because(judged)
        contains_own_queue = self.kind == "user_space" or (
            self.kind in _UNTIL_READ and record.timestamps.mode == "user"
        )
        if contains_own_queue and judged.verdict in ("busy", "generator-bound"):
            return f"it contains the generator's own queue; {because(judged)}"
        return ""

    def _why_too_few(self, record: RunRecord) -> str:
        found = self._distribution(record)
        if found is None or isinstance(self.statistic, str) or found.carries(self.statistic):
            return ""
        advice = "run for longer (--duration)"
        if self.kind == "connect":
            advice = "open more of them (--connections)"
        values = format_count(found.count)
        return f"{values} values are too few for a p{self.statistic:g}; {advice}"

    def _why_delayed(self, limit: Threshold, record: RunRecord) -> str:
        """Return why the outcome depends on messages that pauses of this process delayed.

        The true time of each lies between 0 and what was measured.
        """
        found, delayed = self._distribution(record), record.generator.delayed
        if found is None or delayed is None:
            return ""
        left_out = _left_out_of(self.kind, delayed)
        everything = found if left_out is None else Distribution.of_all((found, left_out))
        count = delayed.reads if left_out is None else left_out.count
        most = self._of(everything) or 0.0
        least = self._least(found, everything.count, count)
        if not count or limit.keeps(least) == limit.keeps(most):
            return ""
        return f"pauses of this process delayed {format_count(count)} messages; {_DELAYED_ADVICE}"

    def _pauses(self, record: RunRecord) -> str:
        """Return why pauses of this process leave the statistic unknown."""
        delayed = record.generator.delayed
        left_out = _left_out_of(self.kind, delayed) if delayed is not None else None
        count = 0 if left_out is None else left_out.count
        if censoring.knows(record, self._percent_needed, 0, count):
            return ""
        return f"pauses of this process delayed {format_count(count)} messages"

    def _least(self, found: Distribution, total: int, delayed: int) -> float:
        """Return the statistic of ``total`` values if ``delayed`` ones of them had been 0."""
        if self.statistic == "min":
            return 0.0
        if self.statistic == "mean":
            largest = delayed - (total - found.count)  # of those that are in it
            return max(0.0, (found.sum - largest * (found.max or 0)) / total)
        percent = 100.0 if self.statistic == "max" else float(self.statistic)
        rank = percent / 100 * total - delayed
        return found.percentile(min(100.0, max(0.0, 100 * rank / found.count))) or 0.0

    def _why_longer(self, record: RunRecord) -> str:
        """Return why the true time may be longer."""
        return self.why_unanswered(record) or self.why_unstamped(record)

    def why_unanswered(self, record: RunRecord) -> str:
        """Return why messages without an answer leave the statistic unknown: they took longer."""
        if self.kind not in _CENSORED:
            return ""
        censored = censoring.unserved if self.kind == "response" else censoring.unanswered
        count = censored(record)
        if censoring.knows(record, self._percent_needed, count):
            return ""
        total = format_count(record.actual.messages + count)
        return f"{format_count(count)} of {total} messages had no answer; they took longer"

    def why_unstamped(self, record: RunRecord) -> str:
        """Return why replies without an arrival time of their own leave the statistic unknown.

        Such replies were read together with a later one, as after a stall: the longest times may be
        among theirs. Empty for most records.
        """
        if self.kind not in _UNTIL_READ:
            return ""
        count = record.timestamps.upper_bounds
        if censoring.knows(record, self._percent_needed, count):
            return ""
        return (
            f"{format_count(count)} replies were read together with a later one, which hides when "
            "they arrived; use fewer messages in flight on a connection"
        )

    @property
    def _percent_needed(self) -> float:
        """The percentile that must be known for the statistic to be."""
        return float(_PERCENT_NEEDED.get(self.statistic, self.statistic))


def _left_out_of(kind: str, delayed: DelayedRecord) -> Distribution | None:
    """Return the times of ``kind`` that pauses kept out; None if they are included."""
    match kind:
        case "service":
            return delayed.service_ns
        case "response":
            return delayed.response_ns
        case "schedule_lag" | "blocked" | "generator_lag":
            return delayed.schedule_lag_ns
        case "connect":
            return Distribution.of_all(())
        case _:
            return None
