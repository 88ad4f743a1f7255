"""UDP: connected sockets, one datagram a message.

Facts. A connected UDP socket (udp(7)) receives from its peer alone, and is told of errors: where
nobody listens, the peer's system answers with ICMP port unreachable, and the next call on the
socket, whichever it is, raises ECONNREFUSED. There is no end of the stream: a read of 0 bytes is an
empty datagram. A datagram that finds the receive buffer full is dropped by the kernel, which counts
that for each socket (SO_MEMINFO; net/core/sock.c, ``sk_get_meminfo``).

Decision. A refusal is a failure of the connection, in the phase of receiving: it says that nobody
is there, not which of the messages was refused. So a server that is down is tried again with the
connection's back-off, and never as fast as messages can be sent. What this machine has dropped is
read from the socket itself. The sums of /proc/net/snmp would do for a client alone on its machine,
but over loopback they hold what the server's sockets have dropped, too.
"""

import errno
import socket
import struct
import sys
from typing import Any, Final

from loadgen.net.address import Endpoint, refuse_self_connection
from loadgen.net.dialer import SocketDialer, SocketFactory
from loadgen.net.transport import SocketOptions, SocketTransport

LARGEST_BYTES: Final = 65_507
"""The most that a datagram over IPv4 holds: 65 535 bytes less the headers of IP and UDP."""

_SO_MEMINFO: Final = 55  # asm-generic/socket.h, since Linux 4.12
_MEMINFO: Final = struct.Struct("9I")
_DROPS: Final = 8  # SK_MEMINFO_DROPS (linux/sock_diag.h)


class UdpTransport(SocketTransport):
    """A connected UDP socket; it is up as soon as it has an address."""

    __slots__ = ()

    kind = socket.SOCK_DGRAM
    under_way = frozenset({0, errno.EINTR})

    def _check_peer(self) -> None:
        refuse_self_connection(self.socket)

    @property
    def dropped(self) -> int:
        """How many datagrams the kernel has dropped on arrival; 0 where it does not say."""
        return _dropped(self.socket)


def _dropped(sock: Any) -> int:
    if not sys.platform.startswith("linux"):
        return 0
    try:
        drops: int = _MEMINFO.unpack(
            sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        )[_DROPS]
    except (OSError, struct.error):
        return 0
    return drops


class UdpDialer(SocketDialer):
    """Makes connected UDP sockets to ``endpoint``."""

    def __init__(
        self, endpoint: Endpoint, options: SocketOptions, socket_factory: SocketFactory
    ) -> None:
        super().__init__(endpoint, options, socket_factory)
        self._transport = UdpTransport
