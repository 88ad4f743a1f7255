"""The fields of a Plan that say how connections are secured with TLS."""

from typing import Annotated, Any, Final

import msgspec

from loadgen.errors import UsageError
from loadgen.net.target import Target
from loadgen.plan.connections import Connections
from loadgen.plan.kinds import DURATION, NAME, YES, one_of, text
from loadgen.plan.options import Group, Option, fields_of
from loadgen.quantities import MOST_KINDS, Text

TLS: Final = Group("TLS", "how to secure connections")

Protocols = Annotated[tuple[Text, ...], msgspec.Meta(max_length=MOST_KINDS)]

_VERSIONS: Final = ("1.2", "1.3")

_LONGEST_NAME: Final = 255
"""Of a server, as TLS tells it: TLSEXT_MAXLEN_host_name of OpenSSL."""


class Security(Connections, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether TLS is spoken, and how. Names of files are as `loadgen.text.escaped` writes them."""

    tls: Annotated[
        bool, TLS, Option("--tls", YES, "speak TLS, as with a target such as tls://host:port")
    ] = False
    ca_file: Annotated[
        Text | None,
        TLS,
        Option(
            "--cacert",
            NAME,
            "file of the certificates that are trusted, in PEM format",
            default_note="those of the system",
        ),
    ] = None
    cert_file: Annotated[
        Text | None,
        TLS,
        Option("--cert", NAME, "file of the client's certificate, and of its key unless --key"),
    ] = None
    key_file: Annotated[
        Text | None, TLS, Option("--key", NAME, "file of the key of the client's certificate")
    ] = None
    insecure: Annotated[
        bool, TLS, Option("--insecure", YES, "accept any certificate of the server")
    ] = False
    server_name: Annotated[
        Text | None,
        TLS,
        Option(
            "--sni",
            text("HOST"),
            "the name that the server is told, and that its certificate must be for",
            default_note="the host of the target",
        ),
    ] = None
    alpn: Annotated[
        Protocols,
        TLS,
        Option(
            "--alpn",
            text("PROTOCOL"),
            "a protocol to offer, the preferred one first",
            default_note="http/1.1 where HTTP or WebSocket is spoken",
        ),
    ] = ()
    tls_version: Annotated[
        Text | None,
        TLS,
        Option(
            "--tls-version",
            one_of("VERSION", *_VERSIONS),
            "the only version that is accepted",
            default_note="the newest that both accept",
        ),
    ] = None
    ciphers: Annotated[
        Text | None,
        TLS,
        Option("--ciphers", text("LIST"), "ciphers of TLS 1.2, in the form of OpenSSL"),
    ] = None
    handshake_timeout_s: Annotated[
        float,
        TLS,
        Option("--handshake-timeout", DURATION, "longest time for the handshake of one connection"),
    ] = 10.0
    tls_resume: Annotated[
        bool,
        TLS,
        Option("--tls-resume", YES, "resume sessions, so that most handshakes are short ones"),
    ] = False

    @property
    def is_secure(self) -> bool:
        """Whether TLS is spoken: by the scheme of the target, or since ``--tls`` asks for it."""
        return self.tls or self.peer.scheme.is_secure

    def _check_target(self) -> None:
        super()._check_target()
        if not self.is_secure:
            self._refuse_options()
            return
        if self.target is not None:
            self._check_peer(self.peer)
        if self.server_name is not None:
            _check_name("--sni", self.server_name)
        if self.key_file is not None and self.cert_file is None:
            raise UsageError("--key: the certificate is missing; give --cert, too")
        if self.insecure and self.ca_file is not None:
            raise UsageError("--insecure trusts any certificate; it does not go with --cacert")
        for protocol in self.alpn:
            if not (protocol.isascii() and 1 <= len(protocol) <= 255):
                raise UsageError.of("--alpn", protocol, "give 1 to 255 ASCII characters")

    def _check_peer(self, target: Target) -> None:
        if target.scheme.application == "datagrams":
            raise UsageError("--tls: TLS needs a stream; leave it out, or give a target of TCP")
        if target.is_unix and self.server_name is None:
            raise UsageError("--tls to a UNIX socket: say for whom its certificate is, with --sni")
        if self.server_name is None:
            _check_name("TARGET", target.host)

    def _refuse_options(self) -> None:
        for field in fields_of(Security):
            value: Any = getattr(self, field.name)
            if field.group is TLS and value != field.default:
                raise UsageError(
                    f"{field.option} is for TLS; give --tls or a target tls://host:port, too"
                )


def _check_name(option: str, name: str) -> None:
    """Raise UsageError for a name that a server cannot be told (RFC 6066, 3; RFC 3490, 4.1)."""
    try:
        size = len(name.encode("idna"))
    except UnicodeError:
        size = 0
    if not 1 <= size <= _LONGEST_NAME or "\0" in name:
        raise UsageError.of(
            option,
            name,
            f"TLS tells the server a name of up to {_LONGEST_NAME} characters, 1 to 63 of them "
            "between dots; give one with --sni",
        )
