"""A stream channel whose replies carry the kernel's time of arrival.

A read with its control message takes some 0.4 µs longer in the kernel and makes three more objects.
To save that at the highest rates, only every n-th reply is stamped.
"""

import struct

from loadgen.engine.channel import Host
from loadgen.engine.conversation import Conversation
from loadgen.engine.fast_path import NO_BATCH, FastPath
from loadgen.engine.stream import StreamChannel
from loadgen.net.clock import Clock
from loadgen.net.timestamps import (
    ANCILLARY_BYTES,
    MISSING,
    bound_by,
    unpack,
)
from loadgen.net.transport import ReceiveMessageInto, Transport
from loadgen.units import NS_PER_S


class StampedChannel(StreamChannel):
    """Reads the kernel's time stamp with every ``stamp_every``-th reply."""

    __slots__ = ("_receive_message_into", "_unstamped_after", "_unstamped_left")

    _receive_message_into: ReceiveMessageInto

    def __init__(
        self,
        origin: int,
        conversation: Conversation,
        clock: Clock,
        host: Host,
        stamp_every: int,
    ) -> None:
        super().__init__(origin, conversation, clock, host)
        self._unstamped_after = stamp_every - 1
        # Spreads the stamped replies over the connections.
        self._unstamped_left = self.index % stamp_every

    def attach(self, transport: Transport) -> None:
        """Exchange messages through ``transport``, which is up, from now on."""
        super().attach(transport)
        self._receive_message_into = transport.recvmsg_into

    def receive(self, buffer: bytearray) -> bool:
        """Read once, as `FastPath.receive` does, with the stamp where one is due."""
        unstamped_left = self._unstamped_left
        if unstamped_left:
            if FastPath.receive(self, buffer):
                self._unstamped_left = unstamped_left - 1
                return True
            return False
        try:
            size, ancillary, _, _ = self._receive_message_into((buffer,), ANCILLARY_BYTES)
        except BlockingIOError:
            return False
        except OSError as error:
            return self._receive_broken(error)
        read_ns = self._clock()
        try:
            ((_, _, stamp),) = ancillary
            seconds, nanoseconds = unpack(stamp)
            stamp_ns = seconds * NS_PER_S + nanoseconds
        except (ValueError, struct.error):  # none, or cut short
            stamp_ns = MISSING
        if size != self._awaited_bytes:
            return self._receive_stamped(memoryview(buffer), size, stamp_ns, read_ns)
        self._awaited_bytes = NO_BATCH
        replies = self.in_flight
        self.in_flight = 0
        self._unstamped_left = self._unstamped_after
        self._record((self.origin, replies, self.intended_ns, self.sent_ns, stamp_ns, read_ns))
        return True

    def _receive_stamped(self, view: memoryview, size: int, stamp_ns: int, read_ns: int) -> bool:
        if size == len(view):  # full: the stamp may belong to what is still to be read
            stamp_ns = bound_by(stamp_ns)
        has_reply = self._receive_general(view[:size], stamp_ns, read_ns)
        if has_reply:
            self._unstamped_left = self._unstamped_after
        return has_reply

    def detach(self) -> None:
        """Release the transport."""
        super().detach()
        del self._receive_message_into
