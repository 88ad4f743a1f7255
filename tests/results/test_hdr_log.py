"""The HdrHistogram log, as the library of that name reads it."""

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from command import Ended, loadgen_here
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]
from hdrh.log import HistogramLogReader  # type: ignore[import-untyped]
from records import closed_loop, open_loop, spread
from servers import ScriptedServer, echoes

from loadgen.results.distribution import Distribution
from loadgen.results.hdr_log import to_hdr_log
from loadgen.results.histogram import Histogram
from loadgen.results.record import RunRecord

PERCENTS = (50.0, 90.0, 99.0, 99.9, 100.0)


def read(log: bytes, path: Path) -> list[Any]:
    """Return the histograms in ``log``, in order."""
    path.write_bytes(log)
    reader = HistogramLogReader(str(path), HdrHistogram(1, 2**42, 3))
    try:
        return list(iter(reader.get_next_interval_histogram, None))
    finally:
        reader.input_file.close()


def are_the_same(theirs: Any, ours: Histogram) -> bool:
    """Return whether all percentiles are, as closely as the buckets of ours tell."""
    return theirs.total_count == ours.count and all(
        value_at_rank(theirs, rank) == pytest.approx(ours.percentile(percent), rel=1 / 200)
        for percent in PERCENTS
        if (rank := math.ceil(ours.count * percent / 100 - 1e-6))
    )


def value_at_rank(histogram: Any, rank: int) -> int:
    """Return the ``rank``-th lowest value: of a percentile, the library rounds the rank its way."""
    return int(histogram.get_value_at_percentile(100 * rank / histogram.total_count))


def in_seconds(record: RunRecord, **times: Distribution) -> RunRecord:
    """Return ``record`` with a warm-up, and three seconds of its load that have ``times``."""
    second = msgspec.structs.replace(record.intervals[0], **times)
    intervals = [
        msgspec.structs.replace(second, start_s=float(start_s), stage=stage, duration_s=1.0)
        for start_s, stage in ((-1, "warming"), (0, "loading"), (1, "loading"), (2, "draining"))
    ]
    return msgspec.structs.replace(record, intervals=intervals)


def test_holds_each_second_of_the_measured_load(tmp_path: Path) -> None:
    times = spread(1_000_000, 2_000_000, 30_000_000, 400_000_000)
    record = in_seconds(closed_loop(), service_time_ns=times)
    found = read(to_hdr_log(record), tmp_path / "log")
    assert len(found) == 3
    assert all(are_the_same(each, times.histogram()) for each in found)
    began_ms = datetime.fromisoformat(record.started_at).timestamp() * 1000
    assert [each.get_start_time_stamp() - began_ms for each in found] == pytest.approx(
        [1000, 2000, 3000]
    )


def test_is_of_response_time_in_an_open_loop(tmp_path: Path) -> None:
    response, service = spread(5_000, 6_000, 7_000), spread(1_000, 2_000, 3_000)
    record = in_seconds(open_loop(), response_time_ns=response, service_time_ns=service)
    found = read(to_hdr_log(record), tmp_path / "log")
    assert [each.get_tag() for each in found] == [None, "service_time"] * 3
    assert all(are_the_same(each, response.histogram()) for each in found[::2])
    assert all(are_the_same(each, service.histogram()) for each in found[1::2])


def test_holds_what_is_beyond_all_range(tmp_path: Path) -> None:
    histogram = Histogram()
    histogram.record([5, 2**43])
    record = in_seconds(closed_loop(), service_time_ns=Distribution.of(histogram))
    found = read(to_hdr_log(record), tmp_path / "log")
    assert all(are_the_same(each, histogram) for each in found)


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> Ended:
    with ScriptedServer(echoes) as server:
        return loadgen_here(capfd, server.address, "-c", "2", "-n", "500", *arguments)


def test_a_run_writes_it(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "run.hlog"
    done = run(capfd, "--hdr-log", str(path), "--json", "-")
    assert done.code == 0
    together = HdrHistogram(1, 2**42, 3)
    for each in read(path.read_bytes(), tmp_path / "copy"):
        together.add(each)
    assert are_the_same(together, done.record.service_time_ns.histogram())


def test_a_dash_is_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    done = run(capfd, "--hdr-log", "-")
    assert done.stdout.startswith("#[loadgen ")
    assert "service time" in done.stderr


def test_shares_its_file_with_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    done = loadgen_here(capfd, "--hdr-log", "-", "--json", "-")
    assert done.code == 2
    assert "--json and --hdr-log cannot share standard output" in done.stderr
