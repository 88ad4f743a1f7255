"""The opening of a run: it ends however the target behaves, and the load begins."""

from typing import Any

import pytest
from accounts import check, check_against, failures
from places import full_backlog
from servers import Peer, ScriptedServer, answers_each, echoes, never_answers

import loadgen
from loadgen.net import backends, descriptors


def load(server: ScriptedServer, **fields: Any) -> loadgen.RunRecord:
    return loadgen.run(loadgen.Plan(target=server.address, **fields))


def late_greeter(peer: Peer) -> None:
    """Let each first message wait until five have come, then echo for ever."""
    peer.receive_exactly(5)
    with peer.server.changed:
        peer.server.changed.wait_for(lambda: peer.server.bytes_received >= 25, 20)
    peer.send(b"hello")
    echoes(peer)


def test_a_target_that_never_accepts_is_unreachable_although_the_run_would_reconnect() -> None:
    with full_backlog() as endpoint:
        target = "{}:{}".format(*endpoint.address)
        with pytest.raises(loadgen.UnreachableTargetError) as caught:
            loadgen.run(
                loadgen.Plan(
                    target=target,
                    connections=3,
                    connect_timeout_s=0.2,
                    duration_s=0.1,
                    reconnect=True,
                )
            )
    assert caught.value.record.outcome == "unreachable"


def test_first_messages_that_are_never_answered_do_not_delay_the_run() -> None:
    with (
        ScriptedServer(never_answers) as server,
        pytest.raises(loadgen.UnreachableTargetError) as caught,
    ):
        load(server, connections=100, first_message=b"hello", io_timeout_s=0.3, duration_s=0.1)
    record = caught.value.record
    assert failures(record) == {"receive: timeout": 100}
    assert record.actual.opening_s < 15  # one after the other they would wait 30 s


def test_first_messages_under_way_do_not_slow_a_connect_rate() -> None:
    with ScriptedServer(late_greeter) as server:
        record = load(
            server, connections=5, first_message=b"hello", connect_rate_per_s=1000, messages=2
        )
        check_against(record, server)
    assert record.actual.messages == 10
    assert record.actual.connect_rate_per_s > 0


def test_the_server_may_speak_first_and_in_a_form_of_its_own() -> None:
    def banner(peer: Peer) -> None:
        peer.send(b"220 ready\r\n")
        echoes(peer)

    with ScriptedServer(banner) as server:
        record = load(server, connections=3, greeting=r"delimiter:\r\n", messages=4, probe=True)
    assert record.failures == []
    assert record.actual.messages == 12
    assert record.actual.bytes_received - record.actual.bytes_sent == 3 * len("220 ready\r\n")
    assert record.probe is not None
    assert record.probe.failure == ""


def test_a_first_message_waits_for_what_the_server_says_first() -> None:
    """SMTP: a server that is spoken to before it has greeted may hang up (RFC 5321, 4.3.1)."""
    said: list[bytes] = []

    def greets_late(peer: Peer) -> None:
        is_early = peer.hears_within(0.2)
        peer.send(b"220 ready\r\n")
        said.append(peer.receive_exactly(8) + b" too early" * is_early)
        peer.send(b"250-x\r\n250 OK\r\n")
        answers_each(6, b"250 OK\r\n")(peer)

    with ScriptedServer(greets_late) as server:
        record = load(
            server,
            greeting=r"delimiter:\r\n",
            first_message=b"EHLO x\r\n",
            first_reply=r"delimiter:250 OK\r\n",
            payloads=(b"NOOP\r\n",),
            reply=r"delimiter:\r\n",
            expect=("250",),
            connections=1,
            messages=4,
        )
    assert failures(record) == {}
    assert record.actual.messages == 4
    assert said == [b"EHLO x\r\n"]


def test_one_way_messages_may_follow_a_greeting() -> None:
    def banner(peer: Peer) -> None:
        peer.send(b"220 ready\r\n")
        peer.receive_all()

    with ScriptedServer(banner) as server:
        record = load(server, connections=2, greeting=r"delimiter:\r\n", reply="none", messages=5)
    assert record.failures == []
    assert (record.actual.connections, record.actual.messages) == (2, 10)


def test_a_server_that_never_speaks_first_is_told_of() -> None:
    with (
        ScriptedServer(echoes) as server,
        pytest.raises(loadgen.UnreachableTargetError) as caught,
    ):
        load(server, connections=2, greeting=r"delimiter:\n", io_timeout_s=0.3, messages=1)
    record = caught.value.record
    assert failures(record) == {"receive: timeout": 2}
    assert (record.actual.connections, record.actual.messages) == (0, 0)


def test_failures_of_the_opening_stand_in_an_interval_before_the_load() -> None:
    hung_up: list[Peer] = []

    def second_hangs_up(peer: Peer) -> None:
        hung_up.append(peer)
        if len(hung_up) != 2:
            peer.receive_exactly(5)
            peer.send(b"hello")
            echoes(peer)

    with ScriptedServer(second_hangs_up) as server:
        record = load(server, connections=3, first_message=b"hello", duration_s=0.2)
    check(record)
    opening, *others = record.intervals
    assert (opening.stage, opening.failures) == ("opening", 1)
    assert opening.start_s == pytest.approx(-opening.duration_s)
    assert sum(interval.failures for interval in others) == 0
    assert record.failures[0].first_s <= 0


def test_select_takes_as_many_as_it_can() -> None:
    taken = 5  # three pipes to the embedded server, two sockets that keep the kernel stamping
    largest = descriptors.free_below(backends.FD_SETSIZE) - taken
    record = loadgen.run(loadgen.Plan(connections=largest, backend="select", messages=1))
    assert record.actual.messages == largest


def test_select_refuses_one_more_than_it_can() -> None:
    with ScriptedServer(echoes) as server:
        one_more = descriptors.free_below(backends.FD_SETSIZE) + 1
        with pytest.raises(loadgen.LocalLimitError, match=r"select\(2\) can handle"):
            load(server, connections=one_more, backend="select")
    assert server.accepted == 0
