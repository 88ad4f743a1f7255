"""Addresses of a target: resolving its name, and finding the address that answers."""

import errno
import os
import socket
from typing import Any, NamedTuple

from loadgen.errors import UnreachableError, reason
from loadgen.net.failure import (
    Cause,
    Failure,
    Phase,
)
from loadgen.net.target import Target
from loadgen.text import escaped, quoted, unescaped

_LONGEST_PROBE_S = 60.0


class Endpoint(NamedTuple):
    """A resolved address: what `socket.socket` and `connect` need."""

    family: int
    address: Any

    @property
    def is_unix(self) -> bool:
        """Whether it is the path of a UNIX socket."""
        return self.family == getattr(socket, "AF_UNIX", None)

    def __str__(self) -> str:
        if self.is_unix:
            return str(Target(path=escaped(self.address)))
        return str(Target(host=self.host, port=self.address[1]))

    @property
    def host(self) -> str:
        """The numeric address without the port; of IPv6 with its scope, as in ``fe80::1%eth0``.

        RFC 4007, 11; a link-local address means nothing without it.
        """
        host = str(self.address[0])
        scope = self.address[3] if self.family == socket.AF_INET6 else 0
        if not scope or "%" in host:
            return host
        try:
            return f"{host}%{socket.if_indextoname(scope)}"
        except OSError:  # the interface is gone
            return f"{host}%{scope}"


def resolve(target: Target) -> list[Endpoint]:
    """Return the endpoints of ``target`` in the resolver's order of preference, one at least.

    Raises UnreachableError if the name does not resolve.
    """
    if target.is_unix:
        return [Endpoint(socket.AF_UNIX, unescaped(target.path))]
    kind = kind_of(is_datagram=target.is_datagram)
    try:
        found = socket.getaddrinfo(target.host, target.port, type=kind)
    except (OSError, UnicodeError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is not a valid host name"
        raise UnreachableError(f"cannot resolve {quoted(target.host)}: {why}") from None
    return [Endpoint(family, address) for family, _, _, _, address in found]


def kind_of(*, is_datagram: bool) -> int:
    """Return the type of the sockets of a target (socket(2))."""
    return socket.SOCK_DGRAM if is_datagram else socket.SOCK_STREAM


def first_reachable(
    endpoints: list[Endpoint], patience_s: float, *, is_datagram: bool = False
) -> Endpoint:
    """Return the first of ``endpoints`` that accepts a connection, or the only one there is.

    ``localhost`` is ::1 and 127.0.0.1, and many servers listen on one of them only. The attempt
    costs the server a connection that is closed at once. Raises UnreachableError if none accepts
    within ``patience_s`` seconds, which they share.

    Nobody accepts connections for datagrams, and only one of the load could be answered: then it is
    the first of them that there is a route to (connect(2)), and nothing is sent.
    """
    if len(endpoints) == 1:
        return endpoints[0]
    refusals = []
    kind = kind_of(is_datagram=is_datagram)
    share_s = min(patience_s, _LONGEST_PROBE_S) / len(endpoints)
    for endpoint in endpoints:
        try:
            with socket.socket(endpoint.family, kind) as probe:
                probe.settimeout(share_s)
                probe.connect(endpoint.address)
                refuse_self_connection(probe)
                return endpoint
        except OSError as error:
            failure = Failure.of(Phase.CONNECT, error)
            cause = Cause.TIMEOUT if isinstance(error, TimeoutError) else failure.cause
            refusals.append(f"{endpoint.host}: {cause.text}")
    raise UnreachableError(f"the target is unreachable: {'; '.join(refusals)}")


def refuse_self_connection(sock: Any) -> None:
    """Raise ConnectionRefusedError if ``sock`` has connected to itself.

    Where no process listens on a port of this machine within the range of ephemeral ports (ip(7),
    ip_local_port_range), the kernel may choose that very port as the source port, and the socket's
    SYN meets itself: a simultaneous open (RFC 9293, 3.5). Such a socket returns what is sent, as if
    it were an echo server.
    """
    try:
        name, peer = sock.getsockname(), sock.getpeername()
    except OSError:  # ENOTCONN: the server has reset it already; the next read reports that
        return
    # UNIX sockets have a path or nothing for a name, and both ends of a pair have nothing.
    if isinstance(name, tuple) and name == peer:
        why = f"{os.strerror(errno.ECONNREFUSED)}: it was connected to itself"
        raise ConnectionRefusedError(errno.ECONNREFUSED, why)
