"""TLS for the connections of a load: a transport above a socket, and its dialer.

Facts. A handshake costs this process a large part of a millisecond, and a round trip or two. One
that resumes a session leaves out the certificates: the server need not sign, while this end saves
little, since CPython copies a session by writing and reading it (Modules/_ssl.c). In TLS 1.3 a
server sends what is needed to resume (a ticket) behind its handshake, so that only a read finds it,
and each ticket is meant for one handshake (RFC 8446, 4.6.1 and C.4).

Decision. Where sessions are resumed, each stream leaves the newest that its server gave it to the
dialer, and each new one takes one; the last is used again where there are more streams than
sessions. The processor time of each handshake is measured, also of those that fail: it is
work of this process, and no time of the server.
"""

import ssl
from collections import deque
from contextlib import suppress
from typing import Final

from loadgen.net.clock import processor_ns
from loadgen.net.dialer import SocketDialer
from loadgen.net.failure import Cause, ConnectionFailed, Failure, Phase
from loadgen.net.negotiated import Negotiated
from loadgen.net.tls_errors import cause_of
from loadgen.net.tls_options import TlsOptions
from loadgen.net.tls_stream import CIPHERTEXT_BYTES, TlsStream
from loadgen.net.transport import NOTHING, READ_AND_WRITE, WRITE, SocketTransport

_MOST_SESSIONS: Final = 10_000


class Sessions:
    """Sessions to resume, the newest first; the last one stays."""

    def __init__(self) -> None:
        self._kept: deque[ssl.SSLSession] = deque(maxlen=_MOST_SESSIONS)

    def keep(self, session: ssl.SSLSession | None) -> bool:
        """Keep ``session`` if it can be resumed; return whether it is kept."""
        if session is None or not (session.has_ticket or session.id):
            return False
        self._kept.append(session)
        return True

    def take(self) -> ssl.SSLSession | None:
        """Return a session to resume; None if there is none yet."""
        if len(self._kept) > 1:
            return self._kept.pop()
        return self._kept[0] if self._kept else None


class TlsTransport(TlsStream):
    """TLS above ``raw``, a socket whose connect has begun.

    handshake_work_ns: the processor time that it took so far to shake hands.
    """

    __slots__ = ("_has_ended", "_is_connected", "_is_up", "_raw", "handshake_work_ns")

    def __init__(
        self,
        raw: SocketTransport,
        context: ssl.SSLContext,
        scratch: bytearray,
        server_name: str,
        session: ssl.SSLSession | None = None,
    ) -> None:
        began_ns = processor_ns()
        super().__init__(raw.socket, context, scratch, server_name, session)
        self.handshake_work_ns = processor_ns() - began_ns
        self._raw = raw
        self._is_connected = self._is_up = self._has_ended = False

    @property
    def phase(self) -> Phase:
        """CONNECT, and then SECURE."""
        return Phase.SECURE if self._is_connected else Phase.CONNECT

    @property
    def negotiated(self) -> Negotiated:
        """What the two ends have agreed on, once it is up."""
        cipher = self._tls.cipher()
        return Negotiated(
            version=self._tls.version() or "",
            cipher=cipher[0] if cipher else "",
            protocol=self._tls.selected_alpn_protocol() or "",
            is_resumed=bool(self._tls.session_reused),
        )

    def has_news(self, interest: int) -> bool:
        """Whether the socket has any, or bytes are inside."""
        if self._is_connected and interest == WRITE:
            interest = READ_AND_WRITE  # WRITE alone asks a socket whether it is connected
        return self.pending or self._raw.has_news(interest)

    def progress(self) -> int:
        """Connect; once that is done, shake hands as far as possible; return what to wait for.

        Raises ConnectionFailed.
        """
        if not self._is_connected:
            interest = self._raw.progress()
            self._is_connected = interest == NOTHING
            return WRITE if self._is_connected else interest
        began_ns = processor_ns()
        try:
            awaited = self.shake_hands()
        except ssl.SSLError as error:
            with suppress(OSError):
                self._flush()  # the alert that says why
            raise ConnectionFailed(Failure(Phase.SECURE, self._why(error)), str(error)) from error
        except OSError as error:
            raise ConnectionFailed.of(Phase.SECURE, error) from error
        finally:
            self.handshake_work_ns += processor_ns() - began_ns
        self._is_up = awaited is None
        return NOTHING if awaited is None else awaited

    def _why(self, error: ssl.SSLError) -> Cause:
        cause = cause_of(error)
        if cause is Cause.TLS_PARAMETERS and self._tls.cipher() is not None:
            # They are agreed on: in TLS 1.2 a server that misses a certificate says no more.
            return Cause.CLIENT_CERTIFICATE
        return cause

    def end_sending(self) -> None:
        """End our side with a close_notify (RFC 8446, 6.1), and that of the socket behind it."""
        if self._is_up and not self._has_ended:
            self._has_ended = True
            self.say_goodbye()
            if not self._unsent:
                self._raw.end_sending()

    def close(self) -> None:
        """Send a close_notify, as far as the socket accepts it at once, and close the socket."""
        self.end_sending()
        self._raw.close()


class ResumingTransport(TlsTransport):
    """The same, which resumes one of ``sessions``, and leaves its own there."""

    __slots__ = ("_has_left_one", "_sessions")

    def __init__(
        self,
        raw: SocketTransport,
        context: ssl.SSLContext,
        scratch: bytearray,
        server_name: str,
        sessions: Sessions,
    ) -> None:
        super().__init__(raw, context, scratch, server_name, sessions.take())
        self._sessions = sessions
        self._has_left_one = False

    def _receive(self, buffer: bytearray, ancillary_bytes: int) -> int:
        size = super()._receive(buffer, ancillary_bytes)
        if not self._has_left_one:
            self._has_left_one = self._sessions.keep(self._tls.session)
        return size

    def close(self) -> None:
        """Leave the session, unless there is one of this stream; then as `TlsTransport.close`."""
        if self._is_up and not self._has_left_one:
            self._sessions.keep(self._tls.session)
        super().close()


class TlsDialer:
    """Makes transports with TLS above the sockets of ``sockets``.

    Raises UsageError, when it is made, for a file or value that is not accepted.
    """

    is_layered = True

    def __init__(self, sockets: SocketDialer, options: TlsOptions) -> None:
        self.endpoint = sockets.endpoint
        self.stamp_every = sockets.stamp_every
        self._sockets = sockets
        self._context = options.context()
        self._server_name = options.server_name
        self._scratch = bytearray(CIPHERTEXT_BYTES)
        self._sessions = Sessions() if options.resume else None

    def dial(self) -> TlsTransport:
        """Return a transport whose connect has begun, as `loadgen.net.dialer.Dialer.dial` does."""
        raw = self._sockets.dial()
        where = raw, self._context, self._scratch, self._server_name
        if self._sessions is None:
            return TlsTransport(*where)
        return ResumingTransport(*where, self._sessions)
