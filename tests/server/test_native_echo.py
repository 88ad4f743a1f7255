"""The native module of the server: its one function, on sockets and on what is not one."""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from selectors import EVENT_READ, EVENT_WRITE, SelectorKey
from typing import Any

import pytest
from echoing import receive_exactly
from native_build import SANITIZERS, build, check_sanitized, with_built

Found = tuple[SelectorKey, int]
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def echo() -> Any:
    return pytest.importorskip("loadgen.server._native", reason="it is not built").echo


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """Three connections, each with its peer; none of them waits."""
    with contextlib.ExitStack() as stack:
        made = [socket.socketpair() for _ in range(3)]
        for end in (end for pair in made for end in pair):
            stack.enter_context(end).setblocking(False)
        yield made


def found(descriptor: int, events: int = EVENT_READ, data: object = "connection") -> Found:
    return SelectorKey(descriptor, descriptor, EVENT_READ, data), events


def all_found(pairs: list[Pair]) -> list[Found]:
    return [found(ours.fileno()) for ours, _ in pairs]


def test_it_sends_back_what_each_connection_has_sent(echo: Any, pairs: list[Pair]) -> None:
    for number, (_, peer) in enumerate(pairs):
        peer.send(b"%d" % number * (number + 1))
    assert echo(all_found(pairs), 0, bytearray(64), False) == (3, 6, 6, 0, 0)
    assert [peer.recv(64) for _, peer in pairs] == [b"0", b"11", b"222"]


def test_a_sink_only_reads(echo: Any, pairs: list[Pair]) -> None:
    for _, peer in pairs:
        peer.send(b"request")
    assert echo(all_found(pairs), 0, bytearray(64), True) == (3, 21, 0, 0, 0)
    for ours, peer in pairs:
        for end in (ours, peer):
            with pytest.raises(BlockingIOError):
                end.recv(1)


def closed(ours: socket.socket, _: socket.socket) -> Found:
    number = ours.fileno()
    ours.close()
    return found(number)


def ended(ours: socket.socket, peer: socket.socket) -> Found:
    ours.recv(64)
    peer.close()
    return found(ours.fileno())


def silent(ours: socket.socket, _: socket.socket) -> Found:
    ours.recv(64)
    ours.setblocking(True)  # not even then does a read wait
    return found(ours.fileno())


@pytest.mark.parametrize(
    "make",
    [
        lambda ours, _: found(ours.fileno(), data=None),
        lambda ours, _: found(ours.fileno(), EVENT_WRITE),
        lambda ours, _: found(ours.fileno(), EVENT_READ | EVENT_WRITE),
        lambda *_: found(-1),
        lambda *_: found(1 << 31),
        closed,
        ended,
        silent,
    ],
    ids=["no data", "write", "both", "negative", "too high", "closed", "ended", "silent"],
)
def test_it_stops_at_all_else_and_goes_on_behind_it(
    echo: Any, pairs: list[Pair], make: Callable[[socket.socket, socket.socket], Found]
) -> None:
    for _, peer in pairs:
        peer.send(b"request")
    ready = all_found(pairs)
    ready[1] = make(*pairs[1])
    assert echo(ready, 0, bytearray(64), False) == (1, 7, 7, 0, 0)
    assert echo(ready, 1, bytearray(64), False) == (1, 0, 0, 0, 0)
    assert echo(ready, 2, bytearray(64), False) == (3, 7, 7, 0, 0)
    assert [pairs[each][1].recv(64) for each in (0, 2)] == [b"request", b"request"]


def test_what_the_kernel_does_not_take_is_left_in_the_buffer(echo: Any, pairs: list[Pair]) -> None:
    ours, peer = pairs[1]
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    ready = all_found(pairs)[1:]
    buffer = bytearray(1 << 16)
    expected, answered, unsent = b"", b"", b""
    while not unsent:
        message = bytes(len(expected) % 251 for _ in range(1000))
        peer.send(message)
        done, received, sent, start, end = echo(ready, 0, buffer, False)
        assert received == len(message)
        assert (start, end) in ((0, 0), (sent, received))
        assert done == (0 if end else 1)  # the connection behind it has sent nothing
        expected += message
        unsent = bytes(buffer[start:end])
    while len(answered) + len(unsent) < len(expected):
        answered += peer.recv(1 << 20)
    assert answered + unsent == expected


def test_a_peer_that_has_gone_costs_no_byte_and_no_signal(echo: Any, pairs: list[Pair]) -> None:
    pairs[0][1].send(b"last words")
    pairs[0][1].close()
    buffer = bytearray(64)
    signals: list[int] = []
    before = signal.signal(signal.SIGPIPE, lambda number, _: signals.append(number))
    try:
        assert echo(all_found(pairs), 0, buffer, False) == (0, 10, 0, 0, 10)
    finally:
        signal.signal(signal.SIGPIPE, before)
    assert buffer[:10] == b"last words"
    assert not signals


def test_a_descriptor_used_anew_is_what_it_stands_for_now(echo: Any, pairs: list[Pair]) -> None:
    ready = all_found(pairs)
    os.dup2(pairs[2][0].fileno(), pairs[0][0].fileno())
    pairs[2][1].send(b"request")
    assert echo(ready[:1], 0, bytearray(64), False) == (1, 7, 7, 0, 0)
    assert receive_exactly(pairs[2][1], 7) == b"request"


def test_it_reads_no_more_than_the_buffer_holds(echo: Any, pairs: list[Pair]) -> None:
    memory = bytearray(b"-" * 24)
    pairs[0][1].send(bytes(range(20)))
    for size in (8, 8, 4):
        with memoryview(memory)[8:16] as buffer:
            assert echo(all_found(pairs[:1]), 0, buffer, False) == (1, size, size, 0, 0)
    assert memory[:8] == memory[16:] == b"-" * 8
    assert pairs[0][1].recv(64) == bytes(range(20))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), TypeError),
        (((), 0, bytearray(8), False), TypeError),
        (([], "0", bytearray(8), False), TypeError),
        (([], 0, b"read only", False), (TypeError, BufferError)),
        (([], 0, bytearray(), False), ValueError),
        (([], 1, bytearray(8), False), ValueError),
        (([], -1, bytearray(8), False), ValueError),
        (([7], 0, bytearray(8), False), TypeError),
        (([(found(0)[0],)], 0, bytearray(8), False), TypeError),
        (([((0, 0, 1), 1)], 0, bytearray(8), False), TypeError),
        (([(found(0)[0], None)], 0, bytearray(8), False), TypeError),
        (([((0, "0", 1, ""), 1)], 0, bytearray(8), False), TypeError),
        (([found(1 << 80)], 0, bytearray(8), False), OverflowError),
    ],
)
def test_what_no_selector_returns_is_refused(
    echo: Any, arguments: tuple[object, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        echo(*arguments)


@pytest.mark.parametrize("arguments", [([7],), ([found(0, EVENT_WRITE)],), ([],)])
def test_no_reference_is_kept(echo: Any, arguments: tuple[list[object]]) -> None:
    ready = arguments[0]
    buffer = bytearray(8)
    before = [sys.getrefcount(each) for each in (ready, buffer, *ready)]
    for _ in range(100):
        with contextlib.suppress(TypeError):
            echo(ready, 0, buffer, False)
    assert [sys.getrefcount(each) for each in (ready, buffer, *ready)] == before
    buffer.append(0)  # which nobody has kept open


@pytest.mark.timeout(180)  # it compiles, and starts Python with all memory watched
def test_address_and_undefined_behaviour_sanitizers_find_nothing(tmp_path: Path) -> None:
    build("loadgen.server._native", tmp_path, *SANITIZERS)
    environment = {**os.environ, **with_built(tmp_path)}
    arguments = ("-k", "not sanitizers", __file__)
    said = check_sanitized(environment, tmp_path / "t", 150, *arguments)
    assert " skipped" not in said
