"""Who takes part in a run of Locust's workers, told by a clock of our own."""

import msgspec
import pytest
from records import closed_loop

from loadgen.locust.attendance import Attendance
from loadgen.locust.collector import Collector
from loadgen.locust.worker_report import PartReport
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
def attendance(clock: Clock) -> Attendance:
    """Two workers of which the first has a quarter of the users."""
    attendance = Attendance(expected=2, clock=clock)
    attendance.begin()
    attendance.assign({"host_a": {"Ping": 1, "Rare": 1}, "host_b": {"Ping": 3, "Rare": 0}})
    return attendance


def test_one_that_is_lost_was_last_heard_of_at_its_last_sign_of_life(
    attendance: Attendance, clock: Clock
) -> None:
    clock.now_s = 104.0
    attendance.hear("host_a")
    clock.now_s = 108.0
    assert attendance.miss(["host_a"]) == (["host_a"], [])
    assert attendance.miss(["host_a"]) == ([], [])
    assert "last heard of 4.0 s after the start" in attendance.last_words("host_a")
    team = attendance.team("Ping")
    [lost] = team.absences
    assert (team.expected, team.reported) == (2, 1)
    assert (lost.name, lost.host, lost.heard_ns) == ("host_a", "host", 104 * NS_PER_S)
    assert (lost.load_share, lost.relieved_ns, lost.is_whole) == (0.25, None, False)


def test_each_user_class_expects_those_that_were_given_users_of_it(attendance: Attendance) -> None:
    attendance.miss(["host_b"])
    rare = attendance.team("Rare")
    assert (rare.expected, rare.reported, rare.absences) == (1, 1, ())
    assert attendance.team("Ping").reported == 1


def test_one_that_is_late_is_not_lost(attendance: Attendance) -> None:
    attendance.miss(["host_a"])
    assert attendance.miss([]) == ([], ["host_a"])
    attendance.finish("host_a")
    assert attendance.miss(["host_a"]) == ([], [])
    assert attendance.team("Ping").absences == ()


def test_others_may_be_given_its_users_and_it_may_get_some_back(
    attendance: Attendance, clock: Clock
) -> None:
    attendance.miss(["host_a"])
    clock.now_s = 105.0
    attendance.assign({"host_b": {"Ping": 4, "Rare": 1}})
    [lost] = attendance.team("Ping").absences
    assert (lost.load_share, lost.relieved_ns) == (0.25, 105 * NS_PER_S)
    attendance.assign({"host_a": {"Ping": 2, "Rare": 0}, "host_b": {"Ping": 2, "Rare": 1}})
    [lost] = attendance.team("Ping").absences
    assert (lost.load_share, lost.relieved_ns) == (0.5, None)


@pytest.mark.parametrize(("ended_s", "is_early"), [(105.9, False), (107.0, True)])
def test_one_that_ends_with_the_run_is_not_early(
    attendance: Attendance, clock: Clock, ended_s: float, is_early: bool
) -> None:
    clock.now_s = 105.0
    attendance.finish("host_a")
    clock.now_s = ended_s
    attendance.end()
    clock.now_s = 200.0
    attendance.finish("host_b")
    assert [each.is_whole for each in attendance.team("Ping").absences] == [True] * is_early


def test_whoever_was_expected_and_never_came_is_counted() -> None:
    attendance = Attendance(expected=3)
    attendance.begin()
    attendance.assign({"host_a": {"Ping": 1}, "host_b": {"Ping": 0}})
    team = attendance.team("Ping")
    assert (team.expected, team.reported) == (2, 1)


def report(run: int = 0, started_at: str = "2026-01-31T12:00:00.000+00:00") -> PartReport:
    record = msgspec.structs.replace(closed_loop(), started_at=started_at)
    return PartReport(
        user_class="Ping",
        users=1,
        connections_up=1,
        record=record,
        names={},
        is_last=False,
        run=run,
    )


def test_what_comes_of_an_earlier_run_is_left_out() -> None:
    gathered = Collector()
    gathered.begin(run=2)
    assert gathered.receive("host_a", [report(run=1)]) == []
    assert gathered.records() == {}
    assert gathered.receive("host_a", [report(run=2)]) == [report(run=2)]
    assert list(gathered.records()) == ["Ping"]


def test_the_warm_up_of_one_that_was_lost_in_it_does_not_count(attendance: Attendance) -> None:
    gathered = Collector()
    gathered.attendance = attendance
    for worker in ("host_a", "host_b"):
        gathered.receive(worker, [report()])
    gathered.begin_measuring()
    gathered.receive("host_b", [report(started_at="2026-01-31T12:00:09.000+00:00")])
    assert len(gathered.records()["Ping"].workers) == 2
    attendance.miss(["host_a"])
    record = gathered.records()["Ping"]
    assert [worker.name for worker in record.workers] == ["host_b"]
    assert record.started_at == "2026-01-31T12:00:09.000+00:00"
    assert record.team is not None
    assert record.team.lost[0].message_share is None
