"""Users that are stopped: gently, twice, by force, and before they have begun."""

from typing import Any

import pytest
from accounts import check
from gevent.event import Event
from scenes import Scene, wait_for
from servers import DEADLINE_S, Peer, ScriptedServer, drips, echoes, never_answers

from loadgen.locust import SocketUser
from loadgen.locust.class_load import UserClassPlan
from loadgen.net.failure import Cause


def answers_when_released(peer: Peer) -> None:
    """Echo nothing before the test says so."""
    data = peer.receive()
    peer.server.released.wait()
    peer.send(data)
    echoes(peer)


class TestStop:
    def test_waits_for_what_is_in_flight_however_often_it_is_said(self) -> None:
        with ScriptedServer(answers_when_released) as server:

            class Ping(SocketUser):
                host = server.address
                connections = 3
                payloads = (b"ping",)

            with Scene(Ping) as scene:
                [user] = scene.start(1)
                server.wait_for(lambda: server.bytes_received == 12)
                assert user.stop() is False
                assert user.stop() is False
                assert not user.greenlet.dead
                server.released.set()
                user.greenlet.join()
                assert scene.users == []
                assert scene.load_of(Ping).engine.is_finished
            record = scene.record(Ping)
            check(record)
            assert (record.actual.messages, record.actual.cut_off) == (3, 0)
            assert record.failures == []
            assert server.bytes_received == 12

    def test_by_force_after_a_gentle_one_cuts_off_what_is_in_flight(self) -> None:
        with ScriptedServer(never_answers) as server:

            class Ping(SocketUser):
                host = server.address
                connections = 3
                payloads = (b"ping",)

            with Scene(Ping) as scene:
                [user] = scene.start(1)
                server.wait_for(lambda: server.bytes_received == 12)
                assert user.stop() is False
                assert user.stop(force=True) is True
                assert user.greenlet.dead
                assert scene.load_of(Ping).engine.is_finished
            record = scene.record(Ping)
            check(record)
            assert (record.actual.messages, record.actual.cut_off) == (0, 3)
            assert scene.environment.stats.total.num_requests == 0

    def test_by_force_lets_come_home_what_is_in_flight_all_the_same(self) -> None:
        with ScriptedServer(answers_when_released) as server:

            class Ping(SocketUser):
                host = server.address
                payloads = (b"ping",)

            with Scene(Ping) as scene:
                [user] = scene.start(1)
                server.wait_for(lambda: server.bytes_received == 4)
                assert user.stop(force=True) is True
                assert user.greenlet.dead
                server.released.set()
                wait_for(lambda: scene.load_of(Ping).engine.is_finished)
            assert scene.entry("Ping").num_requests == 1
            assert scene.record(Ping).actual.cut_off == 0

    def test_takes_nothing_from_the_other_users(self) -> None:
        with ScriptedServer(echoes) as server:

            class Ping(SocketUser):
                host = server.address
                rate = 1000.0

            with Scene(Ping) as scene:
                one, other = scene.start(2)
                wait_for(lambda: scene.answered(Ping) > 20)
                one.stop()
                one.greenlet.join()
                answered = scene.answered(Ping)
                wait_for(lambda: scene.answered(Ping) > answered + 20)
                assert scene.users == [other]
            record = scene.record(Ping)
            check(record)
            assert record.actual.messages == scene.entry("Ping").num_requests

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
                    come_to("drive")  # as where the resolver takes its time
                    return super().work(options)

            with Scene(Late) as scene:
                [user] = scene.start(1)
                wait_for(lambda: begun)
                for _ in range(times):
                    assert user.stop() is False
                may_go_on.set()
                user.greenlet.join(timeout=5)
                assert user.greenlet.dead
            assert scene.user_errors == []
            assert scene.environment.stats.total.num_failures == 0

    def test_ends_a_user_whose_server_is_gone(self) -> None:
        with ScriptedServer(echoes) as server:

            class Ping(SocketUser):
                host = server.address

            with Scene(Ping) as scene:
                [user] = scene.start(1)
                wait_for(lambda: scene.answered(Ping) > 10)
                server.die()
                wait_for(lambda: scene.load_of(Ping).engine.totals().up == 0)
                assert user.stop() is False
                user.greenlet.join(timeout=5)
                assert user.greenlet.dead

    def test_with_a_run_waits_no_longer_than_the_drain(self) -> None:
        with ScriptedServer(never_answers) as server:

            class Ping(SocketUser):
                host = server.address
                drain_s = 0.05

            with Scene(Ping) as scene:
                scene.start(2)
                server.wait_for(lambda: server.bytes_received == 128)
            record = scene.record(Ping)
            check(record)
            assert record.actual.cut_off == 2


class TestRuns:
    def test_follow_each_other_and_count_anew(self) -> None:
        with ScriptedServer(echoes) as server:

            class Ping(SocketUser):
                host = server.address
                payloads = (b"ping",)

            scene = Scene(Ping)
            with scene:
                scene.start(2)
                wait_for(lambda: scene.answered(Ping) > 20)
                scene.runner.stop()
                first = scene.record(Ping).actual.messages
                assert scene.entry("Ping").num_requests == first
                scene.start(1)
                wait_for(lambda: scene.answered(Ping) > 20)
            second = scene.record(Ping)
            check(second)
            assert second.actual.messages == scene.entry("Ping").num_requests
            assert server.bytes_received == 4 * (first + second.actual.messages)

    def test_grow_and_shrink(self) -> None:
        with ScriptedServer(echoes) as server:

            class Ping(SocketUser):
                host = server.address
                connections = 2

            with Scene(Ping) as scene:
                for users in (3, 1, 2):
                    scene.start(users)
                    load = scene.load_of(Ping)
                    wait_for(lambda: load.engine.totals().up == 2 * load.users == 2 * users)  # noqa: B023
            record = scene.record(Ping)
            check(record)
            assert record.actual.opened == server.accepted == 8


@pytest.mark.parametrize("pace", [{}, {"rate": 1000}], ids=["closed", "open"])
def test_a_declared_user_hears_no_end_of_a_reply_and_goes_on(pace: dict[str, Any]) -> None:
    """Each reply has its deadline; a run that ends meanwhile waits for none of them."""
    with ScriptedServer(drips) as server:
        words: dict[str, Any] = {"host": server.address, "reply": "eof", "payloads": (b"ping",)}
        limits = {"reply_timeout_s": 0.2, "io_timeout_s": DEADLINE_S, "drain_s": 0.1}
        ping = type("Ping", (SocketUser,), {**words, **limits, **pace, "__module__": __name__})
        with Scene(ping) as scene:
            scene.start(1)
            late = ("Ping", f"receive: {Cause.REPLY_TIMEOUT.text}")
            wait_for(lambda: scene.errors().get(late, 0) >= 2)
        record = scene.record(ping)
        check(record)
        assert record.actual.messages == 0
        assert {failure.cause for failure in record.failures} == {Cause.REPLY_TIMEOUT}
