"""What does the monitor do to the turns of a loop?

Turns an engine over socketpairs as fast as it goes, with a monitor that looks at this process and
its parent every 20 ms, and holds the longest turn that overlaps with a look against the longest in
as many stretches of the same length without one.

    python -m bench monitor
"""

import argparse
import bisect
import os
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from time import monotonic_ns

import numpy as np

from bench.pairs import PairedEngine
from loadgen.net import backends
from loadgen.net.address import Endpoint
from loadgen.plan import Plan
from loadgen.runner.monitor import Monitor

INTERVAL_S = 0.02


class _NotedMonitor(Monitor):
    """A monitor that notes when it looked, from when to when (nanoseconds)."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan, Endpoint(0, ("192.0.2.1", 1)), None, monotonic_ns)
        self.looks: list[tuple[int, int]] = []
        self._began_ns = 0

    def _pause(self) -> None:
        self._note()
        super()._pause()
        self._began_ns = monotonic_ns()

    def _sample(self, rest: Callable[[], None]) -> None:
        self._began_ns = monotonic_ns()
        super()._sample(rest)
        self._note()

    def _note(self) -> None:
        self.looks.append((self._began_ns, monotonic_ns()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench monitor",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--duration", type=float, default=10.0, metavar="SECONDS", help="(10)")
    chosen = parser.parse_args(arguments)
    monitor = _NotedMonitor(Plan(sample_interval_s=INTERVAL_S, watch=os.getppid()))
    ends_ns = _turn(monitor, chosen.duration)
    looks = monitor.looks[2:-1]  # the first and the last are before and after the loop
    lengths_us = [(ended - began) / 1e3 for began, ended in looks]
    # Half way between two looks there is none.
    between = [
        ((ended + began_next - (ended - began)) // 2, (ended + began_next + (ended - began)) // 2)
        for (began, ended), (began_next, _) in pairwise(looks)
    ]
    print(f"{len(looks)} looks of {np.median(lengths_us):.0f} µs (median)")
    print("longest turn, µs          p50      p99      max")
    for name, stretches in (("while it looks", looks), ("while it does not", between)):
        longest_us = [_longest_us(ends_ns, *stretch) for stretch in stretches]
        p50, p99 = np.percentile(longest_us, [50, 99])
        print(f"{name:20} {p50:8.0f} {p99:8.0f} {max(longest_us):8.0f}")
    return 0


def _turn(monitor: Monitor, duration_s: float) -> list[int]:
    """Turn an engine while ``monitor`` looks; return when each turn ended."""
    ends_ns: list[int] = []
    with PairedEngine(backends.resolve("auto")) as paired:
        for _ in range(200):
            paired.answer()
            paired.engine.turn(0)
        with monitor:
            end_ns = monotonic_ns() + int(duration_s * 1e9)
            while not ends_ns or ends_ns[-1] < end_ns:
                paired.answer()
                ends_ns.append(monotonic_ns())
                paired.engine.turn(0)
                ends_ns.append(monotonic_ns())
    return ends_ns


def _longest_us(ends_ns: list[int], began_ns: int, ended_ns: int) -> float:
    """Return the longest time between two moments of ``ends_ns`` that overlaps with a stretch."""
    first = max(0, bisect.bisect_left(ends_ns, began_ns) - 1)
    last = bisect.bisect_right(ends_ns, ended_ns) + 1
    return max(np.diff(ends_ns[first:last]), default=0) / 1e3


if __name__ == "__main__":
    sys.exit(main())
