"""The client of a user that follows a script: its greenlet waits while the engine works.

A request is one message on the user's own connection, which the engine opens, watches, times and
opens again. Whoever asks waits in the hub. The answer, or the failure, resumes it from the loop's
next round, never from the midst of a turn: so that its code is not part of anybody's receive lag,
and a turn is not entered twice.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from gevent import getcurrent
from gevent.hub import get_hub

from loadgen.core.connection import Connection
from loadgen.core.conversation import ONE_BY_ONE, Conversation
from loadgen.core.lifecycle import State
from loadgen.errors import LoadgenError
from loadgen.failure import Cause, Failure
from loadgen.framing import Decoder, Framing
from loadgen.locust.load import Load
from loadgen.locust.words import checked


class RequestFailed(LoadgenError, ConnectionError):  # noqa: N818 - it is the request that failed
    """A request got no answer; ``failure`` says in which phase, and why (`loadgen.failure`)."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


class RequestTimeout(RequestFailed, TimeoutError):  # noqa: N818 - as Locust's users expect
    """The server made no progress within ``io_timeout_s``, or ``connect_timeout_s``."""


class SocketClient:
    """A script's own connection. It opens with the first request, and again after each failure."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._form = load.work.plan.framing()
        self._said = _Said(self._form, load)
        self._connection: Connection | None = None
        self._is_asking = False
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
        with self._asking(message, name) as (said, connection):
            said.one_way = False
            self._load.send_now(connection, said.name)
            self._wait_until(lambda: said.reply is not None)
        assert said.reply is not None
        return said.reply

    def send(self, message: bytes, name: str | None = None) -> None:
        """Send ``message``, to which no reply will come; return when the kernel has taken it.

        Locust lists it as a request without a response time. Raises as `request` does.
        """
        with self._asking(message, name) as (said, connection):
            said.one_way = True
            self._load.send_now(connection, said.name)
            self._wait_until(lambda: connection.is_free)
        self._load.count_one_way(said.name)

    def close(self) -> None:
        """Let the connection end; an answer that nobody awaits any more comes home and counts."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            self._load.leave([connection])

    @contextlib.contextmanager
    def _asking(self, message: bytes, name: str | None) -> Iterator[tuple["_Said", Connection]]:
        checked(message)
        if self._is_asking:
            raise RuntimeError("two greenlets use one client; a user has one connection")
        self._is_asking = True
        self._failure = None
        try:
            said, connection = self._said, self._connection
            if connection is None:
                connection = self._connect()
                said = self._said
            self._wait_until(lambda: connection.state is State.READY)
            said.message, said.name = message, name or self._load.work.name
            said.reply = None
            yield said, connection
        except RequestFailed:
            raise
        except BaseException:
            self.close()  # killed: whoever asks next gets a connection of its own
            raise
        finally:
            self._is_asking = False

    def _connect(self) -> Connection:
        self._said = _Said(self._form, self._load)
        first_message = self._load.work.plan.first_message
        conversation = Conversation(self._said, self._said, ONE_BY_ONE, first_message)
        (self._connection,) = self._load.join(self, conversation, 1)
        return self._connection

    # ---- waiting --------------------------------------------------------------------------

    def _wait_until(self, is_done: Callable[[], bool]) -> None:
        """Let others go on until ``is_done``; raise the failure that comes instead."""
        while not is_done():
            failure = self._failure or self._final_failure()
            if failure is not None:
                raise (RequestTimeout if failure.cause is Cause.TIMEOUT else RequestFailed)(failure)
            self._waiting = getcurrent()
            try:
                get_hub().switch()
            finally:
                self._waiting = None

    def _final_failure(self) -> Failure | None:
        """Return why the connection has failed, if it will not be opened again."""
        connection = self._connection
        if connection is None or connection.state is not State.FAILED:
            return None
        return None if self._load.work.plan.reconnect else connection.failure

    def _resume(self) -> None:
        if self._waiting is not None:
            get_hub().loop.run_callback(self._switch_to, self._waiting)

    def _switch_to(self, waiting: Any) -> None:
        if self._waiting is waiting:  # and was neither resumed nor killed meanwhile
            waiting.switch()

    # ---- what the engine tells ------------------------------------------------------------

    def pause_ns(self, connection: Connection) -> int:
        """Return 0: a script waits by itself."""
        return 0

    def when_free(self, connection: Connection) -> None:
        """Go on: the connection has come up, or the reply is whole."""
        if connection is self._connection:
            self._resume()

    def when_ended(self, connection: Connection, failure: Failure | None) -> None:
        """Go on: with the reply that the end makes whole, or with the failure."""
        if connection is self._connection:
            self._failure = failure
            self._resume()


class _Said:
    """What is said on one connection: its payloads, and a framing that keeps the last reply."""

    items: tuple[bytes, ...] = ()

    def __init__(self, form: Framing, load: Load) -> None:
        self.one_way = form.one_way
        self.message = b""
        self.name = ""
        self.reply: bytes | None = None
        self._form = form
        self._load = load

    def batch(self, position: int, count: int) -> tuple[bytes, tuple[int, ...]]:
        """Return the message that is ready."""
        return self.message, (len(self.message),)

    def keep(self, reply: bytes) -> None:
        """Keep ``reply``, which is whole."""
        self.reply = reply
        if self.name:  # a first message has none, and is not counted
            self._load.count_reply(self.name, len(reply))

    def decoder(self) -> "_Keeper":
        """Return a decoder for the connection's next life."""
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
        self._decoder.expect(batch, lengths)

    def feed(self, view: memoryview) -> int:
        self._bytes += view
        replies = self._decoder.feed(view)
        self.partial = self._decoder.partial
        if replies:
            self._said.keep(bytes(self._bytes))
        return replies

    def end(self) -> int:
        replies = self._decoder.end()
        if replies:
            self._said.keep(bytes(self._bytes))
        return replies
