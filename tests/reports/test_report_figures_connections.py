"""The figure of connections counts each of them, and says how even it was."""

import msgspec
import numpy as np
import pytest
from drawn_figures import drawn, texts
from matplotlib.axes import Axes
from matplotlib.patches import StepPatch
from records import HEALTHY, connection, connections_record, healthy, plan

from loadgen.results.record import ConnectionsRecord, RunRecord
from reports.figures import connections


def rows(count: int) -> ConnectionsRecord:
    """So many connections of 10 to 109 messages and of 1 to 1.99 ms, the same number of each."""
    return connections_record(
        *(
            connection(index, 10 + index % 100, (0, 1_000_000 + index % 100 * 10_000, 0, 0, 0))
            for index in range(count)
        ),
        fairness=0.875,
    )


def draw(record: RunRecord) -> list[Axes]:
    return drawn(connections.figure(record)).axes


def bars(axes: Axes) -> list[tuple[float, float, float]]:
    """Of each bar that is there: its two edges, and how many connections it stands for."""
    [patch] = [each for each in axes.patches if isinstance(each, StepPatch)]
    counts, edges, _ = patch.get_data()
    return [
        (float(low), float(high), float(count))
        for low, high, count in zip(edges[:-1], edges[1:], np.asarray(counts), strict=True)
        if count
    ]


class TestConnections:
    def test_shows_how_many_had_so_many_messages(self) -> None:
        record = connections_record(
            *(connection(index, 3) for index in range(5)),
            *(connection(5 + index, 7) for index in range(2)),
            fairness=0.9,
        )
        axes = draw(healthy(connections=record))[0]
        assert bars(axes) == [(2.5, 3.5, 5.0), (6.5, 7.5, 2.0)]
        assert "Jain's index 0.900" in texts(axes)

    def test_shows_every_one_of_ten_thousand(self) -> None:
        for axes in draw(healthy(connections=rows(10_000))):
            assert sum(count for _, _, count in bars(axes)) == 10_000
            assert len(bars(axes)) <= 30

    def test_shows_times_within_their_bars(self) -> None:
        _, means, connects = draw(healthy(connections=rows(200)))
        assert bars(means)[0][0] == pytest.approx(1_000_000)
        assert bars(means)[-1][1] == pytest.approx(1_990_000)
        [(low, high, count)] = bars(connects)  # all of them 100 µs
        assert low < 100_000 < high
        assert count == 200

    def test_has_a_logarithmic_axis_where_times_differ_much(self) -> None:
        record = connections_record(
            connection(0, 1, (0, 10_000, 0, 0, 0)),
            connection(1, 1, (0, 90_000_000, 0, 0, 0)),
            fairness=1.0,
        )
        means = draw(healthy(connections=record))[1]
        assert means.get_xscale() == "log"
        assert [count for *_, count in bars(means)] == [1, 1]

    def test_counts_the_starved(self) -> None:
        record = connections_record(
            msgspec.structs.replace(connection(0, 0), submitted=1),
            connection(1, 9, (1, 1, 1, 1, 1)),
            fairness=0.5,
            starved=1,
        )
        assert "Jain's index 0.500, 1 starved" in texts(draw(healthy(connections=record))[0])

    def test_of_a_one_way_load_has_no_service_time_and_says_so(self) -> None:
        record = healthy(
            plan=plan(reply="none"),
            connections=connections_record(connection(0, 5), connection(1, 5), fairness=1.0),
        )
        assert [axes.get_xlabel() for axes in draw(record)] == ["messages sent", "connect latency"]
        assert "No connection has a service time." in connections.note(record)

    def test_of_connections_that_never_came_up_is_none_and_says_so(self) -> None:
        down = msgspec.structs.replace(
            connection(0, 0), connects=0, connect_latency_ns=0, submitted=0
        )
        record = healthy(connections=connections_record(down, fairness=None))
        assert connections.figure(record) is None
        assert "no connection came up" in connections.note(record)

    def test_without_a_ledger_is_none_and_says_so(self) -> None:
        bare = msgspec.structs.replace(HEALTHY.connections, ledger={})
        assert connections.figure(healthy(connections=bare)) is None
        assert "does not list its connections" in connections.note(healthy(connections=bare))

    def test_says_how_many_the_ledger_lacks(self) -> None:
        partial = msgspec.structs.replace(rows(100), count=250)
        assert "Of 250 connections, 100 are listed" in connections.note(
            healthy(connections=partial)
        )

    def test_of_a_usual_run_needs_no_note(self) -> None:
        assert connections.note(HEALTHY) == ""
