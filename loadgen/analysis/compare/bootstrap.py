"""How large is a change, and how sure is that? Bootstrap intervals for a handful of rounds.

Facts. A round is one run of a process. The rounds of a benchmark are few, skewed, and have
outliers; on a shared machine they drift. The median is robust against that; its spread is estimated
by drawing rounds with replacement and taking the median each time (B. Efron, "Bootstrap Methods:
Another Look at the Jackknife", Annals of Statistics 7, 1979). Neighbours in time share the drift,
so that the differences of pairs hold less of it.

Danger. The plain percentile bootstrap never reaches beyond the lowest and the highest value: of
five pairs without any change, all five lie on the same side in 1 of 16 cases, and its interval
would exclude no change. Values that happen to be equal have no spread, and would prove any
difference. And the median of a share does not show rare events: of ten rounds, two in which nothing
worked.

Decision. The interval is the estimate ± t · s: s is the bootstrap's standard error, widened by √(n
/ (n - 1)), and t Student's quantile for so few rounds (T. Hesterberg, "What Teachers Should Know
About the Bootstrap", The American Statistician 69, 2015). With few rounds it reaches beyond them:
in simulations of 5 to 10 normal, skewed and spiked rounds, 95 % intervals missed on one side in 0.2
to 1.9 % of the cases, where 2.5 % are allowed. No value is taken to be known better than its
resolution. Shares are compared by their mean.

Cost. Five rounds show a change of three times their spread, ten one of 1.4 times, where some seven
figures are compared. And no bootstrap shows a second mode of which there is no round.
"""

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

RESAMPLES: Final = 4000
"""More change the interval by less than 2 %."""

MOST_ROUNDS: Final = 1000
"""More rounds than this are not proposed."""

_SEED: Final = 1  # the same rounds always have the same interval


@dataclass(frozen=True)
class Method:
    """How a difference is estimated, and the confidence level of its interval.

    level: how often such an interval contains the true difference, such as 0.95.
    middle: `numpy.median` or `numpy.mean`.
    resolution: that of a value; equal values may differ by that much.
    """

    level: float
    middle: Callable[..., Any] = np.median
    resolution: float = 0.0


class ConfidenceInterval(NamedTuple):
    """The estimate of a difference, and its confidence interval.

    standard_error: of the estimate; rounds: how many of each side it rests on.
    """

    estimate: float
    low: float
    high: float
    standard_error: float
    rounds: int

    def rounds_to_tell(self, margin: float, level: float) -> int | None:
        """Return how many rounds would make the interval conclusive; None if too many.

        It is conclusive if it excludes 0, or all differences larger than ``margin``, whichever
        comes first if the estimate does not change.
        """
        spread = self.standard_error * math.sqrt(self.rounds)
        half_width = max(abs(self.estimate), margin - abs(self.estimate))

        def is_enough(rounds: int) -> bool:
            return student_t(level, rounds - 1) * spread / math.sqrt(rounds) <= half_width

        candidates = range(self.rounds + 1, MOST_ROUNDS + 1)
        place = bisect.bisect_left(candidates, True, key=is_enough)
        return candidates[place] if place < len(candidates) else None


def of_pairs(differences: Sequence[float], method: Method) -> ConfidenceInterval:
    """Return the interval of the middle of ``differences``, two of them at least."""
    count = len(differences)
    t = student_t(method.level, count - 1)
    estimate = float(method.middle(differences))
    return _interval(estimate, _variance(differences, method), t, count)


def of_groups(base: Sequence[float], head: Sequence[float], method: Method) -> ConfidenceInterval:
    """Return the interval of the middle of ``head`` less that of ``base``, two or more each.

    The degrees of freedom are those of B. L. Welch, "The Generalization of 'Student's' Problem when
    Several Different Population Variances are Involved", Biometrika 34, 1947.
    """
    estimate = float(method.middle(head) - method.middle(base))
    variances = _variance(base, method), _variance(head, method)
    total = sum(variances)
    summands = (
        variance**2 / (len(values) - 1)
        for variance, values in zip(variances, (base, head), strict=True)
    )
    fewest = min(len(base), len(head)) - 1
    divisor = sum(summands)
    degrees = max(fewest, math.floor(total**2 / divisor)) if divisor else fewest
    return _interval(estimate, total, student_t(method.level, degrees), fewest + 1)


def student_t(level: float, degrees: int) -> float:
    """Return the t for which the share ``level`` lies between -t and t: the two-sided quantile.

    By bisection of the distribution function, in its closed form for whole degrees of freedom
    (M. Abramowitz, I. Stegun, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4).
    """
    low, high = 0.0, 1.0
    while _within(high, degrees) < level:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, degrees) < level else (low, middle)
    return high


def _within(t: float, degrees: int) -> float:
    """Return the share of Student's distribution between -t and t."""
    angle = math.atan(t / math.sqrt(degrees))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = degrees % 2
    term = (cosine if degrees > 1 else 0.0) if odd else 1.0
    total = term
    for number in range(2 + odd, degrees - 1, 2):
        term *= cosine * cosine * (number - 1) / number
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def _interval(estimate: float, variance: float, t: float, rounds: int) -> ConfidenceInterval:
    standard_error = math.sqrt(variance)
    half_width = t * standard_error
    return ConfidenceInterval(
        estimate, estimate - half_width, estimate + half_width, standard_error, rounds
    )


def _variance(values: Sequence[float], method: Method) -> float:
    """Return the variance of the middle of ``values``."""
    count = len(values)
    drawn = np.random.default_rng(_SEED).integers(0, count, (RESAMPLES, count))
    middles = method.middle(np.asarray(values)[drawn], axis=1)
    return max(float(np.var(middles)) * count / (count - 1), method.resolution**2 / count)
