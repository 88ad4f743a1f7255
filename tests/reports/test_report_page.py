"""What the page of a report says."""

import base64
import html
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from drawn_figures import monitor
from records import (
    HEALTHY,
    at,
    closed_loop,
    datagrams,
    failure,
    healthy,
    open_loop,
    plan,
    rejecting,
    requested,
    spread,
)

from loadgen.analysis.compare.comparison import compare
from loadgen.analysis.compare.run_rounds import of_records
from loadgen.analysis.verdict.judging import judge
from loadgen.net.failure import Cause, Phase
from loadgen.plan.payloads import MadePayload
from loadgen.results.interval_packer import packed
from loadgen.results.record import ConnectionsRecord, RunRecord, TargetRecord, from_json
from loadgen.results.verdict import CheckResult, Finding, Health
from loadgen.results.worker_records import WorkerRecord
from loadgen.units import format_count
from reports import page
from reports.page import Run
from reports.repeat_command import command_of
from reports.write import Folder, labelled, write_comparison, write_report

HOSTILE = "<script>alert('x')</script>&\"'"


def judged(record: RunRecord) -> RunRecord:
    return msgspec.structs.replace(record, health=judge(record))


def page_of(*records: RunRecord) -> str:
    runs = [Run(f"run {number}", record) for number, record in enumerate(records, 1)]
    chapters = [page.chapter(run, page.pictures_of(run.record)) for run in runs]
    several = {run.label: [run.record] for run in runs}
    return page.of_runs(chapters, page.side_by_side(several) if len(runs) > 1 else [])


def words_of(record: RunRecord) -> str:
    """Return the page without its pictures, which take a second."""
    return page.of_runs([page.chapter(Run("run", record))], [])


def in_order(text: str, parts: Sequence[str]) -> bool:
    places = [text.index(part) for part in parts]
    return places == sorted(places)


@pytest.fixture(scope="module")
def of_two_runs() -> str:
    """A page with all its pictures."""
    return page_of(judged(closed_loop()), judged(open_loop(plan=plan(rate=1000.0))))


def test_the_verdict_stands_above_every_number_and_all_else_in_order(of_two_runs: str) -> None:
    _, _, article = of_two_runs.partition('<article id="run-2">')
    assert in_order(
        re.sub("</?span>", "", article),
        [
            '<div class="verdict',
            '<dl class="headline">',
            "<th>requested</th>",
            "loadgen 10.0.0.5:9999 -c 2",
            "Latency by percentile",
            "Latency over time",
            "Throughput, connections and failures over time",
            "What generator and target took",
            "Connections beside each other",
            "The slowest connections",
            "<h2>Environment</h2>",
            "The whole plan",
            "The record as JSON",
        ],
    )


def test_evidence_advice_and_checks_are_told() -> None:
    finding = Finding(code="x", evidence="it waited for 1 %", advice="give it a core")
    record = closed_loop(
        health=Health(verdict="generator-bound", findings=[finding]),
        checks=[
            CheckResult(check="errors<1%", outcome="failed", measured="2 %", reason="too many")
        ],
    )
    text = words_of(record)
    assert 'class="verdict generator-bound"' in text
    assert "✗ generator-bound: " in text
    for part in (
        "it waited for 1 %",
        "give it a core",
        "errors&lt;1%",
        "failed",
        "2 %",
        "too many",
    ):
        assert part in text


def test_rejected_replies_are_told_in_the_headline_beside_the_answered_and_by_cause() -> None:
    text = words_of(judged(rejecting(200))).replace("\N{NO-BREAK SPACE}", " ")
    assert in_order(
        text,
        [
            "200 of 10 000 messages (2 %)",
            "10 000 answered, 200 of them rejected",
            "reply: the server rejected the message",
        ],
    )
    assert "rejected" not in words_of(judged(closed_loop())).partition("The record as JSON")[0]


def test_the_books_of_datagrams_are_on_the_page() -> None:
    found = datagrams(answered=9_900, lost=100, duplicates=2)
    record = closed_loop(plan=plan(target="udp://192.0.2.1:53"), datagrams=found)
    text = words_of(judged(record)).replace("\N{NO-BREAK SPACE}", " ")
    for part in ("datagrams", "10 000 sent = 9 900 answered + 100 lost (1 %)", "2 duplicates"):
        assert part in text


def test_a_target_that_died_is_named_with_the_moment_above_every_number() -> None:
    text = words_of(judged(closed_loop(monitor=monitor(target_ended_at_s=1.25))))
    assert in_order(text, ["the target ended 1.2 s after the start", '<dl class="headline">'])


def test_a_name_is_shown_with_the_address_that_was_used() -> None:
    target = TargetRecord(address="here:80", resolved="127.0.0.1:80", others=["[::1]:80"])
    assert "here:80 (127.0.0.1, not ::1)" in words_of(judged(closed_loop(target=target)))


def test_a_command_can_be_copied_and_what_has_none_says_why() -> None:
    record = judged(closed_loop(plan=plan(payloads=(b"it's <b>",))))
    (command,) = re.findall('<pre class="command">(.*)</pre>', words_of(record))
    assert shlex.split(html.unescape(re.sub("</?span>", "", command))) == command_of(record.plan)
    made = judged(closed_loop(plan=plan(payloads=(MadePayload("a task"),))))
    assert "No command line repeats this run: code made its messages" in words_of(made)
    worker = WorkerRecord(
        name="one",
        host="here",
        connections=1,
        messages=1,
        messages_per_s=1.0,
        waiting_share=0.5,
        verdict="valid",
        findings=[],
    )
    together = judged(closed_loop(workers=[worker, worker]))
    assert "No command line repeats this run: 2 processes carried it out" in words_of(together)


def test_of_very_many_findings_and_payloads_the_first_are_shown_and_the_others_counted() -> None:
    findings = [
        Finding(code="load", evidence=f"seen {number}.", advice="") for number in range(1005)
    ]
    record = closed_loop(
        plan=plan(payloads=tuple(b"%d" % number for number in range(3000))),
        health=Health(verdict="busy", findings=findings),
    )
    text = words_of(record)
    assert "seen 999." in text
    assert "seen 1000." not in text
    assert text.count("… and 5 more") == 2  # once more in what a terminal shows
    assert f"… and {format_count(2000)} more" in text
    assert "No command line repeats this run: what it sent is too much for one." in text


def test_names_and_errors_of_strangers_stay_text(one_picture: None) -> None:
    record = judged(
        closed_loop(
            target=TargetRecord(address=HOSTILE, resolved="", embedded=False, server=None),
            plan=plan(payloads=(HOSTILE.encode(),)),
            environment=msgspec.structs.replace(HEALTHY.environment, machine=HOSTILE),
            failures=[failure(Phase.RECEIVE, Cause.RESET)],
        )
    )
    worst = msgspec.structs.replace(HEALTHY.connections.worst[0], failure=HOSTILE)
    record = msgspec.structs.replace(
        record, connections=msgspec.structs.replace(record.connections, worst=[worst])
    )
    runs = [Run(HOSTILE, record), Run("other", record)]
    chapters = [page.chapter(run, page.pictures_of(run.record)) for run in runs]
    text = page.of_runs(chapters, page.side_by_side({run.label: [run.record] for run in runs}))
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 4


def test_a_page_needs_nothing_else(of_two_runs: str) -> None:
    assert "<script" not in of_two_runs
    # Names of XML are not fetched.
    addresses = set(re.findall(r"https?://[^\"' <]+", of_two_runs))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not re.search(r"<link|@import|<img|<iframe", of_two_runs)


def test_pictures_are_there_for_wide_and_narrow_windows_with_a_name_each(of_two_runs: str) -> None:
    pictures = re.findall(r"<svg .*?</svg>", of_two_runs, re.DOTALL)
    assert len(pictures) >= 4
    assert len(pictures) % 2 == 0
    for picture in pictures:
        root = ET.fromstring(picture)
        assert root.attrib["role"] == "img"
        assert root.attrib["aria-label"]
        assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) > 2


def test_the_record_is_within_the_page_while_it_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    record = judged(closed_loop())
    (found,) = re.findall(r'href="data:application/json;base64,([^"]+)"', words_of(record))
    assert from_json(base64.b64decode(found)) == record
    monkeypatch.setattr(page, "_LARGEST_EMBEDDED_BYTES", 10)
    for intervals in (record.intervals, packed(record.intervals)):
        large = msgspec.structs.replace(record, intervals=intervals)
        assert "too large to be within this page" in words_of(large)
    chapters = [page.chapter(Run("run", record, "../run.json"))]
    assert '<a href="../run.json">' in page.of_runs(chapters, [])


def test_a_name_of_a_file_is_a_way_and_no_address() -> None:
    chapters = [page.chapter(Run("run", judged(closed_loop()), "javascript:x#y?z.json"))]
    assert '<a href="javascript%3Ax%23y%3Fz.json">' in page.of_runs(chapters, [])


@pytest.mark.parametrize(
    "record",
    [
        closed_loop(intervals=[]),
        closed_loop(intervals=closed_loop().intervals[:1]),
        healthy(
            outcome="unreachable",
            actual=msgspec.structs.replace(
                HEALTHY.actual, connections=0, messages=0, messages_per_s=0.0, duration_s=0.0
            ),
            failures=[failure(Phase.CONNECT, Cause.REFUSED, count=5)],
            intervals=[],
            connections=ConnectionsRecord(count=0, fairness=None, starved=0, worst=[], ledger={}),
        ),
        closed_loop(plan=plan(reply="none")),
        closed_loop(requested=requested(duration_s=None, messages_per_connection=5)),
    ],
    ids=["no interval", "one interval", "only failures", "one way", "until all are done"],
)
def test_whatever_was_found_gives_a_page(record: RunRecord) -> None:
    text = page_of(judged(record))
    assert text.startswith("<!DOCTYPE html>")
    assert "<h2>Environment</h2>" in text


def test_a_percentile_that_is_left_to_chance_is_not_shown() -> None:
    few = closed_loop(service_time_ns=spread(1_000, 2_000, 3_000, count=500))
    headline = words_of(judged(few)).partition("</dl>")[0]
    assert "<dt>service time p99</dt><dd>-</dd>" in headline
    assert "<dt>service time p50</dt><dd>1.0" in headline


def test_several_runs_stand_side_by_side_before_each_alone(of_two_runs: str) -> None:
    parts = ["2 runs", "Side by side", "run beside run", '<article id="run-1">']
    assert in_order(of_two_runs, parts)
    assert '<a href="#run-2">' in of_two_runs


def test_a_comparison_has_the_words_and_intervals_of_compare(tmp_path: Path) -> None:
    base, head = (
        [
            judged(
                at(
                    2 * number + is_head,
                    closed_loop(service_time_ns=spread(ns, 2 * ns, 3 * ns)),
                )
            )
            for number in range(5)
        ]
        for is_head, ns in ((0, 100_000), (1, 150_000))
    )
    comparison = compare(of_records("old", base), of_records("new", head))
    out = write_comparison(comparison, (base, head), Folder(tmp_path / "out"), ("png",))
    text = out.read_text(encoding="utf-8")
    assert "slower: service p50" in text
    assert '<td class="slower">slower</td>' in text
    assert "5 rounds of each, taken in turn" in text
    assert "A is <code>old</code>, B is <code>new</code>" in text
    verdicts = "Verdicts: A, of 5 rounds 5 valid; B, of 5 rounds 5 valid."
    assert in_order(
        text, ["slower: service p50", verdicts, '<table class="changes">', "A: old", "B: new"]
    )
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {
        "index.html",
        "compared-latency.png",
        "compared-throughput.png",
        "compared-figures.png",
    }


def test_nothing_is_left_behind_but_what_was_asked_for(tmp_path: Path, one_picture: None) -> None:
    out = tmp_path / "deep" / "out"
    out.mkdir(parents=True)
    (out / "mine.txt").write_text("stays")
    record = judged(closed_loop())
    write_report([Run("a/b", record), Run("...", record)], Folder(out), ("svg", "pdf"))
    assert (out / "mine.txt").read_text() == "stays"
    folders = {path.name for path in out.iterdir()}
    assert folders >= {"index.html", "mine.txt", "a-b", "run", "compared-latency.svg"}
    suffixes = {path.suffix for path in out.rglob("*") if path.is_file()}
    assert suffixes == {".html", ".txt", ".svg", ".pdf"}
    assert (out / "run" / "latency-by-percentile.pdf").read_bytes().startswith(b"%PDF")
    ET.parse(out / "run" / "latency-by-percentile.svg")


def test_runs_whose_names_are_nearly_the_same_keep_their_own_figures(
    tmp_path: Path, one_picture: None
) -> None:
    names = ("x:y", "x;y", "index.html")
    write_report([Run(name, judged(closed_loop())) for name in names], Folder(tmp_path), ("png",))
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*/*.png")} == {
        f"{folder}/latency-by-percentile.png" for folder in ("x-y (1)", "x-y (2)", "index-html")
    }


def test_no_two_runs_have_one_label() -> None:
    assert labelled(["a", "b"]) == ["a", "b"]
    assert labelled(["a", "a", "a (1)"]) == ["a (2)", "a (3)", "a (1)"]
