"""Checks: limits that a run must keep, such as ``service_p99<=5ms``, and their outcomes.

A check passes or fails only where its figure is meaningful; otherwise it is inconclusive, and the
result says why:

- The figure is missing, or has too few values for that percentile (`Distribution.carries`).
- The verdict is inconclusive: so is every check of a time or a rate. Counts can only grow:
  ``errors`` that break a limit, and connections that came up, remain decided.
- The verdict is generator-bound: response time, schedule lag and blocked time are those of the
  generator's own queue. ``messages_per_s`` and ``succeeded_per_s`` are lower bounds of what the
  server can do, so only an outcome that a higher rate would not change is decided.
- The verdict is generator-bound or busy: user-space latency contains the generator's own queue;
  without kernel timestamps, service time and response time do, too.
"""

import difflib
import math
import re
from dataclasses import dataclass
from typing import Final

from loadgen.analysis.datagram_metric import DATAGRAM_FATES, DatagramCount
from loadgen.analysis.metrics import (
    ConnectionCount,
    ErrorCount,
    ErrorShare,
    MessageRate,
    Metric,
    Threshold,
)
from loadgen.analysis.status_metric import StatusMetric
from loadgen.analysis.time_metric import KINDS, TimeMetric
from loadgen.analysis.verdict import judging
from loadgen.errors import UsageError
from loadgen.plan import Plan
from loadgen.results.record import RunRecord
from loadgen.results.verdict import CheckResult
from loadgen.units import (
    DURATION_FORM,
    NS_PER_S,
    NUMBER,
    parse_count,
    parse_duration_s,
    parse_rate_per_s,
)

CHECK_FORM: Final = (
    "write FIGURE OP LIMIT such as service_p99<=5ms, errors<0.1% or messages_per_s>=50k, where OP "
    "is one of < <= > >= =="
)
ERRORS_FORM: Final = "write a count such as 5, or a share from 0% to 100% such as 0.1%"

_FORM: Final = re.compile(r"([\w.]+)\s*(<=|>=|==|<|>)\s*([^<>=\s].*)", re.ASCII)
_SHARE: Final = re.compile(NUMBER + r"\s*%", re.ASCII)
_PERCENTILE: Final = re.compile(r"p(?:(\d{1,2}(?:\.\d+)?)|99(\d+))", re.ASCII)

_STATISTICS: Final = ("min", "mean", "p50", "p90", "p99", "p999", "max")
_NAMES: Final = (
    *(f"{kind}_{statistic}" for kind in KINDS for statistic in _STATISTICS),
    *("errors", "status_5xx", "messages_per_s", "succeeded_per_s", "connections"),
    *DATAGRAM_FATES,
)
FIGURES: Final = (
    f"figures are {', '.join(KINDS)}, each with _min, _mean, _max or a percentile such as _p50 or "
    "_p99.9; and errors, status_5xx or such as status_404, messages_per_s, succeeded_per_s, "
    "connections; with udp:// lost, late, duplicates, reordered"
)


@dataclass(frozen=True, slots=True)
class Check:
    """A limit that a figure must keep. ``text`` is what the user wrote."""

    text: str
    figure: Metric
    limit: Threshold

    def compare(self, measured: float) -> bool:
        """Return whether ``measured``, in the unit of the figure, keeps the limit."""
        return self.limit.keeps(measured)


def parse(text: str, option: str = "--check") -> Check:
    """Return the check that ``text`` means: ``FIGURE OP LIMIT``, spaces allowed.

    Figures are ``service_``, ``response_``, ``schedule_lag_``, ``blocked_``, ``generator_lag_``,
    ``receive_lag_``, ``user_space_``, ``first_byte_`` (of replies in parts) and ``connect_`` with
    min, mean, max or a percentile (``p50``, ``p99.9`` or ``p999``), whose limits are durations;
    ``errors``, a count or a share; ``status_5xx`` or such as ``status_404``, the same of replies by
    status; ``messages_per_s``; ``succeeded_per_s``, without those rejected; ``connections``;
    of datagrams ``lost``, ``late``, ``duplicates`` and ``reordered``, counts or shares.

    Raises UsageError, which names ``option``.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise UsageError.of(option, text, CHECK_FORM)
    name, relation, limit = match.groups()
    try:
        figure, value = _figure_and_limit(name.lower(), limit.strip())
    except ValueError as error:
        raise UsageError.of(option, text, str(error)) from None
    return Check(text.strip(), figure, Threshold(relation, value))


def parse_for(plan: Plan, text: str) -> Check:
    """Return the check that ``text`` means. Raises UsageError if ``plan`` cannot decide it, too."""
    parsed = parse(text)
    if isinstance(parsed.figure, TimeMetric | StatusMetric | DatagramCount):
        reason = parsed.figure.absence_in(plan)
        if reason:
            raise UsageError.of("--check", text, reason)
    return parsed


def parse_all(text: str, option: str = "--check") -> tuple[Check, ...]:
    """Return the checks that ``text`` means, separated by commas. Raises UsageError."""
    return tuple(parse(item, option) for item in text.split(","))


def check(record: RunRecord, text: str) -> CheckResult:
    """Return the outcome in ``record`` of the check that ``text`` means. Raises UsageError."""
    return evaluate(parse(text), record)


def evaluate(check: Check, record: RunRecord) -> CheckResult:
    """Return the outcome of ``check`` in ``record``, which is judged if it has no verdict."""
    judged = record.health or judging.judge(record)
    measured = check.figure.measure(record)
    doubt = check.figure.doubt(check.limit, record, judged)
    passes = measured is not None and check.compare(measured)
    return CheckResult(
        check=check.text,
        outcome="inconclusive" if doubt else "passed" if passes else "failed",
        measured=None if measured is None else check.figure.in_words(record),
        reason=doubt,
    )


def _figure_and_limit(name: str, limit: str) -> tuple[Metric, float]:
    """Return the figure and its limit, in its unit. Raises ValueError with what is accepted."""
    status = StatusMetric.form_in(name)
    if status:
        is_share, value = _count_or_share(limit)
        return StatusMetric(status, is_share), value
    match name:
        case "errors":
            is_share, value = _count_or_share(limit)
            return ErrorShare() if is_share else ErrorCount(), value
        case "lost" | "late" | "duplicates" | "reordered":
            is_share, value = _count_or_share(limit)
            return DatagramCount(name, is_share), value
        case "messages_per_s" | "succeeded_per_s":
            return MessageRate(name), parse_rate_per_s(limit)
        case "connections":
            return ConnectionCount(), parse_count(limit)
        case _:
            figure, seconds = _time(name), parse_duration_s(limit)
            if not math.isfinite(seconds):
                raise ValueError(DURATION_FORM)
            return figure, round(seconds * NS_PER_S)


def _count_or_share(limit: str) -> tuple[bool, float]:
    """Return whether ``limit`` is a share, and its value. Raises ValueError."""
    share = _SHARE.fullmatch(limit)
    if share is not None and float(share[1]) <= 100:
        return True, float(share[1]) / 100
    try:
        return False, parse_count(limit)
    except ValueError:
        raise ValueError(ERRORS_FORM) from None


def _time(name: str) -> TimeMetric:
    kind, _, statistic = name.rpartition("_")
    if kind in KINDS:
        if statistic in ("min", "mean", "max"):
            return TimeMetric(kind, statistic)
        match = _PERCENTILE.fullmatch(statistic)
        if match is not None:
            percent = float(match[1] or f"99.{match[2]}")
            if percent > 0:
                return TimeMetric(kind, percent)
    close = difflib.get_close_matches(name, _NAMES, n=1, cutoff=0.4)
    suggestion = f"; did you mean {close[0]}?" if close else ""
    raise ValueError(f"no figure is called {name}{suggestion} ({FIGURES})")
