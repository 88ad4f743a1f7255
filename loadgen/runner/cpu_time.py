"""The processor time of this process, and the times in which it could not run."""

import contextlib
import os
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from loadgen.net.clock import Clock, boot_ns, monotonic_ns
from loadgen.runner.cgroup import Cgroups
from loadgen.units import ns_to_seconds

if sys.platform != "win32":
    import resource

_SCHEDSTAT: Final = Path("/proc/thread-self/schedstat")


@dataclass(frozen=True, slots=True)
class ProcessorUse:
    """Seconds in this process's code and in the kernel (times(2)), and what kept it from running.

    None if the platform does not report it:

    involuntary_switches: how often the kernel took the processor away from this process, which had
    more to do (getrusage(2), ru_nivcsw).
    run_queue_s: the time that this thread was ready to run and waited for a processor (the second
    number of ``schedstat``, Documentation/scheduler/sched-stats.rst).
    throttled_s: the time for which a quota throttled this process's control groups.
    suspended_s: the time for which the machine was suspended: CLOCK_BOOTTIME includes it,
    CLOCK_MONOTONIC does not (clock_gettime(2)).
    """

    user_s: float = 0.0
    system_s: float = 0.0
    involuntary_switches: int | None = None
    run_queue_s: float | None = None
    throttled_s: float | None = None
    suspended_s: float | None = None

    def since(self, before: "ProcessorUse") -> "ProcessorUse":
        """Return the difference to ``before``."""
        return ProcessorUse(
            **{each.name: _difference(self, before, each.name) for each in fields(self)}
        )


def _difference(now: ProcessorUse, before: ProcessorUse, name: str) -> Any:
    end, start = getattr(now, name), getattr(before, name)
    return None if end is None or start is None else end - start


class Processor:
    """Reads the processor use so far; to be made and read in the thread that runs the engine.

    boot_clock: advances while the machine is suspended; None where there is no such clock.
    """

    def __init__(self, boot_clock: Clock | None = boot_ns) -> None:
        self._cgroups = Cgroups()
        self._boot_clock = boot_clock

    def use(self) -> ProcessorUse:
        """Return the use since the process began."""
        times = os.times()
        switches = None
        if sys.platform != "win32":
            switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        return ProcessorUse(
            user_s=times.user,
            system_s=times.system,
            involuntary_switches=switches,
            run_queue_s=_run_queue_s(),
            throttled_s=self._cgroups.throttled_s(),
            suspended_s=self._suspended_s(),
        )

    def _suspended_s(self) -> float | None:
        if self._boot_clock is None:
            return None
        return ns_to_seconds(self._boot_clock() - monotonic_ns())


def _run_queue_s() -> float | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return ns_to_seconds(int(_SCHEDSTAT.read_text(encoding="ascii").split()[1]))
    return None
