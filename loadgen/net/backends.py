"""The I/O multiplexers by name, each as a selector of the standard library.

The standard selectors have two drawbacks where thousands of sockets are ready at once. They return
everything that is ready, so that one turn of a loop may take tens of milliseconds; and they build
their answer with a Python call for every descriptor. The epoll class made here asks the kernel for
at most `TURN_EVENTS` and answers a plain read without that call. The kernel rotates its ready list
(epoll(7)), so a bounded answer starves no connection.

Selectors are looked up when they are needed, not at import, since another library (gevent, for
example) may replace them.
"""

import functools
import select
import selectors
from typing import Any, Final

from loadgen.errors import LocalLimitError, UsageError
from loadgen.net.unpatched import has_original, original

TURN_EVENTS: Final = 128
"""Events that one turn of a loop handles at most: long enough to spread the cost of the system
call over, short enough that other tasks of the same loop are served within a millisecond."""

FD_SETSIZE: Final = 1024
"""Descriptors from this number on cannot be given to select(2)."""

_CLASS_NAMES: Final = {
    "epoll": "EpollSelector",
    "kqueue": "KqueueSelector",
    "devpoll": "DevpollSelector",
    "poll": "PollSelector",
    "select": "SelectSelector",
}

NAMES: Final = ("auto", *_CLASS_NAMES)

ENGINES: Final = ("auto", "native", "python")
"""What may exchange messages on a backend: compiled code, Python, or whichever suits best."""


def available() -> tuple[str, ...]:
    """Return the names of the backends that this platform has, the best first."""
    return tuple(
        name for name, class_name in _CLASS_NAMES.items() if has_original("selectors", class_name)
    )


def check_name(name: str) -> None:
    """Raise UsageError if ``name`` is not a backend of any platform."""
    if name not in NAMES:
        raise UsageError.of("--backend", name, f"choose one of {', '.join(NAMES)}")


def resolve(name: str) -> str:
    """Return the backend that ``name`` stands for: itself, or the platform's default for ``auto``.

    Raises UsageError for an unknown name, LocalLimitError for one that this platform lacks.
    """
    check_name(name)
    if name == "auto":
        default = original("selectors", "DefaultSelector").__name__
        return next(known for known, class_name in _CLASS_NAMES.items() if class_name == default)
    if name not in available():
        raise LocalLimitError(
            f"--backend {name}: this platform has no {name}; choose one of {', '.join(available())}"
        )
    return name


def check_select_capacity(connections: int, free_descriptors: int) -> None:
    """Raise LocalLimitError if select(2) cannot handle so many connections.

    free_descriptors: how many numbers below `FD_SETSIZE` this process has not taken.
    """
    if connections <= free_descriptors:
        return
    others = ", ".join(other for other in available() if other != "select")
    raise LocalLimitError(
        f"--backend select: {connections} connections are asked for, select(2) can handle "
        f"{free_descriptors} here (descriptors below {FD_SETSIZE}); choose one of {others}, "
        "or fewer connections"
    )


def open_selector(name: str) -> selectors.BaseSelector:
    """Return a new selector of backend ``name``; the caller closes it. Raises as `resolve` does."""
    resolved = resolve(name)
    if resolved == "epoll":
        return _bounded_epoll()()
    selector: selectors.BaseSelector = original("selectors", _CLASS_NAMES[resolved])()
    return selector


@functools.cache
def _bounded_epoll() -> type[selectors.BaseSelector]:
    read_event, write_event = selectors.EVENT_READ, selectors.EVENT_WRITE
    epoll_in, epoll_out = select.EPOLLIN, select.EPOLLOUT
    standard: Any = original("selectors", "EpollSelector")

    class BoundedEpollSelector(standard):  # type: ignore[misc]
        """`selectors.EpollSelector` whose answer has at most `TURN_EVENTS` entries."""

        # _selector and _fd_to_key are CPython's own names, unchanged from 3.4 to 3.14.
        _selector: Any
        _fd_to_key: dict[int, selectors.SelectorKey]

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            """Wait up to ``timeout`` seconds (None: for ever); return (key, events) pairs."""
            keys = self._fd_to_key
            if timeout is not None and timeout < 0:
                timeout = 0  # to epoll_wait(2) a negative time means for ever
            polled = self._selector.poll(timeout, TURN_EVENTS)
            return [
                (keys[fd], read_event if event == epoll_in else translate(event) & keys[fd].events)
                for fd, event in polled
            ]

    def translate(event: int) -> int:
        # Errors and hang-ups wake both sides, as in the standard selectors.
        return (write_event if event & ~epoll_in else 0) | (read_event if event & ~epoll_out else 0)

    return BoundedEpollSelector
