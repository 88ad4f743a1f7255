"""What a run does and says about its handshakes: times, time-outs, resumption, the loop beside."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from accounts import check
from secured import CA, CERTIFICATES, Secured, needs_openssl, server_context
from servers import Peer, ScriptedServer, echoes

import loadgen
from loadgen.analysis.lines import Line
from loadgen.analysis.merge import merge
from loadgen.analysis.summary import summarise
from loadgen.plan import Plan
from loadgen.results.record import RunRecord, from_json
from loadgen.runner.run import UnreachableTargetError


def run(server: ScriptedServer, **fields: Any) -> RunRecord:
    limits: dict[str, Any] = {"connections": 1, "messages": 5, "ca_file": CA, "probe": False}
    record = loadgen.run(Plan(target=f"tls://{server.address}", **(limits | fields)))
    check(record)
    return record


def answers_once(peer: Peer) -> None:
    peer.receive()
    peer.send(b"the whole reply")


def text_of(lines: list[Line]) -> str:
    return "\n".join(line.text for line in lines)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("resumes", [True, False], ids=["resumed", "full"])
def test_sessions_are_resumed_where_that_is_asked_for(version: str, resumes: bool) -> None:
    with ScriptedServer(Secured(answers_once, server_context(version=version))) as server:
        record = run(server, reply="eof", tls_resume=resumes)
    tls = record.tls
    assert tls is not None
    assert record.failures == []
    resumed = 4 if resumes else 0
    assert (tls.full_ns.count, tls.resumed_ns.count) == (5 - resumed, resumed)
    assert tls.versions == {f"TLSv{version}": 5}
    assert ("1 full and 4 resumed" in text_of(summarise(record))) == resumes


def test_a_record_says_what_was_agreed_on_and_the_summary_shows_it() -> None:
    context = server_context(version="1.2")
    context.set_alpn_protocols(["chosen"])
    cipher = "ECDHE-ECDSA-AES128-GCM-SHA256"
    with ScriptedServer(Secured(echoes, context)) as server:
        record = run(server, connections=3, alpn=("chosen",), ciphers=cipher)
    tls = record.tls
    assert tls is not None
    assert (tls.versions, tls.ciphers, tls.protocols) == (
        {"TLSv1.2": 3},
        {cipher: 3},
        {"chosen": 3},
    )
    assert tls.full_ns.count == record.connect_latency_ns.count == 3
    assert tls.work_s + (tls.full_ns.min or 0) > 0
    assert from_json(record.to_json()).tls == tls
    shown = text_of(summarise(record))
    assert f"TLSv1.2, {cipher}, ALPN chosen; handshakes: 3 full" in shown
    assert "--insecure" not in shown


def test_summary_and_page_say_that_no_certificate_was_verified() -> None:
    sections = pytest.importorskip("reports.sections")
    with ScriptedServer(Secured(echoes, server_context("expired"))) as server:
        record = run(server, insecure=True, ca_file=None)
    assert "--insecure" in text_of(summarise(record))
    assert "TLS with any certificate (--insecure)" in sections.plan_line(record)
    said = {row.what: row.requested for row in sections.beside(record)}
    assert said["TLS"] == "any certificate (--insecure)"


def test_workers_handshakes_add_up() -> None:
    with ScriptedServer(Secured(answers_once)) as server:
        records = {
            name: run(server, reply="eof", tls_resume=True, messages=count)
            for name, count in (("a", 2), ("b", 3))
        }
    plain = msgspec.structs.replace(records["a"], tls=None)  # as an older worker writes it
    tls = merge(records | {"c": plain}).tls
    assert tls is not None
    assert (tls.full_ns.count, tls.resumed_ns.count) == (2, 3)
    assert tls.versions == {"TLSv1.3": 5}


def never_says_hello(peer: Peer) -> None:
    peer.receive_all()


def test_a_handshake_has_a_time_limit_of_its_own() -> None:
    limits = {"connect_timeout_s": 60.0, "handshake_timeout_s": 0.1}
    with ScriptedServer(never_says_hello) as server, pytest.raises(UnreachableTargetError) as lost:
        run(server, **limits)
    assert [str(each.phase) for each in lost.value.record.failures] == ["secure"]
    assert str(lost.value).endswith("secure: no progress in time (all 1 attempts)")


def test_a_connect_that_is_slow_is_not_the_handshakes() -> None:
    """The listener's backlog is full: the kernel drops what would begin one (listen(2))."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        host, port = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex((host, port))
            plan = Plan(
                target=f"tls://{host}:{port}",
                connections=1,
                messages=1,
                ca_file=CA,
                probe=False,
                connect_timeout_s=0.1,
                handshake_timeout_s=60.0,
            )
            with pytest.raises(UnreachableTargetError) as lost:
                loadgen.run(plan)
        finally:
            for filler in fillers:
                filler.close()
    assert "connect: no progress in time" in str(lost.value)


@contextmanager
def s_server(*words: str) -> Iterator[str]:
    """OpenSSL's own server; yields where it listens."""
    certificate = str(CERTIFICATES / "server.pem")
    command = [needs_openssl(), "s_server", "-accept", "127.0.0.1:0"]
    command += ["-cert", certificate, "-key", certificate, *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            said = next((line for line in process.stdout if line.startswith(b"ACCEPT ")), b"")
            assert said, "openssl s_server has ended"
            yield f"tls://{said.decode().split()[1]}"
        finally:
            process.terminate()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("load", [{}, {"rate": 50_000.0}], ids=["closed", "open"])
def test_openssls_own_server_answers_line_by_line(version: str, load: dict[str, Any]) -> None:
    with s_server("-rev") as target:  # it reverses the bytes of each line
        record = loadgen.run(
            Plan(
                target=target,
                connections=1,
                messages=50,
                payloads=(b"abc\n",),
                reply=r"delimiter:\n",
                ca_file=CA,
                tls_version=version,
                probe=False,
                **load,
            )
        )
    check(record)
    assert (record.actual.messages, record.failures) == (50, [])
