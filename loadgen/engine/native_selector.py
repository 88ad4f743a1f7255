"""Selectors whose waits are native: they count in nanoseconds, and make no object for an event.

A selector of the standard library keeps who is registered; what the system is asked with, and what
it answers, are arrays here.
"""

import select
import selectors
import struct
from array import array
from collections.abc import Mapping
from typing import Any, Final, Protocol, cast

from loadgen.engine import native
from loadgen.net import backends
from loadgen.net.backends import TURN_EVENTS
from loadgen.net.transport import READ, WRITE
from loadgen.units import NS_PER_S

_POLLFD: Final = struct.Struct("=ihh")  # descriptor, events, what has happened (poll(2))
_EVENTS: Final = {
    READ: getattr(select, "POLLIN", 1),
    WRITE: getattr(select, "POLLOUT", 4),
    READ | WRITE: getattr(select, "POLLIN", 1) | getattr(select, "POLLOUT", 4),
}


class NativeSelector(Protocol):
    """A selector that answers with places in ``events``: ``descriptor << 32 | events`` each."""

    events: "array[int]"
    keys: Mapping[int, selectors.SelectorKey]
    """What is registered, by descriptor."""

    def register(self, transport: Any, events: int, data: Any, /) -> Any:
        """As `selectors.BaseSelector`."""
        ...

    def unregister(self, transport: Any, /) -> Any:
        """As `selectors.BaseSelector`."""
        ...

    def close(self) -> None:
        """As `selectors.BaseSelector`."""
        ...

    def select(self, timeout_s: float | None) -> range:
        """Wait; return the places of what has happened, `TURN_EVENTS` at most.

        Returns early when a signal was handled.
        """
        ...


def open_native(backend: str) -> NativeSelector:
    """Return a selector of ``backend``, one of `native.BACKENDS`."""
    return (NativeQueue if backend in ("epoll", "kqueue") else NativeWatchList)(backend)


class NativeQueue:
    """One whose descriptors the kernel keeps: epoll and kqueue."""

    def __init__(self, backend: str) -> None:
        self.events = array("q", bytes(8 * TURN_EVENTS))
        self._selector = selector = cast(Any, backends.open_selector(backend))
        self._native_wait = getattr(native.functions(), f"wait_{backend}")
        self.register, self.modify = selector.register, selector.modify
        self.unregister, self.get_key = selector.unregister, selector.get_key
        self.fileno, self.close = selector.fileno, selector.close
        self.keys = _keys_of(selector)

    def select(self, timeout_s: float | None) -> range:
        """Wait, as `NativeSelector.select`."""
        return range(self._native_wait(self.fileno(), _ns(timeout_s), self.events))


class NativeWatchList:
    """One that is given a list of descriptors with every wait: poll and select."""

    def __init__(self, backend: str) -> None:
        self.events = array("q", bytes(8 * TURN_EVENTS))
        self._selector: Any = backends.open_selector(backend)
        self._native_wait = getattr(native.functions(), f"wait_{backend}")
        self._list = bytearray()
        self._places: dict[int, int] = {}  # of the descriptors in the list
        self._start = 0
        self.get_key, self.close = self._selector.get_key, self._selector.close
        self.keys = _keys_of(self._selector)

    def select(self, timeout_s: float | None) -> range:
        """Wait, as `NativeSelector.select`."""
        count = len(self._places)
        found: int = self._native_wait(
            *(self._list, count, _ns(timeout_s), self._start, self.events)
        )
        if found == TURN_EVENTS:  # there may be more: they are next
            last = self._places[self.events[found - 1] >> 32]
            self._start = (last + 1) % count
        return range(found)

    def register(self, transport: Any, events: int, data: Any) -> None:
        """As `selectors.BaseSelector`."""
        descriptor: int = self._selector.register(transport, events, data).fd
        self._places[descriptor] = len(self._places)
        self._list += _POLLFD.pack(descriptor, _EVENTS[events], 0)

    def modify(self, transport: Any, events: int, data: Any) -> None:
        """As `selectors.BaseSelector`."""
        descriptor: int = self._selector.modify(transport, events, data).fd
        at = self._places[descriptor] * _POLLFD.size
        _POLLFD.pack_into(self._list, at, descriptor, _EVENTS[events], 0)

    def unregister(self, transport: Any) -> None:
        """As `selectors.BaseSelector`; the last of the list takes its place."""
        place = self._places.pop(self._selector.unregister(transport).fd)
        last = self._list[-_POLLFD.size :]
        del self._list[-_POLLFD.size :]
        if place < len(self._places):
            self._list[place * _POLLFD.size : (place + 1) * _POLLFD.size] = last
            self._places[_POLLFD.unpack(last)[0]] = place


def _keys_of(selector: Any) -> Mapping[int, selectors.SelectorKey]:
    # CPython's own name, unchanged from 3.4 to 3.14; the public map looks up by file object.
    keys: Mapping[int, selectors.SelectorKey] = selector._fd_to_key  # noqa: SLF001
    return keys


def _ns(timeout_s: float | None) -> int:
    return -1 if timeout_s is None else max(0, round(timeout_s * NS_PER_S))
