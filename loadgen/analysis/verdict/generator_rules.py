"""Rules on the generator: whether it kept up with its load."""

from typing import Final

from loadgen.analysis import censoring
from loadgen.analysis.censoring import TOLERANCE
from loadgen.analysis.verdict.rule_result import RuleResult, RuleResults
from loadgen.analysis.verdict.run_rules import ENOUGH_POLLS
from loadgen.results.instruments import GeneratorRecord
from loadgen.results.record import RunRecord
from loadgen.results.verdict import SEVERITY, Verdict
from loadgen.units import NS_PER_S, format_count, format_duration_ns, format_share

AMPLE_WAITING: Final = 0.30
"""A generator that waits for this share of its time reads replies soon after they arrive."""

SCANT_WAITING: Final = 0.12
"""Below this share of its time, the generator had a queue of its own in every run measured."""

AMPLE_EMPTY: Final = 0.50
SCANT_EMPTY: Final = 0.20
"""The same where the generator spins, by the share of polls of the sockets that found nothing. A
spin spends a third of its time in them at most. At 10 000, 50 000 and 70 000 messages/s, which left
it 93, 21 and 1 % of its time, 97, 41 and 14 % found nothing."""

SMALL_LAG_NS: Final = 250_000
"""A p99 of receive lag up to here comes from waking up and from a few replies at once, however fast
the server is."""

LATE_NS: Final = 1_000_000
"""Half of the messages leave later than this only where there is a queue: the coarsest timer rounds
up to a millisecond."""

MUCH_HANDSHAKING: Final = 0.20
"""A generator that spends this share of its time on handshakes does little else: about as much
again goes to the kernel, for the connects and packets of the same connections."""

BURSTY: Final = 3.0
"""Variation of the times between sends: 0 if even, 1 if random; bursts of n messages have n - 1."""


def _verdict_on_waiting(generator: GeneratorRecord) -> Verdict:
    """Return the verdict that the share of waiting supports; "inconclusive" with too few polls."""
    if generator.polls < ENOUGH_POLLS:
        return "inconclusive"
    by_time = _grade(generator.waiting_share, SCANT_WAITING, AMPLE_WAITING)
    if generator.pacing != "precise":
        return by_time
    by_polls = _grade(generator.empty_polls / generator.polls, SCANT_EMPTY, AMPLE_EMPTY)
    return max(by_time, by_polls, key=SEVERITY.index)


def _grade(share: float, scant: float, ample: float) -> Verdict:
    return "generator-bound" if share < scant else "busy" if share < ample else "valid"


def saturation(record: RunRecord) -> RuleResults:
    """Report a generator that waited for little of its time."""
    generator, by_waiting = record.generator, _verdict_on_waiting(record.generator)
    evidence = f"the generator waited for {format_share(generator.waiting_share)} of the time"
    if generator.pacing == "precise":
        empty = generator.empty_polls / max(1, generator.polls)
        evidence += f", and {format_share(empty)} of its polls of the sockets found nothing"
    if by_waiting == "generator-bound":
        yield RuleResult.of(by_waiting, "generator-saturated", evidence, _advice_at_limit(record))
    elif by_waiting == "busy":
        advice = "leave the tail of user-space latency alone, or ask for less"
        yield RuleResult.of(by_waiting, "generator-busy", evidence, advice)


def handshakes(record: RunRecord) -> RuleResults:
    """Report a generator that spent much of its time on TLS handshakes, which are its own work."""
    tls, actual = record.tls, record.actual
    if tls is None or not actual.duration_s or tls.work_s < MUCH_HANDSHAKING * actual.duration_s:
        return
    by_waiting = _verdict_on_waiting(record.generator)
    share = format_share(tls.work_s / actual.duration_s)
    kinds = f"{format_count(tls.full_ns.count)} full, {format_count(tls.resumed_ns.count)} resumed"
    advice = "keep connections for longer" + ("" if tls.resumed_ns.count else ", or --tls-resume")
    yield RuleResult.of(
        by_waiting if by_waiting in ("busy", "generator-bound") else "valid",
        "handshakes",
        f"the generator spent {share} of the time on its side of TLS handshakes ({kinds}, in all)",
        "they are its own work, and their latency contains those of other connections; "
        f"{advice}, or share the load between machines",
    )


def receive_lag(record: RunRecord) -> RuleResults:
    """Report that replies waited for the generator."""
    lag, service = record.receive_lag_ns, record.service_time_ns
    if lag is None or lag.mean is None or service.mean is None:
        return
    by_waiting = _verdict_on_waiting(record.generator)
    if lag.mean > service.mean and by_waiting in ("generator-bound", "busy"):
        yield RuleResult.of(
            "generator-bound",
            "replies-queued",
            f"replies waited {format_duration_ns(lag.mean)} for the generator on average, longer "
            f"than the {format_duration_ns(service.mean)} for the server",
            _advice_at_limit(record),
        )
    lag_p99, service_p99 = lag.p99 or 0, service.p99 or 0
    if lag.carries(99) and lag_p99 > max(SMALL_LAG_NS, service_p99):
        yield RuleResult.of(
            "busy",
            "receive-lag-tail",
            f"the p99 of receive lag is {format_duration_ns(lag_p99)}, that of service time "
            f"{format_duration_ns(service_p99)}",
            "leave the tail of user-space latency alone; a core of its own helps the generator",
        )


def generator_lag(record: RunRecord) -> RuleResults:
    """Report that messages left late though a connection was free for them."""
    lag = record.generator_lag_ns
    if lag is not None and lag.carries(50) and (lag.p50 or 0) > LATE_NS:
        yield RuleResult.of(
            "generator-bound",
            "sends-late",
            f"half of the messages left {format_duration_ns(lag.p50 or 0)} or more after a "
            "connection was free for them",
            _advice_at_limit(record),
        )


def offered_rate(record: RunRecord) -> RuleResults:
    """Report that the rate asked for was not reached, and what the limit was."""
    asked, actual = record.requested.rate_per_s, record.actual
    if asked is None:
        return
    if censoring.is_short(actual.submitted_per_s, asked, actual.duration_s):
        overdue = f", {format_count(actual.overdue)} overdue at the end" if actual.overdue else ""
        done = (
            f"{format_count(actual.submitted_per_s)} of {format_count(asked)} messages/s were sent"
        )
    elif censoring.falls_behind(record):
        overdue = ""
        done = f"{format_count(actual.messages_per_s)} of {format_count(asked)}/s were answered"
    else:
        return
    waited = f"the generator waited for {format_share(record.generator.waiting_share)} of the time"
    evidence = f"{done}{overdue}; {waited}"
    by_waiting = _verdict_on_waiting(record.generator)
    if by_waiting == "inconclusive":
        advice = "run for longer (--duration), to tell whether the server was too slow"
        yield RuleResult.of("inconclusive", "rate-unexplained", evidence, advice)
    elif by_waiting != "valid" or _has_own_queue(record) or _paused_as_long(record, asked):
        yield RuleResult.of("generator-bound", "rate-missed", evidence, _advice_at_limit(record))
    elif censoring.down_share(record) <= TOLERANCE:  # otherwise that is what was missed
        advice = (
            "the server did not keep up: response time grows for as long as the run lasts, and "
            "what was never answered is in none; ask for a lower --rate, or for more connections "
            "if they were all waiting"
        )
        yield RuleResult.of("server-bound", "server-behind", evidence, advice)


def _paused_as_long(record: RunRecord, asked_per_s: float) -> bool:
    """Return whether the generator's own pauses explain what was missed of the rate."""
    actual, generator = record.actual, record.generator
    could_be_per_s = asked_per_s * (1 - min(1.0, generator.gaps_s / actual.duration_s))
    return not censoring.is_short(actual.messages_per_s, could_be_per_s, actual.duration_s)


def _has_own_queue(record: RunRecord) -> bool:
    """Return whether replies or messages waited in a queue of the generator."""
    results = (*receive_lag(record), *generator_lag(record))
    return any(result.verdict == "generator-bound" for result in results)


def bursts(record: RunRecord) -> RuleResults:
    """Report sends that left in bursts.

    Even sends that a stall of the server, or of this process, holds up now and then vary as much as
    bursts that recur. In bursts of n messages, half of them wait for n / 2 sends or longer;
    variation n - 1 > `BURSTY` means n > 4. A rate that changes spreads the sends by itself.
    """
    profile = record.plan.profile()
    if profile is not None and profile.stages:
        return
    variation, lag = record.generator.send_gap_variation, record.generator_lag_ns
    if variation is None or variation <= BURSTY or lag is None or not lag.count:
        return
    recurs = (lag.p50 or 0) * record.actual.submitted_per_s > (BURSTY + 1) / 2 * NS_PER_S
    blocked = record.blocked_ns
    if recurs:
        advice = "the server met bursts; a finer --pacing, or a lower --rate, spreads them"
    elif blocked is not None and (blocked.mean or 0) > (lag.mean or 0):
        advice = "connections waited for the server, then sent at once; more of them wait less"
    else:
        advice = "now and then only; end what else takes the processor from the generator"
    yield RuleResult.of(
        "busy" if recurs else "valid",
        "bursty",
        f"the variation of the times between sends is {variation:.1f} (even 0, random 1); half of "
        f"the messages left {format_duration_ns(lag.p50 or 0)} or more late",
        advice,
    )


def user_space(record: RunRecord) -> RuleResults:
    """Report what times are worth that last until the generator read the reply."""
    stamps, probe = record.timestamps, record.probe
    if stamps.mode != "user" or record.plan.is_one_way:
        return
    evidence = f"no timestamps of the kernel ({stamps.reason}): service time lasts until the read"
    uncertainty = stamps.read_uncertainty_ns
    if uncertainty is not None and uncertainty.p99 is not None:
        evidence += f", up to {format_duration_ns(uncertainty.p99)} (p99) too long"
    if probe is not None and probe.latency_ns.count:
        seen = format_duration_ns(probe.latency_ns.p50 or 0)
        requests = format_count(probe.requests)
        evidence += (
            f"; the probe, a process with little to do, saw a p50 of {seen} in {requests} requests"
        )
    if probe is not None and probe.failure:
        evidence += f"; the probe ended early: {probe.failure}"
    by_waiting = _verdict_on_waiting(record.generator)
    trusted = (
        "the probe's latency" if probe is not None and probe.latency_ns.count else "no latency"
    )
    doubt = uncertainty.p99 or 0 if uncertainty is not None else 0
    if by_waiting == "valid" and doubt > max(SMALL_LAG_NS, record.service_time_ns.p50 or 0):
        by_waiting = "busy"
    advice = (
        "every latency contains the generator's own delay, which was small"
        if by_waiting == "valid"
        else f"trust {trusted} of this run; a generator that waits for "
        f"{format_share(AMPLE_WAITING)} of the time and has a core of its own adds little"
    )
    yield RuleResult.of(by_waiting, "user-space", evidence, advice)


def _advice_at_limit(record: RunRecord) -> str:
    """Return what to rely on, and what to do, where the generator was the limit."""
    advice = "give the generator a core of its own, or share the load between machines"
    service = "service time is valid for the load that was delivered"
    if record.timestamps.mode == "user":
        service = "service time contains the generator's own queue"
    if record.plan.is_one_way:
        return f"the rate is the generator's own, not the server's; {advice}"
    if record.requested.rate_per_s is None:
        return f"{service}; the rate is the generator's own, not the server's; {advice}"
    return f"{service}, response time is not; ask for a lower --rate; {advice}"
