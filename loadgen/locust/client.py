"""The client of a user that follows a script: its greenlet waits while the engine works.

A request is one message on the user's own connection, which the engine opens, watches, times and
opens again. Whoever asks waits in the hub. The answer, or the failure, resumes it from the loop's
next round, never from the midst of a turn: so that its code is not part of anybody's receive lag,
and a turn is not entered twice.
"""

from collections.abc import Sequence
from typing import Any, Final

from gevent import getcurrent
from gevent.hub import get_hub

from loadgen.engine.connection import Connection
from loadgen.engine.conversation import ONE_BY_ONE, Conversation
from loadgen.engine.lifecycle import State
from loadgen.errors import LoadgenError
from loadgen.locust.class_load import ClassLoad
from loadgen.locust.user_attributes import checked
from loadgen.net.failure import Cause, Failure
from loadgen.net.protocols import Decoder, Framing
from loadgen.plan.payloads import first_message

_TIMEOUTS: Final = (Cause.TIMEOUT, Cause.REPLY_TIMEOUT)


class RequestFailed(LoadgenError, ConnectionError):  # noqa: N818 - it is the request that failed
    """A request got no answer; ``failure`` says in which phase, and why (`loadgen.net.failure`)."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


class RequestTimeout(RequestFailed, TimeoutError):  # noqa: N818 - as Locust's users expect
    """There was no progress within ``io_timeout_s`` or ``connect_timeout_s``, or no whole reply
    within ``reply_timeout_s``."""


class SocketClient:
    """A script's own connection. It opens with the first request, and again after each failure."""

    def __init__(self, load: ClassLoad) -> None:
        self._load = load
        self._form = load.work.plan.framing()
        self._said = _Said(self._form, load)
        self._connection: Connection | None = None
        self._is_asking = False
        self.has_given_way = False
        """Whether others have run since this was last set to False."""
        hub = get_hub()
        self._give_way, self._run_callback = hub.switch, hub.loop.run_callback
        self._waiting: Any = None
        self._failure: Failure | None = None

    def request(self, message: bytes, name: str | None = None) -> bytes:
        """Send ``message`` and return the reply, which is whole when the ``reply`` form says so.

        Locust lists it under ``name``, or that of the user class. Raises RequestTimeout and
        RequestFailed; the connection is then opened again, and the next request waits for it.
        """
        if self._form.one_way:
            self.send(message, name)
            return b""
        said = self._say(message, name, one_way=False)
        assert said.reply is not None
        return said.reply

    def send(self, message: bytes, name: str | None = None) -> None:
        """Send ``message``, to which no reply will come; return when the kernel has taken it.

        Locust lists it as a request without a response time. Raises as `request` does.
        """
        said = self._say(message, name, one_way=True)
        self._load.count_one_way(said.name)

    def close(self) -> None:
        """Let the connection end; an answer that nobody awaits any more comes home and counts."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            self._load.leave([connection])

    def _say(self, message: bytes, name: str | None, *, one_way: bool) -> "_Said":
        """Send ``message``, and wait for the reply, or until it is sent."""
        checked(message)
        if self._is_asking:
            raise RuntimeError("two greenlets use one client; a user has one connection")
        self._is_asking = True
        self._failure = None
        try:
            connection = self._connection or self._connect()
            while connection.state is not State.READY:
                self._wait()
            said = self._said
            said.message, said.name = message, name or self._load.work.name
            said.reply, said.one_way, said.is_out = None, one_way, False
            self._load.send_now(connection, said.name)
            while not (said.is_out and connection.is_free if one_way else said.reply is not None):
                self._wait()
        except RequestFailed:
            raise
        except BaseException:
            self.close()  # killed: whoever asks next gets a connection of its own
            raise
        finally:
            self._is_asking = False
        return said

    def _connect(self) -> Connection:
        self._said = _Said(self._form, self._load)
        first = first_message(self._load.work.plan.first_message)
        conversation = Conversation(self._said, self._said, ONE_BY_ONE, first)
        (self._connection,) = self._load.join(self, conversation, 1)
        return self._connection

    # ---- waiting --------------------------------------------------------------------------

    def _wait(self) -> None:
        """Let others go on until something happens; raise the failure, if that has happened."""
        failure = self._failure or self._final_failure()
        if failure is not None:
            raise (RequestTimeout if failure.cause in _TIMEOUTS else RequestFailed)(failure)
        self._waiting = getcurrent()
        self.has_given_way = True
        try:
            self._give_way()
        finally:
            self._waiting = None

    def _final_failure(self) -> Failure | None:
        """Return why the connection has failed, if it will not be opened again."""
        connection = self._connection
        if connection is None or connection.state is not State.FAILED:
            return None
        return None if self._load.work.plan.reconnect else connection.failure

    def _switch_to(self, waiting: Any) -> None:
        if self._waiting is waiting:  # and was neither resumed nor killed meanwhile
            waiting.switch()

    # ---- what the engine tells ------------------------------------------------------------

    def pause_ns(self, connection: Connection) -> int:
        """Return 0: a script waits by itself."""
        return 0

    def when_free(self, connection: Connection) -> None:
        """Go on: the connection has come up, or the reply is whole."""
        if self._waiting is not None and connection is self._connection:
            self._run_callback(self._switch_to, self._waiting)

    def when_ended(self, connection: Connection, failure: Failure | None) -> None:
        """Go on: with the reply that the end makes whole, or with the failure."""
        if connection is self._connection:
            self._failure = failure
            self.when_free(connection)


class _Said:
    """What is said on one connection: its payloads, and a framing that keeps the last reply."""

    items: tuple[bytes, ...] = ()

    def __init__(self, form: Framing, load: ClassLoad) -> None:
        self.one_way = form.one_way
        self.message = b""
        self.is_out = False
        self.name = ""
        self.reply: bytes | None = None
        self.load = load
        self._form = form

    def batch(self, position: int, count: int) -> tuple[bytes, tuple[int, ...]]:
        """Return the message that is ready: it goes out."""
        self.is_out = True
        return self.message, (len(self.message),)

    def decoder(self) -> "_Keeper":
        """Return a decoder for the connection's next life, in which a greeting is answered."""
        self.one_way, self.name = self._form.one_way, ""
        return _Keeper(self._form.decoder(), self)

    def reply_bytes(self, message_bytes: int) -> int | None:
        """Return None: each reply must be looked at."""
        return None


class _Keeper:
    """A decoder that hands on the bytes of a reply when it is whole."""

    def __init__(self, decoder: Decoder, said: _Said) -> None:
        self.partial = False
        self._decoder = decoder
        self._said = said
        self._bytes = bytearray()

    def expect(self, batch: bytes, lengths: Sequence[int]) -> None:
        self._bytes.clear()
        if not self._said.one_way:
            self._decoder.expect(batch, lengths)

    def feed(self, view: memoryview) -> int:
        replies = self._decoder.feed(view)
        self.partial = self._decoder.partial
        if not replies:
            self._bytes += view
        elif replies == 1 and not self.partial:  # more than that is none: the connection fails
            self._keep(bytes(self._bytes) + bytes(view))
        return replies

    def end(self) -> int:
        replies = self._decoder.end()
        if replies:
            self._keep(bytes(self._bytes))
        return replies

    def _keep(self, reply: bytes) -> None:
        said = self._said
        said.reply = reply
        if said.name:  # a first message has none, and is not counted
            said.load.count_reply(said.name, len(reply))
