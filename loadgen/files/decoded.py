"""Decoding JSON and MessagePack into checked objects, with errors of one line."""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from loadgen.errors import RecordError, UsageError
from loadgen.text import readable

Decoded = TypeVar("Decoded")

_LONGEST: Final = 500
_PLACE: Final = " - at `"


def from_json(text: bytes, kind: type[Decoded], form: str) -> Decoded:
    """Return the ``kind`` of object that the JSON ``text`` holds; ``form`` names it in errors.

    Raises RecordError, whose one line says what is wrong where, and what is accepted there.
    """
    return _decoded(lambda: msgspec.json.decode(text, type=kind), form)


def from_msgpack(content: bytes, kind: type[Decoded], form: str) -> Decoded:
    """Return the same from MessagePack. Raises RecordError."""
    return _decoded(lambda: msgspec.msgpack.decode(content, type=kind), form)


def _decoded(decode: Callable[[], Decoded], form: str) -> Decoded:
    # ValueError: text that is not UTF-8, integers of thousands of digits, a type's checks.
    try:
        return decode()
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError, UsageError) as error:
        raise RecordError(f"this is no {form}: {error_line(error)}") from None


def error_line(error: Exception) -> str:
    """Return the text of a decoder's ``error`` in one line, after the place, if it is known."""
    said, _, place = str(error).rpartition(_PLACE)
    text = f"{place.removesuffix('`')}: {said}" if said else str(error)
    return readable(" ".join(text.split()), _LONGEST)
