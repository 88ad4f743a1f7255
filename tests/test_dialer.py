"""Sockets as they are dialled: non-blocking, and set up as asked."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from loadgen.core.dialer import Dialer, Endpoint, SocketOptions


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Endpoint(socket.AF_INET, listener.getsockname())


@pytest.mark.parametrize("nagle", [False, True])
def test_nagle_is_off_unless_it_is_asked_for(endpoint: Endpoint, nagle: bool) -> None:
    with closing(Dialer(endpoint, SocketOptions(nagle=nagle), socket.socket).dial()) as dialled:
        no_delay = dialled.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
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
        with closing(Dialer(endpoint, options, socket.socket).dial()) as dialled:
            sizes.append(dialled.getsockopt(socket.SOL_SOCKET, option))
    # socket(7): Linux doubles what is asked for, others take it as it is.
    assert sizes in ([8192, 32768], [16384, 65536])


def test_a_dialled_socket_does_not_block(endpoint: Endpoint) -> None:
    with closing(Dialer(endpoint, SocketOptions(), socket.socket).dial()) as dialled:
        assert dialled.getblocking() is False
