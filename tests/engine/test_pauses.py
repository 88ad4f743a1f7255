"""Which times of messages the pauses of a process have delayed."""

import numpy as np

from loadgen.engine.pauses import PAUSES_KEPT, Pauses
from loadgen.engine.recorder import Recorder
from loadgen.results.histogram import Integers

MS = 1_000_000
START_NS = 10**15


def ns(*moments_ms: float) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([START_NS + round(moment_ms * MS) for moment_ms in moments_ms], np.int64)


def paused(*spans_ms: tuple[float, float]) -> Pauses:
    pauses = Pauses()
    for from_ms, until_ms in spans_ms:
        pauses.add(*ns(from_ms, until_ms).tolist())
    return pauses


def delayed(pauses: Pauses, *messages_ms: tuple[float, float]) -> list[bool]:
    """Return which messages of a schedule, (intended, sent), are delayed."""
    intended_ns, sent_ns = (ns(*column) for column in zip(*messages_ms, strict=True))
    pauses.catch_up(intended_ns, sent_ns, 0)
    found = pauses.delayed_sends(intended_ns, sent_ns)
    return [False] * len(messages_ms) if found is None else found.tolist()


class TestSchedule:
    def test_what_was_due_in_a_pause_is_delayed(self) -> None:
        messages = (0, 0.01), (20, 100), (90, 100), (110, 110.01)
        assert delayed(paused((10, 100)), *messages) == [False, True, True, False]

    def test_and_so_is_what_waited_behind_it_until_the_schedule_was_caught_up_with(self) -> None:
        """It sends one every 10 ms from 100 ms on; one was due every 20 ms."""
        messages = (20, 100), (40, 110), (60, 120), (80, 130), (100, 140), (120, 150), (140, 160)
        late = [True] * 7
        assert delayed(paused((10, 100)), *messages, (160, 170), (180, 180), (200, 201)) == [
            *late,
            True,
            False,
            False,
        ]

    def test_a_server_that_has_fallen_behind_explains_most_of_a_wait(self) -> None:
        messages = [(20 + 10 * n, 120 + 20 * n) for n in range(10)]
        assert delayed(paused((115, 121)), *messages) == [False] * 10

    def test_a_portion_that_ends_before_the_schedule_is_caught_up_with_shows_nothing(
        self,
    ) -> None:
        pauses = paused((10, 100))
        assert delayed(pauses, (20, 100), (40, 110)) == [True, True]
        intended_ns, sent_ns = ns(105, 111, 130), ns(112, 112.01, 131)
        pauses.catch_up(intended_ns, sent_ns, int(ns(110)[0]))
        found = pauses.delayed_sends(intended_ns, sent_ns)
        assert found is not None
        assert found.tolist() == [True, True, False]

    def test_two_pauses_before_the_schedule_is_caught_up_with_add_up(self) -> None:
        messages = (20, 100), (80, 170), (150, 190), (195, 195)
        assert delayed(paused((10, 100), (110, 160)), *messages) == [True, True, True, False]

    def test_later_messages_are_not_examined(self) -> None:
        pauses = paused((10, 100))
        delayed(pauses, (20, 100), (200, 200))
        assert pauses.delayed_sends(ns(300, 310), ns(390, 400)) is None


class Counting(Pauses):
    """Notes how many pauses are examined, each time."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_at: list[int] = []

    def _since(self, first: int) -> tuple[Integers, Integers]:
        from_ns, until_ns = super()._since(first)
        self.looked_at.append(from_ns.size)
        return from_ns, until_ns


class TestReplies:
    def test_are_delayed_if_more_than_half_of_the_time_to_the_read_was_pauses(self) -> None:
        pauses = paused((10, 20), (30, 40))
        found = pauses.delayed_reads(ns(0, 5, 12, 35, 41), ns(50, 22, 13, 55, 60))
        assert found is not None
        assert found.tolist() == [False, True, True, False, False]

    def test_a_pause_before_a_send_seems_a_service_time_of_about_its_length(self) -> None:
        pauses = paused((10, 90))
        found = pauses.delayed_service(ns(5, 10.2, 10.3, 89.9, 120), ns(91, 10.5, 90.4, 900, 121))
        assert found is not None
        assert found.tolist() == [False, False, True, False, False]

    def test_a_process_that_continued_to_send_was_not_paused_before_a_send(self) -> None:
        """A long turn sends to many connections; each answers after about as long."""
        sent_ms = [10 + number / 10 for number in range(100)]
        pauses = paused((10, 30))
        found = pauses.delayed_service(ns(*sent_ms), ns(*(each_ms + 18 for each_ms in sent_ms)))
        assert found is not None
        assert np.flatnonzero(found).tolist() == [99]

    def test_a_reply_that_was_in_flight_for_a_whole_pause_does_not_show_the_server(
        self,
    ) -> None:
        pauses = paused((100, 120), (500, 2000))
        found = pauses.delayed_service(
            ns(90, 95, 480, 490, 499, 0), ns(121, 97, 2010, 700, 501, 2600)
        )
        assert found is not None
        assert found.tolist() == [False, False, True, False, False, False]

    def test_only_the_pauses_since_the_oldest_of_them_are_examined(self) -> None:
        pauses = Counting()
        for number in range(PAUSES_KEPT):
            pauses.add(*ns(10 * number, 10 * number + 6).tolist())
        sent_ms = 10 * (PAUSES_KEPT - 3)
        sent_ns, read_ns = ns(sent_ms), ns(sent_ms + 5)
        pauses.delayed_reads(sent_ns, read_ns)
        pauses.delayed_service(sent_ns, read_ns)
        pauses.note_arrivals(sent_ns, read_ns)
        pauses.within_ns(int(sent_ns[0]), int(read_ns[0]))
        assert 0 < max(pauses.looked_at) <= 3


class TestServer:
    def seen(self, *messages_ms: tuple[float, float]) -> int:
        """Return for how many milliseconds of a pause of 400 the server was paused, too."""
        pauses = paused((100, 500))
        pauses.note_arrivals(*(ns(*column) for column in zip(*messages_ms, strict=True)))
        return pauses.shared_with_server_ns(MS, START_NS) // MS

    def test_was_paused_too_if_it_answered_nothing_meanwhile(self) -> None:
        assert self.seen((98, 501), (99, 499), (600, 601)) == 400

    def test_was_paused_too_if_it_was_stopped_a_little_later(self) -> None:
        assert self.seen((98, 501), (98, 501), (99, 101)) == 400

    def test_what_was_answered_before_shows_nothing(self) -> None:
        assert self.seen((90, 91), (91, 92), (92, 93), (99, 501)) == 400

    def test_ran_if_it_answered_most(self) -> None:
        assert self.seen((98, 501), (99, 100), (99, 103)) == 0

    def test_nothing_is_known_if_nothing_was_in_flight(self) -> None:
        assert self.seen((98, 99), (501, 502)) == 0

    def test_a_server_that_usually_takes_as_long_was_at_work(self) -> None:
        pauses = paused((100, 500))
        pauses.note_arrivals(ns(98), ns(501))
        assert pauses.shared_with_server_ns(150 * MS, START_NS) == 400 * MS
        assert pauses.shared_with_server_ns(250 * MS, START_NS) == 0

    def test_pauses_of_the_warm_up_do_not_count(self) -> None:
        pauses = paused((100, 500))
        pauses.note_arrivals(ns(98), ns(501))
        assert pauses.shared_with_server_ns(MS, START_NS + 200 * MS) == 0


def test_the_time_between_two_moments_that_was_pauses() -> None:
    pauses = paused((10, 20), (30, 40))
    for (from_ms, until_ms), expected_ms in (
        ((0, 50), 20),
        ((15, 32), 7),
        ((20, 30), 0),
        ((40, 90), 0),
        ((12, 13), 1),
    ):
        assert pauses.within_ns(*ns(from_ms, until_ms).tolist()) == expected_ms * MS
    assert Pauses().within_ns(0, START_NS) == 0


def test_the_latest_pauses_are_kept_and_all_are_added_up() -> None:
    pauses = paused(*((10 * n, 10 * n + 6) for n in range(2 * PAUSES_KEPT)))
    assert pauses.total_ns == 2 * PAUSES_KEPT * 6 * MS
    assert pauses.within_ns(0, START_NS + 20 * PAUSES_KEPT * MS) == PAUSES_KEPT * 6 * MS


class TestRecorder:
    """Two messages of a schedule, the second of them due in a pause of 90 ms."""

    def recorded(self) -> Recorder:
        recorder = Recorder(1)
        recorder.pauses.add(*ns(10, 100).tolist())
        rows = ns(0, 0.1, 2, 20, 100, 103).tolist()
        for intended_ns, sent_ns, read_ns in (rows[:3], rows[3:]):
            recorder.record_send((intended_ns, intended_ns, sent_ns))
            recorder.record((0, 1, intended_ns, sent_ns, 0, read_ns))
        recorder.end_turn(rows[-1], rows[0])
        return recorder

    def test_leaves_the_delayed_message_out_of_what_the_server_is_judged_by(self) -> None:
        times = self.recorded().end_interval(0, 1).times
        assert (times.response.count, times.response.max_ns) == (1, 2 * MS)
        assert (times.delayed_response.count, times.delayed_response.max_ns) == (1, 83 * MS)
        assert times.blocked.max_ns == 0
        assert times.schedule_lag.count == times.generator_lag.count == 1
        assert times.delayed_lag.max_ns == 80 * MS

    def test_keeps_service_times_that_no_pause_has_delayed(self) -> None:
        times = self.recorded().end_interval(0, 1).times
        assert (times.service.count, times.service.max_ns) == (2, 3 * MS)
