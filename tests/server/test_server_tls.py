"""The server over TLS, with clients that know nothing of loadgen: Python's ssl, and openssl."""

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import pytest
from command import LOADGEN, ROOT, environment
from command import loadgen as run_command
from echoing import TIMEOUT_S, receive_all, receive_exactly, serving
from secured import CA, CERTIFICATES, CLIENT, needs_openssl

from loadgen.errors import UsageError
from loadgen.server import EchoServer, ServerOptions
from loadgen.server.certificate import provided
from loadgen.server.delays import FixedDelay
from loadgen.server.residence_log import read_residence_log

SERVER: Final = CERTIFICATES / "server.pem"
LONG: Final = bytes(range(251)) * 2000


@contextmanager
def client(address: str, ca: str = CA, certificate: str | None = None) -> Iterator[ssl.SSLSocket]:
    assert address.startswith("tls://127.0.0.1:")
    context = ssl.create_default_context(cafile=ca)
    if certificate is not None:
        context.load_cert_chain(certificate)
    place = ("127.0.0.1", int(address.rpartition(":")[2]))
    with (
        socket.create_connection(place, TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        yield secured


@pytest.mark.parametrize(
    "options",
    [ServerOptions(tls_cert=SERVER), ServerOptions(tls_cert=SERVER, delay=FixedDelay(1_000_000))],
    ids=["at once", "delayed"],
)
def test_all_bytes_come_back(options: ServerOptions) -> None:
    with serving(options) as server, client(server.address) as secured:
        for message in (b"a", LONG, b"z"):
            secured.sendall(message)
            assert receive_exactly(secured, len(message)) == message
        secured.unwrap()  # its end of the stream is answered with the server's
    assert server.counts.bytes_received == server.counts.bytes_sent == len(LONG) + 2


def test_residence_is_known_as_without_tls(tmp_path: Path) -> None:
    options = ServerOptions(
        tls_cert=SERVER, delay=FixedDelay(2_000_000), ledger=tmp_path / "ledger"
    )
    with serving(options) as server, client(server.address) as secured:
        for _ in range(20):
            secured.sendall(b"message")
            receive_exactly(secured, 7)
    residences_ns = read_residence_log(tmp_path / "ledger")
    assert len(residences_ns) == 20
    assert min(residences_ns) >= 2_000_000


def say_something(address: str) -> None:
    with client(address) as secured:
        secured.sendall(b"x")
        receive_all(secured)


def test_clients_without_a_certificate_are_refused_where_one_is_asked_for() -> None:
    options = ServerOptions(tls_cert=SERVER, tls_client_ca=Path(CA))
    with serving(options) as server:
        with client(server.address, certificate=CLIENT) as secured:
            secured.sendall(b"x")
            assert receive_exactly(secured, 1) == b"x"
        with pytest.raises((ssl.SSLError, ConnectionError)):
            say_something(server.address)


def test_plain_text_is_not_answered() -> None:
    with serving(ServerOptions(tls_cert=SERVER)) as server:
        port = int(server.address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert b"GET" not in receive_all(plain)


@contextmanager
def command(*words: str) -> Iterator[tuple[str, IO[bytes]]]:
    """The server as a command; yields its address, and its output."""
    with subprocess.Popen(
        [*LOADGEN, "server", *words], cwd=ROOT, env=environment(), stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().decode().split()[-1], process.stdout
        finally:
            process.terminate()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_the_command_makes_a_certificate_and_writes_what_to_trust(
    tmp_path: Path, processes: str
) -> None:
    needs_openssl()
    ca = tmp_path / "ca.pem"
    words = ("--tls", "--tls-write-ca", str(ca), "--processes", processes)
    with command(*words) as (address, _):
        for _ in range(4):
            with client(address, str(ca)) as secured:
                secured.sendall(b"over tls")
                assert receive_exactly(secured, 8) == b"over tls"
    assert "PRIVATE" not in ca.read_text()


def test_what_clients_have_to_trust_has_no_key_of_the_server(tmp_path: Path) -> None:
    """The certificate and its key are in one file."""
    ca = tmp_path / "ca.pem"
    assert "PRIVATE" in SERVER.read_text()
    with command("--tls-cert", str(SERVER), "--tls-write-ca", str(ca)):
        written = ca.read_text()
    assert "PRIVATE" not in written
    assert ssl.PEM_cert_to_DER_cert(written) == ssl.PEM_cert_to_DER_cert(_certificate(SERVER))


def _certificate(path: Path) -> str:
    head = "-----BEGIN CERTIFICATE-----"
    return head + path.read_text().partition(head)[2].partition("-----BEGIN")[0]


def test_keys_are_renewed_where_the_client_asks_for_it(tmp_path: Path) -> None:
    """KeyUpdate (RFC 8446, 4.6.3): the answer goes out before the next message."""
    ca = tmp_path / "ca.pem"
    program = needs_openssl()
    with command("--tls", "--tls-write-ca", str(ca)) as (address, _):
        connect = [program, "s_client", "-connect", address.removeprefix("tls://"), "-msg"]
        with subprocess.Popen(
            [*connect, "-CAfile", str(ca), "-verify_return_error"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                until(process.stdout, b"Verify return code: 0 (ok)")
                for line in (b"first\n", b"K\n", b"second\n"):
                    process.stdin.write(line)
                    wanted = b"KEYUPDATE" if line == b"K\n" else b"\n" + line
                    said = until(process.stdout, wanted)
                    if line == b"K\n":
                        until(process.stdout, b">>> TLS 1.3, Handshake [length 0005], KeyUpdate")
            finally:
                process.terminate()
    assert b"<<< TLS 1.3, Handshake [length 0005], KeyUpdate" in said


def until(output: IO[bytes], wanted: bytes) -> bytes:
    said = b""
    while wanted not in said:
        data = output.read(1)
        assert data, f"openssl has ended: {said!r}"
        said += data
    return said


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--tls-key", str(SERVER)), "--tls-key: the certificate is missing"),
        (("--tls-client-ca", CA), "give --tls or --tls-cert, too"),
        (("--tls-write-ca", "ca.pem"), "give --tls or --tls-cert, too"),
        (("--tls-cert", CA), "--tls-cert: "),
        (
            ("--tls-cert", "/none", "--tls-write-ca", "ca.pem"),
            "--tls-cert: '/none' is not accepted",
        ),
        (("--udp", "--tls"), "--udp: TLS needs a stream; leave out one of the two"),
        (("--udp", "--tls-cert", str(SERVER)), "--udp: TLS needs a stream; leave out"),
        (("--tls-cert", str(SERVER), "--tls-client-ca", str(ROOT / "LICENSE")), "--tls-client-ca"),
    ],
)
def test_what_cannot_be_is_one_line(words: tuple[str, ...], complaint: str) -> None:
    done = run_command("server", *words)
    assert done.code == 2
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_the_openssl_program_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with (
        pytest.raises(UsageError, match=r"openssl program .* --tls-cert"),
        provided(ServerOptions(), None),
    ):
        pass


def test_a_server_that_is_given_no_key_does_not_listen() -> None:
    with pytest.raises(UsageError, match=r"^--tls-cert: "):
        EchoServer(ServerOptions(tls_cert=Path(CA)))
