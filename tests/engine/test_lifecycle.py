import contextlib

import pytest

from loadgen.engine.lifecycle import Event, State, advance
from loadgen.errors import LoadgenBug

LIVE = {State.CONNECTING, State.GREETING, State.READY, State.DRAINING}
ENDED = {State.CLOSED, State.FAILED}


def ways(step: Event) -> dict[State, State]:
    """Where ``step`` leads, from each state that it can be taken in."""
    found = {}
    for state in State:
        with contextlib.suppress(LoadgenBug):
            found[state] = advance(state, step)
    return found


def test_whoever_has_a_socket_is_live() -> None:
    assert {state for state in State if state.is_live} == LIVE


def test_only_who_has_no_socket_takes_one() -> None:
    assert ways(Event.CONNECT) == dict.fromkeys({State.NEW, *ENDED}, State.CONNECTING)


def test_only_who_is_about_to_come_up_does() -> None:
    assert ways(Event.GREET) == {State.CONNECTING: State.GREETING}
    assert ways(Event.COME_UP) == dict.fromkeys({State.CONNECTING, State.GREETING}, State.READY)


def test_only_who_is_ready_drains() -> None:
    assert ways(Event.DRAIN) == {State.READY: State.DRAINING}


def test_whoever_has_a_socket_may_lose_it() -> None:
    assert ways(Event.FAIL) == dict.fromkeys(LIVE, State.FAILED)


def test_whoever_has_not_ended_may_be_closed() -> None:
    assert ways(Event.CLOSE) == dict.fromkeys({State.NEW, *LIVE}, State.CLOSED)


def test_a_step_that_leads_nowhere_is_our_bug() -> None:
    with pytest.raises(LoadgenBug, match=r"^a connection that is closed cannot drain$"):
        advance(State.CLOSED, Event.DRAIN)
