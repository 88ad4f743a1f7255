"""What makes numbers worth less, however the generator kept up: too little was seen, a clock was
set, this machine refused or stood still. `loadgen.analysis.verdict.judging` weighs it with all
else.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from loadgen.analysis import censoring
from loadgen.analysis.censoring import TOLERANCE
from loadgen.results.record import RunRecord
from loadgen.results.verdict import Finding, Verdict
from loadgen.units import (
    format_count,
    format_duration_ns,
    format_duration_s,
    format_share,
)

ENOUGH_POLLS: Final = 20
"""With fewer looks at the sockets, one hiccup moves a share from one side of a limit to another."""

ENOUGH_REPLIES: Final = 100
"""With fewer, not even the p90 has ten values beyond it."""

STOLEN: Final = 0.10
"""Who stood still for a tenth of the run has put another load on the server than was asked for."""


SUSPENDED_S: Final = 0.001
"""Two clocks are not read at the same time; they differ by less."""


class Remark(NamedTuple):
    """A finding, and the verdict that it speaks for; "valid" where it costs none."""

    verdict: Verdict
    finding: Finding

    @classmethod
    def of(cls, verdict: Verdict, code: str, evidence: str, advice: str) -> "Remark":
        """Return the remark with its finding made of ``code``, ``evidence`` and ``advice``."""
        return cls(verdict, Finding(code=code, evidence=evidence, advice=advice))


Remarks = Iterator[Remark]


def outcome(record: RunRecord) -> Remarks:
    """Say that the run did not end as planned."""
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
    yield Remark.of("inconclusive", record.outcome, evidence, advice)


def local_errors(record: RunRecord) -> Remarks:
    """Say which limits of this machine the run met."""
    local = [failure for failure in record.failures if failure.is_local]
    if local:
        times = format_count(sum(failure.count for failure in local))
        causes = "; ".join(dict.fromkeys(failure.cause.text for failure in local))
        yield Remark.of(
            "inconclusive",
            "local-errors",
            f"failures of this machine's own: {times} ({causes})",
            "lift the limit, or ask for fewer connections; the server had no part in it",
        )


def connections(record: RunRecord) -> Remarks:
    """Say that fewer connections came up than were asked for."""
    asked, up = record.requested.connections, record.actual.connections
    if up < asked:
        yield Remark.of(
            "inconclusive" if up < asked * (1 - TOLERANCE) else "valid",
            "connections-missing",
            f"{format_count(up)} of {format_count(asked)} connections came up",
            "the failures say why; open them more slowly (--connect-rate), or ask for fewer",
        )


def downtime(record: RunRecord) -> Remarks:
    """Say for how long connections were down, and whether loadgen's own back-off was the limit."""
    found, share = record.actual.connection_time, censoring.down_share(record)
    if found is None or not share:
        return
    parts = {"backing off": found.backing_off_s, "failed": found.failed_s}
    parts["opening"] = found.opening_s
    shares = ", ".join(
        f"{name} {format_share(part_s / found.asked_s)}" for name, part_s in parts.items() if part_s
    )
    alone = f"; for {format_duration_s(found.nobody_up_s)} none was up" if found.nobody_up_s else ""
    is_own = found.backing_off_s > found.failed_s + found.opening_s
    yield Remark.of(
        "inconclusive" if share > TOLERANCE else "valid",
        "backing-off" if is_own else "connections-down",
        f"connections were up for {format_share(found.had_s / found.asked_s)} of the time that was "
        f"asked for ({shares}{alone})",
        _advice_on_downtime(record, is_own=is_own),
    )


def _advice_on_downtime(record: RunRecord, *, is_own: bool) -> str:
    if is_own:
        return (
            "the limit is loadgen's own back-off, 0.1 to 5 s before a failed connection is opened "
            "again; the failures say why they fail"
        )
    if record.failures:
        return "the failures say why; --reconnect opens failed connections again"
    return "they came up late: a longer --connect-timeout, or a --warmup, gives them time"


def samples(record: RunRecord) -> Remarks:
    """Say that there was too little to be seen; of replies only, so never of one-way load."""
    if is_one_way(record):
        return
    replies, polls = record.service_time_ns.count, record.generator.polls
    longer = "run for longer (--duration), or ask for more messages (--messages)"
    if replies < ENOUGH_REPLIES:
        evidence = f"replies with an arrival time: {replies}; {ENOUGH_REPLIES} are the least"
        yield Remark.of("inconclusive", "too-few-replies", evidence, longer)
    elif polls < ENOUGH_POLLS:
        evidence = f"looks at the sockets: {polls}, too few to tell how busy the generator was"
        yield Remark.of("inconclusive", "too-short", evidence, longer)


def silence(record: RunRecord) -> Remarks:
    """Say how many messages had no answer, and what that leaves unknown."""
    count, actual = censoring.unanswered(record), record.actual
    if is_one_way(record) or count <= 0:
        return
    if actual.messages + count <= 0:
        return
    share = count / (actual.messages + count)
    are_stuck = 2 * actual.cut_off >= actual.connections
    yield Remark.of(
        "server-bound" if share > TOLERANCE or are_stuck else "valid",
        "unanswered",
        f"{format_count(count)} of {format_count(actual.messages + count)} messages had no answer "
        f"by the end",
        "they took longer than anything that was measured: the highest percentiles are unknown; "
        "--drain waits longer for the last ones",
    )


def clock(record: RunRecord) -> Remarks:
    """Say that the wall clock, which the kernel stamps with, was set."""
    found = record.timestamps
    if not found.clock_steps and not found.left_out:
        return
    steps = ", ".join(
        f"by {'-' if step.step_ns < 0 else ''}{format_duration_ns(abs(step.step_ns))} "
        f"at {step.at_s:.2f} s"
        for step in found.clock_steps[:3]
    )
    more = ", …" if len(found.clock_steps) > 3 else ""
    share = found.left_out / max(1, _to_be_stamped(record))
    yield Remark.of(
        "inconclusive" if share > TOLERANCE else "valid",
        "clock-set",
        f"the wall clock was set {steps}{more}; replies left out: {format_count(found.left_out)} "
        f"({format_share(share)})",
        "run again; a time service that only slews the clock does not set it",
    )


def stamps(record: RunRecord) -> Remarks:
    """Say how many replies lack an arrival time, or share one, where the kernel gives them."""
    found, asked = record.timestamps, _to_be_stamped(record)
    if found.mode != "kernel" or not asked:
        return
    share = (found.missing + found.implausible) / asked
    if share:
        yield Remark.of(
            "inconclusive" if share > TOLERANCE else "valid",
            "stamps-missing",
            f"{format_share(share)} of the replies lack an arrival time: the kernel gave none to "
            f"{format_count(found.missing)}, an impossible one to "
            f"{format_count(found.implausible)}",
            "another program may be switching timestamps; compare with times of user space",
        )
    if found.upper_bounds:
        yield Remark.of(
            "valid",
            "upper-bounds",
            f"{format_share(found.stamped / asked)} of the replies have an arrival time of "
            f"their own; {format_count(found.upper_bounds)} were read together with a later one",
            "service and response time are of the former only, and replies that waited out a stall "
            "are mostly among the others; fewer messages in flight on a connection have more",
        )


def preemption(record: RunRecord) -> Remarks:
    """Say for how long the generator stood still, why, and what that went into."""
    generator, duration_s = record.generator, record.actual.duration_s
    if not generator.gaps or not duration_s:
        return
    longest = format_duration_s(generator.longest_gap_s)
    if generator.longest_gap_at_s is not None:
        longest += f" at {generator.longest_gap_at_s:.2f} s"
    causes = [
        f"involuntary context switches: {generator.involuntary_switches}"
        if generator.involuntary_switches is not None
        else "",
        f"it waited {format_duration_s(generator.run_queue_s)} for a processor"
        if generator.run_queue_s is not None
        else "",
        _delayed(record),
    ]
    yield Remark.of(
        _weight(generator.gaps_s / duration_s),
        "preempted",
        f"times that the generator stood still for more than 5 ms: {generator.gaps}, together "
        f"{format_duration_s(generator.gaps_s)} "
        f"({format_share(generator.gaps_s / duration_s)} of the load), the "
        f"longest {longest}{''.join(f'; {cause}' for cause in causes if cause)}",
        "end what else runs on this machine, or give the generator a core of its own; a stopped "
        "process or a paused container stands still, too",
    )


def _delayed(record: RunRecord) -> str:
    delayed = record.generator.delayed
    if delayed is None or not delayed.messages:
        return ""
    return f"messages that it delayed, and that are left out: {format_count(delayed.messages)}"


def shared_pauses(record: RunRecord) -> Remarks:
    """Say that the server stood still with the generator."""
    if record.generator.shared_pauses_s:
        yield Remark.of(
            "inconclusive",
            "stopped-together",
            f"generator and server stood still at the same time for "
            f"{format_duration_s(record.generator.shared_pauses_s)}: nothing in flight was "
            "answered then",
            "this machine was paused or overloaded, or both containers were; run again",
        )


def throttling(record: RunRecord) -> Remarks:
    """Say that a quota kept the generator from running.

    It weighs as much as the pauses that it explains: the kernel adds up over processors.
    """
    generator, quota = record.generator, record.environment.cpu_quota
    if not generator.throttled_s or not record.actual.duration_s:
        return
    of = "" if quota is None else f" of {quota:g} processors"
    explained_s = min(generator.throttled_s, generator.gaps_s)
    yield Remark.of(
        _weight(explained_s / record.actual.duration_s),
        "throttled",
        f"the quota{of} of its control group throttled the generator for "
        f"{format_duration_s(generator.throttled_s)}, added up over processors; that explains "
        f"up to {format_duration_s(explained_s)} of standing still",
        "lift the quota (docker --cpus, a pod's limits.cpu, CPUQuota=), or ask for less load",
    )


def suspension(record: RunRecord) -> Remarks:
    """Say that the machine was suspended."""
    suspended_s = record.generator.suspended_s
    if suspended_s is not None and suspended_s > SUSPENDED_S:
        yield Remark.of(
            "inconclusive",
            "suspended",
            f"this machine was suspended for {format_duration_s(suspended_s)} during the load",
            "run again, and keep the machine awake",
        )


def _weight(share: float) -> Verdict:
    """Return what standing still for that share of the load speaks for."""
    return "inconclusive" if share >= STOLEN else "busy" if share > TOLERANCE else "valid"


def is_one_way(record: RunRecord) -> bool:
    """Return whether the load is one that nobody answers."""
    return record.plan.reply == "none"


def _to_be_stamped(record: RunRecord) -> int:
    """Return how many replies were to have an arrival time."""
    stamps = record.timestamps
    without = stamps.upper_bounds + stamps.missing + stamps.implausible + stamps.left_out
    return stamps.stamped + without
