"""What a record says of its instruments: timestamps, the generator, the probe and the monitor."""

import operator
from typing import Annotated, Literal

import msgspec

from loadgen.quantities import (
    MOST_FINDINGS,
    Amount,
    Bytes,
    Count,
    Difference,
    MomentSeconds,
    Seconds,
    Share,
    SignedAmount,
    SignedNanoseconds,
    Text,
)
from loadgen.results.distribution import Distribution

TimestampMode = Literal["kernel", "user"]
"""Who read the clock when a reply arrived: the kernel, or this process once it got round to it."""


class ClockStep(msgspec.Struct, frozen=True, kw_only=True):
    """The wall clock was set by ``step_ns``; noticed ``at_s`` after the start of the load."""

    at_s: MomentSeconds
    step_ns: SignedNanoseconds


class TimestampsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Where arrival times come from, and for how many messages there is one.

    reason: why it is not the kernel; empty where it is.
    sample_every: every so many-th read with a reply was to be stamped.
    stamped: messages with an arrival time of their own.
    upper_bounds: replies read together with a later one, so that the stamp is that one's.
    missing: replies for which the kernel gave none; implausible: not between sent and read.
    unsampled: left unstamped as ``sample_every`` asks.
    left_out: read while the wall clock was being set; clock_steps: when, and by how much.
    read_uncertainty_ns: without kernel timestamps, from the last look at the sockets before a reply
    until it was read: it arrived at some moment in between. Null with kernel timestamps.
    """

    mode: TimestampMode
    reason: Text
    sample_every: Count
    stamped: Count
    upper_bounds: Count
    missing: Count
    implausible: Count
    unsampled: Count
    left_out: Count
    clock_steps: Annotated[list[ClockStep], msgspec.Meta(max_length=MOST_FINDINGS)]
    read_uncertainty_ns: Distribution | None


class DelayedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Times of messages that were mostly pauses of this process: the truth is that or less.

    service_ns, response_ns, schedule_lag_ns: left out of service time, response time, and schedule
    lag with its two parts.
    reads: replies of which that holds until they were read: they stay in receive lag and user-space
    latency, which tell of this process.
    """

    service_ns: Distribution
    response_ns: Distribution
    schedule_lag_ns: Distribution
    reads: Count

    @property
    def messages(self) -> int:
        """How many messages this is about, at least."""
        return max(self.service_ns.count, self.response_ns.count, self.schedule_lag_ns.count)


class GeneratorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How this process fared while the load was measured.

    pacing: how it waited for the time to send.
    polls: calls of the selector; empty_polls: those that found nothing.
    waiting_share: share of the time that was spent in them, from 0 to 1.
    gaps: pauses, in which this process did not run though it was due to: times that 5 ms more
    passed between two of those calls than the events in between may take (50 µs each), and calls
    that came back 20 ms or more after their moment (`loadgen.engine.loop_stats`); gaps_s: summed
    up; longest_gap_s: the longest, or the longest time between two calls where that is longer;
    longest_gap_at_s: when that began. shared_pauses_s: pauses of 100 ms or more in which no message
    in flight was answered though the server usually takes a quarter as long or less: it stood still
    as well. delayed: what was left out of the times, since it was mostly pauses of this process;
    null where nothing was. involuntary_switches: how often the kernel took the processor away
    (getrusage(2), ru_nivcsw); run_queue_s: for how long the loop was ready to run and waited for a
    processor; throttled_s: for how long the tightest quota throttled its control group, added up
    over processors; suspended_s: for how long the machine was suspended. Null where the platform
    does not say. send_gap_variation: the squared coefficient of variation of the times between two
    sends: 0 if even, 1 if random (Poisson), more in bursts; null in a closed loop.
    """

    pacing: Text
    polls: Count
    empty_polls: Count
    waiting_share: Amount
    gaps: Count
    gaps_s: Amount
    longest_gap_s: Seconds
    involuntary_switches: Count | None
    send_gap_variation: Amount | None
    longest_gap_at_s: MomentSeconds | None = None
    shared_pauses_s: Amount = 0.0
    delayed: DelayedRecord | None = None
    run_queue_s: SignedAmount | None = None
    throttled_s: SignedAmount | None = None
    suspended_s: SignedAmount | None = None


class ProbeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a second process saw meanwhile, with one connection of its own and little to do.

    latency_ns: from send to read, in that process. failure: why it ended early, or empty.
    """

    requests: Count
    failure: Text
    latency_ns: Distribution


class ProcessSamples(msgspec.Struct, frozen=True, kw_only=True):
    """What some processes took together, a column each; as long as `MonitorRecord.at_s`.

    name, pids: of those that were there in the beginning; the name is that of the first.
    cpu_s, context_switches: since the first sample. memory_bytes: resident. Null where the platform
    does not say, or does not let us look; zeros once all of them have ended.
    """

    name: Text
    pids: list[Count]
    cpu_s: list[SignedAmount]
    memory_bytes: list[Bytes]
    descriptors: list[Count | None]
    threads: list[Count]
    context_switches: list[Difference | None]


class MachineSamples(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine did, a column each; as long as `MonitorRecord.at_s`.

    cpu_share: of all processors, busy since the sample before, from 0 to 1.
    sent_bytes, received_bytes: of all network interfaces, loopback included, since the first
    sample.
    """

    cpu_share: list[Share]
    sent_bytes: list[Difference]
    received_bytes: list[Difference]


class MonitorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What generator, target and machine took, every ``interval_s``.

    In a long run that is longer than was asked for, and doubles whenever there are 65 536 samples:
    every other is forgotten then.

    at_s: when, counted from the start of the measured load as everything is; the first sample was
    taken before the first connection.
    generator: this process and its children, without the embedded server.
    target: the processes that listen where the target is, and their children; null where that is
    not known, and why_no_target says why.
    target_ended_at_s: when it was noticed that none of them was left; null if that was not so.
    """

    interval_s: Seconds
    at_s: list[MomentSeconds]
    generator: ProcessSamples
    target: ProcessSamples | None
    why_no_target: Text
    target_ended_at_s: MomentSeconds | None
    machine: MachineSamples

    def __post_init__(self) -> None:
        """Raise ValueError unless there is a sample, every column has all, and time goes on."""
        every = (self.generator, self.machine, *(() if self.target is None else (self.target,)))
        for samples in every:
            for name in samples.__struct_fields__:
                column = getattr(samples, name)
                if name not in ("name", "pids") and len(column) != len(self.at_s):
                    raise ValueError(
                        f"{name} has {len(column)} samples, and at_s {len(self.at_s)}; every "
                        "column of a monitor has as many"
                    )
        if not self.at_s:
            raise ValueError("a monitor has one sample or more")
        if any(map(operator.lt, self.at_s[1:], self.at_s)):
            raise ValueError("the samples of a monitor stand in the order of time")
