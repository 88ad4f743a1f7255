"""Load a TCP server with thousands of non-blocking sockets from one process.

>>> import loadgen
>>> record = loadgen.run(loadgen.Plan(target="127.0.0.1:9999", connections=1000, duration_s=5))
>>> record.latency.percentile(99)  # nanoseconds  # doctest: +SKIP
1843000
"""

from loadgen._version import __version__
from loadgen.errors import (
    LoadgenBug,
    LoadgenError,
    LocalLimitError,
    RecordError,
    UnreachableError,
    UsageError,
)
from loadgen.payload import FilePayload, LinesPayload, SizePayload
from loadgen.plan import Plan
from loadgen.record import RunRecord, from_json
from loadgen.runner import Progress, Surroundings, UnreachableTargetError, run

__all__ = [
    "FilePayload",
    "LinesPayload",
    "LoadgenBug",
    "LoadgenError",
    "LocalLimitError",
    "Plan",
    "Progress",
    "RecordError",
    "RunRecord",
    "SizePayload",
    "Surroundings",
    "UnreachableError",
    "UnreachableTargetError",
    "UsageError",
    "__version__",
    "from_json",
    "run",
]
