"""A stream of bytes through TLS, above a socket of its own that does not block; for either end.

Facts. ``ssl.SSLSocket`` has no ``recvmsg_into``, and so no kernel timestamps.
``SSLContext.wrap_bio`` makes an object that reads ciphertext from one memory BIO and writes it to
another (https://docs.python.org/3/library/ssl.html#memory-bio-support). A read takes one record
from the BIO; where it wants more, what is left in the BIO is a part of one.

Danger. Bytes hide in several places: whole records in the BIO, a part of one in the library,
ciphertext that the socket has not accepted, and what the library answers by itself while it reads
(KeyUpdate, RFC 8446, 4.6.3). No selector announces any of them.

Decision. The stream receives and sends the ciphertext itself. A read hands out all records that are
inside, as far as the buffer goes, with the control messages of the last read of ciphertext: so a
stamp means the same as on a plain socket. A send that the socket does not accept whole is not
reported as sent before the last byte of its ciphertext is with the kernel: what is offered then
must begin with the same bytes, as in SSL_write(3).

A stream that ends without a close_notify ends as one with it does: many servers send none.
"""

import ssl
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from loadgen.net.failure import LayerError
from loadgen.net.timestamps import UPPER_BOUND
from loadgen.net.tls_errors import cause_of, end_of
from loadgen.net.transport import READ, WRITE

CIPHERTEXT_BYTES: Final = 64 * 1024
_MOST_PLAIN_BYTES: Final = 64 * 1024
"""What one send encrypts at most, so that a long message makes progress that is seen."""

_UPPER_BOUND: Final = [(0, 0, struct.pack("qq", 0, UPPER_BOUND))]
"""The control message of a read that has left bytes in the kernel."""


class TlsStream:
    """TLS above ``sock``. The handshake takes place in the first reads, or in `shake_hands`.

    scratch: space for ciphertext, which streams of one thread may share. server_name: for the
    client's end, whom it asks for. session: of an earlier stream, to be resumed.
    """

    __slots__ = (
        "_accepted",
        "_ancillary",
        "_incoming",
        "_late",
        "_outgoing",
        "_read",
        "_scratch",
        "_tls",
        "_unsent",
        "_waits_to_read",
        "pending",
        "socket",
    )

    def __init__(
        self,
        sock: Any,
        context: ssl.SSLContext,
        scratch: bytearray,
        server_name: str | None = None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self.socket = sock
        self._scratch = scratch
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_name is None,
            server_hostname=server_name,
            session=session,
        )
        self._read: Any = self._tls.read
        self._unsent = b""  # ciphertext that the socket has not accepted
        self._accepted = 0  # bytes that were encrypted, and are not reported as sent yet
        self._waits_to_read = False  # whether to send, something must be read first
        self._ancillary: list[Any] = []
        self._late: OSError | int | None = None  # what the next read comes to, behind some bytes
        self.pending = False
        """Whether something is inside, perhaps only a part of a record: a read will tell."""

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        descriptor: int = self.socket.fileno()
        return descriptor

    def awaited(self, interest: int) -> int:
        """Return the events of the socket to wait for where its user waits for ``interest``."""
        if self._unsent:
            return interest | WRITE
        return READ if self._waits_to_read else interest

    def shake_hands(self) -> int | None:
        """Go on with the handshake; return the events to wait for, None when it is done.

        Raises ``ssl.SSLError``, and OSError as the socket does.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                try:
                    self._fill()
                except BlockingIOError:
                    return self.awaited(READ)
            else:
                self._flush()
                if self._unsent:
                    return WRITE
                self.pending = bool(self._incoming.pending)
                return None

    # ---- receiving ------------------------------------------------------------------------

    def recv_into(self, buffer: bytearray) -> int:
        """As ``socket.recv_into``."""
        return self._receive(buffer, 0)

    def recvmsg_into(
        self, buffers: Sequence[bytearray], ancillary_bytes: int
    ) -> tuple[int, list[Any], int, Any]:
        """As ``socket.recvmsg_into``, with the control messages of the last read of the socket."""
        size = self._receive(buffers[0], ancillary_bytes)
        return size, self._ancillary, 0, None

    def _receive(self, buffer: bytearray, ancillary_bytes: int) -> int:
        """Read what is inside, and otherwise what the socket has."""
        if self._late is not None:
            return _come_to(self._late)
        if self._unsent:
            self._answer()
        if not self.pending:
            self._fill(ancillary_bytes)
        while True:
            try:
                size: int = self._read(len(buffer), buffer)
            except ssl.SSLWantReadError:
                # A part of a record, or one without data: nothing more is inside.
                self.pending = False
                self._answer()
                self._fill(ancillary_bytes)
            except ssl.SSLError as error:
                self._answer()  # an alert that says why
                return _come_to(end_of(error))
            else:
                if self._incoming.pending or size == len(buffer):
                    size = self._read_on(buffer, size)
                else:
                    self.pending = False
                if self._outgoing.pending:
                    self._answer()
                return size

    def _read_on(self, buffer: bytearray, size: int) -> int:
        """Read the other records that are inside; return the number of bytes in all."""
        view = memoryview(buffer)
        while size < len(view) and self._incoming.pending:
            try:
                more: int = self._read(len(view) - size, view[size:])
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError as error:
                self._late = end_of(error)
                break
            if not more:
                self._late = 0
                break
            size += more
        more_inside = self._incoming.pending or self._tls.pending()
        self.pending = self._late is not None or bool(more_inside)
        return size

    def _fill(self, ancillary_bytes: int = 0) -> None:
        """Read ciphertext from the socket, once. Raises as ``recv_into``."""
        scratch = self._scratch
        if ancillary_bytes:
            size, self._ancillary, _, _ = self.socket.recvmsg_into([scratch], ancillary_bytes)
            if size == len(scratch) and self._ancillary:
                self._ancillary = _UPPER_BOUND  # the stamp may belong to what is still to be read
        else:
            size = self.socket.recv_into(scratch)
            self._ancillary = []
        self._waits_to_read = False
        if size:
            self._incoming.write(memoryview(scratch)[:size])
        else:
            self._incoming.write_eof()

    def _answer(self) -> None:
        """Send what the library has written while it read.

        A broken socket shows when it is read.
        """
        if self._outgoing.pending or self._unsent:
            with suppress(OSError):
                self._flush()

    # ---- sending --------------------------------------------------------------------------

    def send(self, data: bytes | memoryview) -> int:
        """As ``socket.send``; after a BlockingIOError, offer what begins with the same bytes."""
        if not self._accepted:
            if self._unsent:
                self._flush_or_say_why()
                if self._unsent:
                    raise BlockingIOError
            if len(data) > _MOST_PLAIN_BYTES:
                data = memoryview(data)[:_MOST_PLAIN_BYTES]
            try:
                self._accepted = self._tls.write(data)
            except ssl.SSLWantReadError:
                self._waits_to_read = True
            except ssl.SSLError as error:
                raise LayerError(cause_of(error), str(error)) from error
        self._flush_or_say_why()
        if self._unsent or not self._accepted:
            raise BlockingIOError
        accepted, self._accepted = self._accepted, 0
        return accepted

    def _flush_or_say_why(self) -> None:
        """Send ciphertext; where the peer is gone, raise what it has said of that, if anything."""
        try:
            self._flush()
        except OSError as broken:
            with suppress(OSError):
                self._fill()
            try:
                while self._tls.read(CIPHERTEXT_BYTES):
                    pass
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                said = end_of(error)
                if isinstance(said, OSError):
                    raise said from broken
            raise

    def _flush(self) -> None:
        """Send ciphertext as far as the socket accepts it. Raises OSError if it is broken."""
        data = self._unsent + self._outgoing.read() if self._unsent else self._outgoing.read()
        if data:
            try:
                size = self.socket.send(data)
            except BlockingIOError:
                size = 0
            self._unsent = data[size:]

    def say_goodbye(self) -> None:
        """Send a close_notify, as far as the socket accepts it at once. Raises nothing."""
        with suppress(OSError, ValueError):
            with suppress(ssl.SSLError):  # the peer's own close_notify is not awaited
                self._tls.unwrap()
            self._flush()

    def close(self) -> None:
        """Send a close_notify, and close the socket."""
        self.say_goodbye()
        self.socket.close()


def _come_to(end: OSError | int) -> int:
    if isinstance(end, OSError):
        raise end
    return end
