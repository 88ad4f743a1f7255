"""What generator and target used, computed from the samples of the monitor."""

from typing import Final, NamedTuple

import numpy as np

from loadgen.results.delivered import LEAST_CPU_S
from loadgen.results.instruments import MonitorRecord, ProcessSamples
from loadgen.results.record import RunRecord

LEAST_CONNECTIONS: Final = 1000
"""With fewer, the other memory of a process hides what a connection takes."""


class Usage(NamedTuple):
    """What some processes used while the load was measured; None where it is not known.

    cpu_share: of one processor; 1.5 is one and a half.
    cpu_per_message_ns: over the messages answered within that time.
    bytes_per_connection: the highest resident memory, less that before the first connection, over
    the connections.
    """

    cpu_share: float | None
    cpu_per_message_ns: float | None
    bytes_per_connection: float | None


def usage_of(record: RunRecord, samples: ProcessSamples, monitor: MonitorRecord) -> Usage:
    """Return what the processes of ``samples`` used in the run of ``record``."""
    actual = record.actual
    used_s = 0.0
    if actual.duration_s:
        at_begin_s, at_end_s = np.interp([0, actual.duration_s], monitor.at_s, samples.cpu_s)
        used_s = float(at_end_s - at_begin_s)
    more_bytes = max(samples.memory_bytes) - samples.memory_bytes[0]
    are_many = actual.connections >= LEAST_CONNECTIONS
    return Usage(
        cpu_share=used_s / actual.duration_s if used_s >= LEAST_CPU_S else None,
        cpu_per_message_ns=actual.share_of_message_ns(used_s),
        bytes_per_connection=more_bytes / actual.connections if are_many else None,
    )
