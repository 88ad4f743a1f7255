"""Runs that request by HTTP: from nginx, and from servers that end connections, or misbehave."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accounts import check, check_against, failures
from command import loadgen
from nginx import NEEDS_NGINX, Nginx, nginx
from servers import DEADLINE_S, Peer, Script, ScriptedServer

from loadgen import Plan, run
from loadgen.results.record import RunRecord

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FILES = {
    "large": bytes(range(256)) * 4096,
    "page": b'<!--# echo var="request_method" --> of <!--# echo var="request_uri" -->',
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """An nginx that ends each connection after 100 requests."""
    directory = tmp_path_factory.mktemp("nginx")
    settings = "keepalive_requests 100; if_modified_since before;"
    with nginx(directory, settings, FILES) as server:
        yield server


def run_of(target: str, **fields: Any) -> RunRecord:
    """Return the record of a run, in which the books balance."""
    usual: dict[str, Any] = {"connections": 4, "probe": False, "watch": "off"}
    if "duration_s" not in fields:
        usual["messages"] = 25
    record = run(Plan(**{"target": target, **usual, **fields}))
    check(record)
    return record


def counts_of(record: RunRecord) -> dict[str, int]:
    assert record.statuses is not None
    return dict(record.statuses.counts)


def requests_in(stream: bytes) -> int:
    return stream.count(b" HTTP/1.1\r\n")


def answering(*responses: bytes, close: bool = False) -> Script:
    """Answer each request without a body with the next of ``responses``, the last one again.

    After the last one, ``close`` the connection when there is a further request.
    """

    def script(peer: Peer) -> None:
        answered = 0
        while peer.receive():
            while answered < peer.stream.count(b"\r\n\r\n"):
                if close and answered == len(responses):
                    return
                peer.send(responses[min(answered, len(responses) - 1)])
                answered += 1

    return script


@NEEDS_NGINX
class TestNginx:
    @pytest.mark.parametrize(
        ("path", "fields", "statuses"),
        [
            ("/ok", {}, {"200": 100}),
            ("/ok", {"pipeline": 5}, {"200": 100}),
            ("/ok", {"method": "HEAD"}, {"200": 100}),
            ("/ok", {"method": "HEAD", "pipeline": 5}, {"200": 100}),
            ("/ok", {"body": b"a=b", "pipeline": 5}, {"200": 100}),
            ("/empty", {}, {"204": 100}),
            ("/moved", {}, {"302": 100}),
            ("/missing", {"pipeline": 5}, {"404": 100}),
            ("/broken", {}, {"500": 100}),
            ("/files/large", {}, {"200": 100}),
            ("/files/large", {"method": "HEAD", "pipeline": 5}, {"200": 100}),
            ("/chunked/page", {"pipeline": 5}, {"200": 100}),
            ("/chunked/page", {"method": "HEAD"}, {"200": 100}),
            ("/", {"urls": ("/ok", "/missing", "/empty"), "messages": 3}, {"200": 4, "404": 4}),
        ],
    )
    def test_answers_and_the_statuses_are_counted(
        self, served: Nginx, path: str, fields: dict[str, Any], statuses: dict[str, int]
    ) -> None:
        record = run_of(served.origin + path, **fields)
        counts = counts_of(record)
        assert counts | statuses == counts
        assert sum(counts.values()) == record.actual.messages
        rejected = {f"reply: status_{code[0]}xx": count for code, count in statuses.items()}
        rejected = {name: count for name, count in rejected.items() if name[14] in "45"}
        assert failures(record) == rejected

    def test_rejects_what_the_plan_says(self, served: Nginx) -> None:
        urls = ("/ok", "/missing", "/broken", "/moved")
        record = run_of(served.origin, urls=urls, fail_status="2xx,404,3xx", messages=4)
        expected = {f"reply: status_{digit}xx": 4 for digit in "234"}
        assert failures(record) == expected

    def test_is_not_modified_since(self, served: Nginx) -> None:
        headers = ("If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT",)
        record = run_of(f"{served.origin}/files/large", headers=headers, pipeline=5)
        assert counts_of(record) == {"304": 100}

    def test_is_stamped_by_the_kernel(self, served: Nginx) -> None:
        record = run_of(f"{served.origin}/ok")
        assert record.timestamps.mode == "kernel"
        assert record.timestamps.stamped == 100

    def test_is_named_by_a_host_that_is_elsewhere(self, served: Nginx) -> None:
        rule = f"example.invalid:80:127.0.0.1:{served.port}"
        record = run_of("http://example.invalid/ok", connect_to=rule)
        assert counts_of(record) == {"200": 100}

    def test_is_requested_with_given_bytes(self, served: Nginx) -> None:
        get, head = (f"{method} /ok HTTP/1.1\r\nHost: a\r\n\r\n" for method in ("GET", "HEAD"))
        target = served.origin.removeprefix("http://")
        payloads = (get.encode(), head.encode(), head.encode())
        record = run_of(target, payloads=payloads, reply="http", pipeline=4, messages=24)
        assert counts_of(record) == {"200": 96}


@NEEDS_NGINX
class TestOrderlyEnd:
    @pytest.mark.parametrize(
        "fields",
        [{}, {"pipeline": 8}, {"duration_s": 1.0, "rate": 1200}],
        ids=["closed", "pipelined", "open"],
    )
    def test_of_a_connection_costs_no_message(self, tmp_path: Path, fields: dict[str, Any]) -> None:
        usual = {} if "rate" in fields else {"messages": 250}
        with nginx(tmp_path, "keepalive_requests 100;") as server:
            record = run_of(f"{server.origin}/ok", **usual, **fields)
        actual = record.actual
        assert failures(record) == {}
        assert counts_of(record) == {"200": actual.messages}
        assert server.statuses == {200: actual.messages}  # none was answered twice
        assert actual.messages == actual.submitted
        assert actual.messages == (actual.due or 1000) - (actual.overdue or 0)
        # A connection that ends with the run may not come up again.
        assert 0 <= (actual.renewed or 0) - (actual.opened - 4) <= 4
        assert actual.renewed >= actual.messages // 100 - 4
        assert (actual.resent or 0) > 0 or "pipeline" not in fields

    def test_is_none_of_a_run_that_is_over(self, tmp_path: Path) -> None:
        with nginx(tmp_path, "keepalive_requests 25;") as server:
            record = run_of(f"{server.origin}/ok")
        assert (record.actual.messages, record.actual.opened) == (100, 4)

    def test_follows_each_response_without_keep_alive(self, tmp_path: Path) -> None:
        with nginx(tmp_path) as server:
            record = run_of(f"{server.origin}/ok", keepalive=False)
        assert failures(record) == {}
        assert (record.actual.messages, record.actual.opened) == (100, 100)
        assert server.statuses == {200: 100}

    def test_of_an_idle_connection_loses_no_request(self, tmp_path: Path) -> None:
        with nginx(tmp_path, "keepalive_timeout 50ms;") as server:
            record = run_of(
                f"{server.origin}/ok", connections=1, duration_s=1.5, rate=4, arrivals="uniform"
            )
        actual = record.actual
        assert failures(record) == {}
        assert server.statuses == {200: actual.submitted} == {200: actual.messages}
        assert actual.renewed > 0


class TestScriptedServer:
    def test_that_ends_as_a_request_comes_gets_it_again(self) -> None:
        with ScriptedServer(answering(OK, close=True)) as server:
            record = run_of(f"http://{server.address}", connections=1, messages=5)
            check_against(record, server)
        assert failures(record) == {}
        assert counts_of(record) == {"200": 5}
        assert (record.actual.renewed, record.actual.resent) == (4, 4)

    def test_that_ends_as_a_post_comes_fails_it(self) -> None:
        with ScriptedServer(answering(OK, close=True)) as server:
            record = run_of(f"http://{server.address}", connections=1, messages=5, method="POST")
            check(record)
        assert failures(record) == {"receive: http_idle_close": 1}
        assert record.actual.messages == 1
        assert [requests_in(stream) for stream in server.streams] == [2]

    @pytest.mark.parametrize(
        ("method", "messages", "expected"),
        [("GET", 5, {}), ("POST", 1, {"receive: http_idle_close": 1})],
    )
    def test_that_ends_with_a_request_unread_and_so_resets(
        self, method: str, messages: int, expected: dict[str, int]
    ) -> None:
        def script(peer: Peer) -> None:
            if peer.receive():
                peer.send(OK)
                peer.hears_within(DEADLINE_S)

        with ScriptedServer(script) as server:
            record = run_of(f"http://{server.address}", connections=1, messages=5, method=method)
        assert failures(record) == expected
        assert record.actual.messages == messages
        assert record.actual.renewed == messages - 1

    def test_that_ends_within_a_response_loses_it(self) -> None:
        def script(peer: Peer) -> None:
            peer.receive()
            peer.send(OK)
            peer.receive()
            peer.send(OK[:20])

        with ScriptedServer(script) as server:
            record = run_of(f"http://{server.address}", connections=1, messages=5)
            check_against(record, server)
        assert failures(record) == {"receive: closed": 1}
        assert record.actual.messages == 1

    @pytest.mark.parametrize(
        "response",
        [
            b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
            b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        ],
    )
    def test_that_ends_after_each_response(self, response: bytes) -> None:
        def script(peer: Peer) -> None:
            if peer.receive():
                peer.send(response)

        with ScriptedServer(script) as server:
            record = run_of(f"http://{server.address}", messages=5)
            check_against(record, server)
        assert failures(record) == {}
        assert counts_of(record) == {"200": 20}
        assert record.actual.opened == 20
        assert record.timestamps.stamped == 20

    def test_that_answers_a_pipeline_up_to_the_close_gets_the_rest_again(self) -> None:
        last = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

        def script(peer: Peer) -> None:
            if peer is peer.server.peers[0]:
                while peer.stream.count(b"\r\n\r\n") < 4 and peer.receive():
                    pass
                peer.send(OK + OK + last)
                peer.receive_all()
            else:
                answering(OK)(peer)

        with ScriptedServer(script) as server:
            record = run_of(f"http://{server.address}", connections=1, messages=9, pipeline=4)
        assert failures(record) == {}
        assert counts_of(record) == {"200": 9}
        assert (record.actual.renewed, record.actual.resent) == (1, 1)
        assert [requests_in(stream) for stream in server.streams] == [4, 6]

    def test_that_sends_many_parts_is_read_whole(self) -> None:
        chunks = b"".join(b"%x\r\n%b\r\n" % (size, bytes(size)) for size in range(1, 200))
        reply = (
            b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"
            b"\r\n\r\n" + chunks + b"0\r\nDigest: x\r\n\r\n"
        )

        def script(peer: Peer) -> None:
            while peer.receive():
                for start in range(0, len(reply), 997):
                    peer.send(reply[start : start + 997])

        with ScriptedServer(script) as server:
            record = run_of(f"http://{server.address}")
            check_against(record, server)
        assert counts_of(record) == {"200": 100}
        assert failures(record) == {}

    @pytest.mark.parametrize(
        ("coding", "body", "expect"),
        [
            ("gzip", "-6\r\nhello\r\n", r"/-6\r\nhello/"),
            ("gzip", "hello\r\n", "/hello/"),
            ("notchunked", "5\r\nhello\r\n0\r\n\r\n", r"/5\r\nhello\r\n0/"),
        ],
    )
    def test_that_names_a_coding_after_chunks_is_read_to_the_end(
        self, coding: str, body: str, expect: str
    ) -> None:
        head = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: {coding}"

        def script(peer: Peer) -> None:
            if peer.receive():
                peer.send(f"{head}\r\nConnection: close\r\n\r\n{body}".encode())

        with ScriptedServer(script) as server:
            record = run_of(f"http://{server.address}", expect=(expect,))
        assert failures(record) == {}

    @pytest.mark.parametrize(
        ("fields", "response", "cause"),
        [
            ({}, b"HTTP/1.1 200 OK\r\nA: " + b"a" * 200_000, "http_header_too_long"),
            ({}, b"SSH-2.0-OpenSSH_9.2\r\n", "bad_frame"),
            ({}, OK + OK, "unexpected_bytes"),
            ({"max_reply_bytes": 30}, OK, "reply_too_long"),
        ],
    )
    def test_that_is_hostile_fails_its_connection(
        self, fields: dict[str, Any], response: bytes, cause: str
    ) -> None:
        with ScriptedServer(answering(response)) as server:
            record = run_of(f"http://{server.address}", connections=1, **fields)
        assert failures(record) == {f"receive: {cause}": 1}


class TestCommand:
    @NEEDS_NGINX
    def test_requests_with_all_options(self, served: Nginx, tmp_path: Path) -> None:
        (tmp_path / "urls").write_text("/ok\n/missing\n")
        (tmp_path / "body").write_bytes(b"x" * 1000)
        words = ["-X", "PUT", "-H", "Accept: */*", "--body-file", str(tmp_path / "body")]
        words += ["--url", "/broken", "--urls", str(tmp_path / "urls"), "--fail-status", "5xx"]
        words += ["-c", "2", "-n", "30", "--pipeline", "2"]
        ended = loadgen(served.origin, *words, "--json", "-", "--no-probe")
        assert ended.code == 0, ended.stderr
        assert counts_of(ended.record) == {"200": 20, "404": 20, "500": 20}
        assert failures(ended.record) == {"reply: status_5xx": 20}
        check(ended.record)
        assert "PUT requests of several URLs, reply http, closed loop" in ended.stderr
        assert re.search(r"20 +reply: status 5xx", ended.stderr)

    @pytest.mark.parametrize(
        "words",
        [["http://127.0.0.1:1/"], ["127.0.0.1:1", "--payload", "GET", "--reply", "http"]],
    )
    def test_says_which_library_is_missing(self, words: list[str]) -> None:
        code = (
            "import sys; sys.modules['httptools'] = None\n"
            "from loadgen.cli import main; sys.exit(main(sys.argv[1:]))"
        )
        command = [sys.executable, "-c", code, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=45, check=False)
        assert done.stderr == "loadgen: http:// needs httptools: pip install 'loadgen[http]'\n"
        assert (done.returncode, done.stdout) == (2, "")
