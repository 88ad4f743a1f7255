"""Sums over connections."""

from collections.abc import Collection
from typing import NamedTuple

from loadgen.engine.connection import Connection


class Totals(NamedTuple):
    """What some connections have done so far, taken together; ``up`` counts those that are up."""

    submitted: int
    answered: int
    bytes_sent: int
    bytes_received: int
    up: int

    @classmethod
    def of(cls, connections: Collection[Connection]) -> "Totals":
        """Return the sums over ``connections``."""
        # One pass: it holds up the loop for as long as it takes.
        submitted = answered = bytes_sent = bytes_received = up = 0
        for connection in connections:
            counts = connection.counts()
            submitted += counts[0]
            answered += counts[1]
            bytes_sent += counts[2]
            bytes_received += counts[3]
            up += connection.is_up
        return cls(submitted, answered, bytes_sent, bytes_received, up)


NONE = Totals(0, 0, 0, 0, 0)
