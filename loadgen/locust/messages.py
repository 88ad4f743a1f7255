"""What worker and master send each other, inside Locust's own reports and beside them."""

from typing import Final

import msgspec

from loadgen.errors import RecordError
from loadgen.files.decoded import from_msgpack
from loadgen.files.encoded import as_msgpack
from loadgen.quantities import Count
from loadgen.results.distribution import Distribution
from loadgen.results.record import RunRecord

FIELD: Final = "loadgen"
"""The field of Locust's report that holds loadgen's, every 3 s and at the end."""

FINISH: Final = "loadgen_finish"
"""From the master: end the run."""

FINISHED: Final = "loadgen_finished"
"""From a worker: the run has ended, and its last report is sent."""

REFUSED: Final = "loadgen_refused"
"""From a worker: why it cannot go on."""


class ClassReport(msgspec.Struct, frozen=True, kw_only=True):
    """One worker's report on one user class.

    record: its record so far, with the intervals since its last report.
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


def encode(reports: list[ClassReport]) -> bytes:
    """Return ``reports`` as bytes, which Locust's messages can hold."""
    return as_msgpack(reports)


def decode(content: bytes) -> list[ClassReport]:
    """Return the reports in ``content``. Raises ValueError if another version has sent it."""
    try:
        return from_msgpack(content, list[ClassReport], "report of this version")
    except RecordError as error:
        raise ValueError(str(error)) from None
