from typing import Any

import pytest
from records import plan

from loadgen.analysis import max_rate_text
from loadgen.analysis.lines import Line
from loadgen.analysis.max_rate import (
    LimitedBy,
    LoadStep,
    MaxRecord,
    StepResult,
)
from loadgen.results.verdict import CheckResult

PROMISE = "service_p99<5ms"
WIDEST = 105
BROKEN = CheckResult(check=PROMISE, outcome="failed", measured="7.50 ms", reason="")
REASON = (
    "the run is inconclusive: pauses of the generator longer than 5 ms: 12, "
    "together 1.20 s (12 % of the load), the longest 400 ms; involuntary context switches: 1234"
)
UNCLEAR = CheckResult(check=PROMISE, outcome="inconclusive", measured="1 ms", reason=REASON)


def step(
    rate_per_s: float, outcome: StepResult = "kept", *checks: CheckResult, **changes: Any
) -> LoadStep:
    figures: dict[str, Any] = {
        "duration_s": 2.0,
        "tries": 1,
        "verdict": "valid",
        "timestamps": "kernel",
        "messages_per_s": rate_per_s,
        "in_flight_at_server": 1.25,
        "service_p50_ns": 1_000_000,
        "service_p99_ns": 1_500_000,
        "response_p50_ns": 1_100_000,
        "response_p99_ns": 1_750_000,
        "failures": 0,
    }
    return LoadStep(
        rate_per_s=rate_per_s, outcome=outcome, checks=list(checks), **{**figures, **changes}
    )


def text_of(line: Line) -> str:
    return line.text.replace("\N{NO-BREAK SPACE}", " ")


def conclusion(limited_by: LimitedBy, found_per_s: float | None, *steps: LoadStep) -> list[str]:
    record = MaxRecord(
        promise=[PROMISE, "errors==0"],
        plan=plan(rate=1000.0),
        target="10.0.0.5:9999",
        found_per_s=found_per_s,
        limited_by=limited_by,
        steps=list(steps),
    )
    return [text_of(line) for line in max_rate_text.conclusion(record)]


def test_the_heading_names_the_promise_and_stands_over_the_columns() -> None:
    lines = [*max_rate_text.heading(PROMISE, "native"), max_rate_text.step_line(step(1000.0))]
    assert [text_of(line) for line in lines] == [
        "looking for the highest rate with service_p99<5ms, native engine",
        "                                     service time   response time",
        "      asked         got in flight     p50     p99     p50     p99",
        "    1 000/s     1 000/s      1.25    1 ms 1.50 ms 1.10 ms 1.75 ms  kept",
    ]
    assert [line.style for line in lines] == ["heading", "faint", "faint", "good"]


@pytest.mark.parametrize(
    ("made", "end", "style"),
    [
        (step(1000.0), "  kept", "good"),
        (step(1000.0, tries=2), "  kept, 2 tries", "good"),
        (step(1000.0, "broken", BROKEN), "  broken: service_p99<5ms: 7.50 ms", "bad"),
        (step(1000.0, "broken", BROKEN, tries=2), "  broken: service_p99<5ms: 7.50 ms", "bad"),
        (
            step(1000.0, "broken", verdict="server-bound"),
            "  broken: the run is server-bound",
            "bad",
        ),
        (step(1000.0, "generator", BROKEN), "  the generator was the limit", "faint"),
        (
            step(1000.0, "unclear", UNCLEAR, tries=3),
            "  unclear: service_p99<5ms: the run is …",
            "faint",
        ),
    ],
)
def test_a_step_ends_with_what_became_of_the_promise(made: LoadStep, end: str, style: str) -> None:
    line = max_rate_text.step_line(made)
    assert text_of(line)[curve_width() :] == end
    assert line.style == style
    assert len(line.text) <= WIDEST


def curve_width() -> int:
    return len(max_rate_text.heading(PROMISE, "native")[-1].text)


def test_only_what_was_missed_is_named() -> None:
    kept = CheckResult(check="errors==0", outcome="passed", measured="0", reason="")
    assert "errors" not in max_rate_text.step_line(step(1000.0, "broken", kept, BROKEN)).text


def test_figures_that_are_not_there_are_dashes() -> None:
    nothing: dict[str, Any] = dict.fromkeys(
        ("service_p50_ns", "service_p99_ns", "response_p50_ns", "response_p99_ns")
    )
    line = text_of(max_rate_text.step_line(step(1.5, in_flight_at_server=None, **nothing)))
    assert line.split() == ["1.5/s", "1.5/s", *["-"] * 5, "kept"]


def test_columns_stay_apart_where_the_numbers_are_large() -> None:
    line = text_of(max_rate_text.step_line(step(1_000_000.0, in_flight_at_server=123_456.7)))
    assert line.startswith("1 000 000/s 1 000 000/s    123457    1 ms")


# ---- the conclusion -----------------------------------------------------------------------


def test_where_the_server_was_the_limit_the_answer_is_exact() -> None:
    assert conclusion("server", 4000.0, step(4000.0), step(4200.0, "broken", BROKEN)) == [
        "highest rate that keeps service_p99<5ms, errors==0: 4 000/s",
        "  4 200/s broke it: service_p99<5ms: 7.50 ms",
    ]


def test_the_lowest_rate_that_broke_it_is_named() -> None:
    higher, lower = (step(rate, "broken", BROKEN) for rate in (8000.0, 4200.0))
    assert conclusion("server", 4000.0, higher, step(4000.0), lower)[1].startswith(
        "  4 200/s broke"
    )


def test_where_the_generator_was_the_limit_the_server_may_do_more() -> None:
    made = (step(64_000.0), step(128_000.0, "generator"))
    first, *others = conclusion("generator", 64_000.0, *made)
    assert first == "highest rate that keeps service_p99<5ms, errors==0: at least 64 000/s"
    assert " ".join(line.strip() for line in others) == (
        "at 128 000/s the generator was the limit, not the server: share the load between machines "
        "to find a higher rate"
    )


def test_where_steps_were_unclear_the_whole_reason_is_told() -> None:
    first, *others = conclusion("unclear", 500.0, step(500.0), step(1000.0, "unclear", UNCLEAR))
    assert first == "highest rate that keeps service_p99<5ms, errors==0: at least 500/s"
    assert " ".join(line.strip() for line in others) == (
        f"inconclusive at 1 000/s: {PROMISE}: {REASON}"
    )
    assert all(line.startswith("  ") and len(line) <= WIDEST for line in others)


def test_a_search_that_was_ended_says_so() -> None:
    assert conclusion("nothing", 1000.0, step(1000.0)) == [
        "highest rate that keeps service_p99<5ms, errors==0: at least 1 000/s",
        "  the search was ended before a rate broke it",
    ]
    assert conclusion("nothing", None) == ["the search was ended before any rate was tried"]


@pytest.mark.parametrize(
    ("limited_by", "lowest", "words"),
    [
        ("server", step(1.0, "broken", BROKEN), "  1/s broke it: service_p99<5ms: 7.50 ms"),
        (
            "generator",
            step(1.0, "generator"),
            "  at 1/s the generator was the limit, not the server",
        ),
        ("unclear", step(1.0, "unclear", UNCLEAR), "  inconclusive at 1/s: "),
    ],
)
def test_where_no_rate_keeps_the_promise(
    limited_by: LimitedBy, lowest: LoadStep, words: str
) -> None:
    first, *others = conclusion(limited_by, None, step(2.0, "broken", BROKEN), lowest)
    assert first == "no rate that was tried keeps service_p99<5ms, errors==0"
    assert others[0].startswith(words)


def test_times_of_user_space_are_called_that() -> None:
    warning = "  times are user-space: they contain this process's own queue"
    assert conclusion("nothing", 9.0, step(9.0, timestamps="user"))[1] == warning
    assert warning not in conclusion("nothing", 9.0, step(9.0))


def test_why_the_engine_was_in_python_is_said_once() -> None:
    slow = step(9.0, why_python="no compiler")
    assert conclusion("nothing", 9.0, slow, slow).count("  (Python engine: no compiler)") == 1
    assert not any("engine" in line for line in conclusion("nothing", 9.0, step(9.0)))
