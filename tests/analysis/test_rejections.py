"""Replies that are whole and were rejected: what is made of them, wherever failures are read."""

from typing import Any

import msgspec
import pytest
from backend_rows import made_up, record_of, rows_of
from records import LONG, at, closed_loop, failure, healthy, rejecting
from searches import Runs
from searches import made_up as step

from loadgen.analysis import backends_text, max_rate_text
from loadgen.analysis.checks import check
from loadgen.analysis.compare import gates
from loadgen.analysis.compare.comparison import Comparison, Terms, compare
from loadgen.analysis.compare.run_rounds import of_records
from loadgen.analysis.compare.text import conclusion
from loadgen.analysis.max_rate import LoadStep
from loadgen.analysis.merge import merge
from loadgen.analysis.summary import summarise
from loadgen.analysis.verdict.judging import disturbance, judge
from loadgen.net.failure import Cause, Phase
from loadgen.results.record import RunRecord, from_json
from loadgen.results.verdict import CheckResult, Finding

ALL = 10_000
"""The messages of the closed loop of `records`: 1000 a second for 10 s."""

REJECTED = "the server rejected the message"


def readable(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


class TestChecks:
    @pytest.mark.parametrize(
        ("text", "measured"),
        [
            ("errors<1%", "2 % (200 of 10 000)"),
            ("errors<=200", "200"),
            ("messages_per_s>=1", "1 000/s"),
            ("succeeded_per_s>=1", "980/s"),
        ],
    )
    def test_count_them_as_errors_and_not_as_successes(self, text: str, measured: str) -> None:
        assert readable(check(rejecting(200), text).measured or "") == measured

    @pytest.mark.parametrize(("limit", "outcome"), [(980, "passed"), (981, "failed")])
    def test_decide_on_the_rate_of_successes(self, limit: int, outcome: str) -> None:
        assert check(rejecting(200), f"succeeded_per_s>={limit}").outcome == outcome

    def test_of_the_load_are_a_share_of_the_load(self) -> None:
        load = msgspec.structs.replace(
            LONG["actual"], rejected=ALL, submitted=3 * ALL, warmup_messages=2 * ALL
        )
        result = check(rejecting(ALL, actual=load), "errors<1%")
        assert result.outcome == "failed"
        words = "100 % (10 000 of 30 000, 20 000 in the warm-up)"
        assert readable(result.measured or "") == words

    def test_leave_failed_connections_a_share_of_the_whole_run(self) -> None:
        """Those count from its start on: they may all have failed in the warm-up."""
        run = msgspec.structs.replace(
            LONG["actual"], submitted=100_040, warmup_messages=100_000, messages=40
        )
        record = healthy(actual=run, failures=[failure(Phase.RECEIVE, Cause.RESET, count=50)])
        assert check(record, "errors<0.1%").outcome == "passed"
        assert check(record, "errors<0.04%").outcome == "failed"

    def test_of_a_run_in_which_most_are_rejected_decide_only_on_errors(self) -> None:
        def answer(text: str) -> CheckResult:
            return check(rejecting(ALL), text)

        for text in ("messages_per_s>=1", "succeeded_per_s<5", "service_p99<1s"):
            assert answer(text).outcome == "inconclusive"
            assert "most replies are rejections" in answer(text).reason
        assert answer("errors<1%").outcome == "failed"


def findings(record: RunRecord) -> dict[str, Finding]:
    return {finding.code: finding for finding in judge(record).findings}


class TestVerdict:
    @pytest.mark.parametrize(
        ("count", "verdict", "codes"),
        [
            (0, "valid", set()),
            (100, "valid", set()),
            (101, "valid", {"rejected"}),
            (5_000, "valid", {"rejected"}),
            (5_001, "inconclusive", {"mostly-rejected"}),
            (ALL, "inconclusive", {"mostly-rejected"}),
        ],
    )
    def test_is_doubtful_only_where_most_are_rejected(
        self, count: int, verdict: str, codes: set[str]
    ) -> None:
        assert judge(rejecting(count)).verdict == verdict
        assert set(findings(rejecting(count))) == codes

    def test_says_how_many_and_why(self) -> None:
        evidence = readable(findings(rejecting(ALL))["mostly-rejected"].evidence)
        assert f"10 000 of 10 000 messages (100 %): {REJECTED}" in evidence

    def test_is_of_the_servers_doing(self) -> None:
        assert disturbance(rejecting(ALL)) == ""

    def test_on_downtime_does_not_take_them_for_failed_connections(self) -> None:
        late: dict[str, Any] = {"up_s": 10.0, "opening_s": 5.0}
        none = dict.fromkeys(("renewing_s", "backing_off_s", "failed_s", "nobody_up_s"), 0.0)
        load = msgspec.convert(
            {**msgspec.structs.asdict(LONG["actual"]), "connection_time": {**none, **late}},
            type(LONG["actual"]),
        )
        advice = findings(rejecting(100, actual=load))["connections-down"].advice
        assert "they came up late" in advice
        reset = failure(Phase.RECEIVE, Cause.RESET)
        both = rejecting(100, actual=load, failures=[reset])
        assert "--reconnect" in findings(both)["connections-down"].advice


class TestSummary:
    def lines(self, record: RunRecord) -> list[str]:
        return [readable(line.text) for line in summarise(record)]

    def test_says_how_many_of_the_messages_and_by_which_cause(self) -> None:
        lines = self.lines(rejecting(200))
        place = lines.index("  rejected     200 of 10 000 messages (2 %); 980/s succeeded")
        assert lines[place - 1].startswith("  messages ")
        assert lines[place + 1].strip() == REJECTED
        assert any(line.split() == ["failures", "200"] for line in lines)
        assert any(f"200  reply: {REJECTED}" in line for line in lines)

    def test_without_any_does_not_speak_of_them(self) -> None:
        assert not any("rejected" in line for line in self.lines(closed_loop()))


class TestMerge:
    def test_adds_them_up(self) -> None:
        reset = failure(Phase.RECEIVE, Cause.RESET)
        one, other = rejecting(100), rejecting(500)
        other = msgspec.structs.replace(other, failures=[*other.failures, reset])
        whole = merge({"a": one, "b": other})
        assert whole.actual.rejected == 600
        assert whole.actual.succeeded_per_s == pytest.approx(2_000 * (1 - 600 / 20_000))
        rejected = [each for each in whole.failures if each.is_rejection]
        assert [(each.phase, each.cause, each.count) for each in rejected] == [
            (Phase.REPLY, Cause.REJECTED, 600)
        ]
        assert len(whole.failures) == 2

    def test_of_intervals_adds_those_of_each(self) -> None:
        def worker(rejected: int) -> RunRecord:
            [interval] = closed_loop().intervals
            return closed_loop(intervals=[msgspec.structs.replace(interval, rejected=rejected)])

        [interval] = merge({"a": worker(2), "b": worker(1), "c": closed_loop()}).intervals
        assert interval.rejected == 3


def compared(base: int, head: int, *gate_texts: str, head_per_s: float = 1000.0) -> Comparison:
    """Compare four rounds of each in which so many messages were rejected."""

    def rounds(rejected: int, per_s: float, first: int) -> list[RunRecord]:
        record = rejecting(rejected) if rejected else closed_loop()
        actual = msgspec.structs.replace(record.actual, messages_per_s=per_s)
        record = msgspec.structs.replace(record, actual=actual)
        record = msgspec.structs.replace(record, health=judge(record))
        return [at(first + 2 * number, record) for number in range(4)]

    terms = Terms(gates=tuple(map(gates.parse, gate_texts)))
    sides = (
        of_records("base", rounds(base, 1000.0, 0)),
        of_records("head", rounds(head, head_per_s, 1)),
    )
    return compare(*sides, terms)


def words(comparison: Comparison) -> dict[str, str]:
    return {change.figure: change.word for change in comparison.changes}


class TestCompare:
    def test_a_head_that_rejects_everything_at_once_is_no_improvement(self) -> None:
        comparison = compared(0, ALL, "messages_per_s>5%", "errors>1%", "p99>5%", head_per_s=9000.0)
        assert words(comparison)["messages_per_s"] == "slower"
        assert words(comparison)["errors"] == "slower"
        assert "faster" not in conclusion(comparison)
        assert "service_p99" not in words(comparison)
        assert "most replies were rejections" in comparison.missing["service_p99"]
        assert [gate.outcome for gate in comparison.gates] == ["failed", "failed", "inconclusive"]

    def test_a_head_that_rejects_some_is_measured_by_the_others(self) -> None:
        comparison = compared(0, 2_500, "succeeded_per_s>5%", head_per_s=1200.0)
        [rate] = [each for each in comparison.changes if each.figure == "messages_per_s"]
        assert (rate.base, rate.word) == (1000.0, "slower")
        assert rate.head == pytest.approx(900.0)
        assert words(comparison)["service_p99"] == "same"
        assert [gate.outcome for gate in comparison.gates] == ["failed"]

    def test_says_that_they_are_not_counted_and_doubts_nothing_else(self) -> None:
        (remark,) = compared(0, ALL).remarks
        assert readable(remark) == (
            "B: rejected in 4 of 4 rounds, and not counted in messages/s: up to 10 000 of 10 000 "
            "messages (100 %)"
        )

    def test_the_same_on_both_sides_is_the_same(self) -> None:
        assert set(words(compared(100, 100)).values()) == {"same"}


def steps_of(promise: str, share_above_2000: float) -> dict[float, LoadStep]:
    """Search where a share of the messages is rejected, at once, above 2000 a second."""

    def run(rate_per_s: float, duration_s: float) -> RunRecord:
        record = step(rate_per_s, duration_s, 1.0)
        if rate_per_s <= 2000:
            return record
        count = round(record.actual.messages * share_above_2000)
        actual = msgspec.structs.replace(record.actual, rejected=count)
        kinds = [failure(Phase.REPLY, Cause.REJECTED, count=count)]
        record = msgspec.structs.replace(record, actual=actual, failures=kinds)
        return msgspec.structs.replace(record, health=judge(record))

    return {each.rate_per_s: each for each in Runs(run).search(promise).steps}


class TestMaxRate:
    @pytest.mark.parametrize(
        ("promise", "share", "outcome"),
        [
            ("service_p99<=5ms", 0.005, "kept"),
            ("service_p99<=5ms", 0.02, "broken"),
            ("service_p99<=5ms", 1.0, "broken"),
            ("service_p99<=5ms,errors<5%", 0.02, "kept"),
            ("service_p99<=5ms,errors<5%", 0.06, "broken"),
            ("service_p99<=5ms,errors<100%", 0.6, "broken"),
        ],
    )
    def test_a_rate_at_which_the_server_rejects_breaks_the_promise(
        self, promise: str, share: float, outcome: str
    ) -> None:
        steps = steps_of(promise, share)
        assert steps[2000].outcome == "kept"
        assert steps[4000].outcome == outcome

    def test_that_is_the_reason(self) -> None:
        line = max_rate_text.step_line(steps_of("service_p99<=5ms", 0.02)[4000])
        assert "broken: rejected: 160" in readable(line.text)


def test_backends_name_them_among_the_failures() -> None:
    kinds = [failure(Phase.REPLY, Cause.REJECTED, count=3)]
    rows = rows_of(
        lambda *_: made_up(service_time_ns=closed_loop().service_time_ns, failures=kinds)
    )
    text = readable("\n".join(line.text for line in backends_text.table(record_of(rows))))
    assert f"reply: {REJECTED}: 9" in text


def test_a_record_without_them_is_read_as_one_that_has_none() -> None:
    content = msgspec.json.decode(closed_loop().to_json())
    assert content["actual"].pop("rejected") == 0
    for interval in content["intervals"]:
        assert interval.pop("rejected") == 0
    old = from_json(msgspec.json.encode(content))
    assert old == closed_loop()
    assert (old.actual.rejected_share, old.actual.succeeded_per_s) == (0.0, 1000.0)
