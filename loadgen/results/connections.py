"""The ledger of a run: every connection, with what it did and saw."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from loadgen.results.record import ConnectionRecord, ConnectionsRecord

WORST: Final = 10


def joined(parts: Sequence[ConnectionsRecord]) -> ConnectionsRecord:
    """Return the record of the connections of all ``parts``, numbered anew in their order.

    A part may lack its ledger: its connections and its starved ones still count, but have no row,
    no share in the fairness and no place among the worst.
    """
    ledger: dict[str, list[Any]] = {
        name: [value for part in parts for value in part.ledger.get(name, ())]
        for name in ConnectionRecord.__struct_fields__
    }
    ledger["index"] = list(range(len(ledger["index"])))
    listed = described(ledger)
    unlisted = [part for part in parts if not part.ledger.get("index")]
    return msgspec.structs.replace(
        listed,
        count=sum(part.count for part in parts),
        starved=listed.starved + sum(part.starved for part in unlisted),
    )


def described(columns: dict[str, list[Any]]) -> ConnectionsRecord:
    """Return the record of the connections of a ledger."""
    failures, connects, submitted, answered = (
        np.array(columns[name], dtype=np.int64)
        for name in ("failures", "connects", "submitted", "answered")
    )
    was_idle = (failures == 0) & (connects > 0) & (submitted == 0)
    starved = ~was_idle & (answered == 0)
    # The starved first, then the slowest: lexsort sorts by its last key first.
    order = np.lexsort((-np.array(columns["service_time_mean_ns"], dtype=np.int64), ~starved))
    worst = [int(index) for index in order if connects[index]][:WORST]
    return ConnectionsRecord(
        count=len(connects),
        fairness=jain_index(answered[~was_idle].tolist()),
        starved=int(starved.sum()),
        worst=[
            ConnectionRecord(**{name: column[index] for name, column in columns.items()})
            for index in worst
        ],
        ledger=columns,
    )


def jain_index(amounts: list[int]) -> float | None:
    """Return how evenly ``amounts`` are spread: (Σx)² / (n Σx²); None if there is nothing.

    R. Jain, D. Chiu, W. Hawe, "A Quantitative Measure of Fairness and Discrimination", DEC-TR-301,
    1984.
    """
    squares = sum(amount * amount for amount in amounts)
    return sum(amounts) ** 2 / (len(amounts) * squares) if squares else None
