"""How fast something grows, and within which bounds that is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal

import numpy as np

CONFIDENCE: Final = 0.95
BATCHES: Final = 30
"""Samples are put together in so many batches, at most, and four of them at least in each."""

_LEAST_IN_BATCH: Final = 4
_LEAST_BATCHES: Final = 5
LEAST_SAMPLES: Final = _LEAST_IN_BATCH * _LEAST_BATCHES
"""Of fewer, no slope can be told."""

Word = Literal["kept", "broken", "undecided"]


@dataclass(frozen=True)
class Slope:
    """What is added in a second, and the ends of its interval of `CONFIDENCE`."""

    per_s: float
    low_per_s: float
    high_per_s: float

    def against(self, most_per_s: float) -> Word:
        """Return whether it grows by no more than that; only what is beyond doubt is broken."""
        if self.high_per_s <= most_per_s:
            return "kept"
        return "broken" if self.low_per_s > most_per_s else "undecided"


def slope(at_s: Sequence[float], values: Sequence[float]) -> Slope:
    """Return the slope of ``values`` over time, after Theil and Sen.

    It is the median of the slopes of all pairs of points, which a few wild ones do not move; its
    interval is Sen's, of the ranks of these slopes (P. K. Sen, "Estimates of the Regression
    Coefficient Based on Kendall's Tau", Journal of the American Statistical Association 63, 1968).
    That takes the points for independent, and neighbouring samples of a process are not: memory
    stays where it is, and leaps. So the points are the medians of batches of neighbours (A. M. Law,
    "Simulation Modeling and Analysis", the method of batch means).

    Raises ValueError where there are too few samples.
    """
    batches = min(BATCHES, len(at_s) // _LEAST_IN_BATCH)
    if len(at_s) < LEAST_SAMPLES:
        raise ValueError(f"{len(at_s)} samples are too few to tell a slope")
    x, y = (
        np.array([np.median(batch) for batch in np.array_split(np.array(column, float), batches)])
        for column in (at_s, values)
    )
    first, second = np.triu_indices(batches, 1)
    slopes = np.sort((y[second] - y[first]) / (x[second] - x[first]))
    deviation = np.sqrt(batches * (batches - 1) * (2 * batches + 5) / 18)  # of Kendall's S
    apart = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2) * deviation
    low = max(0, int((slopes.size - apart) / 2))
    return Slope(float(np.median(slopes)), float(slopes[low]), float(slopes[-1 - low]))
