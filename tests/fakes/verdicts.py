"""What is judged of a record: the verdict, and its findings."""

from typing import Any

import msgspec
from records import LONG

from loadgen.analysis.verdict.judging import judge
from loadgen.results.record import RunRecord
from loadgen.results.verdict import Finding, Verdict


def found(record: RunRecord) -> dict[str, Finding]:
    return {finding.code: finding for finding in judge(record).findings}


def seen(record: RunRecord) -> tuple[Verdict, list[str]]:
    judged = judge(record)
    return judged.verdict, [finding.code for finding in judged.findings]


def long(**changes: Any) -> Any:
    """The actual values of a long run, with others in some of its fields."""
    return msgspec.structs.replace(LONG["actual"], **changes)
