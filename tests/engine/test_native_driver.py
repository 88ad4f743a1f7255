"""The native driver, where what it does could differ from what the one in Python does."""

import socket
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import pytest
from optional import NEEDS_NATIVE
from stepped_engine import DEADLINE_S, PairDialer, conversation

from loadgen.engine.connection import Connection
from loadgen.engine.conversation import ONE_BY_ONE, Conversation
from loadgen.engine.engine import Engine
from loadgen.engine.group import Group, new_native_stream
from loadgen.engine.load_models import ClosedLoop, LoadModel, OpenLoop
from loadgen.engine.native_driver import NativeDriver
from loadgen.engine.native_selector import open_native
from loadgen.engine.recorder import Recorder
from loadgen.engine.rows import READ_NS
from loadgen.engine.slots import Slots
from loadgen.engine.timeouts import ConnectionPolicy
from loadgen.net import backends
from loadgen.net.clock import monotonic_ns
from loadgen.net.failure import Cause
from loadgen.net.protocols import Decoder, Delimiter, Framing
from loadgen.net.protocols.base import BaseDecoder, BaseFraming
from loadgen.net.transport import READ
from loadgen.plan.payloads import PayloadQueue

pytestmark = NEEDS_NATIVE


class Driven:
    """An engine with a native driver, and one connection, whose peer is the test."""

    def __init__(self, talk: Conversation, model: LoadModel) -> None:
        ours, self.peer = socket.socketpair()
        self.peer.settimeout(DEADLINE_S)
        slots, self.recorder = Slots(), Recorder(1)
        new_channel = partial(new_native_stream, slots)
        group = Group(PairDialer(ours), model, new_channel=new_channel)
        driver = NativeDriver(backends.resolve("auto"), slots)
        self.engine = Engine(driver, [group], self.recorder, monotonic_ns, ConnectionPolicy())
        [self.connection] = self.engine.add(talk)
        self.engine.start()

    def turn_until(self, condition: Callable[[Connection], bool]) -> None:
        deadline_s = time.monotonic() + DEADLINE_S
        while not condition(self.connection):
            assert time.monotonic() < deadline_s
            self.engine.turn(0)

    def answer(self, reply: bytes) -> None:
        """Let the peer take a message and answer it, and the engine read that."""
        answered = self.connection.answered
        assert self.peer.recv(64)
        self.peer.sendall(reply)
        self.turn_until(lambda it: it.answered > answered)


@contextmanager
def driven(talk: Conversation, model: LoadModel | None = None) -> Iterator[Driven]:
    it = Driven(talk, model or ClosedLoop())
    with it.peer:
        yield it
        it.engine.close()


def test_sends_that_there_is_no_room_for_in_a_turn_make_some() -> None:
    with driven(conversation(b"ping", scheduled=True), OpenLoop([0], monotonic_ns)) as it:
        bulk = it.recorder.bulk
        bulk.sends[:] = array("q", [1]) * len(bulk.sends)
        bulk.sends_filled = bulk.rows
        it.turn_until(lambda connection: connection.submitted > 0)
        it.recorder.flush()
        assert it.recorder.due == bulk.rows + 1


def test_a_connection_is_free_from_the_time_of_its_reply_on() -> None:
    talk = conversation(b"ping", scheduled=True)
    with driven(talk, OpenLoop([0, 1], monotonic_ns)) as it:
        it.turn_until(lambda connection: connection.submitted == 1)
        it.answer(b"ping")
        it.turn_until(lambda connection: connection.submitted == 2)
        bulk = it.recorder.bulk
        second_free_ns = bulk.sends[3 + 1]
        assert second_free_ns == bulk.replies[READ_NS]


class Picky(Delimiter):
    """Lines, of which those with a minus reject."""

    def decoder(self) -> Decoder:
        return PickyDecoder()


class PickyDecoder(BaseDecoder):
    def feed(self, view: memoryview) -> int:
        if bytes(view[:1]) == b"-":
            self.reject(Cause.UNEXPECTED_REPLY)
        return 1


class Plain(BaseFraming):
    """Each read is a reply; its decoder has no more than was ever asked of one."""

    def decoder(self) -> Decoder:
        return PlainDecoder()  # type: ignore[return-value]


class PlainDecoder:
    rejected: dict[Cause, int] = {}  # noqa: RUF012
    kinds = ()
    to_send = b""
    partial = closes = unsolicited = False

    def feed(self, view: memoryview) -> int:
        return 1


@pytest.mark.parametrize(
    ("framing", "rejected"), [(Picky(b"\n"), 2), (Plain(), 0)], ids=["derived", "plain"]
)
def test_a_framing_of_ones_own_is_asked_for_every_reply(framing: Framing, rejected: int) -> None:
    talk = Conversation(PayloadQueue((b"ping\n",)), framing, ONE_BY_ONE)
    with driven(talk) as it:
        it.turn_until(lambda connection: connection.submitted > 0)
        for reply in (b"fine\n", b"-no\n", b"fine\n", b"-no\n"):
            it.answer(reply)
        assert sum(each.count for each in it.recorder.rejected.values()) == rejected


@pytest.mark.parametrize("backend", ["poll", "select"])
def test_none_starves_where_more_are_ready_than_one_wait_returns(backend: str) -> None:
    with ExitStack() as stack:
        selector = open_native(backend)
        stack.callback(selector.close)
        ready = []
        for _ in range(3 * backends.TURN_EVENTS):
            one, other = (stack.enter_context(each) for each in socket.socketpair())
            other.send(b"!")
            selector.register(one, READ, None)
            ready.append(one)
        seen = set()
        for turn in range(6):
            seen |= {selector.events[place] >> 32 for place in selector.select(0)}
            selector.unregister(ready[turn])  # as a connection that is renewed
            selector.register(ready[turn], READ, None)
        assert seen == {each.fileno() for each in ready}
