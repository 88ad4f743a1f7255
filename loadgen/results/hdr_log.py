"""Writes the latency of each interval as an HdrHistogram log, which many tools read and plot.

The format is that of HdrHistogram's log writers, version 1.2 (https://hdrhistogram.github.io/HdrHistogram):
a line for each interval with its start (seconds since ``StartTime``), its length, its maximum
(milliseconds), and the histogram (nanoseconds), compressed. Untagged lines hold the latency of the
load model: response time in an open loop, otherwise service time. In an open loop, lines tagged
``Tag=service_time`` hold the service time, too.
"""

from collections.abc import Iterator
from typing import Any, Final

from loadgen.errors import UsageError
from loadgen.results.distribution import Distribution
from loadgen.results.histogram import HIGHEST_NS, Histogram
from loadgen.results.intervals import IntervalRecord, numbers_of
from loadgen.results.record import RunRecord
from loadgen.text import readable, utf_8
from loadgen.units import parse_moment

DIGITS: Final = 3
"""Significant digits of the histograms; those of a record have between two and three."""

_NS_PER_MS: Final = 1_000_000
_MEASURED: Final = ("loading", "draining")


def require(option: str) -> None:
    """Raise UsageError, which names ``option``, if hdrhistogram is not installed."""
    _library(option)


def to_hdr_log(record: RunRecord) -> bytes:
    """Return the log of ``record``, without its warm-up. Raises UsageError as `require` does."""
    return utf_8("".join(f"{line}\n" for line in _lines(record, _library("--hdr-log"))))


def _lines(record: RunRecord, library: Any) -> Iterator[str]:
    started = parse_moment(record.started_at)
    yield _comment(f"loadgen {record.environment.loadgen}: {record.target.address}")
    yield _comment("Histogram log format version 1.2")
    at = f"{started.timestamp():.3f} (seconds since epoch)"
    yield _comment(f"StartTime: {at}, {record.started_at}")
    yield '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"'
    first_s = min(numbers_of(record.intervals, "start_s"), default=0.0)
    for interval in record.intervals:
        if interval.stage in _MEASURED:
            for tag, times_ns in _distributions(interval):
                start = f"{tag}{interval.start_s - first_s:.3f},{interval.duration_s:.3f}"
                histogram = _encodable(times_ns.histogram(), library)
                highest_ms = (times_ns.max or 0) / _NS_PER_MS
                yield f"{start},{highest_ms:.3f},{histogram.encode().decode()}"


def _comment(text: str) -> str:
    return f"#[{readable(text)}]"


def _distributions(interval: IntervalRecord) -> Iterator[tuple[str, Distribution]]:
    if interval.response_time_ns is None:
        yield "", interval.service_time_ns
    else:
        yield "", interval.response_time_ns
        yield "Tag=service_time,", interval.service_time_ns


def _encodable(histogram: Histogram, library: Any) -> Any:
    """Return ``histogram`` as one of hdrhistogram; its minimum and maximum are exact."""
    encodable = library.HdrHistogram(1, max(HIGHEST_NS, histogram.max_ns), DIGITS)
    counts = dict(histogram.values())
    for extreme_ns, bucket_ns in ((histogram.max_ns, max), (histogram.min_ns, min)):
        if histogram.count > 1:
            counts[bucket_ns(counts)] -= 1
            counts[extreme_ns] = counts.get(extreme_ns, 0) + 1
    for value_ns, count in counts.items():
        encodable.record_value(max(1, value_ns), count)
    return encodable


def _library(option: str) -> Any:
    try:
        import hdrh.histogram  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra
    except ImportError:
        raise UsageError(
            f"{option}: the package hdrhistogram is not installed; pip install 'loadgen[hdr]'"
        ) from None
    return hdrh.histogram
