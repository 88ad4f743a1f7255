"""What a record says about its own worth: where its times come from, how the generator fared, what
follows from that. Words only; `loadgen.analysis.verdict.judging` and `loadgen.analysis.checks`
judge.
"""

from typing import Annotated, Final, Literal

import msgspec

from loadgen.quantities import (
    MOST_FINDINGS,
    MOST_KINDS,
    Text,
)

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
"""The verdicts; of several, the first one stands."""

CheckOutcome = Literal["passed", "failed", "inconclusive"]
"""Of a check; inconclusive where the figure is not there, or the verdict makes it meaningless."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that bears on the verdict: its code, what was seen, and what to do about it."""

    code: Text
    evidence: Text
    advice: Text


FindingList = Annotated[list[Finding], msgspec.Meta(max_length=MOST_FINDINGS)]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict, and the findings that it rests on, the weightiest first."""

    verdict: Verdict
    findings: FindingList


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one check, such as ``service_p99<5ms``.

    measured: the figure, in words; null where there is none. reason: why it is inconclusive, or "".
    """

    check: Text
    outcome: CheckOutcome
    measured: Text | None
    reason: Text


Checks = Annotated[list[CheckResult], msgspec.Meta(max_length=MOST_KINDS)]
