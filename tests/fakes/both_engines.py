"""The engine in one of its two ways, over real sockets whose other ends a script plays.

    with World(engine, plan) as world:
        world.act(action)
        world.settle()
        world.shown()  # is the same for both

Nothing runs but in turns that the script takes, and a socketpair hands over what is sent before
`send` returns; so both engines meet the same bytes, in the same pieces.
"""

import contextlib
import socket
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, Self

from stepped_engine import socket_of

from loadgen.engine.connection import Connection
from loadgen.engine.conversation import Conversation, Window
from loadgen.engine.driver import PythonDriver
from loadgen.engine.engine import Engine
from loadgen.engine.group import Group, NewChannel, new_stream
from loadgen.engine.handshakes import HandshakeTally
from loadgen.engine.load_models import ClosedLoop, LoadModel, OpenLoop
from loadgen.engine.native_driver import NativeDriver
from loadgen.engine.pauses import Pauses
from loadgen.engine.rows import (
    INDEX_MASK,
    INTENDED_NS,
    ORIGIN,
    READ_NS,
    REPLIES,
    SENT_NS,
    STAMP_NS,
    Bulk,
    PartsRow,
    Row,
    SendRow,
)
from loadgen.engine.slots import SlotChannel, Slots
from loadgen.engine.timeouts import ConnectionPolicy
from loadgen.net import backends
from loadgen.net.clock import NEVER_NS, monotonic_ns
from loadgen.net.failure import Failure
from loadgen.net.protocols import Delimiter, Echo, Fixed, Framing
from loadgen.net.protocols.http import Http
from loadgen.net.protocols.resp import Resp
from loadgen.net.transport import SocketTransport
from loadgen.plan.payloads import PayloadQueue
from loadgen.units import NS_PER_S

PATIENCE_NS: Final = 1_000 * NS_PER_S
ROWS: Final = 4096
MOST_TURNS: Final = 1000
LARGE: Final = b"L" * 30_000

PAGE: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
OTHER_PAGE: Final = b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nnew"
ERROR_PAGE: Final = b"HTTP/1.1 500 Bad\r\nContent-Length: 0\r\n\r\n"
LAST_PAGE: Final = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"


class Talk(NamedTuple):
    """What is said: messages in turn, and replies; where there are none, each is an echo.

    The first of the replies is the usual one, the last is wrong, where the framing can tell.
    """

    framing: Framing
    messages: tuple[bytes, ...]
    replies: tuple[bytes, ...] = ()

    def reply_to(self, message: bytes, which: int) -> bytes:
        if self.replies:
            return self.replies[which % len(self.replies)]
        return message if which % 4 else message[:-1] + b"!"


REQUEST: Final = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
TALKS: Final = {
    "echo": Talk(Echo(), (b"ping",)),
    "large echo": Talk(Echo(), (LARGE,)),
    "echoes in turn": Talk(Echo(), (b"ping", b"hello!!")),
    "verified": Talk(Echo(verify=True), (b"ping",)),
    "verified in turn": Talk(Echo(verify=True), (b"ping", b"hello!!")),
    "fixed": Talk(Fixed(5), (b"get",), (b"abcde",)),
    "large fixed": Talk(Fixed(5), (LARGE,), (b"abcde",)),
    "lines": Talk(Delimiter(b"\r\n", 40), (b"get\r\n",), (b"+OK\r\n", b"+longer\r\n", b"x" * 50)),
    "http": Talk(
        Http("GET", frozenset({500})), (REQUEST,), (PAGE, PAGE, OTHER_PAGE, LAST_PAGE, ERROR_PAGE)
    ),
    "redis": Talk(
        Resp(), (b"PING\r\n",), (b"+PONG\r\n", b"+PONG\r\n", b"$3\r\nabc\r\n", b"-ERR no\r\n")
    ),
}


class Setup(NamedTuple):
    """What a world is made of: its talk and how many messages; how they are sent, and where to.

    groups: of connections; each of them is scheduled if ``scheduled``. send_buffer_bytes: of their
    sockets; 0 for what the system gives.
    """

    talk: str
    connections: int
    pipeline: int
    at_once: int
    messages: int | None
    groups: int
    scheduled: bool
    stamp_every: int
    send_buffer_bytes: int
    backend: str


class Action(NamedTuple):
    """What the other end of a connection does, or the caller of the engine; and how much of it."""

    name: str
    where: int = 0
    much: int = 0
    part: int = 4
    which: int = 1


class Peer:
    """The other end of a connection: what it has heard, and what it has yet to say."""

    def __init__(self, sock: socket.socket, talk: Talk) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.heard = bytearray()
        self._talk = talk
        self._at = 0  # up to there messages were answered
        self._owed = b""

    def hear(self, most_bytes: int = 1 << 30) -> None:
        with contextlib.suppress(OSError):
            while most_bytes and (text := self.socket.recv(min(most_bytes, 1 << 20))):
                self.heard += text
                most_bytes -= len(text)

    def answer(self, count: int, part: int, which: int) -> None:
        """Answer up to ``count`` messages, ``part`` quarters of that now; the rest comes later."""
        self.hear()
        for _ in range(count):
            messages = self._talk.messages
            message = next((m for m in messages if self.heard.startswith(m, self._at)), None)
            if message is None:
                break
            self._at += len(message)
            self._owed += self._talk.reply_to(message, which)
        self.say(self._owed[: -(-len(self._owed) * part // 4)])

    def say(self, text: bytes) -> None:
        """Send ``text``; of what it owes it has said the first part then."""
        with contextlib.suppress(OSError):
            said = self.socket.send(text) if text else 0
            self._owed = self._owed[said:]


class PeerDialer:
    """Hands out connected sockets whose other ends are peers."""

    is_layered = False

    def __init__(self, setup: Setup) -> None:
        self.stamp_every = setup.stamp_every
        self.peers: dict[socket.socket, Peer] = {}
        self._setup = setup

    def dial(self) -> SocketTransport:
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        if self._setup.send_buffer_bytes:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._setup.send_buffer_bytes)
        self.peers[ours] = Peer(peer, TALKS[self._setup.talk])
        return SocketTransport(ours)

    def close(self) -> None:
        for peer in self.peers.values():
            peer.socket.close()


class KeptRows:
    """A recorder that keeps every row as it is, apart by connection."""

    def __init__(self) -> None:
        self.bulk = Bulk(ROWS)
        self.pauses = Pauses()
        self.handshakes = HandshakeTally()
        self.rows: dict[int, list[Row]] = defaultdict(list)
        self.sends: list[SendRow] = []
        self.parts: list[PartsRow] = []
        self.failures: list[tuple[Failure, int]] = []
        self.rejected: list[tuple[Failure, int, int]] = []
        self.connects = 0
        self._rows: list[Row] = []
        self.record = self._rows.append
        self.record_parts = self.parts.append
        self._sends: list[SendRow] = []
        self.record_send = self._sends.append

    def record_connect(self, latency_ns: int) -> None:
        assert latency_ns >= 0
        self.connects += 1

    def record_failure(self, failure: Failure, now_ns: int, group: int = 0) -> None:
        del now_ns
        self.failures.append((failure, group))

    def record_rejected(self, failure: Failure, count: int, now_ns: int, group: int = 0) -> None:
        del now_ns
        self.rejected.append((failure, count, group))

    def end_turn(self, polled_ns: int, polled_before_ns: int) -> None:
        """Sort what the turn has left by the connection, and then by time."""
        del polled_ns, polled_before_ns
        bulk = self.bulk
        self._rows += zip(*[iter(bulk.replies[: 6 * bulk.replies_filled])] * 6, strict=True)
        self._sends += zip(*[iter(bulk.sends[: 3 * bulk.sends_filled])] * 3, strict=True)
        bulk.replies_filled = bulk.sends_filled = 0
        for row in sorted(self._rows, key=lambda row: row[READ_NS]):
            self.rows[row[ORIGIN] & INDEX_MASK].append(row)
        self.sends += sorted(self._sends, key=lambda row: row[-1])
        self._rows.clear()
        self._sends.clear()


class Tokens:
    """The times of a schedule: as many as it was told of, counted from the beginning."""

    def __init__(self) -> None:
        self.left = 0
        self._last_ns = 0

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        if not self.left:
            return NEVER_NS
        self.left -= 1
        self._last_ns += 1
        return self._last_ns


class World:
    """An engine, ``native`` or ``python``, and the other ends of its connections."""

    def __init__(self, engine: str, setup: Setup) -> None:
        self.recorder = KeptRows()
        self._dialer = PeerDialer(setup)
        self._tokens = Tokens()
        self._ended: list[tuple[int, Failure | None, int]] = []
        driver, new_channel = self._driver(engine, setup.backend)
        self.model: LoadModel = ClosedLoop()
        if setup.scheduled:
            self.model = OpenLoop(self._tokens, monotonic_ns)
        groups = [
            Group(self._dialer, self.model, number, new_channel) for number in range(setup.groups)
        ]
        policy = ConnectionPolicy(
            connect_timeout_ns=PATIENCE_NS, io_timeout_ns=PATIENCE_NS, reply_timeout_ns=PATIENCE_NS
        )
        recorder: Any = self.recorder
        self.engine = Engine(driver, groups, recorder, monotonic_ns, policy)
        self.engine.pool.when_ended = self._note_ended
        talk = TALKS[setup.talk]
        window = Window(setup.pipeline, 1 if setup.scheduled else setup.at_once)
        for number in range(setup.connections):
            group = groups[number % setup.groups]
            payloads = PayloadQueue(talk.messages)
            conversation = Conversation(payloads, talk.framing, window, (), setup.messages)
            self.engine.add(conversation, 1, group)

    def _driver(self, engine: str, backend: str) -> tuple[PythonDriver, NewChannel]:
        pauses = self.recorder.pauses
        if engine == "python":
            selector = backends.open_selector(backend)
            return PythonDriver(selector, monotonic_ns, "normal", pauses), new_stream
        slots = Slots()
        return NativeDriver(backend, slots, "normal", pauses), (
            lambda dialer, origin, talk, clock, host: SlotChannel(
                origin, talk, clock, host, dialer.stamp_every, slots
            )
        )

    def __enter__(self) -> Self:
        self.settle()
        self.began_ns = self.engine.start()
        self.settle()
        return self

    def __exit__(self, *exception: object) -> None:
        self.engine.close()
        self._dialer.close()

    def _note_ended(self, connection: Connection, failure: Failure | None, lost: int) -> None:
        self._ended.append((connection.index, failure, lost))

    @property
    def connections(self) -> list[Connection]:
        return self.engine.pool.connections

    def peer_of(self, connection: Connection) -> Peer | None:
        sock = socket_of(connection)
        return None if sock is None else self._dialer.peers[sock]

    # ---- what is done ---------------------------------------------------------------------

    def act(self, action: Action) -> None:
        """Let it happen; the engine does not know of it before its next turn."""
        connection = self.connections[action.where % len(self.connections)]
        pool, peer = self.engine.pool, self.peer_of(connection)
        match action.name:
            case "due":
                self._make_due(action.much)
            case "drain":
                pool.drain()
            case "drain one":
                pool.drain_one(connection)
            case "cut":
                pool.cut(connection)
            case _ if peer is not None and peer.socket.fileno() >= 0:
                self._play(connection, peer, action)

    def _play(self, connection: Connection, peer: Peer, action: Action) -> None:
        match action.name:
            case "answer":
                peer.answer(action.much, action.part, action.which)
            case "hear":
                peer.hear(1000 * action.much)
            case "say more":
                peer.say(TALKS["http"].messages[0] if action.part > 2 else b"\r\n")
            case "end":
                peer.hear()
                # Else it depends on time whether the connection was of use.
                if connection.has_served(0):
                    peer.socket.shutdown(socket.SHUT_WR)
            case "leave":
                peer.hear()
                if connection.has_served(0):
                    peer.socket.close()
            case "reset":  # what is unread makes it one
                if connection.has_served(0) or connection.in_flight:
                    peer.socket.close()

    def _make_due(self, count: int) -> None:
        self._tokens.left += count
        model = self.model
        if isinstance(model, OpenLoop) and model._intended_ns >= NEVER_NS and count:
            model.reschedule(next(self._tokens))

    def settle(self) -> None:
        """Take turns until they change nothing."""
        unchanged, before = 0, self._progress()
        for _ in range(MOST_TURNS):
            self.engine.turn(0)
            now = self._progress()
            unchanged = unchanged + 1 if now == before and self.engine.next_timeout() != 0 else 0
            before = now
            if unchanged == 2:
                return
        raise AssertionError(f"after {MOST_TURNS} turns there is always more to do")

    def _progress(self) -> object:
        states = [(each.state, each.ups, each.failures) for each in self.connections]
        pool = self.engine.pool
        return pool.totals(), states, pool.renewed, pool.closed

    # ---- what is to be seen ----------------------------------------------------------------

    def shown(self) -> dict[str, object]:
        """Return all that does not depend on which engine it is, by name."""
        pool, recorder = self.engine.pool, self.recorder
        peers = [self.peer_of(each) for each in self.connections]
        for peer in self._dialer.peers.values():
            if peer.socket.fileno() >= 0 and peer not in peers:
                peer.hear()
        return {
            "totals": pool.totals(),
            "pool": (pool.opened, pool.closed, pool.renewed, pool.resent, pool.cut_off),
            "is finished": pool.is_finished,
            "connections": [self._shown_of(each) for each in self.connections],
            "heard": sorted(bytes(peer.heard) for peer in self._dialer.peers.values()),
            "rows": {index: self._untimed(rows) for index, rows in recorder.rows.items()},
            # What the native engine leaves to Python goes out at the end of a call.
            "sends": sorted(row[0] - self.began_ns for row in recorder.sends),
            "parts": len(recorder.parts),
            "failures": sorted(recorder.failures),
            "rejected": sorted(recorder.rejected),
            "connects": recorder.connects,
            "ended": sorted(self._ended, key=lambda each: each[0]),
        }

    def _shown_of(self, connection: Connection) -> dict[str, object]:
        messages = connection.messages
        return {
            "counts": messages.counts(),
            "in flight": connection.in_flight,
            "state": connection.state,
            "standing": connection.standing,
            "failure": connection.failure,
            "failures": connection.failures,
            "ups": (connection.connects, connection.ups),
            "unanswered": messages.unanswered,
            "more": (messages.has_more, messages.has_to_resend),
            "flags": (messages.is_ending, messages.is_open and messages.is_free),
            "interest": messages.interest if messages.is_open else None,
        }

    def _untimed(self, rows: list[Row]) -> list[tuple[int, ...]]:
        """Return what of the rows is no time, when it was due, and whether there is a stamp."""
        return [
            (
                row[ORIGIN],
                row[REPLIES],
                row[INTENDED_NS] and row[INTENDED_NS] - self.began_ns,
                row[STAMP_NS],
            )
            for row in rows
        ]

    def check_times(self) -> None:
        """Check what of the times must be so."""
        now_ns = monotonic_ns()
        for rows in self.recorder.rows.values():
            read_at = [row[READ_NS] for row in rows]
            assert read_at == sorted(read_at)
            for row in rows:
                assert self.began_ns <= row[SENT_NS] <= row[READ_NS] <= now_ns, row
                assert row[INTENDED_NS] <= row[SENT_NS], row
        for intended_ns, free_ns, sent_ns in self.recorder.sends:
            assert self.began_ns <= intended_ns <= sent_ns <= now_ns
            assert free_ns <= sent_ns
        for sent_ns, _, first_read_ns, _, read_ns in self.recorder.parts:
            assert self.began_ns <= sent_ns <= first_read_ns <= read_ns <= now_ns

    def check_sums(self) -> None:
        """Check that what was recorded adds up to what was counted."""
        totals = self.engine.pool.totals()
        replies = [row[REPLIES] for rows in self.recorder.rows.values() for row in rows]
        assert sum(replies) == totals.answered
        open_ = sum(each.in_flight for each in self.connections)
        unanswered = sum(each.messages.unanswered for each in self.connections)
        again = totals.submitted - totals.answered - open_ - unanswered
        assert again >= 0
        assert again == 0 or any(each.messages.has_to_resend for each in self.connections)
        heard = sum(len(peer.heard) for peer in self._dialer.peers.values())
        assert heard <= totals.bytes_sent
