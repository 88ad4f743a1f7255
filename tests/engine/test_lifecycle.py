import contextlib

import pytest

from loadgen.engine.lifecycle import Event, State, advance
from loadgen.errors import LoadgenBug

LIVE = {State.CONNECTING, State.SECURING, State.GREETING, State.READY, State.DRAINING}
ENDED = {State.CLOSED, State.FAILED}


def transitions_of(step: Event) -> dict[State, State]:
    """Return the state to which ``step`` leads, by each state in which it is possible."""
    found = {}
    for state in State:
        with contextlib.suppress(LoadgenBug):
            found[state] = advance(state, step)
    return found


def test_a_state_with_a_socket_is_live() -> None:
    assert {state for state in State if state.is_live} == LIVE


def test_only_a_state_without_a_socket_connects() -> None:
    assert transitions_of(Event.CONNECT) == dict.fromkeys({State.NEW, *ENDED}, State.CONNECTING)


def test_a_connection_may_shake_hands_and_may_greet_in_that_order_before_it_comes_up() -> None:
    connected = {State.CONNECTING, State.SECURING}
    assert transitions_of(Event.SECURE) == {State.CONNECTING: State.SECURING}
    assert transitions_of(Event.GREET) == dict.fromkeys(connected, State.GREETING)
    assert transitions_of(Event.COME_UP) == dict.fromkeys({*connected, State.GREETING}, State.READY)


def test_only_a_ready_connection_drains() -> None:
    assert transitions_of(Event.DRAIN) == {State.READY: State.DRAINING}


def test_every_state_with_a_socket_may_fail() -> None:
    assert transitions_of(Event.FAIL) == dict.fromkeys(LIVE, State.FAILED)


def test_every_state_that_has_not_ended_may_be_closed() -> None:
    assert transitions_of(Event.CLOSE) == dict.fromkeys({State.NEW, *LIVE}, State.CLOSED)


def test_a_step_that_the_table_does_not_have_is_a_bug() -> None:
    with pytest.raises(LoadgenBug, match=r"^a connection that is closed cannot drain$"):
        advance(State.CLOSED, Event.DRAIN)
