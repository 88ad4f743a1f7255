from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from loadgen.engine.timers import TimerHeap


@dataclass(eq=False)
class Item:
    """Something with a timer; it has no order, as connections have none."""

    name: str = ""
    timer_ns: int | None = None


def due(timers: TimerHeap[Item], now_ns: int, at_most: int = 1000) -> list[Item]:
    return list(timers.due(now_ns, at_most))


def test_nothing_expires_where_nothing_is_set() -> None:
    timers: TimerHeap[Item] = TimerHeap()
    assert timers.next_ns() is None
    assert due(timers, 10**18) == []


def test_a_timer_expires_at_its_time_once() -> None:
    timers: TimerHeap[Item] = TimerHeap()
    item = Item()
    timers.set(item, 100)
    assert timers.next_ns() == 100
    assert due(timers, 99) == []
    assert due(timers, 100) == [item]
    assert item.timer_ns is None
    assert due(timers, 200) == []
    assert timers.next_ns() is None


def test_a_later_timer_replaces_an_earlier_one() -> None:
    timers: TimerHeap[Item] = TimerHeap()
    item = Item()
    timers.set(item, 100)
    timers.set(item, 200)
    assert timers.next_ns() == 200
    assert due(timers, 199) == []
    assert due(timers, 200) == [item]


def test_an_earlier_timer_replaces_a_later_one() -> None:
    timers: TimerHeap[Item] = TimerHeap()
    item = Item()
    timers.set(item, 200)
    timers.set(item, 100)
    assert due(timers, 100) == [item]
    assert due(timers, 300) == []


def test_none_cancels_a_timer() -> None:
    timers: TimerHeap[Item] = TimerHeap()
    item = Item()
    timers.set(item, 100)
    timers.set(item, None)
    assert timers.next_ns() is None
    assert due(timers, 100) == []


def test_a_timer_set_twice_for_one_time_expires_once() -> None:
    timers: TimerHeap[Item] = TimerHeap()
    item = Item()
    for timer_ns in (100, 200, 100):
        timers.set(item, timer_ns)
    assert due(timers, 300) == [item]


def test_timers_for_one_time_expire_in_the_order_they_were_set() -> None:
    timers: TimerHeap[Item] = TimerHeap()
    items = [Item(str(number)) for number in range(20)]
    for item in items:
        timers.set(item, 100)
    assert due(timers, 100) == items


def test_no_more_expire_than_asked_for_and_the_rest_is_still_due() -> None:
    timers: TimerHeap[Item] = TimerHeap()
    items = [Item(str(number)) for number in range(5)]
    for timer_ns, item in enumerate(items):
        timers.set(item, timer_ns)
    assert due(timers, 100, at_most=2) == items[:2]
    assert timers.next_ns() == 2
    assert due(timers, 100) == items[2:]


def test_a_timer_may_be_set_again_while_timers_expire() -> None:
    timers: TimerHeap[Item] = TimerHeap()
    items = [Item("one"), Item("two")]
    for item in items:
        timers.set(item, 100)
    seen = []
    for item in timers.due(100, 10):
        seen.append(item)
        timers.set(item, 200)
    assert seen == items
    assert due(timers, 200) == items


def test_a_timer_cancelled_while_others_expire_stays_cancelled() -> None:
    timers: TimerHeap[Item] = TimerHeap()
    first, second = Item("first"), Item("second")
    timers.set(first, 100)
    timers.set(second, 100)
    expiring = timers.due(100, 10)
    assert next(expiring) is first
    timers.set(second, None)
    assert list(expiring) == []


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.none() | st.integers(0, 50)) | st.integers(0, 50),
        max_size=60,
    )
)
def test_any_history_is_as_if_each_item_had_one_timer(
    history: list[tuple[int, int | None] | int],
) -> None:
    timers: TimerHeap[Item] = TimerHeap()
    items = [Item(str(number)) for number in range(5)]
    expected_ns: dict[int, int] = {}
    for step in history:
        if isinstance(step, int):
            expected = sorted(each_ns for each_ns in expected_ns.values() if each_ns <= step)
            fired = [items.index(item) for item in due(timers, step)]
            assert [expected_ns.pop(number) for number in fired] == expected
            continue
        number, timer_ns = step
        timers.set(items[number], timer_ns)
        expected_ns.pop(number, None)
        if timer_ns is not None:
            expected_ns[number] = timer_ns
        assert timers.next_ns() == min(expected_ns.values(), default=None)
