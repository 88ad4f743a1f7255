"""Which message a datagram answers: the one whose number it carries, or the oldest in flight.

Facts. Datagrams may be lost, come twice, or in another order than they were sent. A number that
comes back with the reply tells all of this apart. Without one, a reply can only be taken for that
to the oldest message, as a stream would have it: after a loss every later reply is one message off,
until nothing is in flight.

Decision. A message whose reply is not there in time is lost; if it comes after that, it was late,
and is lost no longer: in the tally in which it was lost, so that a late reply to a message of the
warm-up changes nothing in the load. Each message ends as one of: answered, lost, late, or in
flight. A further reply to a message that had one is a duplicate. A reply is reordered if one to a
message that was sent later came before it (RFC 4737, 3.3, with the number of the message as
sequence number).
"""

import struct
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import repeat, takewhile
from typing import Final, Protocol

from loadgen.net.protocols.datagrams import NUMBER_BYTES

MOST_LOST: Final = 4096
"""So many lost messages are kept on each connection, to know them when they are late; a reply to
an older one is unmatched."""

_NUMBER: Final = struct.Struct(">Q")
_NONE: Final = -1  # the number of a datagram that is too short for one


@dataclass(slots=True)
class DatagramTally:
    """What became of the datagrams of one connection, beside those answered and in flight.

    lost: without a reply so far. late: whose reply came after their time-out. duplicates: further
    replies. reordered: answered, and overtaken. unmatched: datagrams that answer no message.
    send_refused: messages that this machine did not take (send(2): EAGAIN, ENOBUFS).
    """

    lost: int = 0
    late: int = 0
    duplicates: int = 0
    reordered: int = 0
    unmatched: int = 0
    send_refused: int = 0

    def note_late(self) -> None:
        """Note that the reply to a message that was lost has come."""
        self.lost -= 1
        self.late += 1


Buffer = bytearray | memoryview

Sent = tuple[int, int, bytes]
"""A message in flight: (intended_ns, sent_ns, message). ``intended_ns`` is 0 in a closed loop."""


class Matching(Protocol):
    """The messages in flight on one connection; what becomes of them is counted in ``tally``.

    Another tally may take its place, for what comes from then on.
    """

    tally: DatagramTally

    def datagram(self, message: bytes) -> bytes:
        """Return the bytes to send for ``message``, the next one to be added."""
        ...

    def datagrams(self, messages: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return the bytes to send for ``messages``, the next ones to be added."""
        ...

    @property
    def add(self) -> Callable[[Sent], None]:
        """Notes a message that has been sent."""
        ...

    @property
    def add_all(self) -> Callable[[Iterable[Sent]], None]:
        """Notes messages that have been sent, in this order."""
        ...

    def match(self, reply: Buffer, size: int) -> Sent | None:
        """Take out and return the message that the first ``size`` bytes of ``reply`` answer.

        None if none waits for it.
        """
        ...

    def give_up(self, sent_until_ns: int) -> int:
        """Lose the messages that were sent by then; return how many."""
        ...

    def clear(self) -> None:
        """Forget all: the socket is gone, and so is what was to come there."""
        ...

    @property
    def oldest_sent_ns(self) -> int:
        """When the oldest was sent; there is one."""
        ...


class InOrder:
    """A reply answers the oldest message in flight; counts in ``tally``."""

    __slots__ = ("_in_flight", "_lost", "add", "add_all", "tally")

    def __init__(self, tally: DatagramTally) -> None:
        self.tally = tally
        self._in_flight: deque[Sent] = deque()
        self._lost: deque[DatagramTally] = deque(maxlen=MOST_LOST)  # as in `Numbered`
        self.add: Callable[[Sent], None] = self._in_flight.append
        self.add_all: Callable[[Iterable[Sent]], None] = self._in_flight.extend

    def datagram(self, message: bytes) -> bytes:
        """Return ``message``."""
        return message

    def datagrams(self, messages: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return ``messages``."""
        return messages

    def match(self, reply: Buffer, size: int) -> Sent | None:
        """Return the oldest; without one, the reply is late, if any may be."""
        if self._in_flight:
            return self._in_flight.popleft()
        if self._lost:
            self._lost.popleft().note_late()
        else:
            self.tally.unmatched += 1
        return None

    def give_up(self, sent_until_ns: int) -> int:
        """Lose the messages that were sent by then; return how many."""
        in_flight, count = self._in_flight, 0
        while in_flight and in_flight[0][1] <= sent_until_ns:
            in_flight.popleft()
            count += 1
        self._lost.extend(repeat(self.tally, count))
        self.tally.lost += count
        return count

    def clear(self) -> None:
        """Forget all."""
        self._in_flight.clear()
        self._lost.clear()

    @property
    def oldest_sent_ns(self) -> int:
        """When the oldest was sent; there is one."""
        return self._in_flight[0][1]


class Numbered:
    """A reply answers the message whose number it carries; counts in ``tally``.

    The number takes the first `NUMBER_BYTES` of message and reply, the highest byte first. It is
    that of the message on its connection, across sockets.
    """

    __slots__ = ("_highest", "_in_flight", "_known_from", "_lost", "_next", "tally")

    def __init__(self, tally: DatagramTally) -> None:
        self.tally = tally
        self._in_flight: dict[int, Sent] = {}  # in the order of sending
        self._lost: dict[int, DatagramTally] = {}  # in which each is counted
        self._next = 0
        self._known_from = 0  # older ones are of another socket, or lost and forgotten
        self._highest = -1  # answered

    def datagram(self, message: bytes) -> bytes:
        """Return ``message`` with its number."""
        return _NUMBER.pack(self._next) + message[NUMBER_BYTES:]

    def datagrams(self, messages: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return ``messages`` with their numbers."""
        pack = _NUMBER.pack
        return tuple(
            [
                pack(each) + message[NUMBER_BYTES:]
                for each, message in enumerate(messages, self._next)
            ]
        )

    def add(self, sent: Sent) -> None:
        """Note a message that has been sent."""
        self._in_flight[self._next] = sent
        self._next += 1

    def add_all(self, sent: Iterable[Sent]) -> None:
        """Note messages that have been sent, in this order."""
        for each in sent:
            self.add(each)

    def match(self, reply: Buffer, size: int) -> Sent | None:
        """Return the message of that number; None if it is late, a duplicate, or no number."""
        number: int = _NUMBER.unpack_from(reply)[0] if size >= NUMBER_BYTES else _NONE
        sent = self._in_flight.pop(number, None)
        if sent is not None:
            if number > self._highest:
                self._highest = number
            else:
                self.tally.reordered += 1
            return sent
        if not self._known_from <= number < self._next:
            self.tally.unmatched += 1
        elif number in self._lost:
            self._lost.pop(number).note_late()
        else:
            self.tally.duplicates += 1
        return None

    def give_up(self, sent_until_ns: int) -> int:
        """Lose the messages that were sent by then; return how many."""
        in_flight, lost = self._in_flight, self._lost
        overdue = [*takewhile(lambda each: in_flight[each][1] <= sent_until_ns, in_flight)]
        for number in overdue:
            del in_flight[number]
            lost[number] = self.tally
        while len(lost) > MOST_LOST:
            oldest = next(iter(lost))
            del lost[oldest]
            self._known_from = oldest + 1
        self.tally.lost += len(overdue)
        return len(overdue)

    def clear(self) -> None:
        """Forget all."""
        self._in_flight.clear()
        self._lost.clear()
        self._known_from = self._next

    @property
    def oldest_sent_ns(self) -> int:
        """When the oldest was sent; there is one."""
        return next(iter(self._in_flight.values()))[1]
