"""The waits of the native module: what is ready, for how long, and what ends them."""

import errno
import fcntl
import os
import select
import signal
import socket
import struct
import sys
import threading
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from native_slots import MOST_EVENTS, READ, WRITE, Ends, ends, integers, native

from loadgen.net.clock import monotonic_ns

__all__ = ["ends"]

MS: Final = 1_000_000
DEADLINE_NS: Final = 20_000 * MS
FOREVER: Final = -1
FD_SETSIZE: Final = 1024

Found = list[tuple[int, int]]
Wait = Callable[..., Found]


def events_in(found: int, events: "array[int]") -> Found:
    return [(value >> 32, value & 0xFFFFFFFF) for value in events[:found]]


def epoll(watched: dict[int, int], timeout_ns: int, start: int = 0, room: int = 256) -> Found:
    """Wait with epoll(7), which has an order of its own."""
    del start
    events = integers(room)
    interest = {READ: select.EPOLLIN, WRITE: select.EPOLLOUT, 3: select.EPOLLIN | select.EPOLLOUT}
    with select.epoll() as poller:
        for descriptor, wanted in watched.items():
            poller.register(descriptor, interest[wanted])
        return events_in(native.wait_epoll(poller.fileno(), timeout_ns, events), events)


def listed(watched: dict[int, int]) -> bytearray:
    """Return the array of ``struct pollfd`` for poll(2)."""
    interest = {READ: select.POLLIN, WRITE: select.POLLOUT, 3: select.POLLIN | select.POLLOUT}
    return bytearray(
        b"".join(struct.pack("ihh", number, interest[to], 0) for number, to in watched.items())
    )


def poll(watched: dict[int, int], timeout_ns: int, start: int = 0, room: int = 256) -> Found:
    """Wait with poll(2)."""
    events = integers(room)
    found = native.wait_poll(listed(watched), len(watched), timeout_ns, start, events)
    return events_in(found, events)


def select_(watched: dict[int, int], timeout_ns: int, start: int = 0, room: int = 256) -> Found:
    """Wait with select(2)."""
    events = integers(room)
    found = native.wait_select(listed(watched), len(watched), timeout_ns, start, events)
    return events_in(found, events)


EPOLL: Final = pytest.param(
    epoll, id="epoll", marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux has epoll")
)
HAS_POLL: Final = pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no ppoll(2)")
POLL: Final = pytest.param(poll, id="poll", marks=HAS_POLL)
SELECT: Final = pytest.param(select_, id="select")
EACH: Final = pytest.mark.parametrize("wait", [EPOLL, POLL, SELECT])
LISTED: Final = pytest.mark.parametrize("wait", [POLL, SELECT])


@EACH
def test_what_is_ready_is_found_with_its_events(wait: Wait, ends: Ends) -> None:
    (readable, peer), (idle, _), (both, other_peer) = ends.pair(), ends.pair(), ends.pair()
    peer.sendall(b"x")
    other_peer.sendall(b"x")
    watched = {readable.fileno(): READ, idle.fileno(): READ, both.fileno(): READ | WRITE}
    found = wait(watched, FOREVER)
    assert sorted(found) == sorted([(readable.fileno(), READ), (both.fileno(), READ | WRITE)])
    assert wait({idle.fileno(): READ | WRITE}, 0) == [(idle.fileno(), WRITE)]


@EACH
def test_a_hang_up_wakes_both_sides(wait: Wait, ends: Ends) -> None:
    ours, peer = ends.pair()
    peer.close()
    events = READ if wait is select_ else READ | WRITE  # select(2) has but what it was asked for
    assert wait({ours.fileno(): READ}, FOREVER) == [(ours.fileno(), events)]


@EACH
@pytest.mark.parametrize("timeout_ns", [0, 1, 400_000, 1 * MS, 1_500_000, 3 * MS])
def test_a_wait_for_nothing_lasts_as_long_as_it_should(
    wait: Wait, timeout_ns: int, ends: Ends
) -> None:
    ours, _ = ends.pair()
    began_ns = monotonic_ns()
    assert wait({ours.fileno(): READ}, timeout_ns) == []
    assert monotonic_ns() - began_ns >= timeout_ns


@LISTED
def test_nothing_is_watched_for_as_long_as_it_should(wait: Wait) -> None:
    began_ns = monotonic_ns()
    assert wait({}, 2 * MS, start=5) == []
    assert monotonic_ns() - began_ns >= 2 * MS


@EACH
@pytest.mark.parametrize("timeout_ns", [DEADLINE_NS, DEADLINE_NS + 1, 2**63 - 1])
def test_other_threads_run_while_it_waits(wait: Wait, timeout_ns: int, ends: Ends) -> None:
    ours, peer = ends.pair()
    go = threading.Event()

    def send() -> None:
        go.wait()
        peer.sendall(b"x")

    interval_s = sys.getswitchinterval()
    other = threading.Thread(target=send)
    other.start()
    sys.setswitchinterval(1000.0)  # the other one runs only when this one lets it
    try:
        go.set()
        found = wait({ours.fileno(): READ}, timeout_ns)
    finally:
        sys.setswitchinterval(interval_s)
        other.join()
    assert found == [(ours.fileno(), READ)]


# ---- signals ------------------------------------------------------------------------------


@contextmanager
def signals(handler: Callable[..., Any]) -> Iterator[None]:
    """Interrupt this thread again and again, with a signal that ``handler`` handles."""
    stop = threading.Event()
    thread = threading.get_ident()

    def interrupt() -> None:
        while not stop.wait(0.002):
            signal.pthread_kill(thread, signal.SIGUSR1)

    other = threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        other.start()
        yield
    finally:
        stop.set()
        other.join()
        signal.signal(signal.SIGUSR1, before)


class HandledError(Exception):
    """Raised by a handler."""


@EACH
@pytest.mark.parametrize("timeout_ns", [FOREVER, DEADLINE_NS + 1])
def test_a_signal_is_handled_and_ends_the_wait(wait: Wait, timeout_ns: int, ends: Ends) -> None:
    ours, _ = ends.pair()
    numbers = []
    began_ns = monotonic_ns()
    with signals(lambda number, _: numbers.append(number)):
        assert wait({ours.fileno(): READ}, timeout_ns) == []
        assert set(numbers) == {signal.SIGUSR1}
    assert monotonic_ns() - began_ns < DEADLINE_NS


@EACH
def test_what_a_handler_raises_comes_out_of_the_wait(wait: Wait, ends: Ends) -> None:
    ours, _ = ends.pair()
    armed: list[bool] = []

    def handler(*_: Any) -> None:
        if armed:
            armed.clear()
            raise HandledError

    def wait_in_vain() -> None:
        armed.append(True)
        wait({ours.fileno(): READ}, DEADLINE_NS)

    with signals(handler), pytest.raises(HandledError):
        wait_in_vain()


# ---- more than there is room for ----------------------------------------------------------


@pytest.fixture
def many(ends: Ends) -> list[int]:
    """As many descriptors as an answer of epoll can list, and two more; all of them readable."""
    ours, peer = ends.pair()
    peer.sendall(b"x")
    copies = [ends.enter_context(socket.socket(fileno=os.dup(ours.fileno()))) for _ in range(129)]
    return [ours.fileno(), *(copy.fileno() for copy in copies)]


@LISTED
def test_all_have_their_turn_when_the_start_moves_on(wait: Wait, many: list[int]) -> None:
    watched = dict.fromkeys(many, READ)
    turns = [wait(watched, 0, start=start, room=40) for start in (0, 40, 80, 120)]
    assert [len(found) for found in turns] == [40] * 4
    listed_in_turn = [descriptor for found in turns for descriptor, _ in found]
    assert listed_in_turn[:130] == many
    assert listed_in_turn[130:] == many[:30]
    assert wait(watched, 0, start=2**62 + 1, room=1)[0][0] == many[(2**62 + 1) % 130]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has epoll")
def test_epoll_gives_all_their_turn(many: list[int]) -> None:
    events = integers(200)
    seen: set[int] = set()
    with select.epoll() as poller:
        for descriptor in many:
            poller.register(descriptor, select.EPOLLIN)
        for room, expected in ((200, MOST_EVENTS), (40, 40), (0, 0)):
            view = memoryview(events)[:room]
            found = native.wait_epoll(poller.fileno(), 0, view)
            assert found == expected
            seen.update(descriptor for descriptor, _ in events_in(found, events))
    assert seen == set(many)


# ---- what cannot be watched ---------------------------------------------------------------


@pytest.mark.parametrize("descriptor", [-1, FD_SETSIZE, 2**31 - 1])
def test_select_refuses_what_it_cannot_watch(descriptor: int) -> None:
    with pytest.raises(ValueError, match="FD_SETSIZE"):
        select_({descriptor: READ}, 0)


@HAS_POLL
def test_poll_watches_descriptors_that_select_cannot(ends: Ends) -> None:
    ours, peer = ends.pair()
    peer.sendall(b"x")
    try:
        high = fcntl.fcntl(ours, fcntl.F_DUPFD, FD_SETSIZE)
    except OSError:
        pytest.skip(f"a process may have {FD_SETSIZE} descriptors here at most")
    ends.callback(os.close, high)
    assert poll({high: READ}, 0) == [(high, READ)]


def test_a_closed_descriptor(ends: Ends) -> None:
    ours, _ = ends.pair()
    closed = ours.fileno()
    ours.close()
    with pytest.raises(OSError) as raised:
        select_({closed: READ}, 0)
    assert raised.value.errno == errno.EBADF
    if sys.platform == "linux":
        assert poll({closed: READ}, FOREVER) == [(closed, READ | WRITE)]  # POLLNVAL: it is no more
        for timeout_ns in (0, 1, DEADLINE_NS + 1):
            with pytest.raises(OSError) as raised:
                native.wait_epoll(closed, timeout_ns, integers(4))
            assert raised.value.errno == errno.EBADF
