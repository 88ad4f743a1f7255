from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from loadgen.engine.timers import TimerHeap


@dataclass(eq=False)
class Owner:
    """Something with an alarm; it has no order, as connections have none."""

    name: str = ""
    alarm_ns: int | None = None


def due(timers: TimerHeap[Owner], now_ns: int, at_most: int = 1000) -> list[Owner]:
    return list(timers.due(now_ns, at_most))


def test_nothing_goes_off_where_nothing_is_set() -> None:
    timers: TimerHeap[Owner] = TimerHeap()
    assert timers.next_ns() is None
    assert due(timers, 10**18) == []


def test_an_alarm_goes_off_at_its_time_once() -> None:
    timers: TimerHeap[Owner] = TimerHeap()
    owner = Owner()
    timers.set(owner, 100)
    assert timers.next_ns() == 100
    assert due(timers, 99) == []
    assert due(timers, 100) == [owner]
    assert owner.alarm_ns is None
    assert due(timers, 200) == []
    assert timers.next_ns() is None


def test_a_later_alarm_replaces_an_earlier_one() -> None:
    timers: TimerHeap[Owner] = TimerHeap()
    owner = Owner()
    timers.set(owner, 100)
    timers.set(owner, 200)
    assert timers.next_ns() == 200
    assert due(timers, 199) == []
    assert due(timers, 200) == [owner]


def test_an_earlier_alarm_replaces_a_later_one() -> None:
    timers: TimerHeap[Owner] = TimerHeap()
    owner = Owner()
    timers.set(owner, 200)
    timers.set(owner, 100)
    assert due(timers, 100) == [owner]
    assert due(timers, 300) == []


def test_none_silences_an_alarm() -> None:
    timers: TimerHeap[Owner] = TimerHeap()
    owner = Owner()
    timers.set(owner, 100)
    timers.set(owner, None)
    assert timers.next_ns() is None
    assert due(timers, 100) == []


def test_an_alarm_set_twice_for_one_time_goes_off_once() -> None:
    timers: TimerHeap[Owner] = TimerHeap()
    owner = Owner()
    for alarm_ns in (100, 200, 100):
        timers.set(owner, alarm_ns)
    assert due(timers, 300) == [owner]


def test_alarms_for_one_time_go_off_in_the_order_they_were_set() -> None:
    timers: TimerHeap[Owner] = TimerHeap()
    owners = [Owner(str(number)) for number in range(20)]
    for owner in owners:
        timers.set(owner, 100)
    assert due(timers, 100) == owners


def test_no_more_go_off_than_asked_for_and_the_rest_is_still_due() -> None:
    timers: TimerHeap[Owner] = TimerHeap()
    owners = [Owner(str(number)) for number in range(5)]
    for alarm_ns, owner in enumerate(owners):
        timers.set(owner, alarm_ns)
    assert due(timers, 100, at_most=2) == owners[:2]
    assert timers.next_ns() == 2
    assert due(timers, 100) == owners[2:]


def test_an_owner_may_set_its_alarm_anew_while_alarms_go_off() -> None:
    timers: TimerHeap[Owner] = TimerHeap()
    owners = [Owner("one"), Owner("two")]
    for owner in owners:
        timers.set(owner, 100)
    seen = []
    for owner in timers.due(100, 10):
        seen.append(owner)
        timers.set(owner, 200)
    assert seen == owners
    assert due(timers, 200) == owners


def test_an_owner_silenced_while_others_go_off_stays_silent() -> None:
    timers: TimerHeap[Owner] = TimerHeap()
    first, second = Owner("first"), Owner("second")
    timers.set(first, 100)
    timers.set(second, 100)
    going_off = timers.due(100, 10)
    assert next(going_off) is first
    timers.set(second, None)
    assert list(going_off) == []


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.none() | st.integers(0, 50)) | st.integers(0, 50),
        max_size=60,
    )
)
def test_any_history_is_as_if_each_owner_had_one_alarm(
    history: list[tuple[int, int | None] | int],
) -> None:
    timers: TimerHeap[Owner] = TimerHeap()
    owners = [Owner(str(number)) for number in range(5)]
    alarms: dict[int, int] = {}
    for step in history:
        if isinstance(step, int):
            expected = sorted(alarm for alarm in alarms.values() if alarm <= step)
            fired = [owners.index(owner) for owner in due(timers, step)]
            assert [alarms.pop(number) for number in fired] == expected
            continue
        number, alarm_ns = step
        timers.set(owners[number], alarm_ns)
        alarms.pop(number, None)
        if alarm_ns is not None:
            alarms[number] = alarm_ns
        assert timers.next_ns() == min(alarms.values(), default=None)
