import pytest

from loadgen.engine.loop_stats import (
    EVENT_NS,
    HEARTBEAT_NS,
    LATE_NS,
    LATE_WAIT_NS,
    LoopStats,
)

MS = 1_000_000
START_NS = 10**15


def poll(stats: LoopStats, at_ns: int, took_ns: int = 0, found: int = 0) -> None:
    """Note a poll that is over in time."""
    stats.polled(at_ns, at_ns + took_ns, at_ns + took_ns, found)


def test_work_that_its_events_do_not_explain_is_a_pause_as_soon_as_it_is_done() -> None:
    for handled, is_pause in ((20, False), (19, True)):
        stats = LoopStats()
        poll(stats, START_NS, found=handled)
        stats.worked(START_NS + 6 * MS, handled)
        assert stats.pauses.within_ns(START_NS, START_NS + 6 * MS) == is_pause * 6 * MS
        poll(stats, START_NS + 7 * MS)
        assert (stats.gaps, stats.gaps_total_ns) == (is_pause, is_pause * 6 * MS)


def test_a_pause_that_was_under_way_counts_from_there_on() -> None:
    stats = LoopStats(_left_ns=START_NS)
    stats.take_over(START_NS - 30 * MS, 30 * MS)
    poll(stats, START_NS + 7 * MS)
    assert (stats.gaps, stats.gaps_total_ns, stats.longest_gap_ns) == (2, 37 * MS, 30 * MS)
    assert stats.longest_gap_from_ns == START_NS - 30 * MS


def test_polls_are_counted_and_the_time_spent_in_them() -> None:
    stats = LoopStats()
    poll(stats, START_NS, 3 * MS, 1)
    poll(stats, START_NS + 4 * MS)
    poll(stats, START_NS + 6 * MS, 4 * MS, 128)
    assert (stats.polls, stats.empty, stats.waited_ns) == (3, 1, 7 * MS)
    assert (stats.longest_gap_ns, stats.gaps, stats.gaps_total_ns) == (2 * MS, 0, 0)


@pytest.mark.parametrize("handled", [0, 1, 5000])
@pytest.mark.parametrize("is_long", [False, True])
def test_a_time_since_the_last_poll_that_its_events_do_not_explain_is_a_pause(
    handled: int, is_long: bool
) -> None:
    stats = LoopStats()
    gap_ns = LATE_NS + handled * EVENT_NS + is_long
    poll(stats, START_NS, found=handled)
    stats.worked(START_NS + gap_ns, handled)
    assert (stats.longest_gap_ns, stats.longest_gap_from_ns) == (gap_ns, START_NS)
    assert (stats.gaps, stats.gaps_total_ns) == (is_long, gap_ns * is_long)


def test_pauses_add_up_and_the_longest_is_kept() -> None:
    stats = LoopStats()
    now_ns = START_NS
    for gap_ns in (0, 20 * MS, 6 * MS, 2 * MS):
        now_ns += gap_ns
        poll(stats, now_ns)
    assert (stats.gaps, stats.gaps_total_ns, stats.longest_gap_ns) == (2, 26 * MS, 20 * MS)
    assert stats.pauses.total_ns == 26 * MS


@pytest.mark.parametrize("found", [0, 3])
def test_a_wait_that_ends_late_is_a_pause_whatever_it_found(found: int) -> None:
    stats = LoopStats()
    stats.polled(START_NS, START_NS + 2 * MS, START_NS + 1502 * MS, found)
    assert (stats.gaps, stats.gaps_total_ns, stats.waited_ns) == (1, 1500 * MS, 2 * MS)
    assert stats.longest_gap_from_ns == START_NS + 2 * MS
    assert stats.pauses.within_ns(START_NS, START_NS + 502 * MS) == 500 * MS


def test_a_wait_that_ends_a_little_late_is_a_wait() -> None:
    stats = LoopStats()
    stats.polled(START_NS, START_NS + MS, START_NS + MS + LATE_WAIT_NS, 0)
    assert (stats.gaps, stats.waited_ns) == (0, MS + LATE_WAIT_NS)


def test_a_poll_until_a_moment_that_has_passed_is_due_when_it_begins() -> None:
    stats = LoopStats()
    stats.polled(START_NS, START_NS - 900 * MS, START_NS + MS, 0)
    assert (stats.gaps, stats.waited_ns) == (0, MS)


def test_sleep_in_a_loop_around_this_one_is_waiting_and_no_pause() -> None:
    stats = LoopStats()
    poll(stats, START_NS, found=1)
    stats.slept(START_NS + MS, START_NS + 21 * MS, START_NS + 21 * MS)
    stats.slept(START_NS + 21 * MS, START_NS + 60 * MS, START_NS + 51 * MS)
    poll(stats, START_NS + 52 * MS, found=1)
    assert (stats.waited_ns, stats.gaps, stats.longest_gap_ns) == (50 * MS, 0, MS)
    poll(stats, START_NS + 60 * MS)
    assert (stats.gaps, stats.gaps_total_ns) == (1, 8 * MS)


def test_work_before_a_sleep_and_the_sleep_are_pauses_one_after_the_other() -> None:
    stats = LoopStats()
    poll(stats, START_NS)
    stats.slept(START_NS + 20 * MS, START_NS + 30 * MS, START_NS + 1530 * MS)
    assert (stats.gaps, stats.gaps_total_ns) == (2, 1520 * MS)
    assert stats.pauses.within_ns(START_NS + 1510 * MS, START_NS + 1530 * MS) == 20 * MS
    assert stats.pauses.within_ns(START_NS, START_NS + 30 * MS) == 20 * MS


def test_a_sleep_that_lasts_longer_than_it_was_to_is_a_pause() -> None:
    stats = LoopStats()
    poll(stats, START_NS)
    stats.slept(START_NS, START_NS + HEARTBEAT_NS, START_NS + 700 * MS)
    poll(stats, START_NS + 700 * MS)
    assert (stats.gaps, stats.gaps_total_ns) == (1, 690 * MS)
    assert stats.waited_ns == HEARTBEAT_NS


def test_sleep_before_the_first_poll_is_waiting() -> None:
    stats = LoopStats()
    stats.slept(START_NS - 20 * MS, START_NS, START_NS)
    poll(stats, START_NS)
    assert (stats.waited_ns, stats.longest_gap_ns) == (20 * MS, 0)
