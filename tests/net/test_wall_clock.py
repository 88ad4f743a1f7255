"""The offset between the clocks, and how it is followed when the wall clock is set."""

from collections.abc import Iterable

import pytest

from loadgen.net.clock import STEP_NS, WallClock

US = 1_000
MS = 1_000_000
SECOND = 1_000_000_000
HOUR = 3600 * SECOND
OFFSET_NS = 1_900_000_000 * SECOND


class Machine:
    """Two clocks that run together; ``delays_ns`` is what each reading of one takes in turn."""

    def __init__(self, delays_ns: Iterable[int] = (40,)) -> None:
        self.now_ns = 500 * SECOND
        self.offset_ns = OFFSET_NS
        self.delays_ns = list(delays_ns)
        self._readings = 0

    def _pass(self) -> None:
        self.now_ns += self.delays_ns[self._readings % len(self.delays_ns)]
        self._readings += 1

    def clock(self) -> int:
        self._pass()
        return self.now_ns

    def wall(self) -> int:
        self._pass()
        return self.now_ns + self.offset_ns


class TestLooking:
    def test_measures_the_offset(self) -> None:
        machine = Machine()
        assert abs(WallClock(machine.clock, machine.wall).offset_ns - OFFSET_NS) <= 40

    def test_finds_no_step_where_there_is_none(self) -> None:
        machine = Machine()
        wall_clock = WallClock(machine.clock, machine.wall)
        for _ in range(100):
            machine.now_ns += 100 * MS
            assert wall_clock.look() is None

    @pytest.mark.parametrize("step_ns", [20 * US, SECOND, HOUR, -20 * US, -SECOND, -HOUR])
    def test_finds_a_step_once_and_follows_it(self, step_ns: int) -> None:
        machine = Machine()
        wall_clock = WallClock(machine.clock, machine.wall)
        since_ns = machine.now_ns
        machine.now_ns += 100 * MS
        machine.offset_ns += step_ns
        before_ns = machine.now_ns
        found = wall_clock.look()
        assert found is not None
        assert found.step_ns == pytest.approx(step_ns, abs=80)
        assert found.since_ns == since_ns
        assert before_ns < found.until_ns <= machine.now_ns
        assert abs(wall_clock.offset_ns - machine.offset_ns) <= 40
        assert wall_clock.look() is None

    @pytest.mark.parametrize("step_ns", [STEP_NS - 200, 200 - STEP_NS])
    def test_takes_no_small_difference_for_a_step(self, step_ns: int) -> None:
        machine = Machine()
        wall_clock = WallClock(machine.clock, machine.wall)
        machine.offset_ns += step_ns
        assert wall_clock.look() is None

    def test_finds_a_step_that_comes_little_by_little(self) -> None:
        machine = Machine()
        wall_clock = WallClock(machine.clock, machine.wall)
        found = []
        for _ in range(3):
            machine.offset_ns += 6 * US
            found.append(wall_clock.look())
        assert [step is not None for step in found] == [False, True, False]
        assert abs(wall_clock.offset_ns - machine.offset_ns) <= 6 * US + 40

    def test_takes_no_slow_reading_for_a_step(self) -> None:
        """Held up between the two clocks, every time: the offset looks like another."""
        machine = Machine()
        wall_clock = WallClock(machine.clock, machine.wall)
        machine.delays_ns = [40, 2 * MS, 40]
        machine._readings = 0
        assert wall_clock.look() is None

    def test_finds_a_step_that_is_larger_than_its_doubt(self) -> None:
        machine = Machine()
        wall_clock = WallClock(machine.clock, machine.wall)
        machine.delays_ns = [40, 2 * MS, 40]
        machine._readings = 0
        machine.offset_ns += SECOND
        found = wall_clock.look()
        assert found is not None
        assert found.step_ns == pytest.approx(SECOND, abs=2 * MS)

    def test_needs_one_quick_reading_in_five(self) -> None:
        machine = Machine()
        wall_clock = WallClock(machine.clock, machine.wall)
        machine.delays_ns = [40, 2 * MS, 2 * MS] * 3 + [40] * 3 + [40, 2 * MS, 2 * MS]
        machine._readings = 0
        machine.offset_ns += 20 * US
        found = wall_clock.look()
        assert found is not None
        assert found.step_ns == pytest.approx(20 * US, abs=80)
