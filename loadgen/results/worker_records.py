"""What a record says of the workers that carried out a run together."""

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
    """What one process did of a run that several carried out together, and what is to be thought of
    its numbers.

    host: the name of its machine. connections: how many came up, once at least.
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
    """A worker that was not there when the run ended.

    host: the name of its machine; empty where nobody knows. at_s: when it was last heard of.
    relieved_at_s: when others were given its load; null if they never were.
    load_share: of the load that was asked of all when it was last heard of, from 0 to 1; null where
    nobody knows. message_share: of the messages of all, until its last report; null if it never
    reported.
    """

    name: Text
    host: Text
    at_s: MomentSeconds
    relieved_at_s: MomentSeconds | None
    load_share: Share | None
    message_share: Share | None


class DroppedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A worker of which not all counts: how many of its reports were dropped, and why the first."""

    name: Text
    reports: Count
    reason: Text


Absences = Annotated[list[AbsenceRecord], msgspec.Meta(max_length=MOST_WORKERS)]


class TeamRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The workers that were to carry out the run together.

    expected: how many took part, or were to. reported: of them, those that gave their last report.
    lost: those that took part and did not give it. ended_early: those that gave it long before the
    run ended. Whoever is left of those expected never came. dropped: those that reported what could
    not be put together with what the others did.
    """

    expected: Count
    reported: Count
    lost: Absences
    ended_early: Absences
    dropped: Annotated[list[DroppedRecord], msgspec.Meta(max_length=MOST_WORKERS)] = []
