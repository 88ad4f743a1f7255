"""Targets as text: URLs whose scheme names what is spoken there, and shorter forms of TCP."""

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from loadgen.errors import UsageError
from loadgen.text import quoted, unescaped


class Scheme(NamedTuple):
    """What the scheme of a target says.

    application: the application protocol. default_port: 0 if it has none. is_secure: whether TLS is
    spoken below it. takes: the parts of a URL that mean something in it: ``resource``, ``user``.
    """

    name: str
    application: str
    default_port: int = 0
    is_secure: bool = False
    takes: frozenset[str] = frozenset()


_RESOURCE: Final = frozenset({"resource"})

SCHEMES: Final = {
    each.name: each
    for each in (
        Scheme("tcp", "raw"),
        Scheme("tls", "raw", is_secure=True),
        Scheme("http", "http", 80, takes=_RESOURCE),
        Scheme("https", "http", 443, is_secure=True, takes=_RESOURCE),
        Scheme("redis", "redis", 6379, takes=_RESOURCE | {"user"}),
        Scheme("rediss", "redis", 6379, is_secure=True, takes=_RESOURCE | {"user"}),
        Scheme("ws", "websocket", 80, takes=_RESOURCE),
        Scheme("wss", "websocket", 443, is_secure=True, takes=_RESOURCE),
        Scheme("udp", "datagrams"),
    )
}
"""By name. A UNIX socket, ``unix:///path``, is spoken to as one of ``tcp``."""

_PLAIN: Final = SCHEMES["tcp"]

ACCEPTED: Final = (
    "write host:port, [ipv6-address]:port, a URL of "
    f"{', '.join(SCHEMES)}, or unix:///path/to/socket, with a port from 1 to 65535"
)

_URL: Final = re.compile(
    r"(?:(?P<user>[^:@/\s]*)(?::(?P<password>[^@/\s]*))?@)?"
    r"(?:\[(?P<ipv6>[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(?:%[\w.-]+)?)\]|(?P<host>[^\[\]:/@?#\s]+))"
    r"(?::(?P<port>\d{1,9}))?"
    r"(?P<resource>[/?][^\s#]*)?"
)
HIDDEN: Final = "***"
"""What stands for a part of a target that is not shown."""


class Target(NamedTuple):
    """An endpoint of TCP or UDP (``host`` and ``port``), or a UNIX stream socket (``path``).

    The path is as `loadgen.text.escaped` writes it. resource: what follows the port in the URL,
    such as ``/path?query``; empty if nothing does. user, password: as the URL has them, with its
    percent-encoding.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    scheme: Scheme = _PLAIN
    resource: str = ""
    user: str = ""
    password: str = ""

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Return the target that ``text`` names.

        Raises UsageError naming the text, without a password, and the accepted forms.
        """
        if text.startswith("unix://"):
            path = text.removeprefix("unix://")
            if not path.startswith("/"):
                raise UsageError.of("TARGET", unescaped(text), "write unix:// and an absolute path")
            return cls(path=path)
        name, has_scheme, place = text.partition("://")
        scheme = SCHEMES.get(name.lower()) if has_scheme else _PLAIN
        match = _URL.fullmatch(place if has_scheme else text)
        if scheme is None or match is None:
            raise _refused(text)
        port = int(match["port"] or scheme.default_port)
        resource = match["resource"] or ""
        has_user = match["user"] is not None
        if not 1 <= port <= 65535 or (has_user and "user" not in scheme.takes):
            raise _refused(text)
        if "resource" not in scheme.takes:
            if resource not in ("", "/"):
                raise _refused(text)
            resource = ""
        return cls(
            host=match["ipv6"] or match["host"],
            port=port,
            scheme=scheme,
            resource=resource,
            user=match["user"] or "",
            password=match["password"] or "",
        )

    @property
    def is_unix(self) -> bool:
        """Whether this is a UNIX socket."""
        return bool(self.path)

    @property
    def is_datagram(self) -> bool:
        """Whether it is spoken to in datagrams (UDP), and not by a stream."""
        return self.scheme.application == "datagrams"

    @property
    def authority(self) -> str:
        """Host and port, as a URL has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def without_request(self) -> "Target":
        """Return where it is, with ``***`` for who asks (a user) and for what (a path, a query).

        What follows the port of Redis is the number of a database, and is kept.
        """
        asks = self.resource not in ("", "/") and self.scheme.application != "redis"
        return self._replace(
            user=self.user and HIDDEN,
            resource=f"/{HIDDEN}" if asks else self.resource,
        )

    def __str__(self) -> str:
        """Return it as text that may be shown: with ``***`` for a password."""
        if self.is_unix:
            return f"unix://{self.path}"
        if self.scheme is _PLAIN:
            return self.authority
        login = f"{self.user}{f':{HIDDEN}' if self.password else ''}"
        return f"{self.scheme.name}://{login}{'@' if login else ''}{self.authority}{self.resource}"


def without_password(text: str) -> str:
    """Return ``text``, a target, with ``***`` for a password in it."""
    return re.sub(r"^(\w+://[^:@/\s]*):[^@\s]*@", rf"\1:{HIDDEN}@", text)


def with_numeric_host(address: str, resolved: str, others: Iterable[str]) -> str:
    """Return ``address``, a name with what is used for it: ``localhost:80 (127.0.0.1, not ::1)``.

    resolved: the address that is used. others: what the name resolves to as well.
    """
    try:
        asked, used, *unused = map(Target.parse, (address, resolved, *others))
    except UsageError:  # a record may hold any text
        return address
    if (used.host, used.port, used.path) == (asked.host, asked.port, asked.path):
        return address
    not_used = f", not {', '.join(other.host for other in unused)}" if unused else ""
    return f"{address} ({used.host}{not_used})"


def _refused(text: str) -> UsageError:
    return UsageError.of("TARGET", without_password(unescaped(text)), _hint(text) + ACCEPTED)


def _hint(text: str) -> str:
    """Return what was probably meant, where that is plain to see."""
    if text.startswith("/"):
        return f"did you mean unix://{text}? "
    name, has_scheme, place = text.partition("://")
    scheme = SCHEMES.get(name.lower()) if has_scheme else _PLAIN
    if scheme is None:
        meant = difflib.get_close_matches(name.lower(), SCHEMES, n=1)
        meant_words = f"; did you mean {meant[0]}://?" if meant else ""
        return f"there is no scheme {quoted(name)}{meant_words}; "
    place = place if has_scheme else text
    return next((words for is_so, words in _troubles(place, scheme) if is_so), "")


def _troubles(place: str, scheme: Scheme) -> Iterator[tuple[bool, str]]:
    """Yield what may be wrong with ``place`` behind ``scheme``: whether it is, and in words."""
    authority, _, path = place.partition("/")
    yield "#" in place, "a fragment (#…) means nothing to a server; "
    if "user" not in scheme.takes:
        yield "@" in authority, "a user and a password are of redis:// only (of HTTP, --header); "
    if "resource" not in scheme.takes:
        has_resource = path != "" or "?" in place
        yield has_resource, "a path is of http://, redis:// and ws:// only; "
    yield scheme is not _PLAIN and authority == "", "the host is missing; "
    has_no_port = authority != "" and ":" not in authority and not scheme.default_port
    yield has_no_port, "the port is missing; "
