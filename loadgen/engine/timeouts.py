"""The time-outs of a connection, and the back-off before it is opened again."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from loadgen.engine.connection import Connection
from loadgen.engine.lifecycle import State
from loadgen.net.clock import NEVER_NS
from loadgen.net.failure import Cause
from loadgen.units import NS_PER_S

FIRST_BACK_OFF_NS: Final = NS_PER_S // 10
LONGEST_BACK_OFF_NS: Final = 5 * NS_PER_S


class Timeout(NamedTuple):
    """How long something may take, from which moment on, and the cause of failure beyond that."""

    since_ns: int
    longest_ns: int
    cause: Cause


@dataclass(frozen=True, slots=True)
class ConnectionPolicy:
    """When connections are opened, and when they are given up. Times in nanoseconds.

    connect_interval_ns: between two connects; 0 for as fast as they are established.
    connect_timeout_ns: for a connect. handshake_timeout_ns: for the handshake after it.
    io_timeout_ns: for a connection to make progress while it waits; for a whole step of its
    greeting, which is no load yet.
    reply_timeout_ns: for a reply to be whole, from the moment at which its message was sent.
    reconnect: whether failed connections are opened again, with back-off.
    """

    connect_interval_ns: int = 0
    connect_timeout_ns: int = 3_500_000_000
    handshake_timeout_ns: int = 10_000_000_000
    io_timeout_ns: int = 5_500_000_000
    reply_timeout_ns: int = NEVER_NS
    reconnect: bool = False

    def timeouts(self, connection: Connection) -> list[Timeout]:
        """Return the time-outs that ``connection`` is under in its present state.

        Any progress restarts the one; only a whole reply restarts the other. In a greeting, where
        the opening of the run waits for it, both are for the whole step.
        """
        channel = connection.channel
        since_ns = channel.waits_since_ns
        if since_ns is None:
            return []
        if connection.state is State.CONNECTING:
            return [Timeout(since_ns, self.connect_timeout_ns, Cause.TIMEOUT)]
        if connection.state is State.SECURING:
            return [Timeout(since_ns, self.handshake_timeout_ns, Cause.TIMEOUT)]
        if connection.state is State.GREETING:
            since_ns = channel.oldest_sent_ns
        timeouts = [Timeout(since_ns, self.io_timeout_ns, Cause.TIMEOUT)]
        if channel.in_flight:
            timeouts.append(
                Timeout(channel.oldest_sent_ns, self.reply_timeout_ns, Cause.REPLY_TIMEOUT)
            )
        return timeouts

    @property
    def check_interval_ns(self) -> int:
        """How often a connection must be checked for no time-out to be missed."""
        return min(self.io_timeout_ns, self.reply_timeout_ns)


def next_back_off_ns(connection: Connection) -> int:
    """Return how long ``connection``, which has just failed, waits before it connects again.

    Twice as long as the last time, unless the server has sent something in between.
    """
    doubled_ns = 0 if connection.has_received else 2 * connection.back_off_ns
    return min(max(FIRST_BACK_OFF_NS, doubled_ns), LONGEST_BACK_OFF_NS)
