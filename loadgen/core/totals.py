"""Sums over connections."""

from collections.abc import Collection
from typing import NamedTuple

from loadgen.core.connection import Connection


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
        return cls(
            submitted=sum(connection.submitted for connection in connections),
            answered=sum(connection.answered for connection in connections),
            bytes_sent=sum(connection.bytes_sent for connection in connections),
            bytes_received=sum(connection.bytes_received for connection in connections),
            up=sum(connection.is_up for connection in connections),
        )


NONE = Totals(0, 0, 0, 0, 0)
