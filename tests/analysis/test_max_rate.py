"""The search for the highest rate, with runs that are made up."""

from collections.abc import Iterable
from typing import Any

import pytest
from records import failure, offered
from searches import BUSY, MS, PROMISE, TOO_SHORT, Runs, conclusion_of, made_up, runs_with, wall_at

from loadgen.analysis import checks, max_rate_text
from loadgen.analysis.max_rate import (
    LONGEST_STEP_S,
    MOST_STEPS,
    MOST_TRIES,
    PRECISION,
    Search,
)
from loadgen.net.failure import Cause, Phase
from loadgen.results.record import RunRecord

# ---- what it finds ------------------------------------------------------------------------


@pytest.mark.parametrize("wall_per_s", [7300.0, 1000.0, 999.0, 150_000.0])
@pytest.mark.parametrize("first_per_s", [1000.0, 64_000.0, 1.0])
def test_a_wall_is_found(wall_per_s: float, first_per_s: float) -> None:
    runs = wall_at(wall_per_s)
    looking = runs.search(first_per_s=first_per_s)
    assert looking.found_per_s is not None
    assert looking.found_per_s <= wall_per_s <= looking.found_per_s * (1 + PRECISION)
    assert looking.limited_by == "server"
    assert [step.rate_per_s for step in looking.steps] == [rate for rate, _ in runs.made]
    assert looking.steps[0].rate_per_s >= first_per_s
    for step in looking.steps:
        assert step.outcome == ("kept" if step.rate_per_s <= wall_per_s else "broken")
        assert step.messages_per_s == step.rate_per_s


def test_it_doubles_until_the_promise_breaks_and_then_halves_the_gap() -> None:
    rates = [step.rate_per_s for step in wall_at(7300).search().steps]
    assert rates[:4] == [1000, 2000, 4000, 8000]
    assert rates[4] == pytest.approx(8000 / 2**0.5)
    assert rates[5] == pytest.approx(8000 / 2**0.25)


def test_a_server_that_cannot_take_the_rate_breaks_the_promise() -> None:
    def run(rate_per_s: float, duration_s: float) -> RunRecord:
        got_per_s = min(rate_per_s, 3000.0)
        return made_up(rate_per_s, duration_s, 1.0, **offered(rate_per_s, got_per_s, duration_s))

    looking = Runs(run).search()
    assert looking.found_per_s is not None
    assert looking.found_per_s <= 3000 * 1.02
    assert looking.limited_by == "server"
    broken = [step for step in looking.steps if step.outcome == "broken"]
    assert {step.verdict for step in broken} == {"server-bound"}
    assert "server-bound" in conclusion_of(looking)


def test_errors_break_the_promise() -> None:
    def run(rate_per_s: float, duration_s: float) -> RunRecord:
        count = round(rate_per_s * duration_s / 100) if rate_per_s > 2000 else 0
        reset = failure(Phase.RECEIVE, Cause.RESET, count=count)
        return made_up(rate_per_s, duration_s, 1.0, failures=[reset] if count else [])

    looking = Runs(run).search()
    assert looking.found_per_s is not None
    assert looking.found_per_s <= 2000
    assert looking.limited_by == "server"
    [step] = [step for step in looking.steps if step.rate_per_s == 4000]
    assert step.failures == 80
    assert "errors<0.1%: 1 %" in max_rate_text.step_line(step).text


def test_where_the_generator_was_the_limit_the_server_is_not_the_limit() -> None:
    def run(rate_per_s: float, duration_s: float) -> RunRecord:
        return made_up(rate_per_s, duration_s, 1.0, **(BUSY if rate_per_s > 5000 else {}))

    looking = Runs(run).search()
    assert looking.found_per_s is not None
    assert looking.found_per_s <= 5000 <= looking.found_per_s * (1 + PRECISION)
    assert looking.limited_by == "generator"
    bound = [step for step in looking.steps if step.rate_per_s > 5000]
    assert {step.outcome for step in bound} == {"generator"}
    text = conclusion_of(looking)
    assert f"at least {looking.found_per_s:,.0f}/s".replace(",", "\xa0") in text
    assert "the generator was the limit, not the server" in text


def test_a_generator_at_its_limit_hides_what_it_breaks() -> None:
    """Even a promise that looks broken there says nothing about the server."""
    looking = Runs(lambda rate, time: made_up(rate, time, 50.0, **BUSY)).search(first_per_s=4.0)
    assert looking.found_per_s is None
    assert looking.limited_by == "generator"


def test_nothing_kept_is_nothing_found() -> None:
    runs = wall_at(0.0)
    looking = runs.search()
    assert looking.found_per_s is None
    assert looking.limited_by == "server"
    # No step at a lower rate would be long enough for a p99.
    assert [rate for rate, _ in runs.made] == [1000, 500, 250, 125, 62.5, 31.25]
    assert conclusion_of(looking).startswith("no rate that was tried keeps service_p99<=5ms")


def test_a_search_without_end_ends() -> None:
    looking = wall_at(float("inf")).search()
    assert len(looking.steps) == MOST_STEPS
    assert looking.limited_by == "nothing"
    assert "ended before a rate broke it" in conclusion_of(looking)


# ---- steps that are made again ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("p99s_ms", "tries", "outcome"),
    [
        ((1.0,), 1, "kept"),
        ((50.0,), 1, "broken"),
        ((4.8, 4.9), 2, "kept"),
        ((4.8, 1.0), 2, "kept"),
        ((4.8, 5.2, 4.8), 3, "kept"),
        ((4.8, 5.2, 5.2), 3, "broken"),
        ((5.2, 50.0), 2, "broken"),
        ((5.2, 1.0, 1.0), 3, "kept"),
    ],
)
def test_what_came_close_is_tried_again_and_the_majority_counts(
    p99s_ms: Iterable[float], tries: int, outcome: str
) -> None:
    step = runs_with(*p99s_ms).search().steps[0]
    assert (step.tries, step.outcome) == (tries, outcome)
    assert step.service_p99_ns is not None
    assert (step.service_p99_ns <= 5 * MS) == (outcome == "kept")


def test_what_cannot_be_decided_is_tried_again_and_then_named() -> None:
    def run(rate_per_s: float, duration_s: float) -> RunRecord:
        return made_up(rate_per_s, duration_s, 1.0, **(TOO_SHORT if rate_per_s > 1000 else {}))

    looking = Runs(run).search()
    assert looking.found_per_s == 1000
    assert looking.limited_by == "unclear"
    assert looking.steps[1].outcome == "unclear"
    assert 2 <= looking.steps[1].tries <= MOST_TRIES
    assert "inconclusive at" in conclusion_of(looking)


def test_one_unclear_run_does_not_decide() -> None:
    first = iter([TOO_SHORT])

    def run(rate_per_s: float, duration_s: float) -> RunRecord:
        p99_ms = 1.0 if rate_per_s <= 3000 else 50.0
        return made_up(rate_per_s, duration_s, p99_ms, **next(first, {}))

    looking = Runs(run).search()
    assert looking.steps[0].outcome == "kept"
    assert looking.steps[0].tries == MOST_TRIES
    assert looking.limited_by == "server"


@pytest.mark.parametrize(
    ("second", "outcome"), [(BUSY, "generator"), (TOO_SHORT, "unclear")], ids=["busy", "short"]
)
def test_without_a_majority_the_least_certain_outcome_counts(
    second: dict[str, Any], outcome: str
) -> None:
    """Kept, though close; then something else than kept or broken; then broken."""
    coming: Iterable[tuple[float, dict[str, Any]]] = iter([(4.8, {}), (1.0, second), (50.0, {})])

    def run(rate_per_s: float, duration_s: float) -> RunRecord:
        p99_ms, changes = next(iter(coming), (50.0, {}))
        return made_up(rate_per_s, duration_s, p99_ms, **changes)

    step = Runs(run).search().steps[0]
    assert (step.tries, step.outcome) == (MOST_TRIES, outcome)


def test_a_limit_of_zero_is_not_always_close() -> None:
    looking = wall_at(7300).search("errors==0,service_p99<=5ms")
    assert {step.tries for step in looking.steps} == {1}


# ---- how long ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("promise", "rate_per_s", "duration_s"),
    [
        ("service_p99<1s", 1000.0, 4.0),
        ("service_p99.9<1s", 1000.0, 40.0),
        ("service_p99.9<1s", 10_000.0, 4.0),
        ("service_p50<1s,response_p99<1s", 1000.0, 4.0),
        ("service_p99<1s", 1e6, 0.5),
        ("errors<1", 1000.0, 0.5),
        ("service_max<1s", 1000.0, 0.5),
        ("service_p99.9<1s", 1.0, LONGEST_STEP_S),
        ("errors<1", 10.0, 40.0),  # no verdict without a hundred replies
        ("service_p50<1s", 20.0, 20.0),
    ],
)
def test_a_step_is_long_enough_for_its_percentile(
    promise: str, rate_per_s: float, duration_s: float
) -> None:
    looking = Search(checks.parse_all(promise), shortest_s=0.5)
    assert looking.duration_s(rate_per_s) == pytest.approx(duration_s)


def test_a_step_lasts_as_long_as_the_user_wants() -> None:
    looking = Search(checks.parse_all(PROMISE), shortest_s=2 * LONGEST_STEP_S)
    assert looking.duration_s(1.0) == looking.duration_s(1e6) == 2 * LONGEST_STEP_S


def test_where_few_replies_are_stamped_a_step_has_more_of_them() -> None:
    looking = Search(checks.parse_all(PROMISE), timestamp_sample=10)
    assert looking.duration_s(4000.0) == pytest.approx(10.0)


def test_it_ends_when_it_is_told_to() -> None:
    runs = wall_at(7300)
    looking = runs.search(should_stop=lambda: len(runs.made) == 3)
    assert [step.rate_per_s for step in looking.steps] == [1000, 2000]  # the third was cut short
    assert (looking.found_per_s, looking.limited_by) == (2000, "nothing")
    runs = runs_with(4.8, 5.2, 4.8)
    assert runs.search(should_stop=lambda: len(runs.made) == 1).steps == []
    assert len(runs.made) == 1
