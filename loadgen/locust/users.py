"""User classes for Locust whose sockets belong to loadgen's engine."""

from collections.abc import Callable
from typing import Any, ClassVar, Final

import gevent
import msgspec
from locust import User, task
from locust.user.task import LOCUST_STATE_STOPPING

from loadgen.engine.conversation import Conversation
from loadgen.errors import UsageError
from loadgen.locust import arguments
from loadgen.locust.attach import attached
from loadgen.locust.class_load import ClassLoad, Pacing, UserClassPlan
from loadgen.locust.client import SocketClient
from loadgen.locust.declarative import DeclarativeConnections
from loadgen.locust.user_attributes import SCRIPTED_WORDS, WORDS, plan_of
from loadgen.net.target import Target
from loadgen.plan import Plan
from loadgen.plan import payloads as payload
from loadgen.plan.payloads import MadePayload
from loadgen.text import escaped

_NO_WAIT: Final = User.wait_time


class _EngineUser(User):
    """What both kinds share."""

    abstract = True
    name: ClassVar[str | None] = None
    """Under which Locust lists the requests; the name of the class unless it is given."""
    reconnect: ClassVar[bool] = True
    request_events: ClassVar[bool | str] = "auto"
    """Whether Locust's ``events.request`` is fired for each: ``"auto"`` if somebody listens."""

    _words: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def work(cls, options: Any) -> UserClassPlan:
        """Return what a user of this class does; ``options`` (Locust's) override its attributes.

        Raises UsageError naming what is wrong, with which value, and what is accepted.
        """
        plan, manner = cls.check(options)
        if not cls.host:
            raise UsageError(f"{cls.__name__} has no host; give --host tcp://host:port")
        return UserClassPlan(
            user_class=cls.__name__,
            name=cls.name or cls.__name__,
            plan=plan,
            target=Target.parse(escaped(cls.host)),
            manner=manner,
            conversation=None
            if cls._maker()
            else Conversation.of(plan, payload.load(plan.payloads)),
        )

    @classmethod
    def check(cls, options: Any) -> tuple[Plan, Pacing]:
        """Return the plan of one user, and its manner. Raises UsageError as `work` does."""
        plan = plan_of(cls, cls._words, arguments.overrides(options))
        made_by = cls._maker()
        if made_by:
            made = MadePayload(f"{cls.__name__}.{made_by}")
            plan = msgspec.structs.replace(plan, payloads=(made,))
        return plan, cls._manner(plan.rate)

    @classmethod
    def _maker(cls) -> str:
        """Return the name of what makes the messages; empty where the plan names them."""
        return ""

    @classmethod
    def _manner(cls, rate: float | str | None) -> Pacing:
        raise NotImplementedError

    def _load(self) -> ClassLoad:
        environment = self.environment
        session = attached(environment).session
        return session.load_for(self, lambda: self.work(environment.parsed_options))


class SocketUser(_EngineUser):
    """A user that says what is sent, and leaves the sending to the engine.

    Its attributes are the words of `loadgen.plan.Plan`: ``payloads``, ``reply``, ``pipeline``,
    ``connections`` (of each user), ``rate`` (of each user, for an open loop), ``timestamps`` and
    the like. Each connection sends its next message when its last reply is whole and
    ``wait_time`` has passed, or when the rate calls for it.

        class Ping(SocketUser):
            payloads = (b"PING\\r\\n",)
            reply = r"delimiter:\\r\\n"
            wait_time = constant_throughput(50)

    Instead of ``payloads``, a method ``payload`` may make each message when it is sent. It is
    called in the midst of the engine's work: it must be quick, and cannot wait for anything. Where
    it raises, the connection is closed, counted as failed, and opened again.
    """

    abstract = True
    connections: ClassVar[int] = 1
    _words: ClassVar[tuple[str, ...]] = WORDS
    payload: ClassVar[Callable[[Any], bytes] | None] = None

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._seat: DeclarativeConnections | None = None

    @classmethod
    def _maker(cls) -> str:
        return "" if cls.payload is None else "payload"

    @classmethod
    def check(cls, options: Any) -> tuple[Plan, Pacing]:
        """Return the plan of one user, and its manner. Raises UsageError as `work` does."""
        if any(each is not SocketUser.drive for each in cls.tasks):
            raise UsageError(
                f"{cls.__name__}: a SocketUser has no tasks of its own; use a ScriptedSocketUser"
            )
        return super().check(options)

    @classmethod
    def _manner(cls, rate: float | str | None) -> Pacing:
        is_paced = cls.wait_time is not _NO_WAIT
        if rate is None:
            return "paced" if is_paced else "closed"
        if is_paced:
            raise UsageError(
                f"{cls.__name__}: wait_time paces a closed loop; it does not go with rate"
            )
        return "open"

    @task
    def drive(self) -> None:
        """Take part in the load until the user is stopped."""
        load = self._load()
        wait_time = type(self).wait_time if load.work.manner == "paced" else None
        self._seat = DeclarativeConnections(load, self, self.payload, wait_time)
        if self._state == LOCUST_STATE_STOPPING:  # it was stopped while the load was being made
            self._seat.leave()
        try:
            self._seat.wait()
        finally:
            if self._seat.has_left:
                self._seat.cut()
            else:
                self._seat.leave()

    def stop(self, force: bool = False) -> bool:
        """Stop: let what is in flight come home, or if by ``force`` do not wait for it.

        Return whether the user's greenlet is gone. What is in flight comes home all the same, as
        long as ``drain_s`` lets it, and counts.
        """
        if force:
            return bool(super().stop(force))
        is_gone = self._state != LOCUST_STATE_STOPPING and bool(super().stop())
        if self._seat is not None:
            self._seat.leave()
        return is_gone


class ScriptedSocketUser(_EngineUser):
    """A user whose tasks say step by step what happens, with a connection of its own.

        class Shopper(ScriptedSocketUser):
            reply = r"delimiter:\\r\\n"

            @task
            def buy(self):
                token = self.client.request(b"LOGIN bob\\r\\n", name="login")
                self.client.request(b"BUY " + token, name="buy")

    The attributes ``reply``, ``first_message``, ``timestamps``, ``io_timeout_s`` and the like are
    the words of `loadgen.plan.Plan`.
    """

    abstract = True
    max_reply_bytes: ClassVar[int | None] = 16 * 2**20
    """A reply is kept until it is whole: the server may take so much memory of a worker for each
    user, and no more. None for no limit."""
    reply_timeout_s: ClassVar[float | None] = 30.0
    """For a whole reply, since a script waits for each: long enough for 16 MiB at 5 Mbit/s, and
    short enough that a server whose replies never end shows within a test. None for no limit."""
    _words: ClassVar[tuple[str, ...]] = SCRIPTED_WORDS

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._client: SocketClient | None = None

    @classmethod
    def _maker(cls) -> str:
        return "tasks"

    @classmethod
    def _manner(cls, rate: float | str | None) -> Pacing:
        return "scripted"

    @property
    def client(self) -> SocketClient:
        """The user's connection; made when it is first asked for."""
        if self._client is None:
            self._client = SocketClient(self._load())
            # Locust's own, and private: how its tasks wait. It is only a matter of speed.
            if hasattr(self._taskset_instance, "_sleep"):
                setattr(self._taskset_instance, "_sleep", self._rest)  # noqa: B010
        return self._client

    def _rest(self, seconds: float) -> None:
        """Wait between two tasks; not at all if there is no wait, and a request has let others run.

        Locust would go round its loop once more for each task.
        """
        client = self.client
        if seconds > 0 or not client.has_given_way:
            gevent.sleep(seconds)
        client.has_given_way = False

    def start(self, group: Any) -> Any:
        """Start the user in ``group``; its connection ends when the user does."""
        greenlet = super().start(group)
        greenlet.link(self._close)
        return greenlet

    def _close(self, greenlet: Any) -> None:
        if self._client is not None:
            self._client.close()
