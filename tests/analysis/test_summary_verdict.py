"""The verdict, the checks, and the response time that depends on the verdict."""

import msgspec
import pytest
from records import closed_loop, open_loop, spread
from test_summary import one_way
from test_summary_times import LATE, USER_SPACE, WIDEST, finding, has_row, judged, prose, row, texts

from loadgen.analysis import checks
from loadgen.analysis.lines import Line
from loadgen.analysis.summary import summarise
from loadgen.results.record import RunRecord
from loadgen.results.verdict import CheckResult, Verdict


def verdict_line(record: RunRecord) -> Line:
    (line,) = (line for line in summarise(record) if line.text.startswith("  verdict "))
    return line


# ---- the verdict --------------------------------------------------------------------------


def test_the_verdict_stands_above_the_numbers() -> None:
    record = judged(open_loop(), "busy", finding("too much to do"), finding("a gap", "end others"))
    lines = texts(record)
    first = lines.index("") + 1
    assert lines[first].startswith("  verdict      busy: ")
    assert lines[first + 1 : first + 6] == [
        " " * 15 + "too much to do",
        " " * 17 + "do something",
        " " * 15 + "a gap",
        " " * 17 + "end others",
        "",
    ]
    assert lines[first + 6].startswith("  connections ")


def test_each_advice_is_given_once() -> None:
    record = judged(open_loop(), "busy", finding("one thing"), finding("another"))
    assert prose(record).count("do something") == 1
    assert "one thing do something another" in prose(record)


def test_what_is_only_worth_knowing_needs_no_advice() -> None:
    record = judged(open_loop(), "valid", finding("a third was read together", "pipeline less"))
    assert "a third was read together" in prose(record)
    assert "pipeline less" not in prose(record)


def test_a_record_that_was_not_judged_has_no_verdict() -> None:
    assert "verdict" not in prose(open_loop())


@pytest.mark.parametrize(
    ("verdict", "kernel", "user", "one_way_load"),
    [
        ("valid", "may be believed", "may be believed", "may be believed"),
        (
            "busy",
            "except for the tail of user space",
            "partly this process's own",
            "the rate holds",
        ),
        ("generator-bound", "service time holds", "mostly this process's", "rate is this process"),
        *[("server-bound", *["the server did not keep up with what was asked"] * 3)],
        *[("inconclusive", *["the reliability of the figures is unknown"] * 3)],
    ],
)
def test_every_verdict_says_what_may_be_believed(
    verdict: Verdict, kernel: str, user: str, one_way_load: str
) -> None:
    for record, meaning in (
        (closed_loop(), kernel),
        (closed_loop(**USER_SPACE), user),
        (one_way(), one_way_load),
    ):
        line = verdict_line(judged(record, verdict, finding("why")))
        assert f"{verdict}: " in line.text
        assert meaning in line.text
        assert len(line.text) <= WIDEST
        is_good = verdict in ("valid", "server-bound")
        assert line.style == ("good" if is_good else "bad")


def test_no_times_are_spoken_of_where_there_are_none() -> None:
    for verdict in ("busy", "generator-bound"):
        assert " time" not in verdict_line(judged(one_way(), verdict)).text.replace(
            "little time to spare", ""
        )


# ---- checks -------------------------------------------------------------------------------


def check_lines(record: RunRecord) -> list[Line]:
    lines = summarise(record)
    first = next(i for i, line in enumerate(lines) if line.text.startswith("  check "))
    last = next(i for i in range(first, len(lines)) if not lines[i].text)
    return lines[first:last]


def test_checks_say_what_became_of_them() -> None:
    record = closed_loop(
        checks=[
            CheckResult(check="service_p99<5ms", outcome="passed", measured="1.02 ms", reason=""),
            CheckResult(check="errors==0", outcome="failed", measured="7", reason=""),
            CheckResult(
                check="response_p99<5ms", outcome="inconclusive", measured=None, reason="?"
            ),
        ]
    )
    assert check_lines(record) == [
        Line("  check        service_p99<5ms   passed: 1.02 ms", "good"),
        Line("  check        errors==0   failed: 7", "bad"),
        Line("  check        response_p99<5ms   inconclusive", "bad"),
        Line(" " * 15 + "?"),
    ]


def test_a_run_without_checks_does_not_speak_of_them() -> None:
    assert "check" not in prose(closed_loop())


def test_a_check_does_not_repeat_what_stands_with_the_verdict() -> None:
    late = judged(open_loop(generator=LATE))
    assert late.health is not None
    evidence = late.health.findings[0].evidence
    wanted = ("response_p99<5ms", "messages_per_s>=50k")
    record = msgspec.structs.replace(late, checks=[checks.check(late, each) for each in wanted])
    assert all(evidence in result.reason for result in record.checks)
    assert [line.text.strip() for line in check_lines(record)] == [
        "check        response_p99<5ms   inconclusive: 1.07 ms",
        "the run is generator-bound",
        "check        messages_per_s>=50k   inconclusive: 1\N{NO-BREAK SPACE}000/s",
        "the server may do more; the run is generator-bound",
    ]
    assert prose(record).count(evidence) == 1


# ---- response time ------------------------------------------------------------------------


def test_an_open_loop_has_a_response_time() -> None:
    record = judged(open_loop())
    assert row(record, "response time")[2] == "1.03 ms"
    assert not has_row(judged(closed_loop()), "response time")


@pytest.mark.parametrize(
    "record",
    [
        judged(open_loop(), "generator-bound"),
        judged(open_loop(generator=LATE)),
        judged(open_loop(), "inconclusive", finding("late", code="sends-late")),
    ],
)
def test_response_time_is_left_out_where_it_is_the_generators_own(record: RunRecord) -> None:
    blocked = msgspec.structs.replace(record, blocked_ns=spread(1000, 2000, 3000))
    assert not has_row(blocked, "response time")
    assert not has_row(blocked, "blocked")
    assert has_row(blocked, "service time")
    assert has_row(blocked, "generator lag")
    assert "(response time and blocked time left out: " in prose(blocked)


@pytest.mark.parametrize("verdict", ["valid", "busy", "server-bound", "inconclusive"])
def test_response_time_is_there_otherwise(verdict: Verdict) -> None:
    blocked = open_loop(blocked_ns=spread(1000, 2000, 3000))
    record = judged(blocked, verdict, finding("why"))
    assert has_row(record, "response time")
    assert has_row(record, "blocked")
    assert "left out: " not in prose(record)


def test_a_closed_loop_leaves_no_response_time_out() -> None:
    assert "left out: " not in prose(judged(closed_loop(), "generator-bound"))


def test_nothing_blocked_is_not_shown() -> None:
    assert not has_row(judged(open_loop()), "blocked")
