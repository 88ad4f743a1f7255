"""The kernel's own time of arrival: whether it is to be had, and what a read hands out of it."""

import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.net import timestamps
from loadgen.net.address import Endpoint
from loadgen.net.clock import ManualClock, wall_ns
from loadgen.net.dialer import SocketDialer
from loadgen.net.timestamps import (
    ANCILLARY_BYTES,
    MISSING,
    NoStampsError,
    keep_stamping,
    stamp_of,
)
from loadgen.net.transport import SocketOptions
from loadgen.units import NS_PER_S

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has stamps")

SECONDS, NANOSECONDS = 1_900_000_000, 123_456_789
STAMP = SECONDS.to_bytes(8, sys.byteorder) + NANOSECONDS.to_bytes(8, sys.byteorder)


def message(data: bytes) -> list[tuple[int, int, bytes]]:
    return [(socket.SOL_SOCKET, timestamps.OPTION, data)]


class TestControlMessages:
    def test_hold_seconds_and_nanoseconds(self) -> None:
        assert stamp_of(message(STAMP)) == SECONDS * NS_PER_S + NANOSECONDS

    def test_may_be_missing(self) -> None:
        assert stamp_of([]) == MISSING

    @given(st.binary(max_size=40).filter(lambda data: len(data) != len(STAMP)))
    def test_of_another_length_are_no_stamp(self, data: bytes) -> None:
        assert stamp_of(message(data)) == MISSING

    def test_that_are_no_time_cannot_be_taken_for_one(self) -> None:
        assert max(timestamps.NOT_ASKED, timestamps.MISSING, timestamps.UPPER_BOUND) <= 0


@on_linux
class TestKeeper:
    def test_passes_its_self_test(self) -> None:
        with keep_stamping(wall_ns):
            pass

    @pytest.mark.parametrize("error_ns", [-NS_PER_S, NS_PER_S], ids=["slow", "fast"])
    def test_does_not_believe_a_wall_clock_that_is_wrong(self, error_ns: int) -> None:
        with (
            pytest.raises(NoStampsError, match="self-test"),
            keep_stamping(lambda: wall_ns() + error_ns),
        ):
            raise AssertionError("it was to refuse")

    def test_does_not_wait_for_ever_where_the_wall_clock_stands_still(self) -> None:
        with pytest.raises(NoStampsError), keep_stamping(ManualClock(5)):
            raise AssertionError("it was to refuse")

    def test_lets_the_errors_of_others_pass(self) -> None:
        with pytest.raises(ZeroDivisionError), keep_stamping(wall_ns):
            raise ZeroDivisionError

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    def test_sees_to_it_that_the_first_byte_of_a_connection_has_a_stamp(self, host: str) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        if family == socket.AF_INET6 and not socket.has_dualstack_ipv6():
            pytest.skip("there is no IPv6 here")
        with keep_stamping(wall_ns), socket.create_server((host, 0), family=family) as listener:
            endpoint = Endpoint(family, listener.getsockname())
            dialer = SocketDialer(endpoint, SocketOptions(stamp_every=1), socket.socket)
            with dialer.dial().socket as ours, listener.accept()[0] as peer:
                ours.settimeout(20)
                before_ns = wall_ns()
                peer.sendall(b"x")
                _, ancillary, flags, _ = ours.recvmsg_into([bytearray(1)], ANCILLARY_BYTES)
                assert before_ns <= stamp_of(ancillary) <= wall_ns()
                assert not flags & socket.MSG_CTRUNC


@on_linux
def test_a_socket_that_was_not_asked_hands_out_none() -> None:
    with keep_stamping(wall_ns), socket.create_server(("127.0.0.1", 0)) as listener:
        dialer = SocketDialer(
            Endpoint(socket.AF_INET, listener.getsockname()), SocketOptions(), socket.socket
        )
        with dialer.dial().socket as ours, listener.accept()[0] as peer:
            ours.settimeout(20)
            peer.sendall(b"x")
            _, ancillary, _, _ = ours.recvmsg_into([bytearray(1)], ANCILLARY_BYTES)
            assert stamp_of(ancillary) == MISSING


def test_other_systems_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(NoStampsError, match="darwin"), keep_stamping(wall_ns):
        raise AssertionError("it was to refuse")
