"""Workers that were not there to the end of a run which several carried out together, or of whose
reports not all count.

Facts. A process that is killed leaves what it reported last, or nothing. The figures of those that
go on are right, and are those of another load than was asked for. Where others are given what the
lost one was to do, the load recovers; what it had found since its last report does not.

Decision. What was asked of a worker that is gone is asked of all until others were given it, so
that the shortfall shows. A lost worker leaves the run inconclusive if more than `TOLERANCE` of the
load was with all that were lost: nobody knows what they saw. One that ended early, and has reported
all it found, does so only if that much of the load was never made for it.
"""

from collections.abc import Iterable, Iterator, Sequence

from loadgen.analysis.censoring import TOLERANCE
from loadgen.analysis.verdict.run_rules import Remark, Remarks
from loadgen.results.record import RunRecord
from loadgen.results.worker_records import AbsenceRecord, DroppedRecord
from loadgen.units import format_count, format_share

# ---- what was asked of all ----------------------------------------------------------------


# ---- what it is worth ---------------------------------------------------------------------


def remarks(record: RunRecord) -> Remarks:
    """Say which workers were not there to the end of the run, and of which not all counts."""
    team = record.team
    if team is None:
        return
    yield from _dropped(team.dropped)
    yield from _lost(team.lost)
    yield from _ended_early(team.ended_early, record.actual.duration_s)
    missing = team.expected - team.reported - len(team.lost)
    if missing > 0:
        evidence = f"{format_count(missing)} of {format_count(team.expected)} workers never came"
        yield Remark.of("valid", "workers-missing", evidence, "the others carried all of the load")


def _lost(absences: Sequence[AbsenceRecord]) -> Iterator[Remark]:
    shares = [absence.load_share for absence in absences]
    is_little = None not in shares and sum(share or 0.0 for share in shares) <= TOLERANCE
    for absence in absences:
        share, messages = absence.load_share, absence.message_share
        load = (
            "an unknown share of the load"
            if share is None
            else f"{format_share(share)} of the load"
        )
        part = (
            "nothing is known of its part"
            if messages is None
            else f"{format_share(messages)} of the messages until then; what it found since "
            "its last report is missing"
        )
        yield Remark.of(
            "valid" if is_little else "inconclusive",
            "worker-lost",
            f"worker {absence.name} was lost: last heard of {_moment(absence.at_s)}, with {load}"
            f"{_relief(absence)}; {part}",
            "see why it ended, or could not reach the others (its log, the kernel's for memory), "
            "and run again",
        )


def _dropped(dropped: Iterable[DroppedRecord]) -> Iterator[Remark]:
    for each in dropped:
        reports = "1 report" if each.reports == 1 else f"{format_count(each.reports)} reports"
        yield Remark.of(
            "inconclusive",
            "worker-reports-dropped",
            f"worker {each.name}: {reports} dropped, and what stood there is missing; the first "
            f"since {each.reason}",
            "use the same loadgen and the same Locust file everywhere, set the clocks, and let "
            "nobody else reach the master's port",
        )


def _ended_early(absences: Iterable[AbsenceRecord], load_s: float) -> Iterator[Remark]:
    for absence in absences:
        share, until_s = absence.load_share, absence.relieved_at_s
        gap_s = (load_s if until_s is None else until_s) - absence.at_s
        is_little = share is not None and share * gap_s <= TOLERANCE * load_s
        load = "" if share is None else f", with {format_share(share)} of the load"
        yield Remark.of(
            "valid" if is_little else "inconclusive",
            "worker-ended-early",
            f"worker {absence.name} ended {_moment(absence.at_s)}{load}{_relief(absence)}; it "
            "has reported all that it found",
            "the figures are right, for a load that was not that all the time",
        )


def _moment(at_s: float) -> str:
    return f"{at_s:.1f} s after the start" if at_s >= 0 else f"{-at_s:.1f} s before the load"


def _relief(absence: AbsenceRecord) -> str:
    at_s = absence.relieved_at_s
    return ", which nobody took over" if at_s is None else f", which others had {_moment(at_s)}"
