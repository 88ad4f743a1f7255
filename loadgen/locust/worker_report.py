"""What travels from a worker to the master, inside Locust's own reports."""

import msgspec

from loadgen.errors import RecordError
from loadgen.files.decoded import from_msgpack
from loadgen.files.encoded import as_msgpack
from loadgen.quantities import Count
from loadgen.results.distribution import Distribution
from loadgen.results.record import RunRecord


class PartReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker has found about one user class.

    record: its part so far; the intervals are those since its last report.
    names: the latencies, by the name of the request.
    is_last: whether the run is over for this worker.
    run: the number that the master has given the run; 0 where there is none.
    """

    user_class: str
    users: Count
    connections_up: Count
    record: RunRecord
    names: dict[str, Distribution]
    is_last: bool
    run: Count = 0


def encode(reports: list[PartReport]) -> bytes:
    """Return ``reports`` as bytes that Locust can carry."""
    return as_msgpack(reports)


def decode(content: bytes) -> list[PartReport]:
    """Return the reports in ``content``. Raises ValueError if another version has sent it."""
    try:
        return from_msgpack(content, list[PartReport], "report of this version")
    except RecordError as error:
        raise ValueError(str(error)) from None
