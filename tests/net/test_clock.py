from itertools import pairwise

from loadgen.net.clock import Clock, ManualClock, monotonic_ns


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
