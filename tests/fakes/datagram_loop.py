"""One connection over UDP, in an engine whose time stands still until a test moves it."""

import errno
import os
import socket
from typing import Any, Final

from datagrams import UdpPeer, new_datagrams
from served import NotingRecorder, Served
from stepped_engine import conversation, socket_of

from loadgen.engine.datagrams import DatagramChannel
from loadgen.engine.group import Group
from loadgen.engine.load_models import ClosedLoop, LoadModel, OpenLoop
from loadgen.engine.matching import DatagramTally
from loadgen.net.address import Endpoint
from loadgen.net.clock import ManualClock
from loadgen.net.transport import SocketOptions
from loadgen.net.udp import UdpDialer
from loadgen.units import NS_PER_S

IO_TIMEOUT_NS: Final = 20 * NS_PER_S  # of `Served`
MESSAGE: Final = b"12345678 and the rest"


class RefusingSocket(socket.socket):
    """A UDP socket that refuses to send with the error number ``refuses``, unless that is 0.

    What an earlier datagram has met is told once, as by the kernel (udp(7)).
    """

    refuses = 0

    def send(self, data: Any, flags: int = 0) -> int:
        refuses = self.refuses
        if refuses == errno.ECONNREFUSED:
            self.refuses = 0
        if refuses:
            raise OSError(refuses, os.strerror(refuses))
        return super().send(data, flags)


class PeerDialer(UdpDialer):
    """Dials ``peer``, with sockets that may refuse to send."""

    def __init__(self, peer: UdpPeer, **options: Any) -> None:
        endpoint = Endpoint(socket.AF_INET, peer.name)
        super().__init__(endpoint, SocketOptions(**options), RefusingSocket)
        self.peers = [peer]


class Loop:
    """An engine with one connection to ``peer``, in turns."""

    def __init__(
        self,
        peer: UdpPeer,
        model: LoadModel | None = None,
        clock: Any = None,
        stamp_every: int = 0,
        receive_buffer_bytes: int | None = None,
        reply: str = "fixed:21",
        **talk: Any,
    ) -> None:
        self.clock = clock or ManualClock(1000)
        self.recorder = NotingRecorder()
        self.dialer = PeerDialer(
            peer, stamp_every=stamp_every, receive_buffer_bytes=receive_buffer_bytes
        )
        group = Group(self.dialer, model or ClosedLoop(), new_channel=new_datagrams)
        self.served = Served(self.recorder, [group], self.dialer, clock=self.clock)
        [self.connection] = self.served.engine.add(
            conversation(MESSAGE, reply=reply, scheduled=isinstance(model, OpenLoop), **talk)
        )
        assert isinstance(self.connection.messages, DatagramChannel)
        self.channel = self.connection.messages

    def start(self) -> None:
        self.served.turn_until(lambda: not self.served.engine.pool.is_opening)
        self.served.engine.start()

    def settle(self) -> None:
        """Take turns until nothing moves any more."""
        for _ in range(8):
            self.served.engine.turn(0)
            self.dialer.peers[0].serve()
        self.served.engine.turn(0)

    def expire(self) -> None:
        """Let the time-out of all that is in flight pass."""
        self.sleep(IO_TIMEOUT_NS + 1)
        self.settle()

    def sleep(self, for_ns: int) -> None:
        """Let that time pass, in which nothing was to be done: it is no pause of the process."""
        began_ns = self.clock()
        self.clock.advance(for_ns)
        self.served.engine.slept(began_ns, self.clock(), self.clock())

    @property
    def socket(self) -> RefusingSocket:
        found = socket_of(self.connection)
        assert isinstance(found, RefusingSocket)
        return found

    @property
    def tally(self) -> DatagramTally:
        return self.channel.matching.tally

    @property
    def books(self) -> tuple[int, ...]:
        """Submitted, answered, lost, late, in flight."""
        submitted, answered, _, _ = self.channel.counts()
        return submitted, answered, self.tally.lost, self.tally.late, self.channel.in_flight
