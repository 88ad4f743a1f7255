"""The interval of a change: as wide as it must be."""

import math
from itertools import pairwise

import numpy as np
import pytest

from loadgen.compare.bootstrap import MOST_ROUNDS, of_groups, of_pairs, student_t

# Quantiles from M. Abramowitz, I. Stegun, "Handbook of Mathematical Functions", table 26.10.
TABLE = [
    (0.95, 1, 12.706),
    (0.95, 2, 4.303),
    (0.95, 4, 2.776),
    (0.95, 9, 2.262),
    (0.95, 120, 1.980),
    (0.99, 1, 63.657),
    (0.99, 5, 4.032),
    (0.998, 3, 10.214),
]


@pytest.mark.parametrize(("level", "degrees", "quantile"), TABLE)
def test_quantiles_are_those_of_the_tables(level: float, degrees: int, quantile: float) -> None:
    assert student_t(level, degrees) == pytest.approx(quantile, abs=0.0006)


def test_an_interval_holds_its_estimate_and_is_the_same_each_time() -> None:
    differences = [0.10, 0.12, 0.09, 0.11, 0.13]
    interval = of_pairs(differences, 0.95)
    assert interval.estimate == 0.11
    assert interval.low < 0.11 < interval.high
    assert interval.high - 0.11 == pytest.approx(0.11 - interval.low)
    assert interval == of_pairs(differences, 0.95)


def test_more_certainty_needs_more_room() -> None:
    widths = [
        interval.high - interval.low
        for interval in (of_pairs([1.0, 2.0, 4.0, 7.0], level) for level in (0.5, 0.9, 0.99))
    ]
    assert all(less < more for less, more in pairwise(widths))


def test_what_never_differs_has_no_width() -> None:
    assert of_pairs([0.5] * 3, 0.99)[:3] == (0.5, 0.5, 0.5)
    assert of_groups([1.0, 1.0], [1.5, 1.5, 1.5], 0.99)[:3] == (0.5, 0.5, 0.5)


def test_two_rounds_prove_little() -> None:
    interval = of_pairs([0.1, 0.12], 0.95)
    assert interval.low < 0 < interval.high


def test_pairs_see_through_a_drift_that_both_share() -> None:
    drift = [0.0, 0.3, -0.2, 0.5, -0.4, 0.1]
    head = [value + 0.05 + wobble for value, wobble in zip(drift, [0, 1e-3] * 3, strict=True)]
    pairs = of_pairs([after - before for before, after in zip(drift, head, strict=True)], 0.99)
    groups = of_groups(drift, head, 0.99)
    assert pairs.low > 0
    assert groups.low < 0 < groups.high


@pytest.mark.parametrize("rounds", [3, 5, 10])
@pytest.mark.parametrize("kind", ["normal", "skewed", "spiked"])
def test_an_interval_seldom_misses(rounds: int, kind: str) -> None:
    random = np.random.default_rng(7)

    def noise() -> list[float]:
        values = random.normal(size=rounds)
        if kind == "skewed":
            values = np.exp(values) - np.exp(random.normal(size=rounds))
        if kind == "spiked":
            values += 10 * random.normal(size=rounds) * (random.random(rounds) < 0.2)
        return list(values)

    tries = 200
    misses = sum(not i.low <= 0 <= i.high for i in (of_pairs(noise(), 0.95) for _ in range(tries)))
    assert misses <= 0.05 * tries


def test_says_how_many_rounds_would_do() -> None:
    random = np.random.default_rng(3)
    interval = of_pairs(list(random.normal(0, 0.03, 10)), 0.95)
    needed = interval.rounds_for(0.02, 0.95)
    assert needed is not None
    many = [of_pairs(list(random.normal(0, 0.03, needed)), 0.95) for _ in range(20)]
    typical = float(np.median([each.high - each.estimate for each in many]))
    assert typical == pytest.approx(0.02, rel=0.7)
    wide = interval.high - interval.estimate
    assert interval.rounds_for(wide * 1.001, 0.95) == 10
    assert interval.rounds_for(wide / math.sqrt(MOST_ROUNDS), 0.95) is None
