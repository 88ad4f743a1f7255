"""What the native module receives, sends and submits, over real sockets."""

import errno
import re
import select
import signal
import socket
import sys
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from command import ROOT
from native_slots import (
    DELIMITED,
    EQUAL,
    FAILED,
    LEAST_ROOM,
    MOST_EVENTS,
    NEVER,
    NO_BATCH,
    NOT_TRIED,
    OTHER,
    READ,
    SIZE_ONLY,
    SLOT,
    UNKNOWN,
    WRITE,
    Batch,
    Ends,
    Slots,
    ends,
    event,
    native,
    reset,
)

from loadgen.engine import native as tables
from loadgen.net import timestamps
from loadgen.net.backends import TURN_EVENTS
from loadgen.net.clock import monotonic_ns, wall_ns

__all__ = ["ends"]

DEADLINE_MS: Final = 20_000
ONLY_LINUX: Final = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has stamps")


def arrived(sock: socket.socket) -> int:
    """Return the event that something has come in on ``sock``, as soon as it has."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    assert poll.poll(DEADLINE_MS), "nothing has come in"
    return event(sock.fileno())


def test_the_tables_are_the_same_in_c_and_in_python() -> None:
    text = (ROOT / "loadgen" / "engine" / "_native_slots.h").read_text(encoding="utf-8")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    [names] = re.findall(r"enum \{\s*(AWAITED_BYTES,[^}]*?),\s*COLUMNS\s*\}", text)
    assert [name.strip().lower() for name in names.split(",")] == list(SLOT)
    assert [getattr(tables, name.upper()) for name in SLOT] == list(range(tables.COLUMNS))
    constants = {"UNKNOWN": UNKNOWN, "NOT_TRIED": NOT_TRIED}
    constants |= {"SIZE_ONLY": SIZE_ONLY, "EQUAL": EQUAL, "DELIMITED": DELIMITED}
    constants |= {"OTHER_COLUMNS": OTHER, "FAILED_COLUMNS": FAILED}
    assert {name: getattr(tables, name) for name in constants} == constants
    assert tables.NativeBatch._fields == Batch._fields
    assert TURN_EVENTS == MOST_EVENTS


# ---- steady receives ----------------------------------------------------------------------


def test_whole_replies_become_rows_and_leave_their_slots_free(ends: Ends) -> None:
    table = Slots(Batch(reply_bytes=4), Batch(reply_bytes=6, messages=3))
    (first, peer), (second, other_peer) = ends.pair(), ends.tcp_pair()
    table.add_waiting(first.fileno(), origin=5 << 26, intended_ns=3)
    table.add_waiting(second.fileno(), batch=1, origin=1, sent_ns=8)
    peer.sendall(b"pong")
    other_peer.sendall(b"aabbcc")
    before_ns = monotonic_ns()
    received = table.receive(arrived(first), arrived(second))
    after_ns = monotonic_ns()
    assert (received.next, received.replied, received.others) == (2, [0, 1], [])
    assert [row[:5] for row in received.replies] == [(5 << 26, 1, 3, 7, 0), (1, 3, 0, 8, 0)]
    read_at = [row.read_ns for row in received.replies]
    assert before_ns <= read_at[0] <= read_at[1] <= after_ns
    for number, read_ns in enumerate(read_at):
        columns = table.get(number, "awaited_bytes", "in_flight", "read_at_ns", "unstamped_left")
        assert columns == [NO_BATCH, 0, read_ns, NEVER - 1]


def test_rows_are_added_to_those_that_are_there(ends: Ends) -> None:
    table = Slots()
    ours, peer = ends.pair()
    number = table.add_waiting(ours.fileno())
    for turn in range(3):
        table.change(number, awaited_bytes=4, in_flight=1, sent_ns=turn)
        peer.sendall(b"pong")
        table.receive(arrived(ours))
    assert table.rows_filled == 3
    assert list(table.rows[3 : 3 * 6 : 6]) == [0, 1, 2]


@pytest.fixture
def stamping() -> Iterator[None]:
    with timestamps.keep_stamping(wall_ns):
        yield


@ONLY_LINUX
def test_every_third_reply_is_stamped(ends: Ends, stamping: None) -> None:
    table = Slots(Batch(unstamped_after=2))
    ours, peer = ends.tcp_pair()
    timestamps.enable(ours)
    number = table.add_waiting(ours.fileno(), unstamped_left=1)
    stamped = []
    for _ in range(6):
        table.change(number, awaited_bytes=4, in_flight=1)
        before_ns = wall_ns()
        peer.sendall(b"pong")
        [row] = table.receive(arrived(ours)).replies
        assert row.stamp_ns == 0 or before_ns <= row.stamp_ns <= wall_ns()
        stamped.append(row.stamp_ns > 0)
    assert stamped == [False, True, False, False, True, False]


def test_a_stamp_that_does_not_come_is_missing(ends: Ends) -> None:
    table = Slots(Batch(unstamped_after=0))
    ours, peer = ends.pair()
    table.add_waiting(ours.fileno(), unstamped_left=0)
    peer.sendall(b"pong")
    [row] = table.receive(arrived(ours)).replies
    assert row.stamp_ns == timestamps.MISSING


@ONLY_LINUX
@pytest.mark.parametrize(("room", "is_bound"), [(4, True), (5, False)])
def test_the_stamp_of_a_full_read_is_a_bound(
    ends: Ends, stamping: None, room: int, is_bound: bool
) -> None:
    table = Slots(Batch(reply_bytes=9), buffer_bytes=room)
    ours, peer = ends.tcp_pair()
    timestamps.enable(ours)
    table.add_waiting(ours.fileno(), unstamped_left=0)
    peer.sendall(b"part")
    [other] = table.receive(arrived(ours)).others
    assert (other.stamp_ns == timestamps.UPPER_BOUND) == is_bound
    assert is_bound or other.stamp_ns > 0
    assert table.get(0, "unstamped_left") == [0]  # the next read has its stamp, too


# ---- what is handed back ------------------------------------------------------------------


@pytest.mark.parametrize("text", [b"pon", b"pong!", b"x"])
def test_another_size_is_handed_back_with_its_bytes(ends: Ends, text: bytes) -> None:
    table = Slots()
    ours, peer = ends.pair()
    table.add_waiting(ours.fileno())
    before = list(table.slots)
    peer.sendall(text)
    received = table.receive(arrived(ours))
    [other] = received.others
    assert (received.replies, received.replied) == ([], [])
    assert other[:6] == (ours.fileno(), 0, 0, len(text), 0, timestamps.NOT_ASKED)
    assert table.text_of(other) == text
    assert list(table.slots) == before


def test_what_is_handed_back_stays_in_the_buffer_and_what_is_whole_does_not(ends: Ends) -> None:
    table = Slots()
    pairs = [ends.pair() for _ in range(4)]
    texts = [b"po", b"pong", b"", b"pongs"]
    for (ours, peer), text in zip(pairs, texts, strict=True):
        table.add_waiting(ours.fileno())
        peer.sendall(text)
        peer.close()
    received = table.receive(*(event(ours.fileno()) for ours, _ in pairs))
    assert received.replied == [1]
    assert [(other.slot, other.offset) for other in received.others] == [(0, 0), (2, 2), (3, 2)]
    assert [table.text_of(other) for other in received.others] == [b"po", b"", b"pongs"]


def test_bytes_that_nobody_awaits_are_handed_back(ends: Ends) -> None:
    table = Slots(Batch(reply_bytes=0))
    pairs = [ends.pair(), ends.pair()]
    table.add(pairs[0][0].fileno())
    table.add_waiting(pairs[1][0].fileno())  # awaits none: the end of the stream is no reply
    pairs[0][1].sendall(b"x")
    pairs[1][1].close()
    received = table.receive(*(event(ours.fileno()) for ours, _ in pairs))
    assert [(other.slot, other.size) for other in received.others] == [(0, 1), (1, 0)]


def test_nothing_to_read_is_nothing(ends: Ends) -> None:
    table = Slots()
    ours, _ = ends.pair()
    ours.setblocking(True)  # it does not wait for all that
    table.add_waiting(ours.fileno())
    table.add_waiting(ends.pair()[0].fileno(), unstamped_left=0)
    before = list(table.slots)
    descriptors = table.get(0, "descriptor") + table.get(1, "descriptor")
    assert table.receive(*map(event, descriptors)) == (2, [], [], [])
    assert list(table.slots) == before


@pytest.mark.parametrize("unstamped_left", [0, NEVER])
def test_errors_of_reads_are_handed_back(ends: Ends, unstamped_left: int) -> None:
    table = Slots()
    ours, peer = ends.tcp_pair()
    closed, _ = ends.pair()
    closed_descriptor = closed.fileno()
    closed.close()
    table.add_waiting(ours.fileno(), unstamped_left=unstamped_left)
    table.add_waiting(closed_descriptor, unstamped_left=unstamped_left)
    reset(peer)
    received = table.receive(arrived(ours), event(closed_descriptor))
    sizes = [other.size for other in received.others]
    assert sizes == [-errno.ECONNRESET, -errno.EBADF]
    assert [other.offset for other in received.others] == [0, 0]
    assert received.replied == []


@pytest.mark.parametrize("events", [WRITE, READ | WRITE, 0])
def test_other_events_are_handed_back_unread(ends: Ends, events: int) -> None:
    table = Slots()
    ours, peer = ends.pair()
    table.add_waiting(ours.fileno())
    peer.sendall(b"pong")
    received = table.receive(event(ours.fileno(), events))
    assert [other[:2] for other in received.others] == [(ours.fileno(), events)]
    assert ours.recv(10) == b"pong"


@pytest.mark.parametrize("slot", [-1, 7, 2**40])
def test_a_descriptor_without_a_slot_is_handed_back_unread(ends: Ends, slot: int) -> None:
    table = Slots()
    ours, peer = ends.pair()
    table.add_waiting(ours.fileno())
    table.slot_of[ours.fileno()] = slot
    peer.sendall(b"pong")
    beyond = len(table.slot_of)
    received = table.receive(event(ours.fileno()), event(beyond), event(-1))
    assert [other[:2] for other in received.others] == [
        (descriptor, READ) for descriptor in (ours.fileno(), beyond, -1)
    ]
    assert ours.recv(10) == b"pong"


def test_a_descriptor_used_anew_belongs_to_the_slot_that_has_it_now(ends: Ends) -> None:
    table = Slots()
    ours, peer = ends.pair()
    before = table.add_waiting(ours.fileno(), origin=70)
    table.change(before, descriptor=-1)  # its socket was closed
    peer.sendall(b"pong")
    [unread] = table.receive(event(ours.fileno())).others
    assert unread[:2] == (ours.fileno(), READ)
    now = table.add_waiting(ours.fileno(), origin=71)
    received = table.receive(event(ours.fileno()))
    assert received.replied == [now]
    assert [row.origin for row in received.replies] == [71]
    assert table.get(before, "in_flight") == [1]


def test_events_for_which_no_room_is_left_are_left_over(ends: Ends) -> None:
    table = Slots(Batch(reply_bytes=4), buffer_bytes=LEAST_ROOM + 9)
    texts = [b"123456789", b"pong", b"1", b"pong", b"end"]
    pairs = [ends.pair() for _ in texts]
    for (ours, peer), text in zip(pairs, texts, strict=True):
        table.add_waiting(ours.fileno())
        peer.sendall(text)
    events = [event(ours.fileno()) for ours, _ in pairs]
    received = table.receive(*events)
    assert received.next == 3
    assert received.replied == [1]
    assert [table.text_of(other) for other in received.others] == [b"123456789", b"1"]
    received = table.receive(*events, first=received.next)
    assert received.next == 5
    assert received.replied == [3]
    assert [table.text_of(other) for other in received.others] == [b"end"]


# ---- checks of replies --------------------------------------------------------------------

LINE: Final = Batch(reply_bytes=UNKNOWN, check=DELIMITED, reply=b"\r\n", kind=1 << 53, most_bytes=8)
PAGE: Final = Batch(reply_bytes=UNKNOWN, check=EQUAL, reply=b"HTTP 200", kind=2 << 53)
ECHO: Final = Batch(reply_bytes=4, check=EQUAL, reply=b"ping", kind=3 << 53)


@pytest.mark.parametrize(
    ("batch", "text", "is_whole"),
    [
        pytest.param(LINE, b"+OK\r\n", True, id="a line"),
        pytest.param(LINE, b"\r\n", True, id="an empty line"),
        pytest.param(LINE, b"123456\r\n", True, id="the longest line"),
        pytest.param(LINE, b"1234567\r\n", False, id="a line that is too long"),
        pytest.param(LINE, b"+OK", False, id="a line without its end"),
        pytest.param(LINE, b"\n", False, id="shorter than the delimiter"),
        pytest.param(LINE, b"a\r\nb\r\n", False, id="two lines"),
        pytest.param(LINE, b"a\r\nb", False, id="a line and some of the next"),
        pytest.param(LINE._replace(reply=b"xx"), b"xxx", False, id="a delimiter before the end"),
        pytest.param(LINE._replace(messages=2), b"+OK\r\n", False, id="one line of two"),
        pytest.param(LINE._replace(reply=b""), b"+OK\r\n", False, id="no delimiter"),
        pytest.param(PAGE, b"HTTP 200", True, id="equal"),
        pytest.param(PAGE, b"HTTP 500", False, id="of the same size, unequal"),
        pytest.param(PAGE, b"HTTP 2000", False, id="longer"),
        pytest.param(PAGE, b"HTTP 20", False, id="shorter"),
        pytest.param(PAGE._replace(reply=b""), b"H", False, id="nothing to be equal to"),
        pytest.param(PAGE._replace(most_bytes=7), b"HTTP 200", False, id="equal and too long"),
        pytest.param(PAGE._replace(check=0), b"HTTP 200", False, id="nothing to check by"),
        pytest.param(PAGE._replace(check=9), b"HTTP 200", False, id="an unknown check"),
        pytest.param(ECHO, b"ping", True, id="an echo"),
        pytest.param(ECHO, b"pinG", False, id="a wrong echo"),
        pytest.param(ECHO._replace(reply=b"pings"), b"ping", False, id="of another size"),
    ],
)
def test_a_reply_is_checked(ends: Ends, batch: Batch, text: bytes, is_whole: bool) -> None:
    table = Slots(batch)
    ours, peer = ends.pair()
    table.add_waiting(ours.fileno(), origin=9)
    peer.sendall(text)
    received = table.receive(arrived(ours))
    assert received.replied == ([0] if is_whole else [])
    assert [table.text_of(other) for other in received.others] == ([] if is_whole else [text])
    kind = batch.kind if batch.reply_bytes == UNKNOWN else 0
    assert [row.origin for row in received.replies] == ([9 | kind] if is_whole else [])
    counted = len(text) if is_whole and batch.reply_bytes == UNKNOWN else 0
    assert table.get(0, "received_bytes") == [counted]


def test_a_slot_that_has_read_half_a_reply_is_not_checked(ends: Ends) -> None:
    table = Slots(LINE)
    ours, peer = ends.pair()
    table.add_waiting(ours.fileno(), is_unchecked=1)
    peer.sendall(b"+OK\r\n")
    assert [table.text_of(other) for other in table.receive(arrived(ours)).others] == [b"+OK\r\n"]


# ---- sending ------------------------------------------------------------------------------


def test_each_slot_sends_its_batch(ends: Ends) -> None:
    table = Slots(Batch(b"one", 5), Batch(b"twotwo", 8, messages=2))
    pairs = [ends.pair(), ends.tcp_pair(), ends.pair()]
    for (ours, _), batch in zip(pairs, (0, 1, 0), strict=True):
        table.add(ours.fileno(), batch=batch, batches_left=3, intended_ns=2)
    before_ns = monotonic_ns()
    assert table.send(2, 0, 1) == []
    after_ns = monotonic_ns()
    assert [peer.recv(100) for _, peer in pairs] == [b"one", b"twotwo", b"one"]
    columns = ("awaited_bytes", "in_flight", "intended_ns", "batches_left", "batches_granted")
    slots = [table.get(number, *columns) for number in range(3)]
    assert slots == [[5, 1, 2, 2, 0], [8, 2, 2, 2, 0], [5, 1, 2, 2, 0]]
    sent_at = [table.get(number, "sent_ns")[0] for number in (2, 0, 1)]
    assert before_ns <= sent_at[0] <= sent_at[1] <= sent_at[2] <= after_ns


@pytest.mark.parametrize(
    "columns",
    [
        {"batches_left": 0},
        {"in_flight": 1, "awaited_bytes": 4},
        {"batch": 1},
        {"descriptor": -1},
        {"descriptor": 2**32},
    ],
)
def test_what_cannot_be_sent_is_not_tried(ends: Ends, columns: dict[str, int]) -> None:
    table = Slots(Batch(), Batch(b""))
    (first, peer), (second, other_peer) = ends.pair(), ends.pair()
    table.add(first.fileno(), batches_left=1, unscheduled=columns.get("batches_left", 1))
    table.change(0, **columns)
    if columns.get("descriptor", 0) > 0:  # it must not pass for the descriptor of its lower bits
        table.change(0, descriptor=columns["descriptor"] + first.fileno())
    table.add(second.fileno(), batches_left=1, unscheduled=1)
    before = list(table.slots[: len(SLOT)])
    assert table.send(0, 1) == [[0, NOT_TRIED]]
    assert other_peer.recv(10) == b"ping"
    table.change(1, in_flight=0)
    sends, failed = table.submit((0, 10, 11), (1, 20, 21))
    assert [sent[0] for sent in sends] == [20]
    assert failed == [[0, NOT_TRIED]]
    assert other_peer.recv(10) == b"ping"
    assert list(table.slots[: len(SLOT)]) == before
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.recv(10)


def test_a_slot_that_is_named_twice_sends_once(ends: Ends) -> None:
    table = Slots()
    ours, peer = ends.pair()
    table.add(ours.fileno(), batches_left=2)
    assert table.send(0, 0) == [[0, NOT_TRIED]]
    assert peer.recv(100) == b"ping"
    assert table.get(0, "batches_left") == [1]


def drained(peer: socket.socket) -> int:
    """Return how many bytes wait on ``peer``."""
    peer.setblocking(False)
    size = 0
    try:
        while text := peer.recv(1 << 20):
            size += len(text)
    except BlockingIOError:
        pass
    return size


def test_what_the_kernel_does_not_take_is_told(ends: Ends) -> None:
    data = bytes(1 << 21)
    table = Slots(Batch(data))
    ours, peer = ends.pair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    table.add(ours.fileno(), batches_left=9)
    [[slot, accepted]] = table.send(0)
    assert slot == 0
    assert 0 < accepted < len(data)
    assert table.get(0, "in_flight", "batches_left") == [1, 8]  # it is counted, as a whole one is
    table.change(0, in_flight=0)
    assert table.send(0) == [[0, -errno.EAGAIN]]
    assert drained(peer) == accepted


@contextmanager
def deadly_signal() -> Iterator[None]:
    """Let SIGPIPE raise, which Python ignores."""

    def broken(*_: Any) -> None:
        raise AssertionError("SIGPIPE")

    before = signal.signal(signal.SIGPIPE, broken)
    try:
        yield
    finally:
        signal.signal(signal.SIGPIPE, before)


def test_a_connection_that_has_ended_is_an_error_and_no_signal(ends: Ends) -> None:
    table = Slots()
    (ended, peer), (broken, other_peer), (fine, last_peer) = (
        ends.pair(),
        ends.tcp_pair(),
        ends.pair(),
    )
    for sock in (ended, broken, fine):
        table.add(sock.fileno(), batches_left=1, unscheduled=1)
    peer.close()
    reset(other_peer)
    arrived(broken)
    with deadly_signal():
        assert table.send(0, 1, 2) == [[0, -errno.EPIPE], [1, -errno.ECONNRESET]]
        for number in range(3):
            table.change(number, in_flight=0)
        sends, failed = table.submit((0, 1, 2), (1, 1, 2), (2, 1, 2))
    assert failed == [[0, -errno.EPIPE], [1, -errno.EPIPE]]
    assert len(sends) == 1
    assert last_peer.recv(100) == b"pingping"


def test_a_datagram_that_is_too_long_and_a_closed_descriptor_are_errors(ends: Ends) -> None:
    table = Slots(Batch(bytes(70_000)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        sender = ends.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sender.connect(receiver.getsockname())
        closed, _ = ends.pair()
        for sock in (sender, closed):
            table.add(sock.fileno(), batches_left=1)
        closed.close()
        assert table.send(0, 1) == [[0, -errno.EMSGSIZE], [1, -errno.EBADF]]


# ---- under a schedule ---------------------------------------------------------------------


def test_messages_are_submitted_in_order_with_their_times(ends: Ends) -> None:
    table = Slots(Batch(b"a"), Batch(b"b"))
    pairs = [ends.pair() for _ in range(3)]
    for number, (ours, _) in enumerate(pairs):
        table.add(ours.fileno(), batch=number % 2, unscheduled=2, batches_granted=5)
    pairs[1][1].close()
    before_ns = monotonic_ns()
    sends, failed = table.submit((2, 100, 110), (1, 200, 210), (0, 300, 310))
    after_ns = monotonic_ns()
    assert [sent[:2] for sent in sends] == [[100, 110], [300, 310]]  # the failed one has no row
    assert failed == [[1, -errno.EPIPE]]
    assert before_ns <= sends[0][2] <= sends[1][2] <= after_ns
    assert [pairs[number][1].recv(10) for number in (0, 2)] == [b"a", b"a"]
    columns = ("intended_ns", "unscheduled", "batches_granted", "batches_left", "in_flight")
    assert table.get(2, *columns) == [100, 1, 6, 0, 1]
    assert table.get(1, *columns) == [200, 1, 6, 0, 1]  # counted: what follows is Python's
    assert table.get(0, "sent_ns") == [sends[1][2]]


def test_times_of_sends_are_added_to_those_that_are_there(ends: Ends) -> None:
    table = Slots()
    ours, _ = ends.pair()
    table.add(ours.fileno(), unscheduled=1)
    table.sends[:3] = array("q", [1, 2, 3])
    due = array("q", [0, 4, 5])
    assert native.submit(table.table, due, 1, table.sends, 1, table.failed) == (2, 0)
    assert list(table.sends[:5]) == [1, 2, 3, 4, 5]


def test_replies_to_scheduled_messages_keep_when_they_were_due(ends: Ends) -> None:
    table = Slots()
    ours, peer = ends.pair()
    table.add(ours.fileno(), unscheduled=1)
    [[_, _, sent_ns]], _ = table.submit((0, 123, 456))
    peer.sendall(peer.recv(10))
    [row] = table.receive(arrived(ours)).replies
    assert row[:5] == (0, 1, 123, sent_ns, 0)
    assert sent_ns <= row.read_ns
