"""The table of times, and the notes below it."""

import msgspec
import pytest
from records import (
    actual,
    closed_loop,
    distribution,
    generator,
    healthy,
    open_loop,
    plan,
    spread,
    timestamps,
)
from test_summary import one_way

from loadgen.analysis.lines import Line
from loadgen.analysis.summary import summarise
from loadgen.analysis.verdict import judging
from loadgen.results.instruments import ProbeRecord
from loadgen.results.record import RunRecord
from loadgen.results.verdict import Finding, Health, Verdict

WIDEST = 105
NO_STAMPS = "UNIX sockets have none"
USER_SPACE = {
    "timestamps": timestamps(
        mode="user", reason=NO_STAMPS, stamped=0, read_uncertainty_ns=spread(1000, 20_000, 75_000)
    ),
    "receive_lag_ns": None,
}
PROBE = ProbeRecord(requests=3000, failure="", latency_ns=spread(200_000, 210_000, 290_000))
NEVER_ASKED = ProbeRecord(requests=0, failure="connection refused", latency_ns=distribution())
LATE = generator(polls=10_000, waiting_share=0.05, send_gap_variation=0.7)


def texts(record: RunRecord) -> list[str]:
    return [line.text.replace("\N{NO-BREAK SPACE}", " ") for line in summarise(record)]


def prose(record: RunRecord) -> str:
    """The summary without its line breaks."""
    return " ".join(" ".join(texts(record)).split())


def row(record: RunRecord, name: str) -> list[str]:
    """The cells of a row: a duration is two words, a dash is one."""
    (line,) = (text for text in texts(record) if text.startswith(f"  {name:<15} "))
    return [line[end - 9 : end].strip() for end in range(17 + 9, 17 + 7 * 9 + 1, 9)]


def has_row(record: RunRecord, name: str) -> bool:
    return any(text.startswith(f"  {name:<15} ") for text in texts(record))


def judged(record: RunRecord, verdict: Verdict | None = None, *findings: Finding) -> RunRecord:
    """The record with a verdict: that one, or what `judge` returns."""
    found = Health(verdict=verdict, findings=list(findings)) if verdict else judging.judge(record)
    return msgspec.structs.replace(record, health=found)


def finding(evidence: str, advice: str = "do something", code: str = "a-code") -> Finding:
    return Finding(code=code, evidence=evidence, advice=advice)


# ---- percentiles that are not known -------------------------------------------------------

TOO_FEW = "(-: too few values for that percentile)"
UNANSWERED = "(-: too many messages had no answer for that percentile to be known)"


@pytest.mark.parametrize(
    ("count", "shown"),
    [(10_000, 4), (9_900, 3), (1_000, 3), (900, 2), (100, 2)],
)
def test_a_percentile_needs_ten_values_beyond_it(count: int, shown: int) -> None:
    connects = spread(1000, 1000, 1000)
    record = closed_loop(
        connect_latency_ns=connects, service_time_ns=spread(100_000, 200_000, 300_000, count=count)
    )
    percentiles = row(record, "service time")[2:6]
    assert [cell != "-" for cell in percentiles] == [True] * shown + [False] * (4 - shown)
    assert "-" not in row(record, "user space")
    assert (TOO_FEW in prose(record)) == (shown < 4)


def test_dashes_in_the_row_of_connects_are_explained_too() -> None:
    record = closed_loop()
    assert row(record, "connect") == ["100 µs", "110 µs", *["-"] * 4, "120 µs"]
    assert TOO_FEW in texts(record)[-5]
    assert UNANSWERED not in prose(record)


def test_what_was_never_answered_hides_the_percentiles_that_it_might_be_in() -> None:
    told = closed_loop().actual
    record = closed_loop(
        connect_latency_ns=spread(1000, 1000, 1000),
        actual=msgspec.structs.replace(told, submitted=told.messages + 500, cut_off=500),
    )
    assert row(record, "service time")[2:6] == ["1.01 ms", "1.01 ms", "-", "-"]
    assert UNANSWERED in prose(record)
    assert TOO_FEW not in prose(record)


# ---- where the times come from ------------------------------------------------------------


def test_times_of_user_space_are_called_that_with_their_error_bar() -> None:
    record = judged(closed_loop(**USER_SPACE))
    assert (
        "(service time: user-space, from send to read on this process's clock; no timestamps of "
        f"the kernel: {NO_STAMPS}; a reply may have arrived up to 75 µs (p99) earlier)"
    ) in prose(record)
    assert not has_row(record, "receive lag")
    assert not has_row(record, "user space"), "it would be the row of service time again"


def test_an_error_bar_needs_enough_values() -> None:
    stamps = timestamps(mode="user", reason=NO_STAMPS, read_uncertainty_ns=distribution(5, 5, 5))
    record = closed_loop(receive_lag_ns=None, timestamps=stamps)
    assert f"kernel: {NO_STAMPS})" in prose(record)


@pytest.mark.parametrize(
    ("stamps", "words"),
    [
        ({"stamped": 10_000}, "clock; user"),
        ({"stamped": 0}, "clock; user"),
        ({"sample_every": 10, "stamped": 1000, "unsampled": 9000}, "clock, for 1 read in 10; user"),
        (
            {"stamped": 3000, "upper_bounds": 6000, "missing": 1000},
            "clock, for 30 % of the replies; the others have no time of their own; user",
        ),
        (
            {"sample_every": 10, "stamped": 250, "upper_bounds": 750, "unsampled": 9000},
            (
                "clock, for 1 read in 10, for 25 % of their replies; the others have no time of "
                "their own; user"
            ),
        ),
    ],
)
def test_says_how_many_replies_have_a_time_of_their_own(stamps: dict[str, int], words: str) -> None:
    record = closed_loop(timestamps=timestamps(**stamps))
    source = "(service time: from send to arrival, by the kernel's "
    assert f"{source}{words} space: to read)" in prose(record)


def test_a_one_way_run_has_the_times_of_its_schedule_alone() -> None:
    lag = spread(16_000, 30_000, 60_000)
    record = one_way(
        plan=plan(rate=500.0, reply="none"),
        response_time_ns=distribution(),
        blocked_ns=lag,
        generator_lag_ns=lag,
    )
    rows = ("service time", "response time", "receive lag", "user space")
    assert not any(has_row(record, name) for name in rows)
    assert has_row(record, "blocked")
    assert has_row(record, "generator lag")
    assert "(one way: there is no reply to wait for)" in prose(record)
    late = prose(judged(record, "generator-bound"))
    assert "(blocked time left out: " in late
    assert "response time" not in late


# ---- the probe ----------------------------------------------------------------------------


def test_the_probe_has_a_row_of_its_own() -> None:
    record = closed_loop(**USER_SPACE, probe=PROBE)
    assert row(record, "probe")[2:5] == ["200 µs", "210 µs", "290 µs"]
    assert "(probe: from send to read in a second process, which has little to do)" in prose(record)


@pytest.mark.parametrize("changes", [{}, USER_SPACE])
def test_a_probe_that_failed_says_so(changes: dict[str, object]) -> None:
    record = judged(closed_loop(**changes, probe=NEVER_ASKED))
    assert not has_row(record, "probe")
    assert "little to do)" not in prose(record)
    assert Line("  probe: it ended early: connection refused", "bad") in summarise(record)


def test_a_probe_that_failed_late_shows_what_it_has() -> None:
    record = closed_loop(probe=msgspec.structs.replace(PROBE, failure="reset"))
    assert has_row(record, "probe")
    assert "probe: it ended early: reset" in prose(record)


# ---- how it looks -------------------------------------------------------------------------


def test_the_generators_own_rows_and_the_notes_are_faint() -> None:
    styles = {line.text[2:17].strip(): line.style for line in summarise(judged(open_loop()))}
    for name in ("generator lag", "receive lag", "user space", "(service time:"):
        assert styles[name] == "faint"
    for name in ("connect", "service time", "response time"):
        assert styles[name] == "plain"


@pytest.mark.parametrize(
    "record",
    [
        judged(open_loop(generator=LATE)),
        judged(open_loop(**USER_SPACE, probe=PROBE, generator=LATE)),
        judged(healthy(actual=actual(messages=4, submitted=5, cut_off=1))),
        closed_loop(timestamps=timestamps(sample_every=10, stamped=250, upper_bounds=750)),
    ],
)
def test_no_line_is_too_wide(record: RunRecord) -> None:
    assert max(map(len, texts(record))) <= WIDEST


def test_an_option_stays_whole_at_the_end_of_a_line() -> None:
    for padding in range(40):
        advice = (
            "x" * 30 + " " + "y" * padding + " ask for a lower --connect-rate or --timestamp-sample"
        )
        lines = texts(judged(closed_loop(), "busy", finding("why", advice)))
        found = {word for line in lines for word in line.split() if word.startswith("--")}
        assert found == {"--connect-rate", "--timestamp-sample"}
