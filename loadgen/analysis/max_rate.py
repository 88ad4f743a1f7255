"""The search for the highest rate that keeps a promise, with the curve of load against latency.

Latency rises slowly with the load, then steeply. One run shows on which side of that rise its rate
is, if it is long enough for the percentile that was promised. The rate is doubled until a step does
not keep the promise, then the gap is halved (geometrically) until it is narrower than `PRECISION`.

A step that came close to a limit may fall on the other side next time. It is repeated, as is one
that is undecided, and the majority counts; without a majority, the step is unclear. Near its own
limit the generator sends late, and the server looks slow; such a step says nothing about the
server, and the result is "at least".

A server that is asked for too much may reject messages, and fast: unless the promise itself limits
the errors, a step with more than `TOLERANCE` of them breaks it.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec

from loadgen.analysis import rejections
from loadgen.analysis.censoring import TOLERANCE
from loadgen.analysis.checks import Check, evaluate
from loadgen.analysis.metrics import ErrorCount, ErrorShare
from loadgen.analysis.verdict.run_rules import ENOUGH_REPLIES
from loadgen.errors import UsageError
from loadgen.files import decoded
from loadgen.files.encoded import as_indented_json
from loadgen.plan import Plan
from loadgen.quantities import Amount, Count, Nanoseconds, Seconds, Text, Texts
from loadgen.results.distribution import VALUES_BEYOND, Distribution
from loadgen.results.instruments import EngineName, TimestampMode
from loadgen.results.record import RunRecord
from loadgen.results.verdict import Checks, Verdict

SCHEMA: Final = "loadgen.find-max/1"

FIRST_RATE_PER_S: Final = 1000.0
PRECISION: Final = 0.05
MOST_STEPS: Final = 40
MOST_TRIES: Final = 3

CLOSE: Final = 0.10
"""A figure within this share of its limit might be on the other side of it next time."""

AMPLE: Final = 4
"""A step has this many times the values that its highest percentile needs."""

SHORTEST_STEP_S: Final = 2.0
LONGEST_STEP_S: Final = 60.0

StepResult = Literal["kept", "broken", "generator", "unclear"]
"""The outcome of a step: promise kept; broken by the server; unknown, since the generator was the
limit; or undecided for another reason."""

LimitedBy = Literal["server", "generator", "unclear", "nothing"]
"""What stopped the search: the server; the generator, so that the server may be able to do more;
steps that remained unclear; or nothing, where the user did."""

_LIMITS: Final[dict[StepResult, LimitedBy]] = {
    "kept": "nothing",
    "broken": "server",
    "generator": "generator",
    "unclear": "unclear",
}

MeasureRate = Callable[[float, float], RunRecord]
"""Carries out one step: from (rate per second, seconds) to its record."""


class LoadStep(msgspec.Struct, frozen=True, kw_only=True):
    """One point of the curve; times in nanoseconds, null if the step has too few values.

    tries: how often it was run; the outcome is that of most tries, the figures are those of the
    last of these. failures: of connections and of replies; rejected: messages of the load.
    """

    rate_per_s: Amount
    duration_s: Seconds
    tries: Count
    outcome: StepResult
    verdict: Verdict
    timestamps: TimestampMode
    messages_per_s: Amount
    in_flight_at_server: Amount | None
    service_p50_ns: Nanoseconds | None
    service_p99_ns: Nanoseconds | None
    response_p50_ns: Nanoseconds | None
    response_p99_ns: Nanoseconds | None
    failures: Count
    checks: Checks
    rejected: Count = 0
    engine: EngineName = "python"
    why_python: Text = ""


class MaxRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="schema", tag=SCHEMA):
    """The result of a search.

    found_per_s: the highest rate asked for that kept the promise; null if none did.
    limited_by: what kept a higher rate from being found.
    steps: in the order in which they were run.
    """

    promise: Texts
    plan: Plan
    target: Text | None
    found_per_s: Amount | None
    limited_by: LimitedBy
    steps: list[LoadStep]

    def to_json(self) -> bytes:
        """Return the record as indented JSON."""
        return as_indented_json(self)


def from_json(text: bytes) -> MaxRecord:
    """Return the record that ``text`` holds. Raises RecordError."""
    return decoded.from_json(text, MaxRecord, f"record of the form {SCHEMA}")


class Search:
    """Searches for the highest rate: `run` does so, ``steps`` is the curve so far.

    promise: the checks that must pass. first_per_s: the rate to begin with, or a higher one if the
    longest step at that rate would be too short for the highest percentile.
    shortest_s: how long a step lasts at least. timestamp_sample: that of the plan.
    """

    def __init__(
        self,
        promise: Sequence[Check],
        first_per_s: float = FIRST_RATE_PER_S,
        shortest_s: float = SHORTEST_STEP_S,
        timestamp_sample: int = 1,
    ) -> None:
        self.steps: list[LoadStep] = []
        self._promise = promise
        self._shortest_s = shortest_s
        self._longest_s = max(shortest_s, LONGEST_STEP_S)
        self._messages_needed = _values_needed(promise) * timestamp_sample
        self._lowest_per_s = max(1.0, self._messages_needed / self._longest_s)
        self._rate_per_s: float | None = max(first_per_s, self._lowest_per_s)
        self._kept_per_s = 0.0
        self._missed_per_s: float | None = None

    def run(
        self,
        measure: MeasureRate,
        should_stop: Callable[[], bool],
        show: Callable[[LoadStep], None],
    ) -> None:
        """Run steps until the result is precise enough, or ``should_stop`` returns true.

        ``show`` is called with each.
        """
        while self._rate_per_s is not None and len(self.steps) < MOST_STEPS:
            step = self._step(measure, self._rate_per_s, should_stop)
            if should_stop():
                return  # the step was cut short, and means nothing
            self.steps.append(step)
            show(step)
            self._rate_per_s = self._next_rate(step)

    @property
    def found_per_s(self) -> float | None:
        """The highest rate that kept the promise so far."""
        return self._kept_per_s or None

    @property
    def limited_by(self) -> LimitedBy:
        """What was the limit at the lowest rate that did not keep the promise."""
        for step in self.steps:
            if step.rate_per_s == self._missed_per_s:
                return _LIMITS[step.outcome]
        return "nothing"

    def duration_s(self, rate_per_s: float) -> float:
        """Return how long a step lasts: enough values beyond the highest percentile promised."""
        needed_s = AMPLE * self._messages_needed / rate_per_s
        return min(max(self._shortest_s, needed_s), self._longest_s)

    # ---- one rate -------------------------------------------------------------------------

    def _step(
        self, measure: MeasureRate, rate_per_s: float, should_stop: Callable[[], bool]
    ) -> LoadStep:
        """Measure at one rate, again if the outcome is not clear; the majority counts."""
        tries: list[LoadStep] = []
        is_settled = False
        while not is_settled and len(tries) < MOST_TRIES and not (tries and should_stop()):
            record = measure(rate_per_s, self.duration_s(rate_per_s))
            tries.append(self._judged(record, rate_per_s))
            outcomes = [each.outcome for each in tries]
            is_clear = outcomes[0] in ("kept", "broken") and not self._is_close(record)
            is_settled = is_clear if len(tries) == 1 else len(set(outcomes)) < len(outcomes)
        common = max(reversed(_LIMITS), key=outcomes.count)  # of equals, the least certain
        last = next(each for each in reversed(tries) if each.outcome == common)
        return msgspec.structs.replace(last, tries=len(tries))

    def _judged(self, record: RunRecord, rate_per_s: float) -> LoadStep:
        results = [evaluate(check, record) for check in self._promise]
        verdict = record.health.verdict if record.health else "inconclusive"
        actual, service, response = record.actual, record.service_time_ns, record.response_time_ns
        return LoadStep(
            rate_per_s=rate_per_s,
            duration_s=actual.duration_s,
            tries=1,
            outcome=_outcome(
                verdict, {result.outcome for result in results}, self._is_rejecting(record)
            ),
            verdict=verdict,
            timestamps=record.timestamps.mode,
            messages_per_s=actual.messages_per_s,
            in_flight_at_server=actual.in_flight_at_server,
            service_p50_ns=_carried(service, 50),
            service_p99_ns=_carried(service, 99),
            response_p50_ns=_carried(response, 50),
            response_p99_ns=_carried(response, 99),
            failures=sum(failure.count for failure in record.failures),
            checks=results,
            rejected=actual.rejected,
            engine=record.engine,
            why_python=record.why_python,
        )

    def _is_rejecting(self, record: RunRecord) -> bool:
        """Return whether the server rejects more than it may."""
        allowed = rejections.MOST if any(map(_counts_errors, self._promise)) else TOLERANCE
        return record.actual.rejected_share > allowed

    def _is_close(self, record: RunRecord) -> bool:
        """Return whether a figure is so close to its limit that the next try may differ."""
        for check in self._promise:
            measured = check.figure.measure(record)
            limit = check.limit.value
            if limit and measured is not None and abs(measured - limit) <= CLOSE * limit:
                return True
        return False

    def _next_rate(self, step: LoadStep) -> float | None:
        """Return the next rate; None if the result is precise enough."""
        if step.outcome == "kept":
            self._kept_per_s = max(self._kept_per_s, step.rate_per_s)
        elif self._missed_per_s is None or step.rate_per_s < self._missed_per_s:
            self._missed_per_s = step.rate_per_s
        if self._missed_per_s is None:
            return 2 * self._kept_per_s
        if not self._kept_per_s:
            lower = self._missed_per_s / 2
            return lower if lower >= self._lowest_per_s else None
        if self._missed_per_s <= self._kept_per_s * (1 + PRECISION):
            return None
        return math.sqrt(self._kept_per_s * self._missed_per_s)


def _values_needed(promise: Sequence[Check]) -> float:
    """Return how many values the highest percentile of ``promise``, and any verdict, needs."""
    statistics = [getattr(check.figure, "statistic", None) for check in promise]
    percents = [each for each in statistics if isinstance(each, float)]
    highest = max((each for each in percents if each < 100), default=0.0)
    return max(ENOUGH_REPLIES, VALUES_BEYOND / (1 - highest / 100))


def _counts_errors(check: Check) -> bool:
    return isinstance(check.figure, ErrorCount | ErrorShare)


def _outcome(verdict: Verdict, outcomes: set[str], is_rejecting: bool) -> StepResult:
    """Return the outcome of a step; a rate that the server did not keep up with breaks it."""
    if verdict == "generator-bound":
        return "generator"
    if "failed" in outcomes or verdict == "server-bound" or is_rejecting:
        return "broken"
    return "unclear" if "inconclusive" in outcomes else "kept"


def _carried(distribution: Distribution | None, percent: float) -> int | None:
    if distribution is None or not distribution.carries(percent):
        return None
    return distribution.percentile(percent)


def plan_of_step(plan: Plan, rate_per_s: float, duration_s: float) -> Plan:
    """Return ``plan`` with the rate and the duration of a step."""
    return msgspec.structs.replace(
        plan, rate=rate_per_s, rate_per_connection=None, duration_s=duration_s
    )


def check_promise(promise: Sequence[Check]) -> None:
    """Raise UsageError for a promise that every rate would keep."""
    for check in promise:
        upper = ("<", "<=", "==") if _counts_errors(check) else ("<", "<=")  # errors==0
        if check.limit.relation not in upper:
            raise UsageError.of("--find-max", check.text, "promise an upper limit, with < or <=")


def check_plan(plan: Plan) -> float:
    """Return the rate per second that the search for ``plan`` begins with.

    Raises UsageError if the plan leaves no rate to search for.
    """
    refused = {"--stages": plan.stages, "--think": plan.think, "--messages": plan.messages}
    for option, value in refused.items():
        if value is not None:
            raise UsageError(f"--find-max chooses the rate itself; it does not go with {option}")
    if plan.is_one_way:
        raise UsageError("--find-max needs replies; it does not go with --reply none")
    profile = plan.profile()
    if profile is None:
        return FIRST_RATE_PER_S
    for option, rate in (("--rate", plan.rate), ("--rate-per-conn", plan.rate_per_connection)):
        if profile.stages and rate is not None:
            raise UsageError.of(option, rate, "with --find-max, give the one to begin with")
    return profile.peak_per_s
