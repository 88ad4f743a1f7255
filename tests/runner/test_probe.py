"""The probe: when it runs, what it measures, and how it ends."""

import contextlib
import socket
import time
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from accounts import check
from command import loadgen as run_command
from places import SelfConnected, refusing_address, unix_listener
from servers import (
    DEADLINE_S,
    Peer,
    Script,
    ScriptedServer,
    answers_once,
    drips,
    echoes,
    never_answers,
    never_ends,
)

import loadgen
from loadgen.net.address import Endpoint
from loadgen.net.failure import Cause, ConnectionFailed
from loadgen.plan import Plan
from loadgen.plan import payloads as payload
from loadgen.plan.payloads import PayloadQueue
from loadgen.results.instruments import ProbeRecord
from loadgen.runner import probe
from loadgen.runner.probe import (
    FEW_MESSAGES,
    ControlChannel,
    Probe,
    ProbeConnection,
    is_wanted,
)

SECOND_NS = 10**9
LINE = b"PING\n"


@pytest.mark.parametrize(
    ("fields", "why_user_space", "wanted"),
    [
        ({}, "", False),
        ({}, "UNIX sockets have none", True),
        ({"probe": True}, "", True),
        ({"probe": True}, "UNIX sockets have none", True),
        ({"probe": False}, "UNIX sockets have none", False),
        ({"probe": True, "reply": "none"}, "there are no replies", False),
        ({"reply": "none"}, "there are no replies", False),
        ({"connections": 1}, "UNIX sockets have none", False),
        ({"rate": 1000}, "UNIX sockets have none", False),
        ({"rate": 1001}, "UNIX sockets have none", True),
        ({"rate": "1..5k/1s"}, "UNIX sockets have none", True),
        ({"connections": 1, "rate": 5000}, "UNIX sockets have none", True),
        ({"messages": FEW_MESSAGES // 100}, "UNIX sockets have none", False),
        ({"messages": FEW_MESSAGES // 100 + 1}, "UNIX sockets have none", True),
    ],
    ids=str,
)
def test_which_plans_get_one(fields: dict[str, Any], why_user_space: str, wanted: bool) -> None:
    assert is_wanted(Plan(**fields), why_user_space) is wanted


def test_a_socket_connected_to_itself_is_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", SelfConnected)
    near, far = socket.socketpair()
    with near, far:
        prober = ProbeConnection(
            Plan(),
            PayloadQueue((b"x",)),
            Endpoint(socket.AF_INET, ("127.0.0.1", 1)),
            ControlChannel(near.fileno()),
        )
        with contextlib.closing(prober), pytest.raises(ConnectionFailed, match="to itself"):
            prober.connect()


def probes_of(process: psutil.Process) -> list[psutil.Process]:
    return [child for child in process.children() if "loadgen.runner.probe" in child.cmdline()]


def probed(server: ScriptedServer, **fields: Any) -> tuple[loadgen.RunRecord, ProbeRecord]:
    """Load ``server`` with a probe beside the load, of which nothing must be left."""
    load = {"connections": 3, "rate": 300, "duration_s": 0.3, "probe": True}
    record = loadgen.run(Plan(target=server.address, **{**load, **fields}))
    check(record)
    assert record.outcome == "completed"
    assert record.failures == []
    assert record.actual.messages > 0
    assert probes_of(psutil.Process()) == []
    assert record.probe is not None
    return record, record.probe


def test_it_measures_beside_the_load() -> None:
    with ScriptedServer(echoes) as server:
        record, probe = probed(server, warmup_s=0.2)
        server.settle(4)
    assert probe.failure == ""
    assert probe.requests == probe.latency_ns.count > 0
    assert probe.latency_ns.min is not None
    assert probe.latency_ns.max is not None
    assert 0 < probe.latency_ns.min <= probe.latency_ns.max < 20 * SECOND_NS
    asked = sum(len(stream) for stream in server.streams) - record.actual.bytes_sent
    assert asked >= 64 * probe.requests  # more, if it had begun before the load


@pytest.mark.parametrize("timestamps", ["user", "auto"])
def test_it_runs_by_default_without_kernel_timestamps(timestamps: str, tmp_path: Path) -> None:
    listener = unix_listener(tmp_path / "echo") if timestamps == "auto" else None
    with ScriptedServer(echoes, listener) as server:
        _, probe = probed(server, probe=None, timestamps=timestamps, rate="1..2k/300ms")
    assert (probe.failure, probe.requests > 0) == ("", True)


def speaks_lines(peer: Peer) -> None:
    """Greet, then answer lines in two pieces."""
    hello = peer.receive_exactly(6)
    peer.send(b"welcome\r\n" if hello == b"HELLO\n" else b"who are you?\r\n")
    while peer.receive_exactly(len(LINE)):
        peer.send(b"+PO")
        peer.send(b"NG\r\n")


def answers_hello_alike(peer: Peer) -> None:
    while data := peer.receive_exactly(len(LINE)):
        peer.send(data + b"\r\n")


@pytest.mark.parametrize(
    ("script", "fields", "begins"),
    [
        (speaks_lines, {"first_message": b"HELLO\n"}, b"HELLO\n" + LINE),
        (answers_hello_alike, {}, LINE),
    ],
)
def test_it_sends_and_awaits_what_every_connection_does(
    script: Script, fields: dict[str, Any], begins: bytes
) -> None:
    with ScriptedServer(script) as server:
        _, probe = probed(server, payloads=(LINE,), reply=r"delimiter:\r\n", **fields)
    assert (probe.failure, probe.requests > 0) == ("", True)
    assert all(stream.startswith(begins) for stream in server.streams)
    assert len(server.streams) == 4


def test_it_connects_anew_where_a_reply_ends_the_connection() -> None:
    with ScriptedServer(answers_once(5, b"+PONG")) as server:
        record, probe = probed(server, payloads=(LINE,), reply="eof")
    assert (probe.failure, probe.requests > 0) == ("", True)
    assert server.accepted >= record.actual.opened + probe.requests


GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


def ends_unannounced_after(responses: int) -> Script:
    def script(peer: Peer) -> None:
        for _ in range(responses):
            peer.receive_exactly(len(GET))
            peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        peer.receive_exactly(len(GET))

    return script


def test_it_connects_anew_where_the_server_ends_a_connection_unannounced() -> None:
    with ScriptedServer(ends_unannounced_after(2)) as server:
        record, probe = probed(server, payloads=(GET,), reply="http")
    assert (probe.failure, probe.requests > 2) == ("", True)
    assert server.accepted > record.actual.opened + 1
    assert record.actual.resent > 0


def test_a_server_that_answers_on_no_connection_ends_it() -> None:
    others = ends_unannounced_after(1_000_000)
    with ScriptedServer(for_the_last_of_four(ends_unannounced_after(0), others)) as server:
        _, probe = probed(server, payloads=(GET,), reply="http")
    assert (probe.failure, probe.requests) == ("the server closed the connection", 0)
    assert server.accepted == 5, "once more, since the first one may have ended while it was idle"


def test_it_sends_what_came_by_standard_input() -> None:
    with ScriptedServer(echoes) as server:
        options = ("-c", "2", "-d", "0.3s", "--rate", "300", "--probe", "--json", "-")
        done = run_command(server.address, *options, "--payload-lines", "-", stdin=b"one\ntwo\n")
    assert done.record.probe is not None
    assert (done.record.probe.failure, done.record.probe.requests > 0) == ("", True)
    assert server.streams[-1].startswith(b"one")
    assert (b"onetwo" * 1000).startswith(server.streams[-1])


# ---- where it ends early --------------------------------------------------------------------


def for_the_last_of_four(script: Script, others: Script = echoes) -> Script:
    def choose(peer: Peer) -> None:
        (script if peer in peer.server.peers[3:] else others)(peer)

    return choose


def hangs_up(peer: Peer) -> None:
    peer.receive(1)


@pytest.mark.parametrize(
    ("script", "fields", "failure"),
    [
        (hangs_up, {}, "the server closed the connection|reset"),
        (never_answers, {"io_timeout_s": 2.0}, Cause.TIMEOUT.text),
        (drips, {"reply_timeout_s": 2.0}, Cause.REPLY_TIMEOUT.text),
        (never_ends, {"max_reply_bytes": 100_000}, Cause.REPLY_TOO_LONG.text),
    ],
)
def test_a_target_that_drops_it_ends_the_probe_and_not_the_run(
    script: Script, fields: dict[str, Any], failure: str
) -> None:
    form: dict[str, Any] = {"payloads": (LINE,), "reply": r"delimiter:\n", "drain_s": DEADLINE_S}
    with ScriptedServer(for_the_last_of_four(script)) as server:
        record, probe = probed(server, **form, **fields)
    assert any(words in probe.failure for words in failure.split("|"))
    assert record.actual.submitted > 0


WAITED = "it was still waiting for a reply when the run ended"


@pytest.mark.parametrize("reply", ["eof", r"delimiter:\n"])
@pytest.mark.parametrize("script", [drips, never_answers])
def test_a_target_that_keeps_it_waiting_does_not_delay_the_end(script: Script, reply: str) -> None:
    """No timeout of its own is short enough: it ends with the run, and says so."""
    plan = Plan(connections=3, reply=reply, drain_s=0.1, io_timeout_s=2 * DEADLINE_S, probe=True)
    with ScriptedServer(script) as server:
        record = loadgen.run(
            msgspec.structs.replace(plan, target=server.address, duration_s=DEADLINE_S),
            loadgen.Surroundings(should_stop=lambda: any(server.streams[3:])),
        )
    assert record.failures == []
    assert record.probe is not None
    assert (record.probe.requests, record.probe.failure) == (0, WAITED)


def test_a_run_that_is_stopped_does_not_wait_for_it_to_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that answers the first message of the load, and not that of the probe."""
    monkeypatch.setattr(probe, "_START_S", 10 * DEADLINE_S)
    began_s = time.monotonic()
    with ScriptedServer(for_the_last_of_four(never_answers)) as server:
        record = loadgen.run(
            Plan(target=server.address, connections=3, first_message=b"HELLO\n", probe=True),
            loadgen.Surroundings(should_stop=lambda: server.accepted == 4),
        )
    assert time.monotonic() - began_s < DEADLINE_S
    assert record.outcome == "interrupted"
    assert record.probe is not None
    assert record.probe.failure == WAITED


def test_a_target_that_refuses_it_is_named() -> None:
    """Its record is written before the run asks for it: the first output is the last one."""
    with refusing_address() as address:
        host, port = address.split(":")
        plan = Plan(target=address)
        endpoint = Endpoint(socket.AF_INET, (host, int(port)))
        with Probe(plan, payload.load(plan.payloads), endpoint) as probe:
            probe.begin()
            probe.end()
    assert probe.record is not None
    assert "refused" in probe.record.failure
    assert probe.record.requests == probe.record.latency_ns.count == 0


def test_an_unreachable_target_starts_none() -> None:
    started = []

    def observe(progress: loadgen.Progress) -> None:
        started.extend(probes_of(psutil.Process()))

    with refusing_address() as address, pytest.raises(loadgen.UnreachableTargetError) as caught:
        loadgen.run(
            Plan(target=address, connections=3, probe=True),
            loadgen.Surroundings(observe=observe),
        )
    assert caught.value.record.probe is None
    assert started == []
