"""Several runs in one figure: each with its own numbers, and every round of it."""

from pathlib import PurePath

import msgspec
import pytest
from drawn_figures import drawn, heights, interval, labels, line, places, texts
from matplotlib.axes import Axes
from records import HEALTHY, actual, closed_loop, healthy, open_loop, spread

from loadgen.results.record import RunRecord
from loadgen.results.verdict import Health
from reports.figures import COMPARED, compared_figures, compared_latency, compared_throughput
from reports.figures.panel import Panel, Sides
from reports.figures.sides import MOST_SIDES
from reports.figures.style import NARROW_PX, WIDE_PX, to_svg

FAST = closed_loop()
SLOW = closed_loop(service_time_ns=spread(3_000_000, 5_000_000, 9_000_000))


def rate(messages_per_s: float, started_at: str = HEALTHY.started_at) -> RunRecord:
    whole = msgspec.structs.replace(
        FAST.actual, messages_per_s=messages_per_s, cpu_user_s=0.4, cpu_system_s=0.6
    )
    return closed_loop(actual=whole, started_at=started_at)


class TestComparedLatency:
    def draw(self, records: Sides) -> Axes:
        [axes] = drawn(compared_latency.figure(records)).axes
        return axes

    def test_lays_the_latencies_over_each_other(self) -> None:
        axes = self.draw({"base.json": FAST, "head.json": SLOW})
        assert labels(axes) == ["base.json", "head.json"]
        assert heights(line(axes, "head.json")).max() == 9_000_000
        assert heights(line(axes, "base.json")).max() == FAST.service_time_ns.max
        colours = {each.get_color() for each in axes.get_lines()}
        assert len(colours) == 2

    def test_draws_each_round_and_names_the_side_once(self) -> None:
        axes = self.draw({"base": [FAST, SLOW, FAST], "head": [SLOW]})
        assert len(axes.get_lines()) == 4
        _, names = axes.get_legend_handles_labels()
        assert names == ["base", "head"]

    def test_is_of_response_time_where_all_have_one_to_believe(self) -> None:
        assert self.draw({"a": open_loop(), "b": open_loop()}).get_ylabel() == "response time"
        bound = open_loop(health=Health(verdict="generator-bound", findings=[]))
        assert self.draw({"a": open_loop(), "b": bound}).get_ylabel() == "service time"
        assert "not every run has a response time" in compared_latency.note(
            {"a": bound, "b": bound}
        )

    def test_of_too_few_messages_is_none_and_says_why(self) -> None:
        assert compared_latency.figure({"a": HEALTHY, "b": HEALTHY}) is None
        assert "too few messages" in compared_latency.note({"a": HEALTHY, "b": HEALTHY})


class TestComparedThroughput:
    def test_lays_the_rates_over_each_other(self) -> None:
        one = healthy(intervals=[interval(0.0, messages=10), interval(1.0, messages=20)])
        other = healthy(intervals=[interval(0.0, messages=5)])
        [axes] = drawn(compared_throughput.figure({"a": one, "b": other})).axes
        assert heights(line(axes, "a")).tolist() == [10, 10, 20, 20]
        assert places(line(axes, "a")) == [0, 1, 1, 2]
        assert heights(line(axes, "b")).tolist() == [5, 5]

    def test_of_runs_without_load_is_none_and_says_so(self) -> None:
        record = healthy(intervals=[])
        assert compared_throughput.figure({"a": record}) is None
        assert "no run came to its load" in compared_throughput.note({"a": record})


class TestComparedFigures:
    def draw(self, records: Sides) -> dict[str, Axes]:
        figure = drawn(compared_figures.figure(records))
        return {axes.get_title(loc="left"): axes for axes in figure.axes}

    def widths(self, axes: Axes) -> list[float]:
        return [bar.get_width() for bar in axes.patches if hasattr(bar, "get_width")]

    def test_sets_the_figures_side_by_side(self) -> None:
        axes = self.draw({"base": rate(1000.0), "head": rate(1500.0)})
        assert list(axes) == ["messages/s", "service p50", "service p99", "CPU per message"]
        assert self.widths(axes["messages/s"]) == [1000, 1500]
        assert self.widths(axes["service p99"]) == [FAST.service_time_ns.p99] * 2
        assert self.widths(axes["CPU per message"]) == pytest.approx([1e5, 1e9 / 15_000])
        assert [tick.get_text() for tick in axes["messages/s"].get_yticklabels()] == [
            "base",
            "head",
        ]

    def test_shows_the_median_of_the_rounds_and_every_round(self) -> None:
        rounds = [rate(value, f"2026-01-31T12:00:0{n}Z") for n, value in enumerate((10, 40, 20))]
        axes = self.draw({"base": rounds, "head": rate(30.0)})["messages/s"]
        assert self.widths(axes) == [20, 30]
        [points] = axes.get_lines()
        assert places(points) == [10, 40, 20]

    def test_says_what_is_not_known(self) -> None:
        idle = closed_loop(
            actual=msgspec.structs.replace(FAST.actual, cpu_user_s=0.0, cpu_system_s=0.0)
        )
        sides = {"base": rate(10.0), "head": idle}
        axes = self.draw(sides)["CPU per message"]
        assert len(self.widths(axes)) == 1
        assert "not known" in texts(axes)
        assert "head: cpu_per_message is not known" in compared_figures.note(sides)

    def test_shortens_a_long_label_to_its_end(self) -> None:
        long = "a-folder-with-a-long-name/and-another/base.json"
        [label, _] = self.draw({long: FAST, "head": SLOW})["messages/s"].get_yticklabels()
        assert label.get_text().endswith(PurePath(long).name)
        assert len(label.get_text()) < len(long)


class TestEveryComparison:
    @pytest.mark.parametrize("panel", COMPARED, ids=lambda panel: panel.name)
    def test_of_very_many_sides_draws_some_and_says_so(self, panel: object) -> None:
        [known] = [each for each in COMPARED if each is panel]
        sides = {f"run-{number}.json": FAST for number in range(MOST_SIDES + 3)}
        assert known.draw(sides) is not None
        assert f"Only the first {MOST_SIDES} are drawn, 3 are not." in known.note(sides)

    @pytest.mark.parametrize("panel", COMPARED, ids=lambda panel: panel.name)
    def test_of_nothing_is_none(self, panel: object) -> None:
        [known] = [each for each in COMPARED if each is panel]
        assert known.draw({}) is None
        assert known.note({}) != ""

    def test_of_runs_without_messages_still_draws_what_there_is(self) -> None:
        silent = healthy(actual=actual(messages=0, messages_per_s=0.0))
        for panel in COMPARED:
            panel.draw({"a": silent, "b": silent})
            assert isinstance(panel.note({"a": silent, "b": silent}), str)


@pytest.mark.parametrize("width_px", [WIDE_PX, NARROW_PX])
@pytest.mark.parametrize("panel", COMPARED, ids=lambda panel: panel.name)
def test_long_labels_leave_room_for_what_they_name(panel: Panel[Sides], width_px: int) -> None:
    figure = drawn(panel.draw({f"/a/very/long/path/of/results/{n}.json": FAST for n in "ab"}))
    written = to_svg(figure, width_px)
    assert "results/a.json" in written
    assert "very/long" not in written
