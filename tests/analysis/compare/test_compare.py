"""Slower, faster, same, or inconclusive."""

import random
from typing import Any

import msgspec
import pytest
from recorded_rounds import PAIRS, recorded, some_of
from sides import RATE, SHARE, STEADY, TIME, side, times

from loadgen.analysis.compare import gates
from loadgen.analysis.compare.comparison import Comparison, Terms, compare
from loadgen.analysis.compare.gates import Change, GateResult
from loadgen.analysis.compare.rounds import Kind, Rounds
from loadgen.errors import UsageError

TRIES = 20
FIGURE_GATE = gates.parse("figure>5%")


def only_change(comparison: Comparison) -> Change:
    (change,) = comparison.changes
    return change


def only_gate(text: str, base: Rounds, head: Rounds) -> GateResult:
    (result,) = compare(base, head, Terms(gates=(gates.parse(text),))).gates
    return result


class TestWord:
    @pytest.mark.parametrize(
        ("kind", "factor", "word"),
        [
            (TIME, 1.2, "slower"),
            (TIME, 0.8, "faster"),
            (TIME, 1.001, "same"),
            (RATE, 1.2, "faster"),
            (RATE, 0.8, "slower"),
            (RATE, 1.0, "same"),
        ],
    )
    def test_says_what_the_figures_show(self, kind: Kind, factor: float, word: str) -> None:
        head = side(times(STEADY, factor), kind, head=True)
        change = only_change(compare(side(STEADY, kind), head))
        assert change.word == word
        assert change.ratio == pytest.approx(factor)
        assert change.rounds_needed is None

    def test_a_small_change_is_none_however_certain(self) -> None:
        head = side(times(STEADY, 1.03), head=True)
        comparison = compare(side(STEADY), head)
        assert only_change(comparison).word == "same"
        assert only_change(comparison).worse_low == pytest.approx(0.03, abs=0.006)
        narrow = compare(side(STEADY), head, Terms(margin=0.01))
        assert only_change(narrow).word == "slower"

    def test_noise_is_no_answer_and_says_what_would_be_one(self) -> None:
        change = only_change(compare(side(STEADY), side([80, 130, 95, 120, 85], head=True)))
        assert change.word == "inconclusive"
        assert change.rounds_needed is None or change.rounds_needed > len(STEADY)

    def test_one_round_is_no_answer(self) -> None:
        change = only_change(compare(side([100]), side([200], head=True)))
        assert (change.word, change.worse) == ("inconclusive", None)
        assert "fewer than two rounds" in change.why

    def test_nothing_has_no_ratio(self) -> None:
        change = only_change(compare(side([0, 0, 1]), side([1, 1, 1], head=True)))
        assert change.word == "inconclusive"
        assert "no ratio" in change.why

    @pytest.mark.parametrize("count", [2, 5])
    def test_a_rate_of_which_nothing_is_left_is_slower(self, count: int) -> None:
        head = side([0.0] * count, RATE, head=True)
        comparison = compare(side(STEADY[:count], RATE), head, Terms(gates=(FIGURE_GATE,)))
        change = only_change(comparison)
        assert (change.word, change.ratio, change.worse) == ("slower", 0.0, 1.0)
        assert comparison.gates[0].outcome == "failed"
        assert "100.0 % worse" in comparison.gates[0].reason
        assert msgspec.json.decode(comparison.to_json(), type=Comparison) == comparison

    @pytest.mark.parametrize("head", [[0.0] * 5, [100.0, 0.0, 100.0, 100.0, 100.0]])
    def test_a_rate_that_was_nothing_before_or_is_so_now_and_then_has_no_ratio(
        self, head: list[float]
    ) -> None:
        base = [0.0] * 5 if not any(head) else STEADY
        change = only_change(compare(side(base, RATE), side(head, RATE, head=True)))
        assert (change.word, change.worse) == ("inconclusive", None)

    def test_two_rounds_that_happen_to_be_equal_prove_little(self) -> None:
        change = only_change(compare(side([100.0] * 2), side([103.0] * 2, head=True)))
        assert change.word == "inconclusive"

    @pytest.mark.parametrize(
        ("errors", "word"),
        [
            ([0.0] * 5, "same"),
            ([0.01, 0.011, 0.012, 0.01, 0.01], "slower"),
            ([0.0] * 18 + [1.0] * 2, "inconclusive"),
        ],
        ids=["none", "some", "all of them, now and then"],
    )
    def test_shares_may_be_nothing_and_what_is_rare_counts(
        self, errors: list[float], word: str
    ) -> None:
        base = side([0.0] * len(errors), SHARE)
        change = only_change(compare(base, side(errors, SHARE, head=True)))
        assert (change.word, change.ratio) == (word, None)
        assert change.worse == pytest.approx(sum(errors) / len(errors))


class TestSides:
    def test_neighbours_share_the_drift_of_their_machine(self) -> None:
        drift = [100.0, 150.0, 90.0, 180.0, 120.0, 70.0]
        slower = [
            value * (1.1 + wobble) for value, wobble in zip(drift, [0, 0.01] * 3, strict=True)
        ]
        comparison = compare(side(drift), side(slower, head=True))
        assert comparison.in_turn
        assert only_change(comparison).word == "slower"
        apart = side(slower, head=True, taken_at=tuple(f"2026-01-02T{n}" for n in range(6)))
        assert not compare(side(drift), apart).in_turn
        assert only_change(compare(side(drift), apart)).word == "inconclusive"

    def test_leave_out_rounds_with_their_neighbours(self) -> None:
        base = side([100.0, None, 100.0, 101.0, 99.0])
        head = side([120.0, 500.0, None, 121.0, 119.0], head=True)
        comparison = compare(base, head)
        assert comparison.rounds == (5, 5)
        assert only_change(comparison).ratio == pytest.approx(1.2, rel=0.01)
        assert only_change(comparison).word == "slower"

    def test_that_have_one_round_left_show_nothing(self) -> None:
        change = only_change(compare(side([100.0, None]), side([120.0, 120.0], head=True)))
        assert (change.word, change.base, change.head) == ("inconclusive", 100.0, 120.0)

    def test_may_have_rounds_of_unlike_number(self) -> None:
        comparison = compare(side(STEADY), side(times(STEADY, 1.2)[:3], head=True))
        assert comparison.rounds == (5, 3)
        assert only_change(comparison).word == "slower"

    def test_unlike_ones_are_refused_by_name(self) -> None:
        base = side(STEADY, facts={"machine: cpu": frozenset({"fast"})})
        head = side(STEADY, head=True, facts={"machine: cpu": frozenset({"slow"})})
        with pytest.raises(UsageError, match=r"machine: cpu: fast and slow.*--force"):
            compare(base, head)
        comparison = compare(base, head, Terms(also_unlike=True))
        assert comparison.unlike == ["machine: cpu: fast and slow"]

    def test_rounds_of_one_side_must_be_alike(self) -> None:
        mixed = side(STEADY, facts={"plan: size": frozenset({"1", "2"})})
        with pytest.raises(UsageError, match="plan: size: 1 or 2"):
            compare(mixed, side(STEADY, head=True))

    def test_need_a_figure_in_common(self) -> None:
        other = side(STEADY, kinds={"other": TIME}, figures={"other": STEADY})
        with pytest.raises(UsageError, match="no figure in common"):
            compare(side(STEADY), other)

    def test_say_what_is_on_one_of_them_alone(self) -> None:
        both = side(
            STEADY,
            head=True,
            kinds={"figure": TIME, "new": TIME},
            figures={"figure": STEADY, "new": STEADY},
            missing={"rare": "left to chance"},
        )
        assert compare(side(STEADY), both).missing == {
            "new": "only in head",
            "rare": "left to chance",
        }

    def test_of_many_figures_each_must_be_surer(self) -> None:
        def with_figures(count: int, factor: float, head: bool) -> Any:
            names = [f"figure {number}" for number in range(count)]
            return side(
                STEADY,
                head=head,
                kinds=dict.fromkeys(names, TIME),
                figures=dict.fromkeys(names, times([100, 108, 94, 103, 98], factor)),
                taken_at=tuple(f"{'b' if head else 'a'}{n}" for n in range(5)),
            )

        widths = []
        for count in (1, 10):
            change = compare(with_figures(count, 1, False), with_figures(count, 1, True)).changes[0]
            assert change.worse_high is not None
            widths.append(change.worse_high)
        assert widths[0] < widths[1]


class TestGate:
    SLOWER = side(times(STEADY, 1.10), head=True)

    @pytest.mark.parametrize(
        ("gate", "outcome"), [("figure>5%", "failed"), ("figure > 15 %", "passed")]
    )
    def test_looks_at_the_change(self, gate: str, outcome: str) -> None:
        result = only_gate(gate, side(STEADY), self.SLOWER)
        assert (result.gate, result.outcome) == (gate, outcome)
        assert "a time is 10.0 % worse" in result.reason

    def test_is_undecided_where_noise_could_be_all(self) -> None:
        noisy = side([80, 140, 95, 150, 110], head=True)
        assert only_gate("figure>5%", side(STEADY), noisy).outcome == "inconclusive"

    def test_is_undecided_where_too_much_is_not_excluded(self) -> None:
        result = only_gate("figure>5%", side(STEADY), side([100, 108, 97, 106, 99], head=True))
        assert result.outcome == "inconclusive"

    def test_is_undecided_where_the_figure_is_missing(self) -> None:
        base = side(STEADY, missing={"rare": "left to chance"})
        result = only_gate("rare>5%", base, side(STEADY, head=True))
        assert (result.outcome, result.reason) == ("inconclusive", "left to chance")

    def test_of_a_rate_is_about_less_of_it(self) -> None:
        head = side(times(STEADY, 0.9), RATE, head=True)
        assert only_gate("figure>5%", side(STEADY, RATE), head).outcome == "failed"
        assert only_gate("figure>12%", side(STEADY, RATE), head).outcome == "passed"

    def test_of_errors_is_about_their_share(self) -> None:
        head = side([0.002] * 5, SHARE, head=True)
        assert only_gate("figure>0.1%", side([0.0] * 5, SHARE), head).outcome == "failed"
        assert only_gate("figure>0.3%", side([0.0] * 5, SHARE), head).outcome == "passed"
        reason = only_gate("figure>0.1%", side([0.0] * 5, SHARE), head).reason
        assert reason == "a share is 0.2 points worse (worse by +0.2 points to +0.2 points)"

    def test_of_errors_that_there_were_none_of_passes(self) -> None:
        none = [0.0] * 3
        result = only_gate("figure>0.1%", side(none, SHARE), side(none, SHARE, head=True))
        assert result.outcome == "passed"
        assert result.reason == "a share is what it was in every round"

    def test_may_stand_for_several_figures(self) -> None:
        both: dict[str, Any] = {
            "kinds": {"one": TIME, "two": TIME},
            "aliases": {"time": ("one", "two")},
        }
        base = side(STEADY, **both, figures={"one": STEADY, "two": STEADY})
        head = side(STEADY, head=True, **both, figures={"one": STEADY, "two": times(STEADY, 2)})
        results = compare(base, head, Terms(gates=(gates.parse("time>5%"),))).gates
        assert [(each.figure, each.outcome) for each in results] == [
            ("one", "passed"),
            ("two", "failed"),
        ]

    def test_of_an_unknown_figure_is_refused(self) -> None:
        with pytest.raises(UsageError, match=r"did you mean figure\?.*figures are figure"):
            only_gate("figgure>5%", side(STEADY), self.SLOWER)

    def test_of_a_figure_by_another_name_that_no_round_has_is_refused(self) -> None:
        base = side(STEADY, aliases={"p99": ("service_p99",)})
        with pytest.raises(UsageError) as refusal:
            only_gate("p99>5%", base, self.SLOWER)
        assert str(refusal.value) == (
            "--fail-on p99>5%: p99 is service_p99, which no round here has (figures are figure)"
        )

    @pytest.mark.parametrize("text", ["", "p99", "p99>5", "p99<5%", ">5%", "p99>x%", "p99>-1%"])
    def test_of_another_form_is_refused(self, text: str) -> None:
        with pytest.raises(UsageError, match="--fail-on"):
            gates.parse(text)


class TestRecorded:
    """On rounds of real servers (`recorded_rounds`), some neighbours at a time."""

    @pytest.mark.parametrize("rounds", [5, 10])
    def test_the_same_server_is_never_slower(self, rounds: int) -> None:
        said = [word for _, words in tries("identical", rounds) for word in words.values()]
        assert len(said) >= 6 * TRIES
        assert "slower" not in said

    @pytest.mark.parametrize("rounds", [5, 10])
    def test_a_server_that_is_a_tenth_slower_is_found(self, rounds: int) -> None:
        for comparison, words in tries("slower", rounds):
            assert words["service_p50"] == "slower"
            assert comparison.gates[0].outcome == "failed"
            assert words["messages_per_s"] in ("slower", "inconclusive")

    def test_what_noise_hides_is_found_with_more_rounds(self) -> None:
        assert {words["messages_per_s"] for _, words in tries("slower", 20)} == {"slower"}

    def test_the_same_server_is_the_same_where_there_is_little_noise(self) -> None:
        server, _ = recorded("slower")
        odd, even = (some_of(server, list(range(first, 20, 2))) for first in (0, 1))
        words = {each.figure: each.word for each in compare(odd, even).changes}
        assert words["service_p50"] == "same"
        assert "slower" not in words.values()

    def test_which_side_is_which_does_not_matter(self) -> None:
        head, base = recorded("slower")
        words = {each.figure: each.word for each in compare(base, head).changes}
        assert words["service_p50"] == words["messages_per_s"] == "faster"


def tries(name: str, rounds: int) -> list[tuple[Comparison, dict[str, str]]]:
    base, head = recorded(name)
    terms = Terms(gates=tuple(map(gates.parse, ("service_p50>5%", "messages_per_s>5%"))))
    found = []
    for seed in range(TRIES):
        picked = sorted(random.Random(seed).sample(range(PAIRS), rounds))
        comparison = compare(some_of(base, picked), some_of(head, picked), terms)
        assert comparison.in_turn
        words: dict[str, str] = {each.figure: each.word for each in comparison.changes}
        found.append((comparison, words))
    return found


def test_a_comparison_survives_json() -> None:
    comparison = compare(side(STEADY), side(times(STEADY, 1.1), head=True))
    assert msgspec.json.decode(comparison.to_json(), type=Comparison) == comparison
