"""Checks a worker's reports before the master merges them with the others.

A report is bytes from the network. One of another version, or a damaged one, would spoil the merged
record of all workers: a clock that is an hour wrong makes the run an hour longer, a NaN spreads to
every figure, and a few packed bytes may unpack to gigabytes. So each report is decoded against the
types of the record, unpacked within bounds, compared with the time that has passed, and merged
alone. A report that fails is dropped, with its reason; a worker that lies within these bounds is
believed.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

import msgspec

from loadgen.analysis.merge import merge
from loadgen.errors import LoadgenError
from loadgen.locust.messages import ClassReport, decode
from loadgen.net.clock import monotonic_ns, wall_ns
from loadgen.results.aligned_records import began_ns
from loadgen.results.interval_packer import packed
from loadgen.results.intervals import (
    PackedIntervals,
    check,
    check_order,
    numbers_of,
)
from loadgen.text import quoted
from loadgen.units import ns_to_seconds

MOST_REPORT_BYTES: Final = 2**25
"""A last report is the longest: 110 bytes for each connection, and up to 40 KB for each name."""

MOST_NAMES: Final = 2_000
"""The most names of requests in a report."""

MOST_INTERVALS_PER_S: Final = 50
"""A worker ends one interval each second, and one with each report."""

MOST_PACKED_BYTES_PER_S: Final = 2**18
"""Of one worker's intervals; one a second, with every bucket of every time in use, needs 70 KB."""

MOST_SKEW_S: Final = 60.0
"""The most a worker's wall clock may differ from the master's; the run seems longer by that."""

MOST_BELIEVED: Final = 2**50
"""The largest number believed (as bytes: twelve days at 1 GiB/s): the sum of a few workers' larger
ones would leave the ranges of a record (`loadgen.quantities`)."""

_NOT_ADDED_UP: Final = frozenset({"plan", "environment", "target", "intervals", "connections"})
_WITHOUT_BOUND: Final = "sum"
"""Of the field of a `loadgen.results.distribution.Distribution`: nanoseconds of all messages."""


class ReportChecker:
    """Decides which reports of one run are accepted; `begin` starts the next run.

    user_classes: returns the names of the user classes.
    """

    def __init__(
        self,
        user_classes: Callable[[], Collection[str]],
        clock: Callable[[], int] = monotonic_ns,
        wall_clock: Callable[[], int] = wall_ns,
    ) -> None:
        self._user_classes = user_classes
        self._clock, self._wall_clock = clock, wall_clock
        self.begin(0)

    def begin(self, run: int) -> None:
        """Begin the run of that number."""
        self._run, self._began_ns, self._wall_began_ns = run, self._clock(), self._wall_clock()

    @property
    def allowed_s(self) -> float:
        """The longest that the run can have lasted by the clock of a worker."""
        return ns_to_seconds(self._clock() - self._began_ns) + MOST_SKEW_S

    def check(self, content: object) -> tuple[list[ClassReport], list[str]]:
        """Return the accepted reports in ``content``, and why the others are not.

        Those of another run are accepted unchecked: the collector leaves them out.
        """
        if not isinstance(content, bytes):
            return [], [f"it is {type(content).__name__}, not bytes"]
        if len(content) > MOST_REPORT_BYTES:
            return [], [
                f"it is {len(content)} bytes long, and {MOST_REPORT_BYTES} at most are read"
            ]
        try:
            reports = decode(content)
        except ValueError as error:
            return [], [str(error)]
        if len(reports) > len(self._user_classes()):
            return [], [f"it has {len(reports)} records, more than there are user classes"]
        good: list[ClassReport] = []
        bad: list[str] = []
        for report in reports:
            if reason := self._why_not(report, {each.user_class for each in good}):
                bad.append(reason)
            else:
                good.append(report)
        return good, bad

    def _why_not(self, report: ClassReport, seen: Collection[str]) -> str:
        """Return why ``report`` is not accepted; empty if it is."""
        if report.run != self._run:
            return ""
        if report.user_class not in self._user_classes():
            return f"there is no user class {quoted(report.user_class)}"
        if report.user_class in seen:
            return f"it has two records for {report.user_class}"
        try:
            self._check(report)
        except (LoadgenError, ValueError) as error:
            return str(error)
        # Any other error is due to the content as well, and would come up again in the merge.
        except Exception as error:  # noqa: BLE001
            return f"it cannot be merged: {type(error).__name__}: {error}"
        return ""

    def _check(self, report: ClassReport) -> None:
        """Raise an error of any kind if ``report`` cannot be merged with others.

        Types and ranges were checked when it was decoded.
        """
        record = report.record
        if len(report.names) > MOST_NAMES:
            raise ValueError(f"it has {len(report.names)} names, more than {MOST_NAMES}")
        ledger, count = record.connections.ledger, record.connections.count
        if ledger and len(ledger["index"]) != count:
            raise ValueError(f"its ledger has {len(ledger['index'])} of {count} connections")
        added_up = (
            getattr(record, name) for name in record.__struct_fields__ if name not in _NOT_ADDED_UP
        )
        _check_counts(msgspec.to_builtins((*added_up, report.names, report.users)))
        self._check_moments(report)
        self._check_intervals(packed(record.intervals))
        merge({"it": record})

    def _check_moments(self, report: ClassReport) -> None:
        off_s = ns_to_seconds(began_ns("it", report.record) - self._wall_began_ns)
        if not -MOST_SKEW_S <= off_s <= self.allowed_s:
            raise ValueError(
                f"it began {off_s:+.0f} s from the start of the run: its wall clock is wrong"
            )
        actual = report.record.actual
        for field in ("duration_s", "opening_s", "warmup_s", "drain_s"):
            if not 0 <= getattr(actual, field) <= self.allowed_s:
                raise ValueError(f"{field} is {getattr(actual, field)}, longer than the run so far")

    def _check_intervals(self, intervals: PackedIntervals) -> None:
        why_not = self.why_too_many(intervals)
        if why_not:
            raise ValueError(why_not)
        for name in ("start_s", "duration_s"):
            if (abs(numbers_of(intervals, name)) > self.allowed_s).any():
                raise ValueError(f"{name} of an interval lies outside of the run so far")
        _check_counts([block.numbers for block in intervals.blocks])
        check_order(intervals)
        check(intervals)

    def why_too_many(self, intervals: PackedIntervals) -> str:
        """Return why no worker can have that many intervals in this run; empty if one can."""
        if len(intervals) > MOST_INTERVALS_PER_S * self.allowed_s:
            return f"{len(intervals)} intervals are more than the run so far can have"
        if intervals.packed_bytes > MOST_PACKED_BYTES_PER_S * self.allowed_s:
            return f"its intervals are {intervals.packed_bytes} bytes, too many for the run so far"
        return ""


def _check_counts(plain: Any) -> None:
    """Raise ValueError if a number in ``plain`` is larger than `MOST_BELIEVED`."""
    if any(abs(number) > MOST_BELIEVED for number in _numbers(plain)):
        raise ValueError(f"one of its numbers is above {MOST_BELIEVED}")


def _numbers(plain: Any) -> Iterator[float]:
    match plain:
        case int() | float():
            yield plain
        case dict():
            for key, each in plain.items():
                if key != _WITHOUT_BOUND:
                    yield from _numbers(each)
        case list() | tuple():
            for each in plain:
                yield from _numbers(each)
