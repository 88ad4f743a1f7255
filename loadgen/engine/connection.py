"""One connection of the load: connecting, ending, and the time-outs that it is under in between.

A connection is a slot of the load: its socket may break and be replaced; its counts continue. It
takes no action by itself: the engine says when to connect and when to end, and handles a break,
which is raised as `ConnectionFailed`.
"""

import contextlib
import os
import select
import socket
from typing import Any

from loadgen.engine.availability import Standing
from loadgen.engine.conversation import Conversation
from loadgen.engine.exchange import Exchange
from loadgen.engine.fast_path import NOTHING, READ_AND_WRITE
from loadgen.engine.lifecycle import Event, State, advance
from loadgen.net.address import refuse_self_connection
from loadgen.net.clock import Clock
from loadgen.net.dialer import Dialer
from loadgen.net.failure import ConnectionFailed, Failure, Phase
from loadgen.net.unpatched import has_original, original


class Connection(Exchange):
    """An exchange of messages, and the life cycle of the socket that it uses."""

    __slots__ = (
        "_received_before",
        "back_off_ns",
        "connect_ns",
        "connects",
        "dialled_ns",
        "failure",
        "failures",
        "is_decided",
        "is_queued",
        "socket",
        "standing",
        "state",
        "timer_ns",
    )

    def __init__(self, index: int, conversation: Conversation, clock: Clock) -> None:
        super().__init__(index, conversation, clock)
        self.state = State.NEW
        self.standing = Standing.OPENING
        self.socket: Any = None
        self.timer_ns: int | None = None
        self.failure: Failure | None = None
        self.failures = 0
        self.is_decided = False  # whether it has come up, or failed to, for the first time
        self.is_queued = False  # whether an open loop has it among its free connections
        self.back_off_ns = 0
        self.connects = 0
        self.connect_ns = 0
        self.dialled_ns = 0
        self._received_before = 0

    def __repr__(self) -> str:
        busy = f", {self.in_flight} in flight" if self.in_flight else ""
        return f"<Connection {self.index} {self.state}{busy}>"

    def open(self, dialer: Dialer) -> None:
        """Begin to connect. Raises ConnectionFailed; `close` must follow then, too."""
        self.state = advance(self.state, Event.CONNECT)
        self.dialled_ns = self._clock()
        self._received_before = self.bytes_received
        self.socket = dialer.dial()
        self.attach(self.socket)

    def finish_connect(self) -> None:
        """Check the result of the connect, once the socket is writable.

        SO_ERROR holds it (connect(2)). A connection to itself is refused. Raises ConnectionFailed.
        """
        try:
            code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            refuse_self_connection(self.socket)
        except OSError as error:
            raise ConnectionFailed(Failure.of(Phase.CONNECT, error), str(error)) from error
        self.connect_ns = self._clock() - self.dialled_ns
        self.connects += 1
        if self._conversation.first_message:
            self.state = advance(self.state, Event.GREET)
        else:
            self.come_up()

    def come_up(self) -> None:
        """Be ready for messages: connected, and the first message answered."""
        self.state = advance(self.state, Event.COME_UP)
        self.be_ready()

    def drain(self) -> None:
        """Submit nothing more, and wait for the replies in flight."""
        self.state = advance(self.state, Event.DRAIN)
        self.revoke()

    def close(self, step: Event) -> None:
        """End by ``step``, CLOSE or FAIL, and release the socket.

        The end of the stream is sent first (shutdown(2), SHUT_WR), as a well-behaved client does;
        a peer that has closed already is no error.
        """
        if self.state is State.GREETING:
            self.in_flight = 0  # a first message is not counted among the unanswered
        self.state = advance(self.state, step)
        self.interest = NOTHING
        sock, self.socket = self.socket, None
        if sock is None:  # the connect could not even begin
            return
        self.detach()
        with contextlib.suppress(OSError):  # ENOTCONN: it never came up, or the peer was faster
            sock.shutdown(socket.SHUT_WR)
        sock.close()

    def counts(self) -> tuple[int, int, int, int]:
        """Return messages submitted and answered, bytes sent and received so far."""
        submitted, answered, sent, received = super().counts()
        if self.state is State.GREETING:  # the first message is in flight, and is not counted
            answered += self.in_flight
        return submitted, answered, sent, received

    @property
    def is_up(self) -> bool:
        """Whether it is connected and ready for messages, or draining."""
        return self.state is State.READY or self.state is State.DRAINING

    @property
    def may_transmit(self) -> bool:
        """Whether `transmit` may be called: connected, and not ended."""
        return self.is_up or self.state is State.GREETING

    @property
    def may_go_on(self) -> bool:
        """Whether the only thing left to do is to submit a further message, and it may."""
        is_at_rest = self._unsent is None and not self.ended_by_reply
        return self.state is State.READY and is_at_rest and self.has_more

    @property
    def has_received(self) -> bool:
        """Whether the server has sent anything since the last connect."""
        return self.bytes_received > self._received_before

    def has_event_since(self, deadline_ns: int) -> bool:
        """Whether the awaited event has happened, but has not been handled since ``deadline_ns``.

        Asked before a connection is given up: a process that was stopped, or busy elsewhere, must
        not take its own lateness for the server's.
        """
        since_ns = self.waits_since_ns
        if since_ns is None or since_ns >= deadline_ns:
            return False
        try:
            if self.state is State.CONNECTING:
                self.socket.getpeername()  # ENOTCONN (getpeername(2)) until it is connected
            else:
                self._check_socket()
        except OSError:
            return False
        return True

    def _check_socket(self) -> None:
        """Raise OSError if there is nothing to read, nor room to write where that is awaited."""
        if self.waits_in is Phase.SEND and has_original("select", "poll"):
            poll = original("select", "poll")()
            poll.register(self.socket, select.POLLOUT)
            if poll.poll(0):
                return
        self.socket.recv(1, socket.MSG_PEEK)

    @property
    def waits_since_ns(self) -> int | None:
        """Since when there has been no progress; None if nothing is awaited."""
        if self.state is State.CONNECTING:
            return self.dialled_ns
        if not self.in_flight and self.interest != READ_AND_WRITE:
            return None
        return max(self.dialled_ns, self.sent_ns, self.flushed_ns, self.read_ns)

    @property
    def waits_in(self) -> Phase:
        """The phase of the failure that a lack of progress would be."""
        if self.state is State.CONNECTING:
            return Phase.CONNECT
        waits_to_send = self._unsent is not None or self.interest == READ_AND_WRITE
        return Phase.SEND if waits_to_send else Phase.RECEIVE
