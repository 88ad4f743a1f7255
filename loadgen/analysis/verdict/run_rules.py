"""Rules on what of the load took place: outcome, connections, rejections, how much was measured."""

from typing import Final

from loadgen.analysis import censoring, rejections
from loadgen.analysis.censoring import TOLERANCE
from loadgen.analysis.verdict.rule_result import RuleResult, RuleResults
from loadgen.results.record import RunRecord
from loadgen.units import format_count, format_duration_s, format_share

ENOUGH_POLLS: Final = 20
"""With fewer polls of the sockets, a single delay moves a share across one of the thresholds."""

ENOUGH_REPLIES: Final = 100
"""With fewer, not even the p90 has ten values beyond it."""


def outcome(record: RunRecord) -> RuleResults:
    """Report a run that did not end as planned."""
    after = format_duration_s(record.actual.duration_s)
    match record.outcome:
        case "unreachable":
            evidence, advice = "no connection came up", "is the server up, and the target right?"
        case "lost":
            evidence = f"every connection had failed after {after} of load"
            advice = "the failures say how; --reconnect opens connections again"
        case "interrupted":
            asked = record.requested.duration_s
            of = f" of {format_duration_s(asked)}" if asked is not None else ""
            evidence = f"interrupted after {after}{of}"
            advice = "the figures cover the time until then; let a run end by itself"
        case _:
            return
    yield RuleResult.of("inconclusive", record.outcome, evidence, advice)


def local_errors(record: RunRecord) -> RuleResults:
    """Report the limits of this machine that the run met."""
    local = [failure for failure in record.failures if failure.is_local]
    if local:
        times = format_count(sum(failure.count for failure in local))
        causes = "; ".join(dict.fromkeys(failure.cause.text for failure in local))
        yield RuleResult.of(
            "inconclusive",
            "local-errors",
            f"failures of this machine's own: {times} ({causes})",
            "lift the limit, or ask for fewer connections; the server is not the cause",
        )


def connections(record: RunRecord) -> RuleResults:
    """Report that fewer connections came up than were asked for."""
    asked, up = record.requested.connections, record.actual.connections
    if up < asked:
        yield RuleResult.of(
            "inconclusive" if up < asked * (1 - TOLERANCE) else "valid",
            "connections-missing",
            f"{format_count(up)} of {format_count(asked)} connections came up",
            "the failures say why; open them more slowly (--connect-rate), or ask for fewer",
        )


def downtime(record: RunRecord) -> RuleResults:
    """Report for how long connections were down, and whether loadgen's back-off was the limit."""
    found, share = record.actual.connection_time, censoring.down_share(record)
    if found is None or not share:
        return
    down_s = {
        "backing off": found.backing_off_s,
        "failed": found.failed_s,
        "opening": found.opening_s,
    }
    shares = ", ".join(
        f"{state} {format_share(for_s / found.asked_s)}" for state, for_s in down_s.items() if for_s
    )
    none_up_s = found.nobody_up_s
    none_up = f"; for {format_duration_s(none_up_s)} none was up" if none_up_s else ""
    is_own = found.backing_off_s > found.failed_s + found.opening_s
    yield RuleResult.of(
        "inconclusive" if share > TOLERANCE else "valid",
        "backing-off" if is_own else "connections-down",
        f"connections were up for {format_share(found.had_s / found.asked_s)} of the load's "
        f"{format_duration_s(record.actual.duration_s)} ({shares}{none_up})",
        _advice_on_downtime(record, is_own=is_own),
    )


def _advice_on_downtime(record: RunRecord, *, is_own: bool) -> str:
    if is_own:
        return (
            "the limit is loadgen's own back-off, 0.1 to 5 s before a failed connection is opened "
            "again; the failures say why they fail"
        )
    if not all(failure.is_rejection for failure in record.failures):
        return "the failures say why; --reconnect opens failed connections again"
    return "they came up late: a longer --connect-timeout, or a --warmup, gives them time"


def rejected(record: RunRecord) -> RuleResults:
    """Report that the server rejected messages: an answer, but not the one that was asked for."""
    if rejections.are_most(record):
        yield RuleResult.of(
            "inconclusive",
            "mostly-rejected",
            f"most replies are rejections, so that the figures are those of rejections: "
            f"{rejections.in_words(record)}: {rejections.causes(record)}",
            _advice_on_rejections(record),
        )
    elif record.actual.rejected_share > TOLERANCE:
        yield RuleResult.of(
            "valid",
            "rejected",
            f"the server rejected {rejections.in_words(record)}: {rejections.causes(record)}",
            "their times are among those measured; succeeded_per_s is the rate without them",
        )


def _advice_on_rejections(record: RunRecord) -> str:
    statuses = record.statuses
    if statuses is not None and set(statuses.counts) == {"400"} and not record.plan.is_secure:
        return "does this port speak TLS? then write https://; otherwise look at what it says"
    return "is it what the server expects? a server that cannot serve it may be fast"


def sample_size(record: RunRecord) -> RuleResults:
    """Report too few replies, or polls of the sockets; one-way load has no replies to count."""
    if record.plan.is_one_way:
        return
    replies, polls = record.service_time_ns.count, record.generator.polls
    longer = "run for longer (--duration), or ask for more messages (--messages)"
    if replies < ENOUGH_REPLIES:
        evidence = f"replies with an arrival time: {replies}; at least {ENOUGH_REPLIES} are needed"
        if record.actual.submitted and not record.user_space_latency_ns.count:
            longer = "nothing was answered: is it what this server expects, with its line end?"
        yield RuleResult.of("inconclusive", "too-few-replies", evidence, longer)
    elif polls < ENOUGH_POLLS:
        evidence = f"polls of the sockets: {polls}, too few to tell how busy the generator was"
        yield RuleResult.of("inconclusive", "too-short", evidence, longer)


def unanswered(record: RunRecord) -> RuleResults:
    """Report messages without an answer, and what they leave unknown."""
    count, actual = censoring.unanswered(record), record.actual
    if record.datagrams is not None:  # most of these were lost, which has a rule of its own
        count = record.datagrams.in_flight + record.datagrams.failed
    if record.plan.is_one_way or count <= 0:
        return
    if actual.messages + count <= 0:
        return
    share = count / (actual.messages + count)
    are_stuck = 2 * actual.cut_off >= actual.connections
    yield RuleResult.of(
        "server-bound" if share > TOLERANCE or are_stuck else "valid",
        "unanswered",
        f"{format_count(count)} of {format_count(actual.messages + count)} messages had no answer "
        f"by the end",
        "they took longer than anything that was measured: the highest percentiles are unknown; "
        "--drain waits longer for the last ones",
    )
