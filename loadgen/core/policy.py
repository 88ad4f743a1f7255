"""How long a connection may take, and how long it waits before it is tried again."""

from dataclasses import dataclass
from typing import Final

from loadgen.core.connection import Connection
from loadgen.core.lifecycle import State
from loadgen.units import NS_PER_S

FIRST_BACK_OFF_NS: Final = NS_PER_S // 10
LONGEST_BACK_OFF_NS: Final = 5 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Policy:
    """When connections are opened and given up. Times in nanoseconds.

    connect_interval_ns: between two connects; 0 for as fast as they come up.
    connect_timeout_ns: for a connection to come up.
    io_timeout_ns: for a connection to make progress while it waits.
    reconnect: whether failed connections are opened again, with back-off.
    """

    connect_interval_ns: int = 0
    connect_timeout_ns: int = 3_500_000_000
    io_timeout_ns: int = 5_500_000_000
    reconnect: bool = False

    def deadline_ns(self, connection: Connection, now_ns: int) -> int:
        """Return when ``connection`` will have waited too long, if nothing happens from now on."""
        is_connecting = connection.state is State.CONNECTING
        timeout_ns = self.connect_timeout_ns if is_connecting else self.io_timeout_ns
        since_ns = connection.waits_since_ns
        return (now_ns if since_ns is None else since_ns) + timeout_ns


def next_back_off_ns(connection: Connection) -> int:
    """Return how long ``connection``, which has just failed, waits before it connects again.

    Twice as long as the last time, unless the server has said something in between.
    """
    doubled_ns = 0 if connection.was_heard else 2 * connection.back_off_ns
    return min(max(FIRST_BACK_OFF_NS, doubled_ns), LONGEST_BACK_OFF_NS)
