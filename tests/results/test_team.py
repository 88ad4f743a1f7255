"""Runs of several workers, some of them absent at the end: the record, and the verdict."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import jsonschema
import msgspec
import pytest
from records import actual, closed_loop, open_loop, requested

from loadgen import check
from loadgen.analysis.merge import merge
from loadgen.analysis.summary import summarise
from loadgen.analysis.verdict import judging
from loadgen.results.record import RunRecord, from_json
from loadgen.results.schema import json_schema
from loadgen.results.team import Absence, Team

BEGAN_NS = int(datetime.fromisoformat(closed_loop().started_at).timestamp()) * 10**9


def absence(name: str, at_s: float, **known: Any) -> Absence:
    """That worker was last heard of ``at_s`` after the start."""
    relieved_at_s = known.pop("relieved_at_s", None)
    relieved_ns = None if relieved_at_s is None else BEGAN_NS + round(relieved_at_s * 1e9)
    return Absence(name, BEGAN_NS + round(at_s * 1e9), relieved_ns=relieved_ns, **known)


def loading(rate_per_s: float, duration_s: float = 10.0) -> RunRecord:
    """The record of a worker with that rate, and an interval for each second."""
    [whole] = open_loop().intervals
    each = msgspec.structs.replace(whole, duration_s=1.0, messages=round(rate_per_s))
    return open_loop(
        requested=requested(rate_per_s=rate_per_s),
        actual=actual(
            duration_s=duration_s,
            messages=round(rate_per_s * duration_s),
            messages_per_s=rate_per_s,
            submitted_per_s=rate_per_s,
            submitted=round(rate_per_s * duration_s),
            due=round(rate_per_s * duration_s),
            overdue=0,
        ),
        intervals=[
            msgspec.structs.replace(each, start_s=float(second))
            for second in range(round(duration_s))
        ],
    )


def merged(records: Mapping[str, RunRecord], *absences: Absence, expected: int = 2) -> RunRecord:
    lost = sum(not each.is_whole for each in absences)
    return merge(records, Team(expected, expected - lost, absences))


def codes(record: RunRecord) -> list[str]:
    assert record.health is not None
    return [finding.code for finding in record.health.findings]


def verdict(record: RunRecord) -> str:
    assert record.health is not None
    return record.health.verdict


class TestLost:
    record = merged(
        {"a": loading(1000.0, 4.0), "b": loading(1000.0)}, absence("a", 4.6, load_share=0.5)
    )

    def test_is_recorded_with_its_time_and_its_share(self) -> None:
        assert self.record.team is not None
        assert (self.record.team.expected, self.record.team.reported) == (2, 1)
        [lost] = self.record.team.lost
        assert (lost.name, lost.host, lost.relieved_at_s) == ("a", "host", None)
        assert lost.at_s == pytest.approx(4.6)
        assert (lost.load_share, lost.message_share) == (0.5, 0.5)

    def test_is_the_first_finding_and_leaves_the_run_inconclusive(self) -> None:
        assert verdict(self.record) == "inconclusive"
        assert self.record.health is not None
        [first, *_] = self.record.health.findings
        assert first.code == "worker-lost"
        assert "worker a was lost: last heard of 4.6 s after the start" in first.evidence
        assert "50 % of the load, which no other worker took over" in first.evidence
        assert judging.disturbance(self.record) == first.evidence

    def test_shows_in_the_rate_that_all_were_asked_for(self) -> None:
        assert self.record.requested.rate_per_s == pytest.approx(2000.0)
        assert self.record.actual.messages_per_s == pytest.approx(1400.0)

    def test_makes_checks_inconclusive(self) -> None:
        assert check(self.record, "service_p99<1s").outcome == "inconclusive"
        assert check(self.record, "messages_per_s>=1k").outcome == "inconclusive"

    def test_stands_in_the_summary(self) -> None:
        text = "\n".join(line.text for line in summarise(self.record))
        assert "workers      1 of 2 have given their last report, 1 lost" in text
        assert "worker a was lost" in text

    def test_is_read_from_json_and_an_old_record_has_no_team(self) -> None:
        text = self.record.to_json()
        assert from_json(text) == self.record
        plain = json.loads(text)
        jsonschema.Draft202012Validator(json_schema()).validate(plain)
        del plain["team"]
        assert from_json(json.dumps(plain).encode()).team is None

    @pytest.mark.parametrize(
        ("shares", "expected"),
        [
            ([0.005, 0.005], "valid"),
            ([0.005, 0.006], "inconclusive"),
            ([0.005, None], "inconclusive"),
        ],
    )
    def test_weighs_what_all_lost_workers_had_together(
        self, shares: list[float | None], expected: str
    ) -> None:
        lost = [
            absence(name, 5.0, load_share=each) for name, each in zip("bc", shares, strict=True)
        ]
        record = merged({"a": loading(1000.0)}, *lost, expected=3)
        assert verdict(record) == expected
        assert codes(record) == ["worker-lost", "worker-lost"]

    def test_has_the_share_of_its_connections_if_its_share_is_unknown(self) -> None:
        one = open_loop(requested=requested(connections=1, rate_per_s=10.0))
        other = open_loop(requested=requested(connections=3, rate_per_s=10.0))
        record = merged({"a": one, "b": other}, absence("a", 10.0))
        assert record.team is not None
        assert record.team.lost[0].load_share == 0.25

    def test_whose_load_others_were_given_is_asked_for_until_then(self) -> None:
        # b was asked for 1000/s in the first half of 10 s, and then for 2000/s.
        lost = absence("a", 4.5, load_share=0.5, relieved_at_s=5.0)
        record = merged({"a": loading(1000.0, 4.0), "b": loading(1500.0)}, lost)
        assert record.requested.rate_per_s == pytest.approx(2000.0)
        assert record.team is not None
        assert record.team.lost[0].relieved_at_s == pytest.approx(5.0)
        assert verdict(record) == "inconclusive"

    def test_that_never_reported_counts_in_what_was_asked(self) -> None:
        lost = absence("gone", 0.5, host="box", load_share=0.75)
        record = merged({"b": loading(1000.0)}, lost)
        assert record.requested.rate_per_s == pytest.approx(4000.0)
        assert record.requested.connections == 8
        assert record.team is not None
        assert (record.team.lost[0].host, record.team.lost[0].message_share) == ("box", None)
        assert record.health is not None
        assert "nothing is known of its figures" in record.health.findings[0].evidence

    def test_also_where_all_are_lost(self) -> None:
        lost = [absence(name, 4.5, load_share=0.5) for name in "ab"]
        record = merged({"a": loading(1000.0, 4.0), "b": loading(1000.0, 4.0)}, *lost)
        assert record.team is not None
        assert (record.team.reported, verdict(record)) == (0, "inconclusive")


class TestOthers:
    @pytest.mark.parametrize(
        ("relieved_at_s", "expected"), [(5.01, "valid"), (None, "inconclusive")]
    )
    def test_one_that_ended_early_costs_what_was_not_made_of_its_load(
        self, relieved_at_s: float | None, expected: str
    ) -> None:
        early = absence("a", 5.0, load_share=0.5, relieved_at_s=relieved_at_s, is_whole=True)
        record = merged({"a": loading(1000.0, 5.0), "b": loading(1000.0)}, early)
        assert (verdict(record), codes(record)) == (expected, ["worker-ended-early"])
        assert record.team is not None
        assert (record.team.reported, record.team.lost) == (2, [])
        assert record.team.ended_early[0].at_s == pytest.approx(5.0)

    def test_one_that_never_came_is_missing(self) -> None:
        record = merge({"a": loading(1000.0)}, Team(expected=2, reported=1))
        assert (verdict(record), codes(record)) == ("valid", ["workers-missing"])

    def test_no_worker_is_missing_if_all_reported(self) -> None:
        record = merged({"a": loading(1000.0), "b": loading(1000.0)})
        assert (verdict(record), codes(record)) == ("valid", [])
        text = "\n".join(line.text for line in summarise(record))
        assert "workers      2 of 2 have given their last report\n" in text
