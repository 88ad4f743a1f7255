"""SocketUser and ScriptedSocketUser: user classes whose connections loadgen's engine drives."""

from collections.abc import Callable
from typing import Any, ClassVar, Final

import gevent
import msgspec
from locust import User, task
from locust.user.task import LOCUST_STATE_STOPPING

from loadgen.engine.conversation import Conversation
from loadgen.errors import UsageError
from loadgen.locust import arguments
from loadgen.locust.class_load import ClassLoad, LoadModelName, UserClassPlan
from loadgen.locust.client import SocketClient
from loadgen.locust.declarative import DeclarativeConnections
from loadgen.locust.plugin import role_in
from loadgen.locust.user_attributes import ATTRIBUTES, SCRIPTED_ATTRIBUTES, plan_of
from loadgen.net.protocols.base import MOST_REPLY_BYTES
from loadgen.net.target import Target
from loadgen.plan import Plan
from loadgen.plan.payloads import MadePayload
from loadgen.text import escaped

_NO_WAIT: Final = User.wait_time


class _EngineUser(User):
    """What both user classes have in common."""

    abstract = True
    name: ClassVar[str | None] = None
    """The name that Locust lists for requests; that of the class if None."""
    reconnect: ClassVar[bool] = True
    request_events: ClassVar[bool | str] = "auto"
    """Whether Locust's ``events.request`` is fired for each; ``"auto"``: if there is a listener."""

    _attributes: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def work(cls, options: Any) -> UserClassPlan:
        """Return what a user of this class does; ``options`` (Locust's) override its attributes.

        Raises UsageError naming what is wrong, with which value, and what is accepted.
        """
        plan, load_model = cls.check(options)
        if not cls.host:
            raise UsageError(f"{cls.__name__} has no host; give --host tcp://host:port")
        return UserClassPlan(
            user_class=cls.__name__,
            name=cls.name or cls.__name__,
            plan=plan,
            target=Target.parse(escaped(cls.host)),
            load_model=load_model,
            conversation=None if cls._maker() else Conversation.of(plan, plan.queue()),
        )

    @classmethod
    def check(cls, options: Any) -> tuple[Plan, LoadModelName]:
        """Return the plan and load model of one user. Raises UsageError as `work` does."""
        plan = plan_of(cls, cls._attributes, arguments.overrides(options))
        made_by = cls._maker()
        if made_by:
            made = MadePayload(f"{cls.__name__}.{made_by}")
            plan = msgspec.structs.replace(plan, payloads=(made,), commands=())
        return plan, cls._load_model(plan.rate)

    @classmethod
    def _maker(cls) -> str:
        """Return the name of the method that makes messages; empty if the plan has payloads."""
        return ""

    @classmethod
    def _load_model(cls, rate: float | str | None) -> LoadModelName:
        raise NotImplementedError

    def _load(self) -> ClassLoad:
        environment = self.environment
        session = role_in(environment).session
        return session.load_for(self, lambda: self.work(environment.parsed_options))


class SocketUser(_EngineUser):
    """A user that declares what is sent; the engine sends it.

    Its attributes are those of `loadgen.plan.Plan`: ``payloads``, ``reply``, ``pipeline``,
    ``connections`` (of each user), ``rate`` (of each user, for an open loop), ``timestamps`` and
    the like. Each connection sends its next message when its last reply is whole and
    ``wait_time`` has passed, or, with a ``rate``, at its intended time.

        class Ping(SocketUser):
            payloads = (b"PING\\r\\n",)
            reply = r"delimiter:\\r\\n"
            wait_time = constant_throughput(50)

    Instead of ``payloads``, a method ``payload`` may make each message when it is sent. It is
    called within a turn of the engine: it must be quick, and must not block. If it raises, the
    connection is closed, counted as failed, and opened again.
    """

    abstract = True
    connections: ClassVar[int] = 1
    _attributes: ClassVar[tuple[str, ...]] = ATTRIBUTES
    payload: ClassVar[Callable[[Any], bytes] | None] = None

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._connections: DeclarativeConnections | None = None

    @classmethod
    def _maker(cls) -> str:
        return "" if cls.payload is None else "payload"

    @classmethod
    def check(cls, options: Any) -> tuple[Plan, LoadModelName]:
        """Return the plan and load model of one user. Raises UsageError as `work` does."""
        if any(each is not SocketUser.drive for each in cls.tasks):
            raise UsageError(
                f"{cls.__name__}: a SocketUser has no tasks of its own; use a ScriptedSocketUser"
            )
        return super().check(options)

    @classmethod
    def _load_model(cls, rate: float | str | None) -> LoadModelName:
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
        wait_time = type(self).wait_time if load.work.load_model == "paced" else None
        self._connections = DeclarativeConnections(load, self, self.payload, wait_time)
        if self._state == LOCUST_STATE_STOPPING:  # stopped while the load was being made
            self._connections.leave()
        try:
            self._connections.wait()
        finally:
            if self._connections.has_left:
                self._connections.cut()
            else:
                self._connections.leave()

    def stop(self, force: bool = False) -> bool:
        """Stop: wait for outstanding replies, or with ``force`` do not wait for them.

        Return whether the user's greenlet has ended. Replies that arrive within ``drain_s`` count
        in any case.
        """
        if force:
            return bool(super().stop(force))
        is_gone = self._state != LOCUST_STATE_STOPPING and bool(super().stop())
        if self._connections is not None:
            self._connections.leave()
        return is_gone


class ScriptedSocketUser(_EngineUser):
    """A user whose tasks send requests step by step, on a connection of its own.

        class Shopper(ScriptedSocketUser):
            reply = r"delimiter:\\r\\n"

            @task
            def buy(self):
                token = self.client.request(b"LOGIN bob\\r\\n", name="login")
                self.client.request(b"BUY " + token, name="buy")

    The attributes ``reply``, ``first_message``, ``timestamps``, ``io_timeout_s`` and the like are
    those of `loadgen.plan.Plan`.
    """

    abstract = True
    max_reply_bytes: ClassVar[int | None] = MOST_REPLY_BYTES
    """A reply is kept until it is whole: this limits the memory that a server can make a worker use
    for each user. None, of a plan that keeps nothing, means the same here."""
    reply_timeout_s: ClassVar[float | None] = 30.0
    """The timeout of a whole reply, for which the script waits: long enough for 16 MiB at 5 Mbit/s,
    and short enough that a reply that never ends is noticed within a test. None for no limit."""
    _attributes: ClassVar[tuple[str, ...]] = SCRIPTED_ATTRIBUTES

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._client: SocketClient | None = None

    @classmethod
    def _maker(cls) -> str:
        return "tasks"

    @classmethod
    def _load_model(cls, rate: float | str | None) -> LoadModelName:
        return "scripted"

    @property
    def client(self) -> SocketClient:
        """The user's connection, made at first use."""
        if self._client is None:
            self._client = SocketClient(self._load())
            # Private to Locust: how its tasks wait. Without it scripts are slower, and still right.
            if hasattr(self._taskset_instance, "_sleep"):
                setattr(self._taskset_instance, "_sleep", self._rest)  # noqa: B010
        return self._client

    def _rest(self, seconds: float) -> None:
        """Wait between two tasks; without a wait, yield only if no request has yielded since.

        Locust would go through its event loop once more for each task.
        """
        client = self.client
        if seconds > 0 or not client.has_yielded:
            gevent.sleep(seconds)
        client.has_yielded = False

    def start(self, group: Any) -> Any:
        """Start the user in ``group``; its connection is closed when the user ends."""
        greenlet = super().start(group)
        greenlet.link(self._close)
        return greenlet

    def _close(self, greenlet: Any) -> None:
        if self._client is not None:
            self._client.close()
