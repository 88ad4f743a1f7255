"""Intended times of messages: arrivals drawn from the offered rate over time.

Facts. A closed loop sends less the slower the server answers, so a stall hides itself: of a server
that stops for 100 ms in each second, 20 busy connections report 0.22 ms at p99, where users who
arrive independently of it wait 90 ms. Such users are an arrival process, and how it is spread
matters as much as its rate: at 80 % of the capacity of a server with one queue, arrivals on an even
grid see a median of 36 µs, random (Poisson) ones 65 µs, and both are true of that server.

Danger. Intended times follow from the profile, the kind of arrivals and the seed, and from nothing
that happens in the run. Moving them because the server, or the generator, is late would drop
exactly the waits that matter: coordinated omission (Gil Tene). Adding up gaps of rounded
nanoseconds would drift. Ending a schedule when the loop reads the clock would send a message too
many wherever the end falls on the grid: 1 s at 10/s are the messages of [0 s, 1 s), ten of them.

Decision. Gaps are drawn with a mean of 1 where the unit is the message, summed to counts, and
mapped to time by the inverse of the profile's integral, which is the number of messages due so
far. By the time-rescaling theorem (Papangelou 1972; Brown et al., Neural Computation 14, 2002)
unit Poisson arrivals become those of the changing rate, exactly. From a knot on, where the rate is
r + s·x, count n falls due at r·x + s·x²/2 = n; of the two forms of the root, 2n / (r + √(r² + 2sn))
loses no digits to cancellation where the rate rises, and holds for s = 0. Counts and seconds are
float64, exact to less than a nanosecond for weeks; only the result is rounded. The portion that a
run needs is cut out by time, chunk by chunk, so that an end costs nothing for each message.

Cost. About 140 ns for each message, of which `next` itself is 20 ns; the rest is a pause of some
0.1 ms in every `CHUNK` messages. The first chunks are smaller, for a quick start (0.1 ms):
``python -m timeit -n 3000000 -s "from loadgen.plan import arrivals as a; from loadgen.plan.profile
import Profile; due = a.arrivals(Profile.constant(1e5), 'poisson', 1)" "next(due)"``.
"""

import itertools
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from loadgen.errors import UsageError
from loadgen.plan.profile import Floats, Profile

ARRIVALS: Final = ("constant", "poisson", "uniform")

CHUNK: Final = 1024
"""Arrivals that are computed at once: cheap for each of them, and still a short pause."""


def arrivals(profile: Profile, kind: str, seed: int) -> Iterator[int]:
    """Return all the times of `Arrivals`. Raises UsageError for another kind."""
    return Arrivals(profile, kind, seed).until(None)


class Arrivals:
    """The intended times in nanoseconds from the start of the load, in order.

    ``kind`` names the gaps where the rate is constant: all equal, the first message due at once
    (``constant``), exponential (``poisson``), or uniform from 0 to twice the mean (``uniform``).
    The same ``seed``, which is not negative, gives the same times. They end where the rate falls
    to 0 for good. Raises UsageError for another kind.
    """

    def __init__(self, profile: Profile, kind: str, seed: int) -> None:
        if kind not in ARRIVALS:
            raise UsageError.of("--arrivals", kind, f"choose one of {', '.join(ARRIVALS)}")
        generator = np.random.Generator(np.random.PCG64(seed))
        unit_gaps: dict[str, Callable[[int], Floats]] = {
            "constant": np.ones,
            "poisson": generator.standard_exponential,
            "uniform": lambda size: generator.uniform(0, 2, size),
        }
        before_first = -1.0 if kind == "constant" else 0.0
        self._chunks = _chunks(profile, unit_gaps[kind], before_first)
        self._left: list[int] = []  # of the chunk that the last portion ended in

    def until(self, end_ns: int | None) -> Iterator[int]:
        """Return the times before ``end_ns`` (None: all) that come after the last such portion.

        A portion is to be used up before the next one is.
        """
        return itertools.chain.from_iterable(self._cut(end_ns))

    def _cut(self, end_ns: int | None) -> Iterator[list[int]]:
        for times_ns in itertools.chain([self._left], self._chunks):
            count = len(times_ns) if end_ns is None else bisect_left(times_ns, end_ns)
            self._left = times_ns[count:]
            yield times_ns[:count]
            if self._left:
                return


def _chunks(
    profile: Profile, unit_gaps: Callable[[int], Floats], count: float
) -> Iterator[list[int]]:
    latest_ns, size = 0, 16
    while True:
        counts = count + np.cumsum(unit_gaps(size))
        # Rounding may bring two that are all but simultaneous out of order, by a nanosecond.
        times_ns = np.maximum.accumulate(np.maximum(profile.times_ns(counts), latest_ns)).tolist()
        yield times_ns
        if len(times_ns) < size:
            return
        count, latest_ns, size = counts[-1], times_ns[-1], min(4 * size, CHUNK)
