"""Replies with the kernel's time of arrival, over TCP on loopback."""

import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from stamping import BOTH_PATHS, StampedWire
from stepped_engine import NOTHING, READ, conversation

from loadgen.engine.lifecycle import Event
from loadgen.net import timestamps
from loadgen.net.clock import wall_ns
from loadgen.net.failure import Cause, ConnectionFailed

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux has stamps"
)


@pytest.fixture(scope="module", autouse=True)
def kept() -> Iterator[None]:
    with timestamps.keep_stamping(wall_ns):
        yield


@BOTH_PATHS
def test_a_reply_arrived_between_sent_and_read(payloads: tuple[bytes, ...]) -> None:
    with StampedWire(conversation(*payloads)) as wire:
        wire.begin()
        for _ in range(5):
            before_ns = wall_ns()
            wire.arrive(b"ping")
            after_ns = wall_ns()
            assert wire.receive()
            [(index, replies, intended_ns, sent_ns, stamp_ns, read_ns)] = wire.rows
            assert (index, replies, intended_ns) == (0, 1, 0)
            assert sent_ns <= before_ns <= stamp_ns <= after_ns <= read_ns
            wire.rows.clear()
            assert wire.channel.transmit() == READ


def test_nothing_to_read_is_no_reply() -> None:
    with StampedWire(conversation()) as wire:
        wire.begin()
        assert not wire.receive()
        assert wire.rows == []


# ---- which reply a stamp belongs to -------------------------------------------------------


@BOTH_PATHS
def test_the_stamp_of_a_whole_window_is_that_of_its_last_reply(payloads: tuple[bytes, ...]) -> None:
    with StampedWire(conversation(*payloads, pipeline=3)) as wire:
        wire.begin()
        wire.arrive(b"ping", b"pong")
        before_ns = wall_ns()
        wire.arrive(b"ping")
        assert wire.receive()
        [(replies, stamp_ns)] = wire.stamps
        assert replies == 3
        assert stamp_ns >= before_ns


@BOTH_PATHS
def test_the_stamp_belongs_to_the_batch_that_was_sent_last(payloads: tuple[bytes, ...]) -> None:
    with StampedWire(conversation(*payloads, pipeline=4)) as wire:
        wire.begin()
        for _ in range(2):
            wire.reply(b"ping")
            wire.channel.transmit()
        wire.rows.clear()
        wire.reply(b"pongpingpongping")
        assert wire.kinds() == [(2, "upper bound"), (1, "upper bound"), (1, "stamp")]


@BOTH_PATHS
def test_the_stamp_of_a_read_that_ends_within_a_reply_is_a_bound(
    payloads: tuple[bytes, ...],
) -> None:
    with StampedWire(conversation(*payloads, pipeline=2)) as wire:
        wire.begin()
        assert wire.reply(b"pingpo")
        assert wire.reply(b"ng")
        assert wire.kinds() == [(1, "upper bound"), (1, "stamp")]


@BOTH_PATHS
@pytest.mark.parametrize("at_once", [True, False], ids=["in one read", "piece by piece"])
def test_a_reply_in_several_segments_arrived_with_the_last(
    payloads: tuple[bytes, ...], at_once: bool
) -> None:
    with StampedWire(conversation(*payloads)) as wire:
        wire.begin()
        for segment in (b"p", b"in"):
            wire.arrive(segment)
            if not at_once:
                assert not wire.receive()
        before_ns = wall_ns()
        wire.arrive(b"g")
        after_ns = wall_ns()
        assert wire.receive()
        [(_, stamp_ns)] = wire.stamps
        assert before_ns <= stamp_ns <= after_ns


@BOTH_PATHS
def test_a_full_buffer_may_have_the_stamp_of_what_follows(payloads: tuple[bytes, ...]) -> None:
    with StampedWire(conversation(*payloads, pipeline=3), buffer_bytes=8) as wire:
        wire.begin()
        wire.arrive(b"pingpongping")
        assert wire.receive()
        assert wire.receive()
        assert wire.kinds() == [(2, "upper bound"), (1, "stamp")]


def test_a_reply_larger_than_the_buffer_arrived_with_its_end() -> None:
    with StampedWire(conversation(b"0123456789"), buffer_bytes=4) as wire:
        wire.begin()
        wire.arrive(b"0123456789")
        assert [wire.receive() for _ in range(3)] == [False, False, True]
        assert wire.kinds() == [(1, "stamp")]


# ---- no stamp -----------------------------------------------------------------------------


class Altering:
    """A socket whose control messages are not those of the kernel."""

    def __init__(self, inner: socket.socket, ancillary: list[Any]) -> None:
        self._inner = inner
        self._ancillary = ancillary

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def fileno(self) -> int:
        return self._inner.fileno()

    def recvmsg_into(self, buffers: Any, ancillary_bytes: int) -> tuple[Any, ...]:
        size, _, flags, address = self._inner.recvmsg_into(buffers, ancillary_bytes)
        return size, self._ancillary, flags, address


class AlteredWire(StampedWire):
    """A wire whose sockets hand out ``ancillary`` with every read."""

    ancillary: list[Any]

    def pair(self) -> tuple[Any, socket.socket]:
        ours, peer = super().pair()
        return Altering(ours, self.ancillary), peer


@BOTH_PATHS
@pytest.mark.parametrize(
    "ancillary",
    [[], [(socket.SOL_SOCKET, timestamps.OPTION, bytes(15))]],
    ids=["none", "cut short"],
)
def test_a_reply_without_a_stamp_counts_all_the_same(
    payloads: tuple[bytes, ...], ancillary: list[Any]
) -> None:
    wire = AlteredWire(conversation(*payloads, pipeline=2, messages=4))
    wire.ancillary = ancillary
    with wire:
        wire.begin()
        assert wire.reply(b"pingpong")
        assert wire.channel.transmit() == READ
        assert wire.reply(b"ping")
        assert wire.reply(b"pong")
        assert wire.kinds() == [(2, "missing"), (1, "missing"), (1, "missing")]
        assert wire.channel.transmit() == NOTHING
        assert (wire.connection.answered, wire.connection.bytes_received) == (4, 16)


def test_a_reply_that_the_end_makes_whole_arrived_with_its_last_byte() -> None:
    with StampedWire(conversation(reply="eof")) as wire:
        wire.begin()
        wire.peer.recv(64)
        assert not wire.reply(b"part ")
        before_ns = wall_ns()
        wire.arrive(b"and part")
        after_ns = wall_ns()
        assert not wire.receive()
        wire.peer.close()
        wire.peek()
        assert wire.receive()
        [(_, stamp_ns)] = wire.stamps
        assert before_ns <= stamp_ns <= after_ns
        [(sent_ns, first_ns, _, last_ns, _)] = wire.parts
        assert sent_ns < first_ns < before_ns <= last_ns <= after_ns


@BOTH_PATHS
def test_a_connection_goes_on_over_another_socket(payloads: tuple[bytes, ...]) -> None:
    with StampedWire(conversation(*payloads)) as wire:
        wire.begin()
        wire.peer.recv(64)
        wire.peer.close()
        wire.peek()
        with pytest.raises(ConnectionFailed) as broken:
            wire.receive()
        assert broken.value.failure.cause is Cause.CLOSED
        wire.connection.close(Event.FAIL)
        wire.come_up()
        wire.begin()
        wire.reply(b"ping")
        assert wire.kinds() == [(1, "stamp")]
        assert (wire.connection.answered, wire.channel.unanswered) == (1, 1)
