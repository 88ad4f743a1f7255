"""The time of a send is the middle of the call, on every path that a message can take."""

import re
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datagram_loop import Loop
from datagrams import UdpPeer
from stamping import BOTH_PATHS, StampedWire
from stepped_engine import Wire, conversation

from loadgen.engine.load_models import OpenLoop
from loadgen.engine.row_arrays import arrivals
from loadgen.engine.rows import SENT_NS, STAMP_NS
from loadgen.engine.stream import StreamChannel
from loadgen.net import clock, timestamps
from loadgen.net.clock import LONGEST_SEND_NS, ManualClock, wall_ns
from loadgen.net.failure import ConnectionFailed

TICKS = pytest.mark.parametrize(
    ("tick_ns", "sent_after_ns"),
    [(2_000, 1_000), (1_000_000, LONGEST_SEND_NS // 2)],
    ids=["the middle", "of a long one, as of the longest that counts"],
)


class Ticking(ManualClock):
    """Every reading is a tick after the one before: a send takes one, if no other is in it."""

    def __init__(self, tick_ns: int) -> None:
        super().__init__()
        self._tick_ns = tick_ns

    def __call__(self) -> int:
        self.advance(self._tick_ns)
        return self.now_ns


class TickingWire(Wire):
    """A wire on such a clock."""

    def __init__(self, tick_ns: int, *payloads: bytes, **talk: Any) -> None:
        self.ticking = Ticking(tick_ns)
        super().__init__(conversation(*payloads, **talk))

    def channel_of(self, talk: Any) -> StreamChannel:
        return StreamChannel(0, talk, self.ticking, self)


@TICKS
@BOTH_PATHS
def test_in_a_closed_loop(payloads: tuple[bytes, ...], tick_ns: int, sent_after_ns: int) -> None:
    with TickingWire(tick_ns, *payloads) as wire:
        wire.begin()
        for _ in range(3):
            wire.reply(b"ping")
            wire.channel.transmit()
        assert [sent_ns % tick_ns for _, sent_ns, _ in wire.replies] == [sent_after_ns] * 3


@TICKS
@BOTH_PATHS
def test_under_a_schedule(payloads: tuple[bytes, ...], tick_ns: int, sent_after_ns: int) -> None:
    """The lag behind the schedule ends where the service time begins."""
    with TickingWire(tick_ns, *payloads, scheduled=True, messages=3) as wire:
        wire.channel.begin(wire, scheduled=True)
        for _ in range(3):
            wire.channel.submit(1)
            submitted_ns = wire.channel.submitted_ns
            wire.reply(b"ping")
            assert wire.rows[-1][SENT_NS] == submitted_ns
            assert submitted_ns % tick_ns == sent_after_ns


@TICKS
@pytest.mark.parametrize("is_open", [False, True], ids=["closed loop", "schedule"])
def test_of_a_datagram(tick_ns: int, sent_after_ns: int, is_open: bool) -> None:
    ticking = Ticking(tick_ns)
    sends: list[tuple[int, int, int]] = []
    model = OpenLoop(range(1, 4), ticking) if is_open else None
    with closing(UdpPeer()) as peer:
        loop = Loop(peer, model, ticking, messages=3)
        loop.recorder.record_send = sends.append
        loop.start()
        loop.settle()
        sent_ns = [row[SENT_NS] for row in loop.recorder.rows]
        loop.served.engine.close()
    assert [each_ns % tick_ns for each_ns in sent_ns] == [sent_after_ns] * 3
    assert [each_ns for _, _, each_ns in sends] == sent_ns * is_open


@BOTH_PATHS
def test_of_a_send_that_fails_is_known_to_the_reply_that_came_before(
    payloads: tuple[bytes, ...],
) -> None:
    with TickingWire(2_000, *payloads) as wire:
        wire.peer.sendall(b"ping")
        wire.peer.close()
        began_ns = wire.ticking.now_ns
        with pytest.raises(ConnectionFailed):
            wire.begin()
        assert wire.replies == [(1, began_ns + 3_000, began_ns + 6_000)]


def test_both_engines_have_one_limit() -> None:
    source = Path(clock.__file__).with_name("native.h").read_text("utf-8")
    assert re.findall(r"#define LONGEST_SEND_NS (\d+)", source) == [str(LONGEST_SEND_NS)]


# ---- the reply may be there before the call returns ---------------------------------------


@pytest.fixture
def kept() -> Iterator[None]:
    with timestamps.keep_stamping(wall_ns):
        yield


class AnsweredWithin:
    """A socket whose sends are answered while they last, and last much longer than any counts."""

    peer: socket.socket

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def fileno(self) -> int:
        return self._inner.fileno()

    def send(self, data: bytes | memoryview) -> int:
        began_ns = wall_ns()
        size = self._inner.send(data)
        while wall_ns() < began_ns + LONGEST_SEND_NS:
            pass
        self.peer.sendall(b"ping")
        while wall_ns() < began_ns + 100 * LONGEST_SEND_NS:
            pass
        return size


class AnsweredWire(StampedWire):
    """A wire whose peer answers during the send, as one that takes this process's processor."""

    def pair(self) -> tuple[Any, socket.socket]:
        ours, peer = super().pair()
        answered = AnsweredWithin(ours)
        answered.peer = peer
        return answered, peer


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has stamps")
@pytest.mark.usefixtures("kept")
@BOTH_PATHS
def test_is_before_a_reply_that_arrives_while_the_call_lasts(payloads: tuple[bytes, ...]) -> None:
    with AnsweredWire(conversation(*payloads)) as wire:
        wire.begin()
        wire.peek()
        assert wire.receive()
        [row] = wire.rows
        times = np.array(row)[SENT_NS:, np.newaxis]
        arrived_ns, is_known = arrivals(times, 0)
        assert is_known.all()
        assert row[SENT_NS] < arrived_ns[0] == row[STAMP_NS]
