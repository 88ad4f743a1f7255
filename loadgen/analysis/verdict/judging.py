"""May the numbers be believed? What speaks against them, and one verdict.

Facts. A generator that is at its limit measures itself: its replies wait in its own queue, its
messages leave late, and a wait for the server looks like a wait for the generator. What tells the
two apart is the share of time in which the generator had nothing to do. In 126 runs against servers
that kept a log of their own, from idle to saturation, those that waited for 30 % of their time or
more read half of the replies within 75 µs; below 12 %, half of the replies waited for 0.3 to 42 ms.
Processor time for each message says nothing: it falls as the load rises, from 40 µs to 7.

Danger. An idle generator must not be accused: a bare echo server answers in 15 µs, and a sleeping
process takes 30 µs to wake up. A short run must not be acquitted: without samples there is nothing
to be seen. And a server that stalls holds up the sends as a generator does that stands still.

Decision. Each rule looks at one thing and says which verdict that speaks for; "valid" where it is
worth knowing and costs nothing. The gravest verdict stands, in the order of `SEVERITY`: what is
inconclusive cannot accuse anybody; a generator at its limit cannot accuse the server; and that the
server lags behind matters more than a tail of user-space latency.
"""

from collections.abc import Callable
from typing import Final

from loadgen.analysis.verdict import generator_rules, run_rules, worker_rules
from loadgen.analysis.verdict.run_rules import Remark, Remarks
from loadgen.results.record import RunRecord
from loadgen.results.verdict import SEVERITY, Finding, Health

_GENERATOR_BOUND: Final = frozenset(
    {"generator-saturated", "replies-queued", "sends-late", "rate-missed"}
)
_OF_THE_SERVER: Final = frozenset(
    {
        *("unreachable", "lost", "too-few-replies"),
        *("connections-missing", "connections-down", "backing-off"),
    }
)
"""What leaves a run inconclusive, and is still about the server."""


def judge(record: RunRecord) -> Health:
    """Return the verdict on ``record``, and what it rests on; ``record.health`` is ignored.

    The findings that support the verdict come first, then those that speak for a milder one, then
    those that are only worth knowing.
    """
    remarks = _remarks(record)
    return Health(
        verdict=remarks[0].verdict if remarks else "valid",
        findings=[remark.finding for remark in remarks],
    )


def disturbance(record: RunRecord) -> str:
    """Return why the run says nothing of the server, by no fault of the server; mostly empty."""
    for remark in _remarks(record):
        if remark.verdict == "inconclusive" and remark.finding.code not in _OF_THE_SERVER:
            return remark.finding.evidence
    return ""


def _remarks(record: RunRecord) -> list[Remark]:
    """Return what speaks for a verdict, the gravest first."""
    rules = _UNREACHABLE_RULES if record.outcome == "unreachable" else _RULES
    remarks = [remark for rule in rules for remark in rule(record)]
    return sorted(remarks, key=lambda remark: SEVERITY.index(remark.verdict))


def generator_findings(health: Health) -> list[Finding]:
    """Return what shows that the generator was the limit, also where a graver verdict stands."""
    return [finding for finding in health.findings if finding.code in _GENERATOR_BOUND]


def prints_response_time(health: Health) -> bool:
    """Return whether response time may be shown: not where the generator was the limit."""
    return health.verdict != "generator-bound" and not generator_findings(health)


_UNREACHABLE_RULES: Final[tuple[Callable[[RunRecord], Remarks], ...]] = (
    run_rules.outcome,
    run_rules.local_errors,
)
_RULES: Final = (
    *_UNREACHABLE_RULES,
    worker_rules.remarks,
    run_rules.connections,
    run_rules.downtime,
    run_rules.samples,
    run_rules.clock,
    run_rules.stamps,
    run_rules.silence,
    generator_rules.rate,
    generator_rules.waiting,
    generator_rules.receive_lag,
    generator_rules.generator_lag,
    run_rules.preemption,
    run_rules.shared_pauses,
    run_rules.throttling,
    run_rules.suspension,
    generator_rules.bursts,
    generator_rules.user_space,
)
