"""An engine stepped by the test, and connections whose other end is the test."""

import contextlib
import errno
import selectors
import socket
import time
from collections.abc import Callable
from itertools import count
from typing import Any, Final, Self

from loadgen.engine.channel import Channel, MessageChannel
from loadgen.engine.connection import Connection
from loadgen.engine.conversation import ONE_BY_ONE, Conversation, GreetingStep, Window
from loadgen.engine.driver import PythonDriver
from loadgen.engine.engine import Engine
from loadgen.engine.group import Group
from loadgen.engine.lifecycle import State
from loadgen.engine.load_models import ClosedLoop, LoadModel, OpenLoop
from loadgen.engine.recorder import Recorder
from loadgen.engine.rows import PartsRow, RecordParts, RecordReplies, Row
from loadgen.engine.stream import StreamChannel
from loadgen.engine.tallies import TimesTally
from loadgen.engine.timeouts import ConnectionPolicy
from loadgen.net import backends, protocols
from loadgen.net.address import Endpoint
from loadgen.net.clock import Clock, ManualClock
from loadgen.net.dialer import Dialer, SocketDialer, SocketFactory
from loadgen.net.failure import Cause, Failure, Phase
from loadgen.net.transport import SocketOptions, SocketTransport
from loadgen.plan.payloads import PayloadQueue

DEADLINE_S: Final = 20.0
NOTHING: Final = 0
READ: Final = selectors.EVENT_READ
READ_AND_WRITE: Final = selectors.EVENT_READ | selectors.EVENT_WRITE

MS: Final = 1_000_000
SECOND: Final = 1_000_000_000
START_NS: Final = 1000 * SECOND


def conversation(
    *payloads: bytes,
    reply: str = "echo",
    pipeline: int = 1,
    first_message: bytes = b"",
    messages: int | None = None,
    scheduled: bool = False,
) -> Conversation:
    """Return what connections send; ``reply`` may also be ``verify``, for a verified echo."""
    form = protocols.Echo(verify=True) if reply == "verify" else protocols.parse(reply)
    window = Window(pipeline, 1 if scheduled else pipeline)
    greeting = [GreetingStep(first_message, form)] if first_message else []
    return Conversation(PayloadQueue(payloads or (b"ping",)), form, window, greeting, messages)


def greeted_by(*steps: GreetingStep) -> Conversation:
    """Return what connections send, after such a greeting: a single ping, and echoes of it."""
    return Conversation(PayloadQueue((b"ping",)), protocols.Echo(), ONE_BY_ONE, steps)


class PairDialer(Dialer):
    """Hands out sockets that are connected already."""

    stamp_every = 0
    is_layered = False

    def __init__(self, *sockets: Any) -> None:
        self.sockets = list(sockets)

    def dial(self) -> SocketTransport:
        sock = self.sockets.pop(0)
        sock.setblocking(False)
        return SocketTransport(sock)


class NoHost:
    """Stands for a pool where nothing is to be asked of one."""

    def settle(self, channel: Channel, interest: int) -> None:
        raise AssertionError(f"{channel} settles for {interest}")

    def read_again(self, channel: Channel) -> None:
        raise AssertionError(f"{channel} is to be read again")

    def note_lost(self, channel: Channel, failure: Failure, count: int) -> None:
        raise AssertionError(f"{channel} has lost {count}")


NO_HOST: Final = NoHost()


def new_connections(count: int, talk: Conversation, clock: Clock) -> list[Connection]:
    """Return connections that have not been opened, and that are in no pool."""
    group = Group(PairDialer(), ClosedLoop())
    return [
        Connection(group, talk, StreamChannel(index, talk, clock, NO_HOST))
        for index in range(count)
    ]


def socket_of(connection: Connection) -> Any:
    """Return the socket of ``connection``; None where it has none now."""
    transport = connection.channel.transport
    return transport.socket if isinstance(transport, SocketTransport) else None


class Wire:
    """A connection at one end of a socketpair, the test at the other (``peer``)."""

    def __init__(self, talk: Conversation, send_buffer_bytes: int | None = None) -> None:
        self.clock = ManualClock(1000)
        self.rows: list[Row] = []
        self.record: RecordReplies = self.rows.append
        self.parts: list[PartsRow] = []
        self.record_parts: RecordParts = self.parts.append
        self.rejected: list[Failure] = []
        self._dialer = PairDialer()
        self.channel = self.channel_of(talk)
        self.connection = Connection(Group(self._dialer, ClosedLoop()), talk, self.channel)
        self._send_buffer_bytes = send_buffer_bytes
        self._buffer = bytearray(65536)
        self.peer: socket.socket

    def __enter__(self) -> Self:
        self.come_up()
        return self

    def __exit__(self, *exception: object) -> None:
        sock = socket_of(self.connection)
        if sock is not None:
            sock.close()
        self.peer.close()

    def channel_of(self, talk: Conversation) -> StreamChannel:
        return StreamChannel(0, talk, self.clock, self)

    def come_up(self) -> None:
        """Connect, through a new socketpair; greet, where there is a first message."""
        ours, self.peer = self.pair()
        if self._send_buffer_bytes is not None:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer_bytes)
        self.peer.settimeout(DEADLINE_S)
        self._dialer.sockets.append(ours)
        self.connection.open(self.clock, self)
        self.receive()

    def settle(self, channel: Channel, interest: int) -> None:
        """Do what a pool does, as far as a single connection needs it."""
        connection = self.connection
        channel.interest = interest
        if interest == NOTHING and connection.state is State.CONNECTING:
            connection.note_connected(self.clock())
            connection.note_up()
            if connection.conversation.greeting:
                connection.greet(self.clock, self).begin()
                return
        if interest == NOTHING:
            rest = connection.come_up(self.clock())
            if rest:
                self.channel.accept(rest)

    def note_lost(self, channel: Channel, failure: Failure, count: int) -> None:
        raise AssertionError(f"{channel} has lost {count}")

    def read_again(self, channel: Channel) -> None:
        raise AssertionError("a plain socket has nothing inside")

    def pair(self) -> tuple[Any, socket.socket]:
        """Return the two ends of a new connection, ours and the peer's."""
        return socket.socketpair()

    def begin(self) -> int:
        """Let messages flow; return the interest."""
        self.channel.begin(self)
        return self.channel.transmit()

    def record_rejected(self, failure: Failure, count: int, now_ns: int, group: int) -> None:
        self.rejected += [failure] * count

    def receive(self) -> bool:
        return self.connection.channel.receive(self._buffer)

    def reply(self, data: bytes) -> bool:
        """Let the peer send ``data``, read it; return whether a reply became whole."""
        self.peer.sendall(data)
        return self.receive()

    @property
    def replies(self) -> list[tuple[int, int, int]]:
        """What was recorded: (replies, sent_ns, read_ns)."""
        return [(replies, sent_ns, read_ns) for _, replies, _, sent_ns, _, read_ns in self.rows]

    def check_balance(self) -> None:
        """Every message that was submitted is answered, in flight or lost."""
        it = self.connection
        assert it.submitted == it.answered + it.in_flight + it.messages.unanswered


MakeModel = Callable[[Clock, Recorder], LoadModel]


def schedule(*offsets_ns: int) -> MakeModel:
    """Return what makes an open loop whose messages are intended at these times."""
    return lambda clock, recorder: OpenLoop(offsets_ns, clock)


def every(interval_ns: int) -> MakeModel:
    """Return what makes an endless open loop with that time between messages, the first at once."""
    return lambda clock, recorder: OpenLoop(count(0, interval_ns), clock)


class SleepingClock(ManualClock):
    """A clock that moves while a loop around the engine sleeps: no pause of the process.

    sleep: is told of each time, in nanoseconds: when it began, and when it ended as it should.
    """

    sleep: Callable[[int, int, int], None] | None = None
    _now_ns = 0

    @property
    def now_ns(self) -> int:
        return self._now_ns

    @now_ns.setter
    def now_ns(self, now_ns: int) -> None:
        began_ns, self._now_ns = self._now_ns, now_ns
        if self.sleep is not None:
            self.sleep(began_ns, now_ns, now_ns)

    def pause(self, nanoseconds: int) -> None:
        """Move on in a pause: the process is stopped, or computes."""
        self._now_ns += nanoseconds


class SteppedEngine:
    """An engine on a clock that only the test moves, and a listener that the test accepts from."""

    def __init__(
        self,
        policy: ConnectionPolicy | None = None,
        selector: selectors.BaseSelector | None = None,
        factory: SocketFactory | None = None,
        endpoint: Endpoint | None = None,
        model: MakeModel | None = None,
        pacing: str = "normal",
    ) -> None:
        self.clock = SleepingClock(START_NS)
        self.processor = ManualClock()
        self.recorder = Recorder(1)
        self.peers: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.listener.setblocking(False)
        endpoint = endpoint or Endpoint(socket.AF_INET, self.listener.getsockname())
        self.dialer = SocketDialer(endpoint, SocketOptions(), factory or socket.socket)
        self.selector = selector or backends.open_selector("auto")
        pauses, processor = self.recorder.pauses, self.processor
        bounded = PythonDriver(self.selector, self.clock, pacing, pauses, processor)
        load = model(self.clock, self.recorder) if model else ClosedLoop()
        policy = policy or ConnectionPolicy()
        group = Group(self.dialer, load)
        self.engine = Engine(bounded, [group], self.recorder, self.clock, policy)
        self.clock.sleep = self.engine.slept

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.engine.close()
        self.listener.close()
        for peer in self.peers:
            peer.close()
        if exception[0] is None:
            assert self.engine.pool.opened == self.engine.pool.closed
            assert self.engine.pool.is_finished

    def turn_until(self, condition: Callable[[], bool]) -> None:
        """Take turns that do not wait, accepting meanwhile, until ``condition`` holds."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline_s, "the condition never held"
            self.engine.turn(0)
            self.accept()

    def accept(self) -> None:
        """Accept all connections that wait at the listener, if it still listens."""
        if self.listener.fileno() < 0:
            return
        with contextlib.suppress(BlockingIOError):
            while True:
                peer = self.listener.accept()[0]
                peer.settimeout(DEADLINE_S)
                self.peers.append(peer)

    def open(self, count: int, talk: Conversation | None = None) -> list[Connection]:
        """Add connections and bring them up."""
        added = self.engine.add(talk or conversation(), count)
        self.turn_until(lambda: all(connection.is_up for connection in added))
        self.turn_until(lambda: len(self.peers) >= count)
        return added

    def start(self) -> None:
        """Start, and send the first messages."""
        self.engine.start()
        self.turn_until(lambda: self.engine.next_timeout() != 0)

    def peer_of(self, connection: Connection) -> socket.socket:
        """Return the other end of ``connection``, which is up."""
        name = socket_of(connection).getsockname()
        alive = (peer for peer in self.peers if peer.fileno() >= 0)
        return next(peer for peer in alive if peer.getpeername() == name)

    def turn_at(self, offset_ns: int) -> None:
        """Set the clock to so long after the start, and take turns until nothing is due."""
        self.clock.now_ns = START_NS + offset_ns
        self.engine.turn(0)
        while self.engine.next_timeout() == 0:
            self.engine.turn(0)

    def answer(self, connection: Connection, data: bytes = b"ping") -> None:
        """Let the peer of ``connection`` send ``data``, and the engine read it, now."""
        received = connection.bytes_received + len(data)
        self.peer_of(connection).sendall(data)
        self.turn_until(lambda: connection.bytes_received == received)

    def times(self) -> TimesTally:
        """Return what was recorded since the last time."""
        return self.recorder.end_interval(0, 1).times

    def failures(self) -> dict[tuple[Phase, Cause], int]:
        return {
            (kind.phase, kind.cause): seen.count for kind, seen in self.recorder.failures.items()
        }


class Tapped:
    """A real socket that notes each send and each receive; a socket factory with `tapping`."""

    def __init__(self, inner: socket.socket, note: Callable[[str], None]) -> None:
        self._inner = inner
        self._note = note

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def send(self, data: bytes | memoryview) -> int:
        self._note("send")
        return self._inner.send(data)

    def recv_into(self, buffer: bytearray) -> int:
        self._note("receive")
        return self._inner.recv_into(buffer)


def tapping(note: Callable[[str], None]) -> SocketFactory:
    return lambda family, kind: Tapped(socket.socket(family, kind), note)


class Sink:
    """A socket that accepts everything, or breaks, and never replies."""

    def __init__(self) -> None:
        self.is_broken = False

    def send(self, data: bytes) -> int:
        if self.is_broken:
            raise BrokenPipeError(errno.EPIPE, "broken")
        return len(data)

    def recv_into(self, buffer: bytearray) -> int:
        if self.is_broken:
            raise ConnectionResetError(errno.ECONNRESET, "broken")
        raise AssertionError("nothing is to be read here")

    def shutdown(self, how: int) -> None:
        pass

    def close(self) -> None:
        pass


def break_socket(channel: MessageChannel) -> None:
    """Let the next send on a channel of `idle_channels` fail."""
    assert isinstance(channel.transport, SocketTransport)
    channel.transport.socket.is_broken = True


def idle_channels(
    count: int, clock: ManualClock, *, scheduled: bool = False, pipeline: int = 1
) -> list[MessageChannel]:
    """Return channels that are open and have begun, and that nothing is in flight on."""
    talk = conversation(pipeline=pipeline, scheduled=scheduled)
    made: list[MessageChannel] = [
        StreamChannel(index, talk, clock, NO_HOST) for index in range(count)
    ]
    for channel in made:
        channel.attach(SocketTransport(Sink()))
        channel.interest = READ
        channel.begin(Recorder(0), scheduled=scheduled)
    return made
