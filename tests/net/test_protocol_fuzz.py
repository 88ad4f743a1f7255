"""Untrusted peers: no decoder falls over what it is fed, goes on for ever, or keeps it all.

``python -m bench fuzz_protocols`` tries many more.
"""

import itertools
import tracemalloc

import pytest
from hypothesis import given, settings
from protocol_fuzz import (
    LIMIT_BYTES,
    MESSAGES,
    OWN_FORMS,
    PLACES,
    STREAM_FORMS,
    STREAMS,
    framings,
    variants,
)

from loadgen.net import protocols
from loadgen.net.failure import Cause
from loadgen.net.protocols import Framing, FramingError
from loadgen.testing import check_bytes

FRAMINGS = dict(framings())

every_framing = pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS)


def test_every_framing_is_among_them() -> None:
    assert {form.partition(":")[0] for form in OWN_FORMS} == set(protocols.NAMES)
    assert {"http", "resp", "websocket"} <= set(STREAM_FORMS) <= set(FRAMINGS)


@every_framing
@given(stream=STREAMS, places=PLACES)
@settings(max_examples=40)
def test_a_decoder_says_the_same_of_anything_however_it_is_cut(
    framing: Framing, stream: bytes, places: list[int]
) -> None:
    for _, each in variants(framing):
        check_bytes(each, stream, places, MESSAGES)


BEGINNINGS = (
    *(b"", b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\0" * 7 + b"\xff"),
    *(b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.1 200 OK\r\n"),
    *(b"$", b"+", b"\x82\x7f\x7f" + b"\xff" * 7),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
)
FILLERS = (b"a", b"1", b"*1\r\n", b"\x01\x01a", b"\r", b"1\r\na\r\n")


@every_framing
def test_what_never_ends_is_refused_or_forgotten(framing: Framing) -> None:
    """A header without end, a delimiter that never comes, a length of 2^63, nesting, chunks."""
    for begun, filler in itertools.product(BEGINNINGS, FILLERS):
        assert kept_bytes(framing, begun, filler) < 6 * LIMIT_BYTES, (begun, filler)


def kept_bytes(framing: Framing, begun: bytes, filler: bytes) -> int:
    """Return how much memory a decoder keeps of what begins with ``begun`` and does not end."""
    decoder = framing.decoder()
    decoder.expect(b"".join(MESSAGES), list(map(len, MESSAGES)))
    chunk = filler * (4 * LIMIT_BYTES // len(filler))
    tracemalloc.start()
    try:
        decoder.feed(memoryview(begun))
        for _ in range(8):
            if decoder.feed(memoryview(chunk)) or decoder.closes:
                break
    except FramingError:
        pass
    finally:
        kept = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    return kept


@pytest.mark.parametrize(
    ("form", "reply", "cause"),
    [
        ("length:u64", b"\x80" + bytes(7), Cause.REPLY_TOO_LONG),
        ("length:u64", b"\xff" * 8, Cause.REPLY_TOO_LONG),
        ("length:u64,header-included", bytes(7) + b"\x07", Cause.BAD_FRAME),
        (r"delimiter:\r\n", b"\r" * (LIMIT_BYTES + 1), Cause.REPLY_TOO_LONG),
        ("eof", b"." * (LIMIT_BYTES + 1), Cause.REPLY_TOO_LONG),
    ],
)
def test_the_cause_is_named(form: str, reply: bytes, cause: Cause) -> None:
    with pytest.raises(FramingError) as error:
        protocols.parse(form, LIMIT_BYTES).decoder().feed(memoryview(reply))
    assert error.value.cause is cause
