"""A TLS stream driven by hand: what is inside, what is pending, what has been sent."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from secured import CA, server_context

from loadgen.net.tls_stream import CIPHERTEXT_BYTES, TlsStream


class Pair:
    """A stream of the client, up, and the library's own object at the other end of a socket."""

    def __init__(self, version: str = "1.3") -> None:
        ours, self.theirs = socket.socketpair()
        ours.setblocking(False)
        self.theirs.setblocking(False)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = server_context(version=version).wrap_bio(
            self._incoming, self._outgoing, server_side=True
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(CA)
        self.stream = TlsStream(ours, context, bytearray(CIPHERTEXT_BYTES), "localhost")
        self.buffer = bytearray(1000)

    def shake_hands(self, held_back: int = 0) -> bytes:
        """Shake hands; return the last ``held_back`` bytes of the server, which are not sent."""
        assert self.stream.shake_hands() is not None
        self.take(self.server.do_handshake)
        self.theirs.sendall(self._outgoing.read())
        assert self.stream.shake_hands() is None
        self.take(self.server.do_handshake)
        tickets = self._outgoing.read()
        cut = len(tickets) - held_back
        self.theirs.sendall(tickets[:cut])
        return tickets[cut:]

    def take(self, step: Callable[..., Any], *arguments: Any) -> Any:
        """Let the server read what has come, and take ``step``."""
        while True:
            try:
                return step(*arguments)
            except ssl.SSLWantReadError:
                try:
                    self._incoming.write(self.theirs.recv(1 << 20))
                except BlockingIOError:
                    return None

    def says(self, *messages: bytes) -> bytes:
        """Return the ciphertext of the server's ``messages``, a record each."""
        for message in messages:
            self.server.write(message)
        return self._outgoing.read()

    def ends(self) -> bytes:
        with pytest.raises(ssl.SSLWantReadError):
            self.server.unwrap()
        return self._outgoing.read()

    def receive(self) -> bytes:
        return bytes(self.buffer[: self.stream.recv_into(self.buffer)])


@contextmanager
def pair(version: str = "1.3") -> Iterator[Pair]:
    made = Pair(version)
    try:
        yield made
    finally:
        made.stream.close()
        made.theirs.close()


def test_a_part_of_a_record_is_pending_until_it_has_been_looked_at() -> None:
    with pair() as each:
        rest = each.shake_hands(held_back=10)
        with pytest.raises(BlockingIOError):
            each.receive()
        assert not each.stream.pending
        each.theirs.sendall(rest + each.says(b"reply")[:9])
        with pytest.raises(BlockingIOError):
            each.receive()
        assert not each.stream.pending


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_record_that_ends_in_the_midst_of_a_reply_is_whole_in_the_end(cut: int) -> None:
    with pair() as each:
        each.shake_hands()
        data = each.says(b"first half, ", b"second half")
        each.theirs.sendall(data[:-cut])
        assert each.receive() == b"first half, "
        assert not each.stream.pending
        each.theirs.sendall(data[-cut:])
        assert each.receive() == b"second half"
        assert not each.stream.pending


def test_records_that_are_larger_than_the_buffer_stay_inside_and_are_pending() -> None:
    text = bytes(range(250)) * 64  # 16 000 bytes: one record
    with pair() as each:
        each.shake_hands()
        each.theirs.sendall(each.says(text, b"behind it"))
        parts = [each.receive()]
        while each.stream.pending:
            parts.append(each.receive())
        assert b"".join(parts) == text + b"behind it"
        assert len(parts) > 10
        with pytest.raises(BlockingIOError):
            each.receive()


@pytest.mark.parametrize("is_torn", [False, True], ids=["close_notify", "torn"])
def test_the_end_comes_behind_the_bytes_that_came_with_it(is_torn: bool) -> None:
    with pair() as each:
        each.shake_hands()
        each.theirs.sendall(each.says(b"the last") + (b"" if is_torn else each.ends()))
        each.theirs.shutdown(socket.SHUT_WR)
        assert each.receive() == b"the last"
        assert each.stream.pending == (not is_torn)  # otherwise the socket has yet to tell
        assert each.receive() == b""
        assert each.receive() == b""


def test_what_the_socket_does_not_take_is_not_reported_as_sent() -> None:
    text = bytes(range(250)) * 4000
    with pair() as each:
        each.shake_hands()
        sent, received, view = 0, b"", memoryview(text)
        refused = 0
        while sent < len(text):
            try:
                sent += each.stream.send(view[sent:])
            except BlockingIOError:
                refused += 1
                while data := each.take(each.server.read, 1 << 20):
                    received += data
                    assert len(received) <= sent + CIPHERTEXT_BYTES
        while data := each.take(each.server.read, 1 << 20):
            received += data
        assert received == text
        assert refused > 0


def test_a_broken_record_is_an_error_with_the_words_of_the_library() -> None:
    with pair() as each:
        each.shake_hands()
        data = bytearray(each.says(b"reply"))
        data[-1] ^= 1
        each.theirs.sendall(data)
        with pytest.raises(OSError, match=r"(?i)bad.record.mac|decryption failed"):
            each.receive()
