r"""Text that every output can hold: escaped names of files, and readable text of any origin.

A name is bytes. Python decodes it, and a byte that cannot be decoded becomes a lone surrogate (PEP
383), which no encoding takes: not that of JSON, of a page or of a terminal. Wherever text leaves
this program such a byte is written as ``\xHH``. `escaped` is the form in which a Plan and a record
keep a name: there a backslash that would read as such an escape is ``\x5c``, so that `unescaped`
restores the exact name.

Names of processes, hosts and benchmarks, and all of a record, come from elsewhere. A terminal obeys
control characters (ECMA-48), XML 1.0 allows none of them, and characters that change the direction
of text or have no width make it look like other text (Unicode Technical Report 36). So records keep
text as it is, and every output shows it by way of one function, `readable`, or `as_line` where it
is a line of its own; JSON, which can hold everything, has `encoded.as_json`. Each output applies it
at its last step, so that no text is missed: `lines.Line`, `errors.LoadgenError`, `logs.logger`, the
page's templates, and the function that saves a figure.
"""

import codecs
import os
import re
import unicodedata
from typing import Final

ERRORS: Final = "loadgen.readable"
"""The error handler for all text that is encoded: characters that an encoding lacks are replaced.

Registered when this module is imported (https://docs.python.org/3/library/codecs.html#error-handlers).
"""

LONGEST: Final = 4096
"""The most characters of a text that are shown."""

_LONGEST_QUOTED: Final = 500
_SHOWN_SPACES: Final = "Zs"  # the Unicode category of blanks that have a width

# What GitHub's runner takes for a command where it reads a log (actions/runner, ActionCommand.cs).
_WORKFLOW_COMMAND: Final = re.compile(r"^(\s*):(?=:[A-Za-z-]+.*::)|(?<=##)\[")

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
    r"""Return the file name ``name`` in a form that any output can hold."""
    protected = _LIKE_AN_ESCAPE.sub(r"\\x5c", name)
    try:
        return os.fsencode(protected).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # no name of this system
        return encodable(protected)


def unescaped(text: str) -> str:
    """Return the name whose `escaped` form is ``text``, as system calls take it."""
    try:
        content = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # no name of this system
        content = utf_8(text)
    return os.fsdecode(_ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), content))


def encodable(text: str) -> str:
    """Return ``text`` without lone surrogates, so that it can be encoded."""
    return utf_8(text).decode()


def readable(text: str, most_characters: int = LONGEST) -> str:
    r"""Return ``text`` as every output may show it: in one line, and without control characters.

    All that is not printable (`str.isprintable`) is written as an escape, such as ``\x1b``, ``\n``
    and ``\u202e``: control characters (C0, DEL, C1), line and paragraph separators, changes of the
    direction of text, characters without width, lone surrogates, private and unassigned ones.
    Blanks of any width stay. Of a text longer than ``most_characters`` its beginning and its end
    are kept, with an ellipsis between. What is readable stays as it is.
    """
    if len(text) > 2 * most_characters:
        text = text[:most_characters] + text[-most_characters:]
    shown = text if text.isprintable() else "".join(map(_shown, text))
    if len(shown) <= most_characters:
        return shown
    head = most_characters // 2
    return f"{shown[:head]}…{shown[head + 1 - most_characters :]}"


def is_shown(character: str) -> bool:
    """Return whether ``character`` is readable as it is."""
    return character.isprintable() or unicodedata.category(character) == _SHOWN_SPACES


def as_line(text: str) -> str:
    """Return ``text`` as `readable` does, for a line of its own.

    In a log of GitHub Actions it is not taken for a command.
    """
    return _WORKFLOW_COMMAND.sub(lambda found: f"{found[1] or ''}\\{found[0][-1]}", readable(text))


def utf_8(text: str) -> bytes:
    """Return ``text`` encoded, whatever is in it."""
    return text.encode("utf-8", ERRORS)


def quoted(value: object) -> str:
    """Return ``value`` for an error message: its `repr`, shortened where it is long.

    Bytes of a name are written as by `escaped`.
    """
    whole = repr(value)
    text = _SURROGATE_IN_QUOTES.sub(r"\1\\x\2", whole[: 2 * _LONGEST_QUOTED])
    if len(text) <= _LONGEST_QUOTED:
        return text
    return f"{text[: _LONGEST_QUOTED // 10]}… ({len(whole)} characters)"


def for_shell(word: str) -> str:
    """Return ``word`` quoted so that a shell takes it for one word, with every byte of it.

    ``$'...'`` is defined by POSIX.1-2024 (Shell Command Language, 2.2.4), and known to bash, zsh
    and ksh.
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
    return _PLAIN[character] if character in _PLAIN else _as_escape(character)


def _shown(character: str) -> str:
    return character if is_shown(character) else _as_escape(character)


def _as_escape(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte that could not be decoded
        return f"\\x{number - 0xDC00:02x}"
    if number < 0x80:
        return character.encode("unicode_escape").decode()
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


codecs.register_error(ERRORS, _replaced)
