"""What matplotlib writes as a file of SVG, made an element of a page."""

import hashlib
import re
from collections.abc import Mapping
from typing import Final
from xml.etree import ElementTree as ET

_NAMESPACE: Final = re.compile(r"\{.*\}")
_COLOUR: Final = re.compile(r"#[0-9a-f]{6}")
_FONTS: Final = re.compile(r"'DejaVu Sans',[^;]*sans-serif")
_TO_NAME: Final = re.compile(r"(?<=url\(#)[^)]+|(?<=^#).+")
_DIGITS: Final = re.compile(r"(-?\d+\.\d\d)\d+")
_LEFT_OUT: Final = frozenset({"metadata", "style"})


def inlined(text: str, colours: Mapping[str, str]) -> str:
    """Return the ``<svg>`` element of ``text``, which matplotlib wrote.

    It is as wide as what holds it. ``colours`` are what stands for each colour, and the font is
    that of the page. Names of shapes begin with a word of its own.
    """
    root = ET.fromstring(text)  # noqa: S314 - matplotlib's own, not a stranger's
    prefix = f"f{hashlib.sha256(text.encode()).hexdigest()[:8]}-"
    for parent in root.iter():
        for child in list(parent):
            if _NAMESPACE.sub("", child.tag) in _LEFT_OUT:
                parent.remove(child)
    named = {
        found for each in root.iter() for value in each.attrib.values() for found in _names(value)
    }
    for element in root.iter():
        element.tag = _NAMESPACE.sub("", element.tag)
        own = {_NAMESPACE.sub("", name): value for name, value in element.attrib.items()}
        if own.get("id") not in named:
            own.pop("id", None)
        element.attrib = {name: _value(name, value, colours, prefix) for name, value in own.items()}
        element.tail = None
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {
        "xmlns": "http://www.w3.org/2000/svg",
        "role": "img",
        "stroke-linejoin": "round",
        "stroke-linecap": "butt",
    }
    return ET.tostring(root, encoding="unicode")


def _names(value: str) -> list[str]:
    return _TO_NAME.findall(value)


def _value(name: str, value: str, colours: Mapping[str, str], prefix: str) -> str:
    """Return the value that the attribute ``name`` has in the page."""
    match name:
        case "id":
            return prefix + value
        case "style" | "fill" | "stroke":
            value = _FONTS.sub("var(--figure-font, inherit)", value)
            return _COLOUR.sub(lambda colour: colours.get(colour[0], colour[0]), value)
        case "d":
            return _DIGITS.sub(r"\1", value).replace("\n", "")
        case _:
            return _TO_NAME.sub(lambda found: prefix + found[0], value)
