"""Damaged and forged records are refused in one line, or read; nothing falls over them."""

import base64
import json
import os
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import hostile_records
import msgspec
import numpy as np
import pytest
from drawn_figures import interval
from hostile_records import FIRST_FORM, MONITORED, PACKED, STARTS, is_drawn, told
from hypothesis import Phase, given, settings
from record_damage import Damaged, damaged
from records import HEALTHY, connection, connections_record, healthy

from loadgen.errors import RecordError
from loadgen.quantities import (
    LONGEST_NS,
    MOST_CHARACTERS,
    MOST_IN_HISTOGRAM,
    MOST_INTERVALS,
    MOST_KINDS,
    MOST_PAYLOADS,
)
from loadgen.results.distribution import Distribution
from loadgen.results.histogram import BUCKETS, Histogram
from loadgen.results.interval_packer import packed
from loadgen.results.intervals import (
    BLOCK,
    KINDS,
    PackedIntervals,
    check,
)
from loadgen.results.packed_times import MOST_ROW_BYTES
from loadgen.results.record import from_json

EXAMPLES: Final = 200
DRAWN: Final = 100  # a page of one in so many


@pytest.mark.timeout(600)
@settings(
    hostile_records.SETTINGS,
    derandomize=True,
    max_examples=EXAMPLES,
    phases=[Phase.generate],  # to look for the least damage takes minutes: bench fuzz_records does
)
@given(hostile=damaged(STARTS))
def test_nothing_falls_over_a_damaged_record(hostile: Damaged, tmp_path: Path) -> None:
    hostile_records.check(hostile, tmp_path, draws=is_drawn(hostile, DRAWN))


def test_what_an_old_loadgen_has_written_is_read(tmp_path: Path) -> None:
    record = from_json(FIRST_FORM.read_bytes())
    assert record.plan.rate == "500"
    assert (record.engine, record.why_python) == ("python", "")
    assert from_json(record.to_json()) == record
    (tmp_path / "old.json").write_bytes(FIRST_FORM.read_bytes())
    (tmp_path / "new.json").write_bytes(HEALTHY.to_json())
    old, new = str(tmp_path / "old.json"), str(tmp_path / "new.json")
    for command in (
        ("report", "list", str(tmp_path)),
        ("report", old, "-o", str(tmp_path / "out")),
        ("compare", old, new, "--force"),
    ):
        assert told(*command) == (0, "")


def test_a_pipe_without_a_writer_is_refused_in_one_line(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for command in (("report", str(pipe)), ("compare", str(pipe), str(pipe))):
        done = told(*command)
        assert (done.code, done.stderr.count("\n")) == (2, 1)
        assert f"{pipe}: no process writes to this pipe" in done.stderr


def changed(record: Any, change: Callable[[Any], object]) -> bytes:
    content = json.loads(record.to_json())
    change(content)
    return json.dumps(content).encode()


def put(*path: Any) -> Callable[[Any], None]:
    """Return what sets the value at ``path``, whose last item is the value."""
    *way, key, value = path

    def change(content: Any) -> None:
        for step in way:
            content = content[step]
        content[key] = value

    return change


SERVICE: Final = "service_time_ns"
REFUSED: Final = {
    "a negative count": (put("actual", "messages", -1), r"\$\.actual\.messages: .*>= 0"),
    "a count beyond 2^63": (put("actual", "messages", 2**63), r"\$\.actual\.messages: .*<="),
    "10^400": (put("actual", "duration_s", 10**400), r"\$\.actual\.duration_s: .*out of range"),
    "no number": (put("actual", "duration_s", float("nan")), "malformed"),
    "infinity": (put("actual", "duration_s", float("inf")), "malformed"),
    "a negative time": (put("actual", "opening_s", -1.0), r"opening_s: .*>= 0"),
    "intervals out of order": (
        lambda content: content["intervals"].append(
            {**content["intervals"][0], "start_s": -1.0, "duration_s": 0.5}
        ),
        "intervals: .*order of time, and one from -1.0 s on comes after one from 0.0 s on",
    ),
    "a text without end": (
        put("target", "address", "a" * (MOST_CHARACTERS + 1)),
        rf"\$\.target\.address: .*<= {MOST_CHARACTERS}",
    ),
    "more kinds of failure than there are": (
        lambda content: content["failures"].extend(
            [
                {
                    "phase": "connect",
                    "cause": "refused",
                    "is_local": False,
                    "count": 1,
                    "first_s": 0.0,
                    "last_s": 0.0,
                }
            ]
            * (MOST_KINDS + 1)
        ),
        rf"\$\.failures: .*<= {MOST_KINDS}",
    ),
    "payloads without end": (
        put("plan", "payloads", ["eA=="] * (MOST_PAYLOADS + 1)),
        rf"\$\.plan\.payloads: .*<= {MOST_PAYLOADS}",
    ),
    "checks without end": (
        put("plan", "checks", ["errors==0"] * (MOST_KINDS + 1)),
        rf"\$\.plan\.checks: .*<= {MOST_KINDS}",
    ),
    "an interval far away": (put("intervals", 0, "start_s", 1e12), r"start_s: .*<= 4294967296"),
    "no date": (put("started_at", "2026-02-30T12:00:00+00:00"), "'2026-02-30T12"),
    "an unknown verdict": (put("health", "verdict", "fine"), "health.verdict: .*'fine'"),
    "a bucket beyond": (put(SERVICE, "buckets", 3, 10**6), r"buckets\[3\]"),
    "buckets out of order": (
        lambda content: content[SERVICE]["buckets"].reverse(),
        "stand in order",
    ),
    "a minimum above the maximum": (put(SERVICE, "min", 10**9), "contradict"),
    "percentiles that contradict": (put(SERVICE, "p99", 100_001), "contradict"),
    "no percentiles": (put(SERVICE, "p50", None), "null where count is 0"),
    "an impossible sum": (put(SERVICE, "sum", 2**70), "mean that is not within"),
    "monitor columns of other lengths": (
        put("monitor", "generator", "cpu_s", [0.0]),
        "cpu_s has 1 samples, and at_s 3",
    ),
    "samples out of order": (put("monitor", "at_s", [2.0, 1.0, 3.0]), "in the order of time"),
    "a ledger of words": (
        put("connections", "ledger", "answered", ["x", 2]),
        r"ledger\S*: .*int",
    ),
    "a ledger of two lengths": (put("connections", "ledger", "answered", [2]), "of one length"),
    "half a ledger": (
        lambda content: content["connections"]["ledger"].pop("state"),
        "the ledger lacks state",
    ),
}


@pytest.mark.parametrize(("change", "complaint"), REFUSED.values(), ids=REFUSED)
def test_what_no_run_can_have_found_is_refused_with_the_place(
    change: Callable[[Any], object], complaint: str
) -> None:
    with pytest.raises(RecordError, match=complaint) as refusal:
        from_json(changed(MONITORED, change))
    assert "\n" not in str(refusal.value)


def test_a_monitor_without_a_sample_is_refused() -> None:
    content = json.loads(MONITORED.to_json())
    monitor = content["monitor"]
    monitor["at_s"] = []
    for samples in (monitor["generator"], monitor["target"], monitor["machine"]):
        samples.update({name: [] for name, value in samples.items() if isinstance(value, list)})
    with pytest.raises(RecordError, match="one sample or more"):
        from_json(json.dumps(content).encode())


def test_a_number_of_thousands_of_digits_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "digits.json"
    text = HEALTHY.to_json().replace(b'"connections": 2', b'"connections": ' + b"9" * 5000, 1)
    file.write_bytes(text)
    for command in (("report", str(file)), ("compare", str(file), str(file))):
        done = told(*command)
        assert (done.code, done.stderr.count("\n")) == (2, 1)
        assert f"{file}: " in done.stderr


def test_a_million_workers_are_refused() -> None:
    worker = {
        "name": "",
        "host": "",
        "connections": 0,
        "messages": 0,
        "messages_per_s": 0.0,
        "waiting_share": 0.0,
        "verdict": "valid",
        "findings": [],
    }
    with pytest.raises(RecordError, match=r"workers: .*65536"):
        from_json(changed(HEALTHY, put("workers", [worker] * 70_000)))


def test_packed_times_that_unpack_to_a_flood_are_refused_in_one_line(tmp_path: Path) -> None:
    flood = base64.b64encode(zlib.compress(b"\0" * (MOST_ROW_BYTES + 1), 9)).decode()
    content = json.loads(PACKED.to_json())
    (block,) = content["intervals"]["blocks"]
    content["intervals"] = {"blocks": [{**block, "times": {**block["times"], SERVICE: flood}}]}
    file = tmp_path / "flood.json"
    file.write_text(json.dumps(content))
    with pytest.raises(RecordError, match=f"more than {MOST_ROW_BYTES} bytes"):
        check(from_json(file.read_bytes()).intervals)
    done = told("report", str(file), "-o", str(tmp_path / "out"))
    assert done.code == 2
    assert done.stderr.startswith(f"loadgen report: {file}: {SERVICE} of the intervals from 0")
    assert done.stderr.count("\n") == 1


def test_of_many_floods_none_is_unpacked_further_than_one_interval_can_need() -> None:
    flood = zlib.compress(bytes(2**23), 9)
    [block] = packed(HEALTHY.intervals).blocks
    block = msgspec.structs.replace(block, times=dict.fromkeys(KINDS, flood))
    tracemalloc.start()
    try:
        with pytest.raises(RecordError, match=f"more than {MOST_ROW_BYTES} bytes"):
            check(PackedIntervals([block] * 1000))
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes < 2**21


def test_an_interval_that_fills_every_bucket_is_read() -> None:
    counts = np.full(BUCKETS + 1, MOST_IN_HISTOGRAM // (BUCKETS + 1))
    full = Histogram.from_buckets(
        np.arange(BUCKETS + 1), counts, (0, LONGEST_NS), int(counts.sum())
    )
    only = interval(0.0, service_time_ns=Distribution.of(full))
    assert list(packed([only])) == [only]


def test_more_blocks_than_a_run_can_have_are_refused() -> None:
    content = json.loads(PACKED.to_json())
    content["intervals"]["blocks"] *= MOST_INTERVALS // BLOCK + 1
    with pytest.raises(RecordError, match=r"blocks: .*<= 65536"):
        from_json(json.dumps(content).encode())


def test_long_payloads_and_many_are_read_as_they_were_written() -> None:
    sent = (bytes(range(256)) * 2**14, *(b"line %d" % number for number in range(100_000)))
    record = healthy(plan=msgspec.structs.replace(HEALTHY.plan, payloads=sent))
    assert from_json(record.to_json()).plan.payloads == sent


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "records").mkdir()
        (tmp_path / "records" / "good.json").write_bytes(HEALTHY.to_json())
        (tmp_path / "records" / "broken.json").write_bytes(b'{"schema": "loadgen.run/2"}')
        return tmp_path / "records"

    def test_of_a_report_leaves_out_what_is_broken_and_names_it(
        self, folder: Path, tmp_path: Path
    ) -> None:
        done = told("report", str(folder), "-o", str(tmp_path / "out"))
        assert done.code == 0
        assert done.stderr.startswith(f"left out: {folder / 'broken.json'}: ")
        assert done.stderr.count("\n") == 1

    def test_of_a_comparison_names_it_in_the_comparison(self, folder: Path, tmp_path: Path) -> None:
        found = tmp_path / "found.json"
        good = str(folder / "good.json")
        done = told("compare", good, str(folder), "--json", str(found), "--force")
        assert done.code == 0
        assert f"left out: {folder / 'broken.json'}: " in found.read_text()

    def test_without_a_run_is_refused(self, folder: Path) -> None:
        (folder / "good.json").unlink()
        for command in (("report",), ("report", "list"), ("compare", str(folder))):
            done = told(*command, str(folder))
            assert (done.code, done.stderr.count("\n")) == (2, 1)
            assert f"{folder / 'broken.json'}: " in done.stderr


def test_a_ledger_may_be_empty() -> None:
    record = healthy(connections=connections_record(connection(0, 2), fairness=1.0))
    text = changed(record, put("connections", "ledger", {}))
    assert from_json(text).connections.ledger == {}
