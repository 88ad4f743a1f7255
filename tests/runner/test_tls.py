"""Runs over TLS, against Python's own ssl: what is carried, and what each failure is called."""

import contextlib
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
from accounts import check
from command import loadgen as run_command
from pytest_suites import run_suite
from secured import (
    CA,
    CLIENT,
    Secured,
    in_small_segments,
    needs_openssl,
    server_context,
)
from servers import (
    Peer,
    ScriptedServer,
    byte_by_byte,
    echoes,
    in_two_halves,
    reads_slowly,
)

import loadgen
from loadgen.errors import UsageError
from loadgen.net.address import Endpoint
from loadgen.plan import Plan
from loadgen.plan.payloads import PayloadQueue
from loadgen.results.record import RunRecord, from_json
from loadgen.runner.probe import ControlChannel, ProbeConnection
from loadgen.runner.run import UnreachableTargetError

LONG = bytes(range(251)) * 1000
"""Longer than a record, and than what one send encrypts."""


def plan(server: ScriptedServer, **fields: Any) -> Plan:
    limits: dict[str, Any] = {"connections": 2, "messages": 20, "ca_file": CA, "probe": False}
    return Plan(target=f"tls://{server.address}", **(limits | fields))


def failures(record: RunRecord) -> set[str]:
    return {f"{failure.phase}: {failure.cause}" for failure in record.failures}


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("load", [{}, {"rate": 100_000.0}], ids=["closed", "open"])
@pytest.mark.parametrize("pipeline", [1, 4])
@pytest.mark.parametrize("timestamps", ["auto", "user"])
def test_every_message_is_answered(
    version: str, load: dict[str, Any], pipeline: int, timestamps: str
) -> None:
    payloads = (b"ping", LONG, b"a")
    script = Secured(echoes)
    with ScriptedServer(script) as server:
        record = loadgen.run(
            plan(
                server,
                payloads=payloads,
                verify=True,
                pipeline=pipeline,
                timestamps=timestamps,
                tls_version=version,
                **load,
            )
        )
        server.settle(2)
    check(record)
    assert (record.actual.messages, failures(record)) == (40, set())
    sent = 2 * sum(len(payloads[number % 3]) for number in range(20))
    assert (record.actual.bytes_sent, record.actual.bytes_received) == (sent, sent)
    assert {each[2] for each in script.negotiated} == {f"TLSv{version}"}
    assert script.ended_well == 2  # a close_notify came behind each stream


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has stamps")
@pytest.mark.parametrize("payload", [b"ping", LONG], ids=["short", "long"])
def test_the_kernel_says_when_the_ciphertext_of_a_reply_arrived(payload: bytes) -> None:
    with ScriptedServer(Secured(echoes)) as server:
        record = loadgen.run(plan(server, payloads=(payload,), timestamps="kernel"))
    times = record.timestamps
    assert (times.mode, times.stamped + times.upper_bounds) == ("kernel", 40)
    assert (times.missing, times.implausible) == (0, 0)
    if payload == b"ping":
        assert times.upper_bounds == 0


@pytest.mark.parametrize(
    "script",
    [in_small_segments, Secured(byte_by_byte), Secured(in_two_halves), Secured(reads_slowly)],
    ids=["segments", "records", "halves", "slow"],
)
@pytest.mark.parametrize("pipeline", [1, 3])
def test_replies_may_be_cut_into_records_and_segments_anywhere(script: Any, pipeline: int) -> None:
    text = bytes(range(256)) * 4
    with ScriptedServer(script) as server:
        payloads = (text, b"short")
        record = loadgen.run(plan(server, payloads=payloads, verify=True, pipeline=pipeline))
    assert (record.actual.messages, failures(record)) == (40, set())


def test_one_way_messages_are_with_the_kernel_before_the_connection_ends() -> None:
    with ScriptedServer(Secured(Peer.receive_all)) as server:
        record = loadgen.run(plan(server, payloads=(LONG,), reply="none", send_buffer_bytes=4096))
        server.settle(2)
    assert server.bytes_received == record.actual.bytes_sent == 40 * len(LONG)


@pytest.mark.parametrize("says_goodbye", [True, False], ids=["close_notify", "torn"])
def test_the_end_of_the_stream_may_be_that_of_a_reply(says_goodbye: bool) -> None:
    def answers_and_ends(peer: Peer) -> None:
        peer.receive()
        peer.send(b"the whole reply")

    script = Secured(answers_and_ends, says_goodbye=says_goodbye)
    with ScriptedServer(script) as server:
        record = loadgen.run(plan(server, reply="eof", messages=5))
    assert (record.actual.messages, failures(record)) == (10, set())
    assert record.actual.bytes_received == 10 * len(b"the whole reply")


def test_what_the_server_says_first_is_read_with_the_end_of_its_handshake() -> None:
    def greets(peer: Peer) -> None:
        peer.send(b"220 ready\n")
        echoes(peer)

    with ScriptedServer(Secured(greets)) as server:
        record = loadgen.run(plan(server, first_reply=r"delimiter:\n"))
    assert (record.actual.messages, failures(record)) == (40, set())


def answers_in_plain_text(peer: Peer) -> None:
    peer.receive()
    peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    peer.receive_all()


def closes_after_the_hello(peer: Peer) -> None:
    peer.receive()


def resets_after_the_hello(peer: Peer) -> None:
    peer.receive()
    peer.reset()


NO_CA: dict[str, Any] = {"ca_file": None}


@pytest.mark.parametrize(
    ("script", "fields", "cause"),
    [
        (Secured(echoes), NO_CA, "certificate"),
        (Secured(echoes, server_context("expired")), {}, "certificate_expired"),
        (Secured(echoes, server_context("other")), {}, "certificate_name"),
        (Secured(echoes), {"server_name": "other.example"}, "certificate_name"),
        (answers_in_plain_text, {}, "not_tls"),
        (Secured(echoes, server_context(version="1.2")), {"tls_version": "1.3"}, "tls_version"),
        (Secured(echoes, server_context(version="1.3")), {"tls_version": "1.2"}, "tls_version"),
        (
            Secured(echoes, server_context(version="1.2", client_ca=True)),
            {"tls_version": "1.2"},
            "client_certificate",
        ),
        (
            Secured(echoes, server_context(version="1.2")),
            {"tls_version": "1.2", "ciphers": "ECDHE-RSA-AES128-GCM-SHA256"},
            "tls_parameters",
        ),
        (closes_after_the_hello, {}, "closed"),
        (resets_after_the_hello, {}, "reset"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_failure_of_a_handshake_has_a_cause(
    script: Any, fields: dict[str, Any], cause: str
) -> None:
    with ScriptedServer(script) as server, pytest.raises(UnreachableTargetError) as unreachable:
        loadgen.run(plan(server, **fields))
    assert failures(unreachable.value.record) == {f"secure: {cause}"}


def test_what_the_library_says_is_in_the_log() -> None:
    with ScriptedServer(Secured(echoes, server_context("expired"))) as server:
        target = f"tls://{server.address}"
        done = run_command("run", target, "--cacert", CA, "-c", "1", "-n", "1", "-v")
    assert "certificate has expired" in done.stderr
    assert done.stderr.splitlines()[-1].endswith(
        "secure: the server's certificate is not valid now (all 1 attempts)"
    )


@pytest.mark.parametrize(
    ("fields", "offered"),
    [
        ({"target": "tls://h:1"}, ()),
        ({"target": "https://h"}, ("http/1.1",)),
        ({"target": "https://h", "alpn": ("h2",)}, ("h2",)),
        ({"target": "wss://h"}, ("http/1.1",)),
        ({"target": "rediss://h"}, ()),
    ],
)
def test_the_scheme_says_that_tls_is_spoken_and_what_alpn_offers(
    fields: dict[str, Any], offered: tuple[str, ...]
) -> None:
    plan = Plan(**fields)
    assert plan.is_secure
    assert plan.protocols_offered == offered


def test_tls_may_be_spoken_below_any_scheme_of_a_stream() -> None:
    assert Plan(target="h:1", tls=True).is_secure
    assert Plan(tls=True).is_secure
    assert not Plan(target="http://h").is_secure


def test_a_missing_certificate_of_the_client_is_named_though_tls_1_3_tells_it_late() -> None:
    """The server decides behind the handshake: its alert comes where a reply is awaited."""
    with ScriptedServer(Secured(echoes, server_context(client_ca=True))) as server:
        record = loadgen.run(plan(server))
    assert {each.cause for each in record.failures} == {"client_certificate"}
    with ScriptedServer(Secured(echoes, server_context(client_ca=True))) as server:
        record = loadgen.run(plan(server, cert_file=CLIENT))
    assert (record.actual.messages, failures(record)) == (40, set())


def test_any_certificate_will_do_with_insecure() -> None:
    with ScriptedServer(Secured(echoes, server_context("expired"))) as server:
        record = loadgen.run(plan(server, insecure=True, ca_file=None))
    assert (record.actual.messages, failures(record)) == (40, set())


def test_name_protocol_and_ciphers_are_those_that_are_asked_for() -> None:
    context = server_context()
    context.set_alpn_protocols(["chosen"])
    script = Secured(echoes, context)
    with ScriptedServer(script) as server:
        loadgen.run(
            plan(
                server,
                server_name="localhost",
                alpn=("unknown", "chosen"),
                tls_version="1.2",
                ciphers="ECDHE-ECDSA-AES128-GCM-SHA256",
            )
        )
    assert set(script.negotiated) == {("chosen", "localhost", "TLSv1.2")}


def test_the_probe_speaks_tls_too() -> None:
    near, far = socket.socketpair()
    with near, far, ScriptedServer(Secured(byte_by_byte)) as server:
        endpoint = Endpoint(socket.AF_INET, server.name)
        prober = ProbeConnection(
            plan(server, verify=True),
            PayloadQueue((LONG[:300],)),
            endpoint,
            ControlChannel(near.fileno()),
        )
        with contextlib.closing(prober):
            prober.connect()
            assert all(prober.request() > 0 for _ in range(5))
        server.settle(1)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"target": "h:1", "insecure": True}, "--insecure is for TLS; give --tls or a target"),
        ({"target": "udp://h:1", "tls": True}, "TLS needs a stream"),
        ({"target": "h:1", "tls_resume": True}, "--tls-resume is for TLS"),
        ({"target": "h:1", "alpn": ("a",)}, "--alpn is for TLS; give --tls or a target"),
        ({"target": "tls://h:1", "key_file": "k"}, "give --cert, too"),
        ({"target": "unix:///a", "tls": True}, "say for whom its certificate is, with --sni"),
        ({"target": "tls://h:1", "tls_version": "1.1"}, "choose one of 1.2, 1.3"),
        ({"target": "tls://h:1", "insecure": True, "ca_file": "c"}, "does not go with --cacert"),
        ({"target": "tls://h:1", "alpn": ("",)}, "give 1 to 255 ASCII characters"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError) as refusal:
        Plan(**fields)
    assert complaint in str(refusal.value)


@pytest.mark.parametrize("name", ["", ".foo", "a..b", "é" * 70, "a." * 127 + "bc", "a\0b"])
def test_a_name_that_no_server_can_be_told_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"^--sni: .*; TLS tells the server a name"):
        Plan(target="tls://h:1", server_name=name)
    with pytest.raises((ValueError, TypeError, ssl.SSLError)):
        _tell(name)


@pytest.mark.parametrize("name", ["h", "h.", "bücher.example", "::1", "a." * 127 + "b"])
def test_any_other_name_is_told(name: str) -> None:
    assert Plan(target="tls://h:1", server_name=name).server_name == name
    _tell(name)


def _tell(name: str) -> None:
    bio = ssl.MemoryBIO()
    ssl.create_default_context().wrap_bio(bio, bio, server_hostname=name)


def test_the_host_of_the_target_is_told_wherever_it_is_connected_to() -> None:
    words = ("https://a..b/", "--connect-to", "::127.0.0.1:9", "--messages", "1")
    ended = run_command(*words)
    assert ended.code == 2
    [line] = ended.stderr.splitlines()
    assert line.startswith("loadgen: TARGET: 'a..b' is not accepted; TLS tells the server a name")


@pytest.mark.parametrize(
    ("fields", "option"),
    [
        ({"ca_file": "missing.pem"}, "--cacert"),
        ({"ca_file": __file__}, "--cacert"),
        ({"cert_file": "missing.pem"}, "--cert"),
        ({"cert_file": CA}, "--cert"),
        ({"cert_file": CLIENT, "key_file": "missing.key"}, "--key"),
        ({"ciphers": "none such"}, "--ciphers"),
    ],
)
def test_files_are_tried_before_the_load(fields: dict[str, Any], option: str) -> None:
    with ScriptedServer(echoes) as server, pytest.raises(UsageError) as refusal:
        loadgen.run(plan(server, **fields))
    assert str(refusal.value).startswith(f"{option}: {next(reversed(fields.values()))!r}")
    assert server.accepted == 0


@pytest.mark.parametrize("trust", [(), ("--insecure",)], ids=["verified", "insecure"])
def test_without_a_target_the_embedded_server_speaks_tls(trust: tuple[str, ...]) -> None:
    needs_openssl()
    done = run_command("run", "--tls", *trust, "-c", "2", "-n", "3", "--no-probe", "--json", "-")
    assert done.code in (0, 3), done.stderr  # few messages leave a run inconclusive
    record = done.record
    check(record)
    assert (record.actual.messages, record.target.embedded, record.failures) == (6, True, [])
    assert (record.plan.tls, record.plan.ca_file) == (True, None)
    assert record.tls is not None
    assert record.tls.is_verified == (trust == ())


def test_the_command_takes_the_options(tmp_path: Path) -> None:
    with ScriptedServer(Secured(echoes)) as server:
        words = ("-c", "1", "-n", "3", "--cacert", CA, "--json", str(tmp_path / "record.json"))
        done = run_command("run", server.address, "--tls", *words)
    assert done.code == 0, done.stderr
    record = from_json((tmp_path / "record.json").read_bytes())
    assert (record.actual.messages, record.plan.tls, record.plan.ca_file) == (3, True, CA)


def test_a_suite_of_pytest_loads_over_tls(tmp_path: Path) -> None:
    with ScriptedServer(Secured(echoes)) as server:
        suite = run_suite(
            tmp_path,
            f"""
            def test_server(loadrun):
                loadrun(target="tls://{server.address}", connections=1, messages=3, ca_file={CA!r})
            """,
        )
    assert suite.code == 0, suite.output
