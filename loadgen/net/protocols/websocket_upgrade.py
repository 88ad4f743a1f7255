"""The opening handshake of WebSocket (RFC 6455, section 4): an HTTP request, and its one answer."""

import base64
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from loadgen.net.failure import Cause
from loadgen.net.protocols.base import BaseDecoder, BaseFraming, Decoder, FramingError

LONGEST_ANSWER_BYTES: Final = 65_536
"""The longest header of an answer; servers send some hundreds of bytes."""

_KEY_HEADER: Final = b"Sec-WebSocket-Key: "
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_END: Final = b"\r\n\r\n"
_BEGINNING: Final = b"HTTP/1."
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: [^\r\n]*)?")
_HEADER_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~\w-]+):[ \t]*([^\r\n]*?)[ \t]*")
_REJECTIONS: Final = {3: Cause.WS_STATUS_3XX, 4: Cause.WS_STATUS_4XX, 5: Cause.WS_STATUS_5XX}


def upgrade_request(
    resource: str, host: str, subprotocols: Sequence[str] = (), headers: Sequence[str] = ()
) -> bytes:
    """Return the request for a WebSocket, with a new key (section 4.1: one for each connection).

    headers: further lines, such as ``Origin: https://example.com``; a Host among them replaces
    ``host``. Those without a value are left out.
    """
    lines = [f"GET {resource} HTTP/1.1"]
    if not any(each.lower().startswith("host:") for each in headers):
        lines.append(f"Host: {host}")
    headers = [each for each in headers if each.partition(":")[2].strip()]
    lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    if subprotocols:
        lines.append(f"Sec-WebSocket-Protocol: {', '.join(subprotocols)}")
    key = base64.b64encode(os.urandom(16))
    text = "".join(f"{line}\r\n" for line in (*lines, *headers))
    return text.encode() + _KEY_HEADER + key + _END


def accept_key(key: bytes) -> bytes:
    """Return what a server of WebSocket makes of ``key`` (section 4.2.2)."""
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest)


@dataclass(frozen=True, slots=True)
class Upgrade(BaseFraming):
    """The answer to an `upgrade_request`, up to the end of its header; any other is rejected.

    The server must choose one of the ``subprotocols`` if any are offered, as browsers demand (the
    WebSockets standard of WHATWG, section 3.1), and no extension, since none is.
    """

    subprotocols: tuple[str, ...] = ()
    needs_messages = True

    def decoder(self) -> Decoder:
        """Return a decoder that must be told of the request, where the key is."""
        return _UpgradeDecoder(self.subprotocols)


class _UpgradeDecoder(BaseDecoder):
    def __init__(self, subprotocols: tuple[str, ...]) -> None:
        super().__init__()
        self._subprotocols = subprotocols
        self._request = b""
        self._answer = bytearray()
        self._is_whole = False

    def expect(self, batch: bytes, lengths: Sequence[int]) -> None:
        self._request = batch

    def feed(self, view: memoryview) -> int:
        self.partial = True
        if self._is_whole:
            return 0
        answer = self._answer
        searched = max(0, len(answer) - len(_END) + 1)
        answer += view
        if answer[: len(_BEGINNING)] != _BEGINNING[: len(answer)]:
            raise FramingError(Cause.WS_HANDSHAKE)
        end = answer.find(_END, searched, LONGEST_ANSWER_BYTES)
        if end < 0:
            if len(answer) >= LONGEST_ANSWER_BYTES:
                raise FramingError(Cause.WS_HANDSHAKE)
            return 0
        cause = self._why_not(bytes(answer[:end]))
        if cause is not None:
            self.reject(cause)
        self._is_whole = True
        self.partial = len(answer) > end + len(_END)
        return 1

    def _why_not(self, header: bytes) -> Cause | None:
        """Return why the answer that has this header is not accepted; None if it is."""
        first, *lines = header.split(b"\r\n")
        status = _STATUS_LINE.fullmatch(first)
        matches = [_HEADER_LINE.fullmatch(line) for line in lines]
        if status is None or None in matches:
            return Cause.WS_HANDSHAKE
        if status[1] != b"101":
            return _REJECTIONS.get(int(status[1]) // 100, Cause.WS_HANDSHAKE)
        values: dict[bytes, list[bytes]] = {}
        for match in filter(None, matches):
            values.setdefault(match[1].lower(), []).append(match[2])
        return self._why_not_switched(values)

    def _why_not_switched(self, values: dict[bytes, list[bytes]]) -> Cause | None:
        """Return what is wrong with the ``values`` of the header of a 101, by name."""
        options = b",".join(values.get(b"connection", ())).lower().split(b",")
        upgrade = [each.lower() for each in values.get(b"upgrade", ())]
        if upgrade != [b"websocket"] or b"upgrade" not in map(bytes.strip, options):
            return Cause.WS_HANDSHAKE
        key = self._request.partition(_KEY_HEADER)[2].partition(b"\r\n")[0]
        if values.get(b"sec-websocket-accept") != [accept_key(key)]:
            return Cause.WS_ACCEPT
        if any(values.get(b"sec-websocket-extensions", ())):
            return Cause.WS_EXTENSION
        offered = [[each.encode()] for each in self._subprotocols] or [[]]
        chosen = values.get(b"sec-websocket-protocol", [])
        return None if chosen in offered else Cause.WS_SUBPROTOCOL
