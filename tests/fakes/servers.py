"""Servers that misbehave on purpose: each connection runs a script in a thread of its own.

A `ScriptedServer` counts what it has seen, and tests wait for its counts, never for time to pass.
"""

import contextlib
import select
import selectors
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any, Final, Self

DEADLINE_S: Final = 20.0
"""For what never happens in a broken program; nothing here takes that long otherwise."""


class Peer:
    """One accepted connection, as a script sees it; blocking."""

    def __init__(self, accepted: socket.socket, server: "ScriptedServer") -> None:
        self.server = server
        self.stream = bytearray()  # all that was received
        self._socket = accepted

    def hears_within(self, longest_s: float) -> bool:
        """Return whether there is something to read before so long."""
        return bool(select.select([self._socket], [], [], longest_s)[0])

    def receive(self, at_most_bytes: int = 65536) -> bytes:
        """Return what has come, b"" at the end of the stream."""
        data = self._socket.recv(at_most_bytes)
        with self.server.changed:
            self.stream += data
            self.server.bytes_received += len(data)
            self.server.changed.notify_all()
        return data

    def receive_exactly(self, size_bytes: int) -> bytes:
        """Return that many bytes, or fewer if the stream ends before."""
        data = bytearray()
        while len(data) < size_bytes and (more := self.receive(size_bytes - len(data))):
            data += more
        return bytes(data)

    def receive_all(self) -> None:
        """Read to the end of the stream."""
        while self.receive():
            pass

    def send(self, data: bytes) -> None:
        """Send all of ``data``."""
        view = memoryview(data)
        while view:
            sent = self._socket.send(view)
            with self.server.changed:
                self.server.bytes_sent += sent
            view = view[sent:]

    def reset(self) -> None:
        """Make the close that follows a reset (socket(7), SO_LINGER)."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def hang_up(self) -> None:
        """Wake a thread that is blocked in this socket."""
        with contextlib.suppress(OSError):  # the other side, or the script, was faster
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()


Script = Callable[[Peer], None]


class ScriptedServer:
    """Runs ``script`` with each connection it accepts; used in a ``with``."""

    def __init__(self, script: Script, listener: socket.socket | None = None) -> None:
        self._script = script
        self._listener = listener or socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.setblocking(False)
        self._name: Any = self._listener.getsockname()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._acceptor = threading.Thread(target=self._accept)
        self._threads: list[threading.Thread] = []
        self.changed = threading.Condition()
        self.released = threading.Event()
        self.peers: list[Peer] = []
        self.closed = 0
        self.bytes_received = 0
        self.bytes_sent = 0

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.die()
        for thread in self._threads:
            thread.join()
        self._wake_receiver.close()
        self._wake_sender.close()

    @property
    def address(self) -> str:
        """Where it listens, in the form of a loadgen target."""
        if isinstance(self._name, str):
            return f"unix://{self._name}"
        host = f"[{self._name[0]}]" if ":" in self._name[0] else self._name[0]
        return f"{host}:{self._name[1]}"

    @property
    def name(self) -> Any:
        """Where it listens, in the form of `socket.connect`."""
        return self._name

    @property
    def accepted(self) -> int:
        return len(self.peers)

    @property
    def streams(self) -> list[bytes]:
        """What each connection has received, in the order in which they were accepted."""
        return [bytes(peer.stream) for peer in self.peers]

    def die(self) -> None:
        """Close the listener and all connections, now."""
        self._wake_sender.send(b"\0")
        self._acceptor.join()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return when ``condition``, which may look at the counts, holds."""
        with self.changed:
            assert self.changed.wait_for(condition, DEADLINE_S), f"it never came to that: {self}"

    def settle(self, connections: int) -> None:
        """Return when that many connections have come and gone."""
        self.wait_for(lambda: self.closed == self.accepted == connections)

    def __repr__(self) -> str:
        return (
            f"<accepted {self.accepted}, closed {self.closed}, "
            f"received {self.bytes_received} bytes, sent {self.bytes_sent}>"
        )

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector, self._listener:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake_receiver, selectors.EVENT_READ)
            while self._wake_receiver not in {key.fileobj for key, _ in selector.select()}:
                with contextlib.suppress(BlockingIOError):
                    self._admit(self._listener.accept()[0])
        self.released.set()
        for peer in self.peers:
            peer.hang_up()

    def _admit(self, accepted: socket.socket) -> None:
        accepted.setblocking(True)
        if accepted.family != socket.AF_UNIX:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Peer(accepted, self)
        with self.changed:
            self.peers.append(peer)
            self.changed.notify_all()
        thread = threading.Thread(target=self._serve, args=(peer,))
        self._threads.append(thread)
        thread.start()

    def _serve(self, peer: Peer) -> None:
        with contextlib.suppress(OSError):  # the client has gone
            self._script(peer)
        peer.close()
        with self.changed:
            self.closed += 1
            self.changed.notify_all()


# ---- scripts ------------------------------------------------------------------------------


def echoes(peer: Peer) -> None:
    while data := peer.receive():
        peer.send(data)


def never_answers(peer: Peer) -> None:
    peer.receive_all()


def closes_at_once(peer: Peer) -> None:
    """Accept, and close in good order."""


def resets_at_once(peer: Peer) -> None:
    peer.reset()


def reads_nothing(peer: Peer) -> None:
    """Leave everything in the kernel's buffers until the test says otherwise; then read it all."""
    peer.server.released.wait()
    peer.receive_all()


def reads_slowly(peer: Peer) -> None:
    """Echo, but take a few bytes at a time."""
    while data := peer.receive(7):
        peer.send(data)


def byte_by_byte(peer: Peer) -> None:
    while data := peer.receive():
        for byte in data:
            peer.send(bytes((byte,)))


def in_two_halves(peer: Peer) -> None:
    while data := peer.receive():
        middle = len(data) // 2
        peer.send(data[:middle])
        peer.send(data[middle:])


def answers_too_much(peer: Peer) -> None:
    while data := peer.receive():
        peer.send(data + b"!")


def answers_garbage(peer: Peer) -> None:
    """Send back as many bytes as have come, all of them different."""
    while data := peer.receive():
        peer.send(bytes(byte ^ 0xFF for byte in data))


def speaks_first(peer: Peer) -> None:
    """Send what was not asked for: more than the replies to the tests' messages could be."""
    peer.send(b"welcome to this server, stranger")
    peer.receive_all()


def drips(peer: Peer) -> None:
    """Once asked, send a reply that never ends, a byte at a time."""
    peer.receive()
    while not peer.server.released.wait(0.005):
        peer.send(b".")


def never_ends(peer: Peer) -> None:
    """Once asked, send a reply that never ends, as fast as may be."""
    peer.receive()
    while not peer.server.released.is_set():
        peer.send(bytes(65536))


def resets_after(size_bytes: int) -> Script:
    """Reset the connection once that many bytes have been echoed."""

    def script(peer: Peer) -> None:
        peer.send(peer.receive_exactly(size_bytes))
        peer.receive(1)
        peer.reset()

    return script


def closes_after(replies: int, size_bytes: int) -> Script:
    """Echo ``replies`` messages of ``size_bytes``, then close in good order."""

    def script(peer: Peer) -> None:
        for _ in range(replies):
            peer.send(peer.receive_exactly(size_bytes))

    return script


def answers_each(size_bytes: int, reply: bytes) -> Script:
    """Send ``reply`` for each message of ``size_bytes``."""

    def script(peer: Peer) -> None:
        while len(peer.receive_exactly(size_bytes)) == size_bytes:
            peer.send(reply)

    return script


def answers_once(size_bytes: int, reply: bytes) -> Script:
    """Send ``reply`` for one message of ``size_bytes``, and end the stream."""

    def script(peer: Peer) -> None:
        if len(peer.receive_exactly(size_bytes)) == size_bytes:
            peer.send(reply)

    return script
