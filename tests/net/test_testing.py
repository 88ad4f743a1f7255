"""check_protocol: the framings of loadgen keep it, and one that does not is told why."""

from collections.abc import Callable

import pytest

from loadgen import BaseDecoder, BaseFraming, Cause
from loadgen.net.protocols import (
    Delimiter,
    Echo,
    Fixed,
    Framing,
    LengthPrefix,
    UntilEof,
)
from loadgen.testing import check_protocol

LIMIT_BYTES = 2**16
LINES = [b"one\r\n", b"\r\n", b"a\rb\nc\r\n"]


@pytest.mark.parametrize(
    ("framing", "replies", "messages"),
    [
        (Fixed(3), [b"abc", b"\0\0\0"], []),
        (Echo(), [b"abc", b"d"], []),
        (Echo(verify=True), [b"abc", b"d"], [b"abc", b"d"]),
        (Delimiter(b"\r\n", LIMIT_BYTES), LINES, []),
        (LengthPrefix(1), [b"\x02ab", b"\0"], []),
        (LengthPrefix(4, "little", True, LIMIT_BYTES), [b"\x06\0\0\0ab", b"\x04\0\0\0"], []),
        (LengthPrefix(8, max_reply_bytes=LIMIT_BYTES), [bytes(7) + b"\x02ab"], []),
        (UntilEof(LIMIT_BYTES), [b"a page\n"], []),
    ],
    ids=str,
)
def test_the_framings_of_loadgen_keep_the_contract(
    framing: Framing, replies: list[bytes], messages: list[bytes]
) -> None:
    check_protocol(framing, replies, messages, LIMIT_BYTES)


class Lines(BaseDecoder):
    """Right, and a base of those that are wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = b""

    def feed(self, view: memoryview) -> int:
        *lines, self.begun = (self.begun + bytes(view)).split(b"\n")
        self.partial = bool(self.begun)
        self.begun = self.begun[-1:]
        return self.count(lines)

    def count(self, lines: list[bytes]) -> int:
        return len(lines)


class Buffers(Lines):
    def feed(self, view: memoryview) -> int:
        *lines, self.begun = (self.begun + bytes(view)).split(b"\n")
        self.partial = bool(self.begun)
        return self.count(lines)


class OneAtMost(Lines):
    def count(self, lines: list[bytes]) -> int:
        return min(1, len(lines))


class SaysNothingOfParts(Lines):
    def feed(self, view: memoryview) -> int:
        replies = super().feed(view)
        self.partial = False
        return replies


class NeedsWholes(BaseDecoder):
    def feed(self, view: memoryview) -> int:
        return bytes(view).count(b"\n") if bytes(view).endswith(b"\n") else 0


class Fails(Buffers):
    def count(self, lines: list[bytes]) -> int:
        assert not any(line.startswith(b"\xff") for line in lines), "what is this?"
        return len(lines)


class Sticks(Lines):
    def feed(self, view: memoryview) -> int:
        while b"\xff" in bytes(view):
            pass
        return super().feed(view)


class Holds(Lines):
    def feed(self, view: memoryview) -> int:
        self.view = view[:]
        return super().feed(view)


class MisplacesEnds(Lines):
    def ends(self, view: memoryview) -> list[int]:
        return [len(view)] * self.feed(view)


class RejectsTwice(Lines):
    def count(self, lines: list[bytes]) -> int:
        if len(lines) > 1:
            self.reject(Cause.REJECTED)
        return len(lines)


class RejectsEarly(Lines):
    def feed(self, view: memoryview) -> int:
        if not self.partial and bytes(view[:1]) == b"t":
            self.reject(Cause.REJECTED)
        return super().feed(view)


class Shared(BaseFraming):
    def __init__(self) -> None:
        self.one = Lines()

    def decoder(self) -> BaseDecoder:
        return self.one


class Of(BaseFraming):
    def __init__(self, make: Callable[[], BaseDecoder]) -> None:
        self.decoder = make

    def __repr__(self) -> str:
        return getattr(self.decoder, "__name__", "")


class Measures(Of):
    def reply_bytes(self, message_bytes: int) -> int | None:
        return 7


class Decodes(Of):
    def content(self, reply: bytes) -> bytes:
        return reply.decode("ascii").encode()


REPLIES = [b"one\n", b"two, three\n"]


def test_a_right_one_passes() -> None:
    check_protocol(Of(Lines), REPLIES, most_reply_bytes=LIMIT_BYTES)


@pytest.mark.parametrize(
    ("framing", "complaint"),
    [
        (Of(Buffers), r"a decoder keeps \d+ bytes; a reply may have 65536"),
        (Of(OneAtMost), r"says replies \d, not 4"),
        (Of(SaysNothingOfParts), r"partial is not set after 1 of the 4 bytes of b'one\\n'"),
        (Of(NeedsWholes), r"partial is not set"),
        (Of(Fails), r"may raise nothing but FramingError.* AssertionError: what is this"),
        (Of(Sticks), r"a decoder goes on for ever with"),
        (Of(Holds), r"keeps a reference to the view"),
        (Of(MisplacesEnds), r"ends\(\) says \[11, 11|the contents are"),
        (Of(RejectsTwice), r"a decoder says rejected"),
        (Of(RejectsEarly), r"is rejected after 1 bytes, before it is whole"),
        (Delimiter(b"\r\n"), r"b'one\\n' is one reply; a decoder finds 0"),
        (Shared(), r"decoder\(\) returns the same decoder again"),
        (Measures(Lines), r"reply_bytes says that b'one\\n' has 7 bytes; it has 4"),
        (Decodes(Lines), r"UnicodeDecodeError"),
    ],
    ids=lambda value: repr(value)[:30] if isinstance(value, Of) else None,
)
def test_a_wrong_one_is_told_why(framing: Framing, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_protocol(framing, REPLIES, most_reply_bytes=LIMIT_BYTES)
