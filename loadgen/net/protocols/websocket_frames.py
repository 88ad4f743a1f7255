"""Frames of WebSocket (RFC 6455, section 5): written with their masks, and their headers read.

Facts. A client masks each frame: its payload is combined by exclusive or with a key of four bytes,
repeated. Section 5.3 wants the key to be fresh for each frame, and unpredictable, so that whoever
chooses the payload cannot choose the bytes on the wire. Nothing else of a frame depends on it.

Decision. The whole frame is one number, its first byte the lowest: the key, times a number with a
one at each place where it belongs, is all that the mask adds to it. So a short frame is masked in
0.3 µs, without a loop and without a library. For a longer one, numpy is faster: 6 µs for 64 KiB.
"""

import os
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

import numpy as np

from loadgen.net.failure import Cause
from loadgen.net.protocols.base import FramingError

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

MOST_CONTROL_BYTES: Final = 125
"""The longest payload of a control frame (section 5.5)."""

_FINAL: Final = 0x80
_RESERVED: Final = 0x70
_OPCODE: Final = 0x0F
_MASKED: Final = 0x80
_KNOWN: Final = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
_LENGTH_IN_2: Final = 126
_LENGTH_IN_8: Final = 127
_KEY_BYTES: Final = 4
_AS_NUMBER_BYTES: Final = 1024
"""Up to this length, a frame is masked faster as one number than by numpy."""


class Header(NamedTuple):
    """The header of a frame. header_bytes: its own length, with the key of the mask."""

    opcode: int
    is_final: bool
    is_masked: bool
    header_bytes: int
    payload_bytes: int

    @property
    def is_control(self) -> bool:
        """Whether it is a close, a ping or a pong."""
        return self.opcode >= CLOSE


def is_masked(data: memoryview, at: int) -> bool:
    """Whether the frame that begins at ``at`` is seen to be masked."""
    return len(data) - at > 1 and bool(data[at + 1] & _MASKED)


def read_header(data: memoryview, at: int = 0) -> Header | None:
    """Return the header that begins at ``at``; None if it is not whole.

    Raises FramingError for what section 5.2 does not allow, since no extension is in use.
    """
    room = len(data) - at
    if room < 2:
        return None
    first, second = data[at], data[at + 1]
    opcode, length = first & _OPCODE, second & ~_MASKED
    is_final = bool(first & _FINAL)
    is_bad = first & _RESERVED or opcode not in _KNOWN
    if is_bad or (opcode >= CLOSE and (length > MOST_CONTROL_BYTES or not is_final)):
        raise FramingError(Cause.BAD_FRAME)
    header_bytes = 2
    if length >= _LENGTH_IN_2:
        header_bytes = 4 if length == _LENGTH_IN_2 else 10
        least = _LENGTH_IN_2 if length == _LENGTH_IN_2 else 2**16
        if room < header_bytes:
            return None
        length = int.from_bytes(data[at + 2 : at + header_bytes], "big")
        if not least <= length < 2**63:  # the shortest form that fits, and its first bit is 0
            raise FramingError(Cause.BAD_FRAME)
    has_key = is_masked(data, at)
    return Header(opcode, is_final, has_key, header_bytes + _KEY_BYTES * has_key, length)


def payload_of(message: bytes) -> bytes:
    """Return the payload of ``message``: whole frames, masked or not, maybe with control frames.

    Raises FramingError if they are none.
    """
    view = memoryview(message)
    parts = []
    at = 0
    while at < len(view):
        header = read_header(view, at)
        if header is None or at + header.header_bytes + header.payload_bytes > len(view):
            raise FramingError(Cause.BAD_FRAME)
        start = at + header.header_bytes
        at = start + header.payload_bytes
        if not header.is_control:
            part = bytes(view[start:at])
            parts.append(_unmasked(view[start - _KEY_BYTES : at]) if header.is_masked else part)
    return b"".join(parts)


def _unmasked(keyed: memoryview) -> bytes:
    key = np.frombuffer(keyed[:_KEY_BYTES], dtype=np.uint32)
    payload_bytes = len(keyed) - _KEY_BYTES
    padded = bytes(keyed[_KEY_BYTES:]).ljust(_in_words(payload_bytes))
    return (np.frombuffer(padded, dtype=np.uint32) ^ key).tobytes()[:payload_bytes]


def _in_words(size_bytes: int) -> int:
    return -(-size_bytes // _KEY_BYTES) * _KEY_BYTES


# ---- written ------------------------------------------------------------------------------


def new_keys() -> Iterator[int]:
    """Yield keys of masks without end, from the system's source of randomness (getrandom(2))."""
    while True:
        yield from memoryview(os.urandom(4096)).cast("I")


class Maskable(Protocol):
    """A frame whose mask is chosen each time that it is sent."""

    def masked(self, key: int) -> bytes:
        """Return its bytes on the wire with the mask ``key``, a number of 32 bits."""
        ...


def frame(opcode: int, payload: bytes, *, is_final: bool = True) -> Maskable:
    """Return the frame of a client that carries ``payload``."""
    length = len(payload)
    first = opcode | (_FINAL if is_final else 0)
    if length < _LENGTH_IN_2:
        header = bytes((first, _MASKED | length))
    elif length < 2**16:
        header = bytes((first, _MASKED | _LENGTH_IN_2)) + length.to_bytes(2, "big")
    else:
        header = bytes((first, _MASKED | _LENGTH_IN_8)) + length.to_bytes(8, "big")
    kind = _AsNumber if length <= _AS_NUMBER_BYTES else _AsArray
    return kind(header, payload)


class _AsNumber:
    __slots__ = ("_frame_bytes", "_key_places", "_unmasked", "_words_bytes")

    def __init__(self, header: bytes, payload: bytes) -> None:
        keyed_bytes = _in_words(_KEY_BYTES + len(payload))
        self._unmasked = int.from_bytes(header + bytes(_KEY_BYTES) + payload, "little")
        ones = b"\x01\x00\x00\x00" * (keyed_bytes // _KEY_BYTES)
        self._key_places = int.from_bytes(bytes(len(header)) + ones, "little")
        self._frame_bytes = len(header) + _KEY_BYTES + len(payload)
        self._words_bytes = len(header) + keyed_bytes

    def masked(self, key: int) -> bytes:
        # The key itself stands before the payload: it is where the mask meets zeros.
        number = self._unmasked ^ key * self._key_places
        return number.to_bytes(self._words_bytes, "little")[: self._frame_bytes]


class _AsArray:
    __slots__ = ("_header", "_payload_bytes", "_words")

    def __init__(self, header: bytes, payload: bytes) -> None:
        padded = payload.ljust(_in_words(len(payload)))
        self._header = header
        self._words = np.frombuffer(padded, dtype="<u4")
        self._payload_bytes = len(payload)

    def masked(self, key: int) -> bytes:
        words = (self._words ^ np.uint32(key)).view(np.uint8)[: self._payload_bytes]
        return b"".join((self._header, key.to_bytes(_KEY_BYTES, "little"), words.data))


def message_frames(opcode: int, payload: bytes, frame_bytes: int | None) -> tuple[Maskable, ...]:
    """Return the frames of a message: one, or as many of ``frame_bytes`` of payload as it takes."""
    size = frame_bytes or max(1, len(payload))
    starts = range(0, max(1, len(payload)), size)
    return tuple(
        frame(
            CONTINUATION if start else opcode,
            payload[start : start + size],
            is_final=start + size >= len(payload),
        )
        for start in starts
    )


def control_frame(opcode: int, payload: bytes) -> bytes:
    """Return a masked control frame, to be sent once."""
    return frame(opcode, payload).masked(int.from_bytes(os.urandom(_KEY_BYTES), "little"))


def close_frame(code: int) -> bytes:
    """Return a masked close frame, to be sent once."""
    return control_frame(CLOSE, code.to_bytes(2, "big"))
