"""The client of a ScriptedSocketUser, with servers that behave and servers that do not."""

import contextlib
import socket
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from accounts import check
from gevent.hub import get_hub
from local_run import LocalRun, scripted, wait_for
from locust import task
from locust.exception import StopUser
from places import refusing_address
from servers import (
    DEADLINE_S,
    Peer,
    ScriptedServer,
    answers_each,
    answers_once,
    byte_by_byte,
    closes_after,
    closes_at_once,
    drips,
    echoes,
    in_two_halves,
    never_answers,
    never_ends,
    reads_slowly,
    resets_after,
)

from loadgen.errors import LoadgenError
from loadgen.locust import RequestFailed, RequestTimeout, ScriptedSocketUser
from loadgen.net.failure import Cause, Failure, Phase
from loadgen.server.embedded import EmbeddedServer

LINES = r"delimiter:\r\n"
ANSWERS = {
    LINES: b"200 it is \0 so\r\n",
    "fixed:5": b"12345",
    "length:u16": b"\0\x03abc",
    "length:u32le,header-included": b"\x07\0\0\0abc",
}


def numbered(peer: Peer) -> None:
    """Reply to each line with its number and itself."""
    number = 0
    while data := peer.receive():
        assert data.endswith(b"\n")
        number += 1
        peer.send(b"%d %b" % (number, data))


def numbered_late(peer: Peer) -> None:
    """As `numbered`, but on the first connection only when the test releases it."""
    data = peer.receive()
    if peer is peer.server.peers[0]:
        peer.server.released.wait()
    peer.send(b"1 " + data)
    numbered(peer)


def leaves_after(size_bytes: int) -> Callable[[Peer], None]:
    """Echo that many bytes, and close at the next one."""

    def script(peer: Peer) -> None:
        peer.send(peer.receive_exactly(size_bytes))
        peer.receive_exactly(size_bytes)

    return script


def takes_drops(peer: Peer) -> None:
    """Read a little at a time, never everything."""
    while not peer.server.released.wait(0.005):
        peer.receive(1000)


def only_questions(peer: Peer) -> None:
    """Echo what ends with a question mark."""
    while data := peer.receive():
        if data.endswith(b"?"):
            peer.send(data)


class TestReplies:
    @pytest.mark.parametrize("reply", ANSWERS)
    def test_are_returned_to_the_byte_by_each_framing(self, reply: str) -> None:
        answer = ANSWERS[reply]
        with ScriptedServer(answers_each(4, answer)) as server:
            with scripted(server.address, reply=reply) as (user, run):
                assert [user.client.request(b"ping") for _ in range(3)] == [answer] * 3
                entry = run.entry("Shopper")
                assert (entry.num_requests, entry.num_failures) == (3, 0)
                assert entry.total_content_length == 3 * len(answer)
            assert server.accepted == 1

    def test_of_an_echo_may_have_any_length(self) -> None:
        messages = [b"a", b"bc" * 70_000, b"def", bytes(range(256))]
        with ScriptedServer(echoes) as server, scripted(server.address) as (user, _):
            assert [user.client.request(message) for message in messages] == messages

    def test_end_with_the_stream(self) -> None:
        server = ScriptedServer(answers_once(4, b"a page of " + 50_000 * b"bytes "))
        with server, scripted(server.address, reply="eof") as (user, run):
            for lives in range(1, 4):
                assert user.client.request(b"page") == b"a page of " + 50_000 * b"bytes "
                assert server.accepted == lives
            assert run.entry("Shopper").num_requests == 3
            assert run.errors() == {}

    @pytest.mark.parametrize("script", [byte_by_byte, in_two_halves, reads_slowly])
    def test_may_come_in_pieces(self, script: Callable[[Peer], None]) -> None:
        with (
            ScriptedServer(script) as server,
            scripted(server.address, reply=LINES) as (user, _),
        ):
            for message in (b"one\r\n", b"\r\n", b"and\rno\nother\r\n"):
                assert user.client.request(message) == message

    def test_come_from_the_embedded_server(self) -> None:
        with EmbeddedServer() as server, scripted(server.address) as (user, _):
            assert [user.client.request(b"%d" % number) for number in range(200)] == [
                b"%d" % number for number in range(200)
            ]

    def test_are_listed_by_name(self) -> None:
        with (
            ScriptedServer(numbered) as server,
            scripted(server.address, reply=r"delimiter:\n", name="shop") as (user, run),
        ):
            assert user.client.request(b"bob\n", name="login") == b"1 bob\n"
            assert user.client.request(b"tea\n", "buy") == b"2 tea\n"
            assert user.client.request(b"jam\n", "buy") == b"3 jam\n"
            assert user.client.request(b"out\n") == b"4 out\n"
            counts = {name: run.entry(name).num_requests for name in ("login", "buy", "shop")}
            assert counts == {"login": 1, "buy": 2, "shop": 1}
            assert run.entry("buy").total_content_length == 12

    def test_to_a_first_message_are_awaited_and_not_returned(self) -> None:
        with ScriptedServer(numbered) as server:
            words = {"reply": r"delimiter:\n", "first_message": b"hello\n"}
            with scripted(server.address, **words) as (user, run):
                assert user.client.request(b"bob\n") == b"2 bob\n"
                assert user.client.request(b"bob\n") == b"3 bob\n"
                entry = run.entry("Shopper")
                assert (entry.num_requests, entry.total_content_length) == (2, 12)

    @pytest.mark.parametrize("reply", ["echo", r"delimiter:\n"])
    def test_to_a_first_message_are_awaited_after_a_message_without_one_too(
        self, reply: str
    ) -> None:
        def leaves_on_bye(peer: Peer) -> None:
            while data := peer.receive():
                if data == b"bye\n":
                    return
                peer.send(data)

        with (
            ScriptedServer(leaves_on_bye) as server,
            scripted(server.address, reply=reply, first_message=b"hello\n") as (user, run),
        ):
            for lives in range(1, 4):
                assert user.client.request(b"ping\n") == b"ping\n"
                user.client.send(b"bye\n")
                wait_for(lambda: run.load_of(type(user)).engine.pool.closed == lives)  # noqa: B023
            assert user.client.request(b"pong\n") == b"pong\n"
            assert run.entry("Shopper").num_failures == 0

    @pytest.mark.parametrize("answer", [b"one\r\ntwo\r\n", b"one\r\ntw"])
    def test_that_are_more_than_one_fail(self, answer: bytes) -> None:
        with (
            ScriptedServer(answers_each(4, answer)) as server,
            scripted(server.address, reply=LINES) as (user, run),
        ):
            for _ in range(2):
                with pytest.raises(RequestFailed) as caught:
                    user.client.request(b"ping")
                assert caught.value.failure == Failure(Phase.RECEIVE, Cause.UNEXPECTED_BYTES)
            entry = run.entry("Shopper")
            assert (entry.num_requests, entry.num_failures) == (2, 2)
            assert entry.total_content_length == 0

    def test_a_framing_of_ones_own_may_accept_what_nobody_asked_for(self) -> None:
        replies: list[bytes] = []

        def chatters(peer: Peer) -> None:
            while peer.receive_exactly(5):
                peer.send(b"+news\r\nPING\r\none\r\n+more")
                assert peer.receive_exactly(6) == b"PONG\r\n"
                peer.send(b"\r\n")

        with ScriptedServer(chatters) as server:

            class Listener(ScriptedSocketUser):
                host = server.address
                reply = "outcomes:Rejecting"

                @task
                def ask(self) -> None:
                    replies.extend(self.client.request(b"ask\r\n", name="ask") for _ in range(3))
                    raise StopUser

            with LocalRun(Listener) as run:
                run.start(1)
                wait_for(lambda: len(replies) == 3)
                wait_for(lambda: run.entry("ask").num_requests == 3)
                assert run.entry("ask").num_failures == 0
                assert server.accepted == 1
        assert replies == [b"one"] * 3

    def test_a_reply_that_is_not_expected_is_returned_and_is_a_failed_request(self) -> None:
        replies: list[bytes] = []
        with ScriptedServer(numbered) as server:

            class Shopper(ScriptedSocketUser):
                host = server.address
                reply = r"delimiter:\n"
                expect = ("2",)

                @task
                def buy(self) -> None:
                    replies.extend(self.client.request(b"tea\n", name="buy") for _ in range(2))
                    raise StopUser

            with LocalRun(Shopper) as run:
                run.start(1)
                wait_for(lambda: len(replies) == 2)
                wait_for(lambda: run.entry("buy").num_requests == 2)
                assert run.entry("buy").num_failures == 1
                assert server.accepted == 1
            assert replies == [b"1 tea\n", b"2 tea\n"]


class TestSending:
    def test_awaits_no_reply(self) -> None:
        with ScriptedServer(never_answers) as server:
            with scripted(server.address, reply=LINES) as (user, run):
                for number in range(3):
                    assert user.client.send(b"%d" % number, name="tell") is None
                server.wait_for(lambda: server.bytes_received == 3)
                entry = run.entry("tell")
                assert (entry.num_requests, entry.num_none_requests) == (3, 3)
            assert server.streams == [b"012"]
            record = run.record(type(user))
            assert record.actual.messages == 3

    @pytest.mark.parametrize("reply", ["echo", r"delimiter:?"])
    def test_and_requests_alternate(self, reply: str) -> None:
        with ScriptedServer(only_questions) as server:
            with scripted(server.address, reply=reply) as (user, run):
                for number in range(1, 4):
                    user.client.send(b"this is so")
                    server.wait_for(lambda: bytes(server.peers[0].stream).endswith(b"so"))
                    assert user.client.request(b"is it?") == b"is it?"
                    assert run.entry("Shopper").num_requests == 2 * number
                    assert run.entry("Shopper").num_none_requests == number
            assert server.accepted == 1

    def test_is_the_only_way_with_a_framing_without_replies(self) -> None:
        with (
            ScriptedServer(never_answers) as server,
            scripted(server.address, reply="none") as (user, run),
        ):
            assert user.client.request(b"ping", name="tell") == b""
            server.wait_for(lambda: server.bytes_received == 4)
            assert run.entry("tell").num_none_requests == 1

    def test_waits_until_the_kernel_has_taken_it(self) -> None:
        big = 1_600_000 * b"much "

        def holds_back(peer: Peer) -> None:
            peer.server.released.wait()
            peer.receive_all()

        with (
            ScriptedServer(holds_back) as server,
            scripted(server.address, send_buffer_bytes=65536) as (user, run),
        ):
            sending = gevent.spawn(user.client.send, big)
            server.wait_for(lambda: server.accepted == 1)
            wait_for(lambda: run.load_of(type(user)).engine.pool.totals().bytes_sent)
            assert not sending.ready()
            assert run.entry("Shopper").num_requests == 0
            server.released.set()
            sending.get()
            server.wait_for(lambda: server.bytes_received == len(big))
            assert run.entry("Shopper").num_requests == 1


class TestFailures:
    def test_a_server_that_does_not_answer_in_time(self) -> None:
        def answers_the_second(peer: Peer) -> None:
            if peer is peer.server.peers[0]:
                never_answers(peer)
            echoes(peer)

        with ScriptedServer(answers_the_second) as server:
            with scripted(server.address, io_timeout_s=0.05) as (user, run):
                with pytest.raises(RequestTimeout) as caught:
                    user.client.request(b"ping", name="slow")
                assert isinstance(caught.value, TimeoutError)
                assert isinstance(caught.value, ConnectionError)
                assert isinstance(caught.value, LoadgenError)
                assert caught.value.failure == Failure(Phase.RECEIVE, Cause.TIMEOUT)
                assert str(caught.value) == f"receive: {Cause.TIMEOUT.text}"
                assert user.client.request(b"ping", name="quick") == b"ping"
                assert run.errors() == {("slow", f"receive: {Cause.TIMEOUT.text}"): 1}
                assert run.entry("slow").num_requests == 1
                assert run.entry("quick").num_failures == 0
            assert server.accepted == 2

    def test_a_reply_that_drips(self) -> None:
        def drips_first(peer: Peer) -> None:
            (drips if peer is peer.server.peers[0] else echoes)(peer)

        limits = {"io_timeout_s": DEADLINE_S, "reply_timeout_s": 0.2}
        with ScriptedServer(drips_first) as server:
            with scripted(server.address, reply=LINES, **limits) as (user, run):
                with pytest.raises(RequestTimeout) as caught:
                    user.client.request(b"ping\r\n", name="slow")
                assert caught.value.failure == Failure(Phase.RECEIVE, Cause.REPLY_TIMEOUT)
                assert user.client.request(b"ping\r\n", name="quick") == b"ping\r\n"
                assert run.errors() == {("slow", f"receive: {Cause.REPLY_TIMEOUT.text}"): 1}
            assert server.accepted == 2

    @pytest.mark.parametrize("reply", ["eof", LINES])
    def test_a_reply_that_never_ends(self, reply: str) -> None:
        with ScriptedServer(never_ends) as server:
            form = {"reply": reply, "max_reply_bytes": 2**20}
            with scripted(server.address, **form) as (user, run):
                for requests in (1, 2):
                    with pytest.raises(RequestFailed) as caught:
                        user.client.request(b"ping", name="big")
                    assert caught.value.failure == Failure(Phase.RECEIVE, Cause.REPLY_TOO_LONG)
                    server.settle(requests)
                error = ("big", f"receive: {Cause.REPLY_TOO_LONG.text}")
                assert run.errors() == {error: 2}

    def test_a_reply_that_announces_more_than_the_limit(self) -> None:
        with (
            ScriptedServer(answers_each(4, b"\xff\xff\xff\xff and more")) as server,
            scripted(server.address, reply="length:u32") as (user, _),
        ):
            with pytest.raises(RequestFailed) as caught:
                user.client.request(b"ping")
            assert caught.value.failure == Failure(Phase.RECEIVE, Cause.REPLY_TOO_LONG)

    def test_a_message_without_a_reply_that_is_taken_byte_by_byte(self) -> None:
        with ScriptedServer(takes_drops) as server:
            limits = {"io_timeout_s": DEADLINE_S, "reply_timeout_s": 0.3, "send_buffer_bytes": 4096}
            with scripted(server.address, reply="none", **limits) as (user, _):
                with pytest.raises(RequestTimeout) as caught:
                    user.client.send(bytes(64 * 2**20))
                assert caught.value.failure == Failure(Phase.SEND, Cause.REPLY_TIMEOUT)

    @pytest.mark.parametrize(
        ("script", "cause"), [(leaves_after(4), Cause.CLOSED), (resets_after(4), Cause.RESET)]
    )
    def test_a_connection_that_breaks(self, script: Callable[[Peer], None], cause: Cause) -> None:
        with ScriptedServer(script) as server:
            with scripted(server.address, reply="fixed:4") as (user, run):
                assert user.client.request(b"ping") == b"ping"
                with pytest.raises(RequestFailed) as caught:
                    user.client.request(b"ping")
                assert caught.value.failure == Failure(Phase.RECEIVE, cause)
                assert not isinstance(caught.value, TimeoutError)
                assert user.client.request(b"pong") == b"pong"
                assert sum(run.errors().values()) == 1
            assert server.accepted == 2

    def test_a_reply_that_is_cut_in_two(self) -> None:
        with (
            ScriptedServer(answers_once(4, b"half a li")) as server,
            scripted(server.address, reply=LINES) as (user, _),
        ):
            with pytest.raises(RequestFailed) as caught:
                user.client.request(b"line")
            assert caught.value.failure == Failure(Phase.RECEIVE, Cause.CLOSED)

    def test_a_connection_that_closes_between_two_requests(self) -> None:
        with (
            ScriptedServer(closes_after(1, 4)) as server,
            scripted(server.address, reply="fixed:4") as (user, run),
        ):
            for lives in range(1, 4):
                assert user.client.request(b"ping") == b"ping"
                wait_for(lambda: run.load_of(type(user)).engine.pool.closed == lives)  # noqa: B023
            assert server.accepted == 3
            assert run.entry("Shopper").num_failures == 0

    def test_a_port_that_refuses(self) -> None:
        with refusing_address() as address, scripted(address) as (user, run):
            for attempts in range(1, 3):
                with pytest.raises(RequestFailed) as caught:
                    user.client.request(b"ping")
                assert caught.value.failure == Failure(Phase.CONNECT, Cause.REFUSED)
                assert run.errors() == {("connect", f"connect: {Cause.REFUSED.text}"): attempts}
            assert run.entry("Shopper").num_requests == 0

    def test_a_server_that_comes_up_later(self) -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            port = bound.getsockname()[1]
            with scripted(f"127.0.0.1:{port}") as (user, _):
                with pytest.raises(RequestFailed):
                    user.client.request(b"ping")
                bound.listen()
                accepting = gevent.spawn(bound.accept)
                asking = gevent.spawn(user.client.request, b"ping")
                with accepting.get()[0] as peer:
                    peer.sendall(peer.recv(64))
                    assert asking.get() == b"ping"

    def test_a_greeting_that_fails(self) -> None:
        with (
            ScriptedServer(closes_at_once) as server,
            scripted(server.address, first_message=b"hello") as (user, run),
        ):
            with pytest.raises(RequestFailed) as caught:
                user.client.request(b"ping")
            assert caught.value.failure.phase in {Phase.SEND, Phase.RECEIVE}
            assert {name for name, _ in run.errors()} == {"connect"}

    def test_are_final_without_reconnect(self) -> None:
        with ScriptedServer(closes_after(1, 4)) as server:
            with scripted(server.address, reconnect=False) as (user, run):
                assert user.client.request(b"ping") == b"ping"
                wait_for(lambda: run.load_of(type(user)).engine.pool.closed == 1)
                for _ in range(2):
                    with pytest.raises(RequestFailed):
                        user.client.request(b"ping")
            assert server.accepted == 1


class TestMisuse:
    @pytest.mark.parametrize("message", ["text", bytearray(b"ping"), b"", None, 7])
    def test_an_invalid_message_is_refused(self, message: Any) -> None:
        with ScriptedServer(echoes) as server, scripted(server.address) as (user, _):
            for ask in (user.client.request, user.client.send):
                with pytest.raises(TypeError, match="a message is one byte or more, not") as caught:
                    ask(message)
                assert repr(message) in str(caught.value)
            assert user.client.request(b"ping") == b"ping"

    def test_two_greenlets_cannot_share_a_client(self) -> None:
        with ScriptedServer(only_questions) as server, scripted(server.address) as (user, _):
            first = gevent.spawn(user.client.request, b"really")
            server.wait_for(lambda: server.bytes_received == 6)
            for ask in (user.client.request, user.client.send):
                with pytest.raises(RuntimeError, match="two greenlets"):
                    ask(b"second")
            assert not first.ready()
            server.peers[0].send(b"really")
            assert first.get() == b"really"
            assert user.client.request(b"third?") == b"third?"
            assert server.accepted == 1


class TestAbandonedRequest:
    """A request that its greenlet no longer waits for."""

    def test_by_a_timeout_of_the_script(self) -> None:
        def script(user: Any) -> str:
            with pytest.raises(gevent.Timeout):
                user.client.request(b"one\n", name="late")
            return "timed out"

        with ScriptedServer(numbered_late) as server:
            with scripted(server.address, reply=r"delimiter:\n") as (user, run):
                asking = gevent.spawn(script, user)
                wait_for(lambda: server.bytes_received == 4)
                asking.kill(gevent.Timeout())  # as its timer does
                assert asking.get() == "timed out"
                assert user.client.request(b"two\n") == b"1 two\n"
                assert run.entry("late").num_requests == 0
                server.released.set()  # now the late reply arrives, on the old connection
                wait_for(lambda: run.entry("late").num_requests == 1)
                assert user.client.request(b"new\n") == b"1 new\n"
            assert server.accepted == 2
            check(run.record(type(user)))

    def test_at_the_moment_of_the_reply_does_not_disturb_later_requests(self) -> None:
        with ScriptedServer(never_answers) as server, scripted(server.address) as (user, _):
            slept = []

            def script() -> None:
                with contextlib.suppress(LookupError):
                    user.client.request(b"ping")
                gevent.sleep(0.01)
                slept.append(True)

            def give_up() -> None:
                user.client.when_free(user.client._connection)  # as the engine does
                asking.throw(LookupError())  # as a timer does, before the greenlet has resumed

            asking = gevent.spawn(script)
            server.wait_for(lambda: server.bytes_received == 4)
            get_hub().loop.run_callback(give_up)
            asking.join()
            assert slept == [True]

    def test_before_the_message_is_sent_leaves_it_unsent(self) -> None:
        with ScriptedServer(numbered) as server:
            with scripted(server.address, reply=r"delimiter:\n") as (user, run):
                assert user.client.request(b"one\n") == b"1 one\n"
                asking = gevent.spawn(user.client.request, b"two\n")
                get_hub().loop.run_callback(lambda: asking.throw(gevent.GreenletExit()))
                asking.join()
                assert user.client.request(b"new\n") == b"1 new\n"
            assert run.entry("Shopper").num_requests == 2
            assert run.errors() == {}
            assert server.streams == [b"one\n", b"new\n"]

    def test_by_a_user_that_is_killed(self) -> None:
        replies = []
        with ScriptedServer(numbered_late) as server:

            class Shopper(ScriptedSocketUser):
                host = server.address
                reply = r"delimiter:\n"

                @task
                def buy(self) -> None:
                    replies.append(self.client.request(b"tea\n", name="buy"))

                def on_stop(self) -> None:
                    replies.append(self.client.request(b"bye\n", name="leave"))

            with LocalRun(Shopper) as run:
                [user] = run.start(1)
                server.wait_for(lambda: server.bytes_received == 4)
                assert user.stop(force=True)
                assert user.greenlet.dead
                assert replies == [b"1 bye\n"]
                assert run.entry("leave").num_requests == 1
                assert run.entry("buy").num_requests == 0
                server.released.set()
                wait_for(lambda: run.entry("buy").num_requests == 1)
                wait_for(lambda: run.load_of(Shopper).engine.pool.is_finished)
            assert replies == [b"1 bye\n"]
            assert run.errors() == {}
            record = run.record(Shopper)
            check(record)
            assert (record.actual.messages, record.actual.cut_off) == (2, 0)

    def test_by_a_user_whose_server_never_answers_cuts_it_off(self) -> None:
        with ScriptedServer(never_answers) as server:

            class Shopper(ScriptedSocketUser):
                host = server.address
                drain_s = 0.05

                @task
                def buy(self) -> None:
                    self.client.request(b"tea")

            with LocalRun(Shopper) as run:
                run.start(2)
                server.wait_for(lambda: server.bytes_received == 6)
            record = run.record(Shopper)
            check(record)
            assert (record.actual.messages, record.actual.cut_off) == (0, 2)
            assert run.environment.stats.total.num_requests == 0

    def test_a_gentle_stop_lets_the_task_end(self) -> None:
        with ScriptedServer(numbered_late) as server:

            class Shopper(ScriptedSocketUser):
                host = server.address
                reply = r"delimiter:\n"

                @task
                def buy(self) -> None:
                    for item in (b"tea\n", b"jam\n"):
                        self.client.request(item)

            with LocalRun(Shopper) as run:
                [user] = run.start(1)
                server.wait_for(lambda: server.bytes_received == 4)
                assert user.stop() is False
                server.released.set()
                user.greenlet.join()
                assert run.entry("Shopper").num_requests == 2
                wait_for(lambda: run.load_of(Shopper).engine.pool.is_finished)
            assert run.user_errors == []


class TestManyUsers:
    def test_each_get_the_replies_to_their_own_requests(self) -> None:
        with ScriptedServer(echoes) as server:
            wrong = []

            class Shopper(ScriptedSocketUser):
                host = server.address
                requests = 0

                @task
                def ask(self) -> None:
                    self.requests += 1
                    message = b"%d from %d" % (self.requests, id(self))
                    if self.client.request(message) != message:
                        wrong.append(message)

            with LocalRun(Shopper) as run:
                users = run.start(20)
                wait_for(lambda: min(user.requests for user in users) > 20)
            assert wrong == []
            assert run.user_errors == []
            assert server.accepted == 20
            record = run.record(Shopper)
            check(record)
            assert record.actual.messages == run.entry("Shopper").num_requests

    def test_an_error_in_a_task_is_handled_by_locust(self) -> None:
        with ScriptedServer(echoes) as server:

            class Shopper(ScriptedSocketUser):
                host = server.address
                requests = 0

                @task
                def ask(self) -> None:
                    self.requests += 1
                    self.client.request(b"ping")
                    if self.requests == 2:
                        raise LookupError("of the user's own")

            with LocalRun(Shopper) as run:
                [user] = run.start(1)
                wait_for(lambda: user.requests > 5)
            assert [repr(error) for error in run.user_errors] == [
                'LookupError("of the user\'s own")'
            ]
            assert server.accepted == 1
