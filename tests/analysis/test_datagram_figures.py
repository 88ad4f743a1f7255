"""What the figures of datagrams mean: in words, for the verdict and checks, and added up."""

from typing import Any

import msgspec
import pytest
from records import at, closed_loop, datagrams, offered, open_loop, plan, spread
from verdicts import found, seen

import loadgen
from loadgen.analysis.merge import merge
from loadgen.analysis.summary import summarise
from loadgen.results.record import RunRecord, from_json


def plain(text: str) -> str:
    """Return ``text`` with single spaces, none of which keeps a line together."""
    return " ".join(text.split())


def over_udp(reply: str = "sequence", **changes: Any) -> RunRecord:
    target = plan(target="udp://192.0.2.1:53", reply=reply)
    return closed_loop(plan=target, datagrams=datagrams(**changes))


def lossy(count: int, **changes: Any) -> RunRecord:
    return over_udp(answered=10_000 - count, lost=count, **changes)


class TestVerdict:
    def test_of_a_run_without_losses_is_valid(self) -> None:
        assert seen(over_udp()) == ("valid", [])

    @pytest.mark.parametrize(("count", "verdict"), [(50, "valid"), (500, "server-bound")])
    def test_says_how_many_were_lost(self, count: int, verdict: str) -> None:
        assert seen(lossy(count)) == (verdict, ["datagrams-lost"])
        evidence = found(lossy(count))["datagrams-lost"].evidence
        assert plain(evidence).startswith(f"{count} of 10 000 datagrams")

    def test_does_not_take_a_loss_for_a_server_that_falls_behind(self) -> None:
        record = open_loop(
            **offered(1_000, 1_000),
            plan=plan(target="udp://192.0.2.1:53", reply="sequence", rate=1_000.0),
            datagrams=datagrams(answered=9_500, lost=500),
            service_time_ns=spread(1_000_000, 1_000_000, 1_000_000),
        )
        answered = msgspec.structs.replace(record.actual, messages_per_s=950.0)
        assert seen(msgspec.structs.replace(record, actual=answered)) == (
            *("server-bound", ["datagrams-lost"]),
        )

    def test_points_to_numbers_where_there_are_none(self) -> None:
        numberless = lossy(50, reply="datagram", duplicates=None, reordered=None)
        assert "--reply sequence" in found(numberless)["datagrams-lost"].advice
        assert "--reply sequence" not in found(lossy(50))["datagrams-lost"].advice

    @pytest.mark.parametrize("what", ["send_refused", "receive_buffer_errors"])
    def test_blames_this_machine_for_what_it_has_dropped(self, what: str) -> None:
        dropped: dict[str, Any] = {what: 1}
        assert seen(over_udp(**dropped)) == ("generator-bound", ["local-drops"])


class TestChecks:
    @pytest.mark.parametrize(
        ("check", "outcome", "measured"),
        [
            ("lost<1%", "failed", "1 % (100 of 10 000)"),
            ("lost<=100", "passed", "100"),
            ("late<1", "passed", "0"),
            ("duplicates<=1%", "passed", "0.202 % (20 of 9 900)"),
            ("reordered<7", "failed", "7"),
            ("errors<100", "failed", "100"),
        ],
    )
    def test_limit_each_kind(self, check: str, outcome: str, measured: str) -> None:
        result = loadgen.check(lossy(100, duplicates=20, reordered=7), check)
        assert (result.outcome, plain(result.measured or "")) == (outcome, measured)

    def test_blame_nobody_else_for_what_this_machine_has_dropped(self) -> None:
        record = lossy(100, receive_buffer_errors=40)
        assert loadgen.check(record, "lost<=1%").outcome == "passed"
        result = loadgen.check(record, "lost<1%")
        assert (result.outcome, result.reason) == (
            "inconclusive",
            "up to 40 of them were dropped by this machine",
        )

    def test_need_what_they_limit(self) -> None:
        assert "udp://" in loadgen.check(closed_loop(), "lost<1%").reason
        numberless = over_udp("datagram", duplicates=None, reordered=None)
        assert "--reply sequence" in loadgen.check(numberless, "reordered<1").reason
        nothing = over_udp(sent=0, answered=0)
        assert loadgen.check(nothing, "lost<1%").outcome == "inconclusive"


def test_the_summary_has_all_of_it() -> None:
    record = lossy(100, late=0, unmatched=3, duplicates=2, send_refused=5)
    text = plain("\n".join(line.text for line in summarise(record)))
    assert "datagrams 10 000 sent = 9 900 answered + 100 lost (1 %) + 0 late" in text
    assert "2 duplicates, 0 reordered, 3 that answered no message, jitter 12 µs" in text
    assert "local drops 5 refused when sent" in text


class TestMerged:
    def test_is_the_sum(self) -> None:
        one, other = lossy(100), lossy(300, in_flight=1, sent=10_001, jitter_ns=None)
        merged = merge({"a": at(0, one), "b": at(0, other)}).datagrams
        assert merged is not None
        assert (merged.sent, merged.lost, merged.in_flight) == (20_001, 400, 1)
        assert merged.jitter_ns == 12_000  # of the one that has any

    def test_knows_no_duplicates_where_no_worker_does(self) -> None:
        one = over_udp("datagram", duplicates=None, reordered=None)
        merged = merge({"a": at(0, one), "b": at(0, one)}).datagrams
        assert merged is not None
        assert merged.duplicates is None

    def test_is_nothing_for_streams(self) -> None:
        assert merge({"a": closed_loop(), "b": closed_loop()}).datagrams is None


def test_a_record_keeps_it() -> None:
    assert from_json(lossy(1).to_json()).datagrams == lossy(1).datagrams
