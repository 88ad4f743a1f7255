"""Selectors whose waits are native: they count in nanoseconds, and make no object for an event.

A selector of the standard library keeps who is registered; what the system is asked with, and what
it answers, are arrays here.
"""

import select
import selectors
import struct
from array import array
from collections.abc import Callable
from typing import Any, Final

from loadgen.engine import native
from loadgen.net import backends
from loadgen.net.backends import TURN_EVENTS
from loadgen.net.transport import READ, WRITE
from loadgen.units import NS_PER_S

BACKENDS: Final = ("epoll", "poll", "select", "kqueue")
"""Those that have a native wait."""

_POLLFD: Final = struct.Struct("=ihh")  # descriptor, events, what has happened (poll(2))
_EVENTS: Final = {
    READ: getattr(select, "POLLIN", 1),
    WRITE: getattr(select, "POLLOUT", 4),
    READ | WRITE: getattr(select, "POLLIN", 1) | getattr(select, "POLLOUT", 4),
}


class NativeSelector:
    """A selector of ``backend``, one of `BACKENDS`; it owns one of the standard library.

    events: of the last wait, ``descriptor << 32 | events`` each.
    """

    def __init__(self, backend: str) -> None:
        self.events = array("q", bytes(8 * TURN_EVENTS))
        self._selector: Any = backends.open_selector(backend)
        self._watched = bytearray()
        self._places: dict[int, int] = {}  # of the descriptors in that
        self._start = 0
        functions = native.functions()
        self._wait: Callable[[int], int]
        if backend in ("epoll", "kqueue"):
            wait, queue = getattr(functions, f"wait_{backend}"), self._selector.fileno()
            self._wait = lambda timeout_ns: wait(queue, timeout_ns, self.events)
            self.register, self.modify = self._selector.register, self._selector.modify
            self.unregister = self._selector.unregister
        else:
            self._wait_for_watched = getattr(functions, f"wait_{backend}")
            self._wait = self._wait_in_turn

    def select(self, timeout_s: float | None) -> range:
        """Wait; return the places in `events` of what has happened, `TURN_EVENTS` at most.

        Returns early when a signal was handled.
        """
        timeout_ns = -1 if timeout_s is None else max(0, round(timeout_s * NS_PER_S))
        return range(self._wait(timeout_ns))

    def _wait_in_turn(self, timeout_ns: int) -> int:
        count = len(self._places)
        found: int = self._wait_for_watched(
            self._watched, count, timeout_ns, self._start, self.events
        )
        if found == TURN_EVENTS:  # there may be more: they are next
            last = self._places[self.events[found - 1] >> 32]
            self._start = (last + 1) % count
        return found

    def register(self, transport: Any, events: int, data: Any) -> selectors.SelectorKey:
        """As `selectors.BaseSelector`."""
        key: selectors.SelectorKey = self._selector.register(transport, events, data)
        self._places[key.fd] = len(self._places)
        self._watched += _POLLFD.pack(key.fd, _EVENTS[events], 0)
        return key

    def modify(self, transport: Any, events: int, data: Any) -> selectors.SelectorKey:
        """As `selectors.BaseSelector`."""
        key: selectors.SelectorKey = self._selector.modify(transport, events, data)
        at = self._places[key.fd] * _POLLFD.size
        _POLLFD.pack_into(self._watched, at, key.fd, _EVENTS[events], 0)
        return key

    def unregister(self, transport: Any) -> selectors.SelectorKey:
        """As `selectors.BaseSelector`: the last of the list takes its place."""
        key: selectors.SelectorKey = self._selector.unregister(transport)
        place = self._places.pop(key.fd)
        last = self._watched[-_POLLFD.size :]
        del self._watched[-_POLLFD.size :]
        if place < len(self._places):
            self._watched[place * _POLLFD.size : (place + 1) * _POLLFD.size] = last
            self._places[_POLLFD.unpack(last)[0]] = place
        return key

    def get_key(self, transport: Any) -> selectors.SelectorKey:
        """As `selectors.BaseSelector`."""
        key: selectors.SelectorKey = self._selector.get_key(transport)
        return key

    def key_of(self, descriptor: int) -> selectors.SelectorKey | None:
        """Return the key of ``descriptor``; None if it is not registered."""
        key: selectors.SelectorKey | None = self._selector.get_map().get(descriptor)
        return key

    def fileno(self) -> int:
        """Return the selector's descriptor. Raises AttributeError where it has none."""
        descriptor: int = self._selector.fileno()
        return descriptor

    def close(self) -> None:
        """Close it."""
        self._selector.close()
