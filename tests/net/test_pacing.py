"""Waiting for the moment to send: never for ever, never past a socket that is ready."""

import contextlib
import itertools
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loadgen.engine.selector import BoundedSelector
from loadgen.net import backends
from loadgen.net.clock import ManualClock, monotonic_ns
from loadgen.net.pacing import (
    NAMES,
    SPIN_NS,
    Ready,
    least_timer_slack,
    waiting,
)

MS = 1_000_000
SECOND = 1_000_000_000

EVERY_NAME = pytest.mark.parametrize("name", NAMES)
EVERY_BACKEND = pytest.mark.parametrize("backend", backends.available())


@contextlib.contextmanager
def watched(backend: str) -> Iterator[tuple[Any, socket.socket]]:
    """A selector that watches one socket, and the other end of that socket."""
    ours, peer = socket.socketpair()
    with ours, peer, backends.open_selector(backend) as selector:
        selector.register(ours, selectors.EVENT_READ)
        yield selector, peer


@EVERY_BACKEND
@EVERY_NAME
class TestWaiting:
    def test_ends_where_the_moment_is_reached(self, name: str, backend: str) -> None:
        with watched(backend) as (selector, _):
            wait = waiting(name, selector, monotonic_ns)
            moment_ns = monotonic_ns() + 3 * MS
            while monotonic_ns() < moment_ns:  # it may come back somewhat earlier
                assert wait(selector, moment_ns) == []

    def test_does_not_end_long_before_the_moment(self, name: str, backend: str) -> None:
        with watched(backend) as (selector, _):
            wait = waiting(name, selector, monotonic_ns)
            moment_ns = monotonic_ns() + 20 * MS
            wait(selector, moment_ns)
            allowance_ns = SPIN_NS if name == "precise" else 0
            assert monotonic_ns() >= moment_ns - allowance_ns - MS

    def test_ends_where_a_socket_is_ready(self, name: str, backend: str) -> None:
        with watched(backend) as (selector, peer):
            [ours] = [key.fileobj for key in selector.get_map().values()]
            wait = waiting(name, selector, monotonic_ns)
            peer.sendall(b"x")
            [(key, events)] = wait(selector, monotonic_ns() + 3600 * SECOND)
            assert (key.fileobj, events) == (ours, selectors.EVENT_READ)

    def test_ends_where_a_socket_becomes_ready(self, name: str, backend: str) -> None:
        with watched(backend) as (selector, peer):
            wait = waiting(name, selector, monotonic_ns)
            sender = threading.Thread(target=peer.sendall, args=(b"x",))
            moment_ns = monotonic_ns() + 50 * SECOND
            sender.start()
            found: Ready = []
            while not found:
                assert monotonic_ns() < moment_ns
                found = wait(selector, moment_ns)
            sender.join()

    @pytest.mark.parametrize("late_ns", [0, 1, 3600 * SECOND])
    def test_looks_once_where_the_moment_has_passed(
        self, name: str, backend: str, late_ns: int
    ) -> None:
        with watched(backend) as (selector, peer):
            clock = ManualClock(7200 * SECOND)  # a wait on it would never end
            wait = waiting(name, selector, clock)
            assert wait(selector, clock() - late_ns) == []
            peer.sendall(b"x")
            assert len(wait(selector, clock() - late_ns)) == 1


def test_the_last_moments_before_the_precise_one_are_not_waited_through() -> None:
    with watched("auto") as (selector, _):
        clock = ManualClock(SECOND)
        wait = waiting("precise", selector, clock)
        assert wait(selector, clock() + SPIN_NS) == []


class Noting:
    """A selector that notes how long it is asked to wait; something is ready."""

    def __init__(self, descriptor: int) -> None:
        self.waits: list[float] = []
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def select(self, timeout: float) -> Ready:
        self.waits.append(timeout)
        return []


class EpollSelector(Noting):
    """The same, by the name of one whose own wait is coarse."""


def waits_of(selector: Noting, name: str) -> list[float]:
    """Return how long ``selector`` itself is asked to wait for a moment in 2 ms."""
    clock = ManualClock(SECOND)
    assert waiting(name, selector, clock)(selector, clock() + 2 * MS) == []
    return selector.waits


@pytest.mark.parametrize(("name", "own_wait_s"), [("eco", 0.002), ("normal", 0), ("precise", 0)])
def test_a_coarse_selector_is_waited_for_from_outside(name: str, own_wait_s: float) -> None:
    ours, peer = socket.socketpair()
    with ours, peer:
        peer.sendall(b"x")
        assert waits_of(EpollSelector(ours.fileno()), name) == [own_wait_s]


class SelectSelector(Noting):
    """The same, by the name of one whose own wait is fine."""


SPIN_S = SPIN_NS / SECOND


@pytest.mark.parametrize(
    ("name", "own_wait_s"), [("eco", 0.002), ("normal", 0.002), ("precise", 0.001 - SPIN_S)]
)
@pytest.mark.parametrize(
    "selector",
    [lambda: EpollSelector(backends.FD_SETSIZE), lambda: Noting(0)],
    ids=["its descriptor is too high", "it counts in milliseconds"],
)
def test_any_other_selector_waits_by_itself_and_spins_for_a_millisecond_more(
    name: str, own_wait_s: float, selector: Callable[[], Noting]
) -> None:
    assert waits_of(selector(), name) == [pytest.approx(own_wait_s)]


def test_a_fine_selector_waits_by_itself_until_it_spins() -> None:
    assert waits_of(SelectSelector(0), "precise") == [pytest.approx(0.002 - SPIN_S)]


@EVERY_NAME
@EVERY_BACKEND
def test_a_wait_ends_at_the_moment_or_shortly_before(name: str, backend: str) -> None:
    """The precise pacing polls again by itself, so that it never ends before."""
    with contextlib.closing(
        BoundedSelector(backends.open_selector(backend), monotonic_ns, name)
    ) as bounded:
        for _ in range(3):
            moment_ns = monotonic_ns() + MS
            assert bounded.wait(None, moment_ns) == []
            if name == "precise":
                assert monotonic_ns() >= moment_ns
        assert bounded.loop_stats.polls == bounded.loop_stats.empty >= 3


def test_a_precise_wait_polls_until_the_moment_has_come() -> None:
    ticks = itertools.count(SECOND, SPIN_NS // 8)
    with contextlib.closing(
        BoundedSelector(backends.open_selector("auto"), lambda: next(ticks), "precise")
    ) as bounded:
        moment_ns = next(ticks) + SPIN_NS
        assert bounded.wait(None, moment_ns) == []
        assert bounded.polled_ns >= moment_ns
        assert bounded.loop_stats.polls >= 2


# ---- timer slack --------------------------------------------------------------------------

SLACK = Path("/proc/self/timerslack_ns")


@pytest.mark.skipif(not SLACK.exists(), reason="there is no timer slack here")
class TestTimerSlack:
    def test_is_the_least_meanwhile_and_what_it_was_afterwards(self) -> None:
        before = SLACK.read_text()
        with least_timer_slack():
            assert SLACK.read_text() == "1\n"
        assert SLACK.read_text() == before != "1\n"

    def test_is_what_it_was_after_an_error_too(self) -> None:
        before = SLACK.read_text()
        with pytest.raises(ZeroDivisionError), least_timer_slack():
            raise ZeroDivisionError
        assert SLACK.read_text() == before

    def test_is_that_of_the_thread_that_asks(self) -> None:
        before = SLACK.read_text()  # /proc/self is the main thread
        seen = []

        def look() -> None:
            with least_timer_slack():
                own = Path(f"/proc/{threading.get_native_id()}/timerslack_ns")
                seen.append((own.read_text(), SLACK.read_text()))

        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        assert seen == [("1\n", before)]
