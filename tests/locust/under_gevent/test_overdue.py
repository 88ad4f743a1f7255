"""An open loop inside Locust: messages that are due but unsent at the end are counted."""

from local_run import LocalRun, wait_for
from servers import ScriptedServer, never_answers

from loadgen.locust import SocketUser
from loadgen.net.clock import monotonic_ns


def test_messages_that_a_silent_server_held_back_are_overdue() -> None:
    with ScriptedServer(never_answers) as server:

        class Waiting(SocketUser):
            host = server.address
            rate = 1000
            drain_s = 0.01

        with LocalRun(Waiting) as run:
            run.start(2)
            wait_for(lambda: run.load_of(Waiting).engine.pool.totals().submitted == 2)
            long_enough_ns = monotonic_ns() + 200_000_000
            wait_for(lambda: monotonic_ns() > long_enough_ns)
        actual = run.record(Waiting).actual
    assert actual.due is not None
    assert actual.overdue is not None
    assert actual.submitted == 2
    assert actual.due == actual.overdue + 2
    # At least 0.2 s at 2000/s; the load may have lasted longer, never less.
    assert 300 <= actual.overdue <= 2 + 2000 * (actual.duration_s + 0.01)
