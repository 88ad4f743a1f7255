"""Peers that speak in datagrams: over socket pairs, and over UDP.

What becomes of a datagram is a script's to say, so that a test knows it exactly: nothing is lost,
doubled or overtaken by chance.
"""

import functools
import random
import select
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final, Self

from loadgen.engine.datagrams import DatagramChannel
from loadgen.net.dialer import Dialer
from loadgen.net.transport import SocketTransport

new_datagrams: Final = functools.partial(DatagramChannel, numbered=True)
"""Makes the channels of a group."""

Fate = Callable[[int, bytes], Iterable[bytes]]
"""Takes the number of a datagram, counted as they arrive, and it; returns what to send back."""


def echo(number: int, datagram: bytes) -> Iterable[bytes]:
    return (datagram,)


class Holding:
    """A fate: datagrams of these numbers are held back until the next one has been answered."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = frozenset(numbers)
        self._held: list[bytes] = []

    def __call__(self, number: int, datagram: bytes) -> Iterable[bytes]:
        if number in self._numbers:
            self._held.append(datagram)
            return ()
        held, self._held = self._held, []
        return (datagram, *held)


class UdpPeer:
    """A UDP socket on loopback that answers as ``fate`` says, whenever it is served."""

    def __init__(self, fate: Fate = echo) -> None:
        self.fate = fate
        self.received = self.sent = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.name = self.socket.getsockname()

    @property
    def address(self) -> str:
        """Where it is, in the form of a loadgen target."""
        return "udp://{}:{}".format(*self.name)

    def serve(self) -> None:
        """Answer all that has come."""
        while True:
            try:
                datagram, sender = self.socket.recvfrom(65_536)
            except BlockingIOError:
                return
            number = self.received
            self.received += 1
            for reply in self.fate(number, datagram):
                self.socket.sendto(reply, sender)
                self.sent += 1

    def close(self) -> None:
        self.socket.close()


class UdpServer(UdpPeer):
    """The same in a thread of its own, during a ``with``."""

    def __init__(self, fate: Fate = echo) -> None:
        super().__init__(fate)
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._wake_sender.close()
        self._thread.join()
        self._wake_receiver.close()
        self.close()

    def _run(self) -> None:
        while True:
            readable, _, _ = select.select([self.socket, self._wake_receiver], [], [])
            if self._wake_receiver in readable:
                return
            self.serve()


class Shuffling:
    """A peer that answers in another order than it was asked."""

    def __init__(self, sock: socket.socket, shuffle: Callable[[list[bytes]], Any]) -> None:
        self.bytes_received = self.bytes_sent = 0
        self._socket = sock
        self._shuffle = shuffle
        self._waiting: list[bytes] = []

    def serve(self) -> None:
        try:
            while True:
                self._waiting.append(self._socket.recv(65536))
                self.bytes_received += len(self._waiting[-1])
        except BlockingIOError:
            pass
        self._shuffle(self._waiting)
        try:
            while self._waiting:
                self._socket.send(self._waiting[-1])
                self.bytes_sent += len(self._waiting.pop())
        except BlockingIOError:
            pass

    def close(self) -> None:
        self._socket.close()


class DatagramDialer(Dialer):
    """Dials pairs of datagram sockets; ``peers`` are their other ends."""

    stamp_every = 0
    is_layered = False

    def __init__(self) -> None:
        self.peers: list[Shuffling] = []
        self._shuffle = random.Random(1).shuffle

    def dial(self) -> SocketTransport:
        ours, theirs = socket.socketpair(type=socket.SOCK_DGRAM)
        for sock in (ours, theirs):
            sock.setblocking(False)
        self.peers.append(Shuffling(theirs, self._shuffle))
        return SocketTransport(ours)
