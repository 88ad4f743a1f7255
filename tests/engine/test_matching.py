"""Which message a datagram answers, and that each message has one end."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.engine.matching import MOST_LOST, DatagramTally, InOrder, Matching, Numbered

Make = Callable[[DatagramTally], Matching]

ACTIONS = st.lists(
    st.tuples(st.sampled_from(["send", "reply", "give up", "clear"]), st.integers(0, 30)),
    max_size=80,
)


def match(matching: Matching, number: int) -> int | None:
    """Return when the message was sent that a reply with ``number`` answers."""
    return match_bytes(matching, number.to_bytes(8))


def match_bytes(matching: Matching, reply: bytes) -> int | None:
    sent = matching.match(bytearray(reply + b"of another datagram"), len(reply))
    return None if sent is None else sent[1]


def numbered(count: int) -> tuple[Numbered, DatagramTally]:
    """Messages 0 to ``count``, sent at the moments 100, 101, and so on."""
    tally = DatagramTally()
    matching = Numbered(tally)
    for number in range(count):
        matching.add((0, 100 + number, b"message"))
    return matching, tally


class TestNumbered:
    def test_puts_the_number_into_the_first_eight_bytes(self) -> None:
        matching, _ = numbered(258)
        assert matching.datagram(b"12345678 and more") == b"\0\0\0\0\0\0\1\2 and more"
        assert matching.datagram(b"12345678") == b"\0\0\0\0\0\0\1\2"

    def test_finds_each_message_in_any_order(self) -> None:
        matching, tally = numbered(4)
        assert [match(matching, number) for number in (2, 0, 3, 1)] == [102, 100, 103, 101]
        assert tally == DatagramTally(reordered=2)  # 0 after 2, and 1 after 3

    def test_tells_late_from_duplicate(self) -> None:
        matching, tally = numbered(3)
        assert match(matching, 1)
        assert matching.give_up(101) == 1  # 0; 1 is answered, and 2 was sent later
        assert tally == DatagramTally(lost=1)
        assert [match(matching, number) for number in (1, 0, 0)] == [None] * 3
        assert tally == DatagramTally(late=1, duplicates=2)
        assert matching.oldest_sent_ns == 102

    @pytest.mark.parametrize("reply", [b"", b"1234567", (3).to_bytes(8), b"\xff" * 8])
    def test_knows_no_other_number(self, reply: bytes) -> None:
        matching, tally = numbered(3)
        assert match_bytes(matching, reply) is None
        assert tally == DatagramTally(unmatched=1)

    def test_forgets_the_oldest_of_very_many_lost_ones(self) -> None:
        matching, tally = numbered(MOST_LOST + 2)
        assert matching.give_up(100 + MOST_LOST + 2) == MOST_LOST + 2
        for number in (0, 1, 2):
            assert match(matching, number) is None
        assert tally == DatagramTally(lost=MOST_LOST + 1, late=1, unmatched=2)

    def test_of_another_socket_are_unmatched(self) -> None:
        matching, tally = numbered(2)
        matching.clear()
        matching.add((0, 200, b"message"))
        assert match(matching, 1) is None
        assert match(matching, 2)
        assert tally == DatagramTally(unmatched=1)


class TestInOrder:
    def test_a_reply_answers_the_oldest_and_one_too_many_is_late(self) -> None:
        tally = DatagramTally()
        matching = InOrder(tally)
        for number in range(3):
            matching.add((0, 100 + number, b"message"))
        assert matching.give_up(100) == 1
        assert [match_bytes(matching, b"?") for _ in range(4)] == [101, 102, None, None]
        assert tally == DatagramTally(late=1, unmatched=1)
        assert matching.datagram(b"as it is") == b"as it is"


@pytest.mark.parametrize("make", [InOrder, Numbered])
@given(actions=ACTIONS)
def test_every_message_has_one_end(make: Make, actions: list[tuple[str, int]]) -> None:
    tally = DatagramTally()
    matching: Any = make(tally)
    submitted = answered = cleared = in_flight = replies = 0
    for action, number in actions:
        match action:
            case "send":
                matching.add((0, submitted, b"message"))
                submitted += 1
                in_flight += 1
            case "reply":
                replies += 1
                if match(matching, number) is not None:
                    answered += 1
                    in_flight -= 1
            case "give up":
                in_flight -= matching.give_up(number)
            case "clear":
                matching.clear()
                cleared += in_flight
                in_flight = 0
        assert submitted == answered + tally.lost + tally.late + cleared + in_flight
        assert replies == answered + tally.late + tally.duplicates + tally.unmatched
        assert tally.reordered <= answered
        if in_flight:
            assert matching.oldest_sent_ns < submitted


@pytest.mark.parametrize("make", [InOrder, Numbered])
def test_what_was_lost_before_another_tally_is_late_in_the_first(make: Make) -> None:
    before, after = DatagramTally(), DatagramTally()
    matching = make(before)
    for number in range(3):
        matching.add((0, 100 + number, b"message"))
    assert matching.give_up(101) == 2
    matching.tally = after
    assert matching.give_up(102) == 1
    assert [match(matching, number) for number in (0, 2)] == [None] * 2
    # In order, a late reply is taken for that to the oldest.
    late = (2, 0) if make is InOrder else (1, 1)
    assert (before.late, after.late) == late
    assert (before.lost + before.late, after.lost + after.late) == (2, 1)
