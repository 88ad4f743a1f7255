"""Makes the dialer of a Plan: for its engine, and for the probe, which has none."""

from loadgen.net.address import Endpoint
from loadgen.net.dialer import SocketDialer, SocketFactory
from loadgen.net.transport import SocketOptions
from loadgen.net.udp import UdpDialer
from loadgen.net.unpatched import original
from loadgen.plan import Plan


def dialer_of(
    plan: Plan, endpoint: Endpoint, factory: SocketFactory | None, *, stamped: bool
) -> SocketDialer:
    """Return the dialer of ``plan``; the kernel timestamps replies if they are ``stamped``."""
    options = SocketOptions(
        nagle=plan.nagle,
        send_buffer_bytes=plan.send_buffer_bytes,
        receive_buffer_bytes=plan.receive_buffer_bytes,
        stamp_every=plan.timestamp_sample if stamped else 0,
    )
    kind = UdpDialer if plan.is_datagram else SocketDialer
    return kind(endpoint, options, factory or original("socket", "socket"))
