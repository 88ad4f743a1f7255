"""How runs end: a target that stops reading, a stop while draining, a second start."""

from accounts import check, failures
from servers import ScriptedServer, never_answers, reads_nothing
from stage import Stage, conversation

import loadgen
from loadgen.engine.timeouts import ConnectionPolicy

POLICY = ConnectionPolicy(connect_timeout_ns=10**9, io_timeout_ns=10**9)


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


def test_starting_twice_is_starting_once() -> None:
    with Stage(POLICY) as stage:
        [connection] = stage.open(1, conversation(messages=3))
        stage.engine.start()
        stage.engine.start()
        for replies in (1, 2, 3):
            stage.turn_until(lambda count=replies: connection.submitted == count)  # type: ignore[misc]
            stage.peers[0].sendall(b"ping")
        stage.turn_until(lambda: stage.engine.is_finished)
        assert (connection.submitted, connection.answered) == (3, 3)
        assert connection.bytes_sent == connection.bytes_received == 12
