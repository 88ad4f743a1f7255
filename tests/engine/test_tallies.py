import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.engine.tallies import InterSendTally, TimesTally
from loadgen.results.histogram import Histogram, Integers

START_NS = 10**15  # no clock's origin means anything


def variation_of(*portions: Integers) -> float | None:
    tally = InterSendTally()
    for portion in portions:
        tally.add(portion)
    return tally.variation


class TestInterSendTimes:
    @given(
        st.lists(st.integers(1, 10**9), min_size=2, max_size=60),
        st.lists(st.integers(1, 60), max_size=6),
    )
    def test_vary_as_they_do_on_the_whole_however_they_are_portioned(
        self, gaps_ns: list[int], cuts: list[int]
    ) -> None:
        sent_ns = np.cumsum([START_NS, *gaps_ns])
        portions = [part for part in np.split(sent_ns, sorted(cuts)) if part.size]
        expected = np.var(gaps_ns) / np.mean(gaps_ns) ** 2
        assert variation_of(*portions) == pytest.approx(expected, rel=1e-6, abs=1e-9)

    def test_that_are_even_do_not_vary(self) -> None:
        sent_ns = START_NS + 1000 * np.arange(1000)
        assert variation_of(sent_ns) == pytest.approx(0, abs=1e-9)

    def test_that_are_random_vary_by_one(self) -> None:
        gaps_ns = np.random.default_rng(1).exponential(1e5, 100_000).astype(np.int64)
        assert variation_of(START_NS + np.cumsum(gaps_ns)) == pytest.approx(1, abs=0.05)

    def test_in_bursts_vary_more(self) -> None:
        sent_ns = START_NS + 1_000_000 * np.repeat(np.arange(100), 10)
        assert variation_of(sent_ns) == pytest.approx(9, abs=0.2)

    @pytest.mark.parametrize("sends", [[], [5], [5, 5, 5]])
    def test_that_are_none_have_no_variation(self, sends: list[int]) -> None:
        assert variation_of(*[np.array([sent_ns]) for sent_ns in sends]) is None

    def test_are_one_fewer_than_the_sends(self) -> None:
        tally = InterSendTally()
        for number in range(5):
            tally.add(np.array([START_NS + number, START_NS + number]))
        assert tally.count == 9
        assert math.isclose(tally.sum_s, 4e-9)


HISTOGRAMS = (
    *("service", "response", "schedule_lag", "blocked", "generator_lag"),
    *("receive_lag", "user_space", "read_uncertainty"),
    *("delayed_service", "delayed_response", "delayed_lag"),
    *("first_part", "last_part"),
)
COUNTS = (
    *("stamped", "upper_bounds", "missing", "implausible", "unsampled", "left_out"),
    "delayed_reads",
)


def tally(first: int) -> TimesTally:
    """A tally in which no two figures are the same."""
    made = TimesTally()
    for value, name in enumerate(HISTOGRAMS, first):
        getattr(made, name).record([value, 1000 + value])
    for value, name in enumerate(COUNTS, first):
        setattr(made, name, value)
    return made


def test_merging_adds_every_figure_to_its_own_kind() -> None:
    merged = tally(10)
    merged.merge(tally(50))
    for position, name in enumerate(HISTOGRAMS):
        histogram: Histogram = getattr(merged, name)
        assert histogram.count == 4
        assert (histogram.min_ns, histogram.max_ns) == (10 + position, 1050 + position)
    assert [getattr(merged, name) for name in COUNTS] == [60, 62, 64, 66, 68, 70, 72]


def test_merging_leaves_the_other_as_it_was() -> None:
    other = tally(50)
    merged = tally(10)
    merged.merge(other)
    merged.service.record([1])
    assert other.service.count == 2


def test_these_are_all_the_figures_there_are() -> None:
    assert set(TimesTally.__slots__) == {*HISTOGRAMS, *COUNTS, "kinds"}
