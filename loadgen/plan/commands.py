r"""Commands of Redis as text, quoted as redis-cli takes them, and as the bytes that are sent.

redis-cli splits a line with `sdssplitargs` (https://github.com/redis/redis/blob/7.0/src/sds.c):
words stand apart by blanks; in double quotes there are the escapes \xHH \n \r \t \b \a, and a
backslash before any other character stands for that; in single quotes only \' is one. What stands
right before a quotation mark belongs to the same word, and nothing may stand right behind one.
"""

import re
from collections.abc import Sequence
from typing import Final

_WORD: Final = re.compile(
    rb"""
    \s* ([^\s"']*)
    (?: "((?: \\x[0-9a-fA-F]{2} | \\. | [^"\\] )*)" | '((?: \\' | \\(?!') | [^'\\] )*)' )?
    (?= \s | $)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPED: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}

_ENDLESS: Final = frozenset((b"MONITOR", b"SYNC", b"PSYNC"))
_OF_CHANNELS: Final = frozenset(
    f"{kind}{un}SUBSCRIBE".encode() for kind in ("", "P", "S") for un in ("", "UN")
)


def words_of(line: bytes) -> list[bytes]:
    """Return the words of a command. Raises ValueError, with what is accepted, if there are none.

    So it does for a command that is not answered with one reply.
    """
    line = line.strip()
    words, at = [], 0
    while at < len(line):
        found = _WORD.match(line, at)
        if found is None or found.end() == at:
            raise ValueError(
                f"the quotation mark behind character {at} is not closed, or text stands right "
                "behind the one that closes it"
            )
        words.append(_word(found))
        at = found.end()
    if not words:
        raise ValueError("write a command and its arguments, such as 'SET key value'")
    _check_replies(words)
    return words


def encoded(words: Sequence[bytes]) -> bytes:
    """Return what is sent for a command: an array of strings."""
    parts = (b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
    return b"*%d\r\n%b" % (len(words), b"".join(parts))


def _word(found: re.Match[bytes]) -> bytes:
    bare, double, single = found.groups(b"")
    return bare + _ESCAPE.sub(_unescaped, double) + single.replace(b"\\'", b"'")


def _unescaped(escape: re.Match[bytes]) -> bytes:
    digits, character = escape.groups()
    return bytes.fromhex(digits.decode()) if digits else _ESCAPED.get(character, character)


def _check_replies(words: Sequence[bytes]) -> None:
    """Raise ValueError if a command has none, several or endless ones."""
    name, *arguments = (word.upper() for word in words)
    if name in _ENDLESS:
        raise ValueError(f"the replies to {name.decode()} never end")
    if name == b"CLIENT" and arguments[:1] == [b"REPLY"] and arguments[1:] != [b"ON"]:
        raise ValueError("after it, Redis does not reply")
    if name in _OF_CHANNELS and len(arguments) != 1:
        raise ValueError(f"name one channel: {name.decode()} has a reply for each")
