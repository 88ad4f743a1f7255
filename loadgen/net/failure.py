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
    MISMATCH = "mismatch", "the echo differs from what was sent"
    BACKLOG = "backlog", "the listener's backlog is full; --connect-rate opens more slowly"
    NOT_FOUND = "not_found", "no such socket path"
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


class Failure(NamedTuple):
    """One way in which a connection failed, or a reply was rejected."""

    phase: Phase
    cause: Cause

    @classmethod
    def of(cls, phase: Phase, error: OSError) -> "Failure":
        """Return the failure that the operating system's ``error`` means in ``phase``."""
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
