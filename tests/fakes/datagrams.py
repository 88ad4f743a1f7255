"""Messages as datagrams, whose replies come in any order: a channel that is no stream.

A message is a number and a payload; its reply is the same datagram. So a reply is matched with its
message by the number, and not by its place.
"""

import random
import socket
from collections.abc import Callable
from typing import Any, Final

from loadgen.engine.channel import Host, MessageChannel, Records
from loadgen.engine.conversation import Conversation
from loadgen.engine.rows import INDEX_MASK
from loadgen.net.clock import Clock
from loadgen.net.dialer import Dialer
from loadgen.net.failure import ConnectionFailed, Failure, Phase
from loadgen.net.timestamps import NOT_ASKED
from loadgen.net.transport import NOTHING, READ, READ_AND_WRITE, SocketTransport, Transport

NUMBER_BYTES: Final = 4


class DatagramChannel:
    """The messages of one connection, each a datagram of its own."""

    def __init__(self, origin: int, conversation: Conversation, clock: Clock) -> None:
        self.origin = origin
        self.interest = NOTHING
        self.in_flight = 0
        self.transport: Transport | None = None
        self.intended_ns = self.sent_ns = self.submitted_ns = self.read_ns = 0
        self.unanswered = self.generation = 0
        self.is_ending = self.is_queued = False
        self._conversation = conversation
        self._clock = clock
        self._open: dict[int, tuple[int, int]] = {}  # by number: (intended_ns, sent_ns)
        self._submitted = self._bytes_sent = self._bytes_received = 0
        self._left = conversation.messages
        self._is_scheduled = self._is_blocked = False
        self._records: Records

    @property
    def index(self) -> int:
        return self.origin & INDEX_MASK

    def attach(self, transport: Transport) -> None:
        self.transport = transport
        self.generation += 1

    def accept(self, rest: bytes) -> None:
        raise AssertionError("there is no greeting")

    def begin(self, records: Records, *, scheduled: bool = False) -> None:
        self._records = records
        self._is_scheduled = scheduled

    def receive(self, buffer: bytearray) -> bool:
        assert self.transport is not None
        try:
            size = self.transport.recv_into(buffer)
        except BlockingIOError:
            return False
        except OSError as error:
            raise ConnectionFailed(Failure.of(Phase.RECEIVE, error)) from error
        self.read_ns = self._clock()
        self._bytes_received += size
        number = int.from_bytes(buffer[:NUMBER_BYTES])
        intended_ns, sent_ns = self._open.pop(number)
        self.in_flight -= 1
        self._records.record((self.origin, 1, intended_ns, sent_ns, NOT_ASKED, self.read_ns))
        return True

    def handle(self, buffer: bytearray, events: int) -> bool:
        if events & READ:
            self.receive(buffer)
        return True

    def transmit(self) -> int:
        self._is_blocked = False
        while not self._is_scheduled and self.has_more and self._has_room:
            if not self._send(0):
                break
        return self._interest

    def pause(self) -> None:
        pass

    def submit(self, intended_ns: int) -> int:
        self._send(intended_ns)
        return self._interest

    @property
    def _has_room(self) -> bool:
        return self.in_flight < self._conversation.pipeline

    @property
    def _interest(self) -> int:
        if self._is_blocked:
            return READ_AND_WRITE
        return READ if self._open or self._left else NOTHING

    def _send(self, intended_ns: int) -> bool:
        """Send the next message; return whether the kernel has taken it."""
        assert self.transport is not None
        number = self._submitted
        payloads = self._conversation.payloads
        payload, _ = payloads.batch(number % len(payloads.items), 1)
        self.submitted_ns = now_ns = self._clock()
        try:
            self._bytes_sent += self.transport.send(number.to_bytes(NUMBER_BYTES) + payload)
        except BlockingIOError:
            self._is_blocked = True
            return False
        except OSError as error:
            raise ConnectionFailed(Failure.of(Phase.SEND, error)) from error
        self._open[number] = intended_ns, now_ns
        self.in_flight += 1
        self._submitted += 1
        self._left -= 1
        self.sent_ns = now_ns
        return True

    def revoke(self) -> None:
        self._left = 0

    def lose(self) -> None:
        pass

    def take_back(self) -> None:
        self._left += len(self._open)
        self._submitted -= len(self._open)
        self._open.clear()
        self.in_flight = 0

    def count_bytes(self, sent: int, received: int) -> None:
        self._bytes_sent += sent
        self._bytes_received += received

    def detach(self) -> None:
        self.unanswered += len(self._open)
        self._open.clear()
        self.in_flight = 0
        self.transport = None

    def counts(self) -> tuple[int, int, int, int]:
        answered = self._submitted - len(self._open) - self.unanswered
        return self._submitted, answered, self._bytes_sent, self._bytes_received

    @property
    def is_open(self) -> bool:
        return self.transport is not None

    @property
    def has_more(self) -> bool:
        return self._left > 0

    @property
    def has_to_resend(self) -> bool:
        return False

    @property
    def is_free(self) -> bool:
        return self._is_scheduled and self.has_more and self._has_room and self.is_open

    @property
    def may_go_on(self) -> bool:
        return self.has_more and not self._is_scheduled

    @property
    def waits_since_ns(self) -> int | None:
        return max(self.sent_ns, self.read_ns) if self._open or self._is_blocked else None

    @property
    def waits_in(self) -> Phase:
        return Phase.SEND if self._is_blocked else Phase.RECEIVE

    @property
    def oldest_sent_ns(self) -> int:
        return min(sent_ns for _, sent_ns in self._open.values())


def new_datagrams(
    dialer: Dialer, origin: int, conversation: Conversation, clock: Clock, host: Host
) -> MessageChannel:
    """Make the channels of a group."""
    return DatagramChannel(origin, conversation, clock)


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
