"""Three ways to wait until a moment: to the millisecond, to tens of microseconds, or spinning.

Facts. epoll_wait(2) and poll(2) count in milliseconds, and Python rounds up: a message that is due
in 100 µs goes out 900 µs late. select(2) counts in microseconds, and an epoll descriptor can be
waited for like any other. What is left is the timer slack, by which the kernel may delay a wake-up
to join it with others: 50 µs by default, 1 ns if the thread asks for it (prctl(2),
PR_SET_TIMERSLACK), and then some 27 µs until the thread runs.

Danger. select(2) refuses descriptors from 1024 on (FD_SETSIZE): the selector must have been made
before the connections.

Decision. Three ways to wait: ``eco`` takes the millisecond; ``normal`` waits in select(2), with
the least slack; ``precise`` does so until `SPIN_NS` before the moment, and polls from then on,
which costs a core at high rates. kqueue(2) counts in nanoseconds by itself, select(2) in
microseconds; poll(2) has nothing better than ``eco``, or to spin. The load waits in the way that
``--pacing`` names, the embedded server always in the precise one.

Cost. A wait in select(2) is one system call more; it is made only where there is a moment to meet.
"""

import contextlib
import selectors
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from loadgen.net.backends import FD_SETSIZE
from loadgen.net.clock import Clock
from loadgen.net.unpatched import original
from loadgen.units import ns_to_seconds

NAMES: Final = ("eco", "normal", "precise")

SPIN_NS: Final = 80_000
"""How long before the moment polling begins: the longest wake-up on an idle machine."""

Ready = list[tuple[selectors.SelectorKey, int]]

Wait = Callable[[Any, int], Ready]
"""Takes a selector and a moment (nanoseconds of the clock); returns what is ready as soon as
something is, or nothing at that moment, or somewhat earlier: then the caller calls it again."""

_EPOLL: Final = ("BoundedEpollSelector", "EpollSelector")
# They count in less than milliseconds.
_FINE: Final = ("KqueueSelector", "NativeQueue", "NativeWatchList", "SelectSelector")
_MILLISECOND_NS: Final = 1_000_000


def waiting(name: str, selector: Any, clock: Clock) -> Wait:
    """Return the way to wait that ``name`` stands for, as good as ``selector`` allows."""

    def coarsely(selector: Any, moment_ns: int) -> Ready:
        ready: Ready = selector.select(max(0.0, ns_to_seconds(moment_ns - clock())))
        return ready

    def finely(selector: Any, moment_ns: int) -> Ready:
        left_ns = moment_ns - clock()
        if left_ns > 0 and not select((selector,), (), (), ns_to_seconds(left_ns))[0]:
            return []
        ready: Ready = selector.select(0)
        return ready

    def precisely(selector: Any, moment_ns: int) -> Ready:
        if moment_ns - clock() > spin_ns:
            return best(selector, moment_ns - spin_ns)
        ready: Ready = selector.select(0)
        return ready

    select = original("select", "select")
    best = finely if _is_epoll(selector) else coarsely
    spin_ns = SPIN_NS if is_fine(selector) else SPIN_NS + _MILLISECOND_NS
    return {"eco": coarsely, "normal": best, "precise": precisely}[name]


def is_fine(selector: Any) -> bool:
    """Return whether a wait on ``selector`` can end between two milliseconds without polling."""
    return _is_epoll(selector) or type(selector).__name__ in _FINE


def _is_epoll(selector: Any) -> bool:
    """Return whether ``selector`` has an epoll descriptor that select(2) can wait for."""
    return type(selector).__name__ in _EPOLL and selector.fileno() < FD_SETSIZE


@contextlib.contextmanager
def least_timer_slack() -> Iterator[None]:
    """Set this thread's timer slack to 1 ns, and restore it; does nothing elsewhere than on Linux.

    proc(5), /proc/[pid]/timerslack_ns, where the id of a thread is accepted as well.
    """
    path = Path(f"/proc/{threading.get_native_id()}/timerslack_ns")
    try:
        before = path.read_text(encoding="ascii")
        path.write_text("1", encoding="ascii")
    except OSError:
        yield
        return
    try:
        yield
    finally:
        path.write_text(before, encoding="ascii")
