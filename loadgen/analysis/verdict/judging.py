"""May the numbers be believed? One verdict, with the findings that it rests on.

Facts. A generator at its limit measures itself: replies wait in its own queue, messages leave late,
and a wait for the server looks like a wait for the generator. What tells the two apart is the share
of time in which the generator waited for its sockets. In 126 runs against servers that kept a log
of their own, from idle to saturation, generators that waited for 30 % of their time or more read
half of the replies within 75 µs; below 12 %, half of the replies waited for 0.3 to 42 ms. Processor
time per message says nothing: it falls as the load rises, from 40 µs to 7.

Danger. An idle generator must not count as the limit: a bare echo server answers in 15 µs, and a
sleeping process takes 30 µs to wake up. A short run must not count as valid: too few samples show
nothing. And a server that stalls holds up the sends as a paused generator does.

Decision. Each rule looks at one thing and names the verdict that this supports; "valid" where it is
only worth knowing. The most severe verdict stands, in the order of `SEVERITY`: an inconclusive run
shows the limit of neither side; a generator at its limit shows nothing about the server; and a
server that falls behind matters more than a tail of user-space latency.

`loadgen.analysis.verdict.rules` has the table of rules, and says how one is added.
"""

from loadgen.analysis.verdict.rule_result import RuleResult
from loadgen.analysis.verdict.rules import (
    GENERATOR_LIMIT_CODES,
    RULES,
    RULES_IF_UNREACHABLE,
    SERVER_CODES,
)
from loadgen.results.record import RunRecord
from loadgen.results.verdict import SEVERITY, Finding, Health


def judge(record: RunRecord) -> Health:
    """Return the verdict on ``record``, and what it rests on; ``record.health`` is ignored.

    The findings that support the verdict come first, then those that support a milder one, then
    those that are only worth knowing.
    """
    results = _results(record)
    return Health(
        verdict=results[0].verdict if results else "valid",
        findings=[result.finding for result in results],
    )


def disturbance(record: RunRecord) -> str:
    """Return why the run says nothing about the server, for no reason of the server's.

    Empty for most runs.
    """
    for result in _results(record):
        if result.verdict == "inconclusive" and result.finding.code not in SERVER_CODES:
            return result.finding.evidence
    return ""


def _results(record: RunRecord) -> list[RuleResult]:
    """Return what the rules yield, the most severe first."""
    rules = RULES_IF_UNREACHABLE if record.outcome == "unreachable" else RULES
    results = [result for rule in rules for result in rule(record)]
    return sorted(results, key=lambda result: SEVERITY.index(result.verdict))


def generator_findings(health: Health) -> list[Finding]:
    """Return the findings which show that the generator was the limit, whatever the verdict."""
    return [finding for finding in health.findings if finding.code in GENERATOR_LIMIT_CODES]


def prints_response_time(health: Health) -> bool:
    """Return whether response time may be shown: not where the generator was the limit."""
    return health.verdict != "generator-bound" and not generator_findings(health)
