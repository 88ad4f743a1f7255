r"""MQTT 3.1.1: a CONNECT before the load, and PUBLISH of QoS 1, each answered by its PUBACK.

    loadgen localhost:1883 --reply examples.mqtt:Packets \
        --first-message '\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00' \
        --payload '2\x0c\x00\x05topic\x00\x01hey' --expect '\x40'

Each packet is a byte for its kind, its length in one to four bytes of seven bits, and that much.
The identifier of a PUBLISH may be used again when it has been acknowledged, so ``--pipeline`` is 1.

Specification: https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html
"""

from typing import Final

from loadgen import BaseDecoder, BaseFraming, Cause, FramingError

CONNACK: Final = 2


def connect(client: str = "") -> bytes:
    """Return a CONNECT with a clean session; without an identifier the server makes one."""
    return packet(0x10, b"\x00\x04MQTT\x04\x02\x00\x00" + text(client))


def publish(topic: str, payload: bytes, identifier: int = 1) -> bytes:
    """Return a PUBLISH of QoS 1."""
    return packet(0x32, text(topic) + identifier.to_bytes(2) + payload)


def packet(kind_and_flags: int, body: bytes) -> bytes:
    """Return a packet."""
    length, size = bytearray(), len(body)
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([kind_and_flags, *length, size]) + body


def text(value: str) -> bytes:
    """Return ``value`` with its length before it."""
    return len(value.encode()).to_bytes(2) + value.encode()


class Packets(BaseFraming):
    """Each reply is a packet; a CONNACK with a return code rejects."""

    def __init__(self, max_reply_bytes: int) -> None:
        """Let a packet have ``max_reply_bytes`` behind its length."""
        self.max_reply_bytes = max_reply_bytes

    def decoder(self) -> "PacketsDecoder":
        """Return a decoder for one connection."""
        return PacketsDecoder(self.max_reply_bytes)


class PacketsDecoder(BaseDecoder):
    """Reads the head of a packet and its first two bytes, and skips the others."""

    def __init__(self, max_reply_bytes: int) -> None:
        """Begin between packets."""
        super().__init__()
        self._max_reply_bytes = max_reply_bytes
        self._head = b""  # the kind, and the length as far as it has come
        self._body = b""  # its first two bytes
        self._missing_bytes = 0
        self._has_length = False

    def feed(self, view: memoryview) -> int:
        """Return how many packets are whole now."""
        replies = position = 0
        while position < len(view):
            self.partial = True
            if self._has_length:
                part = view[position : position + self._missing_bytes]
                self._body += part[: 2 - len(self._body)]
                self._missing_bytes -= len(part)
                position += len(part)
            else:
                self._read_head(view[position])
                position += 1
            if self._has_length and not self._missing_bytes:
                self._end_packet()
                replies += 1
        return replies

    def _read_head(self, byte: int) -> None:
        self._head += bytes([byte])
        if len(self._head) > 1 and byte < 0x80:
            digits = enumerate(self._head[1:])
            self._missing_bytes = sum((digit & 0x7F) << 7 * place for place, digit in digits)
            self._has_length = True
        elif len(self._head) > 4:
            raise FramingError(Cause.BAD_FRAME)
        if self._missing_bytes > self._max_reply_bytes:
            raise FramingError(Cause.REPLY_TOO_LONG)

    def _end_packet(self) -> None:
        if self._head[0] >> 4 == CONNACK and self._body[1:] != b"\0":
            self.reject(Cause.REJECTED)
        self._head, self._body, self._has_length, self.partial = b"", b"", False, False
