"""The verdict on a run, its findings, and the results of checks, as a record holds them.

`loadgen.analysis.verdict.judging` and `loadgen.analysis.checks` make them.
"""

from typing import Annotated, Final, Literal

import msgspec

from loadgen.quantities import MOST_FINDINGS, MOST_KINDS, Text

Verdict = Literal["valid", "busy", "generator-bound", "server-bound", "inconclusive"]
"""May the numbers be believed?

valid: all of them.
busy: service time and response time; the tail of user-space latency is the generator's own.
generator-bound: service time, for the load that was delivered; the generator was the limit.
server-bound: what was answered; the server did not keep up with what was asked, and the generator
    waited. What was never answered took longer than all that was measured.
inconclusive: something happened that makes it impossible to say; the findings name it.
"""

SEVERITY: Final[tuple[Verdict, ...]] = (
    "inconclusive",
    "generator-bound",
    "server-bound",
    "busy",
    "valid",
)
"""The verdicts, the most severe first; of several, the most severe one counts."""

CheckOutcome = Literal["passed", "failed", "inconclusive"]
"""Of a check; inconclusive if the figure is missing, or the verdict makes it meaningless."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One reason for the verdict: its code, the evidence, and what to do about it."""

    code: Text
    evidence: Text
    advice: Text


FindingList = Annotated[list[Finding], msgspec.Meta(max_length=MOST_FINDINGS)]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict, and the findings that it is based on, the most severe first."""

    verdict: Verdict
    findings: FindingList


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one check, such as ``service_p99<5ms``.

    measured: the figure as text; null if there is none. reason: why it is inconclusive, or "".
    """

    check: Text
    outcome: CheckOutcome
    measured: Text | None
    reason: Text


Checks = Annotated[list[CheckResult], msgspec.Meta(max_length=MOST_KINDS)]
