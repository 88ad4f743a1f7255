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
        self._framing = _Keeping(load.work.plan.framing())
        self._conversation = Conversation(
            _Spoken(self), self._framing, ONE_BY_ONE, load.work.plan.first_message
        )
        self._message = b""
        self._connection: Connection | None = None
        self._is_asking = False
        self._waiting: Any = None
        self._failure: Failure | None = None

    def request(self, message: bytes, name: str | None = None) -> bytes:
        """Send ``message`` and return the reply, which is whole when the ``reply`` form says so.

        Locust lists it under ``name``, or that of the user class. Raises RequestTimeout and
        RequestFailed; the connection is then opened again, and the next request waits for it.
        """
        if self._framing.form.one_way:
            self.send(message, name)
            return b""
        name = name or self._load.work.name
        with self._asking(message) as connection:
            self._framing.one_way = False
            self._load.send_now(connection, name)
            self._wait_until(lambda: self._framing.reply is not None)
            reply = self._framing.reply
        assert reply is not None
        self._load.count_reply(name, len(reply))
        return reply

    def send(self, message: bytes, name: str | None = None) -> None:
        """Send ``message``, to which no reply will come; return when the kernel has taken it.

        Locust lists it as a request without a response time. Raises as `request` does.
        """
        name = name or self._load.work.name
        with self._asking(message) as connection:
            self._framing.one_way = True
            self._load.send_now(connection, name)
            self._wait_until(lambda: connection.is_free)
        self._load.count_one_way(name)

    def close(self) -> None:
        """Close the connection; an answer that nobody awaits any more is cut off."""
        if self._connection is not None:
            connections = [self._connection]
            self._connection = None
            self._load.leave(connections)
            self._load.cut(connections)

    @property
    def message(self) -> bytes:
        """What is to be sent next."""
        return self._message

    @contextlib.contextmanager
    def _asking(self, message: bytes) -> Iterator[Connection]:
        checked(message)
        if self._is_asking:
            raise RuntimeError("two greenlets use one client; a user has one connection")
        self._is_asking = True
        self._message, self._framing.reply, self._failure = message, None, None
        try:
            if self._connection is None:
                (self._connection,) = self._load.join(self, self._conversation, 1)
            connection = self._connection
            self._wait_until(lambda: connection.state is State.READY)
            yield connection
        except RequestFailed:
            raise
        except BaseException:
            self.close()  # killed: an answer that came now would find nobody
            raise
        finally:
            self._is_asking = False

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
        self._resume()

    def when_ended(self, connection: Connection, failure: Failure | None) -> None:
        """Go on: with the reply that the end makes whole, or with the failure."""
        self._failure = failure
        self._resume()


class _Spoken:
    """The payloads of a script: whatever its client has ready."""

    items: tuple[bytes, ...] = ()

    def __init__(self, client: SocketClient) -> None:
        self._client = client

    def batch(self, position: int, count: int) -> tuple[bytes, tuple[int, ...]]:
        """Return the client's message."""
        message = self._client.message
        return message, (len(message),)


class _Keeping:
    """A framing that keeps the bytes of the last reply, for one connection."""

    def __init__(self, form: Framing) -> None:
        self.form = form
        self.one_way = form.one_way
        self.reply: bytes | None = None

    def decoder(self) -> "_KeepingDecoder":
        """Return a decoder for the connection's next life."""
        return _KeepingDecoder(self.form.decoder(), self)

    def reply_bytes(self, message_bytes: int) -> int | None:
        """Return None: each reply must be looked at."""
        return None


class _KeepingDecoder:
    def __init__(self, decoder: Decoder, framing: _Keeping) -> None:
        self.partial = False
        self._decoder = decoder
        self._framing = framing
        self._bytes = bytearray()

    def expect(self, batch: bytes, lengths: Sequence[int]) -> None:
        self._bytes.clear()
        self._decoder.expect(batch, lengths)

    def feed(self, view: memoryview) -> int:
        self._bytes += view
        replies = self._decoder.feed(view)
        self.partial = self._decoder.partial
        if replies:
            self._framing.reply = bytes(self._bytes)
        return replies

    def end(self) -> int:
        replies = self._decoder.end()
        if replies:
            self._framing.reply = bytes(self._bytes)
        return replies
