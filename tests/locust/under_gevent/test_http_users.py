"""Users inside Locust that request by HTTP from a real nginx, which ends connections."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accounts import check
from local_run import LocalRun, scripted, wait_for
from nginx import NEEDS_NGINX, Nginx, nginx

from loadgen.errors import UsageError
from loadgen.locust import SocketUser

pytestmark = NEEDS_NGINX


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Nginx]:
    with nginx(tmp_path, "keepalive_requests 20;", {"page": b"a" * 100_000}) as server:
        yield server


class TestDeclared:
    @pytest.mark.parametrize(
        "attributes",
        [{}, {"pipeline": 4}, {"payload": lambda _: b"/ok"}, {"headers": ("Accept: */*",)}],
        ids=["plain", "pipelined", "made", "headers"],
    )
    def test_user_loses_nothing_at_the_ends_of_connections(
        self, served: Nginx, attributes: dict[str, Any]
    ) -> None:
        fields = {"host": f"{served.origin}/ok", "connections": 2, "__module__": __name__}
        user_class = type("Visitor", (SocketUser,), fields | attributes)
        with LocalRun(user_class) as run:
            run.start(2)
            wait_for(lambda: run.answered(user_class) >= 300)
            run.runner.stop()
            record = run.record(user_class)
        check(record)
        assert record.failures == []
        assert record.statuses is not None
        assert record.statuses.counts == {"200": record.actual.messages}
        assert record.actual.renewed >= 300 // 20 - 4
        assert run.user_errors == []


class TestScripted:
    def test_user_requests_paths(self, served: Nginx) -> None:
        with scripted(served.origin, headers=("X-A: b",)) as (user, run):
            for _ in range(50):
                reply = user.client.request(b"/ok")
                assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
                assert reply.endswith(b"\r\n\r\nok\n")
            entry = run.entry("Shopper")
            assert (entry.num_requests, entry.num_failures) == (50, 0)

    def test_user_gets_the_body_without_its_chunks(self, served: Nginx) -> None:
        with scripted(served.origin) as (user, _):
            head, _, body = user.client.request(b"/chunked/page").partition(b"\r\n\r\n")
        assert b"Transfer-Encoding: chunked" in head
        assert body == b"a" * 100_000

    def test_user_is_told_of_an_error_page_and_goes_on(self, served: Nginx) -> None:
        with scripted(served.origin) as (user, run):
            assert user.client.request(b"/missing").endswith(b"\r\n\r\nno\n")
            assert user.client.request(b"/ok").endswith(b"ok\n")
            entry = run.entry("Shopper")
            assert (entry.num_requests, entry.num_failures) == (2, 1)
            assert run.errors() == {("Shopper", "reply: status 4xx"): 1}

    def test_user_sends_whole_requests(self, served: Nginx) -> None:
        with scripted(served.origin, method="DELETE") as (user, _):
            reply = user.client.request(b"HEAD /files/page HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"Content-Length: 100000" in reply
            assert reply.endswith(b"\r\n\r\n")
            assert user.client.request(b"/ok").endswith(b"ok\n")

    def test_user_cannot_request_what_is_no_path(self, served: Nginx) -> None:
        with scripted(served.origin) as (user, _):
            with pytest.raises(UsageError, match="write a path such as"):
                user.client.request(b"/a b")
            assert user.client.request(b"/ok").endswith(b"ok\n")
