"""Records that are damaged or forged, as hypothesis draws them from the schema of what they are.

The schema and a document are walked together: at each place, what the schema accepts there says
what would be hostile. A document is damaged in one place to three, and then perhaps as text.
"""

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

Schema = Mapping[str, Any]
Path = tuple[str | int, ...]

# Written as text of their own, and replaced by what json cannot write.
_AGAIN: Final = "<again>"
_DIGITS: Final = "<5000 digits>"
_OUTSIDE: Final[tuple[tuple[bytes, bytes], ...]] = (
    (_AGAIN.encode(), b""),
    (f'"{_DIGITS}"'.encode(), b"9" * 5000),
)

_OF_OTHER_TYPES: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    -1,
    0.5,
    "x",
    [],
    [[]],
    [None],
    {},
    {"x": 1},
)
_NUMBERS: Final = (
    *(0, 1, -1, 0.5, -0.5, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**400, _DIGITS),
    *(1e-300, 1e12, -1e12, 1e18, 1e300, float("nan"), float("inf"), float("-inf"), "NaN", "1e999"),
)
_WORDS: Final = (
    *("", "x", "\ud800", "\x1b[2J\x1b]0;x\x07", "a\nb\r\u2028", "\u202e", "x" * 5000),
    *("0..1k/1e9s", "loadgen.run/3", "@all | <b>", "../../etc/passwd"),
)
_DATES: Final = (
    *("yesterday", "2026-02-30T12:00:00+00:00", "2026-01-31T12:00:00", "2026-01-31"),
    *("9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+14:00", "2026-01-31T12:00:00+99:00"),
)
_BASE64: Final = ("AAAA", "!!!!", "A", "eJwDAAAAAAE=", "eNoDAAAAAAE")


@dataclass(frozen=True)
class Start:
    """A document as it should be, and the schema of its kind."""

    name: str
    schema: Schema
    content: Any

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Damaged:
    """The text of a damaged document, and in words what was done to it."""

    start: Start
    text: bytes
    damage: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<{self.start}: {'; '.join(self.damage)}>"


class Place(NamedTuple):
    """The path to a value, and what the schema says of it."""

    path: Path
    schema: Schema

    @property
    def field(self) -> Path:
        """The path without the places in lists: it is the same for all rows of a column."""
        return tuple("*" if isinstance(step, int) else step for step in self.path)


def places(schema: Schema, content: Any, root: Schema, path: Path = ()) -> Iterator[Place]:
    """Yield the places in ``content``, which is of ``schema``; ``root`` has the definitions.

    Of a list, those at both ends and in the middle: the others are like them.
    """
    schema = _alternative(schema, content, root)
    yield Place(path, schema)
    if isinstance(content, dict):
        named, other = schema.get("properties", {}), schema.get("additionalProperties")
        for key, each in content.items():
            of_key = named.get(key, other if isinstance(other, dict) else {})
            yield from places(of_key, each, root, (*path, key))
    elif isinstance(content, list):
        of_each = schema.get("items", {})
        for number in sorted({0, 1, len(content) // 2, len(content) - 1} & {*range(len(content))}):
            yield from places(of_each, content[number], root, (*path, number))


def _alternative(schema: Schema, content: Any, root: Schema) -> Schema:
    """Return which of the forms that ``schema`` allows ``content`` has; empty if none."""
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" not in schema:
        return schema
    forms = (_alternative(each, content, root) for each in schema["anyOf"])
    return next((each for each in forms if _is_of(each, content)), {})


_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "array": (list,),
    "object": (dict,),
}


def _is_of(schema: Schema, content: Any) -> bool:
    if "enum" in schema:
        return content in schema["enum"]
    is_of_type = isinstance(content, _TYPES.get(schema.get("type", ""), ()))
    tags = {
        key: each["enum"] for key, each in schema.get("properties", {}).items() if "enum" in each
    }
    return is_of_type and all(content.get(key) in known for key, known in tags.items())


# ---- what is hostile ----------------------------------------------------------------------


def hostile_values(schema: Schema) -> list[Any]:
    """Return values that do not belong where ``schema`` says what does, or only just."""
    values: list[Any] = list(_OF_OTHER_TYPES)
    kind = schema.get("type")
    if "enum" in schema:
        values += [*schema["enum"], "unknown", *_WORDS]
    elif kind in ("integer", "number"):
        least, most = schema.get("minimum", 0), schema.get("maximum", 2**63)
        values += [least, most, least - 1, 2 * most + 1, *_NUMBERS]
    elif kind == "string":
        values += _WORDS
        values += _DATES if schema.get("format") == "date-time" else ()
        values += _BASE64 if "contentEncoding" in schema else ()
    return values


Draw = Callable[[st.SearchStrategy[Any]], Any]
Damage = Callable[[Any, Any, Draw], str]
"""Changes what a container holds at a key, and says what was done."""


def _replaced(values: Sequence[Any]) -> Damage:
    def damage(where: Any, key: Any, draw: Draw) -> str:
        where[key] = copy.deepcopy(draw(st.sampled_from(values)))
        return f"= {_short(where[key])}"

    return damage


def _missing(where: Any, key: Any, draw: Draw) -> str:
    del where[key]
    return "missing"


def _twice(where: Any, key: Any, draw: Draw) -> str:
    if isinstance(where, list):
        where.insert(key, copy.deepcopy(where[key]))
        return "twice"
    where[f"{key}{_AGAIN}"] = draw(st.sampled_from([copy.deepcopy(where[key]), "x", -1, None, []]))
    return f"again, as {_short(where[f'{key}{_AGAIN}'])}"


def _swapped(where: Any, key: Any, draw: Draw) -> str:
    other = draw(st.sampled_from(list(where) if isinstance(where, dict) else range(len(where))))
    where[key], where[other] = where[other], where[key]
    return f"swapped with {other}"


def _scaled(where: Any, key: Any, draw: Draw) -> str:
    where[key] *= draw(st.sampled_from([-1, 2, 10**9, 1e30]))
    return f"= {_short(where[key])}"


def _emptied(where: Any, key: Any, draw: Draw) -> str:
    where[key] = type(where[key])()
    return "emptied"


def _reversed(where: Any, key: Any, draw: Draw) -> str:
    where[key].reverse()
    return "reversed"


def _doubled(where: Any, key: Any, draw: Draw) -> str:
    where[key] *= 2
    return "doubled"


def _cut(where: Any, key: Any, draw: Draw) -> str:
    del where[key][draw(st.integers(0, len(where[key]) - 1)) :]
    return f"cut to {len(where[key])}"


def _damages(place: Place, value: Any) -> list[Damage]:
    """Return what can be done at a place; a new value weighs as much as all else together."""
    found: list[Damage] = [_missing, _twice, _swapped]
    if isinstance(value, dict | list):
        found.append(_emptied)
    if isinstance(value, list) and value:
        found += [_reversed, _doubled, _cut]
    if isinstance(value, int | float):
        found.append(_scaled)
    return [*found, *[_replaced(hostile_values(place.schema))] * len(found)]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}… ({len(text)})"


# ---- damaged documents --------------------------------------------------------------------


@st.composite
def damaged(draw: Draw, starts: Sequence[Start]) -> Damaged:
    """Draw one of ``starts``, damaged."""
    start = draw(st.sampled_from(starts))
    told: list[str] = []
    document = [copy.deepcopy(start.content)]  # in a list, so that all of it can be replaced, too
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3)))):
        if not document:
            break
        told.append(_damage(draw, start, document))
    text = b"\n".join(json.dumps(each).encode() for each in document)
    for mark, written in _OUTSIDE:
        text = text.replace(mark, written)
    if draw(st.integers(0, 9)) == 9:
        what = draw(st.sampled_from(list(_OF_TEXT)))
        told.append(what)
        text = _OF_TEXT[what](text, draw)
    return Damaged(start, text, tuple(told))


def _damage(draw: Draw, start: Start, document: list[Any]) -> str:
    found = places(start.schema, document[0], start.schema, (0,))
    fields: dict[Path, list[Place]] = {}  # a long column is drawn no more often than one number
    for place in found:
        fields.setdefault(place.field, []).append(place)
    place = draw(st.sampled_from(fields[draw(st.sampled_from(list(fields)))]))
    *way, key = place.path
    where: Any = document
    for step in way:
        where = where[step]
    done = draw(st.sampled_from(_damages(place, where[key])))(where, key, draw)
    return f"{'.'.join(map(str, place.path[1:])) or 'all of it'} {done}"


def _byte(text: bytes, draw: Draw) -> bytes:
    at = draw(st.integers(0, max(len(text) - 1, 0)))
    return text[:at] + bytes([draw(st.integers(0, 255))]) + text[at + 1 :]


_OF_TEXT: Final[Mapping[str, Callable[[bytes, Draw], bytes]]] = {
    "cut off": lambda text, draw: text[: draw(st.integers(0, len(text)))],
    "another byte": _byte,
    "the text twice": lambda text, _: text + b"\n" + text,
    "nested too deep": lambda text, _: b'{"x": ' + b"[" * 100_000 + text,
    "a byte order mark": lambda text, _: b"\xef\xbb\xbf" + text,
    "UTF-16": lambda text, _: text.decode("utf-8", "replace").encode("utf-16"),
    "surrogates as bytes": lambda text, _: text.replace(b"a", b"\xed\xa0\x80", 1),
}
