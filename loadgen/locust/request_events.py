"""Requests one by one, for listeners of Locust's ``events.request``.

Locust's plugins (request logs, tracing, exporters) hear of every request through that event. It
costs 2 µs and more for each, so it is fired only where somebody listens beside Locust itself. Then
Locust's own listener counts the requests too, and only their bytes are merged in bulk: of a single
reply their number is not kept, and ``response_length`` is 0.
"""

from collections import deque
from typing import Any, Final

import gevent
from gevent.event import Event
from locust.env import Environment
from locust.exception import (
    InterruptTaskSet,
    RescheduleTask,
    RescheduleTaskImmediately,
    StopTest,
    StopUser,
)

from loadgen.locust.locust_stats import METHOD, NS_PER_MS
from loadgen.logs import logger
from loadgen.results.histogram import Integers

_log = logger("loadgen.locust")

_ALLOWED: Final = (StopUser, StopTest, RescheduleTask, RescheduleTaskImmediately, InterruptTaskSet)
_AT_ONCE: Final = 200  # events between two looks at everybody else: some 0.5 ms


class RequestFailure(Exception):  # noqa: N818 - what a request ended with, for listeners
    """Why a request failed; never raised."""

    def __repr__(self) -> str:
        return str(self)  # Locust lists it so


class RequestEvents:
    """Fires ``events.request`` for each request, from a greenlet of its own."""

    def __init__(self, environment: Environment) -> None:
        self._events: Any = environment.events.request
        self._waiting: deque[tuple[str, float | None, str]] = deque()
        self._has_some = Event()
        self._has_told = False
        self._greenlet = gevent.spawn(self._fire_all)

    @classmethod
    def wanted(cls, environment: Environment) -> "RequestEvents | None":
        """Return one if a user class asks for it, or somebody listens; say so in the log."""
        wishes = {getattr(each, "request_events", "auto") for each in environment.user_classes}
        listeners = [
            handler
            for handler in environment.events.request._handlers  # noqa: SLF001 - no other way
            if getattr(handler, "__qualname__", "") != "Runner.__init__.<locals>.on_request"
        ]
        if True not in wishes and (not listeners or "auto" not in wishes):
            return None
        reason = "request_events = True" if True in wishes else f"{_names(listeners)} listens"
        _log.info(
            "events.request is fired for every request, since %s; that costs much of the "
            "highest rate (request_events = False merges in bulk)",
            reason,
        )
        return cls(environment)

    def add(self, name: str, latency_ns: Integers, replies: Integers) -> None:
        """Fire, soon, for replies to requests of ``name``."""
        for each_ns, count in zip(latency_ns.tolist(), replies.tolist(), strict=True):
            self._waiting.extend([(name, each_ns / NS_PER_MS, "")] * count)
        self._has_some.set()

    def add_others(self, name: str, text: str, count: int) -> None:
        """Fire, soon, for requests without a response time: failed with ``text``, or one way."""
        self._waiting.extend([(name, None, text)] * count)
        self._has_some.set()

    def drain(self) -> None:
        """Fire for all that wait, now; then end."""
        self._greenlet.kill()
        while self._waiting:
            self._fire_some()
            gevent.sleep(0)

    def _fire_all(self) -> None:
        while True:
            self._has_some.wait()
            self._has_some.clear()
            while self._waiting:
                self._fire_some()
                gevent.sleep(0.0005)

    def _fire_some(self) -> None:
        for _ in range(min(_AT_ONCE, len(self._waiting))):
            self._fire_one()

    def _fire_one(self) -> None:
        name, latency_ms, text = self._waiting.popleft()
        try:
            self._events.fire(
                request_type=METHOD,
                name=name,
                response_time=latency_ms,
                response_length=0,
                exception=RequestFailure(text) if text else None,
                context={},
            )
        except _ALLOWED as wish:  # Locust lets these through, for the user whose request it is
            if not self._has_told:
                self._has_told = True
                _log.warning(
                    "a listener of events.request raised %s; the request belongs to no task that "
                    "could be ended, so nothing comes of it",
                    type(wish).__name__,
                )


def _names(handlers: list[Any]) -> str:
    return ", ".join(getattr(handler, "__qualname__", repr(handler)) for handler in handlers)
