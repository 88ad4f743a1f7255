"""The life of a connection: its state, its failures, and when it is connected again.

A connection is a slot of the load: its transport may break and be replaced; its counts continue.
What the selector hands out for it is its channel: one of `loadgen.engine.opening` while it comes
up, and then that of its messages (`loadgen.engine.channel`). A connection takes no action by
itself: the pool says when to connect and when to end, and handles a break, which is raised as
`ConnectionFailed`.
"""

from contextlib import suppress
from typing import Final, cast

from loadgen.engine.availability import Standing
from loadgen.engine.channel import Channel, Host, MessageChannel
from loadgen.engine.conversation import Conversation
from loadgen.engine.group import Group
from loadgen.engine.lifecycle import Event, State, advance
from loadgen.engine.opening import Connect, Greeting, Handshake, Opening, StepHost
from loadgen.net.clock import Clock
from loadgen.net.failure import Failure, Phase
from loadgen.net.negotiated import SecureTransport
from loadgen.net.transport import READ, READ_AND_WRITE, Transport
from loadgen.units import NS_PER_S

LONG_ENOUGH_NS: Final = NS_PER_S // 10
"""A connection that was up for so long may be renewed at once, even if it had nothing to do."""


class Connection:
    """A connection of ``group``, and the channel of its messages.

    channel: what the selector hands out for it now; between two transports, the last one.
    """

    __slots__ = (
        "_answered_before",
        "_received_before",
        "_up_ns",
        "back_off_ns",
        "channel",
        "connect_ns",
        "connects",
        "conversation",
        "dialled_ns",
        "failure",
        "failures",
        "group",
        "is_decided",
        "messages",
        "standing",
        "state",
        "timer_ns",
        "ups",
    )

    def __init__(self, group: Group, conversation: Conversation, messages: MessageChannel) -> None:
        self.group = group
        self.conversation = conversation
        self.messages = messages
        self.channel: Channel = messages
        self.state = State.NEW
        self.standing = Standing.OPENING
        self.timer_ns: int | None = None
        self.failure: Failure | None = None
        self.failures = 0
        self.is_decided = False  # whether it has come up, or failed to, for the first time
        self.back_off_ns = 0
        self.connects = 0
        self.ups = 0  # how often it came up: connected, and greeted
        self.connect_ns = 0
        self.dialled_ns = 0
        self._answered_before = self._received_before = self._up_ns = 0

    def __repr__(self) -> str:
        busy = f", {self.in_flight} in flight" if self.in_flight else ""
        return f"<Connection {self.index} {self.state}{busy}>"

    # ---- steps of its life ----------------------------------------------------------------

    def open(self, clock: Clock, host: Host) -> None:
        """Begin to connect. Raises ConnectionFailed; `close` must follow then, too."""
        self.state = advance(self.state, Event.CONNECT)
        self.dialled_ns = clock()
        self._received_before = self.bytes_received
        transport = self.group.dialer.dial()
        self.channel = Connect(self.messages.origin, transport, clock, host)

    def note_connected(self, now_ns: int) -> None:
        """Note that its socket is connected."""
        self.connect_ns = now_ns - self.dialled_ns

    def note_up(self) -> None:
        """Note that its transport is up."""
        self.connects += 1

    @property
    def is_to_shake_hands(self) -> bool:
        """Whether its transport, which is connected, has more to do until it is up."""
        transport = self.channel.transport
        return transport is not None and transport.phase is Phase.SECURE

    def secure(self, clock: Clock, host: StepHost) -> Handshake:
        """Begin the handshake; return the channel that carries it out."""
        self.state = advance(self.state, Event.SECURE)
        transport = cast(SecureTransport, self._release())  # its phase says so
        self.channel = handshake = Handshake(self.messages.origin, transport, clock, host)
        return handshake

    def greet(self, clock: Clock, host: Host) -> Greeting:
        """Begin the greeting; return the channel that exchanges it."""
        self.state = advance(self.state, Event.GREET)
        transport = self._release()
        greeting = Greeting(self.messages, transport, self.conversation, clock, host)
        self.channel = greeting
        return greeting

    def come_up(self, now_ns: int) -> bytes:
        """Be ready for messages: connected, and greeted; return bytes that came behind that."""
        self.state = advance(self.state, Event.COME_UP)
        self._up_ns = now_ns
        self.ups += 1
        self._answered_before = self.answered
        rest = self.channel.rest if isinstance(self.channel, Opening) else b""
        transport = self._release()
        self.channel = self.messages
        self.messages.attach(transport)
        return rest

    def has_served(self, now_ns: int) -> bool:
        """Whether it was of use since it came up: a message was answered, or some time has passed.

        A server that ends each connection at once must not be connected to as fast as possible.
        """
        return self.answered > self._answered_before or now_ns - self._up_ns >= LONG_ENOUGH_NS

    def drain(self) -> None:
        """Wait for the replies in flight."""
        self.state = advance(self.state, Event.DRAIN)

    def close(self, step: Event) -> None:
        """End by ``step``, CLOSE or FAIL; end the stream in an orderly way, and release it."""
        self.state = advance(self.state, step)
        if self.channel.transport is not None:  # otherwise the connect could not even begin
            if step is Event.CLOSE and self.channel is self.messages:
                self._take_leave()
            self._release().close()
        self.channel = self.messages

    def _take_leave(self) -> None:
        """Send what the protocol ends with, unless a message is not yet sent whole."""
        farewell, messages = self.conversation.framing.farewell(), self.messages
        if not farewell or messages.is_ending or messages.waits_in is Phase.SEND:
            return
        assert messages.transport is not None
        with suppress(OSError):  # the server was faster, or does not read
            messages.count_bytes(sent=messages.transport.send(farewell), received=0)

    def _release(self) -> Transport:
        """Take the transport from its channel."""
        channel = self.channel
        transport = channel.transport
        assert transport is not None
        channel.detach()
        return transport

    # ---- what others ask ------------------------------------------------------------------

    @property
    def index(self) -> int:
        """Its position among all."""
        return self.messages.index

    @property
    def is_up(self) -> bool:
        """Whether it is connected and ready for messages, or draining."""
        return self.state is State.READY or self.state is State.DRAINING

    @property
    def in_flight(self) -> int:
        """Messages of which the reply is awaited."""
        return self.messages.in_flight

    @property
    def has_received(self) -> bool:
        """Whether the server has sent anything since the last connect."""
        return self.bytes_received > self._received_before

    def has_event_since(self, deadline_ns: int) -> bool:
        """Whether the awaited event has happened, but has not been handled since ``deadline_ns``.

        Asked before a connection is given up: a process that was stopped, or busy elsewhere, must
        not take its own lateness for the server's.
        """
        channel = self.channel
        since_ns, transport = channel.waits_since_ns, channel.transport
        if since_ns is None or since_ns >= deadline_ns or transport is None:
            return False
        if self.state in (State.CONNECTING, State.SECURING):
            return transport.has_news(channel.interest)
        return transport.has_news(READ_AND_WRITE if channel.waits_in is Phase.SEND else READ)

    # ---- counts ---------------------------------------------------------------------------

    @property
    def submitted(self) -> int:
        """Messages submitted so far."""
        return self.messages.counts()[0]

    @property
    def answered(self) -> int:
        """Messages whose reply is whole (one way: which the kernel has accepted whole)."""
        return self.messages.counts()[1]

    @property
    def bytes_sent(self) -> int:
        """Bytes that the kernel has accepted."""
        return self.messages.counts()[2]

    @property
    def bytes_received(self) -> int:
        """Bytes that have been read."""
        return self.messages.counts()[3]
