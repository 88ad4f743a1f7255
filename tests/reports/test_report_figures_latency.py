"""The figures of latency show the numbers of the record, as far as those carry."""

from typing import Any

import msgspec
import numpy as np
import pytest
from drawn_figures import NOTHING, SILENT, drawn, heights, interval, labels, line, places
from matplotlib.axes import Axes
from records import (
    HEALTHY,
    closed_loop,
    distribution,
    healthy,
    open_loop,
    plan,
    spread,
    timestamps,
)

from loadgen.results.record import RunRecord
from loadgen.results.verdict import Health
from reports.figures import latency_by_percentile, latency_over_time
from reports.figures.slices import MOST


def at_percentile(axes: Axes, label: str) -> dict[float, float]:
    """What a line shows at each percentile that it has a point at."""
    far, values = line(axes, label).get_data()
    shown = 100 - 100 / np.asarray(far, float)
    return dict(zip(shown.round(9).tolist(), np.asarray(values, float).tolist(), strict=True))


class TestLatencyByPercentile:
    def draw(self, record: RunRecord) -> Axes:
        [axes] = drawn(latency_by_percentile.figure(record)).axes
        return axes

    def test_shows_the_percentiles_of_the_record(self) -> None:
        record = open_loop()
        axes = self.draw(record)
        for label, times in (
            ("service time", record.service_time_ns),
            ("response time", record.response_time_ns),
            ("schedule lag", record.schedule_lag_ns),
            ("receive lag", record.receive_lag_ns),
        ):
            shown = at_percentile(axes, label)
            assert times is not None
            assert (shown[50], shown[90], shown[99]) == (times.p50, times.p90, times.p99)
            assert shown[0] == times.min

    def test_ends_where_ten_messages_lie_beyond(self) -> None:
        shown = at_percentile(self.draw(closed_loop()), "service time")  # 10 000 messages
        assert max(shown) == pytest.approx(99.9)

    def test_ends_where_the_unanswered_begin(self) -> None:
        whole = closed_loop()
        record = closed_loop(actual=msgspec.structs.replace(whole.actual, submitted=10_500))
        assert max(at_percentile(self.draw(record), "service time")) < 95.3
        assert max(at_percentile(self.draw(record), "receive lag")) == pytest.approx(99.9)
        assert "500 messages had no answer" in latency_by_percentile.note(record)

    def test_of_a_closed_loop_has_no_response_time(self) -> None:
        assert labels(self.draw(closed_loop())) == ["service time", "receive lag"]

    def test_leaves_out_a_response_time_that_is_the_generators_own(self) -> None:
        record = open_loop(health=Health(verdict="generator-bound", findings=[]))
        assert "response time" not in labels(self.draw(record))
        assert "Response time is left out" in latency_by_percentile.note(record)

    def test_without_kernel_timestamps_has_no_receive_lag_and_says_so(self) -> None:
        record = closed_loop(receive_lag_ns=None, timestamps=timestamps(mode="user"))
        assert labels(self.draw(record)) == ["service time"]
        assert "Without timestamps of the kernel" in latency_by_percentile.note(record)

    def test_of_a_one_way_load_shows_the_schedule_lag_alone(self) -> None:
        record = open_loop(
            plan=plan(reply="none"),
            service_time_ns=NOTHING,
            response_time_ns=NOTHING,
            receive_lag_ns=None,
        )
        assert labels(self.draw(record)) == ["schedule lag"]
        assert "One way" in latency_by_percentile.note(record)

    def test_of_too_few_messages_is_none_and_says_why(self) -> None:
        assert latency_by_percentile.figure(HEALTHY) is None
        assert "too few messages" in latency_by_percentile.note(HEALTHY)

    def test_of_a_usual_run_needs_no_note(self) -> None:
        assert latency_by_percentile.note(closed_loop()) == ""


class TestLatencyOverTime:
    def draw(self, record: RunRecord) -> tuple[Axes, Axes]:
        lines, cells, *_ = drawn(latency_over_time.figure(record)).axes
        return lines, cells

    def cells(self, record: RunRecord) -> Any:
        [mesh] = self.draw(record)[1].collections
        array = mesh.get_array()
        assert array is not None
        return array

    def test_shows_the_percentiles_of_each_interval(self) -> None:
        first, second = spread(100_000, 200_000, 300_000), spread(400_000, 500_000, 600_000)
        record = healthy(
            intervals=[interval(0.0, service_time_ns=first), interval(1.0, service_time_ns=second)]
        )
        lines, _ = self.draw(record)
        assert labels(lines) == ["p50", "p90", "p99", "max"]
        for name in ("p50", "p90", "p99", "max"):
            assert places(line(lines, name)) == [0, 1, 1, 2]
            before, after = getattr(first, name), getattr(second, name)
            assert heights(line(lines, name)).tolist() == [before, before, after, after]

    def test_shows_only_percentiles_that_an_interval_has_messages_for(self) -> None:
        lines, _ = self.draw(HEALTHY)  # four messages
        assert labels(lines) == ["max"]
        assert heights(line(lines, "max")).tolist() == [400_000] * 2

    def test_shows_response_time_in_an_open_loop(self) -> None:
        one = interval(0.0, response_time_ns=distribution(*[7_000_000] * 100))
        lines, cells = self.draw(open_loop(intervals=[one]))
        assert set(heights(line(lines, "p50")).tolist()) == {7_000_000}
        assert (lines.get_ylabel(), cells.get_ylabel()) == ("response time",) * 2

    def test_maps_every_message_of_every_interval(self) -> None:
        stalled = distribution(*[100_000] * 50, *[80_000_000] * 3)
        record = healthy(
            intervals=[interval(0.0), interval(1.0, service_time_ns=stalled), interval(2.0)]
        )
        assert self.cells(record).sum(axis=0).tolist() == [4, 53, 4]
        assert self.cells(record)[-1].tolist() == [None, 3, None]  # the highest row is the stall
        assert self.cells(record)[0].tolist() == [1, 50, 1]

    @pytest.mark.parametrize("error_s", [1e-16, -1e-16, 0.01])
    def test_fills_an_interval_that_begins_before_the_last_one_ends(self, error_s: float) -> None:
        opening = interval(-0.1, stage="opening", duration_s=0.1 + error_s, **SILENT)
        record = healthy(intervals=[opening, interval(0.0), interval(1.0)])
        mesh = self.draw(record)[1].collections[0]
        edges_s = np.asarray(mesh.get_coordinates())[0, :, 0]  # type: ignore[attr-defined]
        column = int(np.searchsorted(edges_s, 0.5)) - 1
        counts = np.ma.filled(self.cells(record), 0)
        assert counts[:, column].sum() == interval(0.0).service_time_ns.count

    def test_leaves_a_gap_where_nothing_was_answered(self) -> None:
        record = healthy(intervals=[interval(0.0), interval(1.0, **SILENT), interval(2.0)])
        values = heights(line(self.draw(record)[0], "max"))
        assert np.isnan(values).tolist() == [False, False, True, True, False, False]

    def test_of_very_many_intervals_is_thinned_and_loses_no_message(self) -> None:
        many = 20 * MOST + 7
        slow = distribution(*[100_000] * 30, 900_000_000)
        intervals = [interval(float(second)) for second in range(many)]
        intervals[5000] = interval(5000.0, service_time_ns=slow)
        record = healthy(intervals=intervals)
        shown = heights(line(self.draw(record)[0], "max"))
        assert len(shown) <= 2 * MOST
        assert shown.max() == 900_000_000
        assert self.cells(record).sum() == 4 * (many - 1) + 31
        assert "up to 21 are drawn as one" in latency_over_time.note(record)

    def test_without_replies_is_none_and_says_why(self) -> None:
        one_way = healthy(plan=plan(reply="none"), intervals=[interval(0.0, **SILENT)])
        assert latency_over_time.figure(one_way) is None
        assert "one way" in latency_over_time.note(one_way)
        silent = healthy(intervals=[interval(0.0, **SILENT)])
        assert latency_over_time.figure(silent) is None
        assert "no message was answered" in latency_over_time.note(silent)

    def test_of_one_interval_needs_no_note(self) -> None:
        assert latency_over_time.note(HEALTHY) == ""
