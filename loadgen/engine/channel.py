"""Channels: what the selector hands out when something has happened to a transport.

Facts. The loop that calls a selector must know what to do with an event, and for each message it
has no time to look up a connection's state. What it needs is an object with a few methods that say
what reading and writing mean right now: bring the transport up, exchange the greeting, exchange
messages.

Decision. A `Channel` is that object; `MessageChannel`, one that messages pass. The life of a
connection, with its state, failures and time-outs, stands beside it
(`loadgen.engine.connection.Connection`) and is found by the channel's `index` where it is needed:
when something other than a message happens. A connection has one channel at a time in the selector.
"""

from typing import Final, Protocol, runtime_checkable

from loadgen.engine.rows import RecordParts, RecordReplies, group_of
from loadgen.net.failure import ConnectionFailed, Failure, Phase
from loadgen.net.protocols import Decoder, FramingError
from loadgen.net.transport import Transport

BUFFER_BYTES: Final = 256 * 1024
"""The size of the scratch space that channels read into."""


class Channel(Protocol):
    """What a selector watches for one connection.

    origin: the connection and its group (`loadgen.engine.rows`). interest: the events that the
    selector watches for. transport: None while it has none. in_flight: messages of which the reply
    is awaited.
    """

    origin: int
    interest: int
    transport: Transport | None
    in_flight: int

    @property
    def index(self) -> int:
        """The position of the connection among all."""
        ...

    def receive(self, buffer: bytearray) -> bool:
        """Handle that the transport is readable; return whether to call `transmit`.

        buffer: scratch space. Raises ConnectionFailed if the connection is broken.
        """
        ...

    def handle(self, buffer: bytearray, events: int) -> bool:
        """As `receive`, for ``events`` that are more than that it is readable."""
        ...

    def detach(self) -> None:
        """Release the transport, which its owner closes."""
        ...

    @property
    def waits_since_ns(self) -> int | None:
        """Since when there has been no progress; None if nothing is awaited."""
        ...

    @property
    def waits_in(self) -> Phase:
        """The phase of the failure that a lack of progress would be."""
        ...

    @property
    def oldest_sent_ns(self) -> int:
        """When the oldest of the messages in flight was sent; there is one."""
        ...


class Host(Protocol):
    """What a channel asks of the pool that it belongs to."""

    def settle(self, channel: Channel, interest: int) -> None:
        """Let ``channel`` wait for the events ``interest``; `NOTHING`: it is done.

        May raise ConnectionFailed where that brings the connection further up; not for a channel
        of messages.
        """
        ...

    def read_again(self, channel: Channel) -> None:
        """Call ``channel.receive`` in the next turn, although no event announces anything."""
        ...

    def note_lost(self, channel: Channel, failure: Failure, count: int) -> None:
        """Note that ``count`` messages have failed, and that their connection goes on."""
        ...


@runtime_checkable
class Forgoing(Protocol):
    """A channel whose messages have time-outs of their own: they are lost, and it goes on."""

    in_flight: int

    def give_up(self, sent_until_ns: int) -> None:
        """Lose the messages sent by then, unless their replies are found to have come.

        That is known after the next `Channel.receive`, which is asked of the host.
        """
        ...


class Records(Protocol):
    """Where a channel leaves what it has measured: a recorder."""

    record: RecordReplies
    """Takes a row of replies."""

    record_parts: RecordParts
    """Takes that a reply, which a row follows for, was read in several parts."""

    def record_rejected(self, failure: Failure, count: int, now_ns: int, group: int) -> None:
        """Take ``count`` whole replies that reject their messages; their rows follow."""
        ...


def record_rejections(records: Records, decoder: Decoder, origin: int, now_ns: int) -> None:
    """Hand to ``records`` what ``decoder`` has rejected, and clear it."""
    group = group_of(origin)
    for cause, count in decoder.rejected.items():
        records.record_rejected(Failure(Phase.REPLY, cause), count, now_ns, group)
    decoder.rejected.clear()


def judge(
    records: Records, decoder: Decoder, message: bytes, reply: memoryview, read: tuple[int, int]
) -> None:
    """Hand to ``records`` that ``reply``, a whole one, rejects its ``message``, if it does.

    read: the origin, and when it was read. Raises ConnectionFailed if it is no reply at all.
    """
    decoder.expect(message, (len(message),))
    try:
        decoder.feed(reply)
    except FramingError as error:
        raise ConnectionFailed(error.failure) from error
    if decoder.rejected:
        record_rejections(records, decoder, *read)


class MessageChannel(Channel, Protocol):
    """A channel that messages pass, and their replies. Its counts continue on a new transport.

    submitted_ns: when the last send took place, its middle (`loadgen.net.clock.middle_ns`).
    is_ending: whether the transport ends with the replies so far. is_queued: whether an open loop
    has it among its free channels. generation: how many transports it has had.
    """

    submitted_ns: int
    is_ending: bool
    is_queued: bool
    generation: int

    def attach(self, transport: Transport) -> None:
        """Exchange messages through ``transport``, which is up, from now on."""
        ...

    def accept(self, rest: bytes) -> None:
        """Take bytes that came behind the greeting. Raises ConnectionFailed, as `receive` does."""
        ...

    def begin(self, records: Records, *, scheduled: bool = False) -> None:
        """Begin or continue with the messages.

        If they are ``scheduled``, each waits for `submit`.
        """
        ...

    def transmit(self) -> int:
        """Send what may be sent now; return the events to wait for, `NOTHING` when done.

        So it does if there is no transport any more. Raises ConnectionFailed.
        """
        ...

    def pause(self) -> None:
        """Wait for no room to write until `transmit` is called: the load model has it wait."""
        ...

    def submit(self, intended_ns: int) -> int:
        """Send one message that was due at ``intended_ns``; else as `transmit`.

        For a channel that `is_free`, under a schedule. ``submitted_ns`` is then the time of the
        send.
        """
        ...

    def revoke(self) -> None:
        """Cancel the messages that have not been submitted; lose those that were taken back."""
        ...

    def take_back(self) -> None:
        """Let the messages in flight be sent again, on the next transport, in the same order.

        In an open loop each keeps its intended time. Messages that code makes when they are sent
        cannot be sent again, and stay in flight.
        """
        ...

    def lose(self) -> None:
        """Give up the messages that were taken back: they are unanswered."""
        ...

    def count_bytes(self, sent: int, received: int) -> None:
        """Count bytes that the transport carried before the messages."""
        ...

    def counts(self) -> tuple[int, int, int, int]:
        """Return messages submitted and answered (one way: accepted), bytes sent and received."""
        ...

    @property
    def unanswered(self) -> int:
        """Messages that have ended without an answer, such as those lost with a transport."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether it has a transport, so that `transmit` may be called."""
        ...

    @property
    def has_more(self) -> bool:
        """Whether messages are left to submit."""
        ...

    @property
    def has_to_resend(self) -> bool:
        """Whether messages that were taken back are to be sent again, before any other."""
        ...

    @property
    def submits_in_bulk(self) -> bool:
        """Whether its next message of a schedule can be sent together with those of others."""
        ...

    @property
    def is_free(self) -> bool:
        """Whether it may take one more message of a schedule."""
        ...

    @property
    def may_go_on(self) -> bool:
        """Whether it may submit a further message."""
        ...
