"""Targets as text: the accepted forms of a TCP address or a UNIX socket path."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from loadgen.errors import UsageError
from loadgen.text import unescaped

ACCEPTED = (
    "write host:port, tcp://host:port, [ipv6-address]:port or unix:///path/to/socket, "
    "with a port from 1 to 65535"
)

_HOST_AND_PORT = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(?:%[\w.-]+)?)\]|(?P<host>[^\[\]:/@\s]+))"
    r":(?P<port>\d{1,9})/?"
)


class Target(NamedTuple):
    """A TCP endpoint (``host`` and ``port``) or a UNIX stream socket (``path``).

    The path is as `loadgen.text.escaped` writes it.
    """

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Return the target that ``text`` names.

        Raises UsageError naming the text and the accepted forms.
        """
        if text.startswith("unix://"):
            path = text.removeprefix("unix://")
            if not path.startswith("/"):
                raise UsageError.of("TARGET", unescaped(text), "write unix:// and an absolute path")
            return cls(path=path)
        match = _HOST_AND_PORT.fullmatch(text.removeprefix("tcp://"))
        if match is None or not 1 <= int(match["port"]) <= 65535:
            raise UsageError.of("TARGET", unescaped(text), _hint(text) + ACCEPTED)
        return cls(host=match["ipv6"] or match["host"], port=int(match["port"]))

    @property
    def is_unix(self) -> bool:
        """Whether this is a UNIX socket."""
        return bool(self.path)

    def __str__(self) -> str:
        if self.is_unix:
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def with_numeric_host(address: str, resolved: str, others: Iterable[str]) -> str:
    """Return ``address``, a name with what is used for it: ``localhost:80 (127.0.0.1, not ::1)``.

    resolved: the address that is used. others: what the name resolves to as well.
    """
    try:
        asked, used, *unused = map(Target.parse, (address, resolved, *others))
    except UsageError:  # a record may hold any text
        return address
    if used == asked:
        return address
    not_used = f", not {', '.join(other.host for other in unused)}" if unused else ""
    return f"{address} ({used.host}{not_used})"


def _hint(text: str) -> str:
    """Return what was probably meant, where that is plain to see."""
    if text.startswith(("http://", "https://")):
        return "loadgen speaks no HTTP by itself: give host:port, --payload and --reply; "
    if text.startswith("/"):
        return f"did you mean unix://{text}? "
    if text and ":" not in text:
        return "the port is missing; "
    return ""
