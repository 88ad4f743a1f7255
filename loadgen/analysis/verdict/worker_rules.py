"""Rules on the workers of a distributed run: lost ones, and reports that were dropped.

A process that is killed leaves its last report, or nothing. The figures of the others are right,
but for another load than was asked for. Where others take over the load of a lost worker, the load
recovers; what it measured since its last report is lost.

The load of a worker that is gone counts as asked for until others took it over, so that the
shortfall shows. Lost workers leave the run inconclusive if all of them together had more than
`TOLERANCE` of the load: what they measured is unknown. A worker that ended early, after a complete
report, does so only if that much of the load was not made.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from loadgen.analysis.censoring import TOLERANCE
from loadgen.analysis.verdict.rule_result import RuleResult, RuleResults
from loadgen.results.record import RunRecord
from loadgen.results.worker_records import AbsenceRecord, DroppedRecord
from loadgen.units import format_count, format_share

_ENGINES_DIFFER: Final = ": engine is "
"""In a reason: what `loadgen.analysis.merge.unlike` says of two engines that were used."""

_SAME_ENGINE: Final = (
    "give --engine python to the master, or install loadgen where there is a C compiler on every "
    "worker"
)
_SAME_RUN: Final = (
    "use the same loadgen and the same Locust file everywhere, set the clocks, and keep other "
    "clients off the master's port"
)


def workers(record: RunRecord) -> RuleResults:
    """Report lost, early and missing workers, and dropped reports."""
    team = record.team
    if team is None:
        return
    yield from _dropped(team.dropped)
    yield from _lost(team.lost)
    yield from _ended_early(team.ended_early, record.actual.duration_s)
    missing = team.expected - team.reported - len(team.lost)
    if missing > 0:
        yield RuleResult.of(
            "valid",
            "workers-missing",
            f"{format_count(missing)} of {format_count(team.expected)} workers never reported",
            "the others carried all of the load",
        )


def _lost(absences: Sequence[AbsenceRecord]) -> Iterator[RuleResult]:
    shares = [absence.load_share for absence in absences]
    is_little = None not in shares and sum(share or 0.0 for share in shares) <= TOLERANCE
    for absence in absences:
        share, messages = absence.load_share, absence.message_share
        load_share = "an unknown share" if share is None else format_share(share)
        figures = (
            "nothing is known of its figures"
            if messages is None
            else f"{format_share(messages)} of the messages until then; what it measured since "
            "its last report is missing"
        )
        yield RuleResult.of(
            "valid" if is_little else "inconclusive",
            "worker-lost",
            f"worker {absence.name} was lost: last heard of {_moment(absence.at_s)}, with "
            f"{load_share} of the load{_takeover(absence)}; {figures}",
            "see why it ended, or could not reach the others (its log, the kernel's for memory), "
            "and run again",
        )


def _dropped(dropped: Iterable[DroppedRecord]) -> Iterator[RuleResult]:
    for each in dropped:
        reports = "1 report" if each.reports == 1 else f"{format_count(each.reports)} reports"
        yield RuleResult.of(
            "inconclusive",
            "worker-reports-dropped",
            f"worker {each.name}: {reports} dropped, and their figures are missing; the first "
            f"because {each.reason}",
            _SAME_ENGINE if _ENGINES_DIFFER in each.reason else _SAME_RUN,
        )


def _ended_early(absences: Iterable[AbsenceRecord], load_s: float) -> Iterator[RuleResult]:
    for absence in absences:
        share, until_s = absence.load_share, absence.relieved_at_s
        gap_s = (load_s if until_s is None else until_s) - absence.at_s
        is_little = share is not None and share * gap_s <= TOLERANCE * load_s
        load = "" if share is None else f", with {format_share(share)} of the load"
        yield RuleResult.of(
            "valid" if is_little else "inconclusive",
            "worker-ended-early",
            f"worker {absence.name} ended {_moment(absence.at_s)}{load}{_takeover(absence)}; it "
            "has reported all that it measured",
            "the figures are right, for a load that was lower for a while",
        )


def _moment(at_s: float) -> str:
    return f"{at_s:.1f} s after the start" if at_s >= 0 else f"{-at_s:.1f} s before the load"


def _takeover(absence: AbsenceRecord) -> str:
    if absence.relieved_at_s is None:
        return ", which no other worker took over"
    return f", which others took over {_moment(absence.relieved_at_s)}"
