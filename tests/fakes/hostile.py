"""A text that tries to act wherever it is shown, and objects that have it in each text."""

import re
import unicodedata
from html.parser import HTMLParser
from typing import Any, Final, TypeVar

import msgspec
from msgspec import inspect
from records import distribution

from loadgen.results.distribution import Distribution

Struct = TypeVar("Struct", bound=msgspec.Struct)

HOSTILE: Final = (
    "A\n::error::forged\r\n::set-output name=a::b ##[error]forged\t\x0b\x0c\x1b[2J\x1b]0;title\x07"
    "\x00\x7f\x9b31m\u202e\u2066\u200b\ufeff\u2028\u2029\ue000\udc9b\ud800\n\n# heading\n|a|b|\n"
    "`@octocat` @octocat #1 www.evil.example https://evil.example $\\frac{1}{2}$ **bold** "
    "[link](http://evil.example) <script>alert(1)</script> <img src=x onerror=y> \"' ]]> --> "
    "&lt; {{ 7 * 7 }} {% raw %} \\x1b \N{LARGE RED CIRCLE} \u65e5\u672c\n"
)
PLAIN: Final = "A plain text"

_KEPT: Final = frozenset({"started_at", "ledger"})
"""A moment, without which a record is none; and columns, whose names are looked up."""


class Filled:
    """Puts ``text`` into every field of an object whose type leaves its text open.

    What is empty or absent is made, so that each field is there. A value that its class refuses
    stays as it was.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def filled(self, value: Struct) -> Struct:
        """Return ``value`` with the text."""
        made: Struct = self._of(inspect.type_info(type(value)), value)
        return made

    def _of(self, kind: inspect.Type, value: Any) -> Any:
        match kind:
            case inspect.StrType():
                return self._text
            case inspect.UnionType():
                return self._of(_chosen(kind, value), value)
            case inspect.StructType():
                return self._struct(kind, value)
            case inspect.ListType(item) | inspect.VarTupleType(item):
                made = [self._of(item, each) for each in value or [None]]
                return tuple(made) if isinstance(kind, inspect.VarTupleType) else made
            case inspect.DictType():
                items = (value or {"": None}).values()
                return {
                    f"{self._text}{number}": self._of(kind.value_type, each)
                    for number, each in enumerate(items)
                }
        return _usual(kind) if value is None else value

    def _struct(self, kind: inspect.StructType, value: Any) -> Any:
        if kind.cls is Distribution:
            return distribution(1000) if value is None else value
        fields = {
            field.name: self._of(field.type, getattr(value, field.name, None))
            for field in kind.fields
            if field.name not in _KEPT
        }
        if value is None:
            return kind.cls(**fields)
        for name, made in fields.items():
            try:
                value = msgspec.structs.replace(value, **{name: made})
            except Exception:  # noqa: BLE001 - whatever the class says of a value that is none
                continue
        return value


def _chosen(kind: inspect.UnionType, value: Any) -> inspect.Type:
    """Return which of several types ``value`` has; where it is absent, one that has texts in it."""
    for each in kind.types:
        if isinstance(each, inspect.StructType) and type(value) is each.cls:
            return each
    names = {str: "StrType", list: "ListType", bytes: "BytesType", float: "FloatType"}
    wanted = names.get(type(value), "IntType" if isinstance(value, int) else "StrType")
    order = (wanted, "StructType", "StrType", "ListType")
    ranked = [each for name in order for each in kind.types if type(each).__name__ == name]
    return next(iter(ranked), kind.types[0])


def _usual(kind: inspect.Type) -> Any:
    match kind:
        case inspect.LiteralType(values):
            return values[0]
        case inspect.EnumType(cls):
            return next(iter(cls))
        case inspect.FloatType():
            return 0.0
        case inspect.BoolType():
            return False
        case inspect.IntType():
            return 0
    return None


# ---- what must not be found ---------------------------------------------------------------


def check_quiet(text: str) -> None:
    """Check that no character of ``text`` acts where it is shown."""
    acting = {
        each
        for each in text
        if each != "\n" and not each.isprintable() and unicodedata.category(each) != "Zs"
    }
    assert acting == set()


def check_said(text: str) -> None:
    """Check that nothing acts in ``text``, which a terminal or the log of a workflow shows."""
    check_quiet(text)
    for line in text.split("\n"):
        assert re.match(r"\s*::[A-Za-z-]+.*::", line) is None, line
        assert "##[" not in line


class Page(HTMLParser):
    """The elements of a page with the names of their attributes, and the text outside of code."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, ...]] = []
        self.prose = ""
        self._codes = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, *(name for name, _ in attrs)))
        self._codes += tag in ("code", "pre")

    def handle_endtag(self, tag: str) -> None:
        self._codes -= tag in ("code", "pre")

    def handle_data(self, data: str) -> None:
        if not self._codes:
            self.prose += data
