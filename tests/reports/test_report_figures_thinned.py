"""A run of very many intervals, or connections, is drawn as one of few, and nothing is lost."""

import gc
import random
from typing import get_args

import msgspec
import numpy as np
import pytest
from drawn_figures import NOTHING, SILENT, drawn, interval, labels, monitor
from matplotlib.patches import StepPatch
from records import closed_loop, connection, connections_record, distribution, healthy

from loadgen.results.distribution import Distribution
from loadgen.results.interval_packer import packed
from loadgen.results.intervals import RunPhase
from loadgen.results.record import RunRecord, from_json
from reports.figures import (
    PANELS,
    connections,
    latency_over_time,
    resources,
    throughput,
)
from reports.figures.panel import Panel
from reports.figures.slices import MOST, Latency, slices, span_s, times_by_slice
from reports.figures.style import NARROW_PX, WIDE_PX, to_svg

MANY = 6 * MOST + 3
STEP_S = 0.001

by_name = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)


def of_milliseconds(count: int) -> RunRecord:
    """A run of so many intervals, a millisecond each: opening, warm-up, load and drain."""
    values = random.Random(7)
    stages = ["opening"] + ["warming"] * (count // 10) + ["loading"] * (count - 2 - count // 10)
    intervals = [
        interval(
            STEP_S * number,
            duration_s=STEP_S,
            stage=stage,
            messages=3,
            failures=number % 2,
            service_time_ns=distribution(*(values.randint(10_000, 10**9) for _ in range(3))),
        )
        for number, stage in enumerate([*stages, "draining"])
    ]
    return closed_loop(intervals=intervals, monitor=monitor())


@pytest.fixture(scope="module")
def long() -> RunRecord:
    """A long run, as it is read from its file."""
    loose = of_milliseconds(MANY)
    return from_json(msgspec.structs.replace(loose, intervals=packed(loose.intervals)).to_json())


@pytest.fixture(scope="module")
def short() -> RunRecord:
    """A run that need not be thinned."""
    return of_milliseconds(MOST)


def test_stages_that_change_without_end_make_no_more_slices() -> None:
    stages = get_args(RunPhase)
    times = distribution(10_000, 10**9)
    intervals = [
        interval(0.0, stage=stages[at % len(stages)], messages=2, service_time_ns=times)
        for at in range(10 * MOST + 1)
    ]
    record = closed_loop(intervals=intervals)
    parts = slices(record)
    assert len(parts) <= MOST
    assert sum(part.messages for part in parts) == 2 * len(intervals)
    found = times_by_slice(record, "service_time_ns", parts)
    assert sum(each.count for each in found) == 2 * len(intervals)


class TestSlices:
    @pytest.mark.parametrize("count", [3, MOST, MOST + 1, 2 * MOST, MANY])
    def test_are_few_and_hold_each_interval_once_in_its_order(self, count: int) -> None:
        record = of_milliseconds(count)
        parts = slices(record)
        assert len(parts) <= MOST + len({each.stage for each in record.intervals})
        assert [stage for part in parts for stage in [part.stage] * part.size] == [
            each.stage for each in record.intervals
        ]
        begun = np.cumsum([0, *(part.size for part in parts[:-1])])
        assert [part.start_s for part in parts] == [record.intervals[at].start_s for at in begun]

    def test_of_packed_intervals_are_those_of_the_intervals(self, long: RunRecord) -> None:
        loose = of_milliseconds(MANY)
        assert slices(long) == slices(loose)
        for kind in get_args(Latency):
            if getattr(loose, kind) is not None:
                of_long = times_by_slice(long, kind, slices(long))
                assert of_long == times_by_slice(loose, kind, slices(loose))

    def test_count_every_message_and_failure(self, long: RunRecord) -> None:
        parts = slices(long)
        answered = sum(part.messages_per_s * part.size * STEP_S for part in parts)
        assert answered == pytest.approx(3 * MANY)
        assert sum(part.messages for part in parts) == 3 * MANY
        assert sum(part.failures for part in parts) == MANY // 2

    def test_keep_every_time_in_its_bucket_and_every_maximum(self, long: RunRecord) -> None:
        parts = slices(long)
        times = times_by_slice(long, "service_time_ns", parts)
        every = [each.service_time_ns for each in long.intervals]
        whole = Distribution.of_all(every)
        assert Distribution.of_all(times) == whole
        assert whole.count == 3 * MANY
        at = 0
        for part, merged in zip(parts, times, strict=True):
            own, at = every[at : at + part.size], at + part.size
            assert merged == Distribution.of_all(own)

    def test_span_the_whole_run(self, long: RunRecord) -> None:
        unwatched = msgspec.structs.replace(long, monitor=None)
        assert span_s(unwatched) == pytest.approx((0.0, STEP_S * MANY))
        assert span_s(long) == pytest.approx((-0.5, STEP_S * MANY))  # samples begin before it

    def test_of_a_run_without_intervals_are_none(self) -> None:
        record = healthy(intervals=[])
        assert slices(record) == []
        assert span_s(record) == (0.0, record.actual.duration_s)


class TestFiguresOfALongRun:
    @by_name
    def test_have_no_more_points_than_can_be_seen(
        self, panel: Panel[RunRecord], long: RunRecord
    ) -> None:
        figure = drawn(panel.draw(long))
        points = [len(line.get_path()) for axes in figure.axes for line in axes.get_lines()]
        assert max(points, default=0) < 3 * MOST
        assert to_svg(figure, WIDE_PX).startswith("<svg")
        assert to_svg(figure, NARROW_PX).startswith("<svg")

    @pytest.mark.parametrize("panel", [latency_over_time.PANEL, throughput.PANEL, resources.PANEL])
    def test_say_that_they_are_thinned(
        self, panel: Panel[RunRecord], long: RunRecord, short: RunRecord
    ) -> None:
        said = "Thinned: of 2\N{NO-BREAK SPACE}403 intervals, up to 7 are drawn as one."
        assert said in panel.note(long)
        assert "Thinned" not in panel.note(short)

    def test_show_the_slowest_message_and_the_number_of_all(self, long: RunRecord) -> None:
        lines, cells, *_ = drawn(latency_over_time.figure(long)).axes
        [shown] = [line for line in lines.get_lines() if line.get_label() == "max"]
        slowest = max(each.service_time_ns.max or 0 for each in long.intervals)
        assert np.nanmax(np.asarray(shown.get_ydata(), float)) == slowest
        [mesh] = cells.collections
        counts = mesh.get_array()
        assert counts is not None
        assert counts.sum() == 3 * MANY

    def test_are_spared_the_collector_of_cycles(self, long: RunRecord) -> None:
        # It would follow each of millions, several times, for nothing: they hold numbers alone.
        assert not gc.is_tracked(long.intervals[0].service_time_ns)


CONNECTIONS = 10_000


@pytest.fixture(scope="module")
def silent() -> RunRecord:
    """A run of one interval in which ten thousand connections came up, and no message was sent."""
    rows = (connection(index, 0) for index in range(CONNECTIONS))
    return closed_loop(
        intervals=[interval(0.0, messages=0, connections_up=CONNECTIONS, **SILENT)],
        connections=connections_record(*rows, fairness=None),
        service_time_ns=NOTHING,
        receive_lag_ns=NOTHING,
        user_space_latency_ns=NOTHING,
    )


class TestTenThousandConnectionsWithoutAMessage:
    @by_name
    def test_are_drawn_or_said_to_be_nothing(
        self, panel: Panel[RunRecord], silent: RunRecord
    ) -> None:
        figure = panel.draw(silent)
        if figure is None:
            assert panel.note(silent).startswith("Nothing is drawn: ")
        else:
            assert to_svg(figure, NARROW_PX).startswith("<svg")

    def test_are_all_in_the_figure_of_connections(self, silent: RunRecord) -> None:
        axes = drawn(connections.figure(silent)).axes[-1]
        assert axes.get_xlabel() == "connect latency"
        [patch] = [each for each in axes.patches if isinstance(each, StepPatch)]
        counts, _, _ = patch.get_data()
        assert np.sum(counts) == CONNECTIONS

    def test_are_up_while_the_rate_is_zero(self, silent: RunRecord) -> None:
        rates, up = drawn(throughput.figure(silent)).axes
        assert labels(rates) == ["answered"]
        assert np.asarray(rates.get_lines()[0].get_ydata(), float).tolist() == [0, 0]
        assert np.asarray(up.get_lines()[0].get_ydata(), float).max() == CONNECTIONS


class TestNarrowFigures:
    def test_have_moments_enough_to_read_a_time_by(self) -> None:
        record = healthy(intervals=[interval(float(second)) for second in range(10)])
        figure = drawn(throughput.figure(record))
        to_svg(figure, NARROW_PX)
        shown = [at for at in figure.axes[-1].get_xticks() if 0 <= at <= 10]
        assert shown == [0, 2, 4, 6, 8, 10]

    def test_have_a_scale_of_colours_high_enough_to_see(self) -> None:
        figure = drawn(latency_over_time.figure(closed_loop()))
        to_svg(figure, NARROW_PX)
        [scale] = [axes for axes in figure.axes if axes.get_xlabel() == "messages in a cell"]
        assert scale.get_window_extent().height >= 4
