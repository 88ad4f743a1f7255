"""Streams over a transport with a layer above the socket, such as TLS.

Facts. Such a transport may hold bytes that no selector announces; it may have to read before it can
send, and to write before it can receive. A stream over a plain socket needs none of that, and must
not pay for it.

Decision. The stream is the same, and so are its two paths. Around each call, what the layer holds
is read until it holds nothing more, which ends since only an event brings further bytes; and what
is awaited is translated into events of the socket. Any event may be the one that the layer has
waited for, so each leads to an attempt to read, and to write what is unsent.
"""

from loadgen.engine.channel import Settle
from loadgen.engine.conversation import Conversation
from loadgen.engine.stamped import StampedChannel
from loadgen.engine.stream import StreamChannel
from loadgen.net.clock import Clock
from loadgen.net.transport import READ


class _Layered(StreamChannel):
    """What both kinds of stream need around their calls."""

    __slots__ = ()

    _settle: Settle
    """That of the pool."""

    def receive(self, buffer: bytearray) -> bool:
        """Read all that has come; return whether to call `transmit`. Raises ConnectionFailed."""
        transport = self.transport
        assert transport is not None
        has_reply = super().receive(buffer)
        while transport.pending and not self.is_ending:
            has_reply |= super().receive(buffer)
        if has_reply or self._unsent is not None or self._is_pushing:
            return True
        interest = transport.awaited(READ)
        if interest != self.interest:
            self._settle(self, interest)
        return False

    def handle(self, buffer: bytearray, events: int) -> bool:
        """As `receive`."""
        return self.receive(buffer)

    def transmit(self) -> int:
        """Send what may be sent now; return the events of the socket to wait for."""
        return self._awaited(super().transmit())

    def submit(self, intended_ns: int) -> int:
        """Send one message; return the events of the socket to wait for."""
        return self._awaited(super().submit(intended_ns))

    def _awaited(self, interest: int) -> int:
        assert self.transport is not None
        return self.transport.awaited(interest) if interest else interest

    @property
    def _is_pushing(self) -> bool:
        """Whether it sends one-way messages as fast as they are accepted."""
        return self._conversation.framing.one_way and self._remaining > 0


class LayeredChannel(_Layered):
    """A stream over a transport with a layer above the socket."""

    __slots__ = ("_settle",)

    def __init__(
        self, origin: int, conversation: Conversation, clock: Clock, settle: Settle
    ) -> None:
        super().__init__(origin, conversation, clock)
        self._settle = settle


class LayeredStampedChannel(_Layered, StampedChannel):
    """The same, whose replies carry the kernel's time of arrival."""

    __slots__ = ("_settle",)

    def __init__(
        self,
        origin: int,
        conversation: Conversation,
        clock: Clock,
        stamp_every: int,
        settle: Settle,
    ) -> None:
        super().__init__(origin, conversation, clock, stamp_every)
        self._settle = settle
