"""What a verdict rule yields: findings, each with the verdict that it supports."""

from collections.abc import Iterator
from typing import NamedTuple

from loadgen.results.verdict import Finding, Verdict


class RuleResult(NamedTuple):
    """A finding, and the verdict that it supports; "valid" where it is only worth knowing."""

    verdict: Verdict
    finding: Finding

    @classmethod
    def of(cls, verdict: Verdict, code: str, evidence: str, advice: str) -> "RuleResult":
        """Return the result whose finding has that ``code``, ``evidence`` and ``advice``."""
        return cls(verdict, Finding(code=code, evidence=evidence, advice=advice))


RuleResults = Iterator[RuleResult]
