"""The soak: what it takes for growth, and that its books are those of the server."""

import random

import msgspec
import pytest
from records import HEALTHY

from bench.soak import (
    DESCRIPTORS_PER_S,
    MEMORY_PER_S,
    Entry,
    Trends,
    books,
    conclusion,
    is_wrong,
    soak,
    trends,
)
from bench.trend import LEAST_SAMPLES, Slope, slope

SECONDS = range(300)
STILL = Slope(0.0, 0.0, 0.0)
AGREED = [Entry("messages", 5, 5)]


def growing(per_s: float, noise: float, seed: int = 1) -> list[float]:
    draws = random.Random(seed)
    return [5e7 + per_s * at_s + draws.gauss(0, noise) for at_s in SECONDS]


class TestSlope:
    @pytest.mark.parametrize("per_s", [-3e3, 0.0, 145e3])
    def test_holds_the_true_one_in_most_cases(self, per_s: float) -> None:
        found = [slope(SECONDS, growing(per_s, 1e5, seed)) for seed in range(100)]
        held = [each.low_per_s <= per_s <= each.high_per_s for each in found]
        assert sum(held) >= 88  # of 100 at 95 %: fewer once in a thousand times
        assert all(each.low_per_s <= each.per_s <= each.high_per_s for each in found)

    def test_of_what_never_moves_is_nothing(self) -> None:
        assert slope(SECONDS, [1006.0] * 300) == STILL

    def test_is_not_moved_by_a_few_wild_samples(self) -> None:
        values = growing(1e3, 0.0)
        values[40:44] = [9e9] * 4
        assert slope(SECONDS, values).per_s == pytest.approx(1e3, rel=0.01)

    def test_of_memory_that_leaps_now_and_then_is_that_of_the_whole(self) -> None:
        leaping = [5e7 + 20_000 * (at_s // 20 * 20) for at_s in SECONDS]
        found = slope(SECONDS, leaping)
        assert found.low_per_s <= 20_000 <= found.high_per_s
        assert found.against(10_000) == "broken"

    def test_of_too_few_samples_cannot_be_told(self) -> None:
        few = range(LEAST_SAMPLES - 1)
        with pytest.raises(ValueError, match="too few"):
            slope(few, [0.0] * len(few))

    @pytest.mark.parametrize(
        ("low_per_s", "high_per_s", "word"),
        [(1, 9, "kept"), (9, 14, "undecided"), (11, 14, "undecided"), (13, 14, "broken")],
    )
    def test_is_broken_only_beyond_doubt(
        self, low_per_s: float, high_per_s: float, word: str
    ) -> None:
        assert Slope(10, low_per_s, high_per_s).against(10, 2) == word


class TestVerdict:
    @pytest.mark.parametrize(
        ("memory", "descriptors", "entries", "wrong"),
        [
            (STILL, STILL, AGREED, False),
            (Slope(4e4, MEMORY_PER_S + 1e6 / 40 - 1, 5e4), STILL, AGREED, False),
            (Slope(4e4, MEMORY_PER_S + 1e6 / 40 + 1, 5e4), STILL, AGREED, True),
            (Slope(145e3, 140e3, 150e3), STILL, AGREED, True),
            (STILL, Slope(1, 2 * DESCRIPTORS_PER_S, 1), AGREED, True),
            (STILL, STILL, [*AGREED, Entry("bytes", 64, 128)], True),
        ],
    )
    def test_is_wrong_where_it_grows_or_loses_count(
        self, memory: Slope, descriptors: Slope, entries: list[Entry], wrong: bool
    ) -> None:
        found = Trends(20.0, 40.0, [5000.0], memory, descriptors, None)
        assert is_wrong(found, entries) is wrong
        said = "\n".join(conclusion(found, entries))
        assert ("broken" in said or "DO NOT AGREE" in said) is wrong


def test_a_short_run_is_looked_at_and_its_books_are_those_of_the_server() -> None:
    soaked = soak(6.0, 200, 10)
    entries = books(soaked)
    assert [(entry.what, entry.ours) for entry in entries] == [
        (entry.what, entry.theirs) for entry in entries
    ]
    assert entries[0].ours == soaked.record.actual.messages > 0
    found = trends(soaked)
    assert found.of_descriptors != "broken"
    assert 10 < max(look.descriptors for look in soaked.looks) < 100
    lost = msgspec.structs.replace(
        soaked.record, actual=msgspec.structs.replace(HEALTHY.actual, messages=1)
    )
    assert is_wrong(found, books(type(soaked)(lost, soaked.looks, soaked.counts, 0)))
