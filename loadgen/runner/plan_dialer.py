"""Makes the dialer of a Plan: for its engine, and for the probe, which has none."""

from loadgen.net.address import Endpoint
from loadgen.net.dialer import EndpointDialer, SocketDialer, SocketFactory
from loadgen.net.transport import SocketOptions
from loadgen.net.udp import UdpDialer
from loadgen.net.unpatched import original
from loadgen.plan import Plan


def dialer_of(
    plan: Plan, endpoint: Endpoint, factory: SocketFactory | None, *, stamped: bool
) -> EndpointDialer:
    """Return the dialer of ``plan``; the kernel timestamps replies if they are ``stamped``.

    Raises UsageError for a file, or a value, of TLS that is not accepted.
    """
    options = SocketOptions(
        nagle=plan.nagle,
        send_buffer_bytes=plan.send_buffer_bytes,
        receive_buffer_bytes=plan.receive_buffer_bytes,
        stamp_every=plan.timestamp_sample if stamped else 0,
    )
    factory = factory or original("socket", "socket")
    if plan.is_datagram:
        return UdpDialer(endpoint, options, factory)
    sockets = SocketDialer(endpoint, options, factory)
    return _secured(plan, sockets) if plan.is_secure else sockets


def _secured(plan: Plan, sockets: SocketDialer) -> EndpointDialer:
    from loadgen.net.tls import TlsDialer  # noqa: PLC0415 - with OpenSSL
    from loadgen.net.tls_options import TlsOptions  # noqa: PLC0415

    host = plan.peer.host or str(sockets.endpoint.host)
    return TlsDialer(
        sockets,
        TlsOptions(
            server_name=plan.server_name or host,
            ca_file=plan.ca_file,
            cert_file=plan.cert_file,
            key_file=plan.key_file,
            insecure=plan.insecure,
            resume=plan.tls_resume,
            alpn=plan.protocols_offered,
            version=plan.tls_version,
            ciphers=plan.ciphers,
        ),
    )
