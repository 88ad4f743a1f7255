"""The requests that a plan makes, as h11 reads them; and what makes none."""

from pathlib import Path
from typing import Any, NamedTuple

import h11
import pytest

from loadgen import Plan, UsageError
from loadgen.net.connect_to import ConnectTo
from loadgen.net.protocols.http import Http
from loadgen.net.target import Target
from loadgen.plan.payloads import FilePayload, MadePayload
from loadgen.plan.redaction import redacted_plan
from reports.repeat_command import command_of

ORIGIN = "http://example.com:8080"


class Request(NamedTuple):
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


def read(message: bytes) -> Request:
    """Return what h11 reads as a server, which must be one request, and nothing behind it."""
    server = h11.Connection(our_role=h11.SERVER)
    server.receive_data(message)
    request = server.next_event()
    assert isinstance(request, h11.Request)
    body = b""
    while isinstance(event := server.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    assert server.trailing_data == (b"", False)
    names = [name for name, _ in request.headers]
    assert len(names) == len(set(names))
    headers = {name.decode(): value.decode() for name, value in request.headers}
    return Request(request.method.decode(), request.target.decode(), headers, body)


def requests(target: str = ORIGIN, **fields: Any) -> list[Request]:
    return [read(item) for item in Plan(target=target, **fields).queue().items]


class TestRequest:
    def test_is_a_get_of_the_target(self) -> None:
        (request,) = requests(f"{ORIGIN}/a/b?c=d")
        assert request[:2] == ("GET", "/a/b?c=d")
        assert request.headers["host"] == "example.com:8080"
        assert request.headers["user-agent"].startswith("loadgen/")
        assert not {"content-length", "connection"} & set(request.headers)

    @pytest.mark.parametrize(
        ("target", "host", "resource"),
        [
            ("http://a", "a", "/"),
            ("http://a:80/", "a", "/"),
            ("https://a?b", "a", "/?b"),
            ("https://a:80", "a:80", "/"),
            ("http://[::1]:81/x", "[::1]:81", "/x"),
            ("http://[fe80::1%lo]/", "[fe80::1]", "/"),
            ("http://bücher.example/", "xn--bcher-kva.example", "/"),
        ],
    )
    def test_names_the_host_as_the_url_does(self, target: str, host: str, resource: str) -> None:
        (request,) = requests(target)
        assert (request.headers["host"], request.target) == (host, resource)

    def test_has_the_headers_that_are_given(self) -> None:
        lines = (
            "Accept: */*",
            "host: other",
            "User-Agent:",
            "X-Name: \t ä b ",
            "Accept-Language:x",
        )
        (request,) = requests(headers=lines)
        assert request.headers == {
            "accept": "*/*",
            "host": "other",
            "x-name": "ä b",
            "accept-language": "x",
        }

    @pytest.mark.parametrize(
        ("fields", "method", "body", "length"),
        [
            ({"body": b"a\r\n\r\n"}, "POST", b"a\r\n\r\n", "5"),
            ({"body": b"x", "method": "PATCH"}, "PATCH", b"x", "1"),
            ({"body": b""}, "POST", b"", "0"),
            ({"method": "PUT"}, "PUT", b"", "0"),
            ({"method": "DELETE"}, "DELETE", b"", None),
            ({"method": "HEAD"}, "HEAD", b"", None),
        ],
    )
    def test_has_a_body_with_its_length(
        self, fields: dict[str, Any], method: str, body: bytes, length: str | None
    ) -> None:
        (request,) = requests(**fields)
        assert (request.method, request.body) == (method, body)
        assert request.headers.get("content-length") == length

    def test_has_the_body_of_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "body").write_bytes(bytes(range(256)))
        (request,) = requests(body=FilePayload(str(tmp_path / "body")))
        assert request.body == bytes(range(256))

    def test_asks_for_the_end_of_the_connection_without_keep_alive(self) -> None:
        (request,) = requests(keepalive=False)
        assert request.headers["connection"] == "close"

    def test_is_made_for_each_url(self, tmp_path: Path) -> None:
        listed = tmp_path / "urls"
        listed.write_text(f"# what is requested\n/c\n\n  {ORIGIN}/d?e  \n?f\n")
        urls = ("/a", f"{ORIGIN}/b", FilePayload(str(listed)), ORIGIN)
        targets = [request.target for request in requests(urls=urls)]
        assert targets == ["/a", "/b", "/c", "/d?e", "/?f", "/"]


class TestMessageOfUserCode:
    def test_is_a_path_with_all_that_the_plan_says(self) -> None:
        plan = Plan(target=ORIGIN, body=b"b", headers=("A: 1",), method="PUT")
        request = read(plan.message(b"/p?q=1"))
        assert (request.method, request.target, request.body) == ("PUT", "/p?q=1", b"b")
        assert request.headers["a"] == "1"

    def test_is_a_request_as_it_stands(self) -> None:
        whole = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
        assert Plan(target=ORIGIN).message(whole) == whole

    @pytest.mark.parametrize("path", [b"/a b", b"/a\r\nX: y", b"/\xff", b"/#a"])
    def test_is_refused(self, path: bytes) -> None:
        with pytest.raises(UsageError, match="write a path such as"):
            Plan(target=ORIGIN).message(path)


class TestRefusals:
    @pytest.mark.parametrize(
        ("fields", "why"),
        [
            ({"payloads": (b"GET / HTTP/1.1\r\n\r\n",)}, "http:// sends requests, not payloads"),
            ({"method": "GET /\r\n"}, "--method"),
            ({"method": "CONNECT"}, "--method: 'CONNECT' is not accepted"),
            ({"method": ""}, None),
            ({"headers": ("no colon",)}, "--header: 'no colon' is not accepted; write 'Name: v"),
            ({"headers": ("A: b\r\nC: d",)}, "--header"),
            ({"headers": ("A: b\0",)}, "--header"),
            ({"headers": ("A b: c",)}, "--header"),
            ({"headers": (": c",)}, "--header"),
            ({"headers": ("Content-Length: 5",)}, "the body is sent as it is, with its length"),
            ({"headers": ("transfer-encoding: chunked",)}, "the body is sent as it is"),
            ({"urls": ("/a b",)}, "--url: '/a b' is not accepted; write a path"),
            ({"urls": ("/ä",)}, "with %XX for all else"),
            ({"urls": ("http://other:8080/",)}, "or a URL of http://example.com:8080"),
            ({"urls": ("https://example.com:8080/",)}, "or a URL of http://example.com:8080"),
            (
                {"urls": ("a",)},
                "--url: 'a' is not accepted; write a path, or a URL of http://example",
            ),
            ({"urls": ("/b",), "target": f"{ORIGIN}/a"}, "the target names /a and --url another"),
            ({"keepalive": False, "pipeline": 2}, "it does not go with --pipeline 2"),
            ({"fail_status": "6xx"}, "--fail-status: '6xx' is not accepted"),
            ({"connect_to": "a:b"}, "write HOST1:PORT1:HOST2:PORT2"),
            ({"connect_to": ":::70000"}, "write HOST1:PORT1:HOST2:PORT2"),
            (
                {"method": "GET", "target": "a:1"},
                "--method goes with a target of http:// or https://",
            ),
            (
                {"headers": ("A: b",), "target": "a:1"},
                "--header goes with a target of http://, https://, ws:// or wss://",
            ),
            ({"body": b"b", "target": "redis://a"}, "--body goes with a target of http"),
            ({"fail_status": "404", "reply": "eof"}, "--fail-status goes with --reply http"),
        ],
    )
    def test_are_one_line(self, fields: dict[str, Any], why: str | None) -> None:
        if why is None:
            assert Plan(**{"target": ORIGIN, **fields}).queue().items[0].startswith(b"GET ")
            return
        with pytest.raises(UsageError) as raised:
            Plan(**{"target": ORIGIN, **fields})
        assert why in str(raised.value)

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"/a\n/b c\n", "--urls: line 2 of"),
            (b"\xff\n", "--urls: line 1 of"),
            (b"# nothing\n", "has no URL; it needs one a line"),
            (None, "No such file or directory"),
        ],
    )
    def test_are_made_of_files_before_the_first_socket(
        self, tmp_path: Path, content: bytes | None, why: str
    ) -> None:
        path = tmp_path / "urls"
        if content is not None:
            path.write_bytes(content)
        plan = Plan(target=ORIGIN, urls=(FilePayload(str(path)),))
        with pytest.raises(UsageError, match=why):
            plan.queue()


class TestFraming:
    @pytest.mark.parametrize(
        ("fields", "method"),
        [
            ({}, "GET"),
            ({"method": "HEAD"}, "HEAD"),
            ({"body": b"x"}, "POST"),
            ({"payloads": (MadePayload("tasks"),)}, None),
            ({"target": "a:1", "reply": "http", "payloads": (b"x",)}, None),
            ({"target": "unix:///a", "reply": "http"}, None),
        ],
    )
    def test_knows_the_method_where_the_plan_makes_all_requests(
        self, fields: dict[str, Any], method: str | None
    ) -> None:
        framing = Plan(**{"target": ORIGIN, **fields}).framing()
        assert isinstance(framing, Http)
        assert framing.method == method
        assert framing.needs_messages == (method != "GET")

    def test_is_another_one_where_another_is_asked_for(self) -> None:
        assert Plan(target=ORIGIN, reply="fixed:5").framing().reply_bytes(1) == 5


class TestConnectTo:
    @pytest.mark.parametrize(
        ("rule", "authority"),
        [
            ("example.com:8080:127.0.0.1:81", "127.0.0.1:81"),
            ("EXAMPLE.com::[::1]:", "[::1]:8080"),
            (":::82", "example.com:82"),
            ("::h:", "h:8080"),
            ("other:8080:127.0.0.1:81", "example.com:8080"),
            ("example.com:80:127.0.0.1:81", "example.com:8080"),
        ],
    )
    def test_replaces_what_it_names(self, rule: str, authority: str) -> None:
        target = Target.parse(f"{ORIGIN}/path")
        assert ConnectTo.parse(rule).applied_to(target).authority == authority


class TestRedaction:
    PLAN = Plan(
        target=f"{ORIGIN}/login?token=hunter2",
        headers=("Authorization: Bearer hunter2",),
        body=b"hunter2",
    )

    def test_leaves_no_secret(self) -> None:
        redacted = redacted_plan(self.PLAN)
        assert "hunter2" not in repr(redacted)
        assert redacted.headers[0].startswith("Authorization: redacted: 14 bytes, sha256 ")
        assert redacted_plan(redacted) == redacted
        assert command_of(redacted) is None
        urls = redacted_plan(Plan(target=ORIGIN, urls=("/hunter2", FilePayload("hunter2"))))
        assert "hunter2" not in repr(urls)

    def test_is_of_a_plan_that_makes_no_request(self) -> None:
        urls = redacted_plan(Plan(target=ORIGIN, urls=("/hunter2",)))
        headers = redacted_plan(Plan(target=ORIGIN, headers=("Authorization: hunter2",)))
        for plan in (urls, headers, redacted_plan(self.PLAN)):
            with pytest.raises(UsageError, match="it is redacted"):
                plan.queue()

    def test_of_a_plan_without_one_can_be_repeated(self) -> None:
        assert command_of(self.PLAN) == [
            *("loadgen", f"{ORIGIN}/login?token=hunter2", "-c", "100", "-d", "10s"),
            *("-H", "Authorization: Bearer hunter2", "--body", "hunter2"),
        ]
