"""Datagrams over UDP in an engine whose time stands still until a test moves it."""

import errno
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from datagram_loop import IO_TIMEOUT_NS, MESSAGE, Loop
from datagrams import Holding, UdpPeer

from loadgen.engine.datagrams import AT_ONCE
from loadgen.engine.load_models import OpenLoop, Thinking
from loadgen.engine.rows import SENT_NS, STAMP_NS
from loadgen.net.clock import ManualClock, wall_ns
from loadgen.net.failure import Cause, Failure, Phase


@pytest.fixture
def looped() -> Iterator[Callable[..., Loop]]:
    made: list[Loop] = []

    def make(fate: Any = None, **options: Any) -> Loop:
        peer = UdpPeer(*([] if fate is None else [fate]))
        made.append(Loop(peer, **options))
        made[-1].start()
        return made[-1]

    yield make
    for loop in made:
        loop.served.engine.close()
        loop.dialer.peers[0].close()


def loses(*numbers: int) -> Callable[[int, bytes], tuple[bytes, ...]]:
    return lambda number, datagram: () if number in numbers else (datagram,)


class TestTimeouts:
    def test_lose_the_message_and_keep_the_connection(self, looped: Callable[..., Loop]) -> None:
        loop = looped(loses(0), messages=3)
        loop.settle()
        assert loop.books == (1, 0, 0, 0, 1)
        loop.expire()
        assert loop.books == (3, 2, 1, 0, 0)
        assert (loop.connection.connects, loop.recorder.failures) == (1, {})
        assert loop.served.engine.pool.is_finished

    def test_count_from_the_send_of_each(self, looped: Callable[..., Loop]) -> None:
        loop = looped(loses(1, 3), messages=4, pipeline=2)
        loop.settle()
        assert loop.books == (4, 2, 0, 0, 2)
        loop.sleep(IO_TIMEOUT_NS - 1)
        loop.settle()
        assert loop.books == (4, 2, 0, 0, 2)
        loop.sleep(2)
        loop.settle()
        assert loop.books == (4, 2, 2, 0, 0)

    def test_lose_nothing_that_lies_in_the_socket(self, looped: Callable[..., Loop]) -> None:
        """More than one event reads: this process is late, and not the server."""
        many = 3 * AT_ONCE
        loop = looped(loses(many - 1), messages=many, pipeline=many)
        for _ in range(2):
            loop.served.engine.turn(0)
        loop.dialer.peers[0].serve()
        loop.expire()
        assert loop.books == (many, many - 1, 1, 0, 0)

    def test_do_not_count_pauses_of_this_process(self, looped: Callable[..., Loop]) -> None:
        loop = looped(loses(0), messages=2)
        loop.settle()
        loop.clock.advance(IO_TIMEOUT_NS + 1)  # and nobody says that it slept
        loop.settle()
        assert loop.books == (1, 0, 0, 0, 1)
        loop.expire()
        assert loop.books == (2, 1, 1, 0, 0)

    def test_of_a_reply_make_the_later_one_late(self, looped: Callable[..., Loop]) -> None:
        loop = looped(Holding([0]), messages=3)
        loop.settle()
        loop.expire()
        assert loop.books == (3, 2, 0, 1, 0)
        assert len(loop.recorder.rows) == 2  # the late one has no time

    def test_free_a_place_in_the_schedule(self, looped: Callable[..., Loop]) -> None:
        clock = ManualClock(1000)
        schedule = OpenLoop([0, 1], clock)
        loop = looped(loses(0), model=schedule, clock=clock)
        loop.settle()
        assert loop.books == (1, 0, 0, 0, 1)
        loop.expire()
        assert loop.books == (2, 1, 1, 0, 0)

    def test_begin_the_think_time(self, looped: Callable[..., Loop]) -> None:
        clock = ManualClock(1000)
        loop = looped(loses(0), model=Thinking(lambda _: 500, clock), clock=clock, messages=2)
        loop.settle()
        loop.expire()
        assert loop.books == (1, 0, 1, 0, 0)
        clock.advance(500)
        loop.settle()
        assert loop.books == (2, 1, 1, 0, 0)

    def test_end_the_drain(self, looped: Callable[..., Loop]) -> None:
        loop = looped(loses(0))
        loop.settle()
        loop.served.engine.pool.drain()
        loop.settle()
        assert not loop.served.engine.pool.is_finished
        loop.expire()
        assert loop.books == (1, 0, 1, 0, 0)
        assert loop.served.engine.pool.is_finished


class TestReplies:
    def test_that_come_twice_or_overtake_are_counted(self, looped: Callable[..., Loop]) -> None:
        def fate(number: int, datagram: bytes) -> tuple[bytes, ...]:
            return (datagram,) * (3 if number == 1 else 1)

        loop = looped(fate, messages=3)
        loop.settle()
        assert loop.books == (3, 3, 0, 0, 0)
        assert loop.tally.duplicates == 2
        loop = looped(Holding([0, 3]), messages=5, pipeline=5)
        loop.settle()
        assert loop.books == (5, 5, 0, 0, 0)
        assert loop.tally.reordered == 2

    def test_have_the_kernels_time_each(self, looped: Callable[..., Loop]) -> None:
        loop = looped(clock=wall_ns, stamp_every=2, messages=6, pipeline=3)
        loop.served.turn_until(lambda: loop.served.engine.pool.is_finished)
        stamps = [row[STAMP_NS] for row in loop.recorder.rows]
        assert [stamp > 0 for stamp in stamps] == [True, False] * 3
        assert all(row[SENT_NS] <= row[STAMP_NS] for row in loop.recorder.rows[::2])

    def test_have_the_jitter_of_the_rfc(self, looped: Callable[..., Loop]) -> None:
        """RFC 3550, A.8, by hand: transits of 160, 320 and 320 ns."""
        loop = looped()
        jitters: list[int | None] = []
        for transit_ns in (160, 320, 320):
            loop.served.engine.turn(0)
            loop.dialer.peers[0].serve()
            loop.clock.advance(transit_ns)
            loop.served.engine.turn(0)
            jitters.append(loop.channel.jitter_ns)
        assert jitters == [None, 160 // 16, (160 - ((160 + 8) >> 4)) // 16]


class TestRefusals:
    def test_by_the_peer_fail_the_connection(self, looped: Callable[..., Loop]) -> None:
        loop = looped(messages=5, pipeline=2)
        loop.dialer.peers[0].close()
        loop.served.engine.turn(0)
        loop.served.engine.turn(0)
        refused = Failure(Phase.RECEIVE, Cause.REFUSED)
        assert {each: seen.count for each, seen in loop.recorder.failures.items()} == {refused: 1}
        assert loop.connection.back_off_ns > 0
        assert loop.channel.unanswered == loop.channel.counts()[0]

    @pytest.mark.parametrize("reply", ["fixed:21", "none"])
    def test_that_a_datagram_meets_for_an_earlier_one_do_not_keep_it_here(
        self, looped: Callable[..., Loop], reply: str
    ) -> None:
        loop = looped(messages=3, reply=reply)
        loop.socket.refuses = errno.ECONNREFUSED
        loop.served.engine.turn(0)
        loop.dialer.peers[0].serve()
        refused = Failure(Phase.RECEIVE, Cause.REFUSED)
        assert {each: seen.count for each, seen in loop.recorder.failures.items()} == {refused: 1}
        submitted, answered, bytes_sent, _ = loop.channel.counts()
        assert loop.dialer.peers[0].received == submitted == 1
        assert bytes_sent == len(MESSAGE)
        assert answered == (1 if reply == "none" else 0)

    @pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOBUFS])
    def test_by_this_machine_are_waited_for_in_a_closed_loop(
        self, looped: Callable[..., Loop], number: int
    ) -> None:
        loop = looped(messages=2)
        loop.socket.refuses = number
        loop.settle()
        assert loop.books == (0, 0, 0, 0, 0)
        loop.socket.refuses = 0
        loop.settle()
        assert loop.books == (2, 2, 0, 0, 0)
        assert loop.tally.send_refused == 0

    @pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOBUFS])
    def test_by_this_machine_stand_apart_in_an_open_loop(
        self, looped: Callable[..., Loop], number: int
    ) -> None:
        clock = ManualClock(1000)
        loop = looped(model=OpenLoop([0, 1, 2], clock), clock=clock)
        loop.socket.refuses = number
        loop.settle()
        loop.socket.refuses = 0
        clock.advance(5)
        loop.settle()
        assert loop.books == (3, 2, 0, 0, 0)
        assert loop.tally.send_refused == loop.channel.unanswered == 1

    @pytest.mark.parametrize("reply", ["fixed:21", "none"])
    def test_of_a_datagram_that_is_too_long_are_this_machines(
        self, looped: Callable[..., Loop], reply: str
    ) -> None:
        loop = looped(reply=reply)
        loop.socket.refuses = errno.EMSGSIZE
        loop.settle()
        [failure] = loop.recorder.failures
        assert failure == Failure(Phase.SEND, Cause.DATAGRAM_TOO_LONG)
        assert failure.cause.is_local
        assert loop.books == (1, 0, 0, 0, 0)


def test_what_finds_the_receive_buffer_full_is_counted(looped: Callable[..., Loop]) -> None:
    """By the kernel, for this socket alone: those that the peer's has dropped are not ours."""
    many = 600
    loop = looped(messages=many, pipeline=many, receive_buffer_bytes=4096)
    loop.settle()
    submitted, answered, _, _, in_flight = loop.books
    received_by_peer = loop.dialer.peers[0].received
    assert submitted == many
    assert loop.channel.dropped == received_by_peer - answered > 0
    assert in_flight == many - answered
    loop.expire()
    assert loop.tally.lost == in_flight
    assert loop.channel.dropped == received_by_peer - answered  # as before, with the socket gone
