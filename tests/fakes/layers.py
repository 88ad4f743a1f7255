"""A transport with a layer above its socket, which holds bytes and turns the directions round.

The bytes travel inverted, in records of at most `RECORD_BYTES`. A record may be sent only with a
permit of the peer, so that to send may have to wait until something can be read; and one is handed
out only after a permit for the next was sent, so that to receive may have to wait until there is
room to write: the layer writes `FLUSH_BYTES` at a time. What is read from the socket is kept inside
and handed out in small parts, of which no selector knows.
"""

import socket
from collections.abc import Sequence
from typing import Any, Final

from loadgen.net.dialer import Dialer
from loadgen.net.failure import Cause, ConnectionFailed, Failure, Phase
from loadgen.net.transport import NOTHING, READ, WRITE

RECORD_BYTES: Final = 100
PART_BYTES: Final = 7
FLUSH_BYTES: Final = 30
HELLO: Final = b"H"
PERMIT: Final = b"P"
DATA: Final = b"D"


class Layer:
    """One end of such a stream; both ends are the same."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.permits = 0
        self.carried = [0, 0]  # bytes of its user that went out, and that came in
        self.turned: set[str] = set()  # in which ways it was unlike a socket
        self._has_greeted = self._is_up = self._has_ended = False
        self._raw = self._plain = self._out = b""

    def fileno(self) -> int:
        return self.socket.fileno()

    @property
    def phase(self) -> Phase:
        return Phase.CONNECT

    def progress(self) -> int:
        if not self._has_greeted:
            self._out += HELLO
            self._has_greeted = True
        self._pump()
        if self._has_ended:
            raise ConnectionFailed(Failure(Phase.CONNECT, Cause.CLOSED))
        return NOTHING if self._is_up else READ | (WRITE if self._out else 0)

    def recv_into(self, buffer: bytearray) -> int:
        self._pump()
        if self._out:
            self.turned.add("receive waits for room")
            raise BlockingIOError
        part, self._plain = self._plain[:PART_BYTES], self._plain[PART_BYTES:]
        if not part and not self._has_ended:
            raise BlockingIOError
        buffer[: len(part)] = part
        self.carried[1] += len(part)
        return len(part)

    def recvmsg_into(
        self, buffers: Sequence[bytearray], size: int
    ) -> tuple[int, list[Any], int, Any]:
        return self.recv_into(buffers[0]), [], 0, None

    def send(self, data: bytes | memoryview) -> int:
        self._pump()
        if self._out or not self.permits:
            raise BlockingIOError
        record = bytes(data[:RECORD_BYTES])
        self.permits -= 1
        self._out = DATA + bytes((len(record),)) + invert(record)
        self._flush()
        self.carried[0] += len(record)
        return len(record)

    @property
    def pending(self) -> bool:
        if self._plain:
            self.turned.add("bytes are inside")
        return bool(self._plain) and not self._out

    def awaited(self, interest: int) -> int:
        if self._out:
            return WRITE
        if interest & WRITE and not self.permits:
            self.turned.add("send waits for bytes")
        return READ

    def has_news(self, interest: int) -> bool:
        self._pump()
        return self.pending

    def end_sending(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()

    def _pump(self) -> None:
        """Read all that is there, and send what is due."""
        try:
            while data := self.socket.recv(4096):
                self._raw += data
            self._has_ended = True
        except BlockingIOError:
            pass
        except ConnectionResetError:
            self._has_ended = True
        while self._take_record():
            pass
        self._flush()

    def _take_record(self) -> bool:
        kind, raw = self._raw[:1], self._raw[1:]
        if kind == HELLO:
            self._is_up = True
            self.permits += 1
        elif kind == PERMIT:
            self.permits += 1
        elif kind == DATA and raw and len(raw) > raw[0]:
            size = raw[0]
            self._plain += invert(raw[1 : 1 + size])
            self._out += PERMIT
            raw = raw[1 + size :]
        else:
            return False
        self._raw = raw
        return True

    def _flush(self) -> None:
        if self._out:
            try:
                self._out = self._out[self.socket.send(self._out[:FLUSH_BYTES]) :]
            except BlockingIOError:
                pass
            except OSError:
                self._out, self._has_ended = b"", True


def invert(data: bytes) -> bytes:
    return bytes(byte ^ 0xFF for byte in data)


class LayeredEcho:
    """The peer: returns what it gets, as far as the layer lets it, each time it is served."""

    is_deaf = False
    """Whether it returns nothing."""

    def __init__(self, sock: socket.socket) -> None:
        self.layer = Layer(sock)
        self._is_up = False
        self._to_return = b""
        self._buffer = bytearray(64)

    def serve(self) -> None:
        if not self._is_up:
            self._is_up = self.layer.progress() == NOTHING
            return
        try:
            while size := self.layer.recv_into(self._buffer):
                self._to_return += self._buffer[:size]
        except BlockingIOError:
            pass
        if self.is_deaf:
            self._to_return = b""
        try:
            while self._to_return:
                self._to_return = self._to_return[self.layer.send(self._to_return) :]
        except BlockingIOError:
            pass

    def close(self) -> None:
        self.layer.close()


class LayeredDialer(Dialer):
    """Dials layers over pairs of sockets that hold little; ``peers`` are their other ends."""

    is_layered = True

    def __init__(self, stamp_every: int = 0) -> None:
        self.stamp_every = stamp_every
        self.layers: list[Layer] = []
        self.peers: list[LayeredEcho] = []

    def dial(self) -> Layer:
        ours, theirs = socket.socketpair()
        for sock in (ours, theirs):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the least there is
        self.layers.append(Layer(ours))
        self.peers.append(LayeredEcho(theirs))
        return self.layers[-1]
