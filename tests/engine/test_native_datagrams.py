"""What the native module reads and sends of datagrams in one call, over real sockets."""

import contextlib
import errno
import os
import socket
import sys
from array import array
from collections.abc import Iterator
from typing import Any, Final

import pytest

from loadgen.net import timestamps
from loadgen.net.clock import WallClock, monotonic_ns, wall_ns
from loadgen.net.udp import LARGEST_BYTES

native: Any = pytest.importorskip(
    "loadgen.engine._native", reason="the C modules are not built here", exc_type=ImportError
)

PART_BYTES: Final = 32
MOST: Final = 64
ONLY_SCRIPTED: Final = pytest.mark.skipif(
    "SCRIPTED_CALLS" not in os.environ, reason="the system calls are not scripted here"
)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two UDP sockets that are connected to each other."""
    with contextlib.ExitStack() as stack:
        yield udp_pair(stack)


def udp_pair(stack: contextlib.ExitStack) -> tuple[socket.socket, socket.socket]:
    one, other = (
        stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)
    )
    for sock in (one, other):
        sock.bind(("127.0.0.1", 0))
    one.connect(other.getsockname())
    other.connect(one.getsockname())
    return one, other


@pytest.fixture
def full() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets of which the one accepts only what the other has room for."""
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    yield pair
    for sock in pair:
        sock.close()


class Room:
    """Room for datagrams that are read."""

    def __init__(self, parts: int = 8, stamp_every: int = 0) -> None:
        self.buffer = bytearray(parts * PART_BYTES)
        self.reads = array("q", [7] * 3 * parts)
        self.table = (self.buffer, PART_BYTES, timestamps.OPTION, stamp_every, self.reads)

    def read(self, sock: socket.socket, most: int = 8, unstamped_left: int = 0) -> list[Any]:
        """Return what was read, or the error number of it."""
        count = native.receive_datagrams(self.table, sock.fileno(), most, unstamped_left)
        sizes = self.reads[: 3 * count : 3]
        return [
            bytes(self.buffer[at : at + size]) if size >= 0 else -size
            for at, size in zip(range(0, len(self.buffer), PART_BYTES), sizes, strict=False)
        ]


def send(sock: socket.socket, *messages: bytes) -> tuple[int, int, list[int]]:
    """Return how many were accepted, the error number, and the times."""
    sent_ns = array("q", [0] * len(messages))
    done, code = native.send_datagrams(sock.fileno(), messages, sent_ns)
    return done, code, list(sent_ns)


Pair = tuple[socket.socket, socket.socket]


class TestRead:
    @pytest.mark.parametrize("most", [3, 8])
    def test_are_all_that_are_there_each_in_its_part(self, ends: Pair, most: int) -> None:
        ours, peer = ends
        for message in (b"one", b"", b"three"):
            peer.send(message)
        room = Room()
        before_ns = monotonic_ns()
        assert room.read(ours, most) == [b"one", b"", b"three"]
        assert all(before_ns <= read_ns <= monotonic_ns() for read_ns in room.reads[2:9:3])
        assert list(room.reads[1:9:3]) == [timestamps.NOT_ASKED] * 3
        assert room.read(ours) == []

    @pytest.mark.parametrize("most", [1, 2])
    def test_are_no_more_than_asked_for(self, ends: Pair, most: int) -> None:
        ours, peer = ends
        for message in (b"a", b"b", b"c", b"d"):
            peer.send(message)
        room = Room(parts=most)
        found = [room.read(ours, most) for _ in range(4 // most)]
        assert [each for some in found for each in some] == [b"a", b"b", b"c", b"d"]

    @pytest.mark.parametrize("most", [1, 8])
    def test_are_refused_where_they_were_cut_short(self, ends: Pair, most: int) -> None:
        """So is one that just fits: nothing tells it from one that did not."""
        ours, peer = ends
        sizes = (PART_BYTES - 1, PART_BYTES, 5 * PART_BYTES, 1)
        for size in sizes:
            peer.send(b"x" * size)
        room = Room()
        found = [each for _ in range(8 // most) for each in room.read(ours, most)]
        assert found == [b"x" * sizes[0], errno.EMSGSIZE, errno.EMSGSIZE, b"x"]

    @pytest.mark.parametrize("most", [1, 8])
    def test_may_be_an_error_of_the_socket(self, ends: Pair, most: int) -> None:
        ours, peer = ends
        peer.close()
        ours.send(b"to nobody")
        assert Room().read(ours, most) == [errno.ECONNREFUSED]
        descriptor = ours.detach()
        os.close(descriptor)
        assert native.receive_datagrams(Room().table, descriptor, most, 0) == 1

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux has stamps")
    @pytest.mark.parametrize("most", [1, 3, 7])
    def test_have_the_time_at_which_each_arrived(self, ends: Pair, most: int) -> None:
        ours, peer = ends
        with timestamps.keep_stamping(wall_ns):
            timestamps.enable(ours)
            room, left = Room(stamp_every=2), 1
            before_ns = wall_ns()
            for number in range(7):
                peer.send(bytes([number]))
            after_ns = wall_ns()
            stamps: list[int] = []
            while len(stamps) < 7:
                count = len(room.read(ours, most, left))
                stamps += room.reads[1 : 3 * count : 3]
                left = (left - count) % 2
        assert stamps[::2] == [timestamps.NOT_ASKED] * 4
        assert before_ns <= stamps[1] < stamps[3] < stamps[5] <= after_ns

    def test_say_where_a_stamp_is_missing(self, ends: Pair) -> None:
        ours, peer = ends
        for message in (b"a", b"b"):
            peer.send(message)
        room = Room(stamp_every=1)
        assert room.read(ours) == [b"a", b"b"]
        assert list(room.reads[1:6:3]) == [timestamps.MISSING] * 2


class TestSent:
    def test_are_all_and_each_has_its_time(self, ends: Pair) -> None:
        ours, peer = ends
        before_ns = monotonic_ns()
        done, code, sent_ns = send(ours, b"one", b"", b"three")
        assert (done, code) == (3, 0)
        assert before_ns <= sent_ns[0] < sent_ns[1] < sent_ns[2] <= monotonic_ns()
        assert [peer.recv(100) for _ in range(3)] == [b"one", b"", b"three"]

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux has stamps")
    def test_have_a_time_between_their_neighbours(self, ends: Pair) -> None:
        """By the peer's kernel. One time for all, or the beginning of all, would not be there."""
        ours, peer = ends
        with timestamps.keep_stamping(wall_ns):
            timestamps.enable(peer)
            offset_ns = WallClock(monotonic_ns, wall_ns).offset_ns
            _, _, sent_ns = send(ours, *[b"x"] * 20)
            room = Room(20, stamp_every=1)
            assert room.read(peer, 20) == [b"x"] * 20
        arrived_ns = [stamp_ns - offset_ns for stamp_ns in room.reads[1::3]]
        assert all(sent < later for sent, later in zip(sent_ns, arrived_ns[1:], strict=False))
        # What the kernel hands on in another thread may arrive after the next has been sent.
        in_order = [before < sent for before, sent in zip(arrived_ns, sent_ns[1:], strict=False)]
        assert sum(in_order) > 10

    def test_stop_where_there_is_no_room(self, full: Pair) -> None:
        ours, peer = full
        before_ns = monotonic_ns()
        done, code, sent_ns = send(ours, *[b"x" * 200] * MOST)
        assert (0 < done < MOST, code) == (True, errno.EAGAIN)
        assert before_ns <= sent_ns[done - 1] < sent_ns[done] <= monotonic_ns()
        assert not any(sent_ns[done + 1 :])
        assert [peer.recv(300, socket.MSG_DONTWAIT) for _ in range(done)] == [b"x" * 200] * done
        with pytest.raises(BlockingIOError):
            peer.recv(300, socket.MSG_DONTWAIT)
        assert send(ours, b"again")[:2] == (1, 0)

    def test_stop_where_the_peer_is_gone(self, ends: Pair) -> None:
        ours, peer = ends
        peer.close()
        assert send(ours, b"a", b"b", b"c")[:2] == (1, errno.ECONNREFUSED)

    def test_stop_at_one_that_is_too_long(self, ends: Pair) -> None:
        ours, peer = ends
        assert send(ours, b"a", bytes(LARGEST_BYTES + 1), b"c")[:2] == (1, errno.EMSGSIZE)
        assert peer.recv(100) == b"a"

    def test_stop_where_the_descriptor_is_closed(self, ends: Pair) -> None:
        descriptor = ends[0].detach()
        os.close(descriptor)
        assert native.send_datagrams(descriptor, (b"a",), array("q", [0])) == (0, errno.EBADF)

    @ONLY_SCRIPTED
    @pytest.mark.parametrize("number", [errno.ENOBUFS, errno.ENOMEM, errno.EPERM])
    def test_stop_at_any_error(self, ends: Pair, number: int) -> None:
        ours, peer = ends
        assert send(ours, b"a", b"b", b"errno %d" % number, b"c")[:2] == (2, number)
        assert [peer.recv(100) for _ in range(2)] == [b"a", b"b"]


class TestArguments:
    def test_of_a_read_that_has_no_room_leave_all_in_the_socket(self, ends: Pair) -> None:
        ours, peer = ends
        peer.send(b"still there")
        buffer, reads, number = bytearray(64), array("q", [0] * 6), ours.fileno()
        wrong: list[tuple[Any, ...]] = [
            ((buffer, 32, 35, 0, reads), number, 3, 0),  # more than parts
            ((buffer, 32, 35, 0, array("q", [0] * 5)), number, 2, 0),
            ((buffer, 0, 35, 0, reads), number, 1, 0),
            ((buffer, -1, 35, 0, reads), number, 1, 0),
            ((buffer, 2**62, 35, 0, reads), number, 1, 0),
            ((buffer, 32, 35, -1, reads), number, 1, 0),
            ((buffer, 32, 35, 0, reads), number, 0, 0),
            ((buffer, 32, 35, 0, reads), number, -1, 0),
            ((buffer, 32, 35, 1, reads), number, 1, -1),
            ((buffer, 32, 35, 0, reads), -1, 1, 0),
            ((buffer, 32, 35, 0, reads), 2**40, 1, 0),
            ((bytearray(100), 1, 35, 0, array("q", [0] * 300)), number, MOST + 1, 0),
            ((buffer, 32, 35, 0, bytearray(7)), number, 1, 0),
        ]
        for arguments in wrong:
            with pytest.raises(ValueError, match=r"[a-z]"):
                native.receive_datagrams(*arguments)
        for arguments in (
            ([buffer, 32, 35, 0, reads], number, 1, 0),
            ((buffer, 32, 35, 0), number, 1, 0),
            ((buffer, 32, 35, 0, reads), number, 1),
            ((buffer, 32, "35", 0, reads), number, 1, 0),
            ((b"not to be written", 1, 35, 0, reads), number, 1, 0),
        ):
            with pytest.raises((TypeError, BufferError)):
                native.receive_datagrams(*arguments)
        assert Room().read(ours) == [b"still there"]

    def test_of_a_send_that_are_wrong_send_nothing(self, ends: Pair) -> None:
        ours, peer = ends
        number, room = ours.fileno(), array("q", [0] * 100)
        for arguments in (
            (number, (b"a", b"b"), array("q", [0])),
            (number, (b"a",) * (MOST + 1), room),
            (-1, (b"a",), room),
        ):
            with pytest.raises(ValueError, match=r"[a-z]"):
                native.send_datagrams(*arguments)
        for others in ((number, [b"a"], room), (number, ("a",), room), (number, (b"a",))):
            with pytest.raises(TypeError):
                native.send_datagrams(*others)
        assert send(ours) == (0, 0, [])
        with pytest.raises(BlockingIOError):
            peer.recv(100, socket.MSG_DONTWAIT)
