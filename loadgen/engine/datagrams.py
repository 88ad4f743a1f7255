"""Messages as datagrams: what is sent, what came back, and what did not come back in time.

Facts. A datagram that is lost is no event. A connection that awaited it for ever would stall, and
one that failed for it would lose all its other messages, too.

Danger. This process may be late: a reply may lie in the socket while its time-out expires. And a
machine under load drops datagrams by itself, without a word: on the way out, where its queues are
full, and on arrival, where the receive buffer is.

Decision. A message has a time-out of its own (`give_up`). When it expires, all that has arrived is
read first; only then are messages lost, and the connection goes on. What this machine refused to
send is counted apart and was never on the way. In a closed loop a full send buffer is waited for,
and refuses nothing; in an open one the message has its time, and is dropped.

Jitter is that of RFC 3550, 6.4.1, in the integer form of its appendix A.8, of the times from send
to arrival: the mean difference between one reply and the next, smoothed over some 16 of them. A
wall clock that is set is one such difference, and soon forgotten.
"""

import errno
import sys
from contextlib import suppress
from typing import Final

from loadgen.engine.channel import Host, Records, judge
from loadgen.engine.conversation import Conversation
from loadgen.engine.matching import DatagramTally, InOrder, Matching, Numbered, Sent
from loadgen.engine.rows import INDEX_MASK, RecordReplies
from loadgen.net.clock import Clock, middle_ns
from loadgen.net.dialer import Dialer
from loadgen.net.failure import Cause, ConnectionFailed, Failure, Phase
from loadgen.net.protocols import Decoder
from loadgen.net.protocols.datagrams import Datagram
from loadgen.net.timestamps import ANCILLARY_BYTES, NOT_ASKED, stamp_of
from loadgen.net.transport import (
    NOTHING,
    READ,
    READ_AND_WRITE,
    ReceiveInto,
    ReceiveMessageInto,
    Send,
    Transport,
)
from loadgen.net.udp import UdpTransport

AT_ONCE: Final = 16
"""Datagrams that are read one after the other before other connections have their turn."""

ALL: Final = 65_536  # more than a receive buffer has room for
_REFUSED: Final = Failure(Phase.SEND, Cause.MEMORY)
LOST: Final = Failure(Phase.RECEIVE, Cause.TIMEOUT)
_FULL: Final = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM)


class DatagramChannel:
    """The messages of one connection, each a datagram of its own; see `MessageChannel`.

    matching: which are in flight, and what became of the others; is_numbered: whether by number.
    """

    __slots__ = (
        *("_add", "_answered", "_bytes_received", "_bytes_sent", "_clock", "_conversation"),
        *("_decoder", "_dropped", "_has_news", "_host", "_is_begun", "_is_blocked", "_is_paused"),
        *("_is_scheduled", "_is_stamped", "_jitter_16ths", "_left", "_match", "_only"),
        *("_overdue_ns", "_position", "_push", "_receive_into", "_receive_message_into"),
        *("_record", "_records", "_submitted", "_transit_ns", "_unsent", "_unstamped_after"),
        *("_unstamped_left", "generation", "in_flight", "interest", "is_ending", "is_numbered"),
        *("is_queued", "matching", "origin", "submitted_ns", "transport"),
    )

    _records: Records
    _record: RecordReplies
    _receive_into: ReceiveInto
    _receive_message_into: ReceiveMessageInto
    _push: Send
    submits_in_bulk = False

    def __init__(
        self,
        dialer: Dialer,
        origin: int,
        conversation: Conversation,
        clock: Clock,
        host: Host,
        *,
        numbered: bool,
    ) -> None:
        self.origin = origin
        self.interest = NOTHING
        self.transport: Transport | None = None
        self.in_flight = self.generation = self.submitted_ns = 0
        self.is_ending = self.is_queued = self._has_news = False
        self.is_numbered = numbered
        self.matching: Matching = (Numbered if numbered else InOrder)(DatagramTally())
        self._match, self._add = self.matching.match, self.matching.add
        self._conversation = conversation
        self._clock = clock
        self._host = host
        self._decoder: Decoder | None = None
        stamp_every = dialer.stamp_every
        self._is_stamped = stamp_every > 0
        self._unstamped_after = stamp_every - 1 if stamp_every else sys.maxsize
        # Spreads the stamped replies over the connections.
        self._unstamped_left = self.index % stamp_every if stamp_every else sys.maxsize
        self._left = conversation.messages
        self._submitted = self._answered = self._bytes_sent = self._bytes_received = 0
        self._position = self._dropped = self._jitter_16ths = 0
        items = conversation.payloads.items
        self._only = items[0] if len(items) == 1 else None  # the one that is sent again and again
        self._unsent: bytes | None = None  # taken from the payloads, and not sent yet
        self._is_begun = self._is_scheduled = self._is_blocked = self._is_paused = False
        self._overdue_ns: int | None = None
        self._transit_ns: int | None = None

    @property
    def index(self) -> int:
        """The position of the connection among all."""
        return self.origin & INDEX_MASK

    def attach(self, transport: Transport) -> None:
        """Exchange messages through ``transport``, which is up, from now on."""
        self.transport = transport
        self.generation += 1
        self._receive_into, self._receive_message_into = transport.recv_into, transport.recvmsg_into
        self._push = transport.send
        framing = self._conversation.framing
        self._decoder = None if isinstance(framing, Datagram) else framing.decoder()
        self._transit_ns = None

    def accept(self, rest: bytes) -> None:
        """Ignore it: datagrams have no greeting."""

    def begin(self, records: Records, *, scheduled: bool = False) -> None:
        """Begin or continue with the messages; if ``scheduled``, each waits for `submit`."""
        self._records = records
        self._record = records.record
        self._is_scheduled = scheduled
        self._is_begun = True

    # ---- receiving ------------------------------------------------------------------------

    def handle(self, buffer: bytearray, events: int) -> bool:
        """Read what there is to read; return whether to `transmit`: there is room to write."""
        if events & READ:
            self.receive(buffer)
        return True

    def receive(self, buffer: bytearray) -> bool:
        """Read datagrams into ``buffer``; return whether a message has had its end.

        Raises ConnectionFailed, also where the peer's system says that nobody listens.
        """
        has_news, self._has_news = self._has_news, False
        overdue_ns = self._overdue_ns
        for _ in range(AT_ONCE if overdue_ns is None else ALL):
            stamp_ns = NOT_ASKED
            try:
                if self._unstamped_left:
                    size = self._receive_into(buffer)
                    self._unstamped_left -= 1
                else:
                    size, ancillary, _, _ = self._receive_message_into((buffer,), ANCILLARY_BYTES)
                    stamp_ns = stamp_of(ancillary)
                    self._unstamped_left = self._unstamped_after
            except BlockingIOError:
                break
            except OSError as error:
                raise ConnectionFailed.of(Phase.RECEIVE, error) from error
            read_ns = self._clock()
            self._bytes_received += size
            sent = self._match(buffer, size)
            if sent is not None:
                has_news = True
                if self._decoder is not None:
                    reply = memoryview(buffer)[:size]
                    judge(self._records, self._decoder, sent[2], reply, (self.origin, read_ns))
                self._answer(sent[0], sent[1], stamp_ns, read_ns)
            if not self.in_flight and overdue_ns is None:
                break  # nothing is awaited: spares a read that would find nothing
        return has_news if overdue_ns is None else self._lose(overdue_ns) or has_news

    def _lose(self, sent_until_ns: int) -> bool:
        """Lose the messages sent by then: all that has come was read; return whether there are."""
        self._overdue_ns = None
        lost = self.matching.give_up(sent_until_ns)
        self.in_flight -= lost
        if lost:
            self._host.note_lost(self, LOST, lost)
        return lost > 0

    def _answer(self, intended_ns: int, sent_ns: int, stamp_ns: int, read_ns: int) -> None:
        self.in_flight -= 1
        self._answered += 1
        self._record((self.origin, 1, intended_ns, sent_ns, stamp_ns, read_ns))
        if stamp_ns > 0:
            read_ns = stamp_ns
        elif self._is_stamped:
            return
        transit_ns = read_ns - sent_ns
        before_ns, self._transit_ns = self._transit_ns, transit_ns
        if before_ns is not None:
            self._jitter_16ths += abs(transit_ns - before_ns) - ((self._jitter_16ths + 8) >> 4)

    def give_up(self, sent_until_ns: int) -> None:
        """Lose the messages sent by then, unless their replies are found to have come."""
        self._overdue_ns = max(sent_until_ns, self._overdue_ns or 0)
        self._host.read_again(self)

    # ---- sending --------------------------------------------------------------------------

    def transmit(self) -> int:
        """Send what may be sent now; return the events to wait for, `NOTHING` when done."""
        if self.transport is None:
            return NOTHING
        self._is_blocked = self._is_paused = False
        if self._is_begun and not self._is_scheduled:
            self._fill(min(self._conversation.pipeline - self.in_flight, self._left))
        return self._wanted()

    def _fill(self, room: int) -> None:
        """Send ``room`` messages, as far as they are accepted. Raises ConnectionFailed."""
        while room > 0 and not self._is_blocked:
            room -= 1
            self._send(0)

    def submit(self, intended_ns: int) -> int:
        """Send one message that was due at ``intended_ns``; return the events to wait for."""
        self._send(intended_ns)
        return self._wanted()

    def _wanted(self) -> int:
        if self._is_blocked or (not self.in_flight and self._is_pushing):
            return READ_AND_WRITE
        return READ if self.in_flight or self._left else NOTHING

    @property
    def _is_pushing(self) -> bool:
        """Whether it sends one-way messages as fast as they are accepted."""
        may_push = self._left > 0 and not self._is_paused and not self._is_scheduled
        return may_push and self._conversation.framing.one_way

    def _send(self, intended_ns: int) -> None:
        """Send the next message. Raises ConnectionFailed."""
        message = self._only or self._unsent or self._next()
        datagram = self.matching.datagram(message) if self.is_numbered else message
        began_ns, broken = self._clock(), None
        try:
            size = self._push(datagram)
        except OSError as error:
            size, broken = 0, error
        self.submitted_ns = sent_ns = middle_ns(began_ns, self._clock())
        if broken is None:
            self._note_sent(size, (intended_ns, sent_ns, message))
        else:
            self._note_unsent(broken, datagram, (intended_ns, sent_ns, message))

    def _note_unsent(self, error: OSError, datagram: bytes, sent: Sent) -> None:
        """Note that ``datagram`` was not accepted. Raises ConnectionFailed if that is no wait."""
        if error.errno in _FULL:
            self._refuse(sent[2])
            return
        size, phase = 0, Phase.SEND
        if error.errno == errno.ECONNREFUSED:  # of an earlier datagram, and now cleared
            phase = Phase.RECEIVE
            with suppress(OSError):
                size = self._push(datagram)
        self._note_sent(size, sent)
        raise ConnectionFailed.of(phase, error) from error

    def _next(self) -> bytes:
        payloads, position = self._conversation.payloads, self._position
        message, _ = payloads.batch(position, 1)
        self._position = (position + 1) % (len(payloads.items) or 1)  # none where each is made
        return message

    def _note_sent(self, size: int, sent: Sent) -> None:
        """Note a message of which ``size`` bytes have left: none where the connection fails."""
        self._bytes_sent += size
        self._unsent = None
        self._left -= 1
        self._submitted += 1
        if size and self._conversation.framing.one_way:
            self._answered += 1
        else:
            self._add(sent)
            self.in_flight += 1

    def _refuse(self, message: bytes) -> None:
        """Note that this machine has no room for ``message``: it waits, or under a schedule not."""
        if not self._is_scheduled:
            self._unsent = message
            self._is_blocked = True
            return
        self._left -= 1
        self._submitted += 1
        self.matching.tally.send_refused += 1
        self._has_news = True
        self._host.note_lost(self, _REFUSED, 1)
        self._host.read_again(self)

    def pause(self) -> None:
        """Wait for no room to write until `transmit` is called."""
        self._is_paused = True
        self._is_blocked = False
        if self.interest != READ:
            self._host.settle(self, READ)

    # ---- ending ---------------------------------------------------------------------------

    def revoke(self) -> None:
        """Cancel the messages that have not been submitted."""
        self._left = 0
        self._unsent = None

    def take_back(self) -> None:
        """Do nothing: nothing says that a datagram was not received, so none is sent again."""

    def lose(self) -> None:
        """Do nothing: none were taken back."""

    def count_bytes(self, sent: int, received: int) -> None:
        """Count bytes that the transport carried before the messages."""
        self._bytes_sent += sent
        self._bytes_received += received

    def detach(self) -> None:
        """Release the transport; messages in flight stay unanswered."""
        self._dropped = self.dropped
        self.matching.clear()
        self.in_flight = 0
        self._overdue_ns = None
        self._is_begun = self._is_blocked = False
        self.transport = None
        del self._receive_into, self._receive_message_into, self._push

    # ---- counts ---------------------------------------------------------------------------

    def counts(self) -> tuple[int, int, int, int]:
        """Return messages submitted and answered (one way: accepted), bytes sent and received."""
        return self._submitted, self._answered, self._bytes_sent, self._bytes_received

    @property
    def unanswered(self) -> int:
        """Messages that have ended without an answer: lost, late, refused, or with a transport."""
        return self._submitted - self._answered - self.in_flight

    @property
    def dropped(self) -> int:
        """Datagrams that this machine has dropped on arrival, since nobody read them in time."""
        here = self.transport.dropped if isinstance(self.transport, UdpTransport) else 0
        return self._dropped + here

    @property
    def jitter_ns(self) -> int | None:
        """The jitter as of the last reply; None without two replies on one transport."""
        return self._jitter_16ths >> 4 if self._jitter_16ths else None

    @property
    def is_open(self) -> bool:
        """Whether it has a transport, so that `transmit` may be called."""
        return self.transport is not None

    @property
    def has_more(self) -> bool:
        """Whether messages are left to submit."""
        return self._left > 0

    @property
    def has_to_resend(self) -> bool:
        """False: no datagram is sent again."""
        return False

    @property
    def is_free(self) -> bool:
        """Whether it may take one more message of a schedule."""
        return self._is_begun and self._is_scheduled and self.may_go_on

    @property
    def may_go_on(self) -> bool:
        """Whether it may submit a further message."""
        return self._left > 0 and self.in_flight < self._conversation.pipeline

    @property
    def waits_since_ns(self) -> int | None:
        """When the oldest message in flight was sent; or since when there is no room to send."""
        if self.in_flight:
            return self.matching.oldest_sent_ns
        return self.submitted_ns if self._is_blocked else None

    @property
    def waits_in(self) -> Phase:
        """The phase of the failure that a lack of progress would be."""
        return Phase.RECEIVE if self.in_flight else Phase.SEND

    @property
    def oldest_sent_ns(self) -> int:
        """When the oldest of the messages in flight was sent; there is one."""
        return self.matching.oldest_sent_ns
