"""The source of arrival times: which one each plan gets, and what is refused."""

import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from loadgen.errors import LocalLimitError, UsageError
from loadgen.net.address import Endpoint
from loadgen.net.clock import Clock, wall_ns
from loadgen.plan import Plan
from loadgen.runner.assembly import kernel_timestamps

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has stamps")

TCP = Endpoint(socket.AF_INET, ("127.0.0.1", 9))
UNIX = Endpoint(socket.AF_UNIX, "/nowhere")


def wrong() -> int:
    """A wall clock that is an hour slow, so that no stamp can be right."""
    return wall_ns() - 3_600_000_000_000


def reason(endpoint: Endpoint = TCP, wall_clock: Clock = wall_ns, **options: Any) -> str:
    with kernel_timestamps(Plan(**options), endpoint, wall_clock) as why_not:
        return why_not


@on_linux
@pytest.mark.parametrize("timestamps", ["auto", "kernel"])
@pytest.mark.parametrize("reply", ["echo", "fixed:5", r"delimiter:\n", "eof"])
def test_over_tcp_it_is_the_kernel(timestamps: str, reply: str) -> None:
    assert reason(timestamps=timestamps, reply=reply) == ""


@pytest.mark.parametrize("endpoint", [TCP, UNIX], ids=["tcp", "unix"])
def test_it_is_this_process_where_the_user_asks_for_it(endpoint: Endpoint) -> None:
    assert reason(endpoint, timestamps="user") == "as --timestamps user asks"


OBSTACLES = pytest.mark.parametrize(
    ("endpoint", "reply", "expected"),
    [
        (UNIX, "echo", "UNIX sockets have none"),
        (TCP, "none", "there are no replies"),
    ],
    ids=["unix", "none"],
)


@OBSTACLES
def test_it_is_this_process_where_there_can_be_no_stamp(
    endpoint: Endpoint, reply: str, expected: str
) -> None:
    assert reason(endpoint, reply=reply) == expected


@OBSTACLES
def test_requiring_the_kernel_is_refused_there(
    endpoint: Endpoint, reply: str, expected: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        reason(endpoint, reply=reply, timestamps="kernel")
    assert str(refusal.value) == f"--timestamps kernel: {expected}; use auto or user"


def test_it_is_this_process_where_the_kernel_does_not_pass_the_self_test() -> None:
    assert reason(wall_clock=wrong) != ""


def test_requiring_it_there_is_a_local_limit() -> None:
    with pytest.raises(LocalLimitError, match=r"^--timestamps kernel: .*; use auto or user$"):
        reason(wall_clock=wrong, timestamps="kernel")


@on_linux
@pytest.mark.parametrize("endpoint", [TCP, UNIX], ids=["kept", "not kept"])
def test_nothing_is_left_open(endpoint: Endpoint) -> None:
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    with pytest.raises(ZeroDivisionError), kernel_timestamps(Plan(), endpoint, wall_ns):
        raise ZeroDivisionError
    assert len(list(descriptors.iterdir())) == before
