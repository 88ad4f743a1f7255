"""The load that the plan asked for, and the one that was delivered."""

from typing import Final

import msgspec

from loadgen.quantities import Amount, Bytes, Count, MomentSeconds, Seconds
from loadgen.units import NS_PER_S

LEAST_CPU_S: Final = 0.05
"""Less processor time is not evaluated: it is counted in hundredths of a second (times(2))."""


class Requested(msgspec.Struct, frozen=True, kw_only=True):
    """The load that the plan asked for; null is no limit.

    rate_per_s: in an open loop, the mean offered rate during the load; null in a closed loop.
    """

    connections: Count
    duration_s: Seconds | None
    messages_per_connection: Count | None
    connect_rate_per_s: Amount | None
    warmup_s: Seconds
    rate_per_s: Amount | None


class ConnectionTimeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The time of connections during the load by their state, in connection-seconds.

    up_s: ready for messages. renewing_s: being reopened, where each reply ends a connection.
    opening_s: not up yet, for the first time or after a failure. backing_off_s: in back-off before
    being reopened. failed_s: failed for good. A connection counts until all of its messages have
    been sent, or its user has left.
    nobody_up_s: seconds in which connections were asked for and none was up.
    """

    up_s: Amount
    renewing_s: Amount
    opening_s: Amount
    backing_off_s: Amount
    failed_s: Amount
    nobody_up_s: Amount

    @property
    def asked_s(self) -> float:
        """The time for which connections were asked for: all but ``nobody_up_s``."""
        return self.had_s + self.opening_s + self.backing_off_s + self.failed_s

    @property
    def had_s(self) -> float:
        """The time for which connections were up, or being renewed."""
        return self.up_s + self.renewing_s


class Actual(msgspec.Struct, frozen=True, kw_only=True):
    """The load that was delivered.

    connections: those that came up at least once; connection_time: their time by state.
    opening_s: from the first connect until all had come up or failed, or until the load began
    without the rest. connect_rate_per_s: connections that came up in that time, divided by it.
    warmup_s: from the start of the warm-up to that of the measured load; warmup_messages: answered
    in it. duration_s: from then until nothing more was submitted.
    drain_s: from then until the last reply, or until outstanding replies were given up.
    messages: answered (one way: passed to the kernel) after the warm-up, the drain included;
    rejected: those of them whose reply was a rejection. renewed: connections opened again in that
    time after the server had ended them in an orderly way; resent: messages that met such an end,
    and were sent again.
    messages_per_s, bytes_sent_per_s, bytes_received_per_s: within ``duration_s`` alone.
    submitted_per_s: messages submitted within ``duration_s``, divided by it; if a limit of messages
    ended an open loop, divided by the time until the last of them.
    in_flight_at_server: the mean number of messages between sent and arrived:
    ``messages_per_s`` times the mean service time (J. Little, "A Proof for the Queuing Formula
    L = λW", Operations Research 9, 1961); null without replies.
    submitted: messages, the warm-up included; cut_off: those unanswered when the run ended; other
    unanswered ones were lost with failed connections.
    due: in an open loop, messages due within ``duration_s``; overdue: those not sent by its end.
    Null in a closed loop. opened, closed: sockets.
    bytes_sent, bytes_received: of the whole run, the warm-up included.
    cpu_user_s, cpu_system_s: processor time of this process within ``duration_s``, in its own code
    and in the kernel (times(2): hundredths of seconds).
    """

    connections: Count
    opening_s: Seconds
    connect_rate_per_s: Amount
    warmup_s: Seconds
    warmup_messages: Count
    duration_s: Seconds
    drain_s: (
        MomentSeconds  # earlier versions wrote negative values for a worker that was still loading
    )
    messages: Count
    messages_per_s: Amount
    submitted_per_s: Amount
    in_flight_at_server: Amount | None
    submitted: Count
    cut_off: Count
    due: Count | None
    overdue: Count | None
    bytes_sent: Bytes
    bytes_received: Bytes
    bytes_sent_per_s: Amount
    bytes_received_per_s: Amount
    opened: Count
    closed: Count
    cpu_user_s: Amount
    cpu_system_s: Amount
    connection_time: ConnectionTimeRecord | None = None
    rejected: Count = 0
    renewed: Count = 0
    resent: Count = 0

    @property
    def rejected_share(self) -> float:
        """The share of ``messages`` that was rejected, from 0 to 1; 0 without messages."""
        return min(1.0, self.rejected / self.messages) if self.messages else 0.0

    @property
    def succeeded_per_s(self) -> float:
        """``messages_per_s`` without the share of ``messages`` that was rejected: an estimate.

        It takes as many to have been rejected in the drain as in the load.
        """
        return self.messages_per_s * (1 - self.rejected_share)

    @property
    def cpu_s(self) -> float:
        """All processor time of this process within ``duration_s``."""
        return self.cpu_user_s + self.cpu_system_s

    @property
    def cpu_per_message_ns(self) -> float | None:
        """Processor time for each message; None as for `share_of_message_ns`."""
        return self.share_of_message_ns(self.cpu_s)

    def share_of_message_ns(self, cpu_s: float) -> float | None:
        """Return ``cpu_s``, spent within ``duration_s``, divided by the messages.

        None without messages, or for less than `LEAST_CPU_S`.
        """
        messages = self.messages_per_s * self.duration_s  # without those of the drain
        if not messages or cpu_s < LEAST_CPU_S:
            return None
        return cpu_s * NS_PER_S / messages
