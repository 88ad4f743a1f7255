import itertools

import pytest

from loadgen.engine.lifecycle import Event, State, advance
from loadgen.errors import LoadgenBug

ALLOWED = {
    (State.NEW, Event.CONNECT): State.CONNECTING,
    (State.NEW, Event.CLOSE): State.CLOSED,
    (State.CONNECTING, Event.GREET): State.GREETING,
    (State.CONNECTING, Event.COME_UP): State.READY,
    (State.CONNECTING, Event.CLOSE): State.CLOSED,
    (State.CONNECTING, Event.FAIL): State.FAILED,
    (State.GREETING, Event.COME_UP): State.READY,
    (State.GREETING, Event.CLOSE): State.CLOSED,
    (State.GREETING, Event.FAIL): State.FAILED,
    (State.READY, Event.DRAIN): State.DRAINING,
    (State.READY, Event.CLOSE): State.CLOSED,
    (State.READY, Event.FAIL): State.FAILED,
    (State.DRAINING, Event.CLOSE): State.CLOSED,
    (State.DRAINING, Event.FAIL): State.FAILED,
    (State.CLOSED, Event.CONNECT): State.CONNECTING,
    (State.FAILED, Event.CONNECT): State.CONNECTING,
}


@pytest.mark.parametrize(("state", "step"), list(itertools.product(State, Event)))
def test_a_step_leads_to_the_state_of_the_table_or_raises_a_bug(state: State, step: Event) -> None:
    if (state, step) in ALLOWED:
        assert advance(state, step) is ALLOWED[state, step]
        return
    with pytest.raises(LoadgenBug) as bug:
        advance(state, step)
    assert str(bug.value) == f"a connection that is {state} cannot {step}"


@pytest.mark.parametrize("state", State)
def test_a_state_with_a_socket_is_live(state: State) -> None:
    with_a_socket = {
        State.CONNECTING,
        State.GREETING,
        State.READY,
        State.DRAINING,
    }
    assert state.is_live == (state in with_a_socket)


def test_every_live_state_can_fail_and_be_closed() -> None:
    for state in filter(lambda state: state.is_live, State):
        assert advance(state, Event.FAIL) is State.FAILED
        assert advance(state, Event.CLOSE) is State.CLOSED


def test_every_state_can_be_reached() -> None:
    reached = {State.NEW}
    for _ in State:
        reached |= {to for (state, _), to in ALLOWED.items() if state in reached}
    assert reached == set(State)
