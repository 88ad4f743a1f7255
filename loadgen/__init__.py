"""Load a TCP server with thousands of non-blocking sockets from one process.

    import loadgen

    plan = loadgen.Plan(target="127.0.0.1:9999", connections=1000, duration_s=5)
    record = loadgen.run(plan)
    record.latency.percentile(99)  # nanoseconds

The names in ``__all__`` are the stable interface. Each is imported when it is first used, so that
a program loads only what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from loadgen._version import __version__

if TYPE_CHECKING:
    from loadgen.analysis.checks import check
    from loadgen.errors import (
        LoadgenBug,
        LoadgenError,
        LocalLimitError,
        RecordError,
        UnreachableError,
        UsageError,
    )
    from loadgen.net.failure import Cause
    from loadgen.net.protocols.base import BaseDecoder, BaseFraming, FramingError
    from loadgen.plan import Plan
    from loadgen.plan.payloads import FilePayload, LinesPayload, SizePayload
    from loadgen.results.histogram import Histogram
    from loadgen.results.record import RunRecord, from_json
    from loadgen.results.verdict import CheckResult, Finding, Health
    from loadgen.runner.run import UnreachableTargetError, run
    from loadgen.runner.surroundings import Progress, Surroundings

_MODULES = {
    "BaseDecoder": "net.protocols.base",
    "BaseFraming": "net.protocols.base",
    "Cause": "net.failure",
    "CheckResult": "results.verdict",
    "FilePayload": "plan.payloads",
    "Finding": "results.verdict",
    "FramingError": "net.protocols.base",
    "Health": "results.verdict",
    "Histogram": "results.histogram",
    "LinesPayload": "plan.payloads",
    "LoadgenBug": "errors",
    "LoadgenError": "errors",
    "LocalLimitError": "errors",
    "Plan": "plan.plan",
    "Progress": "runner.surroundings",
    "RecordError": "errors",
    "RunRecord": "results.record",
    "SizePayload": "plan.payloads",
    "Surroundings": "runner.surroundings",
    "UnreachableError": "errors",
    "UnreachableTargetError": "runner.run",
    "UsageError": "errors",
    "check": "analysis.checks",
    "from_json": "results.record",
    "run": "runner.run",
}

__all__ = [
    "BaseDecoder",
    "BaseFraming",
    "Cause",
    "CheckResult",
    "FilePayload",
    "Finding",
    "FramingError",
    "Health",
    "Histogram",
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
    "check",
    "from_json",
    "run",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'loadgen' has no attribute {name!r}")
    return getattr(import_module(f"loadgen.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
