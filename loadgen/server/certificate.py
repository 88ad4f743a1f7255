"""The certificate of a server that speaks TLS: read, or made for one run.

It is made by the ``openssl`` program (openssl-req(1)), which signs it with its own key: so it is
also the one that clients have to trust.
"""

import contextlib
import ipaddress
import re
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from loadgen.errors import LoadgenError, UsageError, reason
from loadgen.files.writing import write_atomically
from loadgen.net.tls_options import load_file, load_key_pair
from loadgen.net.tls_stream import CIPHERTEXT_BYTES, TlsStream
from loadgen.server.connections import Secure
from loadgen.server.options import ServerOptions

_CERTIFICATE: Final = re.compile(
    rb"-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----.+?-----END \1-----", re.DOTALL
)
"""A certificate in PEM format, by the labels that OpenSSL reads (RFC 7468, 5)."""

_DAYS: Final = "30"
_SUBJECT: Final = "/CN=loadgen server"
_LONGEST_S: Final = 30.0


def securing(options: ServerOptions) -> Secure:
    """Return what puts TLS above accepted sockets, by the certificate that ``options`` name.

    Raises UsageError for a file that is not accepted.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key = None if options.tls_key is None else str(options.tls_key)
    load_key_pair(context, ("--tls-cert", str(options.tls_cert)), ("--tls-key", key))
    if options.tls_client_ca is not None:
        load_file("--tls-client-ca", str(options.tls_client_ca), context.load_verify_locations)
        context.verify_mode = ssl.CERT_REQUIRED
    ciphertext = bytearray(CIPHERTEXT_BYTES)
    return lambda accepted: TlsStream(accepted, context, ciphertext)


@contextlib.contextmanager
def provided(options: ServerOptions, ca_copy: Path | None) -> Iterator[ServerOptions]:
    """Make a certificate for as long as the ``with`` lasts, unless ``options`` name one.

    Yields the options with it. What clients have to trust is written to ``ca_copy``, and stays.
    Raises UsageError.
    """
    with contextlib.ExitStack() as stack:
        if options.tls_cert is None:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loadgen-tls-")))
            certificate, key = place / "certificate.pem", place / "key.pem"
            options = replace(options, tls_cert=certificate, tls_key=key)
            _make(certificate, key, options.host)
        if ca_copy is not None and options.tls_cert is not None:
            certificates = _certificates_in(options.tls_cert)
            try:
                write_atomically(ca_copy, certificates)
            except OSError as error:
                raise UsageError.of(
                    "--tls-write-ca", str(ca_copy), f"{reason(error)}; choose another"
                ) from error
        yield options


def _certificates_in(path: Path) -> bytes:
    """Return the certificates in the file of ``--tls-cert``, without its key. Raises UsageError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError.of(
            "--tls-cert", str(path), f"it cannot be read: {reason(error)}"
        ) from error
    return b"".join(block[0] + b"\n" for block in _CERTIFICATE.finditer(content))


def _make(certificate: Path, key: Path, host: str) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise UsageError(
            "--tls: the openssl program makes the certificate, and is not installed; install it, "
            "or give --tls-cert and --tls-key"
        )
    names = dict.fromkeys((_alternative(host), "DNS:localhost", "IP:127.0.0.1", "IP:::1"))
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-days", _DAYS, "-subj", _SUBJECT, "-addext", f"subjectAltName={','.join(names)}"]
    words += ["-keyout", str(key), "-out", str(certificate)]
    made = subprocess.run(
        [program, *words], capture_output=True, text=True, timeout=_LONGEST_S, check=False
    )
    if made.returncode:
        why = made.stderr.strip().rpartition("\n")[2]
        raise LoadgenError(f"openssl could not make a certificate: {why}")


def _alternative(host: str) -> str:
    """Return ``host`` as a subjectAltName (RFC 5280, 4.2.1.6)."""
    try:
        return f"IP:{ipaddress.ip_address(host.partition('%')[0])}"
    except ValueError:
        return f"DNS:{host}"
