"""Kinds of replies, replies in parts, and messages of which only the reply tells its length."""

import errno
import socket
from functools import partial
from typing import Any

import pytest
from outcomes import Statuses
from stepped_engine import NOTHING, SECOND, SteppedEngine, Wire, schedule

from loadgen.engine.connection import LONG_ENOUGH_NS, Connection
from loadgen.engine.conversation import Conversation, Window
from loadgen.engine.fast_path import NO_BATCH
from loadgen.engine.lifecycle import Event
from loadgen.engine.receiving import IDLE_END_NS
from loadgen.engine.recorder import Recorder
from loadgen.engine.rows import INDEX_MASK, KIND_SHIFT, origin_of
from loadgen.net.clock import WallClock
from loadgen.net.failure import Cause, ConnectionFailed, Failure, Phase
from loadgen.net.protocols import Delimiter, Echo, Once
from loadgen.net.protocols.http import Http
from loadgen.net.timestamps import MISSING
from loadgen.plan.payloads import PayloadQueue

GET = b"get\r\n"


def statuses(
    *payloads: bytes, pipeline: int = 1, at_once: int | None = None, messages: int | None = None
) -> Conversation:
    window = Window(pipeline, pipeline if at_once is None else at_once)
    return Conversation(PayloadQueue(payloads or (GET,)), Statuses(), window, (), messages)


def requests(method: str, fails: frozenset[int] = frozenset()) -> Conversation:
    request = f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    return Conversation(PayloadQueue((request,)), Http(method, fails))


def once() -> Conversation:
    return Conversation(PayloadQueue((GET,)), Once(Http("GET")))


def kinds(wire: Wire) -> list[tuple[int, int]]:
    """Return the kinds of the replies that were recorded, and how many there were."""
    return [(row[0] >> KIND_SHIFT, row[1]) for row in wire.rows]


class TestKinds:
    def test_stand_in_the_rows_of_their_replies(self) -> None:
        with Wire(statuses(messages=2)) as wire:
            wire.begin()
            wire.reply(b"200\r\n")
            wire.channel.transmit()
            wire.reply(b"404\r\n")
            assert kinds(wire) == [(200, 1), (404, 1)]
            assert {row[0] & INDEX_MASK for row in wire.rows} == {0}
            wire.check_balance()

    def test_of_replies_in_one_read_are_told_apart_in_their_order(self) -> None:
        with Wire(statuses(pipeline=5)) as wire:
            wire.begin()
            wire.reply(b"200\r\n200\r\n500\r\n200\r\n")
            assert kinds(wire) == [(200, 2), (500, 1), (200, 1)]
            assert wire.connection.in_flight == 1

    def test_are_counted_with_service_times_by_class(self) -> None:
        recorder = Recorder(2)
        for status, service_ns in ((200, 10), (204, 30), (503, 5), (0, 1)):
            origin = origin_of(3, 1) | status << KIND_SHIFT
            recorder.record((origin, 1, 0, 1000, 0, 1000 + service_ns))
        recorder.end_interval(0, SECOND)
        tally = recorder.times.kinds
        assert tally.counts == {200: 1, 204: 1, 503: 1}
        assert {each: (it.count, it.max_ns) for each, it in tally.classes.items()} == {
            2: (2, 30),
            5: (1, 5),
        }
        assert recorder.by_connection().replies.tolist() == [0, 4]

    def test_leave_the_warm_up_out(self) -> None:
        recorder = Recorder(1)
        recorder.record((404 << KIND_SHIFT, 1, 0, 1, 0, 2))
        recorder.end_interval(0, SECOND)
        recorder.begin_measuring(SECOND)
        recorder.record((200 << KIND_SHIFT, 1, 0, SECOND, 0, SECOND + 1))
        recorder.end_interval(SECOND, 2 * SECOND)
        assert recorder.times.kinds.counts == {200: 1}


class TestParts:
    def test_are_recorded_with_the_first_and_the_last_read(self) -> None:
        with Wire(statuses()) as wire:
            wire.begin()
            for data in (b"2", b"00", b"\r\n"):
                wire.clock.advance(5)
                wire.reply(data)
            assert wire.parts == [(1000, 0, 1005, 0, 1015)]
            assert wire.rows[-1][3:] == (1000, 0, 1015)

    def test_of_a_pipeline_belong_to_the_reply_that_had_begun(self) -> None:
        with Wire(statuses(pipeline=3)) as wire:
            wire.begin()
            for data in (b"200\r\n2", b"00\r\n40", b"4\r\n"):
                wire.clock.advance(5)
                wire.reply(data)
            assert wire.parts == [(1000, 0, 1005, 0, 1010), (1000, 0, 1010, 0, 1015)]
            assert kinds(wire) == [(200, 1), (200, 1), (404, 1)]

    @pytest.mark.parametrize("is_stamped", [True, False])
    def test_have_two_times_and_count_only_where_both_are_known(self, is_stamped: bool) -> None:
        wall = 10 * SECOND
        clock = WallClock(lambda: 0, lambda: wall) if is_stamped else None
        recorder = Recorder(1, clock)
        recorder.record_parts((100, wall + 150, 200, wall + 350, 400))
        recorder.record_parts((100, MISSING, 200, wall + 350, 400))
        recorder.end_interval(0, SECOND)
        first, last = recorder.times.first_part, recorder.times.last_part
        expected = (1, 50, 250) if is_stamped else (2, 100, 300)
        assert (first.count, first.max_ns, last.max_ns) == expected
        assert last.count == first.count

    def test_there_are_none_where_a_connection_begins_again(self) -> None:
        with Wire(statuses()) as wire:
            wire.begin()
            wire.reply(b"20")
            wire.connection.close(Event.FAIL)
            wire.peer.close()
            wire.come_up()
            wire.begin()
            wire.reply(b"200\r\n")
            assert wire.parts == []


class TestTheFastPath:
    def test_sends_what_only_the_reply_tells_the_length_of(self) -> None:
        framings = (Statuses(), Delimiter(b"\n"), Echo(verify=True))
        queue = PayloadQueue((GET,))
        batches = [Conversation(queue, framing).batch for framing in framings]
        assert [(batch.data, batch.reply_bytes) for batch in batches[:2]] == [(GET, NO_BATCH)] * 2
        assert batches[2].data == b"", "its decoder must know each message"

    def test_counts_bytes_and_messages_as_the_general_path_does(self) -> None:
        with Wire(statuses(messages=3)) as wire, Wire(statuses(GET, GET, messages=3)) as general:
            for each in (wire, general):
                each.begin()
                for reply in (b"200\r\n", b"40", b"4\r\n"):
                    if each.reply(reply):
                        each.channel.transmit()
                assert each.channel.counts() == (3, 2, 3 * len(GET), 10)
                each.check_balance()


class TestAnEndBeforeTheReply:
    """The server has closed while the connection was idle, and the message met that."""

    def test_sends_the_message_again_on_a_new_connection(self) -> None:
        with SteppedEngine() as stepped:
            [connection] = stepped.open(1, statuses(messages=2))
            stepped.start()
            assert stepped.peers[0].recv(64) == GET
            stepped.peers[0].sendall(b"200\r\n")
            stepped.turn_until(lambda: connection.submitted == 2)
            stepped.peers[0].shutdown(socket.SHUT_WR)
            stepped.turn_until(lambda: len(stepped.peers) == 2 and connection.in_flight == 1)
            assert stepped.peers[1].recv(64) == GET
            stepped.peers[1].sendall(b"200\r\n")
            stepped.turn_until(lambda: stepped.engine.pool.is_finished)
            pool = stepped.engine.pool
            assert (pool.renewed, pool.resent, connection.answered) == (1, 1, 2)
            assert stepped.failures() == {}

    def test_is_a_failure_of_a_connection_that_never_answered(self) -> None:
        with SteppedEngine() as stepped:
            [connection] = stepped.open(1, statuses(messages=2))
            stepped.start()
            stepped.peers[0].shutdown(socket.SHUT_WR)
            stepped.turn_until(lambda: connection.failures == 1)
            assert connection.failure == Failure(Phase.RECEIVE, Cause.CLOSED)
            assert (stepped.engine.pool.renewed, stepped.engine.pool.resent) == (0, 0)

    @pytest.mark.parametrize("late_ns", [0, 1])
    @pytest.mark.parametrize("payload", [GET, b""], ids=["may be repeated", "may not"])
    def test_is_told_from_a_lost_message_by_time(self, payload: bytes, late_ns: int) -> None:
        with Wire(statuses() if payload else requests("POST")) as wire:
            wire.begin()
            wire.clock.advance(SECOND)
            wire.reply(b"200\r\n" if payload else b"HTTP/1.1 204 No Content\r\n\r\n")
            wire.channel.transmit()
            wire.clock.advance(IDLE_END_NS + late_ns)
            wire.peer.shutdown(socket.SHUT_WR)
            if payload and not late_ns:
                assert wire.receive()
                return
            with pytest.raises(ConnectionFailed) as broken:
                wire.receive()
            cause = Cause.CLOSED if late_ns else Cause.HTTP_IDLE_CLOSE
            assert broken.value.failure == Failure(Phase.RECEIVE, cause)

    def test_may_come_so_long_after_the_last_reply_of_several(self) -> None:
        with Wire(statuses(pipeline=2)) as wire:
            wire.begin()
            wire.clock.advance(SECOND)
            wire.reply(b"200\r\n")
            wire.clock.advance(IDLE_END_NS)
            wire.peer.shutdown(socket.SHUT_WR)
            assert wire.receive()
            assert wire.connection.in_flight == 1

    def test_within_a_reply_is_a_failure(self) -> None:
        with Wire(statuses()) as wire:
            wire.begin()
            wire.reply(b"20")
            wire.peer.shutdown(socket.SHUT_WR)
            with pytest.raises(ConnectionFailed) as broken:
                wire.receive()
            assert broken.value.failure == Failure(Phase.RECEIVE, Cause.CLOSED)


def is_up_again(connection: Connection, stepped: SteppedEngine, connects: int) -> bool:
    return connection.is_up and connection.connects == len(stepped.peers) == connects


class TestAnEndWithNothingInFlight:
    def test_is_no_failure_of_an_http_connection_that_has_not_been_used(self) -> None:
        with SteppedEngine(model=schedule(SECOND)) as stepped:
            [connection] = stepped.open(1, requests("GET"))
            stepped.start()
            for connects in (1, 2):
                stepped.turn_at(connects * LONG_ENOUGH_NS)
                stepped.peers[-1].shutdown(socket.SHUT_WR)
                stepped.turn_until(partial(is_up_again, connection, stepped, connects + 1))
            stepped.turn_at(SECOND)
            stepped.peers[-1].sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            stepped.turn_until(lambda: connection.answered == 1)
            assert stepped.engine.pool.renewed == 2
            assert stepped.failures() == {}

    def test_may_be_told_by_a_response_that_no_request_asked_for(self) -> None:
        last = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        with SteppedEngine(model=schedule(SECOND)) as stepped:
            [connection] = stepped.open(1, requests("GET", fails=frozenset({408})))
            stepped.start()
            stepped.turn_at(LONG_ENOUGH_NS)
            stepped.peers[0].sendall(last)
            stepped.turn_until(partial(is_up_again, connection, stepped, 2))
            assert (connection.answered, stepped.engine.pool.renewed) == (0, 1)
            assert stepped.failures() == {}
            assert stepped.recorder.rejected == {}

    @pytest.mark.parametrize("talk", [requests("GET"), once()], ids=["goes on", "once"])
    def test_is_not_told_by_one_that_says_nothing_of_it(self, talk: Conversation) -> None:
        with SteppedEngine(model=schedule(SECOND)) as stepped:
            [connection] = stepped.open(1, talk)
            stepped.start()
            stepped.turn_at(LONG_ENOUGH_NS)
            stepped.peers[0].sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            stepped.turn_until(lambda: connection.failures == 1)
            assert stepped.failures() == {(Phase.RECEIVE, Cause.UNEXPECTED_BYTES): 1}

    def test_is_a_failure_where_it_comes_at_once(self) -> None:
        """Otherwise a server that only accepts would be connected to as fast as possible."""
        with SteppedEngine(model=schedule(SECOND)) as stepped:
            [connection] = stepped.open(1, requests("GET"))
            stepped.start()
            stepped.turn_at(LONG_ENOUGH_NS - 1)
            stepped.peers[0].shutdown(socket.SHUT_WR)
            stepped.turn_until(lambda: connection.failures == 1)
            assert stepped.failures() == {(Phase.RECEIVE, Cause.CLOSED): 1}


class Broken:
    """A socket that no longer sends; what the server sent before is still to be read."""

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner
        self.last: list[bytes] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def send(self, data: bytes | memoryview) -> int:
        if self.last is not None:
            raise BrokenPipeError(errno.EPIPE, "broken")
        return self._inner.send(data)

    def recv_into(self, buffer: bytearray) -> int:
        if self.last is None:
            return self._inner.recv_into(buffer)
        if not self.last:
            raise ConnectionResetError(errno.ECONNRESET, "reset")
        data = self.last.pop(0)
        buffer[: len(data)] = data
        return len(data)


class BrokenWire(Wire):
    def pair(self) -> tuple[Any, socket.socket]:
        ours, peer = super().pair()
        self.broken = Broken(ours)
        return self.broken, peer


@pytest.mark.parametrize("payloads", [(GET,), (GET, GET)], ids=["fast path", "general path"])
class TestASendThatFails:
    @pytest.mark.parametrize("last", [(b"",), ()], ids=["end", "reset"])
    def test_is_no_failure_where_the_server_had_ended_in_an_orderly_way(
        self, payloads: tuple[bytes, ...], last: tuple[bytes, ...]
    ) -> None:
        with BrokenWire(statuses(*payloads)) as wire:
            wire.begin()
            wire.reply(b"200\r\n")
            wire.broken.last = list(last)
            assert wire.channel.transmit() == NOTHING
            assert wire.channel.is_ending
            assert wire.connection.in_flight == 1
            wire.channel.take_back()
            assert wire.channel.has_to_resend

    @pytest.mark.parametrize(
        ("last", "failure"),
        [
            ((b"20", b""), Failure(Phase.SEND, Cause.RESET)),
            ((b"20",), Failure(Phase.SEND, Cause.RESET)),
            ((b"no number\r\n",), Failure(Phase.RECEIVE, Cause.BAD_FRAME)),
        ],
        ids=["end within a reply", "reset within a reply", "no reply"],
    )
    def test_is_a_failure_otherwise_of_the_bytes_where_they_say_more(
        self, payloads: tuple[bytes, ...], last: tuple[bytes, ...], failure: Failure
    ) -> None:
        with BrokenWire(statuses(*payloads)) as wire:
            wire.begin()
            wire.reply(b"200\r\n")
            wire.broken.last = list(last)
            with pytest.raises(ConnectionFailed) as failed:
                wire.channel.transmit()
            assert failed.value.failure == failure
            wire.check_balance()


@pytest.mark.parametrize("last", [(b"",), ()], ids=["end", "reset"])
def test_a_send_that_fails_is_told_as_the_idle_close_of_what_may_not_be_repeated(
    last: tuple[bytes, ...],
) -> None:
    with BrokenWire(requests("POST")) as wire:
        wire.begin()
        wire.reply(b"HTTP/1.1 204 No Content\r\n\r\n")
        wire.broken.last = list(last)
        with pytest.raises(ConnectionFailed) as failed:
            wire.channel.transmit()
        assert failed.value.failure == Failure(Phase.RECEIVE, Cause.HTTP_IDLE_CLOSE)


class TestAReset:
    """A server that closes with a message unread; UNIX sockets report it as TCP does."""

    def test_after_a_reply_is_the_end_of_an_idle_connection(self) -> None:
        with Wire(statuses()) as wire:
            wire.begin()
            wire.peer.recv(64)
            wire.reply(b"200\r\n")
            wire.channel.transmit()
            wire.peer.close()
            assert wire.receive()
            assert wire.channel.transmit() == NOTHING
            wire.channel.take_back()
            assert wire.channel.has_to_resend

    @pytest.mark.parametrize("before", [b"", b"200\r\n20"], ids=["any byte", "a reply is whole"])
    def test_before_is_a_failure(self, before: bytes) -> None:
        with Wire(statuses(pipeline=2)) as wire:
            wire.begin()
            if before:
                wire.reply(before)
            wire.peer.close()
            with pytest.raises(ConnectionFailed) as broken:
                wire.receive()
            assert broken.value.failure == Failure(Phase.RECEIVE, Cause.RESET)
            wire.check_balance()
