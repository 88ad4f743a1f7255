"""Rules on the kernel's timestamps: whether the wall clock was set, and replies without one."""

from loadgen.analysis.censoring import TOLERANCE
from loadgen.analysis.verdict.rule_result import RuleResult, RuleResults
from loadgen.results.record import RunRecord
from loadgen.units import format_count, format_duration_ns, format_share


def clock_steps(record: RunRecord) -> RuleResults:
    """Report that the wall clock, with which the kernel makes timestamps, was set."""
    found = record.timestamps
    if not found.clock_steps and not found.left_out:
        return
    steps = ", ".join(
        f"by {'-' if step.step_ns < 0 else ''}{format_duration_ns(abs(step.step_ns))} "
        f"at {step.at_s:.2f} s"
        for step in found.clock_steps[:3]
    )
    more = ", …" if len(found.clock_steps) > 3 else ""
    share = found.left_out / max(1, _replies_to_stamp(record))
    yield RuleResult.of(
        "inconclusive" if share > TOLERANCE else "valid",
        "clock-set",
        f"the wall clock was set {steps}{more}; replies left out: {format_count(found.left_out)} "
        f"({format_share(share)})",
        "run again; a time service that only slews the clock does not set it",
    )


def arrival_times(record: RunRecord) -> RuleResults:
    """Report replies without an arrival time of their own, where the kernel gives timestamps."""
    found, asked = record.timestamps, _replies_to_stamp(record)
    if found.mode != "kernel" or not asked:
        return
    share = (found.missing + found.implausible) / asked
    if share:
        yield RuleResult.of(
            "inconclusive" if share > TOLERANCE else "valid",
            "stamps-missing",
            f"{format_share(share)} of the replies lack an arrival time: the kernel gave none to "
            f"{format_count(found.missing)}, an impossible one to "
            f"{format_count(found.implausible)}",
            "another program may be switching timestamps; compare with times of user space",
        )
    if found.upper_bounds:
        yield RuleResult.of(
            "valid",
            "upper-bounds",
            f"{format_share(found.stamped / asked)} of the replies have an arrival time of "
            f"their own; {format_count(found.upper_bounds)} were read together with a later one",
            "service and response time are of the former only, and replies held up by a stall "
            "are mostly among the others; fewer messages in flight on a connection have more",
        )


def _replies_to_stamp(record: RunRecord) -> int:
    """Return how many replies were to have an arrival time."""
    stamps = record.timestamps
    without = stamps.upper_bounds + stamps.missing + stamps.implausible + stamps.left_out
    return stamps.stamped + without
