import errno
import os
from collections.abc import Callable

import pytest

from loadgen.net.failure import (
    Cause,
    ConnectionFailed,
    Failure,
    Phase,
)

LOCAL = {
    *(Cause.USER_CODE, Cause.DENIED, Cause.DESCRIPTORS, Cause.ADDRESSES, Cause.MEMORY),
    Cause.DATAGRAM_TOO_LONG,
}


def error_of(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("ECONNREFUSED", Cause.REFUSED),
        ("ECONNRESET", Cause.RESET),
        ("ECONNABORTED", Cause.RESET),
        ("EPIPE", Cause.RESET),
        ("ETIMEDOUT", Cause.TIMEOUT),
        ("EHOSTUNREACH", Cause.UNREACHABLE),
        ("ENETUNREACH", Cause.UNREACHABLE),
        ("ENETDOWN", Cause.UNREACHABLE),
        ("ENOENT", Cause.NOT_FOUND),
        ("EACCES", Cause.DENIED),
        ("EPERM", Cause.DENIED),
        ("EMFILE", Cause.DESCRIPTORS),
        ("ENFILE", Cause.DESCRIPTORS),
        ("EADDRNOTAVAIL", Cause.ADDRESSES),
        ("ENOBUFS", Cause.MEMORY),
        ("ENOMEM", Cause.MEMORY),
        ("EISDIR", Cause.OTHER),
    ],
)
def test_an_errno_means_the_same_cause_in_every_phase(name: str, cause: Cause) -> None:
    error = error_of(getattr(errno, name))
    for phase in Phase:
        assert Failure.of(phase, error) == Failure(phase, cause)


def test_a_full_backlog_of_a_unix_socket_is_no_refusal() -> None:
    assert Failure.of(Phase.CONNECT, error_of(errno.EAGAIN)).cause is Cause.BACKLOG


def test_eagain_elsewhere_is_no_full_backlog() -> None:
    assert Failure.of(Phase.SEND, error_of(errno.EAGAIN)).cause is Cause.OTHER


def test_an_error_without_a_number_is_another_error() -> None:
    assert Failure.of(Phase.SEND, OSError("no number")).cause is Cause.OTHER


def test_only_limits_of_this_machine_are_local() -> None:
    assert {cause for cause in Cause if cause.is_local} == LOCAL


def test_no_two_causes_share_a_text() -> None:
    assert len({cause.text for cause in Cause}) == len(Cause)


@pytest.mark.parametrize("cause", Cause)
def test_a_cause_is_the_string_of_its_name(cause: Cause) -> None:
    assert cause == cause.name.lower()


@pytest.mark.parametrize("render", [str, lambda failure: str(ConnectionFailed(failure))])
def test_a_failure_reads_as_phase_and_text(render: Callable[[Failure], str]) -> None:
    assert render(Failure(Phase.CONNECT, Cause.REFUSED)) == "connect: connection refused"


def test_the_detail_is_for_the_log_and_leaves_the_failure_as_it_is() -> None:
    failure = Failure(Phase.RECEIVE, Cause.RESET)
    broken = ConnectionFailed(failure, "[Errno 104]")
    assert broken.failure is failure
    assert str(broken) == "receive: connection reset by the server ([Errno 104])"


@pytest.mark.parametrize("phase", Phase)
def test_only_a_rejected_reply_leaves_its_connection_as_it_is(phase: Phase) -> None:
    assert Failure(phase, Cause.REJECTED).is_rejection == (phase is Phase.REPLY)
