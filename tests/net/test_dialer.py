"""Sockets as they are dialled: non-blocking, and set up as asked."""

import contextlib
import errno
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from places import SelfConnected, unix_listener

from loadgen.errors import UnreachableError
from loadgen.net.address import Endpoint, first_reachable, refuse_self_connection, resolve
from loadgen.net.dialer import SocketDialer
from loadgen.net.failure import ConnectionFailed
from loadgen.net.target import Target
from loadgen.net.transport import SocketOptions
from loadgen.net.udp import UdpDialer


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Endpoint(socket.AF_INET, listener.getsockname())


@pytest.mark.parametrize("nagle", [False, True])
def test_nagle_is_off_unless_it_is_asked_for(endpoint: Endpoint, nagle: bool) -> None:
    with closing(
        SocketDialer(endpoint, SocketOptions(nagle=nagle), socket.socket).dial()
    ) as transport:
        no_delay = transport.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert bool(no_delay) is not nagle


@pytest.mark.parametrize(
    ("field", "option"),
    [("send_buffer_bytes", socket.SO_SNDBUF), ("receive_buffer_bytes", socket.SO_RCVBUF)],
)
def test_buffers_have_the_size_that_is_asked_for(
    endpoint: Endpoint, field: str, option: int
) -> None:
    sizes = []
    for size_bytes in (8192, 32768):
        options = SocketOptions(**{field: size_bytes})  # type: ignore[arg-type]
        with closing(SocketDialer(endpoint, options, socket.socket).dial()) as transport:
            sizes.append(transport.socket.getsockopt(socket.SOL_SOCKET, option))
    # socket(7): Linux doubles what is asked for, others take it as it is.
    assert sizes in ([8192, 32768], [16384, 65536])


def test_a_dialled_socket_does_not_block(endpoint: Endpoint) -> None:
    with closing(SocketDialer(endpoint, SocketOptions(), socket.socket).dial()) as transport:
        assert transport.socket.getblocking() is False


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_a_socket_that_met_itself_is_refused(family: int, host: str) -> None:
    with SelfConnected(family, socket.SOCK_STREAM) as own:
        own.connect((host, 1))
        with pytest.raises(ConnectionRefusedError, match="to itself") as caught:
            refuse_self_connection(own)
    assert caught.value.errno == errno.ECONNREFUSED


def test_a_socket_with_another_end_is_not(endpoint: Endpoint, tmp_path: Path) -> None:
    with socket.create_connection(endpoint.address) as connected:
        refuse_self_connection(connected)
    for pair in (socket.socketpair(), socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)):
        with pair[0], pair[1]:
            refuse_self_connection(pair[0])
    with unix_listener(tmp_path / "echo") as listener, socket.socket(socket.AF_UNIX) as named:
        named.bind(str(tmp_path / "client"))
        named.connect(listener.getsockname())
        refuse_self_connection(named)


def test_a_socket_that_is_gone_already_has_no_other_end_to_look_at() -> None:
    with socket.socket() as unconnected:
        refuse_self_connection(unconnected)


def test_of_several_addresses_none_answers_by_meeting_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoints = [Endpoint(socket.AF_INET, ("127.0.0.1", port)) for port in (1, 2)]
    monkeypatch.setattr(socket, "socket", SelfConnected)
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1: connection refused"):
        first_reachable(endpoints, 5.0)


def test_of_several_addresses_of_datagrams_the_first_is_taken_and_nothing_sent() -> None:
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)
        ]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
            each.setblocking(False)
        endpoints = [Endpoint(socket.AF_INET, each.getsockname()) for each in sockets]
        assert first_reachable(endpoints, 5.0, is_datagram=True) == endpoints[0]
        for each in sockets:
            with pytest.raises(BlockingIOError):
                each.recv(9)


def test_a_name_of_datagrams_need_have_no_stream() -> None:
    [endpoint] = resolve(Target.parse("udp://127.0.0.1:53"))
    assert str(endpoint) == "127.0.0.1:53"


def test_a_udp_socket_that_meets_itself_is_refused() -> None:
    endpoint = Endpoint(socket.AF_INET, ("127.0.0.1", 1))
    transport = UdpDialer(endpoint, SocketOptions(), SelfConnected).dial()
    with closing(transport), pytest.raises(ConnectionFailed, match="to itself"):
        transport.progress()


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        (Endpoint(socket.AF_INET, ("127.0.0.1", 80)), "127.0.0.1:80"),
        (Endpoint(socket.AF_INET6, ("::1", 80, 0, 0)), "[::1]:80"),
        (Endpoint(socket.AF_INET6, ("fe80::1", 80, 0, 2**31 - 1)), "[fe80::1%2147483647]:80"),
        (Endpoint(socket.AF_UNIX, "/run/x"), "unix:///run/x"),
    ],
)
def test_an_endpoint_is_written_as_a_target(endpoint: Endpoint, text: str) -> None:
    assert str(endpoint) == text
    assert str(Target.parse(text)) == text


def test_the_scope_of_an_address_is_kept() -> None:
    """It is the number of an interface, and is written by its name; here that of the loopback."""
    name = socket.if_indextoname(1)
    target = Target.parse(f"[fe80::1%{name}]:80")
    [endpoint] = resolve(target)
    assert endpoint.address[3] == 1
    assert str(endpoint) == str(target)
