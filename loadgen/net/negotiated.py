"""What the two ends of a secured connection have agreed on."""

from typing import NamedTuple, Protocol

from loadgen.net.transport import Transport


class Negotiated(NamedTuple):
    """The outcome of a handshake, in the names of the library.

    version: such as ``TLSv1.3``. cipher: the suite. protocol: the one that ALPN (RFC 7301) has
    chosen; empty for none. is_resumed: whether a session was resumed, without certificates.
    """

    version: str
    cipher: str
    protocol: str
    is_resumed: bool


class SecureTransport(Transport, Protocol):
    """A transport that shakes hands once it is connected.

    handshake_work_ns: the processor time that this process has spent on that.
    """

    handshake_work_ns: int

    @property
    def negotiated(self) -> Negotiated:
        """The outcome, once it is up."""
        ...
