"""Scripts of `servers` over TLS, by Python's own ``ssl``, with the certificates of the tests."""

import shutil
import ssl
from pathlib import Path
from typing import Any, Final

import pytest
from servers import Peer, Script

CERTIFICATES: Final = Path(__file__).with_name("certificates")
CA: Final = str(CERTIFICATES / "ca.pem")
CLIENT: Final = str(CERTIFICATES / "client.pem")


def server_context(
    certificate: str = "server", *, version: str = "", client_ca: bool = False
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{certificate}.pem")
    if version:
        number = ssl.TLSVersion[f"TLSv{version.replace('.', '_')}"]
        context.minimum_version = context.maximum_version = number
    if client_ca:
        context.load_verify_locations(CA)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def needs_openssl() -> str:
    """Return the path of the ``openssl`` program; skips the test where there is none."""
    found = shutil.which("openssl")
    if found is None:
        pytest.skip("the openssl program is not installed")
    return found


class Secured:
    """Runs ``script`` above TLS.

    negotiated: ALPN, server name and version of each handshake. ended_well: how many scripts ran to
    their end; one that reads to the end of the stream does so only behind a close_notify.
    says_goodbye: whether it ends the stream with a close_notify.
    """

    def __init__(
        self, script: Script, context: ssl.SSLContext | None = None, *, says_goodbye: bool = True
    ) -> None:
        self._script = script
        self._context = context or server_context()
        self._says_goodbye = says_goodbye
        self._names: dict[Any, str | None] = {}
        self._context.sni_callback = self._note_name
        self.negotiated: list[tuple[str | None, str | None, str | None]] = []
        self.ended_well = 0

    def _note_name(self, secured: Any, name: str | None, context: ssl.SSLContext) -> None:
        self._names[secured] = name

    def __call__(self, peer: Peer) -> None:
        secured = self._context.wrap_socket(
            peer._socket, server_side=True, suppress_ragged_eofs=False
        )
        peer._socket = secured
        name = self._names.get(secured)
        self.negotiated.append((secured.selected_alpn_protocol(), name, secured.version()))
        try:
            self._script(peer)
            self.ended_well += 1
            if self._says_goodbye:
                peer._socket = secured.unwrap()
        except ValueError as error:  # another thread has hung up, which takes TLS off
            raise ConnectionResetError("hung up") from error


def in_small_segments(peer: Peer) -> None:
    """Echo over TLS, in records of a few bytes, each cut into segments anywhere."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secured = server_context().wrap_bio(incoming, outgoing, server_side=True)

    def until_done(step: Any, *arguments: Any) -> Any:
        while True:
            try:
                return step(*arguments)
            except ssl.SSLWantReadError:
                flush()
                if not (data := peer.receive()):
                    raise ConnectionResetError("the client has gone") from None
                incoming.write(data)

    def flush() -> None:
        data = outgoing.read()
        for begin in range(0, len(data), 11):
            peer.send(data[begin : begin + 11])

    until_done(secured.do_handshake)
    while data := until_done(secured.read, 65536):
        for begin in range(0, len(data), 7):
            secured.write(data[begin : begin + 7])
        flush()
