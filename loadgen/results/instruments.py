"""What a record says about the measurement: timestamps, generator, probe and monitor."""

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
"""The source of arrival times: the kernel's receive timestamp, or the time of reading."""


EngineName = Literal["native", "python"]
"""What exchanged the messages: compiled code, or Python."""


class ClockStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the wall clock by ``step_ns``, detected ``at_s`` after the start of the load."""

    at_s: MomentSeconds
    step_ns: SignedNanoseconds


class TimestampsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The source of arrival times, and the number of messages that have one.

    reason: why the kernel's timestamps were not used; empty if they were.
    sample_every: every so many-th read with a reply was to have a timestamp.
    stamped: messages with an arrival time of their own.
    upper_bounds: replies read together with a later one, and with its timestamp.
    missing: replies without a timestamp of the kernel; implausible: with one that is not between
    sent and read. unsampled: without a timestamp because of ``sample_every``.
    left_out: read while the wall clock was being set; clock_steps: when, and by how much.
    read_uncertainty_ns: without kernel timestamps, from the last poll of the sockets before a reply
    until it was read: it arrived at some time in between. Null with kernel timestamps.
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
    """Times of messages that consisted mostly of pauses of this process: they are upper bounds.

    service_ns, response_ns, schedule_lag_ns: left out of service time, response time, and schedule
    lag with its two components.
    reads: replies that were read late because of a pause; they stay in receive lag and user-space
    latency, which describe this process.
    """

    service_ns: Distribution
    response_ns: Distribution
    schedule_lag_ns: Distribution
    reads: Count

    @property
    def messages(self) -> int:
        """The least number of messages that are affected."""
        return max(self.service_ns.count, self.response_ns.count, self.schedule_lag_ns.count)


class GeneratorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How this process performed during the measured load.

    pacing: the method of waiting for the time to send.
    polls: calls of the selector; empty_polls: those that found nothing.
    waiting_share: the share of the time spent in them, from 0 to 1.
    gaps: pauses, in which this process did not run although it was due: the time between two of
    those calls exceeded by 5 ms what the events in between may take (50 µs each), or a call
    returned 20 ms or more after its time (`loadgen.engine.loop_stats`); gaps_s: their sum;
    longest_gap_s: the longest, or the longest time between two calls if that is longer;
    longest_gap_at_s: its start. shared_pauses_s: pauses of 100 ms or more in which no message in
    flight was answered although the server usually takes a quarter of that or less: it was paused,
    too. delayed: messages left out of the times because they were mostly pauses of this process;
    null if there are none. involuntary_switches: how often the kernel took the processor away
    (getrusage(2), ru_nivcsw); run_queue_s: the time that the loop was ready to run and waited for a
    processor; throttled_s: the time for which the tightest quota throttled its control group,
    summed over processors; suspended_s: the time for which the machine was suspended. Null where
    the platform does not report it.
    send_gap_variation: the squared coefficient of variation of the times between two sends: 0 if
    even, 1 if random (Poisson), more in bursts; null in a closed loop.
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
    """The user-space latency that the probe, a process with one connection, measured meanwhile.

    latency_ns: from send to read, in that process. failure: why it ended early, or empty.
    """

    requests: Count
    failure: Text
    latency_ns: Distribution


class ProcessSamples(msgspec.Struct, frozen=True, kw_only=True):
    """The usage of several processes together, in columns as long as `MonitorRecord.at_s`.

    name, pids: of the processes at the beginning; the name is that of the first.
    cpu_s, context_switches: since the first sample. memory_bytes: resident. Null where the platform
    does not report it, or denies access; zeros once all processes have ended.
    """

    name: Text
    pids: list[Count]
    cpu_s: list[SignedAmount]
    memory_bytes: list[Bytes]
    descriptors: list[Count | None]
    threads: list[Count]
    context_switches: list[Difference | None]


class MachineSamples(msgspec.Struct, frozen=True, kw_only=True):
    """The usage of the machine, in columns as long as `MonitorRecord.at_s`.

    cpu_share: the busy share of all processors since the previous sample, from 0 to 1.
    sent_bytes, received_bytes: of all network interfaces, loopback included, since the first
    sample.
    """

    cpu_share: list[Share]
    sent_bytes: list[Difference]
    received_bytes: list[Difference]


class MonitorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The usage of generator, target and machine, every ``interval_s``.

    In a long run the interval doubles whenever there are 65 536 samples, and every other one is
    deleted.

    at_s: times of the samples, counted from the start of the measured load; the first sample was
    taken before the first connection.
    generator: this process and its children, without the embedded server.
    target: the processes that listen where the target is, and their children; null if unknown,
    for the reason in why_no_target.
    target_ended_at_s: when it was detected that all of them had ended; null if they had not.
    """

    interval_s: Seconds
    at_s: list[MomentSeconds]
    generator: ProcessSamples
    target: ProcessSamples | None
    why_no_target: Text
    target_ended_at_s: MomentSeconds | None
    machine: MachineSamples

    def __post_init__(self) -> None:
        """Raise ValueError unless there are samples, columns of one length, and times in order."""
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
