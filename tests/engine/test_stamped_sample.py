"""Stamps for every n-th reply only."""

import sys
from collections.abc import Iterator

import pytest
from stamping import BOTH_PATHS, StampedWire
from stepped_engine import conversation

from loadgen.net.clock import wall_ns
from loadgen.net.timestamps import keep_stamping

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux has stamps"
)


@pytest.fixture(scope="module", autouse=True)
def kept() -> Iterator[None]:
    with keep_stamping(wall_ns):
        yield


def stamped(wire: StampedWire) -> str:
    return "".join("x" if kind == "stamp" else "." for _, kind in wire.kinds())


@BOTH_PATHS
@pytest.mark.parametrize("pieces", [(b"ping",), (b"pi", b"ng"), (b"p", b"in", b"g")])
@pytest.mark.parametrize(
    ("every", "index", "expected"),
    [
        (1, 0, "xxxxxxxxxxxx"),
        (2, 0, "x.x.x.x.x.x."),
        (2, 1, ".x.x.x.x.x.x"),
        (3, 0, "x..x..x..x.."),
        (3, 1, ".x..x..x..x."),
        (3, 2, "..x..x..x..x"),
        (3, 3, "x..x..x..x.."),
        (100, 7, ".......x...."),
    ],
)
def test_every_nth_reply_has_one_however_it_is_cut(
    payloads: tuple[bytes, ...], pieces: tuple[bytes, ...], every: int, index: int, expected: str
) -> None:
    with StampedWire(conversation(*payloads), stamp_every=every, index=index) as wire:
        wire.begin()
        for _ in expected:
            for piece in pieces:
                wire.reply(piece)
            wire.channel.transmit()
        assert stamped(wire) == expected
        assert {kind for _, kind in wire.kinds()} <= {"stamp", "not asked"}


@BOTH_PATHS
def test_a_reply_in_two_reads_does_not_change_which_have_one(
    payloads: tuple[bytes, ...],
) -> None:
    with StampedWire(conversation(*payloads), stamp_every=2) as wire:
        wire.begin()
        for number in range(12):
            for piece in ((b"ping",), (b"p", b"ing"))[number % 3 == 0]:
                wire.reply(piece)
            wire.channel.transmit()
        assert stamped(wire) == "x." * 6
