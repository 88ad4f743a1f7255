"""How a connection comes up: the connect, the handshake of its transport, and the greeting.

Danger. A step of a handshake takes this process as long as a hundred messages do. Where several
are due at once, those of one turn together would hold up every reply that has come meanwhile.

Each is a channel of its own (`loadgen.engine.channel`), which the selector hands out until it is
done. It settles for the events that it waits for, and for `NOTHING` in the end; the pool then puts
the next one in its place. So the exchange of messages knows nothing of them.
"""

from bisect import bisect_left
from typing import Protocol

from loadgen.engine.channel import Host, MessageChannel
from loadgen.engine.conversation import Conversation, GreetingStep
from loadgen.engine.rows import INDEX_MASK
from loadgen.net.clock import Clock
from loadgen.net.failure import Cause, ConnectionFailed, Failure, Phase
from loadgen.net.negotiated import Negotiated, SecureTransport
from loadgen.net.protocols import Decoder, FramingError
from loadgen.net.transport import NOTHING, READ, READ_AND_WRITE, Transport


class Opening:
    """What the channels that bring a connection up have in common.

    rest: bytes that were received and belong to what follows.
    """

    __slots__ = (
        *("_clock", "_host", "_since_ns", "in_flight"),
        *("interest", "origin", "rest", "transport"),
    )

    transport: Transport | None

    def __init__(self, origin: int, transport: Transport, clock: Clock, host: Host) -> None:
        self.origin = origin
        self.transport = transport
        self.interest = NOTHING
        self.in_flight = 0
        self.rest = b""
        self._clock = clock
        self._host = host
        self._since_ns = clock()

    @property
    def index(self) -> int:
        """The position of the connection among all."""
        return self.origin & INDEX_MASK

    def detach(self) -> None:
        """Release the transport."""
        self.transport = None

    @property
    def waits_since_ns(self) -> int | None:
        """Since when there has been no progress."""
        return self._since_ns

    @property
    def oldest_sent_ns(self) -> int:
        """Since when there has been no progress: nothing is in flight."""
        return self._since_ns


class Connect(Opening):
    """The connect."""

    __slots__ = ()

    def receive(self, buffer: bytearray) -> bool:
        """Go on with it; return False."""
        transport = self.transport
        assert transport is not None
        interest = transport.progress()
        is_connected = interest == NOTHING or transport.phase is not Phase.CONNECT
        self._host.settle(self, NOTHING if is_connected else interest)
        return False

    def handle(self, buffer: bytearray, events: int) -> bool:
        """Go on with it; return False."""
        return self.receive(buffer)

    @property
    def waits_in(self) -> Phase:
        """The phase that the transport is in."""
        assert self.transport is not None
        return self.transport.phase


class StepHost(Host, Protocol):
    """A host that spreads steps which take long over the turns of the loop."""

    def take_step(self) -> bool:
        """Return whether such a step may be taken: the first to ask in a turn may."""
        ...


class Handshake(Connect):
    """The handshake of a transport that is connected, one step in a turn of the loop."""

    __slots__ = ("_secure", "_steps")

    def __init__(
        self, origin: int, transport: SecureTransport, clock: Clock, host: StepHost
    ) -> None:
        super().__init__(origin, transport, clock, host)
        self._secure = transport
        self._steps = host

    def receive(self, buffer: bytearray) -> bool:
        """Go on with it, unless another connection has in this turn; return False."""
        if self._steps.take_step():
            self._host.settle(self, self._secure.progress())
        return False

    @property
    def latency_ns(self) -> int:
        """How long it has taken so far."""
        return self._clock() - self._since_ns

    @property
    def work_ns(self) -> int:
        """What this process has spent on it."""
        return self._secure.handshake_work_ns

    @property
    def outcome(self) -> Negotiated:
        """What it has come to, once it is done."""
        return self._secure.negotiated


class Greeting(Opening):
    """The messages that are exchanged once, before the load, one after the other.

    They are no measurement and are not counted as messages; their bytes are counted with those of
    ``messages``. A rejected one fails the connection: it did not come up. So does a server that
    sends anything but the answer, whether byte by byte or as fast as it can: a step has a limit of
    time, which no progress puts off, and one of the bytes that are kept.
    """

    __slots__ = (
        "_answered_bytes",
        "_decoder",
        "_messages",
        "_seen",
        "_step",
        "_step_began_ns",
        "_steps",
        "_unsent",
    )

    _decoder: Decoder
    _step: GreetingStep | None

    def __init__(
        self,
        messages: MessageChannel,
        transport: Transport,
        conversation: Conversation,
        clock: Clock,
        host: Host,
    ) -> None:
        super().__init__(messages.origin, transport, clock, host)
        self._messages = messages
        self._steps = iter(conversation.greeting)
        self._unsent = b""

    def begin(self) -> None:
        """Take the first step. Raises ConnectionFailed."""
        self._take_step()

    def receive(self, buffer: bytearray) -> bool:
        """Read once, and take the next step when the reply is whole; return False."""
        transport = self.transport
        assert transport is not None
        try:
            size = transport.recv_into(buffer)
        except BlockingIOError:
            self._flush()
            return False
        except OSError as error:
            raise ConnectionFailed.of(Phase.RECEIVE, error) from error
        if not size:
            raise ConnectionFailed(Failure(Phase.RECEIVE, Cause.CLOSED))
        self._messages.count_bytes(sent=0, received=size)
        self._since_ns = self._clock()
        self._read(bytes(buffer[:size]))
        return False

    def handle(self, buffer: bytearray, events: int) -> bool:
        """Read what there is, and write the rest of a message; return False."""
        return self.receive(buffer)

    # ---- the steps ------------------------------------------------------------------------

    def _take_step(self) -> None:
        """Send the next message; settle for what follows where there is none."""
        self._step = step = next(self._steps, None)
        rest = b""
        if step is not None and not step.framing.one_way:
            rest, self.rest = self.rest, b""
        if step is not None:
            self._seen, self._answered_bytes = bytearray(), 0
            self._decoder = _decoder_of(step)
            self._unsent += step.message
            self._step_began_ns = self._clock()
            self.in_flight = int(not step.framing.one_way)
        self._flush()
        if rest:
            self._read(rest)

    def _read(self, data: bytes) -> None:
        step, decoder = self._step, self._decoder
        assert step is not None
        self._seen += data
        replies = _feed(decoder, data)
        if replies > 1 or (replies and decoder.partial):
            # The decoder has gone on to what follows, and what it says may be about that.
            seen = bytes(self._seen)
            end = bisect_left(range(len(seen)), 1, key=lambda end: _replies_in(step, seen[:end]))
            self.rest = seen[end:]
            decoder = _decoder_of(step)
            _feed(decoder, seen[:end])
            to_send = decoder.to_send[self._answered_bytes :]
        else:
            to_send, decoder.to_send = decoder.to_send, b""
        for cause in decoder.rejected:
            raise ConnectionFailed(Failure(Phase.CONNECT, cause))
        if decoder.closes:
            raise ConnectionFailed(Failure(Phase.RECEIVE, Cause.CLOSED))
        self._answered_bytes += len(to_send)
        self._unsent += to_send
        if replies:
            self._take_step()
            return
        if not decoder.partial:  # what came is no part of the answer
            self._seen, self._answered_bytes = bytearray(), 0
        elif len(self._seen) > step.longest_bytes:
            raise ConnectionFailed(FramingError(Cause.REPLY_TOO_LONG).failure)
        self._flush()

    def _flush(self) -> None:
        """Send what is unsent; go on where that was all that the step waits for."""
        assert self.transport is not None
        if self._unsent:
            try:
                size = self.transport.send(self._unsent)
            except BlockingIOError:
                size = 0
            except OSError as error:
                raise ConnectionFailed.of(Phase.SEND, error) from error
            self._messages.count_bytes(sent=size, received=0)
            self._unsent = self._unsent[size:]
            if size:
                self._since_ns = self._clock()
        if self._unsent:
            self._wait_for(READ_AND_WRITE)
        elif self._step is None:
            self._host.settle(self, NOTHING)
        elif self._step.framing.one_way:
            self._take_step()
        else:
            self._wait_for(READ)

    def _wait_for(self, interest: int) -> None:
        transport = self.transport
        assert transport is not None
        self._host.settle(self, transport.awaited(interest))
        if transport.pending:
            self._host.read_again(self)

    @property
    def waits_in(self) -> Phase:
        """SEND while a message is sent only in part, RECEIVE otherwise."""
        return Phase.SEND if self._unsent else Phase.RECEIVE

    @property
    def oldest_sent_ns(self) -> int:
        """When the step began whose reply is awaited."""
        return self._step_began_ns


def _decoder_of(step: GreetingStep) -> Decoder:
    decoder = step.framing.decoder()
    decoder.expect(step.message, (len(step.message),))
    return decoder


def _feed(decoder: Decoder, data: bytes) -> int:
    """Return how many replies ``data`` makes whole. Raises ConnectionFailed."""
    try:
        return decoder.feed(memoryview(data))
    except FramingError as error:
        raise ConnectionFailed(error.failure) from error


def _replies_in(step: GreetingStep, data: bytes) -> int:
    return _feed(_decoder_of(step), data)
