"""What was found, as bytes; text that no encoding takes is made readable.

The usual case costs nothing more; the other one is noticed when encoding fails.
"""

from typing import Any

import msgspec

from loadgen.names import readable


def as_json(value: Any) -> bytes:
    """Return ``value`` as JSON in one line."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_readable(msgspec.to_builtins(value)))


def as_indented_json(value: Any) -> bytes:
    """Return ``value`` as indented JSON, with a line end."""
    return msgspec.json.format(as_json(value), indent=1) + b"\n"


def as_msgpack(value: Any) -> bytes:
    """Return ``value`` as MessagePack."""
    try:
        return msgspec.msgpack.encode(value)
    except UnicodeEncodeError:
        plain = msgspec.to_builtins(value, builtin_types=(bytes,))
        return msgspec.msgpack.encode(_readable(plain))


def _readable(value: Any) -> Any:
    match value:
        case str():
            return readable(value)
        case dict():
            return {_readable(key): _readable(each) for key, each in value.items()}
        case list() | tuple():
            return [_readable(each) for each in value]
    return value
