"""The workers expected in a run, those absent at its end, and the load asked of all of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loadgen.results.aligned_records import AlignedRecord
from loadgen.results.worker_records import AbsenceRecord, DroppedRecord, TeamRecord
from loadgen.units import ns_to_seconds


@dataclass(frozen=True, slots=True)
class Absence:
    """A worker that was absent when the run ended; times are nanoseconds since the epoch.

    heard_ns: its last sign of life. host: the name of its machine, or "" if unknown.
    load_share: its share of the load asked of all at that time, from 0 to 1; None if unknown.
    relieved_ns: when others took over its load; None if they never did.
    is_whole: whether it sent its last report.
    """

    name: str
    heard_ns: int
    host: str = ""
    load_share: float | None = None
    relieved_ns: int | None = None
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Team:
    """The workers of a run: how many were expected and how many sent their last report, which were
    absent at its end, and of which reports were dropped."""

    expected: int
    reported: int
    absences: tuple[Absence, ...] = ()
    dropped: tuple[DroppedRecord, ...] = ()


def team_record(team: Team, aligned: Sequence[AlignedRecord]) -> TeamRecord:
    """Return the record of ``team``, whose workers sent the records ``aligned``."""
    absences = sorted(team.absences, key=lambda absence: (absence.heard_ns, absence.name))
    return TeamRecord(
        expected=team.expected,
        reported=team.reported,
        lost=[_absence(each, aligned) for each in absences if not each.is_whole],
        ended_early=[_absence(each, aligned) for each in absences if each.is_whole],
        dropped=sorted(team.dropped, key=lambda each: each.name),
    )


def _absence(absence: Absence, aligned: Sequence[AlignedRecord]) -> AbsenceRecord:
    own = _record_of(absence, aligned)
    relieved_ns = absence.relieved_ns
    return AbsenceRecord(
        name=absence.name,
        host=absence.host if own is None else own.record.environment.machine,
        at_s=_run_time_s(absence.heard_ns, aligned),
        relieved_at_s=None if relieved_ns is None else _run_time_s(relieved_ns, aligned),
        load_share=_load_share(absence, own, aligned),
        message_share=None if own is None else _message_share(own, aligned),
    )


def _record_of(absence: Absence, aligned: Iterable[AlignedRecord]) -> AlignedRecord | None:
    return next((each for each in aligned if each.name == absence.name), None)


def _run_time_s(wall_ns: int, aligned: Iterable[AlignedRecord]) -> float:
    """Return that time of the wall clock (s since the start of the run)."""
    return ns_to_seconds(wall_ns - min(each.began_ns for each in aligned))


def _load_share(
    absence: Absence, own: AlignedRecord | None, aligned: Iterable[AlignedRecord]
) -> float | None:
    """Return its share of the load; if unknown, its share of the connections."""
    if absence.load_share is not None or own is None:
        return absence.load_share
    asked = sum(each.record.requested.connections for each in aligned)
    return own.record.requested.connections / asked if asked else None


def _message_share(own: AlignedRecord, aligned: Iterable[AlignedRecord]) -> float | None:
    """Return the share of ``own`` in all messages until its last report."""
    until_s = ns_to_seconds(own.load_ended_ns)
    messages = sum(
        interval.messages
        for each in aligned
        if each is not own
        for interval in each.record.intervals
        if interval.stage in ("loading", "draining") and each.run_time_s(interval.start_s) < until_s
    )
    messages += own.record.actual.messages
    return own.record.actual.messages / messages if messages else None


def asked_share(team: Team | None, aligned: Sequence[AlignedRecord]) -> float:
    """Return the ratio of the load asked of all workers to that asked of ``aligned``, 1 or more.

    It exceeds 1 if workers that never reported had a share of the load.
    """
    names = {each.name for each in aligned}
    silent = () if team is None else (a for a in team.absences if a.name not in names)
    unknown = sum(absence.load_share or 0.0 for absence in silent)
    return 1 / (1 - unknown) if unknown < 1 else 1.0


def asked_per_s(team: Team | None, aligned: Sequence[AlignedRecord], load_s: float) -> float | None:
    """Return the mean rate over ``load_s`` that was asked of all; None in a closed loop.

    A worker counts for as long as it loads; one that has left, until others took over its load, or
    to the end.
    """
    rates_per_s = {each.name: each.record.requested.rate_per_s for each in aligned}
    if all(rate_per_s is None for rate_per_s in rates_per_s.values()):
        return None
    until_s = {each.name: ns_to_seconds(each.load_ended_ns) for each in aligned}
    for absence in () if team is None else team.absences:
        if absence.name in until_s:
            relieved_ns = absence.relieved_ns
            left_s = load_s if relieved_ns is None else _run_time_s(relieved_ns, aligned)
            until_s[absence.name] = min(load_s, max(until_s[absence.name], left_s))
    asked = sum(
        (rates_per_s[each.name] or 0.0) * (until_s[each.name] - each.run_time_s(0.0))
        for each in aligned
    )
    return asked_share(team, aligned) * asked / load_s if load_s else None
