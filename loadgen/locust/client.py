"""The client of a ScriptedSocketUser: its greenlet waits while the engine sends and receives.

A request is one message on the user's own connection, which the engine opens, times and reopens.
The calling greenlet waits in the hub. The reply or the failure resumes it from the loop's next
iteration, never within a turn of the engine: its code then adds to no receive lag, and a turn is
not entered twice.
"""

from typing import Any, Final

from gevent import getcurrent
from gevent.hub import get_hub

from loadgen.engine.connection import Connection
from loadgen.engine.conversation import ONE_BY_ONE, Conversation, GreetingOf
from loadgen.engine.lifecycle import State
from loadgen.errors import LoadgenError
from loadgen.locust.class_load import ClassLoad
from loadgen.locust.user_attributes import checked
from loadgen.net.failure import Cause, Failure
from loadgen.net.protocols import Decoder, Framing, Keeping
from loadgen.net.protocols.keeping import KeepingDecoder

_TIMEOUTS: Final = (Cause.TIMEOUT, Cause.REPLY_TIMEOUT)


class RequestFailed(LoadgenError, ConnectionError):  # noqa: N818 - it is the request that failed
    """A request got no reply; ``failure`` says in which phase, and why (`loadgen.net.failure`)."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


class RequestTimeout(RequestFailed, TimeoutError):  # noqa: N818 - as Locust's users expect
    """There was no progress within ``io_timeout_s`` or ``connect_timeout_s``, or no whole reply
    within ``reply_timeout_s``."""


class SocketClient:
    """A script's own connection, opened by the first request and again after each failure."""

    def __init__(self, load: ClassLoad) -> None:
        self._load = load
        self._framing = load.work.plan.framing()
        self._current = _CurrentRequest(self._framing, load)
        self._connection: Connection | None = None
        self._is_busy = False
        self.has_yielded = False
        """Whether other greenlets have run since this was last set to False."""
        hub = get_hub()
        self._yield, self._run_callback = hub.switch, hub.loop.run_callback
        self._waiting: Any = None
        self._failure: Failure | None = None

    def request(self, message: bytes, name: str | None = None) -> bytes:
        """Send ``message`` and return the whole reply, as the attribute ``reply`` frames it.

        What both consist of is the protocol's to say (`loadgen.plan.applications`): over TCP, the
        bytes themselves.

        Locust lists it under ``name``, or that of the user class. Raises RequestTimeout and
        RequestFailed; the connection is then opened again, and the next request waits for it. Over
        UDP, where only the message was lost, it goes on.

        A reply that the server rejects with, such as an error status, is returned like any other,
        and Locust lists the request as failed: so does its own FastHttpUser, and a script may want
        to look at the reply. Nothing is raised, since the connection goes on.
        """
        if self._framing.one_way:
            self.send(message, name)
            return b""
        reply = self._exchange(message, name, one_way=False).reply
        assert reply is not None
        return self._framing.content(reply)

    def send(self, message: bytes, name: str | None = None) -> None:
        """Send ``message``, which has no reply; return when the kernel has taken it.

        Locust lists it as a request without a response time. Raises as `request` does.
        """
        self._exchange(message, name, one_way=True)
        self._load.count_one_way(name or self._load.work.name)

    def close(self) -> None:
        """Drain the connection; an outstanding reply that is no longer awaited still counts."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            self._load.leave([connection])

    def _exchange(self, message: bytes, name: str | None, *, one_way: bool) -> KeepingDecoder:
        """Send ``message``, and wait until it is sent if ``one_way``, otherwise for the reply.

        Return the decoder of that reply; the connection may have another one by then.
        """
        encoded = self._load.work.plan.message(checked(message))
        if self._is_busy:
            raise RuntimeError("two greenlets use one client; a user has one connection")
        self._is_busy = True
        self._failure = None
        try:
            connection = self._connection or self._connect()
            while connection.state is not State.READY:
                self._wait()
            current, replies = self._current, self._current.replies
            current.message, current.name = encoded, name or self._load.work.name
            current.one_way, current.is_out, replies.reply = one_way, False, None
            self._load.send_now(connection, current.name)
            while not (
                current.is_out and connection.messages.is_free
                if one_way
                else replies.reply is not None
            ):
                self._wait()
        except RequestFailed:
            raise
        except BaseException:
            self.close()  # killed: the next request gets a new connection
            raise
        finally:
            self._is_busy = False
        return replies

    def _connect(self) -> Connection:
        self._current = _CurrentRequest(self._framing, self._load)
        greeting = GreetingOf(self._load.work.plan)
        conversation = Conversation(self._current, self._current, ONE_BY_ONE, greeting)
        (self._connection,) = self._load.join(self, conversation, 1)
        return self._connection

    # ---- waiting --------------------------------------------------------------------------

    def _wait(self) -> None:
        """Let other greenlets run until the connection changes; raise its failure, if any."""
        failure = self._failure or self._final_failure()
        if failure is not None:
            raise (RequestTimeout if failure.cause in _TIMEOUTS else RequestFailed)(failure)
        self._waiting = getcurrent()
        self.has_yielded = True
        try:
            self._yield()
        finally:
            self._waiting = None

    def _final_failure(self) -> Failure | None:
        """Return the failure of a connection that will not be opened again."""
        connection = self._connection
        if connection is None or connection.state is not State.FAILED:
            return None
        return None if self._load.work.plan.reconnect else connection.failure

    def _switch_to(self, waiting: Any) -> None:
        if self._waiting is waiting:  # it was neither resumed nor killed meanwhile
            waiting.switch()

    # ---- callbacks of the engine ----------------------------------------------------------

    def pause_ns(self, index: int) -> int:
        """Return 0: a script waits by itself."""
        return 0

    def when_free(self, index: int) -> None:
        """Resume: the connection is up, or the reply is whole."""
        if self._waiting is not None and self._is_own(index):
            self._run_callback(self._switch_to, self._waiting)

    def when_ended(self, index: int, failure: Failure | None) -> None:
        """Resume: with the reply that the end of the stream makes whole, or with the failure."""
        if self._is_own(index):
            self._failure = failure
            self.when_free(index)

    def when_lost(self, index: int, failure: Failure) -> None:
        """Resume with the failure of the message, which had no reply in time."""
        self.when_ended(index, failure)

    def _is_own(self, index: int) -> bool:
        return self._connection is not None and self._connection.index == index


class _CurrentRequest:
    """What is sent now on one connection, as its payloads; and a framing, since it may be one-way.

    Only replies that are awaited are kept (`Keeping`).
    """

    items: tuple[bytes, ...] = ()
    repeats_bytes = False

    def __init__(self, framing: Framing, load: ClassLoad) -> None:
        self.message, self.name = b"", ""
        self.is_out = False
        self._load = load
        self._framing = Keeping(framing, self._count)
        self.decoder()

    def batch(self, position: int, count: int) -> tuple[bytes, tuple[int, ...]]:
        """Return the message, which is sent now, and its length if a reply is awaited."""
        self.is_out = True
        return self.message, () if self.one_way else (len(self.message),)

    def decoder(self) -> Decoder:
        """Return a decoder for the next transport."""
        self.one_way = self._framing.one_way
        self.replies = self._framing.decoder()
        return self.replies

    needs_messages = True

    def reply_bytes(self, message_bytes: int) -> int | None:
        """Return None: each reply must be decoded."""
        return self._framing.reply_bytes(message_bytes)

    def farewell(self) -> bytes:
        """Return that of the framing."""
        return self._framing.farewell()

    def content(self, reply: bytes) -> bytes:
        """Return what the framing makes of ``reply``."""
        return self._framing.content(reply)

    def _count(self, reply: bytes) -> None:
        self._load.count_reply(self.name, len(reply))
