"""Messages on a stream: what is sent, what is in flight, what has been answered.

Facts. A reply may be read in pieces, a window answered in part, a message accepted by the socket
only in part; payloads may differ in turn, and replies may have to be verified. Where none of that
happens, `loadgen.engine.fast_path` handles a message without this general path.

Decision. A channel closes nothing and decides nothing about what follows. It returns which events
to wait for, none when it is done, and raises `ConnectionFailed` when the connection is broken. What
the bytes mean is the decoder's to say: replies, some rejected, bytes to send back, an orderly end.
"""

import sys
from contextlib import suppress
from typing import Final

from loadgen.engine.channel import Host, Records
from loadgen.engine.conversation import Conversation
from loadgen.engine.fast_path import NO_BATCH
from loadgen.engine.receiving import Receiving
from loadgen.net.clock import Clock, middle_ns
from loadgen.net.failure import Cause, ConnectionFailed, Phase
from loadgen.net.protocols import Decoder
from loadgen.net.timestamps import NOT_ASKED
from loadgen.net.transport import NOTHING, READ, READ_AND_WRITE, Transport, send_and_end

_LAST_BYTES: Final = 65536
"""The size of a read after the last send."""

_MOST_BATCHES: Final = 2**29  # small integers are faster; the general path grants more later


class StreamChannel(Receiving):
    """The messages of one connection, on a stream of bytes."""

    __slots__ = (
        "_conversation",
        "_general_bytes_sent",
        "_held",
        "_host",
        "_is_paused",
        "_limit",
        "_position",
        "_remaining",
        "_unsent",
        "_window",
        "flushed_ns",
        "generation",
        "is_queued",
        "transport",
    )

    def __init__(self, origin: int, conversation: Conversation, clock: Clock, host: Host) -> None:
        super().__init__(origin, conversation.batch, clock)
        self._host = host
        self.transport: Transport | None = None
        self.generation = 0
        self.flushed_ns = 0
        self.is_queued = self._is_paused = False
        self._conversation = conversation
        self._window = conversation.pipeline
        self._general_bytes_sent = 0
        self._limit = conversation.messages
        self._held = conversation.messages  # not to be submitted yet, or not now
        self._remaining = 0  # to be submitted as soon as the window allows, beside _batches_left
        self._position = 0
        self._unsent: memoryview | None = None

    def attach(self, transport: Transport) -> None:
        """Exchange messages through ``transport``, which is up, from now on."""
        self.transport = transport
        self.generation += 1
        self._receive_into = transport.recv_into
        ends_sending = self._conversation.ends_sending
        self._send = send_and_end(transport) if ends_sending else transport.send
        self.decoder = self._conversation.decoder()
        self.is_ending = self._is_paused = False
        self.read_ns = 0

    def begin(self, records: Records, *, scheduled: bool = False) -> None:
        """Begin or continue with the messages; if ``scheduled``, each waits for `submit`."""
        self._records = records
        self._record = records.record
        if scheduled:
            self._unscheduled += self._held
        else:
            self._remaining += self._held
            self._grant_batches()
        self._held = 0

    # ---- batches of the fast path ---------------------------------------------------------

    def _grant_batches(self) -> None:
        """Leave as many of the remaining messages as possible to the fast path.

        None while messages that were taken back have yet to be sent again: they come first.
        """
        if self._batch.data and not self._again:
            self._shift(min(self._remaining // self._batch.messages, _MOST_BATCHES))

    def _shift(self, batches: int) -> None:
        """Turn remaining messages into ``batches`` of the fast path; back if that is negative."""
        self._batches_left += batches
        self._batches_granted += batches
        self._remaining -= batches * self._batch.messages

    def _cut_short(self, data: bytes, sent_bytes: int) -> int:
        self._general_bytes_sent -= len(data) - sent_bytes
        self._unsent = memoryview(data)[sent_bytes:]
        self._shift(-self._batches_left)  # no other batch overtakes the rest of this one
        return READ_AND_WRITE

    # ---- receiving ------------------------------------------------------------------------

    def handle(self, buffer: bytearray, events: int) -> bool:
        """Read what there is to read, and write what is unsent; return whether to `transmit`."""
        has_reply = self.receive(buffer) if events & READ else False
        if self._unsent is None:
            return True
        self._flush()
        if self._unsent is None:
            if self._conversation.framing.one_way:
                self.in_flight = 0
            self._wait_for(READ)
        return has_reply or self._unsent is None

    def accept(self, rest: bytes) -> None:
        """Take bytes that came behind the greeting. Raises ConnectionFailed, as `receive` does."""
        self._general_bytes_received -= len(rest)  # they are counted with the greeting
        self._receive_general(memoryview(rest), NOT_ASKED, self._clock())

    def _end(self) -> None:
        """Note that the transport ends with the replies so far; the fast path sends no more."""
        self.is_ending = True
        self._shift(-self._batches_left)

    def _end_or_raise(self, error: OSError) -> int:
        """Return `NOTHING` if the server has ended the connection in an orderly way; else raise.

        A send fails after the server has closed; what it sent before is still to be read. That the
        connection was closed or reset says no more than ``error``; any other failure does.
        """
        failed = ConnectionFailed.of(Phase.SEND, error)
        buffer = bytearray(_LAST_BYTES)
        try:
            while not self.is_ending:
                self._receive_last(buffer)
        except BlockingIOError:
            raise failed from error
        except ConnectionFailed as broken:
            says_no_more = broken.failure.cause in (Cause.CLOSED, failed.failure.cause)
            raise (failed if says_no_more else broken) from error
        self._unsent = None
        return NOTHING

    def _receive_last(self, buffer: bytearray) -> None:
        try:
            size = self._receive_into(buffer)
        except BlockingIOError:
            raise
        except OSError as error:
            self._receive_broken(error)
        else:
            self._receive_general(memoryview(buffer)[:size], NOT_ASKED, self._clock())

    def _follow(self, decoder: Decoder) -> None:
        """Send what ``decoder`` wants sent back; note that the server ends the connection.

        After that nothing is a failure: what can still be sent is, and the rest is dropped.
        """
        if decoder.closes:
            self._end()
            self._send_last(decoder)
            return
        to_send, decoder.to_send = decoder.to_send, b""
        if self._unsent is None:
            self._push(to_send)
        else:
            self._unsent = memoryview(bytes(self._unsent) + to_send)
        if self._unsent is not None:
            self._shift(-self._batches_left)  # no batch of the fast path overtakes it
            self._wait_for(READ_AND_WRITE)

    def _send_last(self, decoder: Decoder) -> None:
        """Send what ``decoder`` wants sent back at the end, unless half a message is on its way."""
        to_send, decoder.to_send = decoder.to_send, b""
        if to_send and self._unsent is None:
            with suppress(ConnectionFailed):
                self._push(to_send)
        self._unsent = None

    def _wait_for(self, interest: int) -> None:
        """Wait for ``interest``, though nothing is transmitted now."""
        self._host.settle(self, interest)

    # ---- sending --------------------------------------------------------------------------

    def _transmit_general(self) -> int:
        one_way = self._conversation.framing.one_way
        self._is_paused = False
        if self.is_ending:
            return NOTHING
        if self._unsent is not None:
            self._flush()
        if self._unsent is None:
            if one_way:
                self.in_flight = 0
            self._fill_window()
        if self.is_ending:
            return NOTHING
        if self._unsent is not None:
            return READ_AND_WRITE
        if one_way:
            self.in_flight = 0
            return READ_AND_WRITE if self._remaining else READ if self._to_come else NOTHING
        return READ if self.in_flight or self._to_come else NOTHING

    def pause(self) -> None:
        """Wait for no room to write until `transmit` is called, unless bytes are unsent."""
        self._is_paused = True
        if self._unsent is None and self.interest != READ:
            self._wait_for(READ)

    def _submit_general(self, intended_ns: int) -> int:
        self._leave_fast_path()
        self._unscheduled -= 1
        self._remaining += 1
        self._submit(1, intended_ns)
        if self._unsent is None and not self.is_ending and not self._conversation.framing.one_way:
            return READ
        return self._transmit_general()

    def _fill_window(self) -> None:
        if self._again:
            self._resend()
        room = self._window - self.in_flight
        if room > self._remaining and self._batches_left:
            self._shift(-1)
        count = min(room, self._remaining)
        if count > 0 and self._unsent is None:
            self._submit(count)
        if not self._batches_left:
            self._grant_batches()

    def _resend(self) -> None:
        again = self._again
        while again and self._unsent is None:
            intended_ns, count = again.popleft()
            self._remaining += count
            self._submit(count, intended_ns)

    def _submit(self, count: int, intended_ns: int = 0) -> None:
        payloads = self._conversation.payloads
        batch, lengths = payloads.batch(self._position, count)
        self._position = (self._position + count) % self._cycle
        self.decoder.expect(batch, lengths)
        began_ns = self._clock()
        accepted = self._offer(batch)
        # Before an error is looked at: what the server sent before it is read then.
        self._note_sent(count, intended_ns, middle_ns(began_ns, self._clock()))
        self._remaining -= count
        self._note_accepted(batch, accepted)

    def _flush(self) -> None:
        assert self._unsent is not None
        if self._push(self._unsent):
            self.flushed_ns = self._clock()

    def _push(self, data: bytes | memoryview) -> int:
        """Send ``data``; what the kernel does not accept stays in ``_unsent``. Return the size."""
        return self._note_accepted(data, self._offer(data))

    def _offer(self, data: bytes | memoryview) -> int | OSError:
        """Send ``data``; return how much of it the kernel has accepted, or why the send failed."""
        try:
            return self._send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            return error

    def _note_accepted(self, data: bytes | memoryview, accepted: int | OSError) -> int:
        """Keep what is unsent of ``data``, or handle the error; return the size that is sent."""
        if isinstance(accepted, OSError):
            self._end_or_raise(accepted)
            return 0
        self._general_bytes_sent += accepted
        self._unsent = memoryview(data)[accepted:] if accepted < len(data) else None
        return accepted

    # ---- ending ---------------------------------------------------------------------------

    def revoke(self) -> None:
        """Cancel the messages that have not been submitted; lose those that were taken back."""
        self._shift(-self._batches_left)
        self.lose()
        self._limit = self.counts()[0]
        self._held = self._remaining = self._unscheduled = 0

    def take_back(self) -> None:
        """Let the messages in flight be sent again, unless code makes each as it is sent."""
        if self._conversation.payloads.items:
            self._position = (self._position - self.in_flight) % self._cycle
            super().take_back()

    def count_bytes(self, sent: int, received: int) -> None:
        """Count bytes that the transport carried before the messages."""
        self._general_bytes_sent += sent
        self._general_bytes_received += received

    def detach(self) -> None:
        """Release the transport; messages in flight stay unanswered, the others are held back."""
        self._leave_fast_path()
        self._shift(-self._batches_left)
        self.unanswered += self.in_flight
        self.in_flight = 0
        self._held += self._remaining + self._unscheduled
        self._remaining = self._unscheduled = 0
        self._unsent = None
        self._later = self._first_part = None
        self.transport = None
        del self._receive_into, self._send

    # ---- counts ---------------------------------------------------------------------------

    def counts(self) -> tuple[int, int, int, int]:
        """Return messages submitted and answered (one way: accepted), bytes sent and received."""
        batch, batches_left = self._batch, self._batches_left
        batches = self._batches_granted - batches_left
        waiting = self._held + self._remaining + self._unscheduled + batches_left * batch.messages
        submitted = self._limit - waiting
        return (
            submitted,
            submitted - self.in_flight - self._to_resend - self.unanswered,
            self._general_bytes_sent + batches * len(batch.data),
            self._general_bytes_received
            + (batches - (self._awaited_bytes != NO_BATCH)) * max(batch.reply_bytes, 0),
        )

    @property
    def submits_in_bulk(self) -> bool:
        """False: it sends by itself."""
        return False

    @property
    def is_open(self) -> bool:
        """Whether it has a transport, so that `transmit` may be called."""
        return self.transport is not None

    @property
    def has_more(self) -> bool:
        """Whether messages are left to submit."""
        return self._held + self._to_come > 0 or self.has_to_resend

    @property
    def may_go_on(self) -> bool:
        """Whether it may submit a further message."""
        has_room = self.in_flight < self._window and not self.is_ending
        return has_room and self._to_come > 0

    @property
    def is_free(self) -> bool:
        """Whether it may take one more message of a schedule."""
        has_room = self.in_flight < self._window and self._unsent is None
        has_room = has_room and not self._again  # those come first
        return has_room and self._unscheduled > 0 and not self.is_ending

    @property
    def waits_since_ns(self) -> int | None:
        """Since when there has been no progress; None if nothing is awaited."""
        if not self.in_flight and not self._waits_to_send:
            return None
        return max(self.sent_ns, self.flushed_ns, self.read_ns)

    @property
    def waits_in(self) -> Phase:
        """The phase of the failure that a lack of progress would be."""
        return Phase.SEND if self._waits_to_send else Phase.RECEIVE

    @property
    def _waits_to_send(self) -> bool:
        return self._unsent is not None or self._is_pushing

    @property
    def _is_pushing(self) -> bool:
        """Whether it sends one-way messages as fast as they are accepted."""
        has_more = self._remaining > 0 and not self._is_paused
        return has_more and self._conversation.framing.one_way

    @property
    def _cycle(self) -> int:
        """After how many messages the payloads begin again."""
        return len(self._conversation.payloads.items) or sys.maxsize

    @property
    def _to_come(self) -> int:
        """Messages, and batches of them, that will be submitted if nothing changes."""
        return self._remaining + self._batches_left + self._unscheduled
