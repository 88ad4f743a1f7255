"""The connections of one SocketUser: its own payloads and think times, called by the engine."""

from collections.abc import Callable
from typing import Any, Final

import gevent
from gevent.event import Event
from locust import User

from loadgen.engine.conversation import Conversation
from loadgen.locust.class_load import ClassLoad
from loadgen.locust.user_attributes import checked
from loadgen.logs import logger
from loadgen.net.failure import (
    Cause,
    ConnectionFailed,
    Failure,
    Phase,
)
from loadgen.plan import Plan
from loadgen.units import NS_PER_S, seconds_to_ns

_log = logger("loadgen.locust")

_PAUSE_AFTER_ERROR_NS: Final = NS_PER_S


class DeclarativeConnections:
    """Opens the user's connections in a load; `leave` drains them.

    make_payload: makes each message when it is sent; None for the payloads of the plan.
    wait_time: as `locust.User.wait_time`; None where there is no wait.
    """

    def __init__(
        self,
        load: ClassLoad,
        user: User,
        make_payload: Callable[[], bytes] | None,
        wait_time: Callable[[Any], float] | None,
    ) -> None:
        plan = load.work.plan
        self._load = load
        self._user = user
        self._wait_time = wait_time
        self._waiters: dict[int, Any] = {}
        self._left: int | None = None  # connections that have yet to end
        self._has_ended = Event()
        conversation = load.work.conversation
        if conversation is None:
            assert make_payload is not None
            conversation = Conversation.made_by(plan, _Made(user, plan, make_payload))
        self._connections = load.join(self, conversation, plan.connections)

    def wait(self) -> None:
        """Return when the user has left, and every connection has ended."""
        self._has_ended.wait()

    def leave(self) -> None:
        """Send nothing more; outstanding replies are still awaited. May be called twice."""
        if self._left is None:
            self._left = self._load.leave(self._connections)
            if not self._left:
                self._has_ended.set()

    def cut(self) -> None:
        """Close the connections now; what is in flight is cut off."""
        self._load.cut(self._connections)

    @property
    def has_left(self) -> bool:
        """Whether `leave` was called."""
        return self._left is not None

    # ---- callbacks of the engine ----------------------------------------------------------

    def pause_ns(self, index: int) -> int:
        """Return the ``wait_time`` of the connection of that index; a second where it raises."""
        assert self._wait_time is not None
        try:
            waiter = self._waiter(index)
            return max(0, seconds_to_ns(float(self._wait_time(waiter))))
        except BaseException as error:  # noqa: BLE001 - it is the user's code
            report(self._user, error)
            return _PAUSE_AFTER_ERROR_NS

    def when_free(self, index: int) -> None:
        """Do nothing: the load model decides."""

    def when_ended(self, index: int, failure: Failure | None) -> None:
        """Note that one connection less is open, if the user is leaving."""
        if self._left:
            self._left -= 1
            if not self._left:
                self._has_ended.set()

    def when_lost(self, index: int, failure: Failure) -> None:
        """Do nothing: the connection goes on."""

    def _waiter(self, index: int) -> Any:
        if len(self._connections) == 1:
            return self._user
        waiter = self._waiters.get(index)
        if waiter is None:
            waiter = self._waiters[index] = _Waiter(self._user)
        return waiter


class _Waiter:
    """Stands for the user in `constant_pacing`, which keeps there when it was last called."""

    def __init__(self, user: User) -> None:
        self._user = user
        self._cp_last_run = user._cp_last_run  # noqa: SLF001 - of Locust's wait times
        self._cp_last_wait_time = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._user, name)


class _Made:
    """Payloads that a method of the user makes, each as it is sent."""

    items: tuple[bytes, ...] = ()
    repeats_bytes = False

    def __init__(self, user: User, plan: Plan, make: Callable[[], bytes]) -> None:
        self._user = user
        self._message = plan.message
        self._make = make

    def batch(self, position: int, count: int) -> tuple[bytes, tuple[int, ...]]:
        """Return ``count`` messages. Raises ConnectionFailed if the user's code raises."""
        try:
            messages = [self._message(checked(self._make())) for _ in range(count)]
        except BaseException as error:
            report(self._user, error)
            raise ConnectionFailed(Failure(Phase.SEND, Cause.USER_CODE), repr(error)) from error
        return b"".join(messages), tuple(map(len, messages))


def report(user: User, error: BaseException) -> None:
    """Report an error in the user's code to Locust, from within a turn of the engine."""
    _log.error("%s: %s: %s", type(user).__name__, type(error).__name__, error)
    hook = user.environment.events.user_error
    # In its own greenlet: a worker sends it to the master, which may block.
    gevent.spawn(hook.fire, user_instance=user, exception=error, tb=error.__traceback__)
