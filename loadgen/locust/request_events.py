"""Fires Locust's ``events.request`` for each request, where a plugin listens to it.

Request logs, tracing and exporters use that event. It costs 2 µs and more for each request, so it
is fired only if there is a listener other than Locust's own. That one then counts the requests, and
only their bytes are merged in bulk: the length of a single reply is not kept, and
``response_length`` is 0.
"""

from collections import defaultdict, deque
from typing import Any, Final

import gevent
import numpy as np
from gevent.event import Event
from locust.env import Environment
from locust.exception import (
    InterruptTaskSet,
    RescheduleTask,
    RescheduleTaskImmediately,
    StopTest,
    StopUser,
)

from loadgen.locust.stats import METHOD, NS_PER_MS
from loadgen.logs import logger
from loadgen.results.histogram import Integers

_log = logger("loadgen.locust")

_ALLOWED: Final = (StopUser, StopTest, RescheduleTask, RescheduleTaskImmediately, InterruptTaskSet)
_BATCH: Final = 200  # events before other greenlets run: some 0.5 ms


class RequestFailure(Exception):  # noqa: N818 - the exception of a request, for listeners
    """Why a request failed; never raised."""

    def __repr__(self) -> str:
        return str(self)  # as Locust shows it


class RequestEvents:
    """Fires ``events.request`` for each request, in its own greenlet."""

    def __init__(self, environment: Environment) -> None:
        self._events: Any = environment.events.request
        self._queued: deque[tuple[str, float | None, str]] = deque()
        self._rejected: dict[str, deque[str]] = defaultdict(deque)  # by name: why
        self._is_filled = Event()
        self._has_warned = False
        self._greenlet = gevent.spawn(self._fire_all)

    @classmethod
    def wanted(cls, environment: Environment) -> "RequestEvents | None":
        """Return one if a user class asks for it, or there is a listener; log that, and why."""
        settings = {getattr(each, "request_events", "auto") for each in environment.user_classes}
        listeners = [
            handler
            for handler in environment.events.request._handlers  # noqa: SLF001 - no other way
            if getattr(handler, "__qualname__", "") != "Runner.__init__.<locals>.on_request"
        ]
        if True not in settings and (not listeners or "auto" not in settings):
            return None
        reason = "request_events = True" if True in settings else f"{_names(listeners)} listens"
        _log.info(
            "events.request is fired for every request, since %s; that lowers the highest rate "
            "considerably (request_events = False merges in bulk)",
            reason,
        )
        return cls(environment)

    def add(self, name: str, latency_ns: Integers, replies: Integers) -> None:
        """Fire, soon, for replies to requests of ``name``."""
        times_ms = (np.repeat(latency_ns, replies) / NS_PER_MS).tolist()
        rejected = self._rejected[name]
        for time_ms in times_ms:
            self._queued.append((name, time_ms, rejected.popleft() if rejected else ""))
        self._is_filled.set()

    def add_untimed(self, name: str, text: str, count: int) -> None:
        """Fire, soon, for requests without a response time: failed with ``text``, or one-way."""
        self._queued.extend([(name, None, text)] * count)
        self._is_filled.set()

    def reject(self, name: str, text: str, count: int) -> None:
        """Let the next ``count`` replies to requests of ``name`` be failures."""
        self._rejected[name].extend([text] * count)

    def drain(self) -> None:
        """Fire for all queued requests now, and end."""
        self._greenlet.kill()
        while self._queued:
            self._fire_some()
            gevent.sleep(0)

    def _fire_all(self) -> None:
        while True:
            self._is_filled.wait()
            self._is_filled.clear()
            while self._queued:
                self._fire_some()
                gevent.sleep(0.0005)

    def _fire_some(self) -> None:
        for _ in range(min(_BATCH, len(self._queued))):
            self._fire_one()

    def _fire_one(self) -> None:
        name, latency_ms, text = self._queued.popleft()
        try:
            self._events.fire(
                request_type=METHOD,
                name=name,
                response_time=latency_ms,
                response_length=0,
                exception=RequestFailure(text) if text else None,
                context={},
            )
        except _ALLOWED as error:  # Locust lets these pass to the user's task
            if not self._has_warned:
                self._has_warned = True
                _log.warning(
                    "a listener of events.request raised %s; the request belongs to no task that "
                    "it could end, so it has no effect",
                    type(error).__name__,
                )


def _names(handlers: list[Any]) -> str:
    return ", ".join(getattr(handler, "__qualname__", repr(handler)) for handler in handlers)
