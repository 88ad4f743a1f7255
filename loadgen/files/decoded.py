"""Text and bytes that others have written become objects, or are refused in one line."""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from loadgen.errors import RecordError, UsageError
from loadgen.text import readable

Decoded = TypeVar("Decoded")

_LONGEST: Final = 500
_PLACE: Final = " - at `"


def from_json(text: bytes, kind: type[Decoded], form: str) -> Decoded:
    """Return the ``kind`` of object that the JSON ``text`` holds; ``form`` is its name for people.

    Raises RecordError, whose one line says where what is wrong, and what is accepted there.
    """
    return _decoded(lambda: msgspec.json.decode(text, type=kind), form)


def from_msgpack(content: bytes, kind: type[Decoded], form: str) -> Decoded:
    """Return the same of MessagePack. Raises RecordError."""
    return _decoded(lambda: msgspec.msgpack.decode(content, type=kind), form)


def _decoded(decode: Callable[[], Decoded], form: str) -> Decoded:
    # ValueError: text that is no UTF-8, integers of thousands of digits; what a type says itself.
    try:
        return decode()
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError, UsageError) as error:
        raise RecordError(f"this is no {form}: {complaint(error)}") from None


def complaint(error: Exception) -> str:
    """Return in one line what ``error`` of a decoder says, and first where, if it is known."""
    said, _, place = str(error).rpartition(_PLACE)
    text = f"{place.removesuffix('`')}: {said}" if said else str(error)
    return readable(" ".join(text.split()), _LONGEST)
