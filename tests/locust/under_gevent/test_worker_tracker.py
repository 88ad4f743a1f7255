"""Which workers take part in a run, and which are lost, with a clock that the test sets."""

import msgspec
import pytest
from records import closed_loop

from loadgen.locust.collector import Collector
from loadgen.locust.messages import ClassReport
from loadgen.locust.worker_tracker import WorkerTracker
from loadgen.units import NS_PER_S


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> int:
        return round(self.now_s * NS_PER_S)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tracker(clock: Clock) -> WorkerTracker:
    """Two workers, of which the first has a quarter of the users."""
    tracker = WorkerTracker(expected=2, clock=clock)
    tracker.begin()
    tracker.assign({"host_a": {"Ping": 1, "Rare": 1}, "host_b": {"Ping": 3, "Rare": 0}})
    return tracker


def test_a_lost_worker_has_the_time_of_its_last_contact(
    tracker: WorkerTracker, clock: Clock
) -> None:
    clock.now_s = 104.0
    tracker.note_contact("host_a")
    clock.now_s = 108.0
    assert tracker.update_missing(["host_a"]) == (["host_a"], [])
    assert tracker.update_missing(["host_a"]) == ([], [])
    assert "last heard of 4.0 s after the start" in tracker.last_contact("host_a")
    team = tracker.team("Ping")
    [lost] = team.absences
    assert (team.expected, team.reported) == (2, 1)
    assert (lost.name, lost.host, lost.heard_ns) == ("host_a", "host", 104 * NS_PER_S)
    assert (lost.load_share, lost.relieved_ns, lost.is_whole) == (0.25, None, False)


def test_each_user_class_expects_the_workers_with_users_of_it(tracker: WorkerTracker) -> None:
    tracker.update_missing(["host_b"])
    rare = tracker.team("Rare")
    assert (rare.expected, rare.reported, rare.absences) == (1, 1, ())
    assert tracker.team("Ping").reported == 1


def test_a_late_worker_is_not_lost(tracker: WorkerTracker) -> None:
    tracker.update_missing(["host_a"])
    assert tracker.update_missing([]) == ([], ["host_a"])
    tracker.finish("host_a")
    assert tracker.update_missing(["host_a"]) == ([], [])
    assert tracker.team("Ping").absences == ()


def test_users_of_a_lost_worker_may_move_and_return(tracker: WorkerTracker, clock: Clock) -> None:
    tracker.update_missing(["host_a"])
    clock.now_s = 105.0
    tracker.assign({"host_b": {"Ping": 4, "Rare": 1}})
    [lost] = tracker.team("Ping").absences
    assert (lost.load_share, lost.relieved_ns) == (0.25, 105 * NS_PER_S)
    tracker.assign({"host_a": {"Ping": 2, "Rare": 0}, "host_b": {"Ping": 2, "Rare": 1}})
    [lost] = tracker.team("Ping").absences
    assert (lost.load_share, lost.relieved_ns) == (0.5, None)


@pytest.mark.parametrize(("ended_s", "is_early"), [(105.9, False), (107.0, True)])
def test_a_worker_that_ends_with_the_run_is_not_early(
    tracker: WorkerTracker, clock: Clock, ended_s: float, is_early: bool
) -> None:
    clock.now_s = 105.0
    tracker.finish("host_a")
    clock.now_s = ended_s
    tracker.end()
    clock.now_s = 200.0
    tracker.finish("host_b")
    assert [each.is_whole for each in tracker.team("Ping").absences] == [True] * is_early


def test_an_expected_worker_that_never_connected_is_counted() -> None:
    tracker = WorkerTracker(expected=3)
    tracker.begin()
    tracker.assign({"host_a": {"Ping": 1}, "host_b": {"Ping": 0}})
    team = tracker.team("Ping")
    assert (team.expected, team.reported) == (2, 1)


def report(run: int = 0, started_at: str = "2026-01-31T12:00:00.000+00:00") -> ClassReport:
    record = msgspec.structs.replace(closed_loop(), started_at=started_at)
    return ClassReport(
        user_class="Ping",
        users=1,
        connections_up=1,
        record=record,
        names={},
        is_last=False,
        run=run,
    )


def test_a_report_of_an_earlier_run_is_left_out() -> None:
    collector = Collector()
    collector.begin(run=2)
    assert collector.receive("host_a", [report(run=1)]) == []
    assert collector.records() == {}
    assert collector.receive("host_a", [report(run=2)]) == [report(run=2)]
    assert list(collector.records()) == ["Ping"]


def test_the_warm_up_of_a_worker_lost_in_it_does_not_count(tracker: WorkerTracker) -> None:
    collector = Collector()
    collector.tracker = tracker
    for worker in ("host_a", "host_b"):
        collector.receive(worker, [report()])
    collector.begin_measuring()
    collector.receive("host_b", [report(started_at="2026-01-31T12:00:09.000+00:00")])
    assert len(collector.records()["Ping"].workers) == 2
    tracker.update_missing(["host_a"])
    record = collector.records()["Ping"]
    assert [worker.name for worker in record.workers] == ["host_b"]
    assert record.started_at == "2026-01-31T12:00:09.000+00:00"
    assert record.team is not None
    assert record.team.lost[0].message_share is None
