"""Whole runs against correct servers: the record agrees with the counts of the server."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accounts import check, check_against, failures
from places import unix_listener
from servers import (
    ScriptedServer,
    answers_each,
    answers_once,
    byte_by_byte,
    echoes,
    in_two_halves,
    never_answers,
    reads_slowly,
)

import loadgen
from loadgen.net import backends
from loadgen.plan.profile import LONGEST_S
from loadgen.server.embedded import EmbeddedServer


def plan(**fields: Any) -> loadgen.Plan:
    return loadgen.Plan(**{"connections": 10, **fields})


def check_embedded(record: loadgen.RunRecord) -> None:
    check(record)
    assert record.target.embedded
    assert record.target.server == {
        "accepted": record.actual.opened,
        "closed": record.actual.closed,
        "bytes_received": record.actual.bytes_sent,
        "bytes_sent": record.actual.bytes_received,
    }


@pytest.fixture(scope="module")
def sink() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(("--sink",)) as server:
        yield server


@pytest.mark.parametrize("backend", ["auto", *backends.available()])
def test_every_backend_against_the_embedded_server(backend: str) -> None:
    record = loadgen.run(plan(messages=50, backend=backend, connections=200))
    check_embedded(record)
    assert record.backend == (backends.resolve("auto") if backend == "auto" else backend)
    assert record.outcome == "completed"
    assert record.actual.messages == record.actual.submitted == 10_000
    assert record.actual.bytes_received == 640_000
    assert record.connections.fairness == 1.0
    assert record.failures == []
    assert set(record.connections.ledger["state"]) == {"closed"}


def test_duration_only() -> None:
    record = loadgen.run(plan(duration_s=0.3))
    check_embedded(record)
    assert record.requested.messages_per_connection is None
    assert 0.3 <= record.actual.duration_s < 10
    assert record.actual.messages > 10
    assert record.failures == []


@pytest.mark.parametrize("limits", [(5, 30.0), (10**9, 0.2)], ids=["messages", "duration"])
def test_whichever_ends_first(limits: tuple[int, float]) -> None:
    messages, duration_s = limits
    record = loadgen.run(plan(messages=messages, duration_s=duration_s))
    check_embedded(record)
    if messages == 5:
        assert record.actual.messages == 50
        assert record.actual.duration_s < 30
    else:
        assert record.actual.duration_s >= 0.2
        assert 0 < record.actual.messages < 10 * messages


@pytest.mark.parametrize("messages", [1, 64, 100])
def test_pipelines(messages: int) -> None:
    record = loadgen.run(plan(messages=messages, pipeline=64, payloads=(b"some bytes",)))
    check_embedded(record)
    assert record.actual.messages == 10 * messages
    assert record.actual.bytes_sent == 100 * messages


def test_payloads_are_sent_in_turn_by_each_connection() -> None:
    payloads = (b"one", b"number two", b"3")
    with ScriptedServer(echoes) as server:
        record = loadgen.run(
            plan(target=server.address, messages=7, pipeline=2, payloads=payloads, verify=True)
        )
        check_against(record, server)
    assert set(server.streams) == {b"onenumber two3onenumber two3one"}
    assert failures(record) == {}


PREFIXED = b"\x00\x05hello"


@pytest.mark.parametrize(
    ("reply", "script"),
    [
        ("echo", echoes),
        ("echo", byte_by_byte),
        ("echo", in_two_halves),
        ("echo", reads_slowly),
        ("fixed:3", answers_each(12, b"yes")),
        ("fixed:1k", answers_each(12, bytes(1024))),
        (r"delimiter:\r\n", answers_each(12, b"+OK\r\n")),
        (r"delimiter:\r\n", byte_by_byte),
        ("length:u16", answers_each(12, PREFIXED)),
        ("length:u16be,header-included", answers_each(12, b"\x00\x07hello")),
        ("length:u32le", answers_each(12, b"\x01\0\0\0!")),
        ("length:u8", answers_each(12, b"\0")),
        ("length:u64", answers_each(12, bytes(7) + b"\x02ab")),
    ],
)
@pytest.mark.parametrize("pipeline", [1, 4])
def test_every_form_of_reply(reply: str, script: Any, pipeline: int) -> None:
    with ScriptedServer(script) as server:
        record = loadgen.run(
            plan(
                target=server.address,
                connections=3,
                messages=20,
                pipeline=pipeline,
                payloads=(b"12 bytes..\r\n",),
                reply=reply,
            )
        )
        check_against(record, server)
    assert record.outcome == "completed"
    assert record.actual.messages == 60
    assert failures(record) == {}


def test_a_reply_until_the_end_takes_a_connection_for_each_message() -> None:
    with ScriptedServer(answers_once(12, b"good bye")) as server:
        record = loadgen.run(
            plan(target=server.address, messages=5, payloads=(b"12 bytes..\r\n",), reply="eof")
        )
        check_against(record, server)
    assert record.actual.messages == record.actual.opened == 50
    assert set(record.connections.ledger["connects"]) == {5}
    assert failures(record) == {}


@pytest.mark.parametrize("pipeline", [1, 7])
def test_one_way_against_the_sink(sink: EmbeddedServer, pipeline: int) -> None:
    record = loadgen.run(plan(target=sink.address, messages=100, pipeline=pipeline, reply="none"))
    check(record)
    assert record.actual.messages == 1000
    assert (record.actual.bytes_sent, record.actual.bytes_received) == (64_000, 0)
    assert record.service_time_ns.count == record.user_space_latency_ns.count == 0
    assert record.connections.starved == 0


def test_one_way_bytes_are_those_the_sink_has_read() -> None:
    with EmbeddedServer(("--sink",)) as server:
        record = loadgen.run(plan(target=server.address, duration_s=0.2, reply="none"))
    check(record)
    assert server.counts.bytes_received == record.actual.bytes_sent > 0
    assert server.counts.accepted == server.counts.closed == record.actual.opened == 10


def test_first_message() -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(
            plan(
                target=server.address,
                messages=2,
                payloads=(b"message",),
                first_message=b"hello",
            )
        )
        check_against(record, server)
    assert set(server.streams) == {b"hellomessagemessage"}
    assert record.actual.messages == 20


def test_first_messages_are_counted_however_long_the_opening_takes() -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(
            plan(
                target=server.address,
                connections=5,
                connect_rate_per_s=3,
                messages=1,
                first_message=b"hello",
            )
        )
        assert record.actual.opening_s > 1
        check_against(record, server)


def test_messages_larger_than_all_buffers() -> None:
    record = loadgen.run(
        plan(
            connections=2,
            messages=3,
            payloads=(loadgen.SizePayload(3_000_000),),
            verify=True,
            send_buffer_bytes=8192,
            receive_buffer_bytes=8192,
        )
    )
    check_embedded(record)
    assert record.actual.bytes_received == 18_000_000
    assert record.failures == []


def test_unix_socket(tmp_path: Path) -> None:
    with ScriptedServer(echoes, unix_listener(tmp_path / "echo")) as server:
        record = loadgen.run(plan(target=server.address, messages=20))
        check_against(record, server)
    assert record.probe is None  # so few messages need none
    assert record.target.address == f"unix://{tmp_path / 'echo'}"
    assert record.actual.messages == 200


def ipv6_listener() -> socket.socket:
    try:
        return socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"this host has no ::1: {error}")


def test_ipv6() -> None:
    with ScriptedServer(echoes, ipv6_listener()) as server:
        assert server.address.startswith("[::1]:")
        record = loadgen.run(plan(target=server.address, messages=20))
        check_against(record, server)
    assert record.actual.messages == 200


def let_localhost_be(found: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def fake(host: Any, *arguments: Any, **options: Any) -> Any:
        return found if host == "localhost" else resolve(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", fake)


@pytest.mark.parametrize("connect_timeout_s", [3.5, LONGEST_S], ids=["usual", "endless"])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_name_with_two_families_and_a_server_on_one(
    family: int, connect_timeout_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    ipv6_listener().close()
    listener = ipv6_listener() if family == socket.AF_INET6 else None
    with ScriptedServer(echoes, listener) as server:
        port = server.name[1]
        found = [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]
        let_localhost_be(found, monkeypatch)
        record = loadgen.run(
            plan(target=f"localhost:{port}", messages=20, connect_timeout_s=connect_timeout_s)
        )
        check(record)
        server.settle(11)  # one of them found out which family answers
    assert record.target.address == f"localhost:{port}"
    assert record.target.resolved == server.address
    assert {record.target.resolved, *record.target.others} == {f"[::1]:{port}", f"127.0.0.1:{port}"}
    assert server.bytes_received == record.actual.bytes_sent


def test_a_family_that_this_machine_lacks_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(echoes) as server:
        found = [
            (9999, socket.SOCK_STREAM, 6, "", ("nowhere", 1)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", server.name),
        ]
        let_localhost_be(found, monkeypatch)
        record = loadgen.run(plan(target="localhost:1", messages=1))
    assert record.actual.messages == 10


def test_never_answering_is_cut_off_by_the_end_and_no_failure() -> None:
    with ScriptedServer(never_answers) as server:
        record = loadgen.run(plan(target=server.address, duration_s=0.1, drain_s=0.1, pipeline=3))
        check_against(record, server)
    assert record.outcome == "completed"
    assert failures(record) == {}
    assert record.actual.cut_off == record.actual.submitted == 30
    assert record.actual.drain_s >= 0.1
    assert record.connections.starved == 10
    assert record.connections.fairness is None
