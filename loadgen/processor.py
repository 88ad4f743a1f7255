"""What this process has had of the processor, and how often it was taken away."""

import os
import sys
from typing import NamedTuple

if sys.platform != "win32":
    import resource


class ProcessorUse(NamedTuple):
    """Seconds in our own code and in the kernel (times(2)); involuntary switches, None if unknown.

    An involuntary switch is the kernel giving the processor to somebody else although this process
    had more to do (getrusage(2), ru_nivcsw).
    """

    user_s: float = 0.0
    system_s: float = 0.0
    involuntary_switches: int | None = None

    @classmethod
    def so_far(cls) -> "ProcessorUse":
        """Return the use since the process began."""
        times = os.times()
        if sys.platform == "win32":
            return cls(times.user, times.system)
        switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        return cls(times.user, times.system, switches)

    def since(self, before: "ProcessorUse") -> "ProcessorUse":
        """Return what has come on top of ``before``."""
        switches = None
        if self.involuntary_switches is not None and before.involuntary_switches is not None:
            switches = self.involuntary_switches - before.involuntary_switches
        return ProcessorUse(self.user_s - before.user_s, self.system_s - before.system_s, switches)
