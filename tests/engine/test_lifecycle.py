import itertools

import pytest

from loadgen.engine.lifecycle import State, Step, advance
from loadgen.errors import LoadgenBug

ALLOWED = {
    (State.NEW, Step.CONNECT): State.CONNECTING,
    (State.NEW, Step.CLOSE): State.CLOSED,
    (State.CONNECTING, Step.GREET): State.GREETING,
    (State.CONNECTING, Step.COME_UP): State.READY,
    (State.CONNECTING, Step.CLOSE): State.CLOSED,
    (State.CONNECTING, Step.FAIL): State.FAILED,
    (State.GREETING, Step.COME_UP): State.READY,
    (State.GREETING, Step.CLOSE): State.CLOSED,
    (State.GREETING, Step.FAIL): State.FAILED,
    (State.READY, Step.DRAIN): State.DRAINING,
    (State.READY, Step.CLOSE): State.CLOSED,
    (State.READY, Step.FAIL): State.FAILED,
    (State.DRAINING, Step.CLOSE): State.CLOSED,
    (State.DRAINING, Step.FAIL): State.FAILED,
    (State.CLOSED, Step.CONNECT): State.CONNECTING,
    (State.FAILED, Step.CONNECT): State.CONNECTING,
}


@pytest.mark.parametrize(("state", "step"), list(itertools.product(State, Step)))
def test_a_step_leads_where_the_table_says_or_is_our_bug(state: State, step: Step) -> None:
    if (state, step) in ALLOWED:
        assert advance(state, step) is ALLOWED[state, step]
        return
    with pytest.raises(LoadgenBug) as bug:
        advance(state, step)
    assert str(bug.value) == f"a connection that is {state} cannot {step}"


@pytest.mark.parametrize("state", State)
def test_whoever_has_a_socket_is_live(state: State) -> None:
    with_a_socket = {State.CONNECTING, State.GREETING, State.READY, State.DRAINING}
    assert state.is_live == (state in with_a_socket)


def test_every_live_state_can_fail_and_be_closed() -> None:
    for state in filter(lambda state: state.is_live, State):
        assert advance(state, Step.FAIL) is State.FAILED
        assert advance(state, Step.CLOSE) is State.CLOSED


def test_every_state_can_be_reached() -> None:
    reached = {State.NEW}
    for _ in State:
        reached |= {to for (state, _), to in ALLOWED.items() if state in reached}
    assert reached == set(State)
