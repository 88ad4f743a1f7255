"""How a connection comes up: the connect, the handshake of its transport, and the greeting.

Each is a channel of its own (`loadgen.engine.channel`), which the selector hands out until it is
done. It calls ``settle`` with the events that it waits for, and with `NOTHING` in the end; the pool
then puts the next one in its place. So the exchange of messages knows nothing of them.
"""

from loadgen.engine.channel import MessageChannel, Settle
from loadgen.engine.conversation import Conversation
from loadgen.engine.rows import INDEX_MASK
from loadgen.net.clock import Clock
from loadgen.net.failure import Cause, ConnectionFailed, Failure, Phase
from loadgen.net.protocols import Decoder, FramingError
from loadgen.net.transport import NOTHING, READ, READ_AND_WRITE, Transport


class Opening:
    """What the channels that bring a connection up have in common."""

    __slots__ = ("_clock", "_settle", "began_ns", "in_flight", "interest", "origin", "transport")

    transport: Transport | None

    def __init__(self, origin: int, transport: Transport, clock: Clock, settle: Settle) -> None:
        self.origin = origin
        self.transport = transport
        self.interest = NOTHING
        self.in_flight = 0
        self.began_ns = clock()
        self._clock = clock
        self._settle = settle

    @property
    def index(self) -> int:
        """The position of the connection among all."""
        return self.origin & INDEX_MASK

    def detach(self) -> None:
        """Release the transport."""
        self.transport = None

    @property
    def oldest_sent_ns(self) -> int:
        """When it began."""
        return self.began_ns


class Handshake(Opening):
    """The connect, and the handshake where the transport has one."""

    __slots__ = ()

    def receive(self, buffer: bytearray) -> bool:
        """Go on with it; return False."""
        assert self.transport is not None
        self._settle(self, self.transport.progress())
        return False

    def handle(self, buffer: bytearray, events: int) -> bool:
        """Go on with it; return False."""
        return self.receive(buffer)

    @property
    def waits_since_ns(self) -> int | None:
        """Since it began: there is one time limit for all of it."""
        return self.began_ns

    @property
    def waits_in(self) -> Phase:
        """CONNECT."""
        return Phase.CONNECT


class Greeting(Opening):
    """The messages that are exchanged once, before the load, one after the other.

    They are no measurement and are not counted as messages; their bytes are counted with those of
    ``messages``.
    """

    __slots__ = (
        "_decoder",
        "_is_one_way",
        "_messages",
        "_progress_ns",
        "_steps",
        "_unsent",
    )

    _decoder: Decoder

    def __init__(
        self,
        messages: MessageChannel,
        transport: Transport,
        conversation: Conversation,
        clock: Clock,
        settle: Settle,
    ) -> None:
        super().__init__(messages.origin, transport, clock, settle)
        self._messages = messages
        self.in_flight = 1
        self._progress_ns = self.began_ns
        self._steps = iter(conversation.greeting)
        self._unsent = b""

    def begin(self, buffer: bytearray) -> None:
        """Take the first step. Raises ConnectionFailed, as `receive` does."""
        transport = self.transport
        assert transport is not None
        self._take_step()
        if transport.pending and self.transport is not None:
            self.receive(buffer)

    def receive(self, buffer: bytearray) -> bool:
        """Read what there is; take the next step when the reply is whole; return False."""
        assert self.transport is not None
        replies = 0
        is_pending = True
        while is_pending:
            try:
                size = self.transport.recv_into(buffer)
            except BlockingIOError:
                break
            except OSError as error:
                raise ConnectionFailed(Failure.of(Phase.RECEIVE, error), str(error)) from error
            self._messages.count_bytes(sent=0, received=size)
            self._progress_ns = self._clock()
            replies += self._read(memoryview(buffer)[:size])
            is_pending = self.transport.pending
        if replies > 1 or (replies and self._decoder.partial):
            raise ConnectionFailed(Failure(Phase.RECEIVE, Cause.UNEXPECTED_BYTES))
        if replies:
            self._take_step()
        else:
            self._flush()
        return False

    def handle(self, buffer: bytearray, events: int) -> bool:
        """Read what there is, and write the rest of a message; return False."""
        return self.receive(buffer)

    def _read(self, view: memoryview) -> int:
        decoder = self._decoder
        if not view or decoder.closes:
            raise ConnectionFailed(Failure(Phase.RECEIVE, Cause.CLOSED))
        try:
            replies = decoder.feed(view)
        except FramingError as error:
            raise ConnectionFailed(error.failure) from error
        for cause in decoder.rejected:
            raise ConnectionFailed(Failure(Phase.CONNECT, cause))
        self._unsent += decoder.to_send
        decoder.to_send = b""
        return replies

    def _take_step(self) -> None:
        step = next(self._steps, None)
        if step is None:
            self._settle(self, NOTHING)
            return
        self._is_one_way = step.framing.one_way
        self._decoder = step.framing.decoder()
        self._decoder.expect(step.message, (len(step.message),))
        self._unsent += step.message
        self._flush()

    def _flush(self) -> None:
        assert self.transport is not None
        if self._unsent:
            try:
                size = self.transport.send(self._unsent)
            except BlockingIOError:
                size = 0
            except OSError as error:
                raise ConnectionFailed(Failure.of(Phase.SEND, error), str(error)) from error
            self._messages.count_bytes(sent=size, received=0)
            self._unsent = self._unsent[size:]
            self._progress_ns = self._clock()
        if self._is_one_way and not self._unsent:
            self._take_step()
            return
        self._settle(self, self.transport.awaited(READ_AND_WRITE if self._unsent else READ))

    @property
    def waits_since_ns(self) -> int | None:
        """Since it last sent or received anything."""
        return self._progress_ns

    @property
    def waits_in(self) -> Phase:
        """SEND while a message is sent only in part, RECEIVE otherwise."""
        return Phase.SEND if self._unsent else Phase.RECEIVE
