"""Streams over a transport with a layer above the socket, such as TLS.

Facts. Such a transport may hold bytes that no selector announces; it may have to read before it can
send, and to write before it can receive. A stream over a plain socket needs none of that, and must
not pay for it.

Decision. The stream is the same, and so are its two paths. Whenever the layer may have taken in
bytes (a read, but also a send, or coming up), what it holds is read at once or in the next turn.
What is awaited is translated into events of the socket; any of them may be the one that the layer
has waited for, so each leads to an attempt to read, and to write what is unsent.
"""

from loadgen.engine.stamped import StampedChannel
from loadgen.engine.stream import StreamChannel
from loadgen.net.transport import NOTHING, READ, READ_AND_WRITE


class LayeredChannel(StreamChannel):
    """A stream over a transport with a layer above the socket."""

    __slots__ = ()

    def receive(self, buffer: bytearray) -> bool:
        """Read all that has come; return whether to call `transmit`. Raises ConnectionFailed."""
        transport = self.transport
        assert transport is not None
        may_transmit = super().receive(buffer)
        while transport.pending and not self.is_ending:
            may_transmit |= super().receive(buffer)
        if self._unsent is not None:
            self._flush()
            may_transmit |= self._unsent is None
        if not self.is_ending:
            interest = transport.awaited(READ if self._unsent is None else READ_AND_WRITE)
            if interest != self.interest:
                self._host.settle(self, interest)
        return may_transmit or self._is_pushing

    def handle(self, buffer: bytearray, events: int) -> bool:
        """As `receive`."""
        return self.receive(buffer)

    def transmit(self) -> int:
        """Send what may be sent now; return the events of the socket to wait for."""
        return self._awaited(super().transmit())

    def submit(self, intended_ns: int) -> int:
        """Send one message; return the events of the socket to wait for."""
        return self._awaited(super().submit(intended_ns))

    def _wait_for(self, interest: int) -> None:
        super()._wait_for(self._awaited(interest))

    def _awaited(self, interest: int) -> int:
        """Return the events of the socket that ``interest`` means, and see to what is inside."""
        transport = self.transport
        if transport is None or interest == NOTHING:
            return NOTHING
        if transport.pending:
            self._host.read_again(self)
        return transport.awaited(interest)


class LayeredStampedChannel(LayeredChannel, StampedChannel):
    """The same, whose replies carry the kernel's time of arrival."""

    __slots__ = ()
