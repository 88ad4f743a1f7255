"""HTTP/1.1: what of a plan makes its requests (RFC 9110, RFC 9112)."""

import functools
import re
from collections.abc import Iterator
from typing import ClassVar, Final, NamedTuple

from loadgen._version import __version__
from loadgen.errors import LoadgenBug, UsageError
from loadgen.net.protocols import Framing
from loadgen.net.protocols.base import NO_LIMIT_BYTES
from loadgen.net.protocols.http import Http as HttpFraming
from loadgen.net.protocols.http import parse_statuses
from loadgen.net.target import Target
from loadgen.plan.applications.base import BaseApplication
from loadgen.plan.applications.request_head import TOKEN, field_of, host_of
from loadgen.plan.fields import Fields
from loadgen.plan.payloads import (
    IS_REDACTED,
    REDACTED,
    FilePayload,
    MadePayload,
    PayloadQueue,
    RedactedPayload,
    read_file,
)
from loadgen.units import format_bytes

_RESOURCE: Final = re.compile(r"[/?][!-\"$-~]*")
_RESOURCE_BYTES: Final = re.compile(_RESOURCE.pattern.encode())
_OWN_HEADERS: Final = ("content-length", "transfer-encoding")
_BODY_EXPECTED: Final = ("POST", "PUT", "PATCH")


class _Around(NamedTuple):
    """A request without the resource that is requested."""

    before: bytes
    behind: bytes

    def request(self, resource: bytes) -> bytes:
        return self.before + resource + self.behind


class Http(BaseApplication):
    """HTTP/1.1."""

    name: ClassVar[str] = "http"
    reply: ClassVar[str] = "http"
    forms: ClassVar[tuple[str, ...]] = ("http",)
    alpn: ClassVar[tuple[str, ...]] = ("http/1.1",)
    options: ClassVar[tuple[str, ...]] = ("method", "headers", "body", "urls", "keepalive")
    form_options: ClassVar[tuple[str, ...]] = ("fail_status",)

    def check(self, plan: Fields) -> None:
        """Raise UsageError for payloads, and for what would make no request."""
        if not plan.has_usual_payloads and not _is_made(plan):
            raise UsageError(
                "http:// sends requests, not payloads: give --url, -X, -H and --body; or send "
                "the bytes as they are with tcp:// and --reply http"
            )
        if not plan.keepalive and plan.pipeline > 1:
            raise UsageError(
                "--no-keepalive ends the connection with each response; it does not go with "
                f"--pipeline {plan.pipeline}"
            )
        if plan.urls and plan.peer.resource not in ("", "/"):
            raise UsageError(
                f"the target names {plan.peer.resource} and --url another path to request; "
                "give that path with --url as well"
            )
        for url in plan.urls:
            if isinstance(url, str):
                _resource("--url", url, plan.peer)
        _around(plan, b"")

    def queue(self, plan: Fields) -> PayloadQueue:
        """Return one request for each URL. Raises UsageError."""
        if any(f": {REDACTED}" in line for line in plan.headers):
            raise UsageError(f"--header: {IS_REDACTED}")
        around = _around(plan, _body(plan))
        target = plan.peer
        resources = [*_resources(plan, target)] or [_resource("TARGET", target.resource, target)]
        return PayloadQueue(tuple(around.request(each.encode("ascii")) for each in resources))

    def message(self, plan: Fields, content: bytes) -> bytes:
        """Return the request for a ``content`` that begins with ``/``, which is a path.

        Any other is a request as it stands. Raises UsageError for a path that cannot be requested.
        """
        if not content.startswith(b"/"):
            return content
        if not _RESOURCE_BYTES.fullmatch(content):
            raise UsageError.of("message", content.decode("latin-1"), _ACCEPTED)
        return _around_with_body(plan).request(content)

    def framing(self, plan: Fields, form: str) -> Framing:
        """Return that of responses to the requests of ``plan``, or to any."""
        if form not in self.forms:
            raise LoadgenBug(f"{form} is no form of {self.name}")
        try:
            fails = parse_statuses(plan.fail_status)
        except ValueError as error:
            raise UsageError.of("--fail-status", plan.fail_status, str(error)) from None
        is_made = _is_made(plan)
        is_known = plan.peer.scheme.application == self.name and not is_made
        has_limit = is_made or plan.max_reply_bytes is not None  # user code may keep responses
        longest_bytes = plan.most_reply_bytes if has_limit else NO_LIMIT_BYTES
        method = _method(plan) if is_known else None
        return HttpFraming(method, fails, plan.keepalive, longest_bytes)

    def describe(self, plan: Fields) -> str:
        """Return the method, how many URLs are requested, and with which body."""
        if _is_made(plan):
            return ""
        listed = any(not isinstance(url, str) for url in plan.urls)
        urls = " of several URLs" if listed else f" of {len(plan.urls)} URLs" if plan.urls else ""
        body = f" with {format_bytes(len(plan.body))}" if isinstance(plan.body, bytes) else ""
        return f"{_method(plan)} requests{urls}{body}"


def _is_made(plan: Fields) -> bool:
    return any(isinstance(each, MadePayload) for each in plan.payloads)


def _method(plan: Fields) -> str:
    return plan.method or ("GET" if plan.body is None else "POST")


# ---- what is requested --------------------------------------------------------------------

_ACCEPTED: Final = "write a path such as /a?b=c, in ASCII, with %XX for all else"


def _resources(plan: Fields, target: Target) -> Iterator[str]:
    """Yield what the URLs of ``plan`` request, with those of files."""
    for url in plan.urls:
        if isinstance(url, str):
            yield _resource("--url", url, target)
        elif isinstance(url, FilePayload):
            yield from _lines(url, target)
        else:
            raise UsageError(f"--url: {IS_REDACTED}")


def _lines(source: FilePayload, target: Target) -> Iterator[str]:
    """Yield what the lines of a file request. Raises UsageError, also if there are none."""
    content = read_file("--urls", source.path)
    is_empty = True
    for number, line in enumerate(content.decode("utf-8", "surrogateescape").splitlines(), 1):
        url = line.strip()
        if url and not url.startswith("#"):
            is_empty = False
            yield _resource(f"--urls: line {number} of {source.path}", url, target)
    if is_empty:
        raise UsageError(f"--urls: {source.path} has no URL; it needs one a line")


def _resource(option: str, url: str, target: Target) -> str:
    """Return the request-target (RFC 9112, 3.2.1) of ``url``, a path or a URL of ``target``."""
    resource = url
    if url and not url.startswith(("/", "?")):
        named = _parsed(url)
        if named[:4] != target[:4]:
            origin = f"{target.scheme.name}://{target.authority}"
            raise UsageError.of(option, url, f"write a path, or a URL of {origin}")
        resource = named.resource
    if not resource.startswith("/"):
        resource = f"/{resource}"
    if not _RESOURCE.fullmatch(resource):
        raise UsageError.of(option, url, _ACCEPTED)
    return resource


def _parsed(url: str) -> Target:
    """Return the target that ``url`` names; one that has no host if it is no URL."""
    try:
        return Target.parse(url)
    except UsageError:
        return Target()


# ---- what stands around it ----------------------------------------------------------------


@functools.lru_cache(maxsize=16)
def _around_with_body(plan: Fields) -> _Around:
    return _around(plan, _body(plan))


def _body(plan: Fields) -> bytes:
    """Return the body, read from its file. Raises UsageError."""
    match plan.body:
        case None:
            return b""
        case bytes():
            return plan.body
        case FilePayload():
            return read_file("--body-file", plan.body.path)
        case RedactedPayload():
            raise UsageError(f"--body: {IS_REDACTED}")


def _around(plan: Fields, body: bytes) -> _Around:
    """Return what makes a request of ``plan`` with ``body``. Raises UsageError."""
    method = _method(plan)
    if not TOKEN.fullmatch(method) or method == "CONNECT":
        accepted = "write a method such as GET, POST or DELETE, and not CONNECT"
        raise UsageError.of("--method", method, accepted)
    given = [_header(line) for line in plan.headers]
    usual = {"Host": host_of(plan.peer), "User-Agent": f"loadgen/{__version__}"}
    if not plan.keepalive:
        usual["Connection"] = "close"
    replaced = {name.lower() for name, _ in given}
    headers = [each for each in usual.items() if each[0].lower() not in replaced]
    headers += [each for each in given if each[1]]
    if plan.body is not None or method in _BODY_EXPECTED:
        headers.append(("Content-Length", str(len(body))))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return _Around(f"{method} ".encode(), f" HTTP/1.1\r\n{lines}\r\n".encode() + body)


def _header(line: str) -> tuple[str, str]:
    """Return name and value of a header; the value is empty where the header is to be left out."""
    name, value = field_of(line)
    if name.lower() in _OWN_HEADERS:
        raise UsageError.of("--header", line, "the body is sent as it is, with its length")
    return name, value
