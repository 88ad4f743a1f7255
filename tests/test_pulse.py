import pytest

from loadgen.core.pulse import EVENT_NS, LONG_GAP_NS, Pulse

MS = 1_000_000
START_NS = 10**15


def test_looks_are_counted_and_the_time_spent_in_them() -> None:
    pulse = Pulse()
    pulse.polled(START_NS, START_NS + 3 * MS, 1)
    pulse.polled(START_NS + 4 * MS, START_NS + 4 * MS, 0)
    pulse.polled(START_NS + 6 * MS, START_NS + 10 * MS, 128)
    assert (pulse.polls, pulse.empty, pulse.waited_ns) == (3, 1, 7 * MS)
    assert (pulse.longest_gap_ns, pulse.gaps, pulse.gaps_total_ns) == (2 * MS, 0, 0)


@pytest.mark.parametrize("found", [0, 1, 5000])
@pytest.mark.parametrize("is_long", [False, True])
def test_a_time_between_two_looks_that_its_events_do_not_explain_is_a_gap(
    found: int, is_long: bool
) -> None:
    pulse = Pulse()
    gap_ns = LONG_GAP_NS + found * EVENT_NS + is_long
    pulse.polled(START_NS, START_NS, found)
    pulse.polled(START_NS + gap_ns, START_NS + gap_ns, 0)
    assert pulse.longest_gap_ns == gap_ns
    assert (pulse.gaps, pulse.gaps_total_ns) == (is_long, gap_ns * is_long)


def test_gaps_add_up_and_the_longest_is_kept() -> None:
    pulse = Pulse()
    now_ns = START_NS
    for gap_ns in (0, 20 * MS, 6 * MS, 2 * MS):
        now_ns += gap_ns
        pulse.polled(now_ns, now_ns, 0)
    assert (pulse.gaps, pulse.gaps_total_ns, pulse.longest_gap_ns) == (2, 26 * MS, 20 * MS)


def test_a_long_wait_in_the_selector_is_no_gap() -> None:
    pulse = Pulse()
    pulse.polled(START_NS, START_NS + 60_000 * MS, 1)
    pulse.polled(START_NS + 60_000 * MS, START_NS + 60_000 * MS, 0)
    assert (pulse.gaps, pulse.longest_gap_ns) == (0, 0)


def test_sleep_in_a_loop_around_this_one_is_waiting_and_no_gap() -> None:
    pulse = Pulse()
    pulse.polled(START_NS, START_NS, 1)
    pulse.slept(20 * MS)
    pulse.slept(30 * MS)
    pulse.polled(START_NS + 52 * MS, START_NS + 52 * MS, 1)
    assert (pulse.waited_ns, pulse.gaps, pulse.longest_gap_ns) == (50 * MS, 0, 2 * MS)
    pulse.polled(START_NS + 60 * MS, START_NS + 60 * MS, 0)
    assert (pulse.gaps, pulse.gaps_total_ns) == (1, 8 * MS)


def test_sleep_before_the_first_look_is_waiting() -> None:
    pulse = Pulse()
    pulse.slept(20 * MS)
    pulse.polled(START_NS, START_NS, 0)
    assert (pulse.waited_ns, pulse.longest_gap_ns) == (20 * MS, 0)
