"""How runs end: a target that stops reading, a stop while draining, a second start."""

import gc
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from accounts import check, failures
from servers import DEADLINE_S, ScriptedServer, never_answers, never_ends, reads_nothing
from stepped_engine import SteppedEngine, conversation

import loadgen
from loadgen.engine.timeouts import ConnectionPolicy

POLICY = ConnectionPolicy(connect_timeout_ns=10**9, io_timeout_ns=10**9)
OLDEST = 2  # of the generations of the garbage collector


def test_a_one_way_target_that_stops_reading_is_a_timeout_in_sending() -> None:
    with ScriptedServer(reads_nothing) as server:
        record = loadgen.run(
            loadgen.Plan(
                target=server.address,
                connections=2,
                reply="none",
                payloads=(loadgen.SizePayload(4096),),
                messages=1_000_000,
                io_timeout_s=0.3,
            )
        )
    check(record)
    assert failures(record) == {"send: timeout": 2}
    assert record.outcome == "lost"


def test_a_request_to_stop_while_draining_ends_the_drain() -> None:
    asked = False

    def observe(progress: loadgen.Progress) -> None:
        nonlocal asked
        asked = asked or progress.stage == "draining"

    with ScriptedServer(never_answers) as server:
        record = loadgen.run(
            loadgen.Plan(target=server.address, connections=3, duration_s=0.1, drain_s=600),
            loadgen.Surroundings(should_stop=lambda: asked, observe=observe),
        )
    assert record.outcome == "interrupted"
    assert record.actual.cut_off == 3
    assert record.actual.drain_s < 600


@pytest.mark.parametrize(
    ("fields", "failed"),
    [({"drain_s": 0.3}, {}), ({"reply_timeout_s": 0.3}, {"receive: reply_timeout": 1})],
    ids=["drain", "reply timeout"],
)
def test_a_target_that_keeps_the_generator_busy_puts_no_deadline_off(
    fields: dict[str, Any], failed: dict[str, int]
) -> None:
    """Each of its turns takes as long as a pause."""
    plan = loadgen.Plan(connections=1, duration_s=0.1, drain_s=600, reply="outcomes:Toiling")
    give_up_s = time.monotonic() + DEADLINE_S
    with ScriptedServer(never_ends) as server:
        record = loadgen.run(
            msgspec.structs.replace(plan, target=server.address, **fields),
            loadgen.Surroundings(should_stop=lambda: time.monotonic() > give_up_s),
        )
    assert record.outcome != "interrupted"
    assert failures(record) == failed


def test_starting_twice_is_starting_once() -> None:
    with SteppedEngine(POLICY) as stepped:
        [connection] = stepped.open(1, conversation(messages=3))
        stepped.engine.start()
        stepped.engine.start()
        for replies in (1, 2, 3):
            stepped.turn_until(lambda count=replies: connection.submitted == count)  # type: ignore[misc]
            stepped.peers[0].sendall(b"ping")
        stepped.turn_until(lambda: stepped.engine.pool.is_finished)
        assert (connection.submitted, connection.answered) == (3, 3)
        assert connection.bytes_sent == connection.bytes_received == 12


@pytest.fixture
def collected() -> Iterator[list[int]]:
    """The generations that were collected; no collection begins by itself meanwhile."""
    generations: list[int] = []

    def hear(phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            generations.append(info["generation"])

    gc.disable()
    gc.callbacks.append(hear)
    try:
        yield generations
    finally:
        gc.callbacks.remove(hear)
        gc.enable()


def frozen_while_loading() -> int:
    """Run some load; return how many objects the collector left alone while it went on."""
    frozen = []

    def observe(progress: loadgen.Progress) -> None:
        if progress.stage == "loading":
            frozen.append(gc.get_freeze_count())

    loadgen.run(loadgen.Plan(connections=1, messages=1), loadgen.Surroundings(observe=observe))
    return frozen[0]


def test_the_heap_of_who_embeds_a_run_is_left_alone_and_never_collected(
    collected: list[int],
) -> None:
    assert frozen_while_loading() > 0
    assert OLDEST not in collected
    assert gc.get_freeze_count() == 0


def test_what_was_frozen_before_a_run_stays_frozen() -> None:
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()  # fewer later, where one of them was let go
        assert 0 < frozen_while_loading() <= frozen
        assert 0 < gc.get_freeze_count() <= frozen
    finally:
        gc.unfreeze()
