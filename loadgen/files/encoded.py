"""Encoding objects as JSON and MessagePack; text that cannot be encoded is made readable.

Such text is noticed when encoding fails, so that the usual case costs nothing more. JSON may be
shown on a terminal: characters that are not printable are escaped, which means the same (RFC 8259,
7).
"""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from loadgen.text import encodable, is_shown

_NOT_ASCII: Final = re.compile(r"[^\x00-\x7e]")


def as_json(value: Any) -> bytes:
    """Return ``value`` as JSON in one line."""
    try:
        content = msgspec.json.encode(value)
    except UnicodeEncodeError:
        content = msgspec.json.encode(with_texts(msgspec.to_builtins(value), encodable))
    if content.isascii() and b"\x7f" not in content:
        return content
    return _NOT_ASCII.sub(_in_json, content.decode()).encode()


def as_indented_json(value: Any) -> bytes:
    """Return ``value`` as indented JSON, with a line end."""
    return msgspec.json.format(as_json(value), indent=1) + b"\n"


def as_msgpack(value: Any) -> bytes:
    """Return ``value`` as MessagePack."""
    try:
        return msgspec.msgpack.encode(value)
    except UnicodeEncodeError:
        plain = msgspec.to_builtins(value, builtin_types=(bytes,))
        return msgspec.msgpack.encode(with_texts(plain, encodable))


def with_texts(plain: Any, change: Callable[[str], str]) -> Any:
    """Return a copy of ``plain`` (dicts, lists, texts, numbers) with every text changed."""
    match plain:
        case str():
            return change(plain)
        case dict():
            return {
                with_texts(key, change): with_texts(each, change) for key, each in plain.items()
            }
        case list() | tuple():
            return [with_texts(each, change) for each in plain]
    return plain


def _in_json(found: re.Match[str]) -> str:
    """Return a character as in a JSON string: an escape where it is not printable."""
    if is_shown(found[0]):
        return found[0]
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
