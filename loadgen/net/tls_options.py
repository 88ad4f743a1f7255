"""How connections are secured: the choices, and the context of the library that is made of them."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadgen.errors import UsageError, reason
from loadgen.net.unpatched import original
from loadgen.text import unescaped

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """How a connection is secured. Names of files are as `loadgen.text.escaped` writes them.

    server_name: what the certificate must be for, and what the server is told (SNI, RFC 6066).
    ca_file: certificates that are trusted; None for those of the system. cert_file, key_file: the
    client's. insecure: accept any certificate. alpn: protocols, in order of preference (RFC 7301).
    resume: whether sessions are resumed.
    version: ``1.2`` or ``1.3``; None for any. ciphers: of TLS 1.2, in OpenSSL's form.
    """

    server_name: str
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    insecure: bool = False
    resume: bool = False
    alpn: tuple[str, ...] = ()
    version: str | None = None
    ciphers: str | None = None

    def context(self) -> ssl.SSLContext:
        """Return a context for them. Raises UsageError naming the option that is not accepted."""
        # Not the one that gevent puts in its place, which is for sockets that switch.
        context: ssl.SSLContext = original("ssl", "SSLContext")(ssl.PROTOCOL_TLS_CLIENT)
        if self.version is not None:
            context.minimum_version = context.maximum_version = _VERSIONS[self.version]
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca_file is None:
            context.load_default_certs()
        else:
            load_file("--cacert", unescaped(self.ca_file), context.load_verify_locations)
        if self.cert_file is not None:
            load_key_pair(
                context,
                ("--cert", unescaped(self.cert_file)),
                ("--key", None if self.key_file is None else unescaped(self.key_file)),
            )
        if self.ciphers is not None:
            try:
                context.set_ciphers(self.ciphers)
            except ssl.SSLError:
                accepted = "give ciphers of TLS 1.2 as `openssl ciphers` lists them"
                raise UsageError.of("--ciphers", self.ciphers, accepted) from None
        if self.alpn:
            context.set_alpn_protocols(list(self.alpn))
        return context


def load_key_pair(
    context: ssl.SSLContext, certificate: tuple[str, str], key: tuple[str, str | None]
) -> None:
    """Load the certificate of this end, and its key; each is an option and its value.

    Without a key, that is in the same file. Raises UsageError for a file that is not accepted.
    """

    def refuse_to_ask() -> str:
        raise UsageError(f"{key[0]}: the key has a passphrase; give one without")

    option, path = key
    if path is not None:
        load_file(option, path, _open_once)
    load_file(*certificate, lambda place: context.load_cert_chain(place, path, refuse_to_ask))


def load_file(option: str, path: str, load: Callable[[str], None]) -> None:
    """Let ``load`` read the file that ``option`` names.

    Raises UsageError where it is not accepted.
    """
    try:
        load(path)
    except ssl.SSLError as error:
        why = error.reason or "it holds none"
        accepted = f"give a file in PEM format, and of a client's certificate its key, too ({why})"
        raise UsageError.of(option, path, accepted) from None
    except OSError as error:
        raise UsageError.of(option, path, f"it cannot be read: {reason(error)}") from None


def _open_once(path: str) -> None:
    with Path(path).open("rb"):
        pass
