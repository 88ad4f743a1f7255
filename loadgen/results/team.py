"""Workers that were to carry out a run together, and which of them were not there to its end."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loadgen.results.aligned_records import AlignedRecord
from loadgen.results.worker_records import AbsenceRecord, DroppedRecord, TeamRecord
from loadgen.units import ns_to_seconds


@dataclass(frozen=True, slots=True)
class Absence:
    """A worker that was not there when the run ended; moments are nanoseconds since the epoch.

    heard_ns: when it was last heard of. host: the name of its machine, or "" where nobody knows.
    load_share: of the load that was asked of all just then, from 0 to 1; None where nobody knows.
    relieved_ns: when others were given its load; None if they never were.
    is_whole: it has reported all that it found.
    """

    name: str
    heard_ns: int
    host: str = ""
    load_share: float | None = None
    relieved_ns: int | None = None
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Team:
    """How many workers were to carry out a run, how many have given their last report, which of
    them were not there when it ended, and whose reports were dropped."""

    expected: int
    reported: int
    absences: tuple[Absence, ...] = ()
    dropped: tuple[DroppedRecord, ...] = ()


def team_record(team: Team, parts: Sequence[AlignedRecord]) -> TeamRecord:
    """Return what is to be said of ``team``, of which ``parts`` are known."""
    absences = sorted(team.absences, key=lambda absence: (absence.heard_ns, absence.name))
    return TeamRecord(
        expected=team.expected,
        reported=team.reported,
        lost=[_absence(each, parts) for each in absences if not each.is_whole],
        ended_early=[_absence(each, parts) for each in absences if each.is_whole],
        dropped=sorted(team.dropped, key=lambda each: each.name),
    )


def _absence(absence: Absence, parts: Sequence[AlignedRecord]) -> AbsenceRecord:
    own = _part_of(absence, parts)
    relieved_ns = absence.relieved_ns
    return AbsenceRecord(
        name=absence.name,
        host=absence.host if own is None else own.record.environment.machine,
        at_s=_moment_s(absence.heard_ns, parts),
        relieved_at_s=None if relieved_ns is None else _moment_s(relieved_ns, parts),
        load_share=_load_share(absence, own, parts),
        message_share=None if own is None else _message_share(own, parts),
    )


def _part_of(absence: Absence, parts: Iterable[AlignedRecord]) -> AlignedRecord | None:
    return next((part for part in parts if part.name == absence.name), None)


def _moment_s(wall_ns: int, parts: Iterable[AlignedRecord]) -> float:
    """Return that time of the wall clock, in seconds from the start of the run."""
    return ns_to_seconds(wall_ns - min(part.began_ns for part in parts))


def _load_share(
    absence: Absence, own: AlignedRecord | None, parts: Iterable[AlignedRecord]
) -> float | None:
    """Return its share of the load; where nobody has said, that of the connections."""
    if absence.load_share is not None or own is None:
        return absence.load_share
    asked = sum(part.record.requested.connections for part in parts)
    return own.record.requested.connections / asked if asked else None


def _message_share(own: AlignedRecord, parts: Iterable[AlignedRecord]) -> float | None:
    """Return the share in all messages until the last report of ``own``."""
    until_s = ns_to_seconds(own.load_ended_ns)
    messages = sum(
        interval.messages
        for part in parts
        if part is not own
        for interval in part.record.intervals
        if interval.stage in ("loading", "draining") and part.moment_s(interval.start_s) < until_s
    )
    messages += own.record.actual.messages
    return own.record.actual.messages / messages if messages else None


def asked_share(team: Team | None, parts: Sequence[AlignedRecord]) -> float:
    """Return how many times what was asked of ``parts`` was asked of all, at least once.

    More than that where workers that never reported had a share of the load.
    """
    names = {part.name for part in parts}
    silent = () if team is None else (a for a in team.absences if a.name not in names)
    unknown = sum(absence.load_share or 0.0 for absence in silent)
    return 1 / (1 - unknown) if unknown < 1 else 1.0


def asked_per_s(team: Team | None, parts: Sequence[AlignedRecord], load_s: float) -> float | None:
    """Return the mean rate over ``load_s`` that was asked of all; None if none was.

    A worker is asked for its rate for as long as it loads; one that has left, until others were
    given its load, or to the end.
    """
    rates_per_s = {part.name: part.record.requested.rate_per_s for part in parts}
    if all(rate_per_s is None for rate_per_s in rates_per_s.values()):
        return None
    until_s = {part.name: ns_to_seconds(part.load_ended_ns) for part in parts}
    for absence in () if team is None else team.absences:
        if absence.name in until_s:
            relieved_ns = absence.relieved_ns
            left_s = load_s if relieved_ns is None else _moment_s(relieved_ns, parts)
            until_s[absence.name] = min(load_s, max(until_s[absence.name], left_s))
    asked = sum(
        (rates_per_s[part.name] or 0.0) * (until_s[part.name] - part.moment_s(0.0))
        for part in parts
    )
    return asked_share(team, parts) * asked / load_s if load_s else None
