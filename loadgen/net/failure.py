"""What can go wrong with a connection, or with one reply on it: a closed list, phase × cause.

A failure of a connection ends it. A reply that is whole and says no, such as an error status, is
rejected: a failure, too, but one of `Phase.REPLY`, after which the connection goes on.

A system call's errno becomes a ``Failure`` once, where the call is made (`Failure.of`). Reports
count by phase and cause, never by error text; details are in the log. A cause also says whether it
lies on this machine, so that a local limit is not attributed to the server.
"""

import enum
import errno
from typing import NamedTuple


class Phase(enum.StrEnum):
    """The phase of a connection's life in which it failed; or ``REPLY``: it goes on."""

    CONNECT = "connect"
    SECURE = "secure"
    SEND = "send"
    RECEIVE = "receive"
    VERIFY = "verify"
    REPLY = "reply"


class Cause(enum.StrEnum):
    """What went wrong: ``text`` explains it; ``is_local`` if it lies on this machine.

    Causes for which a protocol rejects, such as classes of its status codes, stand below
    ``REJECTED``, named after the protocol; those that a server makes up are ``REJECTED``, so that
    the list stays closed. All of them are entered in the schema of the record.
    """

    text: str
    is_local: bool

    REFUSED = "refused", "connection refused"
    RESET = "reset", "connection reset by the server"
    CLOSED = "closed", "connection closed by the server"
    TIMEOUT = "timeout", "no progress in time"
    REPLY_TIMEOUT = "reply_timeout", "the reply was not whole in time (--reply-timeout)"
    UNREACHABLE = "unreachable", "host or network unreachable"
    UNEXPECTED_BYTES = "unexpected_bytes", "bytes that no message asked for"
    BAD_FRAME = "bad_frame", "bytes that are not a reply of the expected form"
    REPLY_TOO_LONG = "reply_too_long", "the reply is longer than --max-reply"
    REJECTED = "rejected", "the server rejected the message"
    UNEXPECTED_REPLY = "unexpected_reply", "the reply is none that --expect accepts"
    STATUS_2XX = "status_2xx", "status 2xx"
    STATUS_3XX = "status_3xx", "status 3xx"
    STATUS_4XX = "status_4xx", "status 4xx"
    STATUS_5XX = "status_5xx", "status 5xx"
    HTTP_IDLE_CLOSE = (
        "http_idle_close",
        "the server closed the idle connection as a request came that may not be repeated",
    )
    HTTP_HEADER_TOO_LONG = "http_header_too_long", "the header of a response has more than 64 KiB"
    RESP_ERR = "resp_err", "Redis said ERR, such as to an unknown command"
    RESP_WRONGTYPE = "resp_wrongtype", "Redis said WRONGTYPE: the key holds another kind of value"
    RESP_NOAUTH = "resp_noauth", "Redis said NOAUTH: it wants redis://user:password@host"
    RESP_WRONGPASS = "resp_wrongpass", "Redis said WRONGPASS: wrong user or password, or disabled"
    RESP_NOPERM = "resp_noperm", "Redis said NOPERM: the user may not do that"
    RESP_NOPROTO = "resp_noproto", "Redis said NOPROTO: it does not speak RESP3"
    RESP_MOVED = "resp_moved", "Redis said MOVED: another node of the cluster has the key"
    RESP_ASK = "resp_ask", "Redis said ASK: the key is on its way to another node"
    RESP_CROSSSLOT = "resp_crossslot", "Redis said CROSSSLOT: the keys are on several nodes"
    RESP_TRYAGAIN = "resp_tryagain", "Redis said TRYAGAIN: the keys are on their way"
    RESP_CLUSTERDOWN = "resp_clusterdown", "Redis said CLUSTERDOWN: nobody serves the key"
    RESP_MASTERDOWN = "resp_masterdown", "Redis said MASTERDOWN: the replica has lost its master"
    RESP_NOREPLICAS = "resp_noreplicas", "Redis said NOREPLICAS: too few replicas for a write"
    RESP_READONLY = "resp_readonly", "Redis said READONLY: it is a replica, and takes no writes"
    RESP_MISCONF = "resp_misconf", "Redis said MISCONF: it takes no writes, for it cannot save"
    RESP_OOM = "resp_oom", "Redis said OOM: its maxmemory is reached"
    RESP_LOADING = "resp_loading", "Redis said LOADING: it reads its data from disk"
    RESP_BUSY = "resp_busy", "Redis said BUSY: a script is running"
    RESP_NOSCRIPT = "resp_noscript", "Redis said NOSCRIPT: it does not have the script"
    RESP_EXECABORT = "resp_execabort", "Redis said EXECABORT: a command of the transaction is wrong"
    RESP_BUSYGROUP = "resp_busygroup", "Redis said BUSYGROUP: the consumer group exists"
    RESP_NOGROUP = "resp_nogroup", "Redis said NOGROUP: there is no such consumer group"
    RESP_OTHER = "resp_other", "Redis rejected it with another code than those that are known"
    MISMATCH = "mismatch", "the echo differs from what was sent"
    BACKLOG = "backlog", "the listener's backlog is full; --connect-rate opens more slowly"
    NOT_FOUND = "not_found", "no such socket path"
    WS_STATUS_3XX = "ws_status_3xx", "the server redirects the WebSocket; give the URL it names"
    WS_STATUS_4XX = "ws_status_4xx", "the server refuses the WebSocket with a status 4xx"
    WS_STATUS_5XX = "ws_status_5xx", "the server refuses the WebSocket with a status 5xx"
    WS_HANDSHAKE = "ws_handshake", "the answer to the upgrade is not that of a WebSocket server"
    WS_ACCEPT = "ws_accept", "the accept key of the WebSocket is missing or not that of its request"
    WS_SUBPROTOCOL = "ws_subprotocol", "the server chose no sub-protocol that was offered"
    WS_EXTENSION = "ws_extension", "the server chose an extension of WebSocket; none was offered"
    WS_CLOSE_1002 = "ws_close_1002", "closed by the server with 1002, protocol error"
    WS_CLOSE_1003 = "ws_close_1003", "closed by the server with 1003, unsupported data"
    WS_CLOSE_1007 = "ws_close_1007", "closed by the server with 1007, invalid payload"
    WS_CLOSE_1008 = "ws_close_1008", "closed by the server with 1008, policy violation"
    WS_CLOSE_1009 = "ws_close_1009", "closed by the server with 1009, message too big"
    WS_CLOSE_1010 = "ws_close_1010", "closed by the server with 1010, extension missing"
    WS_CLOSE_1011 = "ws_close_1011", "closed by the server with 1011, internal error"
    WS_CLOSE_1012 = "ws_close_1012", "closed by the server with 1012, service restart"
    WS_CLOSE_1013 = "ws_close_1013", "closed by the server with 1013, try again later"
    WS_CLOSE_1014 = "ws_close_1014", "closed by the server with 1014, bad gateway"
    WS_CLOSE_3XXX = "ws_close_3xxx", "closed by the server with a code from 3000 to 3999"
    WS_CLOSE_4XXX = "ws_close_4xxx", "closed by the server with a code of its own, 4000 to 4999"
    CERTIFICATE = "certificate", "the server's certificate is not trusted (--cacert, --insecure)"
    CERTIFICATE_EXPIRED = "certificate_expired", "the server's certificate is not valid now"
    CERTIFICATE_NAME = "certificate_name", "the server's certificate is for another name (--sni)"
    CLIENT_CERTIFICATE = (
        "client_certificate",
        "the server does not accept the client's certificate, or misses one (--cert, --key)",
    )
    NOT_TLS = "not_tls", "the server does not speak TLS"
    TLS_VERSION = "tls_version", "the server accepts another version of TLS (--tls-version)"
    TLS_PARAMETERS = (
        "tls_parameters",
        "the server accepts none of the ciphers or protocols (--ciphers, --alpn)",
    )
    TLS = "tls", "TLS has failed; -v logs what the library says"
    DENIED = "denied", "permission denied by this machine", True
    DATAGRAM_TOO_LONG = "datagram_too_long", "the datagram is longer than can be sent there", True
    DESCRIPTORS = "descriptors", "this machine is out of file descriptors", True
    ADDRESSES = "addresses", "this machine is out of local ports for the target", True
    USER_CODE = "user_code", "an exception in the code that makes the messages; it is logged", True
    MEMORY = "memory", "this machine is out of socket memory", True
    OTHER = "other", "another error of the operating system; -v logs it"

    def __new__(cls, value: str, text: str, is_local: bool = False) -> "Cause":
        """Attach the explanation and ``is_local`` to the string ``value``."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.text = text
        member.is_local = is_local
        return member


_CAUSE_OF_ERRNO = {
    errno.ECONNREFUSED: Cause.REFUSED,
    errno.ECONNRESET: Cause.RESET,
    errno.ECONNABORTED: Cause.RESET,
    errno.EPIPE: Cause.RESET,
    errno.ETIMEDOUT: Cause.TIMEOUT,
    errno.EHOSTUNREACH: Cause.UNREACHABLE,
    errno.ENETUNREACH: Cause.UNREACHABLE,
    errno.EHOSTDOWN: Cause.UNREACHABLE,
    errno.ENETDOWN: Cause.UNREACHABLE,
    errno.ENOENT: Cause.NOT_FOUND,
    errno.EACCES: Cause.DENIED,
    errno.EPERM: Cause.DENIED,
    errno.EMFILE: Cause.DESCRIPTORS,
    errno.ENFILE: Cause.DESCRIPTORS,
    errno.EADDRNOTAVAIL: Cause.ADDRESSES,
    errno.EADDRINUSE: Cause.ADDRESSES,
    errno.EMSGSIZE: Cause.DATAGRAM_TOO_LONG,
    errno.ENOBUFS: Cause.MEMORY,
    errno.ENOMEM: Cause.MEMORY,
}


class LayerError(OSError):
    """What a layer above the socket raises where the socket itself is well: its own ``cause``."""

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause


class Failure(NamedTuple):
    """One way in which a connection failed, or a reply was rejected."""

    phase: Phase
    cause: Cause

    @classmethod
    def of(cls, phase: Phase, error: OSError) -> "Failure":
        """Return the failure that the operating system's ``error`` means in ``phase``."""
        if isinstance(error, LayerError):
            return cls(phase, error.cause)
        if phase is Phase.CONNECT and error.errno == errno.EAGAIN:
            # connect(2): on a UNIX socket, EAGAIN says that the listener's backlog is full.
            return cls(phase, Cause.BACKLOG)
        return cls(phase, _CAUSE_OF_ERRNO.get(error.errno or 0, Cause.OTHER))

    @property
    def is_rejection(self) -> bool:
        """Whether it is of a reply, so that the connection goes on; otherwise it ended that."""
        return self.phase is Phase.REPLY

    def __str__(self) -> str:
        return f"{self.phase}: {self.cause.text}"


class ConnectionFailed(Exception):  # noqa: N818 - it reports a peer's failure, not an error of ours
    """Carries a `Failure` from the system call to the engine, which handles it."""

    def __init__(self, failure: Failure, detail: str = "") -> None:
        super().__init__(f"{failure} ({detail})" if detail else str(failure))
        self.failure = failure

    @classmethod
    def of(cls, phase: Phase, error: OSError) -> "ConnectionFailed":
        """Return what the operating system's ``error`` means in ``phase``, with its words."""
        return cls(Failure.of(phase, error), str(error))
