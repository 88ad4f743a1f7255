"""What the native module does with arguments that are wrong: an exception, and nothing else.

The tests of this file say little where the module was compiled as usual; `test_native_sanitized`
runs them where every access outside of an array ends the process.
"""

import socket
import struct
from array import array
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from native_slots import (
    EQUAL,
    FAILED,
    NO_BATCH,
    OTHER,
    ROW,
    SENT,
    SLOT,
    UNKNOWN,
    Batch,
    Ends,
    Slots,
    ends,
    event,
    integers,
    native,
)

__all__ = ["ends"]

HUGE: Final = 2**63
REFUSALS: Final = (ValueError, TypeError, OverflowError, BufferError)


class Calls:
    """The arguments of one good call of each function, to be spoilt."""

    def __init__(self, ours: socket.socket) -> None:
        self.slots = Slots()
        self.slots.add(ours.fileno(), batches_left=1, unscheduled=1)
        table, failed = self.slots.table, self.slots.failed
        self.events = array("q", [event(ours.fileno())])
        self.given: dict[str, list[Any]] = {
            "receive": [table, self.events, 0, 1, self.slots.out, 0],
            "send": [table, array("q", [0]), 1, failed],
            "submit": [table, array("q", [0, 1, 2]), 1, self.slots.sends, 0, failed],
        }

    def spoil(self, name: str, place: int, within: int | None, value: Any) -> None:
        """Put ``value`` in the place of an argument, or of what stands at ``within`` in it."""
        if within is not None:
            items = list(self.given[name][place])
            items[within] = value
            value = tuple(items)
        self.given[name][place] = value

    def call(self, name: str) -> Any:
        return getattr(native, name)(*self.given[name])


def no_integers() -> dict[str, Any]:
    """Return what is not an array of 64-bit integers that can be written."""
    return {
        "read-only": bytes(8 * 64),
        "misaligned": memoryview(bytearray(8 * 64 + 1))[1:],
        "of no whole integers": bytearray(13),
        "strided": memoryview(integers(128))[::2],
        "a list": [0] * 64,
        "nothing": None,
    }


ARRAYS: Final = (
    ("receive", 0, 0),
    ("receive", 0, 1),
    ("receive", 1, None),
    ("receive", 4, 0),
    ("receive", 4, 1),
    ("receive", 4, 2),
    ("send", 0, 0),
    ("send", 1, None),
    ("send", 3, None),
    ("submit", 0, 0),
    ("submit", 1, None),
    ("submit", 3, None),
    ("submit", 5, None),
)


@pytest.mark.parametrize("kind", no_integers())
@pytest.mark.parametrize(("name", "place", "within"), ARRAYS)
def test_what_is_no_array_of_integers_is_refused(
    ends: Ends, name: str, place: int, within: int | None, kind: str
) -> None:
    calls = Calls(ends.pair()[0])
    before = list(calls.slots.slots)
    calls.spoil(name, place, within, no_integers()[kind])
    with pytest.raises((ValueError, TypeError, BufferError)):
        calls.call(name)
    assert list(calls.slots.slots) == before


BAD: Final[Sequence[tuple[str, int, int | None, Any, type[Exception]]]] = (
    *((name, 0, None, [1, 2, 3, 4, 5], TypeError) for name in ("receive", "send", "submit")),
    *((name, 0, None, (1, 2), TypeError) for name in ("receive", "send", "submit")),
    *((name, 0, 2, [Batch()], TypeError) for name in ("receive", "send", "submit")),
    *((name, 0, 4, HUGE, OverflowError) for name in ("receive", "send", "submit")),
    ("receive", 0, 3, b"read-only", BufferError),
    ("receive", 0, 3, bytearray(), ValueError),
    ("receive", 2, None, -1, ValueError),
    ("receive", 2, None, 2, ValueError),
    ("receive", 2, None, HUGE, OverflowError),
    ("receive", 2, None, "0", TypeError),
    ("receive", 3, None, 2, ValueError),
    ("receive", 3, None, HUGE - 1, ValueError),
    ("receive", 3, None, -HUGE, ValueError),
    ("receive", 4, None, [1, 2, 3], TypeError),
    ("receive", 4, 0, integers(ROW - 1), ValueError),
    ("receive", 4, 0, integers(0), ValueError),
    ("receive", 4, 1, integers(0), ValueError),
    ("receive", 4, 2, integers(OTHER - 1), ValueError),
    ("receive", 5, None, -1, ValueError),
    ("receive", 5, None, 64, ValueError),
    ("receive", 5, None, HUGE - 1, ValueError),
    ("send", 1, None, array("q", [1]), ValueError),
    ("send", 1, None, array("q", [-1]), ValueError),
    ("send", 1, None, array("q", [HUGE - 1]), ValueError),
    ("send", 1, None, integers(0), ValueError),
    ("send", 2, None, -1, ValueError),
    ("send", 2, None, HUGE - 1, ValueError),
    ("send", 3, None, integers(FAILED - 1), ValueError),
    ("submit", 1, None, array("q", [1, 0, 0]), ValueError),
    ("submit", 1, None, array("q", [-HUGE, 0, 0]), ValueError),
    ("submit", 1, None, integers(SENT - 1), ValueError),
    ("submit", 2, None, -1, ValueError),
    ("submit", 2, None, HUGE - 1, ValueError),
    ("submit", 3, None, integers(SENT - 1), ValueError),
    ("submit", 4, None, -1, ValueError),
    ("submit", 4, None, 64, ValueError),
    ("submit", 4, None, HUGE - 1, ValueError),
    ("submit", 5, None, integers(FAILED - 1), ValueError),
)


@pytest.mark.parametrize(
    ("name", "place", "within", "value", "error"),
    [pytest.param(*case, id=f"{case[0]}-{number}") for number, case in enumerate(BAD)],
)
def test_bad_arguments_are_refused_before_anything_is_done(
    ends: Ends, name: str, place: int, within: int | None, value: Any, error: type[Exception]
) -> None:
    ours, peer = ends.pair()
    peer.sendall(b"pong")
    peer.setblocking(False)
    calls = Calls(ours)
    before = list(calls.slots.slots)
    calls.spoil(name, place, within, value)
    with pytest.raises(error):
        calls.call(name)
    assert list(calls.slots.slots) == before
    assert ours.recv(10) == b"pong"
    with pytest.raises(BlockingIOError):
        peer.recv(10)


def spoilt(**fields: Any) -> tuple[Any, ...]:
    """Return a batch with other ``fields``."""
    return tuple((Batch()._asdict() | fields).values())


@pytest.mark.parametrize(
    ("batches", "number", "error"),
    [
        ((), 0, ValueError),
        ((Batch(),), 1, ValueError),
        ((Batch(),), -1, ValueError),
        ((Batch(),), HUGE - 1, ValueError),
        ((tuple(Batch())[:7],), 0, ValueError),
        ((list(Batch()),), 0, TypeError),
        ((None,), 0, TypeError),
        ((spoilt(data="text"),), 0, TypeError),
        ((spoilt(reply=bytearray()),), 0, TypeError),
        ((spoilt(messages=1.5),), 0, TypeError),
        ((spoilt(reply_bytes=HUGE),), 0, OverflowError),
        ((spoilt(unstamped_after=None),), 0, TypeError),
    ],
)
@pytest.mark.parametrize("name", ["receive", "send", "submit"])
def test_a_batch_that_is_none_is_refused(
    ends: Ends, name: str, batches: tuple[Any, ...], number: int, error: type[Exception]
) -> None:
    ours, peer = ends.pair()
    peer.sendall(b"pong")
    calls = Calls(ours)
    calls.spoil(name, 0, 2, batches)
    calls.slots.change(0, batch=number)
    for _ in range(2):  # nothing of it is kept
        with pytest.raises(error):
            calls.call(name)
    assert ours.recv(10) == b"pong"


@pytest.mark.parametrize("name", ["receive", "send", "submit"])
@pytest.mark.parametrize("change", [-1, 1])
def test_the_number_of_arguments_is_checked(ends: Ends, name: str, change: int) -> None:
    calls = Calls(ends.pair()[0])
    given = calls.given[name]
    with pytest.raises(TypeError, match=f"{name} takes {len(given)} arguments"):
        getattr(native, name)(*given[: len(given) + min(change, 0)], *[0] * max(change, 0))


def test_a_slot_that_is_not_there_leaves_what_was_sent_before_it(ends: Ends) -> None:
    ours, peer = ends.pair()
    table = Slots()
    table.add(ours.fileno(), batches_left=1)
    with pytest.raises(ValueError, match="no slot of that number"):
        table.send(0, 1)
    assert peer.recv(10) == b"ping"
    assert table.get(0, "in_flight") == [1]


def test_empty_arrays_are_arrays(ends: Ends) -> None:
    del ends
    table = Slots()
    table.rows = table.replied = table.others = table.failed = table.sends = array("q")
    assert table.receive() == (0, [], [], [])
    assert table.send() == []
    assert table.submit() == ([], [])


WATCHED: Final = 8 * 2  # bytes of two ``struct pollfd``


@pytest.mark.parametrize(
    ("name", "given", "error"),
    [
        ("wait_epoll", (-1, 0, integers(1)), ValueError),
        ("wait_epoll", (2**31, 0, integers(1)), ValueError),
        ("wait_epoll", (HUGE, 0, integers(1)), OverflowError),
        ("wait_epoll", (0, HUGE, integers(1)), OverflowError),
        ("wait_epoll", (0, 0, b"12345678"), BufferError),
        ("wait_epoll", (0, 0), TypeError),
        *(
            (name, given, error)
            for name in ("wait_poll", "wait_select")
            for given, error in (
                ((bytearray(WATCHED), 3, 0, 0, integers(1)), ValueError),
                ((bytearray(WATCHED), -1, 0, 0, integers(1)), ValueError),
                ((bytearray(WATCHED), HUGE - 1, 0, 0, integers(1)), ValueError),
                ((bytearray(WATCHED), 2, 0, -1, integers(1)), ValueError),
                ((bytearray(WATCHED), 2, 0, -HUGE, integers(1)), ValueError),
                ((bytearray(WATCHED), 2, HUGE, 0, integers(1)), OverflowError),
                ((memoryview(bytearray(WATCHED + 1))[1:], 2, 0, 0, integers(1)), ValueError),
                ((bytes(WATCHED), 2, 0, 0, integers(1)), BufferError),
                ((bytearray(WATCHED), 2, 0, 0, bytearray(7)), ValueError),
                ((bytearray(WATCHED), 2, 0, 0), TypeError),
            )
        ),
    ],
)
def test_bad_arguments_of_waits_are_refused(
    name: str, given: tuple[Any, ...], error: type[Exception]
) -> None:
    if not hasattr(native, name):
        pytest.skip(f"{name} is not for this system")
    with pytest.raises(error):
        getattr(native, name)(*given)


# ---- whatever it may be ----------------------------------------------------------------------

SMALL: Final = st.integers(-3, 5)
LARGE: Final = st.sampled_from([64, 2**31, 2**32, 2**32 + 1, 2**62, HUGE - 1, -HUGE, HUGE])
NUMBERS: Final = st.one_of(SMALL, LARGE)
WITHIN_64_BITS: Final = st.one_of(SMALL, LARGE.filter(lambda number: number < HUGE))
AWAITED: Final = st.sampled_from([NO_BATCH, UNKNOWN, 0, 1, 4, 8, 70_000, HUGE - 1, -HUGE])
BATCHES: Final = st.builds(
    Batch,
    data=st.sampled_from([b"", b"x", b"ping", bytes(100_000)]),
    reply_bytes=AWAITED,
    messages=WITHIN_64_BITS,
    check=st.integers(-1, EQUAL + 2),
    reply=st.sampled_from([b"", b"x", b"ping", b"\r\n", bytes(80_000)]),
    kind=NUMBERS,
    most_bytes=WITHIN_64_BITS,
    unstamped_after=WITHIN_64_BITS,
)
ANY_COLUMNS: Final = dict.fromkeys(SLOT, WITHIN_64_BITS) | {
    "awaited_bytes": AWAITED,
    "batch": st.one_of(st.integers(0, 2), WITHIN_64_BITS),
    "batches_granted": SMALL,  # these count up without a limit, which no run reaches
    "received_bytes": SMALL,
    "batches_left": st.integers(0, 2),
    "unscheduled": st.integers(0, 2),
    "descriptor": st.sampled_from([-1, 5000, 2**31, 2**32, HUGE - 1]),  # no other's socket
}


class Anything(NamedTuple):
    """What the functions are called with."""

    batches: list[Batch]
    columns: list[dict[str, int]]
    slot_of: list[int | None]
    texts: list[bytes]
    who: list[int]
    numbers: list[int]
    rooms: list[int]
    buffer_bytes: int


EVERYTHING: Final = st.builds(
    Anything,
    batches=st.lists(BATCHES, min_size=1, max_size=3),
    columns=st.lists(st.fixed_dictionaries({}, optional=ANY_COLUMNS), min_size=1, max_size=4),
    slot_of=st.lists(st.one_of(st.none(), WITHIN_64_BITS), min_size=4, max_size=4),
    texts=st.lists(
        st.sampled_from([b"", b"x", b"ping", b"pingping", b"a\r\n", bytes(70_000)]),
        min_size=4,
        max_size=4,
    ),
    who=st.lists(st.one_of(st.integers(0, 3), WITHIN_64_BITS), max_size=6),
    numbers=st.lists(NUMBERS, min_size=4, max_size=4),
    rooms=st.lists(st.integers(0, 60), min_size=5, max_size=5),
    buffer_bytes=st.sampled_from([0, 1, 4, 1000, 65_536, 65_540, 200_000]),
)


def sockets_and_slots(of: Anything, ends: Ends) -> tuple[Slots, "array[int]"]:
    """Return slots with real sockets on which something has come in, and the events of that."""
    table = Slots(*of.batches, buffer_bytes=of.buffer_bytes)
    events = array("q")
    for columns, slot, text in zip(of.columns, of.slot_of, of.texts, strict=False):
        ours, peer = ends.pair()
        number = table.add(ours.fileno())
        table.change(number, **columns)
        table.slot_of[ours.fileno()] = number if slot is None else slot
        peer.setblocking(False)
        peer.send(text)
        events.append(event(ours.fileno()))
    table.rows, table.replied, table.others, table.failed, table.sends = map(integers, of.rooms)
    table.slots.append(1)  # a slot that is not whole
    return table, events


@given(EVERYTHING)
def test_whatever_is_given_is_handled_or_refused(of: Anything) -> None:
    with Ends() as ends:
        table, events = sockets_and_slots(of, ends)
        first, last, filled, count = of.numbers
        who, ready = array("q", of.who), len(events)
        for name, given_ in (
            ("receive", (events, first, last, table.out, filled)),
            ("receive", (events, 0, 1, table.out, filled)),
            ("receive", (events, 0, ready, table.out, 0)),
            ("send", (who, count, table.failed)),
            ("send", (who, len(who), table.failed)),
            ("submit", (who, count, table.sends, filled, table.failed)),
            ("submit", (who, len(who) // SENT, table.sends, 0, table.failed)),
            ("receive", (array("q", of.who), 0, len(who), table.out, 0)),
        ):
            with suppress(*REFUSALS):
                getattr(native, name)(table.table, *given_)


@given(
    watched=st.lists(st.tuples(st.integers(-2, 1100), st.integers(-1, 2000)), max_size=5),
    numbers=st.lists(NUMBERS, min_size=2, max_size=2),
    timeout_ns=st.sampled_from([0, 1]),
    room=st.integers(0, 3),
)
def test_whatever_is_watched_is_found_or_refused(
    watched: list[tuple[int, int]], numbers: list[int], timeout_ns: int, room: int
) -> None:
    packed = bytearray(b"".join(struct.pack("ihh", *each, 0) for each in watched))
    for name in ("wait_poll", "wait_select"):
        for count, start in (numbers, (len(watched), 7)):
            with suppress(*REFUSALS, OSError, AttributeError):
                getattr(native, name)(packed, count, timeout_ns, start, integers(room))
    with suppress(*REFUSALS, OSError, AttributeError):
        native.wait_epoll(numbers[0], timeout_ns, integers(room))
