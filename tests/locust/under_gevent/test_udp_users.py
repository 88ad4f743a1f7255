"""Users over UDP: what is lost fails the request, and neither the user nor its connection."""

from typing import Any

import pytest
from accounts import check
from datagrams import Holding, UdpServer
from local_run import LocalRun, scripted, wait_for
from places import refusing_udp_address

from loadgen.errors import UsageError
from loadgen.locust import RequestFailed, RequestTimeout, SocketUser
from loadgen.net.failure import Cause, Failure, Phase

LOST = f"{Failure(Phase.RECEIVE, Cause.TIMEOUT)}"
QUESTION = b"12345678 what?"


class TestScripts:
    def test_get_the_datagram_that_answers(self) -> None:
        with UdpServer(lambda number, datagram: (b"%d: " % number + datagram,)) as server:
            with scripted(server.address) as (user, run):
                replies = [user.client.request(b"one"), user.client.request(b"two")]
                assert replies == [b"0: one", b"1: two"]
                entry = run.entry("Shopper")
                assert (entry.num_requests, entry.num_failures) == (2, 0)
                assert entry.total_content_length == 12
            check(run.record(type(user)))

    def test_are_told_of_a_loss_and_go_on(self) -> None:
        with UdpServer(lambda number, datagram: (datagram,) if number else ()) as server:
            with scripted(server.address, io_timeout_s=0.5) as (user, run):
                with pytest.raises(RequestTimeout):
                    user.client.request(QUESTION)
                assert user.client.request(QUESTION) == QUESTION
                assert run.errors() == {("Shopper", LOST): 1}
            record = run.record(type(user))
        check(record)
        assert record.datagrams is not None
        assert (record.datagrams.answered, record.datagrams.lost) == (1, 1)
        assert record.actual.opened == 1

    def test_take_no_late_reply_for_the_next_one(self) -> None:
        with UdpServer(Holding([0])) as server:
            attributes = {"io_timeout_s": 0.5, "reply": "sequence"}
            with scripted(server.address, **attributes) as (user, run):
                with pytest.raises(RequestTimeout):
                    user.client.request(b"12345678 first")
                assert user.client.request(b"12345678 second")[8:] == b" second"
                assert user.client.request(b"12345678 third")[8:] == b" third"
            record = run.record(type(user))
        assert record.datagrams is not None
        assert (record.datagrams.answered, record.datagrams.late) == (2, 1)

    def test_may_only_send(self) -> None:
        with UdpServer(lambda *_: ()) as server, scripted(server.address) as (user, run):
            for _ in range(3):
                user.client.send(b"by the way")
            assert run.entry("Shopper").num_requests == 3
            wait_for(lambda: server.received == 3)

    def test_are_told_that_nobody_is_there(self) -> None:
        with refusing_udp_address() as target, scripted(target) as (user, _):
            with pytest.raises(RequestFailed) as failed:
                user.client.request(QUESTION)
            assert failed.value.failure.cause is Cause.REFUSED

    def test_cannot_send_more_than_a_datagram(self) -> None:
        with UdpServer() as server, scripted(server.address) as (user, _):
            with pytest.raises(UsageError, match="65507 at most"):
                user.client.request(b"x" * 65_508)
            assert user.client.request(b"x") == b"x"


class TestDeclaredLoad:
    @pytest.mark.parametrize("rate", [None, 200.0])
    def test_counts_losses_as_failed_requests(self, rate: float | None) -> None:
        attributes: dict[str, Any] = {"rate": rate} if rate else {}
        with UdpServer(lambda number, datagram: (datagram,) if number % 10 else ()) as server:
            user_class = type(
                "Pinger",
                (SocketUser,),
                {
                    "host": server.address,
                    "reply": "sequence",
                    "pipeline": 8,
                    "io_timeout_s": 0.3,
                    "__module__": __name__,
                    **attributes,
                },
            )
            run = LocalRun(user_class)
            with run:
                run.start(2)
                wait_for(lambda: run.errors().get(("Pinger", LOST), 0) >= 5)
                wait_for(lambda: run.answered(user_class) >= 50)
            lost = run.errors()["Pinger", LOST]
            record = run.record(user_class)
        check(record)
        found = record.datagrams
        assert found is not None
        assert found.in_vain == lost
        assert run.entry("Pinger").num_requests == found.answered + lost
        assert record.failures == []
