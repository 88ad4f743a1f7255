"""What was never answered, and what follows for percentiles, verdict and checks."""

from typing import Any

import msgspec
import pytest
from records import (
    LONG,
    LONG_OPEN_LOOP,
    closed_loop,
    datagrams,
    open_loop,
    plan,
    spread,
    timestamps,
)

from loadgen.analysis import censoring
from loadgen.analysis.checks import check
from loadgen.analysis.verdict.judging import judge
from loadgen.results.record import RunRecord
from loadgen.results.verdict import CheckOutcome

S = 1_000_000_000


def silent(count: int) -> RunRecord:
    """A closed loop of 10 000 messages, ``count`` of which had no answer when it ended."""
    answered = 10_000 - count
    actual = msgspec.structs.replace(LONG["actual"], messages=answered, cut_off=count)
    return closed_loop(actual=actual)


def behind(answered_per_s: float, service_ns: int, **changes: Any) -> RunRecord:
    """An open loop of 10 s at 1000/s, all of it sent."""
    actual = msgspec.structs.replace(LONG_OPEN_LOOP["actual"], messages_per_s=answered_per_s)
    times = spread(service_ns, service_ns, service_ns)
    return open_loop(actual=actual, service_time_ns=times, **changes)


def test_messages_without_an_answer_are_those_sent_and_those_that_were_only_due() -> None:
    actual = msgspec.structs.replace(
        LONG["actual"], submitted=130, warmup_messages=20, messages=100, overdue=7
    )
    record = closed_loop(actual=actual)
    assert censoring.unanswered(record) == 10
    assert censoring.unserved(record) == 17


def test_datagrams_that_the_warm_up_lost_leave_nothing_unknown() -> None:
    actual = msgspec.structs.replace(LONG["actual"], submitted=130, warmup_messages=20)
    books = datagrams(answered=9_999, lost=1, send_refused=2)
    assert censoring.unanswered(closed_loop(actual=actual, datagrams=books)) == 3


@pytest.mark.parametrize(
    ("percent", "count", "is_known"),
    [(99, 0, True), (100, 0, True), (99, 99, True), (99, 100, False), (50, 4_999, True)],
)
def test_percentiles_are_known_below_the_share_that_had_no_answer(
    percent: float, count: int, is_known: bool
) -> None:
    assert censoring.knows(silent(count), percent, count) == is_known


@pytest.mark.parametrize(
    ("text", "count", "outcome"),
    [
        ("service_p99<5ms", 99, "passed"),
        ("service_p99<5ms", 100, "inconclusive"),
        ("service_p99<1ms", 100, "failed"),  # it is too long already
        ("service_p50<5ms", 100, "passed"),
        ("service_max<1s", 1, "inconclusive"),
        ("service_min<5ms", 4_000, "passed"),
    ],
)
def test_a_check_does_not_pass_where_the_missing_answers_might_break_it(
    text: str, count: int, outcome: CheckOutcome
) -> None:
    result = check(silent(count), text)
    assert result.outcome == outcome
    assert ("had no answer" in result.reason) == (outcome == "inconclusive")


def test_response_time_lacks_what_was_never_sent_too() -> None:
    actual = msgspec.structs.replace(LONG_OPEN_LOOP["actual"], overdue=200, due=10_200)
    record = open_loop(actual=actual)
    assert check(record, "response_p99<1s").outcome == "inconclusive"
    assert check(record, "service_p99<1s").outcome == "passed"


def test_replies_that_hide_behind_later_ones_leave_a_check_open() -> None:
    stamps = timestamps(stamped=9_000, upper_bounds=1_000)
    record = closed_loop(timestamps=stamps)
    assert check(record, "service_p99<1s").outcome == "inconclusive"
    assert "read together" in check(record, "service_p99<1s").reason
    assert check(record, "service_p99<1ms").outcome == "failed"
    assert check(record, "user_space_p99<1s").outcome == "passed"


@pytest.mark.parametrize(
    ("count", "verdict"), [(0, "valid"), (100, "server-bound"), (101, "server-bound")]
)
def test_a_server_that_falls_silent_is_named(count: int, verdict: str) -> None:
    health = judge(silent(count))
    assert health.verdict == verdict
    assert ("unanswered" in {finding.code for finding in health.findings}) == (count > 0)


@pytest.mark.parametrize(
    ("answered_per_s", "service_ns", "falls_behind"),
    [
        (1000, S // 1000, False),
        (989, S // 1000, True),
        (900, S, False),  # what is in flight at the end of 10 s, with a service time of 1 s
        (700, S, True),
    ],
)
def test_answers_fall_behind_what_is_sent(
    answered_per_s: float, service_ns: int, falls_behind: bool
) -> None:
    record = behind(answered_per_s, service_ns)
    assert censoring.falls_behind(record) == falls_behind
    assert (judge(record).verdict == "server-bound") == falls_behind


def test_one_way_load_has_no_answers_to_fall_behind() -> None:
    assert not censoring.falls_behind(behind(500, S // 1000, plan=plan(reply="none")))
