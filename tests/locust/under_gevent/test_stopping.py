"""Users that are stopped: normally, twice, by force, and before they have begun."""

from typing import Any

import pytest
from accounts import check
from gevent.event import Event
from local_run import LocalRun, wait_for
from servers import DEADLINE_S, Peer, ScriptedServer, drips, echoes, never_answers

from loadgen.locust import SocketUser
from loadgen.locust.class_load import UserClassPlan
from loadgen.net.failure import Cause


def answers_when_released(peer: Peer) -> None:
    """Echo only when the test releases it."""
    data = peer.receive()
    peer.server.released.wait()
    peer.send(data)
    echoes(peer)


class TestStop:
    def test_waits_for_outstanding_replies_also_when_repeated(self) -> None:
        with ScriptedServer(answers_when_released) as server:

            class Ping(SocketUser):
                host = server.address
                connections = 3
                payloads = (b"ping",)

            with LocalRun(Ping) as run:
                [user] = run.start(1)
                server.wait_for(lambda: server.bytes_received == 12)
                assert user.stop() is False
                assert user.stop() is False
                assert not user.greenlet.dead
                server.released.set()
                user.greenlet.join()
                assert run.users == []
                assert run.load_of(Ping).engine.pool.is_finished
            record = run.record(Ping)
            check(record)
            assert (record.actual.messages, record.actual.cut_off) == (3, 0)
            assert record.failures == []
            assert server.bytes_received == 12

    def test_by_force_after_a_normal_one_cuts_off_what_is_in_flight(self) -> None:
        with ScriptedServer(never_answers) as server:

            class Ping(SocketUser):
                host = server.address
                connections = 3
                payloads = (b"ping",)

            with LocalRun(Ping) as run:
                [user] = run.start(1)
                server.wait_for(lambda: server.bytes_received == 12)
                assert user.stop() is False
                assert user.stop(force=True) is True
                assert user.greenlet.dead
                assert run.load_of(Ping).engine.pool.is_finished
            record = run.record(Ping)
            check(record)
            assert (record.actual.messages, record.actual.cut_off) == (0, 3)
            assert run.environment.stats.total.num_requests == 0

    def test_by_force_still_counts_outstanding_replies(self) -> None:
        with ScriptedServer(answers_when_released) as server:

            class Ping(SocketUser):
                host = server.address
                payloads = (b"ping",)

            with LocalRun(Ping) as run:
                [user] = run.start(1)
                server.wait_for(lambda: server.bytes_received == 4)
                assert user.stop(force=True) is True
                assert user.greenlet.dead
                server.released.set()
                wait_for(lambda: run.load_of(Ping).engine.pool.is_finished)
            assert run.entry("Ping").num_requests == 1
            assert run.record(Ping).actual.cut_off == 0

    def test_does_not_affect_other_users(self) -> None:
        with ScriptedServer(echoes) as server:

            class Ping(SocketUser):
                host = server.address
                rate = 1000.0

            with LocalRun(Ping) as run:
                one, other = run.start(2)
                wait_for(lambda: run.answered(Ping) > 20)
                one.stop()
                one.greenlet.join()
                answered = run.answered(Ping)
                wait_for(lambda: run.answered(Ping) > answered + 20)
                assert run.users == [other]
            record = run.record(Ping)
            check(record)
            assert record.actual.messages == run.entry("Ping").num_requests

    @pytest.mark.parametrize("times", [1, 2])
    @pytest.mark.parametrize("begins_in", ["on_start", "drive"])
    def test_of_a_user_that_has_not_begun_yet_lets_it_end(self, begins_in: str, times: int) -> None:
        with ScriptedServer(echoes) as server:
            begun, may_go_on = [], Event()

            def come_to(place: str) -> None:
                if place == begins_in:
                    begun.append(place)
                    may_go_on.wait()

            class Late(SocketUser):
                host = server.address

                def on_start(self) -> None:
                    come_to("on_start")

                @classmethod
                def work(cls, options: Any) -> UserClassPlan:
                    come_to("drive")  # as with a slow resolver
                    return super().work(options)

            with LocalRun(Late) as run:
                [user] = run.start(1)
                wait_for(lambda: begun)
                for _ in range(times):
                    assert user.stop() is False
                may_go_on.set()
                user.greenlet.join(timeout=5)
                assert user.greenlet.dead
            assert run.user_errors == []
            assert run.environment.stats.total.num_failures == 0

    def test_ends_a_user_whose_server_is_gone(self) -> None:
        with ScriptedServer(echoes) as server:

            class Ping(SocketUser):
                host = server.address

            with LocalRun(Ping) as run:
                [user] = run.start(1)
                wait_for(lambda: run.answered(Ping) > 10)
                server.die()
                wait_for(lambda: run.load_of(Ping).engine.pool.totals().up == 0)
                assert user.stop() is False
                user.greenlet.join(timeout=5)
                assert user.greenlet.dead

    def test_with_a_run_waits_no_longer_than_the_drain(self) -> None:
        with ScriptedServer(never_answers) as server:

            class Ping(SocketUser):
                host = server.address
                drain_s = 0.05

            with LocalRun(Ping) as run:
                run.start(2)
                server.wait_for(lambda: server.bytes_received == 128)
            record = run.record(Ping)
            check(record)
            assert record.actual.cut_off == 2


class TestRuns:
    def test_follow_each_other_and_count_from_zero(self) -> None:
        with ScriptedServer(echoes) as server:

            class Ping(SocketUser):
                host = server.address
                payloads = (b"ping",)

            run = LocalRun(Ping)
            with run:
                run.start(2)
                wait_for(lambda: run.answered(Ping) > 20)
                run.runner.stop()
                first = run.record(Ping).actual.messages
                assert run.entry("Ping").num_requests == first
                run.start(1)
                wait_for(lambda: run.answered(Ping) > 20)
            second = run.record(Ping)
            check(second)
            assert second.actual.messages == run.entry("Ping").num_requests
            assert server.bytes_received == 4 * (first + second.actual.messages)

    def test_grow_and_shrink(self) -> None:
        with ScriptedServer(echoes) as server:

            class Ping(SocketUser):
                host = server.address
                connections = 2

            with LocalRun(Ping) as run:
                for users in (3, 1, 2):
                    run.start(users)
                    load = run.load_of(Ping)
                    wait_for(lambda: load.engine.pool.totals().up == 2 * load.users == 2 * users)  # noqa: B023
            record = run.record(Ping)
            check(record)
            assert record.actual.opened == server.accepted == 8


@pytest.mark.parametrize("pace", [{}, {"rate": 1000}], ids=["closed", "open"])
def test_a_socket_user_goes_on_after_a_reply_that_never_ends(pace: dict[str, Any]) -> None:
    """Each reply has its timeout; a run that ends meanwhile waits for none of them."""
    with ScriptedServer(drips) as server:
        attributes: dict[str, Any] = {
            "host": server.address,
            "reply": "eof",
            "payloads": (b"ping",),
        }
        limits = {"reply_timeout_s": 0.2, "io_timeout_s": DEADLINE_S, "drain_s": 0.1}
        ping = type("Ping", (SocketUser,), {**attributes, **limits, **pace, "__module__": __name__})
        with LocalRun(ping) as run:
            run.start(1)
            late = ("Ping", f"receive: {Cause.REPLY_TIMEOUT.text}")
            wait_for(lambda: run.errors().get(late, 0) >= 2)
        record = run.record(ping)
        check(record)
        assert record.actual.messages == 0
        assert {failure.cause for failure in record.failures} == {Cause.REPLY_TIMEOUT}
