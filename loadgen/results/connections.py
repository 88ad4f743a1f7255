"""The connections of a run: their record, made of one row for each connection."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from loadgen.results.record import ConnectionRecord, ConnectionsRecord

WORST: Final = 10


def joined(records: Sequence[ConnectionsRecord]) -> ConnectionsRecord:
    """Return one record of the connections of all ``records``, numbered in their order.

    A record may lack its ledger: its connections and its starved ones still count, but have no row,
    are not in the fairness, and are not among the worst.
    """
    ledger: dict[str, list[Any]] = {
        name: [value for record in records for value in record.ledger.get(name, ())]
        for name in ConnectionRecord.__struct_fields__
    }
    ledger["index"] = list(range(len(ledger["index"])))
    listed = from_ledger(ledger)
    unlisted = [record for record in records if not record.ledger.get("index")]
    return msgspec.structs.replace(
        listed,
        count=sum(record.count for record in records),
        starved=listed.starved + sum(record.starved for record in unlisted),
    )


def from_ledger(ledger: dict[str, list[Any]]) -> ConnectionsRecord:
    """Return the record of the connections in ``ledger``, which has a column for each field."""
    failures, connects, submitted, answered = (
        np.array(ledger[name], dtype=np.int64)
        for name in ("failures", "connects", "submitted", "answered")
    )
    was_idle = (failures == 0) & (connects > 0) & (submitted == 0)
    starved = ~was_idle & (answered == 0)
    # The starved first, then the slowest: lexsort sorts by its last key first.
    order = np.lexsort((-np.array(ledger["service_time_mean_ns"], dtype=np.int64), ~starved))
    worst = [int(index) for index in order if connects[index]][:WORST]
    return ConnectionsRecord(
        count=len(connects),
        fairness=jain_index(answered[~was_idle].tolist()),
        starved=int(starved.sum()),
        worst=[
            ConnectionRecord(**{name: column[index] for name, column in ledger.items()})
            for index in worst
        ],
        ledger=ledger,
    )


def jain_index(amounts: list[int]) -> float | None:
    """Return how evenly ``amounts`` are spread: (Σx)² / (n Σx²); None if all are zero.

    R. Jain, D. Chiu, W. Hawe, "A Quantitative Measure of Fairness and Discrimination", DEC-TR-301,
    1984.
    """
    squares = sum(amount * amount for amount in amounts)
    return sum(amounts) ** 2 / (len(amounts) * squares) if squares else None
