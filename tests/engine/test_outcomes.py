"""Decoders that say more than that a reply is whole: rejections, answers, news, an orderly end."""

import contextlib
import select
import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from outcomes import Rejecting
from stepped_engine import (
    DEADLINE_S,
    MS,
    NOTHING,
    READ,
    READ_AND_WRITE,
    SECOND,
    START_NS,
    MakeModel,
    SteppedEngine,
    Tapped,
    Wire,
    conversation,
    schedule,
)

from loadgen.engine.connection import LONG_ENOUGH_NS
from loadgen.engine.conversation import Conversation, GreetingStep, Window
from loadgen.engine.lifecycle import Event, State
from loadgen.engine.load_models import Thinking
from loadgen.engine.timeouts import ConnectionPolicy
from loadgen.net.backends import TURN_EVENTS
from loadgen.net.failure import Cause, Failure, Phase
from loadgen.net.transport import WRITE
from loadgen.plan.payloads import PayloadQueue

REJECTED = Failure(Phase.REPLY, Cause.REJECTED)
PAYLOADS = (b"one\r\n", b"two\r\n", b"three\r\n")


def lines(
    *payloads: bytes, pipeline: int = 1, messages: int | None = None, at_once: int | None = None
) -> Conversation:
    window = Window(pipeline, pipeline if at_once is None else at_once)
    return Conversation(PayloadQueue(payloads or (b"one\r\n",)), Rejecting(), window, (), messages)


def thinking(pause_ns: int) -> MakeModel:
    """Return what makes a closed loop with that think time."""
    return lambda clock, recorder: Thinking(lambda _: pause_ns, clock)


class Gate:
    """A real socket that can be made to accept nothing."""

    def __init__(self, inner: socket.socket) -> None:
        self.is_shut = False
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def send(self, data: bytes | memoryview) -> int:
        if self.is_shut:
            raise BlockingIOError
        return self._inner.send(data)


class TestRejections:
    def test_are_replies_with_a_time_and_are_counted_by_cause(self) -> None:
        with Wire(lines(messages=2)) as wire:
            wire.begin()
            wire.clock.advance(5)
            assert wire.reply(b"-ERR no\r\n")
            assert wire.rows[-1][1:] == (1, 0, 1000, 0, 1005)
            assert wire.rejected == [REJECTED]
            wire.channel.transmit()
            assert wire.reply(b"OK\r\n")
            assert wire.rejected == [REJECTED]
            assert (wire.connection.submitted, wire.connection.answered) == (2, 2)

    def test_of_several_replies_in_one_read_are_counted_each(self) -> None:
        with Wire(lines(pipeline=4)) as wire:
            wire.begin()
            wire.reply(b"-ERR\r\nOK\r\n-ERR\r\nOK\r\n")
            assert wire.rejected == [REJECTED] * 2
            assert wire.connection.answered == 4

    def test_are_counted_with_their_replies_also_where_the_connection_breaks(self) -> None:
        """An answer to the server cannot be sent, since it has closed with bytes unread."""
        with SteppedEngine() as stepped:
            [connection] = stepped.open(1, lines(pipeline=4))
            stepped.start()
            [peer] = stepped.peers
            peer.sendall(b"-ERR\r\n-ERR\r\nPING\r\n")
            peer.close()
            stepped.turn_until(lambda: connection.failures > 0)
            assert stepped.recorder.rejected[REJECTED].count == connection.answered == 2
            assert (connection.submitted, connection.messages.unanswered) == (4, 2)

    def test_are_counted_by_the_recorder_while_the_connection_goes_on(self) -> None:
        with SteppedEngine() as stepped:
            [connection] = stepped.open(1, lines(messages=3))
            stepped.start()
            for answer in (b"-ERR\r\n", b"OK\r\n", b"-ERR\r\n"):
                stepped.answer(connection, answer)
            stepped.turn_until(lambda: stepped.engine.pool.is_finished)
            assert stepped.recorder.rejected[REJECTED].count == 2
            assert stepped.failures() == {}
            assert (connection.connects, connection.failures, connection.answered) == (1, 0, 3)
            assert stepped.times().user_space.count == 3


class TestAnswersToTheServer:
    def test_are_sent_at_once_and_are_no_messages(self) -> None:
        with Wire(lines(messages=1)) as wire:
            wire.begin()
            assert wire.peer.recv(64) == b"one\r\n"
            assert not wire.reply(b"PING\r\nPI")
            assert wire.peer.recv(64) == b"PONG\r\n"
            assert not wire.reply(b"NG\r\n")
            assert wire.peer.recv(64) == b"PONG\r\n"
            assert wire.reply(b"OK\r\n")
            assert (wire.connection.submitted, wire.connection.answered) == (1, 1)
            assert (wire.connection.bytes_sent, wire.connection.bytes_received) == (17, 16)

    def test_wait_behind_a_message_that_was_sent_in_part(self) -> None:
        big = b"b" * 4_000_000 + b"\r\n"
        with Wire(lines(big, messages=1), 4096) as wire:
            wire.begin()
            assert not wire.reply(b"PING\r\n")
            assert wire.channel.interest == READ_AND_WRITE
            received = b""
            wire.peer.settimeout(0)
            while len(received) < len(big) + 6:
                try:
                    received += wire.peer.recv(65536)
                except BlockingIOError:
                    wire.channel.handle(bytearray(1), WRITE)
            assert received == big + b"PONG\r\n"
            assert wire.connection.bytes_sent == len(received)

    def test_do_not_end_a_think_time(self) -> None:
        with SteppedEngine(model=thinking(5 * MS)) as stepped:
            [connection] = stepped.open(1, lines(messages=2))
            stepped.start()
            stepped.answer(connection, b"OK\r\n")
            stepped.answer(connection, b"PING\r\n")
            stepped.turn_at(5 * MS - 1)
            assert connection.submitted == 1
            stepped.turn_at(5 * MS)
            assert connection.submitted == 2
            assert stepped.peer_of(connection).recv(64) == b"one\r\nPONG\r\none\r\n"

    def test_do_not_end_a_think_time_where_they_have_to_wait(self) -> None:
        gates: list[Gate] = []

        def gated(family: int, kind: int) -> Gate:
            gates.append(Gate(socket.socket(family, kind)))
            return gates[-1]

        with SteppedEngine(model=thinking(5 * MS), factory=gated) as stepped:
            [connection] = stepped.open(1, lines(messages=2))
            stepped.start()
            stepped.answer(connection, b"OK\r\n")
            gates[0].is_shut = True
            stepped.answer(connection, b"PING\r\n")
            assert connection.channel.interest == READ_AND_WRITE
            gates[0].is_shut = False
            stepped.turn_at(5 * MS - 1)
            assert connection.channel.interest == READ
            assert connection.submitted == 1
            stepped.turn_at(5 * MS)
            assert stepped.peer_of(connection).recv(64) == b"one\r\nPONG\r\none\r\n"


class TestNews:
    def test_may_come_with_nothing_in_flight(self) -> None:
        with SteppedEngine(model=schedule(0, 5 * MS)) as stepped:
            [connection] = stepped.open(1, lines())
            stepped.start()
            stepped.answer(connection, b"OK\r\n")
            stepped.answer(connection, b"+new")
            stepped.answer(connection, b"s\r\n")
            assert stepped.failures() == {}
            stepped.turn_at(5 * MS)
            assert (connection.submitted, connection.answered) == (2, 1)


class TestAnOrderlyEnd:
    @pytest.mark.parametrize("payloads", [PAYLOADS[:1], PAYLOADS], ids=["steady", "general"])
    def test_is_followed_by_a_new_connection_at_once(self, payloads: tuple[bytes, ...]) -> None:
        with SteppedEngine() as stepped:
            [connection] = stepped.open(1, lines(*payloads, messages=3))
            stepped.start()

            def has_sent(count: int) -> bool:
                return connection.submitted == len(stepped.peers) == count

            for number in range(3):
                sent = payloads[number % len(payloads)]
                stepped.turn_until(partial(has_sent, number + 1))
                assert stepped.peers[number].recv(64) == sent
                stepped.peers[number].sendall(b"OK bye\r\n")
            stepped.turn_until(lambda: stepped.engine.pool.is_finished)
            assert stepped.failures() == {}
            assert (connection.connects, connection.failures, connection.answered) == (3, 0, 3)
            assert connection.state is State.CLOSED

    def test_sends_what_was_in_flight_again_in_the_same_order(self) -> None:
        with SteppedEngine() as stepped:
            [connection] = stepped.open(1, lines(*PAYLOADS, pipeline=3, messages=6))
            stepped.start()
            assert stepped.peers[0].recv(64) == b"".join(PAYLOADS)
            stepped.peers[0].sendall(b"OK bye\r\n")
            stepped.turn_until(lambda: len(stepped.peers) == 2 and connection.in_flight == 3)
            assert stepped.peers[1].recv(64) == b"two\r\nthree\r\none\r\n"
            assert (connection.submitted, connection.answered) == (4, 1)
            stepped.peers[1].sendall(b"OK\r\n" * 3)
            stepped.turn_until(lambda: connection.in_flight == 2)
            stepped.peers[1].sendall(b"OK\r\n" * 2)
            stepped.turn_until(lambda: stepped.engine.pool.is_finished)
            assert (connection.submitted, connection.answered) == (6, 6)
            assert connection.messages.unanswered == 0
            assert stepped.failures() == {}

    def test_leaves_each_message_of_a_schedule_its_intended_time(self) -> None:
        offsets_ns = (0, MS, 2 * MS)
        with SteppedEngine(model=schedule(*offsets_ns)) as stepped:
            [connection] = stepped.open(1, lines(*PAYLOADS, pipeline=3, at_once=1))
            stepped.start()
            for offset_ns in offsets_ns:
                stepped.turn_at(offset_ns)
            assert connection.in_flight == 3
            stepped.clock.now_ns = START_NS + 10 * MS
            stepped.peers[0].sendall(b"OK bye\r\n")
            stepped.turn_until(lambda: len(stepped.peers) == 2 and connection.in_flight == 2)
            assert stepped.peers[1].recv(64) == b"two\r\nthree\r\n"
            stepped.peers[1].sendall(b"OK\r\n" * 2)
            stepped.turn_until(lambda: connection.answered == 3)
            response = stepped.times().response
            assert (response.count, response.max_ns) == (3, 10 * MS)
            assert response.sum_ns == (10 + 9 + 8) * MS

    def test_of_a_connection_that_drains_leaves_the_rest_unanswered(self) -> None:
        with SteppedEngine() as stepped:
            [connection] = stepped.open(1, lines(pipeline=3))
            stepped.start()
            stepped.engine.pool.drain()
            stepped.peers[0].sendall(b"OK bye\r\n")
            stepped.turn_until(lambda: stepped.engine.pool.is_finished)
            assert (connection.submitted, connection.answered) == (3, 1)
            assert (connection.messages.unanswered, stepped.engine.pool.cut_off) == (2, 2)
            assert connection.connects == 1

    def test_leaves_unanswered_what_is_cancelled_before_it_was_sent_again(self) -> None:
        with Wire(lines(pipeline=3)) as wire:
            wire.begin()
            wire.reply(b"OK bye\r\n")
            assert wire.channel.transmit() == NOTHING
            wire.channel.take_back()
            wire.connection.close(Event.CLOSE)
            assert wire.channel.has_more
            wire.channel.revoke()
            assert (wire.connection.submitted, wire.connection.answered) == (3, 1)
            assert wire.channel.unanswered == 2
            assert not wire.channel.has_more

    def test_loses_what_cannot_be_sent_again_since_nothing_listens_any_more(self) -> None:
        with SteppedEngine() as stepped:
            lost: list[int] = []
            stepped.engine.pool.when_ended = lambda connection, failure, count: lost.append(count)
            [connection] = stepped.open(1, lines(pipeline=3))
            stepped.start()
            stepped.listener.close()
            stepped.peers[0].sendall(b"OK bye\r\n")
            stepped.turn_until(lambda: connection.state is State.FAILED)
            assert lost == [0, 2]
            assert (connection.submitted, connection.answered) == (3, 1)
            assert (connection.messages.unanswered, stepped.engine.pool.cut_off) == (2, 0)

    def test_leaves_the_rest_cut_off_where_the_run_ends_before_it_is_renewed(self) -> None:
        with SteppedEngine(ConnectionPolicy(connect_interval_ns=SECOND)) as stepped:
            [connection] = stepped.open(1, lines(pipeline=3))
            stepped.start()
            stepped.peers[0].sendall(b"OK bye\r\n")
            stepped.turn_until(lambda: connection.state is State.CLOSED)
            stepped.engine.pool.drain()
            assert stepped.engine.pool.is_finished
            assert (connection.submitted, connection.answered) == (3, 1)
            assert (connection.messages.unanswered, stepped.engine.pool.cut_off) == (2, 2)

    @pytest.mark.parametrize("ending", [b"OK bye\r\n", b""], ids=["announced", "at the end"])
    def test_leaves_the_think_time_to_the_next_connection(self, ending: bytes) -> None:
        talk = lines() if ending else conversation(b"one", reply="eof")
        with SteppedEngine(model=thinking(5 * MS)) as stepped:
            [connection] = stepped.open(1, talk)
            stepped.start()
            stepped.peers[0].sendall(ending or b"a page")
            stepped.peers[0].shutdown(socket.SHUT_WR)
            stepped.turn_until(lambda: connection.connects == 2)
            assert connection.answered == 1
            stepped.turn_at(5 * MS - 1)
            assert connection.submitted == 1
            stepped.turn_at(5 * MS)
            assert connection.submitted == 2

    def test_within_a_think_time_does_not_end_that(self) -> None:
        with SteppedEngine(model=thinking(5 * MS)) as stepped:
            [connection] = stepped.open(1, lines())
            stepped.start()
            stepped.answer(connection, b"OK\r\n")
            stepped.turn_at(MS)
            stepped.peers[0].sendall(b"+idle bye\r\n")
            stepped.turn_until(lambda: connection.connects == 2)
            stepped.turn_at(5 * MS - 1)
            assert connection.submitted == 1
            stepped.turn_at(5 * MS)
            assert connection.submitted == 2
            assert stepped.failures() == {}

    def test_of_a_connection_that_was_of_no_use_is_a_failure(self) -> None:
        """Otherwise a server that ends each connection at once would be connected to for ever."""
        with SteppedEngine(ConnectionPolicy(reconnect=True)) as stepped:
            [connection] = stepped.open(1, lines(pipeline=2, messages=2))
            stepped.start()
            for number in range(3):
                stepped.turn_until(partial(has_peers, stepped, number + 1))
                stepped.peers[number].sendall(b"+go away bye\r\n")
                stepped.turn_until(lambda: connection.state is State.FAILED)
                assert connection.messages.unanswered == 0  # they are sent again
                stepped.clock.advance(connection.back_off_ns)
            stepped.turn_until(partial(has_peers, stepped, 4))
            stepped.turn_until(lambda: connection.in_flight == 2)
            stepped.peers[3].sendall(b"OK\r\n" * 2)
            stepped.turn_until(lambda: stepped.engine.pool.is_finished)
            assert stepped.failures() == {(Phase.RECEIVE, Cause.CLOSED): 3}
            assert (connection.submitted, connection.answered, connection.connects) == (2, 2, 4)

    def test_of_an_idle_connection_is_none(self) -> None:
        with SteppedEngine(model=schedule(SECOND)) as stepped:
            [connection] = stepped.open(1, lines())
            stepped.start()
            stepped.turn_at(LONG_ENOUGH_NS)
            stepped.peers[0].sendall(b"+idle bye\r\n")
            stepped.turn_until(lambda: connection.connects == 2)
            assert stepped.failures() == {}

    @pytest.mark.parametrize("pipeline", [2, 32])
    def test_is_none_where_the_server_has_read_only_some_of_what_was_sent(
        self, pipeline: int
    ) -> None:
        """It answers the first and closes with bytes unread, which resets the connection."""
        big = b"b" * 300_000 + b"\r\n"
        with SteppedEngine(ConnectionPolicy(reconnect=True)) as stepped:
            [connection] = stepped.open(1, lines(big, pipeline=pipeline))
            stepped.start()
            [peer] = stepped.peers
            assert peer.recv(1000)
            peer.sendall(b"OK bye\r\n")
            peer.close()
            stepped.turn_until(lambda: connection.connects == 2)
            assert stepped.failures() == {}
            assert (connection.answered, connection.messages.unanswered) == (1, 0)

    def test_may_be_answered_and_that_need_not_succeed(self) -> None:
        with SteppedEngine() as stepped:
            [connection] = stepped.open(1, lines(messages=2))
            stepped.start()
            [peer] = stepped.peers
            peer.sendall(b"PING\r\nOK bye\r\n")  # both in one read
            peer.close()
            stepped.turn_until(lambda: connection.connects == 2)
            assert stepped.failures() == {}
            assert connection.answered == 1

    def test_does_not_wait_behind_many_that_are_to_begin(self) -> None:
        with SteppedEngine() as stepped:
            stepped.open(3 * TURN_EVENTS, lines())
            stepped.clock.advance(LONG_ENOUGH_NS)
            stepped.engine.start()
            for peer in stepped.peers:
                peer.sendall(b"+bye bye\r\n")
            stepped.engine.turn(0)
            assert stepped.engine.pool.closed == TURN_EVENTS

    def test_leaves_what_code_has_made_unanswered(self) -> None:
        """It cannot be sent again: the code would make another message."""
        with SteppedEngine(ConnectionPolicy(reconnect=True)) as stepped:
            made = Conversation(Made(), Rejecting(), Window(3, 3), (), 6)
            [connection] = stepped.open(1, made)
            stepped.start()
            stepped.peers[0].sendall(b"OK bye\r\n")
            stepped.turn_until(lambda: connection.failures > 0)
            assert stepped.failures() == {(Phase.RECEIVE, Cause.CLOSED): 1}
            assert (connection.answered, connection.messages.unanswered) == (1, 2)

    def test_of_a_schedule_sends_again_before_anything_new(self) -> None:
        big = b"b" * 6_000_000 + b"\r\n"
        with SteppedEngine(model=schedule(0, 0, 0, SECOND)) as stepped:
            [connection] = stepped.open(1, lines(big, pipeline=4, at_once=1))
            stepped.start()
            stepped.turn_until(reading(stepped.peers[0], 3 * len(big)))
            stepped.peers[0].sendall(b"OK bye\r\n")
            stepped.turn_until(lambda: len(stepped.peers) == 2)
            stepped.turn_until(reading(stepped.peers[1], 2 * len(big)))
            assert (connection.submitted, connection.in_flight) == (3, 2)
            assert not connection.messages.has_to_resend

    def test_behind_the_greeting_ends_it_once(self) -> None:
        greeting = (GreetingStep(b"", Rejecting()),)
        talk = Conversation(PayloadQueue((b"one\r\n",)), Rejecting(), Window(5, 1), greeting)
        with SteppedEngine(ConnectionPolicy(reconnect=True), model=schedule(0, 0, 0)) as stepped:
            [connection] = stepped.engine.add(talk)
            stepped.turn_until(partial(has_peers, stepped, 1))
            stepped.peers[0].sendall(b"hi\r\n")
            stepped.turn_until(lambda: connection.is_up)
            stepped.start()
            assert connection.in_flight == 3
            stepped.peers[0].sendall(b"OK bye\r\n")
            stepped.turn_until(partial(has_peers, stepped, 2))
            stepped.peers[1].sendall(b"hi\r\n+go away bye\r\n")
            stepped.turn_until(lambda: connection.state is State.FAILED)
            assert (connection.submitted, connection.answered) == (3, 1)
            assert connection.messages.has_to_resend

    def test_met_by_what_is_sent_again_ends_it_once(self) -> None:
        """The server answers and resets before the message is sent: the send fails."""
        made: list[socket.socket] = []

        def hang_up(ours: socket.socket, call: str) -> None:
            if call == "send" and made.index(ours) == 1:
                stepped.accept()
                peer = stepped.peers[1]
                peer.sendall(b"OK bye\r\n")
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                peer.close()
                broken = select.poll()
                broken.register(ours, 0)
                assert broken.poll(DEADLINE_S * 1000)

        def tapped(family: int, kind: int) -> Tapped:
            made.append(socket.socket(family, kind))
            return Tapped(made[-1], partial(hang_up, made[-1]))

        with SteppedEngine(factory=tapped, model=schedule(0, 0)) as stepped:
            [connection] = stepped.open(1, lines(pipeline=2, at_once=1))
            stepped.start()
            assert connection.in_flight == 2
            stepped.peers[0].sendall(b"OK bye\r\n")
            stepped.turn_until(lambda: connection.connects == 3)
            assert stepped.failures() == {}
            assert (connection.submitted, connection.answered) == (2, 2)

    def test_before_the_load_has_begun_costs_no_think_time(self) -> None:
        with SteppedEngine(model=thinking(SECOND)) as stepped:
            [connection] = stepped.open(1, lines())
            stepped.clock.advance(LONG_ENOUGH_NS)
            stepped.peers[0].sendall(b"+idle bye\r\n")
            stepped.turn_until(lambda: connection.connects == 2)
            stepped.turn_until(lambda: connection.is_up)
            stepped.start()
            assert connection.submitted == 1

    def test_counts_each_message_once_all_the_time(self) -> None:
        """What was taken back has been submitted: no count ever falls."""
        with SteppedEngine(ConnectionPolicy(connect_interval_ns=SECOND)) as stepped:
            [connection] = stepped.open(1, lines(pipeline=3))
            stepped.start()
            stepped.peers[0].sendall(b"OK bye\r\n")
            stepped.turn_until(lambda: connection.messages.has_to_resend)
            assert (connection.submitted, connection.answered, connection.in_flight) == (3, 1, 0)


def reading(peer: socket.socket, size: int) -> Callable[[], bool]:
    """Return what reads what there is, and returns whether that was ``size`` bytes by now."""
    peer.settimeout(0)
    received = bytearray()

    def has_read() -> bool:
        with contextlib.suppress(BlockingIOError):
            received.extend(peer.recv(2**20))
        return len(received) >= size

    return has_read


def has_peers(stepped: SteppedEngine, count: int) -> bool:
    return len(stepped.peers) >= count


class Made:
    """Payloads that code makes as they are sent."""

    items: tuple[bytes, ...] = ()
    repeats_bytes = False

    def batch(self, position: int, count: int) -> tuple[bytes, tuple[int, ...]]:
        return b"one\r\n" * count, (5,) * count
