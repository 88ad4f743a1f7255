from typing import Any

import msgspec
import pytest
from records import (
    LONG,
    actual,
    closed_loop,
    distribution,
    failure,
    generator,
    open_loop,
    plan,
    requested,
    spread,
    timestamps,
    tls,
)

from loadgen.analysis.checks import (
    Check,
    evaluate,
    parse,
    parse_all,
    parse_for,
)
from loadgen.analysis.metrics import (
    ConnectionCount,
    ErrorCount,
    ErrorShare,
    MessageRate,
    Threshold,
)
from loadgen.analysis.time_metric import TimeMetric
from loadgen.errors import UsageError
from loadgen.net.failure import Cause, Phase
from loadgen.results.instruments import DelayedRecord
from loadgen.results.record import RunRecord
from loadgen.results.verdict import CheckOutcome, CheckResult, Finding, Health, Verdict

US, MS = 1_000, 1_000_000
NBSP = "\N{NO-BREAK SPACE}"


def judged(verdict: Verdict) -> Health:
    finding = Finding(code="a-code", evidence="seen so", advice="do so")
    return Health(verdict=verdict, findings=[finding])


def long(**changes: Any) -> Any:
    return msgspec.structs.replace(LONG["actual"], **changes)


def answer(text: str, record: RunRecord) -> CheckResult:
    return evaluate(parse(text), record)


def outcome(text: str, record: RunRecord) -> CheckOutcome:
    return answer(text, record).outcome


class TestParse:
    @pytest.mark.parametrize(
        ("text", "check"),
        [
            (
                "service_p99<=5ms",
                Check("service_p99<=5ms", TimeMetric("service", 99), Threshold("<=", 5 * MS)),
            ),
            (
                " Service_P50 < 0.5 ",
                Check("Service_P50 < 0.5", TimeMetric("service", 50), Threshold("<", 5e8)),
            ),
            (
                "connect_max<1m",
                Check("connect_max<1m", TimeMetric("connect", "max"), Threshold("<", 60e9)),
            ),
            ("errors==0", Check("errors==0", ErrorCount(), Threshold("==", 0))),
            ("errors<1k", Check("errors<1k", ErrorCount(), Threshold("<", 1000))),
            ("errors<0.1 %", Check("errors<0.1 %", ErrorShare(), Threshold("<", 0.001))),
            (
                "messages_per_s>=50k/s",
                Check("messages_per_s>=50k/s", MessageRate(), Threshold(">=", 50_000)),
            ),
            ("connections>999", Check("connections>999", ConnectionCount(), Threshold(">", 999))),
        ],
    )
    def test_takes_a_figure_a_relation_and_a_limit(self, text: str, check: Check) -> None:
        assert parse(text) == check

    @pytest.mark.parametrize(
        ("statistic", "parsed"),
        [
            *(("min", "min"), ("mean", "mean"), ("max", "max")),
            *(("p50", 50), ("p5", 5), ("p99.9", 99.9), ("p999", 99.9), ("p9999", 99.99)),
            ("p97.5", 97.5),
        ],
    )
    def test_knows_every_statistic_of_a_time(self, statistic: str, parsed: str | float) -> None:
        assert parse(f"schedule_lag_{statistic}<1s").figure == TimeMetric("schedule_lag", parsed)

    @pytest.mark.parametrize("text", ["service_p99<5ms,errors<1%", " service_p99<5ms , errors<1% "])
    def test_of_several_separates_them_by_commas(self, text: str) -> None:
        assert parse_all(text) == (parse("service_p99<5ms"), parse("errors<1%"))

    @pytest.mark.parametrize(
        ("text", "accepted"),
        [
            ("", "write FIGURE OP LIMIT"),
            ("service_p99", "write FIGURE OP LIMIT"),
            ("service_p99<", "write FIGURE OP LIMIT"),
            ("service_p99=5ms", "OP is one of < <= > >= =="),
            ("service_p99=<5ms", "OP is one of < <= > >= =="),
            ("service_p99<<5ms", "OP is one of < <= > >= =="),
            ("servise_p99<5ms", "did you mean service_p99?"),
            ("p99<5ms", "did you mean service_p99?"),
            ("error<5", "did you mean errors?"),
            ("service_p100<5ms", "_max"),
            ("service_p0<5ms", "_min"),
            ("service_p0.0<5ms", "_min"),
            ("service_p250<5ms", "p50"),
            ("service<5ms", "p50"),
            ("xyz<5", "figures are service, response"),
            ("service_p99<5 parsecs", "write a duration"),
            ("service_p99<-5ms", "write a duration"),
            ("service_p99<5%", "write a duration"),
            ("service_p99<" + "9" * 400, "write a duration"),
            ("errors<0.5", "write a count such as 5, or a share"),
            ("errors<101%", "from 0% to 100%"),
            ("errors<%", "write a count"),
            ("messages_per_s>=fast", "write a number per second"),
            ("connections>=1.5", "write a whole number"),
            ("service_p٩٩<5ms", "write FIGURE OP LIMIT"),
        ],
    )
    def test_names_the_option_the_value_and_what_is_accepted(
        self, text: str, accepted: str
    ) -> None:
        with pytest.raises(UsageError) as raised:
            parse(text)
        message = str(raised.value)
        assert message.startswith(f"--check: {text!r}")
        assert accepted in message
        assert "\n" not in message

    def test_names_the_option_that_it_was_given_to(self) -> None:
        with pytest.raises(UsageError, match="--find-max: ''"):
            parse_all("errors<1%,", "--find-max")


class TestCompare:
    @pytest.mark.parametrize(
        ("relation", "kept"),
        [("<", "4"), ("<=", "45"), (">", "6"), (">=", "56"), ("==", "5")],
    )
    def test_is_exact(self, relation: str, kept: str) -> None:
        check = parse(f"errors{relation}5")
        assert [check.compare(measured) for measured in (4, 5, 6)] == [
            digit in kept for digit in "456"
        ]

    @pytest.mark.parametrize(
        ("relation", "settled"),
        [("<", "56"), ("<=", "6"), (">", "6"), (">=", "56"), ("==", "6")],
    )
    def test_is_settled_where_more_would_change_nothing(self, relation: str, settled: str) -> None:
        limit = parse(f"errors{relation}5").limit
        assert [limit.is_settled(least) for least in (4, 5, 6)] == [
            digit in settled for digit in "456"
        ]


class TestTimes:
    def test_pass_or_fail_by_their_figure(self) -> None:
        record = open_loop(service_time_ns=spread(1 * MS, 2 * MS, 3 * MS, 9 * MS))
        assert answer("service_p90<=3ms", record) == CheckResult(
            check="service_p90<=3ms", outcome="passed", measured="2.00 ms", reason=""
        )
        assert answer("service_max < 9ms", record) == CheckResult(
            check="service_max < 9ms", outcome="failed", measured="9 ms", reason=""
        )

    @pytest.mark.parametrize(
        ("kind", "field"),
        [
            ("service", "service_time_ns"),
            ("response", "response_time_ns"),
            ("schedule_lag", "schedule_lag_ns"),
            ("blocked", "blocked_ns"),
            ("generator_lag", "generator_lag_ns"),
            ("receive_lag", "receive_lag_ns"),
            ("user_space", "user_space_latency_ns"),
            ("connect", "connect_latency_ns"),
        ],
    )
    def test_are_taken_from_their_own_place(self, kind: str, field: str) -> None:
        alone = {field: distribution(*[7 * MS] * 200)}
        record = open_loop(health=judged("valid"), **alone)
        for statistic in ("min", "mean", "p50", "max"):
            assert answer(f"{kind}_{statistic}==7ms", record).measured == "7 ms"
            assert outcome(f"{kind}_{statistic}==7ms", record) == "passed"

    @pytest.mark.parametrize(("count", "expected"), [(900, "inconclusive"), (1_000, "passed")])
    def test_need_values_beyond_their_percentile(self, count: int, expected: CheckOutcome) -> None:
        record = closed_loop(service_time_ns=spread(MS, MS, MS, count=count))
        assert outcome("service_p99<5ms", record) == expected
        assert outcome("service_max<5ms", record) == "passed"

    def test_of_too_few_values_say_so_and_show_the_figure(self) -> None:
        record = closed_loop(service_time_ns=spread(MS, MS, MS, count=900))
        result = answer("service_p99<5ms", record)
        assert "900 values are too few for a p99" in result.reason
        assert result.measured == "1 ms"

    @pytest.mark.parametrize("kind", ["response", "schedule_lag", "blocked", "generator_lag"])
    def test_of_a_schedule_need_one(self, kind: str) -> None:
        result = answer(f"{kind}_p50<5ms", closed_loop())
        assert (result.outcome, result.measured) == ("inconclusive", None)
        assert "--rate" in result.reason

    def test_of_reading_need_timestamps_of_the_kernel(self) -> None:
        stamps = timestamps(mode="user", reason="macOS has none")
        result = answer("receive_lag_p50<5ms", closed_loop(receive_lag_ns=None, timestamps=stamps))
        assert result.outcome == "inconclusive"
        assert "macOS has none" in result.reason

    def test_of_replies_are_not_there_in_one_way_load(self) -> None:
        empty = distribution()
        record = closed_loop(plan=plan(reply="none"), service_time_ns=empty)
        result = answer("service_p50<5ms", record)
        assert (result.outcome, result.measured) == ("inconclusive", None)
        assert "--reply none" in result.reason
        assert outcome("connect_max<5ms", record) == "passed"

    def test_of_nothing_say_that_there_is_nothing(self) -> None:
        record = closed_loop(connect_latency_ns=distribution())
        assert answer("connect_max<5ms", record).reason == "nothing was measured"

    def test_of_handshakes_are_there_where_tls_is_spoken(self) -> None:
        assert outcome("handshake_max<5ms", closed_loop(tls=tls())) == "passed"
        assert "no TLS is spoken" in answer("handshake_max<5ms", closed_loop()).reason
        with pytest.raises(UsageError, match="no TLS is spoken"):
            parse_for(plan(), "handshake_max<5ms")


EVERY_TIME = {
    "service",
    *("response", "schedule_lag", "blocked", "generator_lag"),
    *("receive_lag", "user_space", "connect", "handshake"),
}


def doubted(record: RunRecord) -> set[str]:
    return {kind for kind in EVERY_TIME if outcome(f"{kind}_mean<1m", record) == "inconclusive"}


class TestVerdicts:
    @pytest.mark.parametrize(
        ("verdict", "doubts"),
        [
            ("valid", set()),
            ("server-bound", set()),
            ("busy", {"user_space", "handshake"}),
            (
                "generator-bound",
                {"response", "schedule_lag", "blocked", "user_space", "handshake"},
            ),
            ("inconclusive", EVERY_TIME),
        ],
    )
    def test_take_the_meaning_from_some_times(self, verdict: Verdict, doubts: set[str]) -> None:
        assert doubted(open_loop(health=judged(verdict), tls=tls())) == doubts

    @pytest.mark.parametrize(
        ("verdict", "doubts"),
        [
            ("valid", set()),
            ("busy", {"user_space", "service", "response", "handshake"}),
            (
                "generator-bound",
                {"response", "schedule_lag", "blocked", "user_space", "service", "handshake"},
            ),
        ],
    )
    def test_take_it_from_more_without_timestamps_of_the_kernel(
        self, verdict: Verdict, doubts: set[str]
    ) -> None:
        record = open_loop(
            health=judged(verdict),
            receive_lag_ns=None,
            timestamps=timestamps(mode="user"),
            tls=tls(),
        )
        assert doubted(record) == doubts | {"receive_lag"}

    @pytest.mark.parametrize("verdict", ["inconclusive", "generator-bound"])
    def test_are_the_reason(self, verdict: Verdict) -> None:
        result = answer("response_p50<1m", open_loop(health=judged(verdict)))
        assert result.reason == f"the run is {verdict}: seen so"
        bare = open_loop(health=Health(verdict=verdict, findings=[]))
        assert answer("response_p50<1m", bare).reason == f"the run is {verdict}"

    def test_are_found_where_the_record_has_none_yet(self) -> None:
        record = open_loop(generator=generator(polls=10_000, waiting_share=0.05))
        assert record.health is None
        assert outcome("response_p50<1m", record) == "inconclusive"
        assert outcome("service_p50<1m", record) == "passed"


FAILURES = [
    failure(Phase.CONNECT, Cause.REFUSED, count=2),
    failure(Phase.RECEIVE, Cause.RESET),
    failure(Phase.VERIFY, Cause.MISMATCH),
    failure(Phase.RECEIVE, Cause.TIMEOUT),
    failure(Phase.CONNECT, Cause.DESCRIPTORS, count=50),
]


class TestPauses:
    """200 of 10 000 messages were delayed by pauses of the generator, by up to a second."""

    DELAYED = DelayedRecord(
        service_ns=distribution(),
        response_ns=distribution(*[1_000_000_000] * 200),
        schedule_lag_ns=distribution(*[900_000_000] * 200),
        reads=100,
    )

    def outcome(self, text: str) -> CheckOutcome:
        times = spread(1_000_000, 2_000_000, 3_000_000, count=9_800)
        record = open_loop(
            response_time_ns=times,
            blocked_ns=times,
            user_space_latency_ns=spread(1_000_000, 1_100_000, 1_200_000, 1_000_000_000),
            generator=generator(polls=10_000, waiting_share=0.7, delayed=self.DELAYED),
        )
        return outcome(text, record)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("response_p50<2500us", "passed"),
            ("response_p50<900us", "failed"),
            ("response_p99<10ms", "inconclusive"),  # two hundred more might be longer
            ("response_p99<1s", "inconclusive"),
            ("response_p99<1100ms", "passed"),  # none is longer than what was measured
            ("response_p99<1500us", "failed"),  # even if two hundred more were nothing
            ("response_max<10ms", "inconclusive"),
            ("response_max>=3ms", "passed"),
            ("response_mean<10ms", "inconclusive"),
            ("response_mean<30ms", "passed"),
            ("blocked_p99<10ms", "inconclusive"),
            ("blocked_p99<1s", "passed"),
            ("service_p99<1100us", "passed"),  # by the clock of the kernel
            ("user_space_max<2ms", "inconclusive"),  # a hundred of the largest may be pauses
            ("user_space_max<1100us", "failed"),
            ("user_space_p90<1500us", "passed"),
        ],
    )
    def test_leave_open_what_they_may_have_changed(self, text: str, expected: CheckOutcome) -> None:
        assert self.outcome(text) == expected


class TestErrors:
    RECORD = closed_loop(failures=FAILURES, actual=long(submitted=98), health=judged("valid"))

    def test_are_all_failures_but_those_of_this_machine(self) -> None:
        assert answer("errors==5", self.RECORD).measured == "5"
        assert outcome("errors==5", self.RECORD) == "passed"
        assert outcome("errors<5", self.RECORD) == "failed"

    def test_are_a_share_of_messages_and_failed_connects(self) -> None:
        assert answer("errors<=5%", self.RECORD).measured == "5 % (5 of 100)"
        assert outcome("errors<=5%", self.RECORD) == "passed"
        assert outcome("errors<4.9%", self.RECORD) == "failed"

    def test_failed_handshakes_were_tried_and_came_to_no_message(self) -> None:
        failures = [failure(Phase.SECURE, Cause.CERTIFICATE, count=50)]
        record = closed_loop(failures=failures, actual=long(submitted=50))
        assert answer("errors<1%", record).measured == "50 % (50 of 100)"

    def test_have_no_share_where_nothing_was_tried(self) -> None:
        record = closed_loop(failures=FAILURES[-1:], actual=long(submitted=0))
        result = answer("errors<1%", record)
        assert (result.outcome, result.measured) == ("inconclusive", None)
        assert result.reason == "nothing was tried"
        assert outcome("errors>=1%", record) == "inconclusive"

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("errors==0", "failed"),
            ("errors<1%", "failed"),
            ("errors<=4", "failed"),
            ("errors<=5", "inconclusive"),
            ("errors<10%", "inconclusive"),
            ("errors>=5", "passed"),
        ],
    )
    def test_that_were_seen_stay_seen_in_an_inconclusive_run(
        self, text: str, expected: CheckOutcome
    ) -> None:
        record = msgspec.structs.replace(self.RECORD, health=judged("inconclusive"))
        assert outcome(text, record) == expected

    @pytest.mark.parametrize("verdict", ["busy", "generator-bound", "server-bound"])
    def test_count_under_every_other_verdict(self, verdict: Verdict) -> None:
        record = msgspec.structs.replace(self.RECORD, health=judged(verdict))
        assert outcome("errors<=5", record) == "passed"

    def test_of_a_server_that_cannot_be_reached_fail(self) -> None:
        record = closed_loop(
            outcome="unreachable",
            failures=FAILURES[:1],
            actual=actual(connections=0, submitted=0, messages=0),
        )
        assert outcome("errors==0", record) == "failed"
        assert answer("errors<1%", record).measured == "100 % (2 of 2)"


class TestMessageRate:
    RECORD = closed_loop(actual=long(messages_per_s=50_000.0), health=judged("valid"))

    @pytest.mark.parametrize(
        ("text", "expected"),
        [("messages_per_s>=50k", "passed"), ("messages_per_s>50k", "failed")],
    )
    def test_passes_or_fails(self, text: str, expected: CheckOutcome) -> None:
        result = answer(text, self.RECORD)
        assert (result.outcome, result.measured) == (expected, f"50{NBSP}000/s")

    def test_of_a_slow_server_keeps_its_digits(self) -> None:
        record = closed_loop(actual=long(messages_per_s=2.25))
        assert answer("messages_per_s>=1", record).measured == "2.25/s"

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("messages_per_s>=50k", "passed"),
            ("messages_per_s>=51k", "inconclusive"),
            ("messages_per_s<=51k", "inconclusive"),
            ("messages_per_s<=49k", "failed"),
            ("messages_per_s==50k", "inconclusive"),
        ],
    )
    def test_of_a_generator_at_its_limit_is_the_least_the_server_can_do(
        self, text: str, expected: CheckOutcome
    ) -> None:
        record = msgspec.structs.replace(self.RECORD, health=judged("generator-bound"))
        result = answer(text, record)
        assert result.outcome == expected
        assert ("the server may do more" in result.reason) == (expected == "inconclusive")

    @pytest.mark.parametrize("text", ["messages_per_s>=1", "messages_per_s>=51k"])
    def test_of_an_inconclusive_run_says_nothing(self, text: str) -> None:
        record = msgspec.structs.replace(self.RECORD, health=judged("inconclusive"))
        assert outcome(text, record) == "inconclusive"


class TestConnections:
    REFUSED = failure(Phase.CONNECT, Cause.REFUSED)
    LOCAL = failure(Phase.CONNECT, Cause.DESCRIPTORS)

    def record(self, up: int, **changes: Any) -> RunRecord:
        asked = requested(connections=1_000)
        return closed_loop(requested=asked, actual=long(connections=up), **changes)

    def test_that_the_server_refused_fail_though_the_run_is_inconclusive(self) -> None:
        record = self.record(900, failures=[self.REFUSED], health=judged("inconclusive"))
        assert answer("connections>=1000", record) == CheckResult(
            check="connections>=1000", outcome="failed", measured="900", reason=""
        )

    def test_that_came_up_did_so_whatever_else_happened(self) -> None:
        record = self.record(900, failures=[self.LOCAL], health=judged("inconclusive"))
        assert outcome("connections>=900", record) == "passed"

    def test_that_this_machine_refused_are_inconclusive(self) -> None:
        record = self.record(900, failures=[self.REFUSED, self.LOCAL])
        result = answer("connections>=1000", record)
        assert (result.outcome, result.reason) == ("inconclusive", Cause.DESCRIPTORS.text)

    def test_that_an_interrupted_run_did_not_wait_for_are_inconclusive(self) -> None:
        result = answer("connections>=1000", self.record(900, outcome="interrupted"))
        assert (result.outcome, result.reason) == ("inconclusive", "the run was interrupted")

    def test_that_were_never_asked_for_fail(self) -> None:
        record = self.record(1_000, outcome="interrupted")
        assert outcome("connections>=2000", record) == "failed"
