"""Replies by status and in parts, renewed connections: in summary, page, checks and merged."""

from typing import Any

import msgspec
import pytest
from records import LONG, at, closed_loop, distribution, plan

from loadgen.analysis.checks import check, parse_for
from loadgen.analysis.merge import merge
from loadgen.analysis.summary import summarise
from loadgen.errors import UsageError
from loadgen.results.record import RunRecord, from_json
from loadgen.results.replies import PartsRecord, StatusesRecord
from reports import sections

MS = 1_000_000


def http(**changes: Any) -> RunRecord:
    statuses = StatusesRecord(
        counts={"200": 90, "404": 4, "500": 1, "503": 5},
        classes={
            "2xx": distribution(*[2 * MS] * 90),
            "4xx": distribution(*[1 * MS] * 4),
            "5xx": distribution(*[9 * MS] * 6),
        },
    )
    parts = PartsRecord(first_byte_ns=distribution(1 * MS), whole_ns=distribution(3 * MS))
    load = msgspec.structs.replace(LONG["actual"], renewed=7, resent=3)
    fields = {"statuses": statuses, "in_parts": parts, "actual": load} | changes
    return closed_loop(plan=plan(reply="delimiter:x"), **fields)


def readable(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


class TestChecks:
    @pytest.mark.parametrize(
        ("text", "measured", "outcome"),
        [
            ("status_5xx<10%", "6 % (6 of 100)", "passed"),
            ("status_5xx<1%", "6 % (6 of 100)", "failed"),
            ("status_503<=5", "5", "passed"),
            ("status_404==0", "4", "failed"),
            ("status_301==0", "0", "passed"),
            ("status_2xx>=90%", "90 % (90 of 100)", "passed"),
            ("first_byte_max<2ms", "1 ms", "passed"),
        ],
    )
    def test_count_replies_by_status_or_class(self, text: str, measured: str, outcome: str) -> None:
        result = check(http(), text)
        assert (readable(result.measured or ""), result.outcome) == (measured, outcome)

    @pytest.mark.parametrize(
        ("text", "outcome"),
        [("status_5xx==2", "passed"), ("status_999==1", "passed"), ("status_599==0", "passed")],
    )
    def test_count_those_above_599_as_fail_status_does(self, text: str, outcome: str) -> None:
        statuses = StatusesRecord(counts={"200": 8, "500": 1, "999": 1}, classes={})
        assert check(http(statuses=statuses), text).outcome == outcome

    @pytest.mark.parametrize("form", ["1xx", "100", "6xx", "9xx", "099", "1000", "20"])
    def test_refuse_what_no_reply_has(self, form: str) -> None:
        with pytest.raises(UsageError, match="write a class, status_2xx to status_5xx"):
            check(http(), f"status_{form}<1%")

    def test_are_undecided_where_the_run_is_inconclusive(self) -> None:
        """A limit that is broken already stays so."""
        record = http(outcome="interrupted", connections=closed_loop().connections)
        few = msgspec.structs.replace(record.actual, messages=0, messages_per_s=0.0, submitted=0)
        record = msgspec.structs.replace(record, actual=few, health=None)
        texts = ("status_5xx<6", "status_5xx<1%", "status_5xx<50%")
        found = [check(record, text).outcome for text in texts]
        assert found == ["failed", "failed", "inconclusive"]

    def test_need_replies_that_have_a_status(self) -> None:
        result = check(closed_loop(), "status_5xx<1%")
        assert (result.outcome, result.measured) == ("inconclusive", None)
        with pytest.raises(UsageError, match="no status; those of http:// have"):
            parse_for(plan(), "status_5xx<1%")

    @pytest.mark.parametrize("text", ["status_6xy<1", "status_20<1", "status_5xx<101%", "status<1"])
    def test_say_what_is_accepted(self, text: str) -> None:
        with pytest.raises(UsageError, match="--check"):
            parse_for(plan(), text)


def test_the_summary_and_the_page_tell_them() -> None:
    lines = readable("\n".join(line.text for line in summarise(http())))
    for expected in (
        "status       200: 90 (90 %), 503: 5 (5 %), 404: 4 (4 %), 500: 1 (1 %)",
        "by class     service time 2xx p50 2 ms p99 2 ms; 4xx p50 1 ms p99 1 ms; 5xx p50",
        "first byte   p50 1 ms p99 1 ms, whole p50 3 ms p99 3 ms, of 1 replies",
        "renewed      7 times, after an orderly end of a connection; 3 messages that met",
    ):
        assert expected in lines
    beside = {row.what for row in sections.beside(http())}
    assert {"status", "by class", "first byte", "renewed"} <= beside
    without = "\n".join(line.text for line in summarise(closed_loop()))
    assert not any(word in without for word in ("status ", "first byte", "renewed"))


def test_of_several_workers_they_are_added_up() -> None:
    one, other = at(0, http()), at(0, http())
    merged = merge({"a": one, "b": other, "c": at(0, closed_loop(plan=one.plan))})
    assert merged.statuses is not None
    assert merged.in_parts is not None
    assert merged.statuses.counts == {"200": 180, "404": 8, "500": 2, "503": 10}
    assert merged.statuses.classes["5xx"] == distribution(*[9 * MS] * 12)
    assert merged.in_parts.whole_ns == distribution(3 * MS, 3 * MS)
    assert (merged.actual.renewed, merged.actual.resent) == (14, 6)
    assert from_json(merged.to_json()) == merged
