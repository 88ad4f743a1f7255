r"""Names of files and sockets, and other text, in a form that every output can hold.

A name is bytes. Python decodes it, and a byte that cannot be decoded becomes a lone surrogate (PEP
383), which no encoding takes: not that of JSON, of a page or of a terminal. Wherever text leaves
this program such a byte is written as ``\xHH``. `escaped` is the form in which a Plan and a record
keep a name: there a backslash that would read as such an escape is ``\x5c``, so that `unescaped`
gives exactly the name back.
"""

import codecs
import os
import re
from typing import Final

ERRORS: Final = "loadgen.readable"
"""The error handler for all text that is encoded: what an encoding lacks is written otherwise.

Registered when this module is imported (https://docs.python.org/3/library/codecs.html#error-handlers).
"""

_LONGEST_QUOTED: Final = 500

_ESCAPE: Final = re.compile(rb"\\x(5c|[89a-f][0-9a-f])")
_LIKE_AN_ESCAPE: Final = re.compile(r"\\(?=x(?:5c|[89a-f][0-9a-f]))")
_SURROGATE_IN_QUOTES: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\udc([89a-f][0-9a-f])")

_PLAIN: Final = {
    "\N{MICRO SIGN}": "u",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{NO-BREAK SPACE}": " ",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{PLUS-MINUS SIGN}": "+-",
    "\N{MIDDLE DOT}": "*",
    "\N{BULLET}": "*",
    "\N{CHECK MARK}": "+",
    "\N{BALLOT X}": "x",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
}


def escaped(name: str) -> str:
    r"""Return the name that the system knows as ``name``, such that any output can hold it."""
    protected = _LIKE_AN_ESCAPE.sub(r"\\x5c", name)
    try:
        return os.fsencode(protected).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # no name of this system
        return readable(protected)


def unescaped(text: str) -> str:
    """Return the name that ``text`` is the `escaped` form of, as the system's calls take it."""
    content = text.encode("utf-8", "surrogateescape")
    return os.fsdecode(_ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), content))


def readable(text: str) -> str:
    """Return ``text`` without lone surrogates, so that it can be encoded."""
    return utf_8(text).decode()


def utf_8(text: str) -> bytes:
    """Return ``text`` encoded, whatever is in it."""
    return text.encode("utf-8", ERRORS)


def quoted(value: object) -> str:
    """Return ``value`` as a complaint shows it: as `repr` does, and not endlessly long.

    Bytes of a name are as `escaped` has them.
    """
    text = _SURROGATE_IN_QUOTES.sub(r"\1\\x\2", repr(value))
    if len(text) <= _LONGEST_QUOTED:
        return text
    return f"{text[: _LONGEST_QUOTED // 10]}… ({len(text)} characters)"


def for_shell(word: str) -> str:
    """Return ``word`` quoted so that a shell takes it for one word, with every byte of it.

    ``$'...'`` is a form of POSIX.1-2024 (Shell Command Language, 2.2.4), which bash, zsh and ksh
    have had for long.
    """
    return "$'" + "".join(map(_in_shell, os.fsencode(word))) + "'"


def _in_shell(byte: int) -> str:
    if byte in b"'\\":
        return f"\\{chr(byte)}"
    return chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}"


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(character: str) -> str:
    """Return ``character`` in ASCII."""
    if character in _PLAIN:
        return _PLAIN[character]
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:
        return f"\\x{number - 0xDC00:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


codecs.register_error(ERRORS, _replaced)
