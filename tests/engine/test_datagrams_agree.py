"""Both engines keep the same books of datagrams, whatever the peer and the system do."""

import functools
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.engine.conversation import Conversation, Window
from loadgen.engine.datagrams import DatagramChannel
from loadgen.engine.native_datagrams import NativeDatagramChannel, NativeDatagrams
from loadgen.engine.rows import ORIGIN, READ_NS, REPLIES, SENT_NS, STAMP_NS
from loadgen.net import timestamps
from loadgen.net.clock import monotonic_ns, wall_ns
from loadgen.net.failure import ConnectionFailed
from loadgen.net.protocols import Framing
from loadgen.net.protocols.datagrams import Datagram, EchoedDatagram
from loadgen.net.protocols.framings import NoReply
from loadgen.net.udp import LARGEST_BYTES, UdpTransport
from loadgen.plan.payloads import PayloadQueue

pytest.importorskip(
    "loadgen.engine._native", reason="the C modules are not built here", exc_type=ImportError
)

ORIGIN_OF_ALL: Final = 5
TOO_LONG: Final = bytes(LARGEST_BYTES + 1)
PAYLOADS: Final = (
    (b"12345678 and the rest",),
    (b"message 1", b"message 22", b"message 333"),
    (b"message 1", b"message 22", TOO_LONG, b"message 333"),
)
FORMS: Final[dict[str, Framing]] = {
    "datagram": Datagram(),
    "echo": EchoedDatagram(verify=True),
    "none": NoReply(),
}
STRANGE: Final = (b"", b"short", b"\xff" * 8, bytes(8))
"""Replies to nothing that was sent, except for the last: it has the number of the first message."""


class Made:
    """Messages that code makes when they are sent."""

    items: tuple[bytes, ...] = ()
    repeats_bytes = False

    def batch(self, position: int, count: int) -> tuple[bytes, tuple[int, ...]]:
        return b"made when sent", (14,)


class Notes:
    """The pool and the recorder of a channel: notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.rows: list[Any] = []
        self.record = self.rows.append
        self.record_parts = self.rows.append

    def settle(self, channel: Any, interest: int) -> None:
        self.told.append(("settle", interest))

    def read_again(self, channel: Any) -> None:
        self.told.append("read again")

    def note_lost(self, channel: Any, failure: Any, count: int) -> None:
        self.told.append((failure, count))

    def record_rejected(self, failure: Any, count: int, now_ns: int, group: int) -> None:
        self.told.append((failure, count, group))


class Side:
    """One channel, and its peer; ``done`` is what came of it that another can be compared with."""

    def __init__(self, new: Any, setting: dict[str, Any]) -> None:
        self.stamp_every = setting["stamp_every"] if setting["family"] == "udp" else 0
        self.is_layered = False
        self.notes = Notes()
        self.received: list[bytes] = []
        self._family = setting["family"]
        self._held: list[bytes] = []
        self._submitted = self._seen = 0
        made = setting["payloads"] is None
        self.channel = new(
            self,
            ORIGIN_OF_ALL,
            Conversation(
                Made() if made else PayloadQueue(setting["payloads"]),
                FORMS[setting["reply"]],
                Window(setting["window"], 1 if setting["scheduled"] else setting["window"]),
                messages=setting["messages"],
            ),
            monotonic_ns,
            self.notes,
        )
        self._scheduled = setting["scheduled"]
        self._open = ExitStack()
        self.renew(0)

    def renew(self, _: int) -> None:
        """Go on with another socket, and another peer."""
        if self.channel.transport is not None:
            self.channel.detach()
        self._open.close()
        self._held.clear()
        if self._family == "unix":
            ours, self._peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        else:
            ours, self._peer = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
            for sock in (ours, self._peer):
                sock.bind(("127.0.0.1", 0))
            ours.connect(self._peer.getsockname())
            self._peer.connect(ours.getsockname())
        for sock in (ours, self._peer):
            sock.setblocking(False)
            self._open.enter_context(sock)
        if self.stamp_every:
            timestamps.enable(ours)
        self.channel.attach(UdpTransport(ours))
        self.channel.begin(self.notes, scheduled=self._scheduled)

    def transmit(self, _: int) -> Any:
        return self.channel.transmit()

    def submit(self, count: int) -> Any:
        found: list[int] = []
        while len(found) < count and self.channel.is_free:
            self._submitted += 1
            found.append(self.channel.submit(self._submitted))
        return found

    def receive(self, _: int) -> Any:
        return self.channel.receive(bytearray(LARGEST_BYTES + 1))

    def give_up(self, _: int) -> None:
        self.channel.give_up(monotonic_ns())

    def revoke(self, _: int) -> None:
        self.channel.revoke()

    def leave(self, _: int) -> None:
        """Let the peer go away."""
        self._peer.close()

    def serve(self, fate: int) -> None:
        """Let the peer answer all that has come, each as the digits of ``fate`` say in turn."""
        if self._peer.fileno() < 0:
            return
        held, self._held = self._held, []
        for number, message in enumerate(self._arriving()):
            self.received.append(message)
            match fate // 6 ** (number % 5) % 6:
                case 0 | 1:
                    self._answer(message)
                case 2:
                    self._answer(message)
                    self._answer(message)
                case 3:
                    self._held.append(message)
                case 4:
                    self._answer(STRANGE[fate % len(STRANGE)])
        for message in reversed(held):
            self._answer(message)

    def _arriving(self) -> Iterator[bytes]:
        while True:
            try:
                yield self._peer.recv(LARGEST_BYTES)
            except BlockingIOError:
                return

    def _answer(self, message: bytes) -> None:
        try:
            self._peer.send(message)
        except BlockingIOError:
            self.notes.told.append("no room at ours")

    def do(self, what: str, with_: int) -> Any:
        """Do it; return all that can be known of it afterwards."""
        try:
            found = getattr(self, what)(with_)
        except ConnectionFailed as broken:
            found = broken.failure
            self.renew(0)
        channel = self.channel
        new = self.notes.rows[self._seen :]
        self._seen += len(new)
        rows = [(*row[:SENT_NS], self._kind(row[STAMP_NS])) for row in new]
        for row in new:
            assert (row[ORIGIN], row[REPLIES]) == (ORIGIN_OF_ALL, 1)
            assert row[SENT_NS] < row[READ_NS] <= monotonic_ns()
        waits = (channel.waits_since_ns is None, channel.waits_in, channel.has_more)
        states = (channel.is_free, channel.may_go_on, channel.in_flight, channel.unanswered)
        tally = channel.matching.tally
        return found, channel.counts(), tally, waits, states, rows, self.notes.told, self.received

    @staticmethod
    def _kind(stamp_ns: int) -> int:
        return 1 if stamp_ns > 0 else stamp_ns

    def close(self) -> None:
        self._open.close()


def sides(setting: dict[str, Any]) -> tuple[Side, Side]:
    numbered = setting["numbered"]
    native = NativeDatagrams(
        setting["stamp_every"] if setting["family"] == "udp" else 0, numbered=numbered
    )
    return (
        Side(functools.partial(DatagramChannel, numbered=numbered), setting),
        Side(functools.partial(NativeDatagramChannel, native=native), setting),
    )


def compare(setting: dict[str, Any], steps: list[tuple[str, int]]) -> Side:
    """Take both through ``steps``; return the native one."""
    python, native = sides(setting)
    try:
        for number, step in enumerate(steps):
            assert native.do(*step) == python.do(*step), f"step {number}: {step}"
    finally:
        python.close()
        native.close()
    return native


@pytest.fixture(scope="module", autouse=True)
def stamping() -> Iterator[None]:
    with timestamps.keep_stamping(wall_ns):
        yield


SETTINGS: Final = st.fixed_dictionaries(
    {
        "family": st.sampled_from(["udp", "udp", "unix"]),
        "window": st.sampled_from([1, 2, 3, 15, 16, 17, 40, 70]),
        "messages": st.sampled_from([None, None, 7, 50]),
        "scheduled": st.booleans(),
        "numbered": st.booleans(),
        "reply": st.sampled_from(["datagram", "datagram", "echo", "none"]),
        "stamp_every": st.sampled_from([0, 1, 3]),
        "payloads": st.sampled_from([*PAYLOADS, None]),
    }
).filter(
    # What is too long for UDP is not for a UNIX socket. A number needs a reply that holds it.
    lambda each: (
        not (each["family"] == "unix" and each["payloads"] == PAYLOADS[2])
        and not (each["numbered"] and each["reply"] != "datagram")
    )
)
STEPS: Final = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("transmit", "submit", "serve", "receive") * 4,
                *("give_up", "leave", "renew", "revoke"),
            ]
        ),
        st.integers(0, 6**5 - 1),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(setting=SETTINGS, steps=STEPS, sends=st.integers(1, 6))
def test_the_books_agree_after_each_step(
    setting: dict[str, Any], steps: list[tuple[str, int]], sends: int
) -> None:
    usual = "submit" if setting["scheduled"] else "transmit"
    steps = [
        (usual, sends) if name in ("transmit", "submit") else (name, number)
        for name, number in steps
    ]
    compare(setting, steps)


PLAIN: Final[dict[str, Any]] = {
    "family": "udp",
    "window": 32,
    "messages": None,
    "scheduled": False,
    "numbered": True,
    "reply": "datagram",
    "stamp_every": 1,
    "payloads": PAYLOADS[1],
}
ROUND: Final = [("transmit", 0), ("serve", 0), ("receive", 0), ("receive", 0)]


def test_a_window_goes_out_and_comes_back() -> None:
    found = compare(PLAIN, ROUND * 3)
    assert found.channel.counts()[:2] == (96, 96)
    assert [row[STAMP_NS] > 0 for row in found.notes.rows] == [True] * 96


def test_what_is_lost_doubled_and_overtaken_is_told_apart() -> None:
    fate = 0 + 2 * 6 + 3 * 6**2 + 5 * 6**3  # whole, twice, held back, lost, whole
    found = compare(PLAIN, [("transmit", 0), ("serve", fate), *[("receive", 0)] * 3, *ROUND])
    tally = found.channel.matching.tally
    assert (tally.duplicates, tally.reordered) == (7, 6)


def test_where_there_is_no_room_the_rest_waits_in_its_order() -> None:
    found = compare({**PLAIN, "family": "unix", "numbered": False}, ROUND * 12)
    assert 0 < len(found.received) < 12 * 32
    expected = [PAYLOADS[1][number % 3] for number in range(len(found.received))]
    assert found.received == expected


def test_what_has_no_room_under_a_schedule_is_refused() -> None:
    setting = {**PLAIN, "family": "unix", "scheduled": True}
    found = compare(setting, [("submit", 31), ("serve", 0), *[("receive", 0)] * 3, ("submit", 5)])
    assert found.channel.matching.tally.send_refused > 0


@pytest.mark.parametrize("number", [0, 3, 15])
def test_one_that_is_too_long_fails_the_connection_and_the_next_begins_behind_it(
    number: int,
) -> None:
    payloads = tuple(b"message %2d" % each if each != number else TOO_LONG for each in range(32))
    setting = {**PLAIN, "payloads": payloads, "numbered": False, "window": 16}
    found = compare(setting, ROUND * 2)
    assert found.received == list(payloads[number + 1 : number + 17])
    assert found.channel.counts()[:2] == (number + 17, 16)


def test_a_peer_that_is_gone_fails_the_connection() -> None:
    found = compare(PLAIN, [*ROUND, ("leave", 0), ("transmit", 0), *ROUND])
    assert found.channel.generation == 2
    assert found.channel.unanswered == 2
