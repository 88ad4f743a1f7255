"""The table of verdict rules, and how a rule is added.

A rule is a function that takes a RunRecord and yields a `RuleResult` for each finding: the verdict
that the finding supports, and its code, evidence and advice. A rule looks at one thing, and yields
nothing where there is nothing to report.

To add one:

1. Write it in the module of its subject: `run_rules` (what of the load took place),
   `timestamp_rules` (the kernel's timestamps), `pause_rules` (the generator or the machine did not
   run), `generator_rules` (the generator kept up), `worker_rules` (workers of a distributed run),
   `datagram_rules` (what had no reply, and what this machine has dropped).
2. Enter it in `RULES`, or in `RULES_IF_UNREACHABLE` too if it holds for a run without any
   connection.
3. If its code shows that the generator was the limit, add the code to `GENERATOR_LIMIT_CODES`. If
   it can leave a run inconclusive because of the server, add it to `SERVER_CODES`.
4. Test it in tests/analysis/test_verdict.py; docs/measuring.md says what each verdict rests on.

The order of severity is `loadgen.results.verdict.SEVERITY`; `judging` applies it.
"""

from collections.abc import Callable
from typing import Final

from loadgen.analysis.verdict import (
    datagram_rules,
    generator_rules,
    pause_rules,
    run_rules,
    timestamp_rules,
    worker_rules,
)
from loadgen.analysis.verdict.rule_result import RuleResults
from loadgen.results.record import RunRecord

Rule = Callable[[RunRecord], RuleResults]

RULES_IF_UNREACHABLE: Final[tuple[Rule, ...]] = (
    run_rules.outcome,
    run_rules.local_errors,
)
"""The rules for a run in which no connection came up."""

RULES: Final[tuple[Rule, ...]] = (
    *RULES_IF_UNREACHABLE,
    worker_rules.workers,
    run_rules.connections,
    run_rules.downtime,
    run_rules.rejected,
    run_rules.sample_size,
    timestamp_rules.clock_steps,
    timestamp_rules.arrival_times,
    run_rules.unanswered,
    datagram_rules.local_drops,
    datagram_rules.lost,
    generator_rules.offered_rate,
    generator_rules.saturation,
    generator_rules.receive_lag,
    generator_rules.generator_lag,
    pause_rules.pauses,
    pause_rules.shared_pauses,
    pause_rules.throttling,
    pause_rules.suspension,
    generator_rules.handshakes,
    generator_rules.bursts,
    generator_rules.user_space,
)
"""The rules for all other runs. Findings that support the same verdict are shown in this order."""

GENERATOR_LIMIT_CODES: Final = frozenset(
    {"generator-saturated", "replies-queued", "sends-late", "rate-missed", "local-drops"}
)
"""Codes of findings which show that the generator was the limit."""

SERVER_CODES: Final = frozenset(
    {
        *("unreachable", "lost", "too-few-replies", "mostly-rejected"),
        *("connections-missing", "connections-down", "backing-off"),
    }
)
"""Codes of findings that leave a run inconclusive and are about the server."""
