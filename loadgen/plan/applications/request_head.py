"""What requests of HTTP and the opening of a WebSocket have in common: header lines, and Host."""

import re
from typing import Final

from loadgen.errors import UsageError
from loadgen.net.target import Target

TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A name of a method, a header or a sub-protocol (RFC 9110, 5.6.2)."""


def field_of(line: str) -> tuple[str, str]:
    """Return name and value of a header, ``Name: value``. Raises UsageError."""
    name, colon, value = line.partition(":")
    is_text = value.replace("\t", " ").isprintable()
    if not colon or not TOKEN.fullmatch(name) or not is_text:
        raise UsageError.of("--header", line, "write 'Name: value', in one line")
    return name, value.strip(" \t")


def host_of(target: Target) -> str:
    """Return the value of Host: without the usual port, or the zone of an address (RFC 6874, 4).

    Raises UsageError.
    """
    try:
        name = target.host.partition("%")[0].encode("idna").decode()
    except UnicodeError:
        raise UsageError.of("TARGET", target.host, "it is not a valid host name") from None
    host = f"[{name}]" if ":" in name else name
    return host if target.port == target.scheme.default_port else f"{host}:{target.port}"
