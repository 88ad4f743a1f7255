"""The interval of a change: as wide as it must be."""

import math
from itertools import pairwise

import numpy as np
import pytest

from loadgen.analysis.compare.bootstrap import (
    MOST_ROUNDS,
    ConfidenceInterval,
    Method,
    of_groups,
    of_pairs,
    student_t,
)

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
    interval = of_pairs(differences, Method(0.95))
    assert interval.estimate == 0.11
    assert interval.low < 0.11 < interval.high
    assert interval.high - 0.11 == pytest.approx(0.11 - interval.low)
    assert interval == of_pairs(differences, Method(0.95))


def test_more_certainty_needs_more_room() -> None:
    widths = [
        interval.high - interval.low
        for interval in (
            of_pairs([1.0, 2.0, 4.0, 7.0], Method(level)) for level in (0.5, 0.9, 0.99)
        )
    ]
    assert all(less < more for less, more in pairwise(widths))


def test_what_never_differs_is_known_to_its_resolution() -> None:
    exact, coarse = Method(0.99), Method(0.99, resolution=0.01)
    assert of_pairs([0.5] * 3, exact)[:3] == (0.5, 0.5, 0.5)
    assert of_groups([1.0, 1.0], [1.5, 1.5, 1.5], exact)[:3] == (0.5, 0.5, 0.5)
    assert of_pairs([0.4] * 2, coarse).low < 0 < of_pairs([0.4] * 10, coarse).low
    assert of_groups([1.0] * 2, [1.05] * 2, coarse).low < 0


def test_a_mean_sees_what_is_rare() -> None:
    rare = [0.0] * 9 + [1.0]
    assert of_pairs(rare, Method(0.95)).estimate == 0
    interval = of_pairs(rare, Method(0.95, middle=np.mean))
    assert interval.estimate == pytest.approx(0.1)
    assert interval.standard_error == pytest.approx(np.std(rare, ddof=1) / math.sqrt(10), rel=0.05)


def test_two_rounds_prove_little() -> None:
    interval = of_pairs([0.1, 0.12], Method(0.95))
    assert interval.low < 0 < interval.high


def test_pairs_see_through_a_drift_that_both_share() -> None:
    drift = [0.0, 0.3, -0.2, 0.5, -0.4, 0.1]
    head = [value + 0.05 + wobble for value, wobble in zip(drift, [0, 1e-3] * 3, strict=True)]
    pairs = of_pairs(
        [after - before for before, after in zip(drift, head, strict=True)], Method(0.99)
    )
    groups = of_groups(drift, head, Method(0.99))
    assert pairs.low > 0
    assert groups.low < 0 < groups.high


@pytest.mark.parametrize("in_turn", [True, False], ids=["pairs", "groups"])
@pytest.mark.parametrize("rounds", [3, 5, 10])
@pytest.mark.parametrize("kind", ["normal", "skewed", "spiked"])
def test_an_interval_seldom_misses(rounds: int, kind: str, in_turn: bool) -> None:
    random, method = np.random.default_rng(7), Method(0.95)

    def noise() -> list[float]:
        values = random.normal(size=rounds)
        if kind == "skewed":
            values = np.exp(values) - 1  # its median is 0, its mean is not
        if kind == "spiked":
            values += 10 * random.normal(size=rounds) * (random.random(rounds) < 0.2)
        return list(values)

    tries = 200
    intervals = [
        of_pairs(noise(), method) if in_turn else of_groups(noise(), noise(), method)
        for _ in range(tries)
    ]
    misses = sum(not interval.low <= 0 <= interval.high for interval in intervals)
    assert misses <= 0.05 * tries


def test_says_how_many_rounds_would_do() -> None:
    random = np.random.default_rng(3)
    spread = 0.03 * math.sqrt(math.pi / 2)  # of the median of so many normal values, times √n
    interval = ConfidenceInterval(0.0, -0.02, 0.02, spread / math.sqrt(5), 5)
    needed = interval.rounds_to_tell(0.02, 0.95)
    assert needed is not None
    many = [of_pairs(list(random.normal(0, 0.03, needed)), Method(0.95)) for _ in range(40)]
    assert float(np.median([each.high - each.estimate for each in many])) == pytest.approx(
        0.02, rel=0.2
    )


@pytest.mark.parametrize("estimate", [0.0, 0.04, -0.04, 0.06, 0.2])
def test_what_lies_at_the_edge_of_the_margin_is_soonest_told_by_its_sign(estimate: float) -> None:
    margin, error = 0.05, 0.05
    interval = ConfidenceInterval(estimate, estimate - 1, estimate + 1, error, 5)
    half_width = max(abs(estimate), margin - abs(estimate))
    needed = interval.rounds_to_tell(margin, 0.95)
    assert needed is not None
    for rounds, is_enough in ((needed, True), (needed - 1, needed == 6)):
        reached = student_t(0.95, rounds - 1) * error * math.sqrt(5 / rounds)
        assert (reached <= half_width) is is_enough


def test_says_when_no_bearable_number_of_rounds_would_do() -> None:
    hopeless = ConfidenceInterval(0.0, -1.0, 1.0, 1.0, 5)
    assert hopeless.rounds_to_tell(1 / math.sqrt(MOST_ROUNDS), 0.95) is None
