"""The figures over time show the numbers of the record: throughput, failures, resources."""

from typing import Any

import numpy as np
import pytest
from drawn_figures import (
    SILENT,
    drawn,
    heights,
    interval,
    labels,
    line,
    monitor,
    places,
    processes,
    texts,
)
from matplotlib.axes import Axes
from records import HEALTHY, actual, failure, healthy, open_loop, plan

from loadgen.net.failure import Cause, Phase
from loadgen.results.record import RunRecord
from reports.figures import resources, throughput
from reports.figures.slices import MOST


class TestThroughput:
    def draw(self, record: RunRecord) -> list[Axes]:
        return drawn(throughput.figure(record)).axes

    def test_shows_messages_a_second_of_each_interval_of_the_load(self) -> None:
        record = healthy(
            intervals=[
                interval(-1.5, duration_s=0.5, stage="opening", messages=0, connections_up=2),
                interval(-1.0, stage="warming", messages=50),
                interval(0.0, messages=100),
                interval(1.0, messages=30, duration_s=0.5),
                interval(1.5, messages=7, duration_s=0.001, stage="draining"),
            ]
        )
        answered = line(self.draw(record)[0], "answered")
        assert places(answered) == [-1, 0, 0, 1, 1, 1.5]
        assert heights(answered).tolist() == [50, 50, 100, 100, 60, 60]

    def test_shows_connections_at_the_end_of_each_interval(self) -> None:
        record = healthy(
            intervals=[
                interval(-1.0, stage="opening", connections_up=80, messages=0),
                interval(0.0, connections_up=100),
                interval(1.0, connections_up=97),
            ]
        )
        [up] = self.draw(record)[1].get_lines()
        assert places(up) == [-1, 0, 1, 2]
        assert heights(up).tolist() == [0, 80, 100, 97]

    @pytest.mark.parametrize(
        ("asked", "corners"),
        [
            ({"rate": 1000.0}, [(0, 1000), (10, 1000)]),
            ({"rate": "0..800/4s"}, [(0, 0), (4, 800), (10, 800)]),
            ({"stages": "2s:100,0s:500,3s:500"}, [(0, 0), (2, 100), (2, 500), (5, 500), (10, 500)]),
            ({"rate": "0..2000/20s"}, [(0, 0), (10, 1000)]),
        ],
    )
    def test_draws_the_requested_rate(
        self, asked: dict[str, Any], corners: list[tuple[float, float]]
    ) -> None:
        requested = line(self.draw(open_loop(plan=plan(**asked)))[0], "requested")
        assert list(zip(places(requested), heights(requested).tolist(), strict=True)) == corners

    def test_draws_the_rate_of_the_warm_up(self) -> None:
        record = open_loop(plan=plan(rate=50.0), actual=actual(duration_s=10.0, warmup_s=3.0))
        assert places(line(self.draw(record)[0], "requested"))[0] == -3

    def test_of_a_closed_loop_has_no_requested_rate(self) -> None:
        assert labels(self.draw(HEALTHY)[0]) == ["answered"]

    def test_of_a_one_way_load_says_sent(self) -> None:
        record = healthy(plan=plan(reply="none"), intervals=[interval(0.0, **SILENT)])
        assert labels(self.draw(record)[0]) == ["sent"]

    def test_marks_failures_by_cause_from_first_to_last(self) -> None:
        reset = failure(Phase.RECEIVE, Cause.RESET, count=1234, first_s=0.25, last_s=1.75)
        axes = self.draw(healthy(failures=[reset, failure(Phase.CONNECT, Cause.TIMEOUT)]))[-1]
        assert [places(each) for each in axes.get_lines()] == [[0.25, 1.75], [1.0, 1.0]]
        assert "receive: connection reset by the server (1\N{NO-BREAK SPACE}234)" in texts(axes)
        assert "connect: no progress in time (1)" in texts(axes)

    def test_of_failures_alone_shows_nothing_else(self) -> None:
        refused = failure(Phase.CONNECT, Cause.REFUSED, count=2, first_s=-0.02, last_s=-0.01)
        opening = interval(
            -0.02, stage="opening", connections_up=0, messages=0, failures=2, **SILENT
        )
        counts, kinds = self.draw(healthy(failures=[refused], intervals=[opening]))
        assert heights(counts.get_lines()[0]).tolist() == [2, 2]
        assert "connect: connection refused (2)" in texts(kinds)

    def test_counts_the_failures_of_each_interval(self) -> None:
        intervals = [interval(0.0), interval(1.0, failures=7), interval(2.0, failures=1)]
        axes = self.draw(healthy(intervals=intervals))[-1]
        assert heights(axes.get_lines()[0]).tolist() == [0, 0, 7, 7, 1, 1]

    def test_counts_rejected_replies_as_failures_with_a_line_for_their_cause(self) -> None:
        kinds = [failure(Phase.REPLY, Cause.REJECTED, count=9, first_s=1.0, last_s=1.5)]
        intervals = [interval(0.0), interval(1.0, failures=2, rejected=7)]
        axes = self.draw(healthy(intervals=intervals, failures=kinds))
        assert heights(axes[-2].get_lines()[0]).tolist() == [0, 0, 9, 9]
        assert places(axes[-1].get_lines()[0]) == [1.0, 1.5]
        [words] = axes[-1].texts
        assert words.get_text().startswith("reply: the server rejected the message (9)")

    def test_says_how_many_kinds_of_failure_it_leaves_out(self) -> None:
        kinds = [failure(Phase.SEND, cause) for cause in Cause]
        record = healthy(failures=kinds)
        assert len(self.draw(record)[-1].get_lines()) == throughput.KINDS
        assert f"{len(kinds) - throughput.KINDS} rarer kinds" in throughput.note(record)

    def test_of_very_many_intervals_is_thinned_to_their_means(self) -> None:
        many = 3 * MOST
        record = healthy(intervals=[interval(float(n), messages=n % 3) for n in range(many)])
        answered = line(self.draw(record)[0], "answered")
        assert len(places(answered)) == 2 * MOST
        assert set(heights(answered)) == {1.0}
        assert "up to 3 are drawn as one" in throughput.note(record)

    def test_of_nothing_at_all_is_none_and_says_so(self) -> None:
        record = healthy(intervals=[])
        assert throughput.figure(record) is None
        assert throughput.note(record)

    def test_of_one_interval_needs_no_note(self) -> None:
        assert throughput.note(HEALTHY) == ""


class TestResources:
    def draw(self, record: RunRecord) -> dict[str, Axes]:
        return {axes.get_ylabel(): axes for axes in drawn(resources.figure(record)).axes}

    def test_shows_the_processors_that_were_busy_between_two_samples(self) -> None:
        axes = self.draw(healthy(monitor=monitor()))["busy processors"]
        assert labels(axes) == ["generator", "target (redis-server)", "this machine (of 2)"]
        busy = heights(line(axes, "generator"))[::2]
        assert busy == pytest.approx([0, 0.2, 0.2, 0.4, 0.4])
        assert places(line(axes, "generator"))[::2] == [-0.5, 0.0, 0.5, 1.0, 1.5]
        assert heights(line(axes, "target (redis-server)"))[::2] == pytest.approx(2 * busy)
        machine = heights(line(axes, "this machine (of 2)"))[::2]
        assert machine == pytest.approx([0.2, 1, 1, 1.5, 2])

    def test_shows_memory_descriptors_and_threads_as_they_were_sampled(self) -> None:
        record = monitor()
        axes = self.draw(healthy(monitor=record))
        for label, samples in (
            ("memory", record.generator.memory_bytes),
            ("descriptors", record.generator.descriptors),
            ("threads", record.generator.threads),
        ):
            assert heights(line(axes[label], "generator")).tolist() == samples
            assert places(line(axes[label], "generator")) == record.at_s

    def test_shows_the_processor_time_of_a_message(self) -> None:
        record = healthy(
            monitor=monitor(),
            intervals=[interval(0.0, messages=1000), interval(1.0, messages=1000)],
        )
        axes = self.draw(record)["CPU / message"]
        assert heights(line(axes, "generator"))[::2] == pytest.approx([200_000, 400_000])
        assert heights(line(axes, "target (redis-server)"))[::2] == pytest.approx([4e5, 8e5])

    def test_leaves_out_the_cost_of_a_message_where_it_is_too_little_to_tell(self) -> None:
        idle = processes("loadgen", [0.0, 0.01, 0.01, 0.01, 0.02, 0.02])
        record = healthy(monitor=monitor(generator=idle, target=None))
        assert "CPU / message" not in self.draw(record)

    def test_without_a_target_says_why(self) -> None:
        record = healthy(monitor=monitor(target=None, why_no_target="it is on another machine"))
        assert labels(self.draw(record)["memory"]) == ["generator"]
        assert "The target is not drawn: it is on another machine." in resources.note(record)

    def test_breaks_lines_where_a_sample_is_unknown(self) -> None:
        target = processes("nginx", [0.0] * 6, descriptors=[4, None, 5, 5, None, 6])
        record = healthy(monitor=monitor(target=target))
        shown = heights(line(self.draw(record)["descriptors"], "target (nginx)"))
        assert np.isnan(shown).tolist() == [False, True, False, False, True, False]
        assert "Not all descriptors are known: target (nginx)." in resources.note(record)

    def test_has_no_row_for_what_nobody_knows(self) -> None:
        unknown = {"descriptors": [None] * 6}
        record = monitor(
            generator=processes("loadgen", [0.0] * 6, **unknown),
            target=processes("nginx", [0.0] * 6, **unknown),
        )
        assert "descriptors" not in self.draw(healthy(monitor=record))

    def test_marks_the_moment_at_which_the_target_ended(self) -> None:
        axes = self.draw(healthy(monitor=monitor(target_ended_at_s=1.25)))
        for each in axes.values():
            assert places(line(each, "the target ended")) == [1.25, 1.25]
        _, named = axes["busy processors"].get_legend_handles_labels()
        assert "the target ended" in named

    def test_of_very_many_samples_is_thinned_and_says_so(self) -> None:
        many = 10 * resources.SAMPLES + 1
        at_s = [0.5 * number for number in range(many)]
        machine = monitor().machine
        record = monitor(
            at_s=at_s,
            generator=processes("loadgen", [0.1 * number for number in range(many)]),
            target=None,
            machine=type(machine)(
                cpu_share=[0.5] * many, sent_bytes=[0] * many, received_bytes=[0] * many
            ),
        )
        axes = self.draw(healthy(monitor=record))
        assert len(places(line(axes["memory"], "generator"))) <= resources.SAMPLES + 1
        assert places(line(axes["memory"], "generator"))[-1] == at_s[-1]
        assert heights(line(axes["busy processors"], "generator")) == pytest.approx(0.2)
        assert heights(line(axes["busy processors"], "this machine (of 2)")) == pytest.approx(1.0)
        assert "Thinned: 1 in 11 of" in resources.note(healthy(monitor=record))

    def test_without_a_monitor_is_none_and_says_why(self) -> None:
        assert resources.figure(HEALTHY) is None
        assert "--watch off" in resources.note(HEALTHY)

    def test_is_on_the_clock_of_the_other_figures(self) -> None:
        record = healthy(monitor=monitor())
        clocks = {
            axes.get_xlim()
            for figure in (throughput.figure(record), resources.figure(record))
            for axes in drawn(figure).axes
        }
        assert len(clocks) == 1
