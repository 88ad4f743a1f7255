"""Rules on times at which the generator or its machine did not run."""

from typing import Final

from loadgen.analysis.censoring import TOLERANCE
from loadgen.analysis.verdict.rule_result import RuleResult, RuleResults
from loadgen.results.record import RunRecord
from loadgen.results.verdict import Verdict
from loadgen.units import format_count, format_duration_s, format_share

INCONCLUSIVE_SHARE: Final = 0.10
"""A generator that was paused for a tenth of the run offered another load than was asked for."""

SUSPENDED_S: Final = 0.001
"""Two clocks are not read at the same time; they differ by less."""


def pauses(record: RunRecord) -> RuleResults:
    """Report for how long the generator was paused, why, and which messages that delayed."""
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
    yield RuleResult.of(
        _verdict_on(generator.gaps_s / duration_s),
        "preempted",
        f"pauses of the generator longer than 5 ms: {generator.gaps}, together "
        f"{format_duration_s(generator.gaps_s)} "
        f"({format_share(generator.gaps_s / duration_s)} of the load), the "
        f"longest {longest}{''.join(f'; {cause}' for cause in causes if cause)}",
        "end what else runs on this machine, or give the generator a core of its own; a stopped "
        "process and a paused container are pauses, too",
    )


def _delayed(record: RunRecord) -> str:
    delayed = record.generator.delayed
    if delayed is None or not delayed.messages:
        return ""
    return f"messages that it delayed, and that are left out: {format_count(delayed.messages)}"


def shared_pauses(record: RunRecord) -> RuleResults:
    """Report that the server was paused together with the generator."""
    if record.generator.shared_pauses_s:
        yield RuleResult.of(
            "inconclusive",
            "stopped-together",
            "generator and server were paused at the same time for "
            f"{format_duration_s(record.generator.shared_pauses_s)}: nothing in flight was "
            "answered then",
            "this machine was paused or overloaded, or both containers were; run again",
        )


def throttling(record: RunRecord) -> RuleResults:
    """Report that a quota kept the generator from running.

    Its severity is that of the pauses that it explains: the kernel's sum is over processors.
    """
    generator, quota = record.generator, record.environment.cpu_quota
    if not generator.throttled_s or not record.actual.duration_s:
        return
    of = "" if quota is None else f" of {quota:g} processors"
    explained_s = min(generator.throttled_s, generator.gaps_s)
    yield RuleResult.of(
        _verdict_on(explained_s / record.actual.duration_s),
        "throttled",
        f"the quota{of} of its control group throttled the generator for "
        f"{format_duration_s(generator.throttled_s)}, added up over processors; that explains "
        f"up to {format_duration_s(explained_s)} of its pauses",
        "lift the quota (docker --cpus, a pod's limits.cpu, CPUQuota=), or ask for less load",
    )


def suspension(record: RunRecord) -> RuleResults:
    """Report that the machine was suspended."""
    suspended_s = record.generator.suspended_s
    if suspended_s is not None and suspended_s > SUSPENDED_S:
        yield RuleResult.of(
            "inconclusive",
            "suspended",
            f"this machine was suspended for {format_duration_s(suspended_s)} during the load",
            "run again, and keep the machine awake",
        )


def _verdict_on(share: float) -> Verdict:
    """Return the verdict that a pause of that share of the load supports."""
    if share >= INCONCLUSIVE_SHARE:
        return "inconclusive"
    return "busy" if share > TOLERANCE else "valid"
