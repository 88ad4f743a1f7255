"""What is read on a stream, apart from the fast path: its decoder says what the bytes mean.

Replies, of which some reject their messages; kinds of replies; replies in parts; bytes that are to
be sent back; an orderly end. Each is recorded here, or handed to what sends.
"""

from abc import abstractmethod
from typing import Final

from loadgen.engine.channel import Records, record_rejections
from loadgen.engine.fast_path import NO_BATCH, Batch
from loadgen.engine.in_flight import InFlight
from loadgen.engine.rows import KIND_SHIFT
from loadgen.net.clock import Clock
from loadgen.net.failure import Cause, ConnectionFailed, Failure, Phase
from loadgen.net.protocols import Decoder, FramingError
from loadgen.net.timestamps import NOT_ASKED, bound_by

IDLE_END_NS: Final = 400_000_000
"""A server that ends an idle connection does not know of messages that are on their way to it. Its
end is read within a round trip of the last of what it could know; none on Earth takes longer. A
server that drops a message after it has tried to answer mostly takes longer: its time-outs do."""

_CLOSED: Final = Failure(Phase.RECEIVE, Cause.CLOSED)


class Receiving(InFlight):
    """Adds to what is in flight how its replies are found.

    is_ending: whether the transport ends with the replies so far.
    """

    __slots__ = (
        *("_first_part", "_general_bytes_received", "_last_stamp_ns", "_records"),
        *("decoder", "is_ending"),
    )

    decoder: Decoder
    """Of the replies on the present transport."""
    _records: Records

    def __init__(self, origin: int, batch: Batch, clock: Clock) -> None:
        super().__init__(origin, batch, clock)
        self.is_ending = False
        self._general_bytes_received = 0
        # Of the reply that has been read only in part: (stamp_ns, read_ns), and the last stamp.
        self._first_part: tuple[int, int] | None = None
        self._last_stamp_ns = NOT_ASKED

    def _leave_fast_path(self) -> None:
        """Count the bytes of the replies one by one, if a batch of the fast path is in flight."""
        if self._awaited_bytes != NO_BATCH:
            self._general_bytes_received -= self._awaited_bytes
            self._awaited_bytes = NO_BATCH

    def _receive_general(self, view: memoryview, stamp_ns: int, read_ns: int) -> bool:
        size = len(view)
        if not size:
            return self._receive_end(stamp_ns, read_ns)
        if self._awaited_bytes != NO_BATCH:
            self._leave_fast_path()
        self.read_ns = read_ns
        self._general_bytes_received += size
        decoder, in_flight = self.decoder, self.in_flight
        try:
            replies = decoder.feed(view)
        except FramingError as error:
            self._send_last(decoder)
            raise ConnectionFailed(error.failure) from error
        is_surplus = replies == in_flight and decoder.partial and not decoder.unsolicited
        if is_surplus or replies > in_flight:
            if in_flight or not decoder.closes:
                raise ConnectionFailed(Failure(Phase.RECEIVE, Cause.UNEXPECTED_BYTES))
            replies = 0  # it is how a server ends an idle connection (408: RFC 9110, 15.5.9)
            if decoder.rejected:
                decoder.rejected.clear()
        self._take(replies, stamp_ns)
        if decoder.to_send or decoder.closes:
            self._follow(decoder)
        return replies > 0 or self.is_ending

    def _receive_end(
        self, stamp_ns: int, read_ns: int, broken: ConnectionFailed | None = None
    ) -> bool:
        """Handle the end of the stream; return whether to `transmit`, which then ends.

        ``broken`` says that it was none, but a reset.
        """
        if self.is_ending:
            return False  # it was read before; `transmit` has yet to return NOTHING
        self._leave_fast_path()
        replies = self._replies_at_end(read_ns, broken or ConnectionFailed(_CLOSED))
        self.read_ns = read_ns
        self._end()
        # It has no stamp: a reply that it makes whole arrived with the last byte.
        self._take(replies, stamp_ns if self._first_part is None else self._last_stamp_ns)
        if self.decoder.to_send or self.decoder.closes:
            self._follow(self.decoder)
        return True

    def _receive_broken(self, error: OSError) -> bool:
        """Take the reset of a connection that was of use for its end, where that is orderly.

        The kernel of a server that closes with messages unread sends a reset (RFC 1122, 4.2.2.13).
        """
        broken = ConnectionFailed.of(Phase.RECEIVE, error)
        was_of_use = self.read_ns and not self.decoder.partial
        if broken.failure.cause is Cause.RESET and (was_of_use or self.is_ending):
            return self._receive_end(NOT_ASKED, self._clock(), broken)
        raise broken from error

    def _replies_at_end(self, read_ns: int, broken: ConnectionFailed) -> int:
        """Return how many replies the end makes whole; raise ``broken`` if it is not orderly.

        Without a reply, it is orderly if the decoder says so, unless the server had time to begin
        one: it has dropped the messages in flight then, and what they waited is not to be lost.
        """
        decoder = self.decoder
        is_late = self.in_flight and not decoder.partial and self._waited_ns(read_ns) > IDLE_END_NS
        try:
            replies = decoder.end()
        except FramingError as error:
            raise (broken if is_late else ConnectionFailed(error.failure)) from error
        if replies > self.in_flight:
            raise ConnectionFailed(Failure(Phase.RECEIVE, Cause.UNEXPECTED_BYTES))
        if not replies and (is_late or not decoder.closes):
            raise broken
        return replies

    def _waited_ns(self, read_ns: int) -> int:
        """Return how long the messages in flight have waited for the server until ``read_ns``."""
        return read_ns - max(self.oldest_sent_ns, self.read_ns)

    def _take(self, replies: int, stamp_ns: int) -> None:
        """Take ``replies`` which the last read has made whole, with what the decoder says of them.

        ``stamp_ns`` is that of the read.
        """
        decoder = self.decoder
        if decoder.rejected:
            record_rejections(self._records, decoder, self.origin, self.read_ns)
        if replies:
            if self._first_part is not None:
                self._record_parts(self._first_part, stamp_ns)
            kinds = decoder.kinds
            if replies == 1 == self.in_flight and not self._later:  # the usual case, cheaply
                self.in_flight = 0
                origin = self.origin | kinds[0] << KIND_SHIFT if kinds else self.origin
                row = (origin, 1, self.intended_ns, self.sent_ns, stamp_ns, self.read_ns)
                self._record(row)
            else:
                self._answer(replies, bound_by(stamp_ns) if decoder.partial else stamp_ns, kinds)
        if decoder.partial and self.in_flight:
            self._last_stamp_ns = stamp_ns
            if self._first_part is None:
                self._first_part = (stamp_ns, self.read_ns)

    def _record_parts(self, first_part: tuple[int, int], stamp_ns: int) -> None:
        row = (self.oldest_sent_ns, *first_part, stamp_ns, self.read_ns)
        self._records.record_parts(row)
        self._first_part = None

    @abstractmethod
    def _follow(self, decoder: Decoder) -> None:
        """Send what ``decoder`` wants sent back; note that the server ends the connection."""

    @abstractmethod
    def _send_last(self, decoder: Decoder) -> None:
        """Send what ``decoder`` wants sent back at the end. Raises nothing."""

    @abstractmethod
    def _end(self) -> None:
        """Note that the transport ends with the replies so far."""
