"""An open loop inside Locust, where what is due must not be forgotten at the end."""

from scenes import Scene, wait_for
from servers import ScriptedServer, never_answers

from loadgen.locust import SocketUser
from loadgen.net.clock import monotonic_ns


def test_what_a_silent_server_left_undone_is_overdue() -> None:
    with ScriptedServer(never_answers) as server:

        class Waiting(SocketUser):
            host = server.address
            rate = 1000
            drain_s = 0.01

        with Scene(Waiting) as scene:
            scene.start(2)
            wait_for(lambda: scene.load_of(Waiting).engine.totals().submitted == 2)
            long_enough_ns = monotonic_ns() + 200_000_000
            wait_for(lambda: monotonic_ns() > long_enough_ns)
        actual = scene.record(Waiting).actual
    assert actual.due is not None
    assert actual.overdue is not None
    assert actual.submitted == 2
    assert actual.due == actual.overdue + 2
    # 0.2 s and more at 2000/s; the load may have gone on for longer, and never for less.
    assert 300 <= actual.overdue <= 2 + 2000 * (actual.duration_s + 0.01)
