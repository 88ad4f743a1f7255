"""What a record says about the workers that carried out a run together, and the absent ones."""

from typing import Annotated

import msgspec

from loadgen.quantities import (
    MOST_WORKERS,
    Amount,
    Count,
    MomentSeconds,
    Share,
    Text,
)
from loadgen.results.verdict import FindingList, Verdict


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker process did in a run of several, and the verdict on its numbers.

    host: the name of its machine. connections: those that came up at least once.
    messages, messages_per_s: answered after the warm-up; those within its own load, over its time.
    waiting_share: share of that time that it spent waiting for its sockets, from 0 to 1.
    """

    name: Text
    host: Text
    connections: Count
    messages: Count
    messages_per_s: Amount
    waiting_share: Amount
    verdict: Verdict
    findings: FindingList


class AbsenceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that was absent when the run ended.

    host: the name of its machine; empty if unknown. at_s: its last sign of life.
    relieved_at_s: when others took over its load; null if they never did.
    load_share: its share of the load asked of all at ``at_s``, from 0 to 1; null if unknown.
    message_share: its share of all messages until its last report; null if it never reported.
    """

    name: Text
    host: Text
    at_s: MomentSeconds
    relieved_at_s: MomentSeconds | None
    load_share: Share | None
    message_share: Share | None


class DroppedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A worker of which reports were dropped: their number, and the reason for the first one."""

    name: Text
    reports: Count
    reason: Text


Absences = Annotated[list[AbsenceRecord], msgspec.Meta(max_length=MOST_WORKERS)]


class TeamRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The workers that were to carry out the run together.

    expected: the number that took part, or should have. reported: the number that sent their last
    report. lost: those that took part and did not send it. ended_early: those that sent it long
    before the run ended. The rest of those expected never connected. dropped: those with reports
    that could not be merged with the others.
    """

    expected: Count
    reported: Count
    lost: Absences
    ended_early: Absences
    dropped: Annotated[list[DroppedRecord], msgspec.Meta(max_length=MOST_WORKERS)] = []
