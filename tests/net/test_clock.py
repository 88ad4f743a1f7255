from itertools import pairwise

import pytest

from loadgen.net.clock import LONGEST_SEND_NS, Clock, ManualClock, middle_ns, monotonic_ns


def test_the_real_clock_never_runs_backwards() -> None:
    readings = [monotonic_ns() for _ in range(1000)]
    assert all(earlier <= later for earlier, later in pairwise(readings))
    assert all(isinstance(reading, int) for reading in readings)


def test_a_manual_clock_stands_still_until_it_is_moved() -> None:
    manual = ManualClock(5)
    clock: Clock = manual
    assert [clock(), clock()] == [5, 5]
    manual.advance(10)
    assert clock() == 15


@pytest.mark.parametrize(
    ("took_ns", "after_ns"),
    [
        *((0, 0), (1, 0), (3_000, 1_500), (3_001, 1_500)),
        *((LONGEST_SEND_NS, LONGEST_SEND_NS // 2), (10**9, LONGEST_SEND_NS // 2)),
    ],
)
def test_a_send_took_place_in_its_middle_unless_it_took_too_long(
    took_ns: int, after_ns: int
) -> None:
    began_ns = 10**15
    assert middle_ns(began_ns, began_ns + took_ns) == began_ns + after_ns
