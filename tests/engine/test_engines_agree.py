"""The native engine and the one in Python do the same, whatever the server does."""

import random
from collections.abc import Sequence
from typing import Final

import pytest
from both_engines import TALKS, Action, Setup, World
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadgen.engine import native

pytestmark = pytest.mark.skipif(not native.available(), reason=str(native.absence()))

BACKENDS: Final = [
    name for name in ("epoll", "poll", "select") if hasattr(native.functions(), f"wait_{name}")
]

SETUPS: Final = st.builds(
    Setup,
    talk=st.sampled_from(sorted(TALKS)),
    connections=st.integers(1, 4),
    pipeline=st.integers(1, 3),
    at_once=st.integers(1, 3),
    messages=st.sampled_from([None, None, None, 1, 4, 7]),
    groups=st.integers(1, 2),
    scheduled=st.booleans(),
    stamp_every=st.integers(0, 3),
    send_buffer_bytes=st.sampled_from([0, 4096]),
    backend=st.sampled_from(BACKENDS),
).map(lambda setup: setup._replace(at_once=setup.pipeline))

NAMES: Final = (
    *["answer"] * 24,
    *["due"] * 6,
    *("hear", "hear", "end", "leave", "reset", "say more", "drain one", "cut"),
)
ACTIONS: Final = st.builds(
    Action,
    name=st.sampled_from(NAMES),
    where=st.integers(0, 3),
    much=st.integers(1, 9),
    part=st.sampled_from([4, 4, 4, 4, 4, 1, 2, 3]),
    which=st.sampled_from([1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4]),
)
STEPS: Final = st.lists(st.lists(ACTIONS, min_size=1, max_size=6), min_size=3, max_size=12)


def run_through(setup: Setup, steps: Sequence[Sequence[Action]]) -> None:
    """Do the same in both worlds, and compare them after every step."""
    with World("native", setup) as ours, World("python", setup) as theirs:
        assert ours.shown() == theirs.shown()
        for step in steps:
            for world in (ours, theirs):
                for action in step:
                    world.act(action)
                    if setup.scheduled:  # which connection is free first decides what it gets
                        world.settle()
                world.settle()
                world.check_times()
                world.check_sums()
            assert ours.shown() == theirs.shown()
    for world in (ours, theirs):
        world.check_sums()
    assert ours.shown() == theirs.shown()


@given(SETUPS, STEPS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_both_engines_do_the_same(setup: Setup, steps: list[list[Action]]) -> None:
    run_through(setup, steps)


def mostly_steady(talk: str, seed: str, *, scheduled: bool) -> tuple[Setup, list[list[Action]]]:
    """Return a long exchange in which most replies are whole, and some are anything else."""
    draws = random.Random(seed)
    pipeline = draws.choice([1, 1, 2, 3])
    setup = Setup(
        talk=talk,
        connections=4,
        pipeline=pipeline,
        at_once=pipeline,
        messages=draws.choice([None, None, 20]),
        groups=draws.choice([1, 2]),
        scheduled=scheduled,
        stamp_every=draws.choice([0, 1, 3]),
        send_buffer_bytes=draws.choice([0, 4096]),
        backend=draws.choice(BACKENDS),
    )
    steps = []
    for _ in range(25):
        step = [Action("due", much=4)] if scheduled else []
        step += [Action("answer", where=where, much=pipeline) for where in range(4)]
        if draws.random() < 0.4:
            name, part = draws.choice(NAMES[20:]), draws.choice([1, 2, 3, 4])
            which = draws.choice([1, 2, 3, 4])
            odd = Action(name, draws.randrange(4), draws.randrange(1, 5), part, which)
            step.insert(draws.randrange(len(step)), odd)
        steps.append(step)
    return setup, steps


@pytest.mark.parametrize("scheduled", [False, True], ids=["closed", "scheduled"])
@pytest.mark.parametrize("talk", sorted(TALKS))
def test_both_engines_do_the_same_for_long(talk: str, scheduled: bool) -> None:
    for number in range(3):
        run_through(*mostly_steady(talk, f"{talk} {scheduled} {number}", scheduled=scheduled))
