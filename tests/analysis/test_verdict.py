from typing import Any

import msgspec
import pytest
from records import (
    HEALTHY,
    OPEN_LOOP_TIMES,
    actual,
    closed_loop,
    distribution,
    failure,
    generator,
    healthy,
    offered,
    open_loop,
    plan,
    requested,
    spread,
    timestamps,
    tls,
)
from verdicts import found, long, seen

from loadgen.analysis.verdict.judging import judge, prints_response_time
from loadgen.net.failure import Cause, Phase
from loadgen.results.instruments import ClockStep, DelayedRecord, ProbeRecord
from loadgen.results.verdict import SEVERITY, Health, Verdict

US, MS = 1_000, 1_000_000

ONE_WAY: dict[str, Any] = {
    "plan": plan(reply="none"),
    "service_time_ns": distribution(),
    "receive_lag_ns": distribution(),
    "user_space_latency_ns": distribution(),
    "timestamps": timestamps(stamped=0),
}


def waiting(share: float, **changes: Any) -> Any:
    return generator(polls=10_000, waiting_share=share, **changes)


class TestHandshakes:
    """TLS handshakes are work of the generator."""

    @pytest.mark.parametrize(
        ("work_s", "waited", "verdict", "codes"),
        [
            (1.9, 0.05, "generator-bound", ["generator-saturated"]),
            (6.0, 0.05, "generator-bound", ["generator-saturated", "handshakes"]),
            (4.0, 0.20, "busy", ["generator-busy", "handshakes"]),
            (2.5, 0.60, "valid", ["handshakes"]),
        ],
    )
    def test_that_take_much_of_the_time_are_named_beside_the_verdict(
        self, work_s: float, waited: float, verdict: Verdict, codes: list[str]
    ) -> None:
        record = closed_loop(generator=waiting(waited), tls=tls(work_s=work_s))
        assert seen(record) == (verdict, codes)

    def test_are_told_with_their_figures(self) -> None:
        finding = found(closed_loop(generator=waiting(0.05), tls=tls(work_s=6.0)))["handshakes"]
        assert finding.evidence.startswith(
            "the generator spent 60 % of the time on its side of TLS handshakes (3 full, 0 resumed"
        )
        assert "--tls-resume" in finding.advice
        resuming = tls(work_s=6.0, resumed_ns=spread(US, US, US))
        finding = found(closed_loop(generator=waiting(0.05), tls=resuming))["handshakes"]
        assert "--tls-resume" not in finding.advice


class TestRunsThatWereMeasured:
    """Figures of runs against servers whose own log is known."""

    def test_a_comfortable_load_is_valid(self) -> None:
        record = open_loop(
            **offered(40_000, 40_000),
            generator=waiting(0.69, send_gap_variation=0.9),
            service_time_ns=spread(1_004 * US, 1_004 * US, 1_020 * US),
            receive_lag_ns=spread(16 * US, 60 * US, 240 * US),
            generator_lag_ns=spread(16 * US, 40 * US, 130 * US),
        )
        assert seen(record) == ("valid", [])

    def test_a_generator_at_its_limit_is_not_taken_for_the_servers(self) -> None:
        record = open_loop(
            **offered(150_000, 123_000),
            generator=waiting(0.0, send_gap_variation=2.5),
            service_time_ns=spread(1_004 * US, 1_004 * US, 2_474 * US),
            receive_lag_ns=spread(6_500 * US, 8_000 * US, 10_000 * US),
            blocked_ns=spread(432 * MS, 700 * MS, 816 * MS),
            generator_lag_ns=spread(6 * MS, 8 * MS, 10 * MS),
        )
        verdict, codes = seen(record)
        assert verdict == "generator-bound"
        assert codes[:4] == ["rate-missed", "generator-saturated", "replies-queued", "sends-late"]

    def test_a_server_asked_for_too_much_is_named(self) -> None:
        record = open_loop(
            **offered(50_000, 35_000),
            generator=waiting(0.70, send_gap_variation=0.9),
            service_time_ns=spread(2_800 * US, 3_030 * US, 3_300 * US),
            receive_lag_ns=spread(10 * US, 20 * US, 35 * US),
            blocked_ns=spread(650 * MS, 900 * MS, 1_048 * MS),
            generator_lag_ns=spread(16 * US, 30 * US, 60 * US),
        )
        assert seen(record) == ("server-bound", ["server-behind"])

    def test_a_server_that_stalls_and_catches_up_is_valid(self) -> None:
        record = open_loop(
            **offered(5_000, 4_999),
            generator=waiting(0.85, send_gap_variation=50.0),
            service_time_ns=spread(205 * US, 210 * US, 220 * US, 100 * MS),
            response_time_ns=spread(281 * US, 300 * US, 91 * MS),
            blocked_ns=spread(0, 0, 90 * MS),
            generator_lag_ns=spread(27 * US, 40 * US, 60 * US),
        )
        assert seen(record) == ("valid", ["bursty"])
        assert "connections waited for the server" in found(record)["bursty"].advice

    def test_a_saturated_closed_loop_is_the_generators_own_rate(self) -> None:
        record = closed_loop(
            generator=waiting(0.05),
            service_time_ns=spread(204 * US, 206 * US, 2_234 * US),
            receive_lag_ns=spread(6_963 * US, 8_600 * US, 9_400 * US),
        )
        verdict, codes = seen(record)
        assert verdict == "generator-bound"
        assert codes == ["generator-saturated", "replies-queued", "receive-lag-tail"]
        advice = found(record)["generator-saturated"].advice
        assert "service time is valid for the load that was delivered" in advice
        assert "the rate is the generator's own" in advice

    def test_waking_up_takes_longer_than_a_bare_echo_and_is_valid(self) -> None:
        record = closed_loop(
            generator=waiting(0.75),
            service_time_ns=spread(15 * US, 16 * US, 30 * US),
            receive_lag_ns=spread(30 * US, 40 * US, 200 * US),
        )
        assert seen(record) == ("valid", [])


class TestWaiting:
    @pytest.mark.parametrize(
        ("share", "verdict"),
        [
            (0.30, "valid"),
            (0.299, "busy"),
            (0.12, "busy"),
            (0.119, "generator-bound"),
            (0.0, "generator-bound"),
        ],
    )
    def test_less_than_some_is_busy_and_hardly_any_is_bound(
        self, share: float, verdict: Verdict
    ) -> None:
        assert judge(closed_loop(generator=waiting(share))).verdict == verdict
        assert judge(open_loop(generator=waiting(share))).verdict == verdict

    @pytest.mark.parametrize(
        ("empty_polls", "verdict"),
        [(5_000, "valid"), (4_999, "busy"), (2_000, "busy"), (1_999, "generator-bound")],
    )
    def test_while_spinning_shows_in_polls_that_find_nothing(
        self, empty_polls: int, verdict: Verdict
    ) -> None:
        spinning = waiting(0.1, pacing="precise", empty_polls=empty_polls)
        assert judge(open_loop(generator=spinning)).verdict == verdict

    def test_for_long_is_enough_where_there_was_nothing_to_spin_for(self) -> None:
        assert judge(closed_loop(generator=waiting(0.5, pacing="precise"))).verdict == "valid"

    def test_that_spun_is_put_in_words(self) -> None:
        spinning = waiting(0.1, pacing="precise", empty_polls=100)
        evidence = found(open_loop(generator=spinning))["generator-saturated"].evidence
        assert "10 % of the time" in evidence
        assert "1 % of its polls" in evidence

    def test_polls_that_find_nothing_mean_nothing_where_it_does_not_spin(self) -> None:
        slow = waiting(0.1, empty_polls=9_000)
        assert judge(open_loop(generator=slow)).verdict == "generator-bound"

    def test_of_one_way_load_leaves_its_rate_to_the_generator(self) -> None:
        record = closed_loop(**ONE_WAY, generator=waiting(0.05))
        assert seen(record) == ("generator-bound", ["generator-saturated"])
        assert "service time" not in found(record)["generator-saturated"].advice


class TestReceiveLag:
    @pytest.mark.parametrize(
        ("service_us", "lag_us", "verdict"),
        [(1_000, 1_000, "valid"), (1_000, 1_100, "busy"), (15, 240, "valid"), (15, 260, "busy")],
    )
    def test_with_a_tail_beyond_that_of_the_server_is_busy(
        self, service_us: int, lag_us: int, verdict: Verdict
    ) -> None:
        record = closed_loop(
            service_time_ns=spread(10 * US, 10 * US, service_us * US),
            receive_lag_ns=spread(5 * US, 5 * US, lag_us * US),
        )
        codes = ["receive-lag-tail"] if verdict == "busy" else []
        assert seen(record) == (verdict, codes)

    def test_of_few_replies_has_no_tail(self) -> None:
        few = spread(5 * US, 5 * US, 9 * MS, count=900)
        assert judge(closed_loop(receive_lag_ns=few)).verdict == "valid"

    @pytest.mark.parametrize(
        ("lag_us", "verdict"), [(199, "busy"), (200, "busy"), (201, "generator-bound")]
    )
    def test_longer_than_service_time_on_average_is_the_generators_queue(
        self, lag_us: int, verdict: Verdict
    ) -> None:
        record = closed_loop(
            generator=waiting(0.2),
            service_time_ns=spread(200 * US, 200 * US, 200 * US),
            receive_lag_ns=spread(lag_us * US, lag_us * US, lag_us * US),
        )
        assert judge(record).verdict == verdict

    def test_longer_than_service_time_is_only_waking_up_where_there_was_time(self) -> None:
        lags = {
            "service_time_ns": spread(15 * US, 15 * US, 15 * US),
            "receive_lag_ns": spread(30 * US, 30 * US, 30 * US),
        }
        assert judge(closed_loop(generator=waiting(0.30), **lags)).verdict == "valid"
        assert judge(closed_loop(generator=waiting(0.29), **lags)).verdict == "generator-bound"


class TestGeneratorLag:
    @pytest.mark.parametrize(("lag_us", "verdict"), [(990, "valid"), (1_100, "generator-bound")])
    def test_of_more_than_a_millisecond_at_the_median_is_bound(
        self, lag_us: int, verdict: Verdict
    ) -> None:
        record = open_loop(generator_lag_ns=spread(lag_us * US, 2 * MS, 2 * MS))
        assert seen(record) == (verdict, ["sends-late"] if verdict != "valid" else [])

    def test_of_a_few_messages_has_no_median(self) -> None:
        assert judge(open_loop(generator_lag_ns=distribution(*[2 * MS] * 19))).verdict == "valid"
        late = open_loop(generator_lag_ns=distribution(*[2 * MS] * 20))
        assert judge(late).verdict == "generator-bound"


class TestRate:
    @pytest.mark.parametrize(("sent", "verdict"), [(9_900, "valid"), (9_899, "server-bound")])
    def test_more_than_one_per_cent_short_is_server_bound_if_the_generator_waited(
        self, sent: int, verdict: Verdict
    ) -> None:
        assert judge(open_loop(**offered(10_000, sent))).verdict == verdict

    @pytest.mark.parametrize(("duration_s", "verdict"), [(0.1, "valid"), (0.11, "server-bound")])
    def test_short_by_a_handful_at_the_end_is_nothing(
        self, duration_s: float, verdict: Verdict
    ) -> None:
        assert judge(open_loop(**offered(1_000, 900, duration_s))).verdict == verdict

    @pytest.mark.parametrize(
        "trouble",
        [
            {"generator": waiting(0.29)},
            {"generator_lag_ns": spread(2 * MS, 2 * MS, 2 * MS)},
        ],
        ids=["little waiting", "late sending"],
    )
    def test_short_is_generator_bound_if_the_generator_had_a_queue(
        self, trouble: dict[str, Any]
    ) -> None:
        record = open_loop(**{**offered(10_000, 9_000), **trouble})
        assert judge(record).verdict == "generator-bound"
        assert "rate-missed" in found(record)

    def test_short_is_server_bound_despite_a_tail_of_receive_lag(self) -> None:
        tail = {"receive_lag_ns": spread(10 * US, 20 * US, 5 * MS)}
        assert judge(open_loop(**{**offered(10_000, 9_000), **tail})).verdict == "server-bound"

    def test_short_is_inconclusive_with_too_few_polls(self) -> None:
        record = open_loop(**ONE_WAY, **offered(10_000, 9_000), generator=generator(polls=19))
        assert seen(record) == ("inconclusive", ["rate-unexplained"])

    def test_short_is_told_with_its_figures(self) -> None:
        evidence = found(open_loop(**offered(10_000, 9_000)))["server-behind"].evidence
        assert "9\N{NO-BREAK SPACE}000 of 10\N{NO-BREAK SPACE}000 messages/s" in evidence
        assert "10\N{NO-BREAK SPACE}000 overdue" in evidence
        assert "70 % of the time" in evidence

    def test_is_not_missed_in_a_closed_loop(self) -> None:
        assert judge(closed_loop(actual=long(submitted_per_s=1.0))).verdict == "valid"


class TestBursts:
    def test_up_to_a_variation_of_three_are_nothing(self) -> None:
        assert seen(open_loop(generator=waiting(0.7, send_gap_variation=3.0))) == ("valid", [])

    @pytest.mark.parametrize(("lag_us", "verdict"), [(190, "valid"), (210, "busy")])
    def test_that_recur_hold_up_every_other_message(self, lag_us: int, verdict: Verdict) -> None:
        record = open_loop(  # a message in 100 µs: bursts of four hold half of them up for 200
            **offered(10_000, 10_000),
            generator=waiting(0.7, send_gap_variation=3.1),
            generator_lag_ns=spread(lag_us * US, lag_us * US, lag_us * US),
        )
        assert seen(record) == (verdict, ["bursty"])
        assert ("--pacing" in found(record)["bursty"].advice) == (verdict == "busy")

    def test_are_no_matter_where_the_rate_changes(self) -> None:
        bursts = {
            "generator": waiting(0.7, send_gap_variation=9.0),
            "generator_lag_ns": spread(900 * US, 900 * US, 900 * US),
            **offered(10_000, 10_000),
        }
        assert seen(open_loop(plan=plan(rate="0..20k/10s"), **bursts)) == ("valid", [])
        assert seen(open_loop(plan=plan(rate="10k"), **bursts)) == ("busy", ["bursty"])

    def test_of_now_and_then_are_not_the_servers_where_it_blocked_no_connection(self) -> None:
        record = open_loop(generator=waiting(0.7, send_gap_variation=9.0))
        assert "now and then" in found(record)["bursty"].advice


class TestPreemption:
    @pytest.mark.parametrize(
        ("gaps_s", "verdict"),
        [(0.04, "valid"), (0.1, "valid"), (0.11, "busy"), (0.99, "busy"), (1.0, "inconclusive")],
    )
    def test_weighs_by_its_share_of_the_run(self, gaps_s: float, verdict: Verdict) -> None:
        gaps = {"gaps": 5, "gaps_s": gaps_s, "longest_gap_s": 0.009, "involuntary_switches": 7}
        record = open_loop(generator=waiting(0.7, send_gap_variation=1.0, **gaps))
        assert seen(record) == (verdict, ["preempted"])

    def test_is_told_with_its_figures(self) -> None:
        gaps = {"gaps": 5, "gaps_s": 0.04, "longest_gap_s": 0.009}
        for switches, told in ((7, True), (None, False)):
            preempted = waiting(0.7, **gaps, involuntary_switches=switches)
            evidence = found(closed_loop(generator=preempted))["preempted"].evidence
            assert "5 ms: 5, together 40 ms (0.4 % of the load), the longest 9 ms" in evidence
            assert ("switches: 7" in evidence) == told

    def test_says_when_what_it_waited_for_and_what_it_delayed(self) -> None:
        delayed = DelayedRecord(
            service_ns=distribution(),
            response_ns=distribution(1, 2, 3),
            schedule_lag_ns=distribution(1, 2),
            reads=4,
        )
        stopped = waiting(
            0.7,
            gaps=1,
            gaps_s=0.05,
            longest_gap_s=0.05,
            longest_gap_at_s=3.25,
            run_queue_s=0.012,
            delayed=delayed,
        )
        evidence = found(closed_loop(generator=stopped))["preempted"].evidence
        assert "the longest 50 ms at 3.25 s" in evidence
        assert "it waited 12 ms for a processor" in evidence
        assert "messages that it delayed, and that are left out: 3" in evidence

    def test_by_a_quota_is_a_finding_of_its_own(self) -> None:
        limited = msgspec.structs.replace(HEALTHY.environment, cpu_quota=0.5)
        for gaps_s, verdict in ((0.05, "valid"), (0.5, "busy"), (5.0, "inconclusive")):
            gaps = {"gaps": 1, "gaps_s": gaps_s, "longest_gap_s": gaps_s}
            throttled = waiting(0.7, throttled_s=9.0, **gaps)  # of several processors, added up
            record = closed_loop(generator=throttled, environment=limited)
            assert seen(record) == (verdict, ["preempted", "throttled"])
            assert "the quota of 0.5 processors" in found(record)["throttled"].evidence
        assert seen(closed_loop(generator=waiting(0.7, throttled_s=0.0))) == ("valid", [])

    @pytest.mark.parametrize("gaps_s", [0.5, 0.0])
    def test_that_explains_a_missed_rate_is_not_the_servers(self, gaps_s: float) -> None:
        """A rate that was missed by 4 %; in one case this process was paused for 5 %."""
        gaps = {"gaps": 1, "gaps_s": gaps_s, "longest_gap_s": gaps_s} if gaps_s else {}
        generator = waiting(0.7, send_gap_variation=0.7, **gaps)
        record = open_loop(**{**offered(1000, 960), "generator": generator})
        assert ("server-behind" in found(record)) == (not gaps_s)
        assert ("rate-missed" in found(record)) == bool(gaps_s)

    @pytest.mark.parametrize(
        ("field", "code"), [("suspended_s", "suspended"), ("shared_pauses_s", "stopped-together")]
    )
    def test_of_the_machine_or_with_the_server_is_inconclusive(self, field: str, code: str) -> None:
        record = closed_loop(generator=waiting(0.7, **{field: 0.25}))
        assert seen(record) == ("inconclusive", [code])
        assert "250 ms" in found(record)[code].evidence
        assert seen(closed_loop(generator=waiting(0.7, **{field: 0.0}))) == ("valid", [])

    def test_of_a_load_that_never_began_has_no_share(self) -> None:
        record = closed_loop(
            actual=long(duration_s=0.0), generator=waiting(0.7, gaps=1, gaps_s=0.006)
        )
        assert "preempted" not in found(record)


class TestInconclusive:
    @pytest.mark.parametrize("outcome", ["interrupted", "lost"])
    def test_is_a_run_that_did_not_end_as_planned(self, outcome: Any) -> None:
        record = closed_loop(outcome=outcome)
        assert seen(record) == ("inconclusive", [outcome])
        assert "after 10 s" in found(record)[outcome].evidence

    def test_is_a_run_without_connections_and_nothing_else_is_said_of_it(self) -> None:
        record = healthy(
            outcome="unreachable",
            actual=actual(connections=0, duration_s=0.0),
            service_time_ns=distribution(),
            failures=[failure(Phase.CONNECT, Cause.REFUSED)],
        )
        assert seen(record) == ("inconclusive", ["unreachable"])

    @pytest.mark.parametrize(("count", "verdict"), [(99, "inconclusive"), (100, "valid")])
    def test_are_few_replies(self, count: int, verdict: Verdict) -> None:
        few = distribution(*[MS] * count)
        record = closed_loop(service_time_ns=few)
        codes = [] if verdict == "valid" else ["too-few-replies"]
        assert seen(record) == (verdict, codes)

    @pytest.mark.parametrize(("polls", "verdict"), [(19, "inconclusive"), (20, "valid")])
    def test_are_few_polls_of_the_sockets(self, polls: int, verdict: Verdict) -> None:
        record = closed_loop(generator=generator(polls=polls, waiting_share=0.7))
        assert seen(record) == (verdict, [] if verdict == "valid" else ["too-short"])

    def test_is_a_run_of_a_few_messages_and_its_lack_of_waiting_means_nothing(self) -> None:
        record = healthy(**OPEN_LOOP_TIMES, generator=generator(polls=1, waiting_share=0.01))
        assert seen(record) == ("inconclusive", ["too-few-replies"])

    def test_is_no_one_way_load_though_there_are_no_replies(self) -> None:
        assert seen(closed_loop(**ONE_WAY)) == ("valid", [])
        assert seen(closed_loop(**ONE_WAY, generator=generator(polls=1))) == ("valid", [])

    def test_are_limits_of_this_machine(self) -> None:
        record = closed_loop(
            failures=[
                failure(Phase.CONNECT, Cause.DESCRIPTORS, count=2),
                failure(Phase.CONNECT, Cause.ADDRESSES),
            ]
        )
        assert seen(record) == ("inconclusive", ["local-errors"])
        evidence = found(record)["local-errors"].evidence
        assert "own: 3" in evidence
        assert Cause.DESCRIPTORS.text in evidence
        assert Cause.ADDRESSES.text in evidence

    def test_are_no_failures_of_the_server(self) -> None:
        assert seen(closed_loop(failures=[failure(Phase.RECEIVE, Cause.RESET)])) == ("valid", [])

    @pytest.mark.parametrize(
        ("up", "verdict"), [(989, "inconclusive"), (990, "valid"), (999, "valid")]
    )
    def test_is_a_load_of_far_fewer_connections_than_asked(self, up: int, verdict: Verdict) -> None:
        record = closed_loop(requested=requested(connections=1_000), actual=long(connections=up))
        assert seen(record) == (verdict, ["connections-missing"])
        assert f"{up} of 1" in found(record)["connections-missing"].evidence

    @pytest.mark.parametrize(("left_out", "verdict"), [(100, "valid"), (101, "inconclusive")])
    def test_is_a_clock_that_was_set_while_many_replies_came(
        self, left_out: int, verdict: Verdict
    ) -> None:
        steps = [ClockStep(at_s=1.5, step_ns=-3 * MS), ClockStep(at_s=2.0, step_ns=4 * MS)]
        stamps = timestamps(stamped=10_000 - left_out, left_out=left_out, clock_steps=steps)
        record = closed_loop(timestamps=stamps)
        assert seen(record) == (verdict, ["clock-set"])
        evidence = found(record)["clock-set"].evidence
        assert "by -3 ms at 1.50 s, by 4 ms at 2.00 s" in evidence
        assert f"left out: {left_out}" in evidence

    @pytest.mark.parametrize(
        ("missing", "implausible", "verdict"),
        [(100, 0, "valid"), (101, 0, "inconclusive"), (60, 60, "inconclusive")],
    )
    def test_are_replies_without_timestamps(
        self, missing: int, implausible: int, verdict: Verdict
    ) -> None:
        stamped = 10_000 - missing - implausible
        stamps = timestamps(stamped=stamped, missing=missing, implausible=implausible)
        assert seen(closed_loop(timestamps=stamps)) == (verdict, ["stamps-missing"])

    def test_are_no_replies_that_were_not_to_be_stamped(self) -> None:
        sampled = timestamps(sample_every=10, stamped=1_000, unsampled=9_000)
        assert seen(closed_loop(timestamps=sampled)) == ("valid", [])


class TestCoverage:
    def test_of_pipelined_replies_is_told_and_costs_nothing(self) -> None:
        record = closed_loop(timestamps=timestamps(stamped=2_500, upper_bounds=7_500))
        assert seen(record) == ("valid", ["upper-bounds"])
        assert found(record)["upper-bounds"].evidence.startswith("25 % of the replies")


class TestUserSpace:
    STAMPS = timestamps(
        mode="user",
        reason="macOS has none for TCP",
        stamped=0,
        read_uncertainty_ns=spread(20 * US, 50 * US, 400 * US),
    )

    def test_is_told_with_its_error_bar(self) -> None:
        record = closed_loop(timestamps=self.STAMPS, receive_lag_ns=None)
        assert seen(record) == ("valid", ["user-space"])
        evidence = found(record)["user-space"].evidence
        assert "macOS has none for TCP" in evidence
        assert "400 µs (p99)" in evidence

    @pytest.mark.parametrize(
        ("share", "verdict"), [(0.30, "valid"), (0.29, "busy"), (0.11, "generator-bound")]
    )
    def test_is_worth_what_the_generators_waiting_is(self, share: float, verdict: Verdict) -> None:
        record = closed_loop(timestamps=self.STAMPS, receive_lag_ns=None, generator=waiting(share))
        judged = judge(record)
        assert judged.verdict == verdict
        assert judged.findings[-1].code == "user-space"
        assert "valid for the load" not in " ".join(one.advice for one in judged.findings)

    def test_names_what_the_probe_saw(self) -> None:
        latency = spread(239 * US, 254 * US, 286 * US, count=900)
        probe = ProbeRecord(requests=900, failure="connect: refused", latency_ns=latency)
        record = closed_loop(
            timestamps=self.STAMPS, receive_lag_ns=None, generator=waiting(0.1), probe=probe
        )
        told = found(record)["user-space"]
        assert "saw a p50 of 239 µs in 900 requests" in told.evidence
        assert "ended early: connect: refused" in told.evidence
        assert "trust the probe's latency" in told.advice

    def test_is_nothing_to_one_way_load(self) -> None:
        one_way = {**ONE_WAY, "timestamps": self.STAMPS}
        assert seen(closed_loop(**one_way)) == ("valid", [])


class TestOrder:
    def test_is_from_inconclusive_down_to_valid(self) -> None:
        assert SEVERITY == ("inconclusive", "generator-bound", "server-bound", "busy", "valid")

    def test_puts_the_findings_of_the_verdict_first_and_the_informational_last(self) -> None:
        record = open_loop(
            outcome="interrupted",
            **offered(10_000, 9_000),
            generator=waiting(0.7, gaps=9, gaps_s=0.2, send_gap_variation=9.0),
            timestamps=timestamps(stamped=9_000, upper_bounds=1_000),
        )
        assert seen(record) == (
            "inconclusive",
            ["interrupted", "server-behind", "preempted", "upper-bounds", "bursty"],
        )

    def test_has_a_server_behind_before_a_tail(self) -> None:
        record = open_loop(
            **offered(10_000, 9_000),
            generator=waiting(0.7, gaps=9, gaps_s=0.2, send_gap_variation=1.0),
        )
        assert seen(record) == ("server-bound", ["server-behind", "preempted"])

    def test_does_not_look_at_an_older_verdict(self) -> None:
        older = Health(verdict="generator-bound", findings=[])
        assert judge(closed_loop(health=older)) == Health(verdict="valid", findings=[])

    def test_says_in_every_finding_what_was_seen_and_what_to_do(self) -> None:
        record = open_loop(
            **offered(10_000, 5_000),
            generator=waiting(0.05, gaps=99, gaps_s=5.0, send_gap_variation=9.0),
            receive_lag_ns=spread(5 * MS, 5 * MS, 9 * MS),
            generator_lag_ns=spread(5 * MS, 5 * MS, 9 * MS),
            timestamps=timestamps(stamped=10, upper_bounds=1, missing=1, left_out=1),
            failures=[failure(Phase.CONNECT, Cause.MEMORY)],
        )
        findings = judge(record).findings
        assert len(findings) == len({finding.code for finding in findings}) == 11
        for finding in findings:
            assert any(letter.isdigit() for letter in finding.evidence), finding
            assert "\n" not in finding.evidence + finding.advice
            assert finding.advice


class TestResponseTime:
    @pytest.mark.parametrize("verdict", ["valid", "busy", "server-bound", "inconclusive"])
    def test_is_printed_where_the_generator_kept_up(self, verdict: Verdict) -> None:
        assert prints_response_time(Health(verdict=verdict, findings=[]))

    def test_is_not_printed_where_the_generator_was_the_limit(self) -> None:
        assert not prints_response_time(Health(verdict="generator-bound", findings=[]))
        assert not prints_response_time(judge(open_loop(generator=waiting(0.1))))

    def test_is_not_printed_where_a_more_severe_verdict_hides_that(self) -> None:
        record = open_loop(outcome="interrupted", generator=waiting(0.1))
        assert judge(record).verdict == "inconclusive"
        assert not prints_response_time(judge(record))
