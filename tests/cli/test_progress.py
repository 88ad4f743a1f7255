import pytest

from loadgen.cli.terminal import progress_line
from loadgen.engine.pool import PoolTotals
from loadgen.plan import Plan
from loadgen.results.intervals import RunPhase
from loadgen.runner.surroundings import Progress

PLAN = Plan(connections=2000, duration_s=10.0)


def line(
    stage: RunPhase,
    elapsed_s: float = 0.0,
    rate: float = 0.0,
    failures: int = 0,
    plan: Plan = PLAN,
    rejected: int = 0,
) -> str:
    totals = PoolTotals(submitted=9, answered=8, bytes_sent=64, bytes_received=64, up=1500)
    progress = Progress(stage, elapsed_s, totals, rate, failures, rejected)
    return progress_line(progress, plan).replace("\N{NO-BREAK SPACE}", " ")


def test_while_opening_it_tells_how_many_are_up() -> None:
    assert line("opening") == "opening: 1 500 of 2 000 connections up"


def test_while_draining_it_tells_how_many_are_up() -> None:
    assert line("draining", 10.0, 123.0) == "draining: 1 500 of 2 000 connections up"


def test_while_warming_up_it_tells_how_many_are_up() -> None:
    assert line("warming", 0.0, 123.0) == "warming up: 1 500 of 2 000 connections up"


def test_while_loading_it_tells_the_time_and_the_rate() -> None:
    expected = "3 of 10 s: 1 500 of 2 000 connections up, 84 211 messages/s"
    assert line("loading", 3.0, 84_210.6) == expected


def test_before_anything_was_measured_it_tells_no_rate() -> None:
    assert line("loading") == "0 of 10 s: 1 500 of 2 000 connections up"


def test_without_a_planned_duration_it_tells_only_how_long_it_has_been() -> None:
    endless = Plan(connections=2000, messages=5)
    assert line("loading", 3.0, 5.0, plan=endless).startswith("3 s: 1 500 of 2 000 connections")


def test_a_duration_that_is_no_whole_number_is_shown_as_it_was_asked_for() -> None:
    assert line("loading", plan=Plan(connections=2000, duration_s=2.5)).startswith("0 of 2.5 s: ")


@pytest.mark.parametrize("stage", ["opening", "warming", "loading", "draining"])
def test_failures_are_told_in_every_stage(stage: RunPhase) -> None:
    assert line(stage, 1.0, 1.0, failures=1234).endswith(", 1 234 failures")
    assert "failures" not in line(stage, 1.0, 1.0)


@pytest.mark.parametrize("stage", ["warming", "loading", "draining"])
def test_rejected_replies_are_told_beside_the_failures_of_connections(stage: RunPhase) -> None:
    assert line(stage, 1.0, 1.0, failures=3, rejected=1234).endswith(", 3 failures, 1 234 rejected")
    assert "rejected" not in line(stage, 1.0, 1.0, failures=3)
