"""The engine, stepped by the test: connections that come up, work, fail and end."""

import select
import selectors
import socket
from pathlib import Path
from typing import NoReturn

import pytest
from places import refusing_address, unix_listener
from servers import (
    Script,
    ScriptedServer,
    answers_garbage,
    answers_too_much,
    closes_after,
    closes_at_once,
    resets_after,
    resets_at_once,
    speaks_first,
)
from stepped_engine import SteppedEngine, conversation, socket_of

from loadgen.engine.conversation import Conversation
from loadgen.engine.lifecycle import State
from loadgen.net import backends
from loadgen.net.address import Endpoint
from loadgen.net.failure import Cause, Phase


def test_connections_come_up_and_work_one_message_after_the_other() -> None:
    with SteppedEngine() as stepped:
        connections = stepped.open(3, conversation(messages=2))
        assert stepped.engine.pool.totals().up == 3
        stepped.start()
        for _ in range(2):
            for peer in stepped.peers:
                peer.sendall(peer.recv(64))
            stepped.turn_until(
                lambda: not any(c.in_flight and c.submitted < 2 for c in connections)
            )
        stepped.turn_until(lambda: stepped.engine.pool.is_finished)
        assert stepped.engine.pool.totals() == (6, 6, 24, 24, 0)
        assert stepped.failures() == {}
        assert [peer.recv(64) for peer in stepped.peers] == [b""] * 3


def test_nothing_is_sent_before_the_start() -> None:
    with SteppedEngine() as stepped:
        stepped.open(2)
        for _ in range(3):
            stepped.engine.turn(0)
        assert stepped.engine.pool.totals().bytes_sent == 0


def test_the_first_message_is_exchanged_before_the_start() -> None:
    with SteppedEngine() as stepped:
        [connection] = stepped.engine.add(conversation(first_message=b"hello"))
        stepped.turn_until(lambda: bool(stepped.peers))
        stepped.turn_until(lambda: connection.bytes_sent == 5)
        assert stepped.engine.pool.is_opening
        assert stepped.peers[0].recv(64) == b"hello"
        stepped.peers[0].sendall(b"hello")
        stepped.turn_until(lambda: connection.is_up)
        assert not stepped.engine.pool.is_opening
        assert stepped.engine.pool.totals() == (0, 0, 5, 5, 1)
        stepped.start()
        assert stepped.peers[0].recv(64) == b"ping"


def test_connections_are_added_while_others_run() -> None:
    with SteppedEngine() as stepped:
        stepped.open(1)
        stepped.start()
        stepped.open(2, conversation(b"other"))
        stepped.turn_until(lambda: stepped.engine.pool.totals().submitted == 3)
        assert sorted(peer.recv(64) for peer in stepped.peers) == [b"other", b"other", b"ping"]


def test_one_connection_is_drained_while_others_run() -> None:
    with SteppedEngine() as stepped:
        one, other = stepped.open(2)
        stepped.start()
        stepped.engine.pool.drain_one(one)
        assert one.state is State.DRAINING
        for connection in (one, other):
            stepped.peer_of(connection).sendall(b"ping")
        stepped.turn_until(lambda: one.state is State.CLOSED)
        stepped.turn_until(lambda: other.submitted == 2)
        assert (one.submitted, one.answered, one.messages.unanswered) == (1, 1, 0)
        assert other.state is State.READY


def test_a_connection_with_nothing_in_flight_is_drained_at_once() -> None:
    with SteppedEngine() as stepped:
        one, other = stepped.open(2)
        stepped.engine.pool.drain_one(one)
        assert (one.state, other.state) == (State.CLOSED, State.READY)
        stepped.start()
        assert one.submitted == 0


def test_a_connection_that_waits_for_its_connect_is_drained() -> None:
    with SteppedEngine() as stepped:
        first, second = stepped.engine.add(conversation(), 2)
        stepped.engine.pool.drain_one(first)
        stepped.turn_until(lambda: second.is_up)
        assert first.state is State.NEW
        assert stepped.engine.pool.opened == 1


def test_all_are_drained_once_their_replies_have_arrived() -> None:
    with SteppedEngine() as stepped:
        stepped.open(3)
        stepped.start()
        stepped.engine.pool.drain()
        assert not stepped.engine.pool.is_finished
        for peer in stepped.peers:
            peer.sendall(peer.recv(64))
        stepped.turn_until(lambda: stepped.engine.pool.is_finished)
        assert stepped.engine.pool.totals()[:2] == (3, 3)


def test_what_is_in_flight_at_the_close_is_unanswered_and_no_failure() -> None:
    with SteppedEngine() as stepped:
        connections = stepped.open(2, conversation(pipeline=3))
        stepped.start()
        stepped.engine.close()
        assert [c.state for c in connections] == [State.CLOSED] * 2
        assert [c.messages.unanswered for c in connections] == [3, 3]
        assert stepped.failures() == {}
        assert stepped.selector.get_map() is None


def test_one_way_messages_flow_until_they_are_done() -> None:
    with SteppedEngine() as stepped:
        [connection] = stepped.open(1, conversation(reply="none", messages=5))
        stepped.start()
        stepped.turn_until(lambda: connection.state is State.CLOSED)
        data = bytearray()
        while more := stepped.peers[0].recv(64):
            data += more
        assert data == b"ping" * 5
        assert stepped.engine.pool.totals()[:2] == (5, 5)


def test_a_reply_that_ends_the_connection_opens_the_next_at_once() -> None:
    with SteppedEngine() as stepped:
        [connection] = stepped.open(1, conversation(reply="eof", messages=3))
        stepped.start()
        for number in range(3):
            stepped.turn_until(lambda number=number: len(stepped.peers) == number + 1)  # type: ignore[misc]
            stepped.turn_until(lambda number=number: connection.submitted == number + 1)  # type: ignore[misc]
            peer = stepped.peers[number]
            assert peer.recv(64) == b"ping"
            peer.sendall(b"all of it")
            peer.close()
        stepped.turn_until(lambda: stepped.engine.pool.is_finished)
        assert stepped.engine.pool.totals()[:2] == (3, 3)
        assert stepped.engine.pool.opened == stepped.engine.pool.closed == connection.connects == 3
        assert stepped.failures() == {}


# ---- what the engine is given -------------------------------------------------------------


def _forbidden(*_: object) -> NoReturn:
    raise AssertionError("it was to use what it had been given")


def test_selector_and_sockets_are_those_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    real = socket.socket

    def factory(family: int, kind: int) -> socket.socket:
        made.append(real(family, kind))
        return made[-1]

    with SteppedEngine(factory=factory) as stepped:
        connections = stepped.engine.add(conversation(), 3)
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", _forbidden)
            for name in ("DefaultSelector", "EpollSelector", "PollSelector", "SelectSelector"):
                patch.setattr(selectors, name, _forbidden, raising=False)
            while not all(connection.submitted for connection in connections):
                stepped.engine.turn(0)
                if not stepped.engine.pool.is_opening:
                    stepped.engine.start()
        assert [socket_of(connection) for connection in connections] == made
        keys = stepped.selector.get_map().values()
        assert {key.fileobj for key in keys} == {c.channel.transport for c in connections}


@pytest.mark.skipif("epoll" not in backends.available(), reason="poll and select have none")
def test_its_descriptor_is_readable_when_there_is_work() -> None:
    with SteppedEngine(selector=backends.open_selector("epoll")) as stepped:
        stepped.open(1)
        stepped.start()
        assert stepped.peers[0].recv(64) == b"ping"
        assert select.select([stepped.engine.fileno()], [], [], 0) == ([], [], [])
        stepped.peers[0].sendall(b"ping")
        assert select.select([stepped.engine.fileno()], [], [], 20)[0]
        stepped.engine.turn(0)
        assert stepped.engine.pool.totals().answered == 1


# ---- misbehaving peers --------------------------------------------------------------------

GONE = {
    (Phase.CONNECT, Cause.RESET),  # it may be gone before the result of the connect is checked
    (Phase.RECEIVE, Cause.CLOSED),
    (Phase.RECEIVE, Cause.RESET),
    (Phase.SEND, Cause.RESET),
}
SURPLUS = {(Phase.RECEIVE, Cause.UNEXPECTED_BYTES)}


@pytest.mark.parametrize(
    ("script", "talk", "expected"),
    [
        (closes_at_once, conversation(), GONE),
        (closes_at_once, conversation(first_message=b"hello"), GONE),
        (resets_at_once, conversation(), GONE),
        (resets_at_once, conversation(first_message=b"hello"), GONE),
        (resets_at_once, conversation(reply="none", pipeline=100), GONE),
        (closes_after(3, 4), conversation(), GONE),
        (resets_after(4), conversation(pipeline=2), GONE),
        (speaks_first, conversation(), SURPLUS | GONE),
        (answers_too_much, conversation(), SURPLUS),
        (answers_too_much, conversation(first_message=b"hello"), SURPLUS),
        (answers_garbage, conversation(reply="verify"), {(Phase.VERIFY, Cause.MISMATCH)}),
        (
            answers_garbage,
            conversation(b"\xff\xffmuch", reply="length:u16,header-included"),
            {(Phase.RECEIVE, Cause.BAD_FRAME)},
        ),
        (answers_garbage, conversation(reply="none"), SURPLUS),
    ],
)
def test_a_peer_that_misbehaves_is_a_failure_and_nothing_leaves_the_turn(
    script: Script, talk: Conversation, expected: set[tuple[Phase, Cause]]
) -> None:
    with ScriptedServer(script) as server:
        with SteppedEngine(endpoint=Endpoint(socket.AF_INET, server.name)) as stepped:
            stepped.engine.add(talk, 20)
            stepped.engine.start()
            stepped.turn_until(lambda: stepped.engine.pool.is_finished)
            assert sum(stepped.failures().values()) == 20
            assert set(stepped.failures()) <= expected
            assert {c.state for c in stepped.engine.pool.connections} == {State.FAILED}
        server.settle(20)


def test_a_greeting_to_a_peer_that_has_gone_is_counted_as_any_other(tmp_path: Path) -> None:
    listener = unix_listener(tmp_path / "socket")
    with (
        listener,
        SteppedEngine(endpoint=Endpoint(socket.AF_UNIX, listener.getsockname())) as stepped,
    ):
        [connection] = stepped.engine.add(conversation(first_message=b"hello"))
        stepped.engine.turn(0)
        listener.accept()[0].close()
        stepped.turn_until(lambda: connection.state is State.FAILED)
        assert stepped.failures() == {(Phase.SEND, Cause.RESET): 1}
        # It did come up, and is counted when it ends: `SteppedEngine` compares opened with closed.
        assert connection.connects == stepped.engine.pool.opened


def test_a_target_that_refuses() -> None:
    with refusing_address() as address:
        name = ("127.0.0.1", int(address.partition(":")[2]))
        with SteppedEngine(endpoint=Endpoint(socket.AF_INET, name)) as stepped:
            stepped.engine.add(conversation(), 5)
            stepped.turn_until(lambda: stepped.engine.pool.is_finished)
            assert stepped.failures() == {(Phase.CONNECT, Cause.REFUSED): 5}
            assert stepped.engine.pool.opened == stepped.engine.pool.closed == 0


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    endpoint = Endpoint(socket.AF_UNIX, str(tmp_path / "nobody"))
    with SteppedEngine(endpoint=endpoint) as stepped:
        stepped.engine.add(conversation(), 2)
        stepped.turn_until(lambda: stepped.engine.pool.is_finished)
        assert stepped.failures() == {(Phase.CONNECT, Cause.NOT_FOUND): 2}


def test_one_that_breaks_leaves_the_others_alone() -> None:
    with SteppedEngine() as stepped:
        broken, whole = stepped.open(2)
        stepped.start()
        stepped.peer_of(broken).sendall(b"too much")
        stepped.peer_of(whole).sendall(b"ping")
        stepped.turn_until(lambda: broken.state is State.FAILED and whole.submitted == 2)
        assert broken.failure == (Phase.RECEIVE, Cause.UNEXPECTED_BYTES)
        assert whole.failure is None
